package main_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// With one place and no request that may wait for it, behind each front end's deploy
// file: a client that sends slowly holds no place, nor does one that reads slowly. Both
// are then served to the end. The place of a program is free only when it has ended,
// which may be a moment after its whole answer is here.
func TestCGIPlaces(t *testing.T) {
	frontend.Require(t, frontend.All()...)
	programs := cgiFolder(t)
	writeProgram(t, filepath.Join(programs, "numbers.sh"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; seq 3000000\n")
	dir := folder(t)
	serve(t, dir, "--cgi", "/cgi="+programs, "--cgi-running=1", "--cgi-waiting=0")
	body := strings.Repeat("0123456789abcdef", 1<<17)
	for _, kind := range frontend.All() {
		t.Run(string(kind), func(t *testing.T) {
			front := frontend.Start(t, kind, frontend.Config{Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
			begin := func(method, program string, length int) (net.Conn, *bufio.Reader) {
				conn, err := net.Dial("tcp", front.Addr)
				require.NoError(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				_, err = fmt.Fprintf(conn, "%s /habitat/cgi/%s HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
					method, program, length)
				require.NoError(t, err)
				return conn, bufio.NewReader(conn)
			}
			requireFreePlace := func() {
				require.Eventually(t, func() bool {
					resp, err := http.Get(front.URL + "/habitat/cgi/hello.sh")
					if !assert.NoError(t, err) {
						return false
					}
					return assert.NoError(t, resp.Body.Close()) && resp.StatusCode == http.StatusOK
				}, patience, time.Millisecond)
			}

			sender, answer := begin("POST", "sum-first.sh", len(body))
			_, err := io.WriteString(sender, body[1:])
			require.NoError(t, err)
			for range 3 {
				requireFreePlace()
			}
			_, err = io.WriteString(sender, body[:1])
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("%x\n", sha256.Sum256([]byte(body[1:]+body[:1]))), string(readAnswer(t, answer)))

			_, answer = begin("GET", "numbers.sh", 0)
			_, err = answer.Peek(1) // the program runs
			require.NoError(t, err)
			requireFreePlace()
			numbers := readAnswer(t, answer)
			assert.Equal(t, 3_000_000, strings.Count(string(numbers), "\n"))
			assert.True(t, strings.HasSuffix(string(numbers), "\n3000000\n"))
		})
	}
}

func readAnswer(t *testing.T, br *bufio.Reader) []byte {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return body
}
