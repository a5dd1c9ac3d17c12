package scgi_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// What prints like a CGI program, here a template's output, becomes an answer.
// It may as well be the standard output of an exec.Cmd.
func ExampleCGIWriter() {
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cgi := &scgi.CGIWriter{Response: w, Request: r}
		defer cgi.Close() // what is wrong with the output goes to the server's log
		fmt.Fprintln(cgi, "Status: 404 Not Found")
		fmt.Fprintln(cgi, "Content-Type: text/plain")
		fmt.Fprintln(cgi)
		fmt.Fprintf(cgi, "no %s here", r.URL.Path)
	}))
	defer s.Close()

	resp, err := s.Client().Get("http://example.org/answer")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	// Output: 404 Not Found no /answer here
}

// Medusa's threads, and its del_channel: a handler takes its connection out of
// the server's hands and lets a goroutine of its own answer, as late as it
// likes, while the handler returns at once. From Hijack on the server neither
// counts the connection nor waits for it: who takes it answers, closes it, and
// is waited for by whoever started it.
func ExampleServer_handOff() {
	var threads sync.WaitGroup
	results := make(chan string)
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		threads.Go(func() {
			defer conn.Close()
			result := <-results // the slow work
			_, _ = fmt.Fprintf(conn, "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
				len(result), result) // a client that has gone needs no answer
		})
	}))
	defer s.Close()

	go func() { results <- "42" }()
	answer, err := s.Send(scgitest.Get("/deepthought"))
	if err != nil {
		log.Fatal(err)
	}
	threads.Wait()
	fmt.Println(strings.ReplaceAll(string(answer), "\r\n", "\n"))
	// Output:
	// Status: 200 OK
	// Content-Type: text/plain
	// Content-Length: 2
	//
	// 42
}
