package admission_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
)

const free = admission.Free

func TestBudgetCountsOnlyWhatIsNotFree(t *testing.T) {
	b := &admission.Budget{Bytes: 1000}
	s := b.Share()
	require.NoError(t, s.Hold(free))
	assert.Zero(t, b.Used())
	require.NoError(t, s.Hold(free+600))
	assert.EqualValues(t, 600, b.Used())
	require.NoError(t, s.Hold(free+1000))
	assert.EqualValues(t, 1000, b.Used())
	require.NoError(t, s.Hold(10))
	assert.Zero(t, b.Used())
	require.NoError(t, s.Hold(free+1))
	s.Release()
	s.Release()
	assert.Zero(t, b.Used())
}

// A refused request keeps what it holds, and does not hold up others.
func TestBudgetRefuses(t *testing.T) {
	b := &admission.Budget{Bytes: 1000}
	first, second := b.Share(), b.Share()
	require.NoError(t, first.Hold(free+900))
	var refused *admission.Refused
	require.ErrorAs(t, second.Hold(free+101), &refused)
	assert.NotEmpty(t, refused.Reason)
	assert.EqualValues(t, 900, b.Used())
	assert.Zero(t, second.Held())
	require.NoError(t, second.Hold(free+100))
	require.Error(t, first.Hold(free+901))
	assert.EqualValues(t, free+900, first.Held())
	first.Release()
	require.NoError(t, second.Hold(free+1000))
}

// Many requests at once never hold more than there is, and leave nothing behind.
func TestBudgetIsNeverExceeded(t *testing.T) {
	b := &admission.Budget{Bytes: 1 << 20}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2000 {
				s := b.Share()
				for range 3 {
					_ = s.Hold(rand.Int64N(1 << 18))
					assert.LessOrEqual(t, s.Held()-free, b.Bytes)
				}
				s.Release()
			}
		})
	}
	all.Wait()
	assert.Zero(t, b.Used())
}

// A request that is refused takes nothing away from others, not for a moment.
func TestARefusedRequestRefusesNobodyElse(t *testing.T) {
	b := &admission.Budget{Bytes: 1000}
	done := make(chan struct{})
	var greedy sync.WaitGroup
	greedy.Go(func() {
		s := b.Share()
		for {
			select {
			case <-done:
				return
			default:
				assert.Error(t, s.Hold(free+1<<20))
			}
		}
	})
	s := b.Share()
	refused := 0
	for range 200_000 {
		if s.Hold(free+10) != nil {
			refused++
		}
		s.Release()
	}
	close(done)
	greedy.Wait()
	assert.Zero(t, refused)
	assert.Zero(t, b.Used())
}

func TestNoBudgetHasNoBound(t *testing.T) {
	var b *admission.Budget
	s := b.Share()
	require.NoError(t, s.Hold(1<<40))
	s.Release()
}

func TestReadAllReadsEverything(t *testing.T) {
	for _, size := range []int{0, 1, 511, 8191, 8192, 8193, 100_000, 1 << 20} {
		whole := make([]byte, size)
		for i := range whole {
			whole[i] = byte(rand.Uint32())
		}
		for _, expected := range []int64{-1, 0, int64(size) - 1, int64(size), int64(size) + 1, 1 << 40} {
			for name, r := range map[string]io.Reader{
				"at once":           bytes.NewReader(whole),
				"end with the data": iotest.DataErrReader(bytes.NewReader(whole)),
				"halves":            iotest.HalfReader(bytes.NewReader(whole)),
			} {
				b := &admission.Budget{Bytes: 1 << 30}
				s := b.Share()
				got, err := s.ReadAll(r, expected)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(whole, got), "%d bytes, expected %d, %s", size, expected, name)
				assert.LessOrEqual(t, s.Held(), int64(max(2*size, 8<<10)), "%d bytes, expected %d", size, expected)
				assert.GreaterOrEqual(t, s.Held(), int64(size))
				s.Release()
				assert.Zero(t, b.Used())
			}
		}
	}
}

// Memory is counted for what has come, however much was announced.
func TestReadAllBelievesNoAnnouncement(t *testing.T) {
	b := &admission.Budget{Bytes: 1 << 20}
	s := b.Share()
	require.NoError(t, s.Hold(5))
	broken := errors.New("broken")
	got, err := s.ReadAll(io.MultiReader(bytes.NewReader(make([]byte, 20_000)), iotest.ErrReader(broken)), 1<<40)
	require.ErrorIs(t, err, broken)
	assert.Len(t, got, 20_000)
	assert.LessOrEqual(t, s.Held(), int64(5+2*20_000))
}

func TestReadAllIsRefusedMidway(t *testing.T) {
	b := &admission.Budget{Bytes: 100_000}
	s := b.Share()
	_, err := s.ReadAll(bytes.NewReader(make([]byte, 1<<20)), -1)
	var refused *admission.Refused
	require.ErrorAs(t, err, &refused)
	assert.LessOrEqual(t, b.Used(), b.Bytes)
	s.Release()
	assert.Zero(t, b.Used())
}
