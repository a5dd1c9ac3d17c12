package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDiskFull fills a real file system. Posts are refused with 507 while it is
// full, and what was acknowledged is there and can be read, also once windsock
// was killed and started anew, and stopped; when there is space again, they are
// taken, without anybody doing anything.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 9<<20)
	dir := folder(t)
	require.NoError(t, os.Symlink(disk, filepath.Join(dir, "data")))
	little, again, much := ballastOn(t, disk, 1<<19), ballastOn(t, disk, 1<<19), ballastOn(t, disk, 5<<20)
	f := &filler{known: newLedger()}

	p := serve(t, dir)
	f.fill(t, p)
	f.assertRefused(t, p)
	drop(t, little)
	f.assertTaken(t, p, "there is space again")

	f.fill(t, p)
	p.signal(syscall.SIGKILL)
	p.wait()
	p = serve(t, dir)
	f.assertRefused(t, p)
	drop(t, again)
	f.assertTaken(t, p, "there is space again after kill -9")

	f.fill(t, p)
	assert.Equal(t, 1, p.stop(), "for the write-ahead log cannot be copied back")
	p.waitFor("no space left")
	ballastOn(t, disk, 9<<20) // whatever is left
	p = serve(t, dir)
	f.assertRefused(t, p)
	drop(t, much)
	f.assertTaken(t, p, "there is space again after a stop")
	assert.Zero(t, p.stop())

	require.NoFileExists(t, storeIn(dir)+"-shm", "or there is no need for space")
	all := ballastOn(t, disk, 9<<20)
	_, stderr, code := run(t, dir, "", "serve")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no space left", "not even for FILE-shm")
	drop(t, all)
	assert.Zero(t, serve(t, dir).stop())
	f.known.check(t, storeIn(dir))
}

// smallDisk mounts a file system that holds so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	path := t.TempDir()
	err := syscall.Mount("windsock-test", path, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") != "true" {
		t.Skip("NOT TESTED: only root may mount the small file system that this fills: sudo make test")
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(path, 0)) })
	return path
}

// ballastOn puts down a file of that size, or of all the space that there is.
func ballastOn(t *testing.T, disk string, size int) (path string) {
	t.Helper()
	f, err := os.CreateTemp(disk, "ballast")
	require.NoError(t, err)
	for range size / 4096 {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	require.NoError(t, f.Close())
	return f.Name()
}

func drop(t *testing.T, ballast string) {
	t.Helper()
	require.NoError(t, os.Remove(ballast))
}

// filler posts messages of all sizes.
type filler struct {
	known *ledger
	mu    sync.Mutex // guards made
	made  int
}

// next makes a message that nobody has sent yet, with so many bytes of name.
func (f *filler) next(size int) sending {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	s := newSending("G8XYZ", "LISTENER_INFO", int64(f.made), 0, fmt.Sprintf(`{"name":"%d %s"}`, f.made, strings.Repeat("x", size)))
	f.known.send(s)
	return s
}

// post posts a message and returns the status.
func (f *filler) post(t *testing.T, p *process, s sending) int {
	t.Helper()
	status, r, err := postOne(&http.Client{Transport: p.transport()}, s)
	if err == nil && status == http.StatusOK {
		_, err = f.known.acknowledge(s, r)
	}
	assert.NoError(t, err)
	return status
}

// fill posts from some clients until none finds space, not even for little.
func (f *filler) fill(t *testing.T, p *process) {
	t.Helper()
	before := f.known.count
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, size := range []int{100_000, 10_000, 100} {
				status := http.StatusOK
				for status == http.StatusOK {
					status = f.post(t, p, f.next(size))
				}
				assert.Equal(t, http.StatusInsufficientStorage, status)
			}
		})
	}
	all.Wait()
	require.Greater(t, f.known.count, before)
}

// assertRefused holds that nothing is taken, and that all is there and is read.
func (f *filler) assertRefused(t *testing.T, p *process) {
	t.Helper()
	assert.Equal(t, http.StatusInsufficientStorage, f.post(t, p, f.next(100_000)))
	resp, err := (&http.Client{Transport: p.transport()}).Get("http://windsock/messages?last=1")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	f.known.check(t, storeIn(p.folder))
}

func (f *filler) assertTaken(t *testing.T, p *process, when string) {
	t.Helper()
	require.Equal(t, http.StatusOK, f.post(t, p, f.next(100_000)), when)
	f.known.check(t, storeIn(p.folder))
}
