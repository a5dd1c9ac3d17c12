package commit

import "context"

// This file lets work on the log, such as pruning, take turns with the batches.

// Do runs work on the log, such as pruning, in turns with the batches: when the one
// that is being stored is done, and of two works never one right after the other
// while messages wait. So work has half of the turns, however long the queue is, and
// each batch waits for one work at most. An error of work is Do's, and one that
// matches app.ErrStoreFailed is the end as it is for a batch.
//
// When ctx ends first, its error is returned, and work may run all the same, but
// not after Close has returned nil.
func (c *Committer) Do(ctx context.Context, work func() error) error {
	b := &batch{work: work, done: make(chan struct{})}
	if err := c.enqueue(b); err != nil {
		return err
	}
	_, err := b.wait(ctx, 0, 0)
	return err
}

func (c *Committer) enqueue(b *batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(0, 0); err != nil {
		return err
	}
	c.works = append(c.works, b)
	c.start()
	return nil
}

// take removes the oldest batch from the queue, so that nothing is added to it
// any more, or the oldest work when it has its turn. With none left it returns nil
// and run is over: the next message that is admitted starts it again, which no Commit
// can miss under the one lock.
func (c *Committer) take() *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := &c.queue
	if len(c.works) > 0 && (!c.worked || len(c.queue) == 0) {
		from = &c.works
	}
	if len(*from) == 0 {
		close(c.idle)
		c.idle = nil
		return nil
	}
	b := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	c.worked = b.work != nil
	return b
}
