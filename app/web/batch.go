package web

// This file is POST /messages: many messages in one request, each with its own
// result, in few commits.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/scgi"
)

// maxBatchItems is how many messages there may be in one request.
const maxBatchItems = 10_000

// batchLimits bound the body of a batch.
var batchLimits = bodyLimits{wire: 4 << 20, decoded: 16 << 20}

// A batch is committed in chunks: of so many messages, and about so many bytes.
// So one within the limits takes at most 27 commits: 10,000 items make 10, and
// 16 MiB make 16.
const (
	chunkMessages = 1_000
	chunkBytes    = 1 << 20
)

// The statuses of an item in a batch.
const (
	itemStored    = "stored"
	itemDuplicate = "duplicate"
	itemInvalid   = "invalid"
)

// itemResult is what became of one item.
type itemResult struct {
	Index  int    `json:"index"`
	Status string `json:"status"` // empty while it waits for its commit
	Seq    int64  `json:"seq,omitempty"`
	ID     app.ID `json:"id,omitzero"`
	Error  string `json:"error,omitempty"`
}

// batchAnswer is the body of an answer.
type batchAnswer struct {
	Stored    int          `json:"stored"`
	Duplicate int          `json:"duplicate"`
	Invalid   int          `json:"invalid"`
	Results   []itemResult `json:"results"`
	// Error says why the batch was not taken to its end. Index is then that of
	// the first item without a result: neither it nor what comes after it was
	// acknowledged.
	Error string `json:"error,omitempty"`
	Index *int   `json:"index,omitempty"`
}

// insertBatch is POST /messages. Everything that is answered with a seq is
// durable, whatever became of the rest.
func (h *Handler) insertBatch(w http.ResponseWriter, r *http.Request) error {
	b := batchInsert{
		// As for one message: it waits for its commits, not for the client.
		ctx:       context.WithoutCancel(r.Context()),
		committer: h.Committer,
		address:   scgi.Env(r).Get("REMOTE_ADDR"),
		results:   []itemResult{}, // in JSON a list, even when it is empty
	}
	h.noteAddress(b.address, habitat.Address(b.address))
	return h.answerBatch(w, r, &b, h.receiveBatch(w, r, &b))
}

// receiveBatch receives a batch, and stores it once the body is here. It holds
// no memory and no place when it returns: then a client is waited for again.
func (h *Handler) receiveBatch(w http.ResponseWriter, r *http.Request, b *batchInsert) error {
	share := h.Budget.Share()
	defer share.Release()
	body, err := receiveBody(w, r, batchLimits, share)
	if err != nil {
		return err
	}
	if len(body.wire) == 0 && body.err == nil {
		return errEmptyBatch
	}
	leave, err := h.batches().Enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	text, fault := body.decoded(b.ctx, nil)
	switch {
	case isRefused(fault):
		return fault
	case len(text) == 0 && fault == nil: // it was encoded all the same
		return errEmptyBatch
	}
	return b.run(text, fault, formatOf(r.Header.Get("Content-Type")))
}

// errEmptyBatch is the answer to a batch of no bytes. One of no messages has some.
var errEmptyBatch = &statusError{status: http.StatusBadRequest, detail: "The body is empty: it was lost on the way."}

// batchInsert is one batch on its way into the log.
type batchInsert struct {
	ctx       context.Context
	committer *commit.Committer
	address   string
	items     *splitter
	results   []itemResult  // one an item, in order
	settled   int           // how many of the first ones are final
	chunk     []app.Message // those that are not, less what is invalid
	bytes     int           // what the chunk takes, about
}

// run takes all items of a text that ends with fault; nil is a proper end. With an
// error it has taken those before the fault: each message that was whole by then
// is stored.
func (b *batchInsert) run(text []byte, fault error, f format) error {
	b.items = newSplitter(text, fault, f, maxMessageBytes)
	for {
		item, err := b.items.next()
		if err == io.EOF {
			return b.flush()
		}
		if err == nil || isInvalid(err) {
			err = b.take(item, err)
		} else {
			err = b.stop(err)
		}
		if err != nil {
			return err
		}
	}
}

// take takes one item, which is none at all if there is an error already.
func (b *batchInsert) take(item []byte, err error) error {
	if len(b.results) == maxBatchItems {
		return b.stop(&statusError{status: http.StatusRequestEntityTooLarge,
			detail: fmt.Sprintf("A batch has at most %d messages.", maxBatchItems)})
	}
	result := itemResult{Index: len(b.results)}
	var message app.Message
	if err == nil {
		message, err = habitat.Decode(item, b.address, time.Now())
	}
	if err != nil {
		result.Status, result.Error = itemInvalid, err.Error()
		b.results = append(b.results, result)
		return nil
	}
	b.results = append(b.results, result)
	b.chunk = append(b.chunk, message)
	if b.bytes += message.Size(); len(b.chunk) < chunkMessages && b.bytes < chunkBytes {
		return nil
	}
	return b.flush()
}

// stop stores what came before a fault. When that fails too, that is what the
// client has to know.
func (b *batchInsert) stop(fault error) error {
	if err := b.flush(); err != nil {
		return err
	}
	return fault
}

// flush commits the chunk and settles its results. Those that it fails for are
// taken back, with all that came after the first of them.
func (b *batchInsert) flush() error {
	if len(b.chunk) == 0 {
		b.settled = len(b.results)
		return nil
	}
	receipts, err := b.committer.CommitAll(b.ctx, b.chunk)
	b.chunk, b.bytes = b.chunk[:0], 0
	for ; b.settled < len(b.results); b.settled++ {
		result := &b.results[b.settled]
		if result.Status != "" {
			continue
		}
		if len(receipts) == 0 {
			b.results = b.results[:b.settled]
			break
		}
		result.settle(receipts[0])
		receipts = receipts[1:]
	}
	if err != nil {
		return fmt.Errorf("message %d of a batch %w: %w", b.settled, errNotStored, err)
	}
	return nil
}

// settle fills in the result of a message that is stored.
func (r *itemResult) settle(receipt app.Receipt) {
	r.Status, r.Seq, r.ID = itemStored, receipt.Seq, receipt.ID
	if receipt.Duplicate {
		r.Status = itemDuplicate
	}
}

// answerBatch says what became of a batch. A server that can do nothing, and
// did nothing, says so like everywhere.
func (h *Handler) answerBatch(w http.ResponseWriter, r *http.Request, b *batchInsert, err error) error {
	answer := b.answer()
	status := http.StatusOK
	if answer.Stored+answer.Duplicate == 0 && answer.Invalid > 0 {
		status = http.StatusBadRequest
	}
	if err != nil {
		fault := answerTo(err)
		if fault.status >= http.StatusInternalServerError && answer.Stored+answer.Duplicate == 0 {
			return err
		}
		h.logFailure(r, fault, err)
		fault.copyHeader(w)
		index := len(b.results)
		status, answer.Error, answer.Index = fault.status, fault.detail, &index
	}
	line, err := jsonLine(answer)
	if err != nil {
		return err
	}
	return h.send(w, status, "application/json", line)
}

// answer counts the results.
func (b *batchInsert) answer() batchAnswer {
	answer := batchAnswer{Results: b.results}
	for i := range b.results {
		switch b.results[i].Status {
		case itemStored:
			answer.Stored++
		case itemDuplicate:
			answer.Duplicate++
		case itemInvalid:
			answer.Invalid++
		}
	}
	return answer
}

func isInvalid(err error) bool {
	var invalid *app.InvalidError
	return errors.As(err, &invalid)
}
