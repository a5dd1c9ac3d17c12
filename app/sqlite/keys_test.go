package sqlite_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
)

// keyed returns message n with a key. Messages 2, 4 and so on have one
// callsign, 1, 3 and so on another.
func keyed(n int, key string) app.Message {
	m := message(n)
	m.Key = key
	return m
}

func TestKeys(t *testing.T) {
	first := func(n int, seq int64) app.Receipt { return app.Receipt{Seq: seq, ID: message(n).ID} }
	again := func(n int, seq int64) app.Receipt { return app.Receipt{Seq: seq, ID: message(n).ID, Duplicate: true} }
	reused := func(n int) app.Receipt { return app.Receipt{ID: message(n).ID, KeyReused: true} }
	tests := []struct {
		name    string
		batches [][]app.Message
		want    []app.Receipt
		keys    int
	}{
		{"a retry in the same batch", [][]app.Message{{keyed(2, "a"), keyed(2, "a")}},
			[]app.Receipt{first(2, 1), again(2, 1)}, 1},
		{"a retry later", [][]app.Message{{keyed(2, "a")}, {keyed(2, "a")}},
			[]app.Receipt{first(2, 1), again(2, 1)}, 1},
		{"another message in the same batch", [][]app.Message{{keyed(2, "a"), keyed(4, "a"), message(6)}},
			[]app.Receipt{first(2, 1), reused(4), first(6, 2)}, 1},
		{"another message later", [][]app.Message{{keyed(2, "a")}, {keyed(4, "a")}, {message(4)}},
			[]app.Receipt{first(2, 1), reused(4), first(4, 2)}, 1},
		{"another callsign", [][]app.Message{{keyed(2, "a"), keyed(1, "a")}, {keyed(1, "a"), keyed(2, "a")}},
			[]app.Receipt{first(2, 1), first(1, 2), again(1, 2), again(2, 1)}, 2},
		{"a retry that drops its key", [][]app.Message{{keyed(2, "a")}, {message(2)}},
			[]app.Receipt{first(2, 1), again(2, 1)}, 1},
		{"a retry with another key", [][]app.Message{{keyed(2, "a")}, {keyed(2, "b")}, {keyed(4, "b")}},
			[]app.Receipt{first(2, 1), again(2, 1), reused(4)}, 2},
		{"a key that comes later", [][]app.Message{{message(2)}, {keyed(2, "a")}, {keyed(4, "a")}},
			[]app.Receipt{first(2, 1), again(2, 1), reused(4)}, 1},
		{"keys are bytes", [][]app.Message{{keyed(2, "a\xff"), keyed(4, "A\xff"), keyed(6, "a\xff ")}},
			[]app.Receipt{first(2, 1), first(4, 2), first(6, 3)}, 3},
		{"none without one", [][]app.Message{{message(1), message(2)}}, []app.Receipt{first(1, 1), first(2, 2)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			log := open(t, path)
			var got []app.Receipt
			for _, batch := range tt.batches {
				receipts, err := log.Append(batch)
				require.NoError(t, err)
				got = append(got, receipts...)
				require.NoError(t, log.Close())
				log = open(t, path)
			}
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.keys, query[int](t, log, "SELECT count(*) FROM keys"))
			for _, entry := range readAll(t, log) {
				assert.Empty(t, entry.Key, "readers do not get it")
			}
		})
	}
}

// A key goes with its message, and with it only; a batch that fails leaves
// none behind.
func TestKeysArePruned(t *testing.T) {
	log := open(t, newPath(t))
	_, err := log.Append([]app.Message{keyed(2, "a"), keyed(4, "b")})
	require.NoError(t, err)
	_, err = log.Append([]app.Message{keyed(2, "c")})
	require.NoError(t, err)
	shell(t, log, "DELETE FROM messages WHERE seq = 1")
	assert.Equal(t, "b", query[string](t, log, "SELECT CAST(group_concat(key) AS TEXT) FROM keys"))
	receipts, err := log.Append([]app.Message{keyed(6, "a")})
	require.NoError(t, err)
	assert.Equal(t, app.Receipt{Seq: 3, ID: message(6).ID}, receipts[0], "it is free again")

	pages := query[int](t, log, "PRAGMA page_count")
	query[int](t, log, fmt.Sprint("PRAGMA max_page_count = ", pages))
	large := keyed(9, "large")
	large.Data = make([]byte, 1<<20)
	_, err = log.Append([]app.Message{keyed(8, "small"), large})
	require.ErrorIs(t, err, app.ErrDiskFull)
	assert.Equal(t, 2, query[int](t, log, "SELECT count(*) FROM keys"))
}
