package admission_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// slowBody sends a body of some length by send, through a real server, and returns
// how many bytes Paced gave, after what time, and with which error.
func slowBody(t *testing.T, length int, send func(io.Writer)) (n int64, after time.Duration, err error) {
	t.Helper()
	done := make(chan struct{})
	server := &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		begin := time.Now()
		n, err = io.Copy(io.Discard, admission.Paced(w, r))
		after = time.Since(begin)
	})}
	l := scgitest.NewPipe()
	require.NoError(t, server.Start(l))
	ours, dialErr := l.Dial()
	require.NoError(t, dialErr)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, err := ours.Write(scgitest.Request("", "CONTENT_LENGTH", strconv.Itoa(length), "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/"))
		assert.NoError(t, err)
		send(ours)
	}()
	<-done
	require.NoError(t, ours.Close())
	<-sent
	require.NoError(t, server.Shutdown(t.Context()))
	return n, after, err
}

// atRate sends bytes at each interval, until the other end takes no more.
func atRate(bytes int, every time.Duration) func(io.Writer) {
	return func(w io.Writer) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", bytes)); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

func TestPaced(t *testing.T) {
	const small, large = 64 << 10, 64<<10 + 1
	const tick = 1001 * time.Millisecond // so that nothing happens at the moment of a deadline
	for _, row := range []struct {
		name   string
		length int
		send   func(io.Writer)
		n      int64
		after  time.Duration
		late   bool
	}{
		{"at once", large, atRate(large, 0), large, 0, false},
		{"small, nothing comes", small, func(io.Writer) {}, 0, 60 * time.Second, true},
		{"large, nothing comes", large, func(io.Writer) {}, 0, 30 * time.Second, true},
		{"small, a byte a minute less a second", small, atRate(1, 59*time.Second), 16, 15 * time.Minute, true},
		{"small, a byte in more than a minute", small, atRate(1, 61*time.Second), 1, 60 * time.Second, true},
		{"small, in time", small, atRate(73, time.Second), small, 897 * time.Second, false},
		{"small, too late", small, atRate(72, tick), 900 * 72, 15 * time.Minute, true},
		{"large, too slow", 10 << 20, atRate(1024, tick), 30 * 1024, 30 * time.Second, true},
		{"large, just quick enough", 1 << 20, atRate(1030, tick), 1 << 20, 1018 * tick, false},
		{"large, nothing in the first 29 seconds", 100 << 10, func(w io.Writer) {
			time.Sleep(29 * time.Second)
			atRate(100<<10, 0)(w)
		}, 100 << 10, 29 * time.Second, false},
		{"large, 40 KiB and then nothing", 10 << 20, atRate(40<<10, time.Hour), 40 << 10, 40 * time.Second, true},
		{"large, 100 KiB and then nothing", 10 << 20, atRate(100<<10, time.Hour), 100 << 10, 60 * time.Second, true},
		{"large, what came early counts later", 10 << 20, func(w io.Writer) {
			_, err := io.WriteString(w, strings.Repeat("x", 100<<10))
			if err == nil {
				time.Sleep(50 * time.Second)
				atRate(1<<10, 50*time.Second)(w)
			}
		}, 102 << 10, 102 * time.Second, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, after, err := slowBody(t, row.length, row.send)
				assert.Equal(t, row.n, n)
				assert.Equal(t, row.after, after, "by the test's clock")
				if row.late {
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				} else {
					assert.NoError(t, err)
				}
			})
		})
	}
}

// Read passes on every other error that ends a body.
func TestPacedPassesErrorsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, err := slowBody(t, 100<<10, func(w io.Writer) {
			_, err := io.WriteString(w, "half")
			assert.NoError(t, err)
			assert.NoError(t, w.(io.Closer).Close())
		})
		assert.EqualValues(t, 4, n)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// A server without deadlines gives the body as it is.
func TestPacedWithoutDeadlines(t *testing.T) {
	for _, size := range []int{0, 10, 1 << 20} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", size)))
		n, err := io.Copy(io.Discard, admission.Paced(httptest.NewRecorder(), r))
		assert.EqualValues(t, size, n)
		assert.False(t, errors.Is(err, os.ErrDeadlineExceeded))
		assert.NoError(t, err)
	}
}
