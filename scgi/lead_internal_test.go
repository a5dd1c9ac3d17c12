package scgi

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// fakeQueue says what its field says.
type fakeQueue struct{ empty bool }

func (q *fakeQueue) waited() bool { return q.empty }

// While connections are queued, the leader serves some, and leaves the others to
// other goroutines until the queue was empty.
func TestLeaderWantsSomeInRow(t *testing.T) {
	queue := &fakeQueue{empty: true}
	l := &lead{queue: queue}
	assert.True(t, l.wants())
	queue.empty = false
	for range maxInRow - 1 {
		assert.True(t, l.wants())
	}
	for range 10 * maxInRow {
		assert.False(t, l.wants())
	}
	queue.empty = true
	for range 10 * maxInRow {
		assert.True(t, l.wants())
	}
}

// refused is how many connections a leader leaves to others before the next that
// it serves itself.
func (l *lead) refused() (n int) {
	for !l.wants() {
		n++
	}
	return n
}

// A leader that was slow is shy, up to a bound; few that were slow among many do
// not make it so.
func TestLeaderBecomesShy(t *testing.T) {
	l := &lead{queue: &fakeQueue{empty: true}}
	assert.Zero(t, l.refused())
	last := 0
	for range 20 {
		l.shrink(2)
		n := l.refused()
		assert.True(t, n > last || n == maxShy, "%d after %d", n, last)
		last = n
	}
	assert.Equal(t, maxShy, last)
	for range 128 * 20 {
		l.cheer()
	}
	l.shrink(2)
	assert.Less(t, l.refused(), 10, "it was quick for long")

	most := 0
	for i := range 100_000 {
		if i%200 == 0 {
			l.shrink(2)
			most = max(most, l.refused())
		}
		l.cheer()
	}
	assert.Less(t, most, 10)
}
