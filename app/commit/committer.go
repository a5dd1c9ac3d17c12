// Package commit makes messages durable: many writers share one durable commit.
//
// The Committer has no delay. While one batch is being synced the next one forms,
// so batches grow with the load. Each batch has one channel, which wakes all of its
// writers. They run before the next batch is taken.
//
// A group of messages that belong together, such as a chunk of a batch upload, is
// stored as a whole or not at all. It takes an eighth of the queue at most, so that
// many uploads share the queue. Groups wait for each other and leave half of the
// queue to single messages.
//
// Other work on the store, such as pruning, takes turns with the batches
// ([Committer.Do]). So a batch waits for one step of it at most. That holds by
// construction, and does not depend on the fairness of a lock.
package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
)

// What a Committer's zero limits mean.
const (
	defaultMaxMessages = 10_000
	defaultMaxBytes    = 64 << 20
	defaultMaxBatch    = 1_000
)

// Errors that a Committer returns for messages that it does not take.
var (
	// ErrQueueFull is returned by Committer.Commit and CommitAll when more is waiting to be
	// stored than its limits allow.
	ErrQueueFull = errors.New("commit: too many messages are waiting to be stored")
	// ErrClosed is returned by Committer.Commit and CommitAll after Close.
	ErrClosed = errors.New("commit: no longer taking messages")
)

// Committer lets many writers share one durable commit. It takes whatever is
// queued, with no fixed delay: while one batch is being stored the next one
// forms. So a lone message waits for nothing but its own sync, and under load
// the cost of a sync is spread over all that arrived during the one before.
//
// Set Log and the limits before the first Commit; the zero limits are usable.
// A Committer is safe for concurrent use and must not be copied. It calls
// Log.Append from one goroutine at a time, which lives only while there is
// something to store.
type Committer struct {
	Log app.Store

	// MaxMessages is how many messages may be waiting for their answer, those
	// being stored included. Zero means 10,000.
	MaxMessages int
	// MaxBytes is how much memory they may take, about. Zero means 64 MiB. A
	// message that is larger by itself is never taken.
	MaxBytes int
	// MaxBatch is how many messages one Append gets at most. Zero means 1,000.
	MaxBatch int

	// Committed, if set, is told the highest seq of every batch that was stored,
	// before its writers are answered. They wait for it, so it must only take
	// note and return; it is called by one goroutine at a time, and not after
	// Close has returned nil.
	Committed func(seq int64)

	// Stored, if set, is told about how many bytes every batch that was stored has.
	// All else is as for Committed.
	Stored func(bytes int)

	// Logger is told once when the log has failed. The zero Logger is silent.
	Logger zerolog.Logger

	madePlaces sync.Once
	places     chan struct{} // holds one for each group in the queue

	mu      sync.Mutex // guards what follows; never held while the log works
	queue   []*batch   // oldest first; the last one takes new messages
	works   []*batch   // what Do brought, oldest first
	worked  bool       // the last one taken was of works
	waiting int        // messages admitted and not answered yet
	bytes   int        // what those take
	idle    chan struct{}
	closed  bool
	failed  error // matches app.ErrStoreFailed once the log has failed
	commits int64
	stored  int64
	refused int64
}

// batch is what one Append gets, and how its answers reach who waits for them:
// receipts and err are set once, before done is closed. One channel a batch
// wakes everybody, where one a message would cost as much as the log does.
type batch struct {
	messages []app.Message
	bytes    int
	work     func() error // what Do brought, in place of messages
	done     chan struct{}
	receipts []app.Receipt
	err      error
}

// Stats are a Committer's counters.
type Stats struct {
	Queued   int   // messages waiting for their answer now, those being stored included
	Commits  int64 // batches stored
	Messages int64 // messages stored in them, duplicates included
	Refused  int64 // messages not taken: the queue was full, or the Committer closed or failed
	Err      error // why nothing is taken any more, matching app.ErrStoreFailed; nil while all is well
}

// Commit stores a message and returns once it is durable, or certain not to be
// acknowledged. Any number of goroutines may call it.
//
// When ctx ends first, its error is returned, but the message is stored all
// the same: a retry finds it by its ID. The other errors are ErrQueueFull,
// ErrClosed and what Log.Append returned, for every message of its
// batch; once that matches app.ErrStoreFailed, every later Commit fails with it.
func (c *Committer) Commit(ctx context.Context, m app.Message) (app.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return app.Receipt{}, err
	}
	b, i, err := c.admit([]app.Message{m})
	if err != nil {
		return app.Receipt{}, err
	}
	receipts, err := b.wait(ctx, i, 1)
	if err != nil {
		return app.Receipt{}, err
	}
	return receipts[0], nil
}

// CommitAll stores messages in their order, as Commit does each, but together:
// in groups that are as large as MaxBatch and the queue allow, each stored as a
// whole or not at all, one after the other. So a caller has one group in the
// queue at a time, however much it brings; and groups wait for each other, so
// that all of them take half of the queue at most and leave the rest to Commit.
//
// The receipts are those of the first messages, as many as are certain to be
// durable. Without an error that is all; an error is about the next one.
func (c *Committer) CommitAll(ctx context.Context, messages []app.Message) ([]app.Receipt, error) {
	all := make([]app.Receipt, 0, len(messages))
	for len(messages) > 0 {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		n := c.group(messages)
		receipts, err := c.commitGroup(ctx, messages[:n])
		if err != nil {
			return all, err
		}
		all = append(all, receipts...)
		messages = messages[n:]
	}
	return all, nil
}

// commitGroup commits a group when there is a place for it.
func (c *Committer) commitGroup(ctx context.Context, group []app.Message) ([]app.Receipt, error) {
	c.madePlaces.Do(func() { c.places = make(chan struct{}, groupShare/2) })
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.places }()
	b, i, err := c.admit(group)
	if err != nil {
		return nil, err
	}
	return b.wait(ctx, i, len(group))
}

// groupShare is the part of the queue that a group takes at most: one that
// needed all of it would find it empty only when nobody else posts.
const groupShare = 8

// group returns how many of the first messages are admitted together.
func (c *Committer) group(messages []app.Message) int {
	most := min(cmp.Or(c.MaxBatch, defaultMaxBatch), cmp.Or(c.MaxMessages, defaultMaxMessages)/groupShare)
	room := cmp.Or(c.MaxBytes, defaultMaxBytes) / groupShare
	n, bytes := 1, messages[0].Size()
	for n < min(len(messages), most) {
		if bytes += messages[n].Size(); bytes > room {
			break
		}
		n++
	}
	return n
}

// Close stops admitting, stores and answers everything that was admitted, and
// returns once that is done. When ctx ends first it returns ctx's error, and
// the work goes on behind it. Close does not close the Log.
func (c *Committer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("commit: storing what is queued: %w", ctx.Err())
	}
}

// Stats returns the counters as they are now.
func (c *Committer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Queued:   c.waiting,
		Commits:  c.commits,
		Messages: c.stored,
		Refused:  c.refused,
		Err:      c.failed,
	}
}

// admit queues messages, all or none of them, and returns the batch they are in
// and the place of the first one there.
func (c *Committer) admit(messages []app.Message) (b *batch, i int, err error) {
	bytes := 0
	for n := range messages {
		bytes += messages[n].Size()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(len(messages), bytes); err != nil {
		c.refused += int64(len(messages))
		return nil, 0, err
	}
	c.waiting += len(messages)
	c.bytes += bytes
	b = c.forming(len(messages))
	i = len(b.messages)
	b.messages = append(b.messages, messages...)
	b.bytes += bytes
	c.start()
	return b, i, nil
}

// refusal says why n messages that take so many bytes cannot be admitted. c.mu
// is held.
func (c *Committer) refusal(n, bytes int) error {
	switch {
	case c.closed:
		return ErrClosed
	case c.failed != nil:
		return c.failed
	case c.waiting+n > cmp.Or(c.MaxMessages, defaultMaxMessages),
		c.bytes+bytes > cmp.Or(c.MaxBytes, defaultMaxBytes):
		return ErrQueueFull
	}
	return nil
}

// forming returns the batch that takes the next n messages. c.mu is held.
func (c *Committer) forming(n int) *batch {
	if last := len(c.queue) - 1; last >= 0 {
		if b := c.queue[last]; len(b.messages)+n <= cmp.Or(c.MaxBatch, defaultMaxBatch) {
			return b
		}
	}
	b := &batch{done: make(chan struct{})}
	c.queue = append(c.queue, b)
	return b
}

// start makes sure that somebody works on the queue. c.mu is held.
func (c *Committer) start() {
	if c.idle == nil {
		c.idle = make(chan struct{})
		go c.run()
	}
}

// run stores one batch after the other until none is left. Between two of them
// whoever is ready to run does: those who were answered go on, and what they
// and others have by then is in the next batch. Else writers who post one
// message after the other make two groups that take turns, and twice the
// commits.
func (c *Committer) run() {
	for b := c.take(); b != nil; b = c.take() {
		receipts, err := c.store(b)
		c.answer(b, receipts, err)
		runtime.Gosched()
	}
}

// store hands a batch to the log. A log that panics or does not return one
// receipt a message has broken its contract, and what it holds is unknown:
// that is a failed log, not one bad batch.
func (c *Committer) store(b *batch) (receipts []app.Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			receipts, err = nil, fmt.Errorf("%w: it panicked: %v", app.ErrStoreFailed, v)
			c.Logger.Error().Bytes("stack", debug.Stack()).Err(err).Msg("log panicked")
		}
	}()
	if b.work != nil {
		return nil, b.work()
	}
	receipts, err = c.Log.Append(b.messages)
	if err == nil && len(receipts) != len(b.messages) {
		err = fmt.Errorf("%w: Append returned %d receipts for %d messages",
			app.ErrStoreFailed, len(receipts), len(b.messages))
	}
	return receipts, err
}

// answer tells everybody who waits for b, and, when the log has failed, those
// queued behind it too.
func (c *Committer) answer(b *batch, receipts []app.Receipt, err error) {
	failed := errors.Is(err, app.ErrStoreFailed)
	stored := err == nil && b.work == nil
	answered := []*batch{b}
	c.mu.Lock()
	if stored {
		c.commits++
		c.stored += int64(len(b.messages))
	}
	if failed {
		c.failed = err
		answered = append(append(answered, c.queue...), c.works...)
		c.queue, c.works = nil, nil
	}
	for _, a := range answered {
		c.waiting -= len(a.messages)
		c.bytes -= a.bytes
	}
	c.mu.Unlock()

	if stored && c.Committed != nil {
		c.Committed(highest(receipts))
	}
	if stored && c.Stored != nil {
		c.Stored(b.bytes)
	}
	if failed {
		c.Logger.Error().Err(err).Msg("log failed, no more messages are taken")
	}
	for _, a := range answered {
		a.finish(receipts, err)
	}
}

// highest returns the highest seq of a batch: a duplicate's is an older one.
func highest(receipts []app.Receipt) (seq int64) {
	for i := range receipts {
		seq = max(seq, receipts[i].Seq)
	}
	return seq
}

// finish hands the answers over, once.
func (b *batch) finish(receipts []app.Receipt, err error) {
	b.receipts, b.err = receipts, err
	b.messages = nil // the answers may be held longer than what they are for
	close(b.done)
}

// wait returns the answers for n messages of the batch, from message i on.
func (b *batch) wait(ctx context.Context, i, n int) ([]app.Receipt, error) {
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.receipts[i : i+n], nil
}
