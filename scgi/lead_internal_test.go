package scgi

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// fakeQueue says what its field says.
type fakeQueue struct{ empty bool }

func (q *fakeQueue) waited() bool { return q.empty }

// A connection that others follow is left to another goroutine.
func TestLeaderWantsWhatComesAlone(t *testing.T) {
	queue := &fakeQueue{}
	l := &lead{queue: queue}
	assert.False(t, l.wants())
	queue.empty = true
	assert.True(t, l.wants())
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
