//go:build linux

package cgihost_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
)

// spoolHost has bounds, in bytes, on what its spools take.
func spoolHost(memory, disk int64) *cgihost.Host {
	return &cgihost.Host{Budget: &admission.Budget{Bytes: memory}, Disk: &admission.Budget{Bytes: disk}}
}

func assertNothingHeld(t *testing.T, h *cgihost.Host) {
	t.Helper()
	assert.Zero(t, h.Budget.Used())
	assert.Zero(t, h.Disk.Used())
}

func noise(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	return data
}

// drain reads a spool to its end.
func drain(s *cgihost.Spool) ([]byte, error) {
	var all []byte
	for {
		piece, err := s.Next()
		if err != nil {
			return all, err
		}
		all = append(all, piece...)
	}
}

// A spool gives back the bytes that were written, in order, whatever the pace of
// writer and reader: from memory, from the file, and from memory again.
func TestSpool(t *testing.T) {
	for _, memory := range []int64{0, 20_000, 1 << 20} {
		h := spoolHost(memory, 1<<30)
		for range 20 {
			whole := noise(1 << 20)
			s := h.NewSpool()
			var got []byte
			var both sync.WaitGroup
			both.Go(func() {
				for rest := whole; len(rest) > 0; {
					n := min(1+rand.IntN(50_000), len(rest))
					_, err := s.Write(rest[:n])
					assert.NoError(t, err)
					rest = rest[n:]
				}
				s.End(nil)
			})
			both.Go(func() {
				var err error
				got, err = drain(s)
				assert.ErrorIs(t, err, io.EOF)
			})
			both.Wait()
			assert.True(t, bytes.Equal(whole, got))
			s.Close()
			assertNothingHeld(t, h)
		}
	}
}

// A stream whose reader keeps up stays in memory, whatever its length; and one
// that falls behind uses no more of the disk than it is behind.
func TestSpoolReusesWhatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := spoolHost(1<<20, 1<<20)
		s := h.NewSpool()
		defer s.Close()
		write := func(size int) {
			_, err := s.Write(noise(size))
			require.NoError(t, err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err := drain(s)
			assert.ErrorIs(t, err, io.EOF)
		}()
		for range 1000 {
			write(10_000)
			synctest.Wait() // the reader has taken it
		}
		require.False(t, s.HasFile())
		for range 100 {
			write(500_000)
			require.True(t, s.HasFile())
			synctest.Wait()
			write(1)
			require.Zero(t, h.Disk.Used(), "it begins again in memory")
			synctest.Wait()
		}
		s.End(nil)
		<-ended
	})
}

// Up to maxMemory bytes stay in memory, if the budget has them.
func TestSpoolMemory(t *testing.T) {
	for _, row := range []struct {
		memory  int64
		size    int
		hasFile bool
	}{
		{1 << 20, cgihost.MaxMemory, false}, {1 << 20, cgihost.MaxMemory + 1, true},
		{0, admission.Free, false}, {0, admission.Free + 1, true}, {cgihost.MaxMemory, cgihost.MaxMemory, false},
	} {
		h := spoolHost(row.memory, 1<<20)
		s := h.NewSpool()
		for range row.size {
			_, err := s.Write([]byte("x"))
			require.NoError(t, err)
		}
		assert.Equal(t, row.hasFile, s.HasFile(), "%+v", row)
		if row.hasFile {
			assert.Zero(t, h.Budget.Used(), "what was in memory is in the file")
		}
		s.Close()
		assertNothingHeld(t, h)
	}
}

// A program reads the file from its beginning, and cannot write to it.
func TestSpoolOpen(t *testing.T) {
	s := spoolHost(0, 1<<20).NewSpool()
	defer s.Close()
	whole := noise(200_000)
	_, err := io.Copy(s, bytes.NewReader(whole))
	require.NoError(t, err)
	file, err := s.Open()
	require.NoError(t, err)
	defer file.Close()
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(whole, got))
	_, err = file.WriteAt([]byte("x"), 0)
	assert.ErrorIs(t, err, syscall.EBADF)
	_, err = os.Stat(file.Name())
	assert.NoError(t, err)
}

func TestSpoolWithoutDisk(t *testing.T) {
	h := spoolHost(0, 100_000)
	first, second := h.NewSpool(), h.NewSpool()
	_, err := first.Write(make([]byte, 80_000))
	require.NoError(t, err)
	_, err = second.Write(make([]byte, 80_000))
	var refused *admission.Refused
	require.ErrorAs(t, err, &refused)
	second.End(err)
	_, err = second.Next()
	assert.ErrorAs(t, err, &refused, "the reader learns of it")
	first.Close()
	second.Close()
	assertNothingHeld(t, h)
}

// An error of the file becomes an answer: 507 for a full disk, 503 when there is no
// room because of other requests.
func TestSpoolErrors(t *testing.T) {
	assert.ErrorIs(t, cgihost.SpoolError(syscall.ENOSPC), app.ErrDiskFull)
	assert.ErrorIs(t, cgihost.SpoolError(syscall.EDQUOT), app.ErrDiskFull)
	assert.ErrorAs(t, cgihost.SpoolError(syscall.EMFILE), new(*admission.Refused))
	other := cgihost.SpoolError(syscall.EIO)
	assert.False(t, errors.Is(other, app.ErrDiskFull) || errors.As(other, new(*admission.Refused)))
	assert.ErrorIs(t, other, syscall.EIO)

	s := spoolHost(0, 1<<20).NewSpool()
	defer s.Close()
	_, err := s.Write(make([]byte, 100_000))
	require.NoError(t, err)
	require.NoError(t, s.CloseFile())
	_, err = s.Next()
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = s.Write([]byte("x"))
	assert.ErrorIs(t, err, os.ErrClosed)
}
