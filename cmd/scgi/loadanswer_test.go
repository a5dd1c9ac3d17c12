package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
)

// However an answer is cut, load says of it what scgi.ReadResponse does.
func FuzzAnswer(f *testing.F) {
	for _, raw := range []string{
		"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello", "Status: 404\n\nbody", "A: b\r\n\nbody", "A: b\n\r\nbody", "Location: /a\n\n",
		"Content-Length: 5\n\nhell", "Status: 204\nContent-Length: 5\n\n", "", "\n", "\r\n\r\n", "A: b", "nonsense\n\n", "Status: 99\n\n", "HTTP/1.1 404 A\r\nB: c\r\n\r\nbody", "HTTP/1.1 200\n\n", "HTTP/1.1 x\n\n", "A: \r\r\n\nb",
	} {
		for cut := range 4 {
			f.Add([]byte(raw), cut*3+1, false)
		}
		f.Add([]byte(raw), 1000, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, cut int, head bool) {
		if interim.Match(raw) {
			t.Skip("an interim answer, which only the other reader passes over")
		}
		l := &load{method: http.MethodGet}
		if head {
			l.method = http.MethodHead
		}
		var a answer
		j := l.newJudge()
		for range 2 { // what is known of the first counts for the second
			a.reset()
			for rest := raw; len(rest) > 0; {
				n := min(max(cut, 1), len(rest))
				a.feed(rest[:n])
				rest = rest[n:]
			}
			require.EqualValues(t, len(raw), a.size())
			status, whole, err := j.of(&a)
			resp, want := scgi.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: l.method})
			if want == nil {
				_, want = io.Copy(io.Discard, resp.Body)
			}
			if want != nil {
				require.Error(t, err)
				require.Equal(t, kindOf(want), kindOf(err))
				continue
			}
			require.NoError(t, err)
			require.Equal(t, resp.StatusCode, status)
			require.Equal(t, head || resp.ContentLength >= 0, whole)
		}
	})
}

// interim finds answers that SCGI does not have, and that load does not pass over.
var interim = regexp.MustCompile(`(?im)^status:[ \t]*1`)
