package sqlite_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

var restored = flag.Int("restored", 1500, "how many messages the log of TestRestoredAlike was given")

// exported is what Export gives.
type exported struct {
	records []app.Record
	faults  []string
	pruned  [][2]int64
}

func (e *exported) Record(r *app.Record) error { e.records = append(e.records, *r); return nil }
func (e *exported) Fault(text string)          { e.faults = append(e.faults, text) }
func (e *exported) Pruned(from, to int64)      { e.pruned = append(e.pruned, [2]int64{from, to}) }

func (e *exported) seqs() (seqs []int64) {
	for i := range e.records {
		seqs = append(seqs, e.records[i].Seq)
	}
	return seqs
}

// lines returns the records as windsock export writes them.
func (e *exported) lines() string {
	var text []byte
	for i := range e.records {
		text = append(e.records[i].AppendJSON(text), '\n')
	}
	return string(text)
}

func export(t *testing.T, path string, after int64) *exported {
	t.Helper()
	r, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer r.Close()
	var e exported
	_, err = r.Export(t.Context(), after, &e)
	require.NoError(t, err)
	return &e
}

// leftOut notes which messages Restore left out.
type leftOut []string

func (l *leftOut) Progress(string, int64, int64) {}
func (l *leftOut) LeftOut(text string)           { *l = append(*l, text) }

func restore(from, path string) (sqlite.Findings, leftOut, error) {
	var l leftOut
	found, err := sqlite.Restore(context.Background(), from, path, &l)
	return found, l, err
}

func mustRestore(t *testing.T, from string) (path string) {
	t.Helper()
	path = newPath(t)
	found, left, err := restore(from, path)
	require.NoError(t, err)
	assert.Empty(t, found.Faults)
	assert.Empty(t, left)
	return path
}

func written(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func backUp(t *testing.T, path string) (to string) {
	t.Helper()
	to = newPath(t)
	_, err := sqlite.Backup(t.Context(), path, to, false, nil)
	require.NoError(t, err)
	return to
}

// TestRestoredAlike holds that a log of random life, what is restored of its backup
// and what is restored of its export answer every read and every retry alike.
func TestRestoredAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(uint64(*restored), 1))
	m := newModel(t, random, func(random *rand.Rand, _ int) int64 { return random.Int64N(1<<61) - 1<<60 })
	m.noShell = true // it leaves IDs behind, which is damage to a backup
	for len(m.sent) < *restored/2 {
		m.step(t)
	}
	for len(m.sent) < *restored {
		m.append(t, 1+random.IntN(300))
	}
	restoredLogs := map[string]*sqlite.Store{
		"the export's": open(t, mustRestore(t, written(t, export(t, m.path, 0).lines()))),
		"the backup's": open(t, mustRestore(t, backUp(t, m.path))),
	}

	var batch []app.Message // retries of all that ever was, with keys and without, and others
	for _, message := range m.sent {
		batch = append(batch, m.keyed(message))
	}
	batch = append(batch, m.batch(t, 500)...)
	names := map[string]bool{m.log.Name(): true}
	for name, log := range restoredLogs {
		names[log.Name()] = true
		assertAlike(t, m.log, log, name)
	}
	assert.Len(t, names, 3, "each has a name of its own")
	want, err := m.log.Append(batch)
	require.NoError(t, err)
	require.Equal(t, m.store(batch), want)
	for name, log := range restoredLogs {
		receipts, err := log.Append(batch)
		require.NoError(t, err)
		require.Equal(t, want, receipts, name)
	}
	for name, log := range restoredLogs {
		assertAlike(t, m.log, log, name)
	}
	t.Log(len(m.sent), "messages,", len(m.rows), "are kept,", len(m.keys), "keys;", m.deeds)
}

// assertAlike holds that two logs answer alike, but for their names.
func assertAlike(t *testing.T, want, got *sqlite.Store, name string) {
	t.Helper()
	for _, q := range []app.Query{
		{Limit: 1000}, {Limit: 7, Last: true}, {Limit: 1000, Last: true}, {Limit: 3, MaxBytes: 300},
		{Limit: 100, Type: app.ListenerInfo}, {Limit: 100, Callsign: "C1"}, {Limit: 50, Callsign: "C2", Last: true},
		{Limit: 100, Type: app.Telem},
	} {
		for n := 0; q.Limit >= 100 || n < 50; n++ { // of small pages some are enough
			one, err := want.Read(t.Context(), q)
			require.NoError(t, err)
			other, err := got.Read(t.Context(), q)
			require.NoError(t, err)
			one.Log, other.Log = "", ""
			require.Equal(t, one, other, "%s, %+v", name, q)
			if q.Last || one.Next == q.After {
				break
			}
			q.After = one.Next
		}
	}
}

// All that a message is comes back, whatever bytes are in its keys.
func TestExportIsAll(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	batch := []app.Message{decoded(t, 1), decoded(t, 2), decoded(t, 2), decoded(t, 3)}
	batch[0].Key, batch[1].Key, batch[2].Key = "a", "\xff\"\\\x01 \u00e9", strings.Repeat("\x80", 255)
	_, err := log.Append(batch)
	require.NoError(t, err)
	shell(t, log, "UPDATE messages SET address = NULL WHERE seq = 3")
	e := export(t, path, 0)
	require.Len(t, e.records, 3)
	assert.Empty(t, e.faults)
	assert.Equal(t, []string{"a"}, e.records[0].Keys)
	assert.ElementsMatch(t, []string{batch[1].Key, batch[2].Key}, e.records[1].Keys)
	assert.Empty(t, e.records[2].Keys)
	for i, line := range strings.Split(strings.TrimSpace(e.lines()), "\n") {
		back, err := app.ParseRecord([]byte(line))
		require.NoError(t, err)
		assert.Equal(t, e.records[i], back)
	}
	again := mustRestore(t, written(t, "\ufeff"+strings.ReplaceAll(e.lines(), "\n", "\r\n\n")))
	assert.Equal(t, e.lines(), export(t, again, 0).lines())
	assert.Equal(t, [][2]int64{{2, 2}}, export(t, mustRestore(t, written(t, strings.SplitAfter(e.lines(), "\n")[2])), 1).pruned)
}

// An export after a seq is told once what is pruned, also when nothing is left to
// read. It fails when the log, such as a restored one, never gave out that seq.
func TestExportAfter(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	storeDecoded(t, log, 1, 300)
	for done := false; !done; {
		step, err := log.Prune(retention.Cut{Messages: 300, Now: day(1)})
		require.NoError(t, err)
		done = step.Done
	}
	r, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer r.Close()
	var e exported
	next := int64(5)
	for range 3 { // as with --follow
		next, err = r.Export(t.Context(), next, &e)
		require.NoError(t, err)
		assert.EqualValues(t, 300, next)
	}
	assert.Equal(t, [][2]int64{{6, 300}}, e.pruned)
	storeDecoded(t, log, 301, 302)
	next, err = r.Export(t.Context(), next, &e)
	require.NoError(t, err)
	assert.EqualValues(t, 302, next)
	assert.Equal(t, []int64{301, 302}, e.seqs())
	assert.Len(t, e.pruned, 1)

	for _, after := range []int64{303, math.MaxInt64} {
		_, err = r.Export(t.Context(), after, &e)
		assert.ErrorIs(t, err, app.ErrOtherLog)
		assert.ErrorContains(t, err, "its highest seq is 302")
		assert.Len(t, e.records, 2)
	}
}

// A message that has the highest seq there is, as damage may give it, is the last.
func TestHighestSeq(t *testing.T) {
	path := newStore(t, 3, "UPDATE messages SET seq = 9223372036854775807 WHERE seq = 3")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looks := 0
	found, err := sqlite.Check(ctx, path, func(string, int64, int64) {
		if looks++; looks > 100 {
			cancel() // it goes round in circles
		}
	})
	require.NoError(t, err)
	assert.EqualValues(t, 3, found.Messages)
	assert.Equal(t, []int64{1, 2, math.MaxInt64}, export(t, path, 0).seqs())
}

// A log that lost its beginning goes on where it was.
func TestRestorePruned(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	storeDecoded(t, log, 1, 300)
	for done := false; !done; {
		step, err := log.Prune(retention.Cut{Messages: 250, Now: day(1)})
		require.NoError(t, err)
		done = step.Done
	}
	for _, from := range []string{backUp(t, path), written(t, export(t, path, 0).lines())} {
		assertAlike(t, log, open(t, mustRestore(t, from)), from)
	}
	for done := false; !done; {
		step, err := log.Prune(retention.Cut{Messages: 300, Now: day(1)})
		require.NoError(t, err)
		done = step.Done
	}
	again := open(t, mustRestore(t, backUp(t, path)))
	assertAlike(t, log, again, "nothing is left")
	receipts, err := again.Append([]app.Message{decoded(t, 1)})
	require.NoError(t, err)
	assert.EqualValues(t, 301, receipts[0].Seq)
}

// An older store is brought up to date.
func TestRestoreOlder(t *testing.T) {
	path := newPath(t)
	makeVersion1Of(t, path, []app.Message{decoded(t, 1), decoded(t, 2), decoded(t, 3)})
	e := export(t, mustRestore(t, path), 0)
	assert.Equal(t, []int64{1, 2, 3}, e.seqs())
	assert.Equal(t, []string{"a"}, e.records[1].Keys)
	_, err := sqlite.OpenReadOnly(path)
	assert.ErrorContains(t, err, "made by an older windsock", "it is left as it was")
}

// A file that is not good leaves the store as it was, not there or empty.
func TestRestoreRefusesFile(t *testing.T) {
	from := newStore(t, indexedStore)
	good := export(t, from, 0).lines()
	lines := strings.SplitAfter(good, "\n")
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	damaged := bytes.Clone(content)
	clear(damaged[leafOf(t, content, `{"name":"n3"}`):][:pageSize])
	swapped := []string{lines[1], lines[0]}
	beside := written(t, string(content))
	require.NoError(t, os.WriteFile(beside+"-wal", []byte("x"), 0o600))
	changed := func(old, new string) string { return lines[0] + strings.Replace(lines[3], old, new, 1) + lines[5] }
	for name, row := range map[string]struct{ from, want string }{
		"not there":         {filepath.Join(t.TempDir(), "x"), "no such file"},
		"a folder":          {t.TempDir(), "is a directory"},
		"empty":             {written(t, ""), "neither as a backup does nor as an export"},
		"a letter":          {written(t, "Dear Alice"), "neither as a backup does nor as an export"},
		"other database":    {written(t, string(content[:68])+"xxxx"+string(content[72:])), "not a windsock store"},
		"cut off":           {written(t, string(content[:len(content)/2])), "damaged"},
		"half a header":     {written(t, string(content[:50])), "not a windsock store"},
		"damaged":           {written(t, string(damaged)), "faults found: "},
		"in use":            {beside, "restore a backup of it"},
		"a line cut off":    {written(t, good[:len(good)-20]), fmt.Sprintf("line %d: the line is not JSON", len(lines)-1)},
		"a broken line":     {written(t, changed(`"seq"`, `"seq`)), "line 2: the line is not JSON"},
		"no such member":    {written(t, changed(`{"seq"`, `{"sec":1,"seq"`)), `line 2: json: unknown field "sec"`},
		"a member less":     {written(t, changed(`"received"`, `"damaged_"`)), "line 2: "},
		"of GET /messages":  {written(t, `{"seq":1,"id":"","callsign":"A","type":"T","time_created":1,"time_uploaded":1,"data":{}}`), "line 1: client_created is missing"},
		"a message to post": {written(t, `{"callsign":"A"}`), "line 1: seq is missing"},
		"another id":        {written(t, changed(`"id":"`, `"id":"0`)), "line 2: the id "},
		"data was changed":  {written(t, changed(`"data":{`, `"data":{"antenna":"x",`)), "line 2: message 4: "},
		"seq is not higher": {written(t, strings.Join(swapped, "")), "line 2: message 1: its seq is lower than 3"},
		"the highest seq":   {written(t, lines[0]+strings.Replace(lines[3], `"seq":4,`, `"seq":9223372036854775807,`, 1)), "line 2: message 9223372036854775807: its seq is the highest"},
		"same id":           {written(t, lines[0]+strings.Replace(lines[0], `"seq":1,`, `"seq":2,`, 1)), "line 2: message 2: message 1 has the same id"},
		"seq 0":             {written(t, strings.Replace(lines[0], `"seq":1,`, `"seq":0,`, 1)), "line 1: message 0: its seq is lower than 1"},
		"key twice":         {written(t, lines[3]+strings.Replace(lines[6], `}`+"\n", `,"keys":["key 4"]}`+"\n", 1)), `its key "key 4" stands for message 4 already`},
		"a key of no bytes": {written(t, changed(`["key 4"]`, `["€"]`)), "stands for no byte"},
		"a long key":        {written(t, changed(`["key 4"]`, `["`+strings.Repeat("x", 256)+`"]`)), "a key has 256 bytes"},
		"a long line":       {written(t, lines[0]+strings.Repeat(" ", 17<<20)), "line 2: longer than the limit of 16777216 bytes"},
		"nothing is whole":  {written(t, strings.Replace(lines[0], `}`+"\n", `,"damaged":"so"}`+"\n", 1)), "there is no message in it"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{newPath(t), newStore(t, 0)} {
				before := folder(t, path)
				_, _, err := restore(row.from, path)
				assert.ErrorContains(t, err, row.want)
				after := folder(t, path)
				delete(after, filepath.Base(path)+".lock")
				delete(before, filepath.Base(path)+".lock")
				assert.Equal(t, before, after)
			}
		})
	}
}

// Where a store holds messages or is in use, it is left alone.
func TestRestoreRefusesStore(t *testing.T) {
	from := newStore(t, 10)
	t.Run("holds a message", func(t *testing.T) {
		for _, path := range []string{newStore(t, 1), killedStore(t, 1, true)} {
			before := folder(t, path)
			_, _, err := restore(from, path)
			assert.ErrorContains(t, err, "it holds messages")
			after := folder(t, path)
			delete(after, filepath.Base(path)+".lock")
			delete(before, filepath.Base(path)+".lock")
			assert.Equal(t, before, after)
		}
	})
	t.Run("is written to", func(t *testing.T) {
		path := newPath(t)
		open(t, path)
		_, _, err := restore(from, path)
		assert.ErrorContains(t, err, "another process is writing to it")
	})
	t.Run("is read", func(t *testing.T) {
		path := newStore(t, 0)
		r, err := sqlite.OpenReadOnly(path)
		require.NoError(t, err)
		_, err = r.Read(t.Context(), app.Query{Limit: 1})
		require.NoError(t, err)
		_, _, err = restore(from, path)
		assert.ErrorContains(t, err, "another process is reading it")
		require.NoError(t, r.Close())
		_, _, err = restore(from, path)
		require.NoError(t, err)
		assert.Len(t, readAll(t, open(t, path)), 10)
	})
	t.Run("has two names", func(t *testing.T) {
		path := newStore(t, 0)
		require.NoError(t, os.Link(path, path+".other"))
		_, _, err := restore(from, path)
		assert.ErrorContains(t, err, "has 2 names (hard links)")
	})
	t.Run("is not there, but its log", func(t *testing.T) {
		path := newPath(t)
		require.NoError(t, os.WriteFile(path+"-wal", []byte("x"), 0o600))
		_, _, err := restore(from, path)
		assert.ErrorContains(t, err, path+"-wal is left of one")
	})
	t.Run("is what a kill left of a restoration", func(t *testing.T) {
		path := newPath(t)
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			require.NoError(t, os.WriteFile(path+".unfinished"+suffix, []byte("half of it"), 0o600))
		}
		_, _, err := restore(path+".unfinished", path)
		assert.ErrorContains(t, err, "give it another name first")
		_, _, err = restore(from, path)
		require.NoError(t, err)
		assert.NoFileExists(t, path+".unfinished")
	})
}

// A store that a kill left without a message, in its write-ahead log alone, is
// empty: the log does not end up beside the file that takes its place.
func TestRestoreOverEmpty(t *testing.T) {
	from := newStore(t, 10)
	path := killedStore(t, 1, true)
	shell(t, open(t, path), "DELETE FROM messages")
	killed := newPath(t)
	copyFile(t, path, killed)
	copyFile(t, path+"-wal", killed+"-wal")
	_, _, err := restore(from, killed)
	require.NoError(t, err)
	assert.NoFileExists(t, killed+"-wal")
	assert.Len(t, readAll(t, open(t, killed)), 10)
}

// Restore leaves out rows that the export marks as damaged, and reports each.
func TestRestoreDamaged(t *testing.T) {
	path := newStore(t, 10, `UPDATE messages SET callsign = 'A","seq":99,"x":"' WHERE seq = 2`,
		"UPDATE messages SET callsign = 'A' || char(10) || 'B' WHERE seq = 3",
		`UPDATE messages SET type = 'T"\' WHERE seq = 4`,
		"UPDATE messages SET data = '{\"name\":' || char(10) || '\"x\"' WHERE seq = 5",
		"UPDATE messages SET data = CAST(x'ff00' AS TEXT), address = NULL WHERE seq = 6",
		"UPDATE messages SET data = '{' || char(10) || '}' WHERE seq = 7",
		"UPDATE messages SET address = 'nowhere' WHERE seq = 8")
	e := export(t, path, 0)
	assert.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 9, 10}, e.seqs(), "8 cannot be read")
	require.Len(t, e.faults, 7)
	for i, fault := range e.faults {
		assert.Contains(t, strings.Join(e.faults, "\n"), fmt.Sprintf("message %d: ", i+2), fault)
	}
	found, left, err := restore(written(t, e.lines()), newPath(t))
	require.NoError(t, err)
	assert.EqualValues(t, 3, found.Messages)
	require.Len(t, left, 6)
	for i, text := range left {
		assert.Contains(t, text, fmt.Sprintf("message %d is left out", i+2))
	}
}

// A context that ends leaves nothing behind.
func TestRestoreInterrupted(t *testing.T) {
	from := newStore(t, indexedStore)
	for _, from := range []string{from, written(t, export(t, from, 0).lines())} {
		path := newPath(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sqlite.Restore(ctx, from, path, &leftOut{})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []string{filepath.Base(path) + ".lock"}, names(folder(t, path)))
	}
}

// A context that ends does so also while a pipe is waited for.
func TestRestoreFromAPipeInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	silent, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	timer := time.AfterFunc(10*time.Second, func() { silent.Close() }) // then it ends at the latest
	defer timer.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sqlite.Restore(ctx, pipe, newPath(t), &leftOut{})
	assert.ErrorIs(t, err, context.Canceled)
	assert.True(t, timer.Stop(), "it did not wait for the pipe")
	require.NoError(t, silent.Close())
}

func names(files map[string]string) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	return names
}
