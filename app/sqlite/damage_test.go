package sqlite_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

const pageSize = 4096

// damages are what happens to a page.
var damages = map[string]func(page []byte){
	"zeroed":      func(page []byte) { clear(page) },
	"its type":    func(page []byte) { page[0] ^= 0x55 },
	"its cells":   func(page []byte) { copy(page[8:40], bytes.Repeat([]byte{0xff}, 32)) },
	"its content": func(page []byte) { page[len(page)-9] ^= 1; page[len(page)/2] ^= 0x40 },
	"noise": func(page []byte) {
		noise := rand.NewChaCha8([32]byte{1})
		_, _ = noise.Read(page) // never fails
	},
}

// Whatever page is damaged in whatever way: nothing crashes or hangs, what is
// acknowledged can be read back, an error says what to do, and check finds it.
func TestDamagedPages(t *testing.T) {
	whole, err := os.ReadFile(newStore(t, indexedStore, "DELETE FROM messages WHERE seq BETWEEN 50 AND 150"))
	require.NoError(t, err)
	free := freePages(whole)
	require.NotEmpty(t, free)
	kinds := map[byte]int{} // of pages, by their first byte
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 0; at < len(whole); at += pageSize {
				path := newPath(t)
				content := bytes.Clone(whole)
				page := content[at : at+pageSize]
				if at == 0 {
					page = page[100:] // the file's header has a test of its own
				}
				damage(page)
				require.NoError(t, os.WriteFile(path, content, 0o600))
				found, err := sqlite.Check(t.Context(), path, nil)
				noticed := err != nil || len(found.Faults) > 0
				what := fmt.Sprintf("page %d, which begins with %#x", at/pageSize+1, whole[at])
				if name != "its content" && !free[at/pageSize+1] {
					assert.True(t, noticed, what)
				}
				exercise(t, path, what, noticed)
			}
		})
	}
	for at := 0; at < len(whole); at += pageSize {
		kinds[whole[at]]++
	}
	for _, kind := range []byte{0x02, 0x05, 0x0a, 0x0d, 0x00} {
		assert.NotZero(t, kinds[kind], "pages of kind %#x, or nothing is tested there", kind)
	}
}

// freePages are those that hold nothing: a list begins in the file's header, at
// offset 32, and each page of it names the next one and others.
func freePages(content []byte) map[int]bool {
	free := map[int]bool{}
	number := func(at int) int { return int(binary.BigEndian.Uint32(content[at:])) }
	for trunk := number(32); trunk != 0; {
		at := (trunk - 1) * pageSize
		for i := range number(at + 4) {
			free[number(at+8+4*i)] = true
		}
		trunk = number(at)
	}
	return free
}

// exercise does with a damaged store what serve does.
func exercise(t *testing.T, path, what string, noticed bool) {
	t.Helper()
	log, err := sqlite.Open(path)
	if err != nil {
		// A header that says "not to be written to" is no damage by itself.
		assert.True(t, noticed || strings.Contains(err.Error(), "cannot be written to"), "%s: %v", what, err)
		return
	}
	defer func() { _ = log.Close() }() // it may well fail
	if _, err := readPages(t.Context(), log); err != nil {
		assert.ErrorContains(t, err, "windsock check", what)
		assert.True(t, noticed, "%s: %v", what, err)
	}
	failed := false
	const batches, size = 4, 25
	for first := indexedStore + 1; first <= indexedStore+batches*size; first += size {
		var batch []app.Message
		for i := range size {
			batch = append(batch, decoded(t, first+i))
		}
		receipts, err := log.Append(batch)
		if err != nil {
			require.ErrorIs(t, err, app.ErrStoreFailed, what)
			assert.ErrorContains(t, err, "windsock check", what)
			failed = true
			continue
		}
		require.False(t, failed, "%s: stored after it had failed", what)
		page, err := log.Read(t.Context(), app.Query{After: receipts[0].Seq - 1, Limit: size})
		if err != nil {
			assert.ErrorContains(t, err, "windsock check", what)
			continue // it is there, and hidden by another page's damage
		}
		require.Len(t, page.Entries, size, what)
		for i, e := range page.Entries {
			require.Equal(t, receipts[i].Seq, e.Seq, what)
			require.Equal(t, batch[i].ID, e.ID, what)
		}
	}
}

// A damaged page hides what it holds, not what the others do.
func TestDamagedLeaf(t *testing.T) {
	path := newStore(t, indexedStore)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	at := leafOf(t, content, `{"name":"n300"}`)
	clear(content[at : at+pageSize])
	require.NoError(t, os.WriteFile(path, content, 0o600))

	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	first, last := cannotBeRead(t, found.Faults[0])
	assert.True(t, first > 200 && first <= 300 && 300 <= last && last < 400, found.Faults[0])
	assert.Equal(t, indexedStore-(last-first+1), found.Messages, "the others are looked at")

	log := open(t, path)
	_, err = log.Read(t.Context(), app.Query{After: first - 1, Limit: 10})
	assert.ErrorContains(t, err, "the store is damaged (run windsock check)")
	page, err := log.Read(t.Context(), app.Query{After: last, Limit: indexedStore})
	require.NoError(t, err)
	assert.Len(t, page.Entries, int(indexedStore-last))
	page, err = log.Read(t.Context(), app.Query{Limit: int(first - 1)})
	require.NoError(t, err)
	assert.Len(t, page.Entries, int(first-1))
	storeDecoded(t, log, indexedStore+1, indexedStore+100)
}

// leafOf is where the leaf of the messages is that holds some text.
func leafOf(t *testing.T, content []byte, text string) (at int) {
	t.Helper()
	at = bytes.Index(content, []byte(text)) / pageSize * pageSize
	require.Equal(t, byte(0x0d), content[at], "a leaf of the table")
	return at
}

// cannotBeRead is which messages a fault says cannot be read.
func cannotBeRead(t *testing.T, fault string) (first, last int64) {
	t.Helper()
	_, err := fmt.Sscanf(fault, "messages from %d to %d cannot be read", &first, &last)
	require.NoError(t, err, fault)
	return first, last
}

// However many pages are damaged, the first one and others, check says of each
// what it hides, no message more, and looks at all that is between.
func TestDamagedLeaves(t *testing.T) {
	path := newStore(t, indexedStore)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, text := range []string{`{"name":"n3"}`, `{"name":"n300"}`, `{"name":"n501"}`, `{"name":"n801"}`} {
		at := leafOf(t, content, text)
		clear(content[at : at+pageSize])
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	exported := export(t, path, 0)
	assert.Equal(t, found.Faults[:4], exported.faults)
	hidden := int64(0)
	for i, text := range []int64{3, 300, 501, 801} {
		first, last := cannotBeRead(t, found.Faults[i])
		hidden += last - first + 1
		assert.True(t, first <= text && text <= last, found.Faults[i])
		assert.Contains(t, exported.seqs(), last+1)
		assert.NotContains(t, exported.seqs(), first)
		assert.NotContains(t, exported.seqs(), last)
	}
	assert.Len(t, exported.records, int(found.Messages))
	assert.NotContains(t, found.Faults[4], "messages from")
	assert.Equal(t, indexedStore-hidden, found.Messages)
}

// Messages out of order are named, and all the others are looked at: also where a
// search for what comes after the last one that is in order ends at one that is not.
func TestDamagedOrder(t *testing.T) {
	path := newStore(t, indexedStore)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	one, next := leafOf(t, content, `{"name":"n300"}`), leafOf(t, content, `{"name":"n309"}`)
	last := int(binary.BigEndian.Uint16(content[one+3:])) - 1 // of the cells
	pointers := content[one+8:]                               // to them, of 2 bytes
	copy(pointers[2*(last-1):2*(last+1)], pointers[2*5:])
	cell := content[next+int(binary.BigEndian.Uint16(content[next+8:])):]
	require.Equal(t, []byte{0x82, 0x34}, cell[2:4], "message 308 is the first there")
	cell[3] = 0x01 // now it is 257
	require.NoError(t, os.WriteFile(path, content, 0o600))

	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"message 283: it is out of order", "message 257: it is out of order",
		"message 257: it is out of order"}, found.Faults[:3])
	assert.NotContains(t, found.Faults[3], "order")
	assert.EqualValues(t, indexedStore-3, found.Messages, "306 to 308 are gone")
	assert.EqualValues(t, indexedStore, found.Newest)
}

// Where ids cannot be read through, all else is looked at still.
func TestDamagedIDs(t *testing.T) {
	path := newStore(t, indexedStore, "UPDATE keys SET callsign = 'G8XYY' WHERE seq = 16")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	id, damaged := decoded(t, 300).ID, 0
	for at := 0; at < len(content); at += pageSize {
		if page := content[at : at+pageSize]; page[0] == 0x0a && bytes.Contains(page, id[:]) {
			clear(page)
			damaged++
		}
	}
	require.Equal(t, 1, damaged)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	require.Greater(t, len(found.Faults), 2)
	assert.Contains(t, found.Faults[0], "message 16: an Idempotency-Key")
	assert.Contains(t, found.Faults[1], "it cannot be read through: ")
	assert.Contains(t, found.Faults[2], "structure: ")
	assert.EqualValues(t, indexedStore, found.Messages)
}

// The file's header says what it is.
func TestDamagedHeader(t *testing.T) {
	whole, err := os.ReadFile(newStore(t, 100))
	require.NoError(t, err)
	for at := range 100 {
		path := newPath(t)
		content := bytes.Clone(whole)
		content[at] ^= 0xff
		require.NoError(t, os.WriteFile(path, content, 0o600))
		found, err := sqlite.Check(t.Context(), path, nil)
		exercise(t, path, fmt.Sprint("byte ", at), err != nil || len(found.Faults) > 0)
	}
}

// A write-ahead log counts as far as it is whole. What is damaged of it was
// acknowledged and is gone, which no file can tell; but nothing else goes.
func TestDamagedWAL(t *testing.T) {
	from := killedStore(t, 300, false)
	wal, err := os.ReadFile(from + "-wal")
	require.NoError(t, err)
	for at := 0; at < len(wal); at += 3001 {
		path := newPath(t)
		copyFile(t, from, path)
		content := bytes.Clone(wal)
		content[at] ^= 0x20
		require.NoError(t, os.WriteFile(path+"-wal", content, 0o600))
		found, err := sqlite.Check(t.Context(), path, nil)
		require.NoError(t, err)
		assert.Empty(t, found.Faults, at)
		log := open(t, path)
		all := readAll(t, log)
		assert.Equal(t, found.Messages, int64(len(all)), "check sees what serve sees")
		assert.Zero(t, len(all)%100, "whole batches")
		assert.Equal(t, found.Newest, found.Messages, "from the first on")
		storeDecoded(t, log, 301, 310)
	}
}

// A batch of duplicates must not be acknowledged from an index that lies.
func TestErrDamageIsFatal(t *testing.T) {
	path := newStore(t, 600)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 0; at < len(content); at += pageSize {
		if content[at] == 0x0a { // each leaf of an index
			clear(content[at : at+pageSize])
		}
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
	log, err := sqlite.Open(path)
	if err != nil {
		assert.ErrorContains(t, err, "windsock check")
		return
	}
	_, err = log.Append([]app.Message{decoded(t, 7)})
	assert.True(t, errors.Is(err, app.ErrStoreFailed), err)
	_ = log.Close()
}
