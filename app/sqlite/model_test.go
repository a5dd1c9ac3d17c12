package sqlite_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// TestModel does to a store, at random, all that is done to one, and to a model
// of it that is nothing but maps. Each receipt is what the model says, and so is
// what can be read in the end.
func TestModel(t *testing.T) {
	times := map[string]func(*rand.Rand, int) int64{
		"rising": func(_ *rand.Rand, n int) int64 { return 1_301_774_389 + int64(n/3) },
		"any":    func(random *rand.Rand, _ int) int64 { return random.Int64N(1<<61) - 1<<60 },
		"few":    func(random *rand.Rand, _ int) int64 { return random.Int64N(5) - 2 },
		"jumping": func(random *rand.Rand, n int) int64 {
			if random.IntN(50) == 0 {
				return random.Int64N(1<<61) - 1<<60
			}
			return int64(-n)
		},
	}
	seeds := uint64(1)
	if *every {
		seeds = 25
	}
	for name, time := range times {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				t.Parallel()
				m := newModel(t, rand.New(rand.NewPCG(seed, uint64(name[0]))), time)
				for range 150 {
					m.step(t)
				}
				m.check(t)
			})
		}
	}
}

// model is a store and what it ought to be.
type model struct {
	random *rand.Rand
	time   func(random *rand.Rand, n int) int64
	path   string
	log    *sqlite.Store
	sent   []app.Message // all that ever was
	deeds  map[string]int

	known
	oldest  int64 // what is before was pruned
	shell   bool  // something was deleted behind the store's back
	noShell bool  // nothing is to be deleted so
}

// known is what a store knows.
type known struct {
	seqs map[app.ID]int64
	keys map[[2]string]app.ID // by callsign and key
	rows map[int64]app.Message
	next int64
}

func newModel(t *testing.T, random *rand.Rand, time func(*rand.Rand, int) int64) *model {
	m := &model{random: random, time: time, oldest: 1, deeds: map[string]int{}}
	m.known = known{map[app.ID]int64{}, map[[2]string]app.ID{}, map[int64]app.Message{}, 1}
	m.open(t, newPath(t))
	return m
}

// open opens the store with such numbers that there is much to see.
func (m *model) open(t *testing.T, path string) {
	m.path, m.log = path, open(t, path)
	m.log.TrimAt(50)
	m.set(t)
}

func (m *model) set(*testing.T) {
	m.log.SortAt(1 + m.random.IntN(200))
	m.log.ForgetAt(100 + m.random.IntN(400))
}

func (m *model) step(t *testing.T) {
	deeds := []struct {
		name  string
		often int
		do    func(t *testing.T)
	}{
		{"append", 60, func(t *testing.T) { m.append(t, 1+m.random.IntN(8)) }},
		{"append many", 20, func(t *testing.T) { m.append(t, 1+m.random.IntN(150)) }},
		{"fail", 10, m.fail},
		{"set", 12, m.set},
		{"prune", 12, m.prune},
		{"delete", 2, m.delete},
		{"reopen", 6, m.reopen},
		{"crash", 6, m.crash},
		{"restore", 2, m.restore},
	}
	n := 0
	for _, d := range deeds {
		n += d.often
	}
	for n = m.random.IntN(n); n >= deeds[0].often; deeds = deeds[1:] {
		n -= deeds[0].often
	}
	m.deeds[deeds[0].name]++
	deeds[0].do(t)
}

// batch returns new messages and retries, with keys and without.
func (m *model) batch(t *testing.T, size int) (batch []app.Message) {
	for range size {
		retried := len(m.sent) > 0 && m.random.IntN(3) == 0
		if retried && m.random.IntN(2) == 0 { // an old one
			batch = append(batch, m.keyed(m.sent[m.random.IntN(len(m.sent))]))
			continue
		}
		if retried { // a new one, of this batch too
			batch = append(batch, m.keyed(m.sent[max(0, len(m.sent)-1-m.random.IntN(50))]))
			continue
		}
		n := len(m.sent)
		name := bytes.Repeat([]byte{'a' + byte(n%26)}, m.random.IntN(200))
		if m.random.IntN(500) == 0 {
			name = bytes.Repeat(name, 1000)
		}
		created := m.time(m.random, n)
		body := fmt.Appendf(nil, `{"callsign":"C%d","type":"LISTENER_INFO","time_created":%d,"time_uploaded":%d,"data":{"name":"%d %s"}}`,
			n%3, created, created, n, name)
		message, err := habitat.Decode(body, "192.0.2.7", time.UnixMicro(1_301_774_390_123_456+int64(n)).UTC())
		require.NoError(t, err)
		m.sent = append(m.sent, message)
		batch = append(batch, m.keyed(message))
	}
	return batch
}

func (m *model) keyed(message app.Message) app.Message {
	if m.random.IntN(5) == 0 {
		message.Key = fmt.Sprint("key ", m.random.IntN(30))
	}
	return message
}

// store is what Append ought to do.
func (k *known) store(batch []app.Message) (receipts []app.Receipt) {
	for _, message := range batch {
		key := [2]string{message.Callsign, message.Key}
		if id, ok := k.keys[key]; ok && message.Key != "" && id != message.ID {
			receipts = append(receipts, app.Receipt{ID: message.ID, KeyReused: true})
			continue
		}
		seq, duplicate := k.seqs[message.ID]
		if !duplicate {
			seq = k.next
			k.next++
			k.seqs[message.ID] = seq
			k.rows[seq] = message
		}
		if message.Key != "" {
			k.keys[key] = message.ID
		}
		receipts = append(receipts, app.Receipt{Seq: seq, ID: message.ID, Duplicate: duplicate})
	}
	return receipts
}

// gone is what becomes of the others when a message goes.
func (k *known) gone(seq int64) {
	id := k.rows[seq].ID
	delete(k.seqs, id)
	delete(k.rows, seq)
	maps.DeleteFunc(k.keys, func(_ [2]string, of app.ID) bool { return of == id })
}

func (k *known) clone() known {
	return known{maps.Clone(k.seqs), maps.Clone(k.keys), maps.Clone(k.rows), k.next}
}

func (m *model) append(t *testing.T, size int) {
	batch := m.batch(t, size)
	receipts, err := m.log.Append(batch)
	require.NoError(t, err)
	require.Equal(t, m.store(batch), receipts)
}

// fail appends on a disk that is full, or nearly.
func (m *model) fail(t *testing.T) {
	pages := query[int](t, m.log, "PRAGMA page_count")
	query[int](t, m.log, fmt.Sprint("PRAGMA max_page_count = ", pages+m.random.IntN(3)))
	batch := m.batch(t, 1+m.random.IntN(250))
	after := m.clone()
	want := after.store(batch)
	receipts, err := m.log.Append(batch)
	if err == nil {
		require.Equal(t, want, receipts)
		m.known = after
	} else {
		require.ErrorIs(t, err, app.ErrDiskFull)
		m.deeds["failed"]++
	}
	query[int](t, m.log, "PRAGMA max_page_count = 1000000")
}

// prune takes away some of the oldest, or all.
func (m *model) prune(t *testing.T) {
	through := m.oldest + m.random.Int64N(max(1, m.next-m.oldest)/2+1)
	if m.random.IntN(5) == 0 {
		through = m.next - 1
	}
	for done := false; !done; {
		step, err := m.log.Prune(retention.Cut{Messages: through, Now: time.UnixMicro(1 << 60)})
		require.NoError(t, err)
		for ; m.oldest <= step.Through; m.oldest++ {
			m.gone(m.oldest)
		}
		done = step.Done || m.random.IntN(4) == 0
	}
}

// delete does what an operator's shell can, but does not take the newest, whose
// seq the next process would give again.
func (m *model) delete(t *testing.T) {
	if m.noShell || m.next <= m.oldest+1 {
		return
	}
	seq := m.oldest + m.random.Int64N(m.next-1-m.oldest)
	shell(t, m.log, fmt.Sprint("DELETE FROM messages WHERE seq = ", seq))
	m.gone(seq)
	m.shell = true
}

func (m *model) reopen(t *testing.T) {
	require.NoError(t, m.log.Close())
	if !m.shell { // else an ID may have been written behind its message's back
		found, err := sqlite.Check(t.Context(), m.path, nil)
		require.NoError(t, err)
		require.Empty(t, found.Faults)
	}
	m.open(t, m.path)
}

// crash goes on with what a kill would leave.
func (m *model) crash(t *testing.T) {
	path := newPath(t)
	copyFile(t, m.path, path)
	copyFile(t, m.path+"-wal", path+"-wal")
	require.NoError(t, m.log.Close())
	m.open(t, path)
}

// restore goes on with what is restored of a backup or an export, or with a backup
// as it is. What a shell did to the store is damage to a backup of it, and an export
// has no seqs when no message is kept.
func (m *model) restore(t *testing.T) {
	var path string
	switch backup := backUp(t, m.path); {
	case m.random.IntN(2) == 0 && len(m.rows) > 0:
		path = mustRestore(t, written(t, export(t, m.path, 0).lines()))
	case m.random.IntN(2) == 0 && !m.shell:
		path = mustRestore(t, backup)
	default:
		path = backup
	}
	require.NoError(t, m.log.Close())
	m.open(t, path)
}

func (m *model) check(t *testing.T) {
	t.Log(len(m.sent), "messages;", m.deeds)
	for _, deed := range []string{"prune", "reopen", "crash", "failed"} {
		assert.True(t, *every || m.deeds[deed] > 0, deed)
	}
	all := readAll(t, m.log)
	require.Len(t, all, len(m.rows))
	for _, e := range all {
		want := m.rows[e.Seq]
		want.Key = "" // which is not read back
		require.Equal(t, want, e.Message)
	}
	receipts, err := m.log.Append(m.sent) // all of them: every one is found, or is new
	require.NoError(t, err)
	assert.Equal(t, m.store(m.sent), receipts)
	m.reopen(t)
}
