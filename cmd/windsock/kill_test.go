package main_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	rounds = flag.Int("rounds", 5, "how many times TestKill9 kills windsock")
	seed   = flag.Uint64("seed", rand.Uint64(), "what TestKill9 takes its choices from; random unless set")
)

// TestKill9 ends windsock with kill -9 again and again, at random moments: while
// 16 clients post one message at a time and batches of them, with keys and
// without, and retry what is answered and what is not; and while it starts.
// After each time the store is looked at behind its back, and the next one goes
// on with it: what was acknowledged in any round is there, once.
func TestKill9(t *testing.T) {
	t.Logf("-seed %d", *seed)
	dir := folder(t)
	random := rand.New(rand.NewPCG(*seed, 0))
	known := newLedger()
	var clients []*killClient
	for n := range 16 {
		clients = append(clients, &killClient{name: fmt.Sprint("C", n), known: known,
			random: rand.New(rand.NewPCG(*seed, uint64(n)+1))})
	}
	for round := range *rounds {
		if round%4 == 3 {
			killStarting(t, dir, time.Duration(random.IntN(200))*time.Millisecond)
		} else {
			killServing(t, serve(t, dir), clients, random.IntN(500))
		}
		rows := known.check(t, storeIn(dir))
		t.Logf("round %d of %d: %d acknowledged, %d stored", round+1, *rounds, len(known.seqs), len(rows))
	}
	require.Positive(t, len(known.seqs))

	p := serve(t, dir) // recovers, and takes the dead one's socket
	for _, c := range clients {
		require.True(t, c.settle(p), "what was not answered is taken now")
	}
	rows := known.check(t, storeIn(dir))
	assert.Equal(t, len(known.sent), len(rows))
	assert.Equal(t, len(known.sent), len(known.seqs), "all that was sent is acknowledged by now")
	assert.Zero(t, p.stop())
	known.check(t, storeIn(dir))
}

// killStarting kills a windsock that starts. When it has started before that,
// nothing is lost either.
func killStarting(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	p := launch(t, dir, exec.Command(binary(t, buildFlags...), "serve"))
	kill := time.AfterFunc(after, func() { _ = p.cmd.Process.Kill() }) // it has not ended before
	defer kill.Stop()
	require.Equal(t, -1, p.wait(), "killed")
}

// killServing kills a windsock in the midst of its clients, once so many
// messages were acknowledged.
func killServing(t *testing.T, p *process, clients []*killClient, acknowledged int) {
	t.Helper()
	enough := make(chan struct{})
	var kill sync.Once
	var all sync.WaitGroup
	left := clients[0].known.count + acknowledged
	for _, c := range clients {
		all.Go(func() {
			c.post(t, p, func(count int) {
				if count > left {
					kill.Do(func() { close(enough) })
				}
			})
		})
	}
	<-enough
	p.signal(syscall.SIGKILL)
	all.Wait()
	require.Equal(t, -1, p.wait(), "killed")
}

// killClient is an uploader that outlives windsock.
type killClient struct {
	name       string
	known      *ledger
	random     *rand.Rand
	made       int
	answered   []sending
	unanswered []sending
}

// fresh makes n messages that nobody has sent yet.
func (c *killClient) fresh(n int) (all []sending) {
	for range n {
		c.made++
		all = append(all, newSending(c.name, "LISTENER_INFO", int64(c.made), c.random.IntN(1e9), fmt.Sprintf(`{"name":"%s %d"}`, c.name, c.made)))
	}
	return all
}

// post posts until windsock is gone, and tells how many acknowledgements there
// are by then.
func (c *killClient) post(t *testing.T, p *process, tell func(count int)) {
	client := &http.Client{Transport: p.transport()}
	for {
		all := c.next()
		c.known.send(all...)
		status, receipts, err := c.try(client, all)
		c.unanswered = append(c.unanswered, all[len(receipts):]...)
		for i, r := range receipts {
			count, err := c.known.acknowledge(all[i], r)
			if !assert.NoError(t, err) {
				tell(math.MaxInt)
				return
			}
			c.answered = append(c.answered, all[i])
			tell(count)
		}
		if err != nil {
			return // killed
		}
		if !assert.Equal(t, http.StatusOK, status) {
			tell(math.MaxInt)
			return
		}
	}
}

// next is what is sent next: what was not answered comes first.
func (c *killClient) next() (all []sending) {
	switch {
	case len(c.unanswered) > 0 && c.random.IntN(3) > 0:
		all, c.unanswered = c.unanswered, nil
		return all
	case len(c.answered) > 0 && c.random.IntN(5) == 0:
		return []sending{c.answered[c.random.IntN(len(c.answered))]}
	case c.random.IntN(4) == 0:
		return c.fresh(1 + c.random.IntN(30))
	}
	return c.fresh(1)
}

// try sends messages in one request or another, and returns receipts for the
// first of them.
func (c *killClient) try(client *http.Client, all []sending) (status int, receipts []receipt, err error) {
	if len(all) > 1 {
		return postMany(client, all, encodings[c.random.IntN(len(encodings))])
	}
	var r receipt
	switch c.random.IntN(3) {
	case 0: // an answer that says no more than OK
		var answer []byte
		status, answer, err = request(client, "/message", all[0].body)
		if string(answer) == "OK" && err == nil {
			return status, []receipt{{ID: all[0].row.ID, Duplicate: true}}, nil
		}
		return status, nil, err
	case 1:
		status, r, err = postOne(client, all[0], "Idempotency-Key", strconv.FormatInt(all[0].row.ClientCreated, 10))
	default:
		status, r, err = postOne(client, all[0])
	}
	if err != nil || status != http.StatusOK {
		return status, nil, err
	}
	return status, []receipt{r}, nil
}

// settle sends what was never answered.
func (c *killClient) settle(p *process) bool {
	all := c.unanswered
	if len(all) == 0 {
		return true
	}
	status, receipts, err := postMany(&http.Client{Transport: p.transport()}, all, "gzip")
	for i, r := range receipts {
		if _, err := c.known.acknowledge(all[i], r); err != nil {
			return false
		}
	}
	return err == nil && status == http.StatusOK && len(receipts) == len(all)
}
