package app

// This file is POST /messages: many messages in one request, each with its own
// result, in few commits.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
)

// maxBatchItems is how many messages there may be in one request.
const maxBatchItems = 10_000

// batchLimits bound the body of a batch.
var batchLimits = bodyLimits{wire: 4 << 20, decoded: 16 << 20, time: 5 * time.Minute}

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
	ID     ID     `json:"id,omitzero"`
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
	if err := takeSlot(batchSlots); err != nil {
		return err
	}
	defer func() { <-batchSlots }()
	body, err := openBody(w, r, batchLimits)
	if err == nil {
		err = b.run(body, formatOf(r.Header.Get("Content-Type")))
	}
	return h.answerBatch(w, r, &b, err)
}

// So many batches are read at a time, which bounds what they take: some MiB
// each. Others wait with their body unread, and are refused after a while.
const (
	maxBatches    = 32
	batchPatience = 10 * time.Second
)

var batchSlots = make(chan struct{}, maxBatches)

// takeSlot takes a place in slots, or says that there was none for too long.
func takeSlot(slots chan<- struct{}) error {
	timer := time.NewTimer(batchPatience)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return nil
	case <-timer.C:
		return retryLater("Too many batches are being read; send it again later.")
	}
}

// batchInsert is one batch on its way into the log.
type batchInsert struct {
	ctx       context.Context
	committer *Committer
	address   string
	items     *splitter
	results   []itemResult // one an item, in order
	settled   int          // how many of the first ones are final
	chunk     []Message    // those that are not, less what is invalid
	bytes     int          // what the chunk takes, about
}

// run takes all items of the body and closes it. With an error it has taken
// those before the fault: each message that was whole by then is stored.
func (b *batchInsert) run(body io.ReadCloser, f format) error {
	defer body.Close() // nothing was written: there is nothing to lose
	b.items = newSplitter(body, f, maxMessageBytes)
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
	var message Message
	if err == nil {
		message, err = Decode(item, b.address, time.Now())
	}
	if err != nil {
		if !b.items.intact(item) {
			return b.stop(&statusError{status: http.StatusBadRequest,
				detail: fmt.Sprintf("Message %d of the batch: %s", result.Index, err)})
		}
		result.Status, result.Error = itemInvalid, err.Error()
		b.results = append(b.results, result)
		return nil
	}
	b.results = append(b.results, result)
	b.chunk = append(b.chunk, message)
	if b.bytes += message.size(); len(b.chunk) < chunkMessages && b.bytes < chunkBytes {
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
func (r *itemResult) settle(receipt Receipt) {
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
	return writeJSON(w, status, "application/json", answer)
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
	var invalid *InvalidError
	return errors.As(err, &invalid)
}
