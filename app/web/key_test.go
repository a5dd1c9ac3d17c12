package web_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIdempotencyKey(t *testing.T) {
	longest := strings.Repeat("k", 255)
	a, b := numberedNote(1), numberedNote(2)
	other := fmt.Sprintf(note, "M0ABC", 1, 1, "n")
	s := start(t)
	for _, row := range []struct {
		name, key, body string
		status          int
		want            string // in the answer, as JSON
	}{
		{"first", "k", a, 200, `{"seq":1,`},
		{"again", "k", a, 200, `{"seq":1,`},
		{"again, uploaded later", "k", strings.Replace(a, `"time_uploaded":1`, `"time_uploaded":7`, 1), 200, `"duplicate":true`},
		{"another message", "k", b, 422, "another message"},
		{"callsigns in lower case are the same", "k", strings.Replace(b, "G8XYZ", "g8xyz", 1), 422, "another message"},
		{"another callsign", "k", other, 200, `{"seq":2,`},
		{"without it", "", a, 200, `{"seq":1,`},
		{"that message without it", "", b, 200, `{"seq":3,`},
		{"stored by now, but not by that name", "k", b, 422, "another message"},
		{"the longest", longest, a, 200, `{"seq":1,`},
		{"the longest, for another", longest, b, 422, "another message"},
		{"too long", longest + "k", a, 400, "at most 255 bytes, not 256"},
		{"not valid, and nothing is recorded", "new", `{}`, 400, "required"},
		{"so that it is free", "new", b, 200, `{"seq":3,`},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(s.stored(t))
			fields := []string{"Accept: application/json"}
			if row.key != "" {
				fields = append(fields, "Idempotency-Key: "+row.key)
			}
			got := s.do(t, "POST", "/message", row.body, fields...)
			assert.Equal(t, row.status, got.status, got.body)
			assert.Contains(t, got.body, row.want)
			if row.status != 200 {
				assert.Len(t, s.stored(t), before)
			}
		})
	}
	assert.Equal(t, "OK", s.do(t, "POST", "/message", a, "Idempotency-Key: k").body)
	got := s.do(t, "POST", "/messages", "["+b+"]", "Idempotency-Key: k")
	assert.Equal(t, 200, got.status, "it means nothing there")
}

// Retries and others with the same key, all at once: one of the messages is
// stored, everybody who sent it is told its seq, all others are refused.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	const keys, each = 5, 20
	s := start(t)
	var mu sync.Mutex
	answers := map[string]map[string]int{} // by key, by body of the answer
	var wg sync.WaitGroup
	for key := range keys {
		for i := range each {
			wg.Go(func() {
				k := fmt.Sprint("key", key)
				got := s.do(t, "POST", "/message", numberedNote(10*key+i%2), "Idempotency-Key: "+k)
				mu.Lock()
				defer mu.Unlock()
				if answers[k] == nil {
					answers[k] = map[string]int{}
				}
				answers[k][got.body]++
			})
		}
	}
	wg.Wait()
	assert.Len(t, s.stored(t), keys)
	for _, got := range answers {
		assert.Len(t, got, 2)
		assert.Equal(t, each/2, got["OK"])
	}
}
