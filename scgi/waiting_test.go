package scgi_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
)

// This file tests that nobody keeps others waiting.

// Handlers that wait for each other are all called, however many.
func TestHandlersWaitForEachOther(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			const n, rounds = 50, 3
			var here sync.WaitGroup
			s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				here.Done()
				here.Wait()
				_, _ = io.WriteString(w, "met")
			})})
			for range rounds {
				here.Add(n)
				var all sync.WaitGroup
				for range n {
					all.Go(func() {
						answer, err := s.Send([]byte(minimal("")))
						assert.NoError(t, err)
						assert.True(t, strings.HasSuffix(string(answer), "met"), string(answer))
					})
				}
				all.Wait()
			}
		})
	}
}

// Peers that connect and send nothing, or a part, keep nobody waiting.
func TestSilentPeers(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
			})})
			for _, sent := range []string{"", "7", "70:CONTENT_LENGTH\x00", post("", "four")[:len(post("", "four"))-1]} {
				for range 3 {
					silent := dial(t, s)
					t.Cleanup(func() { silent.Close() })
					_, err := silent.Write([]byte(sent))
					require.NoError(t, err)
					answer, err := converse(t, s, [][]byte{[]byte(post("", "body"))}, false)
					require.NoError(t, err)
					require.True(t, strings.HasSuffix(answer, "\r\n\r\nbody"), answer)
				}
			}
		})
	}
}

// A handler that ends its goroutine does not end accepting.
func TestGoexitEndsOneRequest(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/exit" {
					runtime.Goexit()
				}
				_, _ = io.WriteString(w, "well")
			})})
			for range 20 {
				for _, path := range []string{"/exit", "/"} {
					answer, _ := converse(t, s, [][]byte{[]byte(exactly(least + "REQUEST_METHOD|GET|REQUEST_URI|" + path + "|"))}, false)
					assert.Equal(t, path == "/", strings.HasSuffix(answer, "well"), answer)
				}
			}
		})
	}
}
