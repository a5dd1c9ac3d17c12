package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// After an outage everybody sends what he has kept, a fifth of it twice. All
// have heard the same sentences, and each of them is a message of its own; but
// some share a callsign, and then they are one. The counts are exact.
func TestBacklogStorm(t *testing.T) {
	const clients, sharing, each = 500, 50, 100
	dir := folder(t)
	// Without the race detector, which would take most of the time.
	p := launch(t, dir, exec.Command(binary(t), "serve"))
	p.waitFor("\"message\":\"serving\"")
	known := newLedger()
	var retries [clients]int
	var all sync.WaitGroup
	for n := range clients {
		c := stormClient{
			callsign: fmt.Sprint("C", n%(clients-sharing)),
			client:   &http.Client{Transport: p.transport()},
			random:   rand.New(rand.NewPCG(uint64(n), 0)),
			known:    known,
		}
		all.Go(func() {
			assert.NoError(t, c.upload(each))
			retries[n] = c.retries
		})
	}
	all.Wait()

	const unique = (clients - sharing) * each
	acknowledged := clients * each
	for n := range clients {
		acknowledged += retries[n]
	}
	assert.Len(t, known.sent, unique)
	assert.Equal(t, acknowledged, known.count)
	assert.Greater(t, acknowledged, clients*each*11/10, "or nothing was retried")
	for id, fresh := range known.fresh {
		if fresh != 1 {
			require.Equal(t, 1, fresh, "so many were told that theirs is the first: %+v", known.sent[id])
		}
	}
	assert.Len(t, known.fresh, unique)
	rows := known.check(t, storeIn(dir))
	require.Len(t, rows, unique)
	assert.Equal(t, int64(unique), rows[unique-1].Seq, "no seq was used up by a retry")
	assert.Zero(t, p.stop())
}

// stormClient uploads a backlog: part of it message by message, the rest in
// batches.
type stormClient struct {
	callsign string
	client   *http.Client
	random   *rand.Rand
	known    *ledger
	made     int
	retries  int
}

// next is the next message of the backlog, or one that was sent before. Only
// time_uploaded tells the two apart.
func (c *stormClient) next() sending {
	n := c.made
	if n > 0 && c.random.IntN(5) == 0 {
		n = c.random.IntN(n)
		c.retries++
	} else {
		c.made++
	}
	sentence := fmt.Sprintf("$$STORM,%d,09:15:30,52.20814,0.09120,1873", n)
	data := fmt.Sprintf(`{"string":%q}`, base64.StdEncoding.EncodeToString([]byte(sentence)))
	return newSending(c.callsign, "RECEIVED_TELEM", int64(1_301_774_389+n), 1_301_780_000+c.random.IntN(1000), data)
}

func (c *stormClient) upload(backlog int) error {
	const singly, batch = 10, 30
	for c.made < singly {
		if err := c.sendAll([]sending{c.next()}); err != nil {
			return err
		}
	}
	for c.made < backlog {
		var some []sending
		for len(some) < batch && c.made < backlog {
			some = append(some, c.next())
		}
		if err := c.sendAll(some); err != nil {
			return err
		}
	}
	return nil
}

// sendAll sends messages until all are taken.
func (c *stormClient) sendAll(all []sending) error {
	c.known.send(all...)
	for range 1000 {
		status, receipts, err := c.try(all)
		if err != nil {
			return err
		}
		for i, r := range receipts {
			if _, err := c.known.acknowledge(all[i], r); err != nil {
				return err
			}
		}
		if all = all[len(receipts):]; len(all) == 0 {
			return nil
		}
		if status != http.StatusServiceUnavailable {
			return fmt.Errorf("answered with %d", status)
		}
	}
	return fmt.Errorf("refused too often: %d messages are left", len(all))
}

func (c *stormClient) try(all []sending) (int, []receipt, error) {
	if len(all) > 1 {
		return postMany(c.client, all, encodings[c.random.IntN(len(encodings))])
	}
	status, r, err := postOne(c.client, all[0])
	if err != nil || status != http.StatusOK {
		return status, nil, err
	}
	return status, []receipt{r}, nil
}
