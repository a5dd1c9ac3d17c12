package main_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite/sqlitetest"
)

// sending is a message that a client sends, and the row that it must become.
type sending struct {
	body string
	row  sqlitetest.Row // but for its seq
}

// newSending makes a message with data that is canonical already.
func newSending(callsign, kind string, created int64, uploaded int, data string) sending {
	row := sqlitetest.Row{Callsign: callsign, Type: kind, ClientCreated: created, Data: data}
	row.ID = row.Identity()
	return sending{row: row, body: fmt.Sprintf(`{"callsign":%q,"type":%q,"time_created":%d,"time_uploaded":%d,"data":%s}`,
		callsign, kind, created, uploaded, data)}
}

// ledger is what clients have sent and been told, to be held against the store.
type ledger struct {
	mu    sync.Mutex
	sent  map[string]sqlitetest.Row // by id
	seqs  map[string]int64          // by id, of what was acknowledged; 0 when the answer said none
	fresh map[string]int            // by id, how many were told that theirs is the first
	count int                       // of acknowledgements
}

func newLedger() *ledger {
	return &ledger{sent: map[string]sqlitetest.Row{}, seqs: map[string]int64{}, fresh: map[string]int{}}
}

// send takes down what is about to be sent: it may be stored from then on.
func (l *ledger) send(all ...sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range all {
		l.sent[s.row.ID] = s.row
	}
}

// receipt is what a client is told of one message.
type receipt struct {
	Seq       int64
	ID        string
	Duplicate bool
}

// acknowledge takes down a receipt and returns how many there were. What it
// says must agree with earlier ones.
func (l *ledger) acknowledge(s sending, r receipt) (count int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.seqs[s.row.ID]; r.ID != s.row.ID || known != 0 && r.Seq != 0 && known != r.Seq {
		return 0, fmt.Errorf("the receipt %+v is for %+v, known as %d", r, s.row, known)
	}
	l.seqs[s.row.ID] = max(l.seqs[s.row.ID], r.Seq)
	if !r.Duplicate {
		l.fresh[s.row.ID]++
	}
	l.count++
	return l.count, nil
}

// check holds the store in a folder against the ledger: what was acknowledged
// is stored, as what it was acknowledged, and what is stored was sent.
func (l *ledger) check(t testing.TB, store string) (rows []sqlitetest.Row) {
	t.Helper()
	rows, err := sqlitetest.Read(store)
	require.NoError(t, err)
	stored := map[string]int64{}
	for _, row := range rows {
		stored[row.ID] = row.Seq
		want := l.sent[row.ID]
		want.Seq = row.Seq
		if want != row { // require.Equal would take its time for each
			require.Equal(t, want, row, "stored and not sent")
		}
	}
	for id, seq := range l.seqs {
		if stored[id] == 0 || seq != 0 && seq != stored[id] {
			require.Equal(t, seq, stored[id], "acknowledged and not stored so: %+v", l.sent[id])
		}
	}
	return rows
}

// storeIn is the default store of a windsock that runs in a folder.
func storeIn(folder string) string { return filepath.Join(folder, "data", "windsock.db") }

// request posts a body and returns the answer. The fields of its header are
// given as names and values in turn.
func request(client *http.Client, path, body string, fields ...string) (status int, answer []byte, err error) {
	r, err := http.NewRequest(http.MethodPost, "http://windsock"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// postOne posts one message for a receipt. Without a 200 there is none.
func postOne(client *http.Client, s sending, fields ...string) (status int, r receipt, err error) {
	status, answer, err := request(client, "/message", s.body, append(fields, "Accept", "application/json")...)
	if err != nil || status != http.StatusOK {
		return status, r, err
	}
	return status, r, json.Unmarshal(answer, &r)
}

// postMany posts a batch, and returns a receipt for each of the first messages
// that was taken.
func postMany(client *http.Client, all []sending, encoding string) (status int, receipts []receipt, err error) {
	var body bytes.Buffer
	for _, s := range all {
		fmt.Fprintln(&body, s.body) // a buffer takes everything
	}
	fields := []string{"Content-Type", "application/x-ndjson"}
	if encoding != "" {
		fields = append(fields, "Content-Encoding", encoding)
		body = *bytes.NewBuffer(compress(encoding, body.Bytes()))
	}
	status, answer, err := request(client, "/messages", body.String(), fields...)
	if err != nil || !bytes.HasPrefix(answer, []byte(`{"stored"`)) {
		return status, nil, err
	}
	var batch struct {
		Results []struct {
			receipt
			Status string
		}
	}
	if err := json.Unmarshal(answer, &batch); err != nil {
		return status, nil, err
	}
	for _, result := range batch.Results {
		result.Duplicate = result.Status == "duplicate"
		receipts = append(receipts, result.receipt)
	}
	return status, receipts, nil
}

// encodings are those that batches come in.
var encodings = []string{"", "gzip", "zstd"}

var zstdEncoder, _ = zstd.NewWriter(nil) // without options nothing can be wrong

func compress(encoding string, body []byte) []byte {
	if encoding == "zstd" {
		return zstdEncoder.EncodeAll(body, nil)
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return compressed.Bytes()
}
