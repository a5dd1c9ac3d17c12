package scgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// exampleSocket is where the examples listen. A real server has a fixed path,
// such as /run/app.sock.
func exampleSocket() (path string, remove func()) {
	folder, err := os.MkdirTemp("", "scgi")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(folder, "app.sock"), func() { _ = os.RemoveAll(folder) }
}

// What net/http/fcgi's Serve is for FastCGI: a listener and a handler.
func ExampleServe() {
	path, remove := exampleSocket()
	defer remove()
	l, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		err := scgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "Hello, %s", r.URL.Path)
		}))
		log.Print(err) // it ends when accepting fails
	}()

	client := &http.Client{Transport: &scgi.Transport{Network: "unix", Address: path}}
	resp, err := client.Get("http://example.org/deepthought")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	// Output: 200 OK Hello, /deepthought
}

// A server that stops in peace on SIGTERM: requests that have begun finish, and
// so do those that wait in the listener's queue; after ten seconds what is left
// is broken off.
func ExampleServer_Shutdown() {
	path, remove := exampleSocket()
	defer remove()
	l, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}

	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s := &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop() // in place of the signal
		fmt.Fprint(w, "the last request")
	})}
	if err := s.Start(l); err != nil {
		log.Fatal(err)
	}
	go func() { // the front end
		client := &http.Client{Transport: &scgi.Transport{Network: "unix", Address: path}}
		if resp, err := client.Get("http://example.org/"); err == nil {
			_ = resp.Body.Close()
		}
	}()

	select {
	case <-stopped.Done():
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		fmt.Println("in peace:", s.Shutdown(grace) == nil)
	case <-s.Done(): // accepting failed
	}
	<-s.Done()
	fmt.Println(errors.Is(s.Err(), scgi.ErrServerClosed), s.Stats().Requests)
	// Output:
	// in peace: true
	// true 1
}

// A handler may take the connection over, here to speak another protocol after
// 101. The server no longer counts, bounds or closes it.
func ExampleServer_hijack() {
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "shout")
		w.WriteHeader(http.StatusSwitchingProtocols) // sent by Hijack
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			line, _ := rw.ReadString('\n')
			_, _ = rw.WriteString(strings.ToUpper(line))
			_ = rw.Flush()
		}()
	}))
	defer s.Close()

	answer, err := s.Send(append(scgitest.Get("/"), "hello\n"...))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(strings.ReplaceAll(string(answer), "\r\n", "\n"))
	// Output:
	// Status: 101 Switching Protocols
	// Connection: Upgrade
	// Upgrade: shout
	//
	// HELLO
}

// A test of a handler, with a server on a temporary unix socket.
func Example_scgitest() {
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if scgi.Env(r).Get("REMOTE_ADDR") == "" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}))
	defer s.Close()

	// As a front end would send it:
	resp, err := s.Client().Post("http://example.org/message", "text/plain", strings.NewReader("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))

	// And as none would:
	answer, _ := s.Send(scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/"))
	line, _, _ := strings.Cut(string(answer), "\r\n")
	fmt.Println(line)
	// Output:
	// 200 OK hello
	// Status: 403 Forbidden
}

// Behind nginx, under a mount. In nginx's server block stands
//
//	location /app/ {
//		include scgi_params;              # has SCGI=1, which the protocol asks for
//		scgi_pass unix:/run/app.sock;
//	}
//
// Of these parameters none says which part of the path is the mount, so
// StripMount is told. What is sent here is what nginx sends then.
func ExampleStripMount() {
	s := scgitest.NewServer(scgi.StripMount("/app", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, r.RemoteAddr)
	})))
	defer s.Close()

	answer, err := s.Send(scgitest.Request("",
		"CONTENT_LENGTH", "0", "REQUEST_METHOD", "GET", "REQUEST_URI", "/app/deep%20thought?x=1",
		"QUERY_STRING", "x=1", "CONTENT_TYPE", "", "DOCUMENT_URI", "/app/deep thought", "SCGI", "1",
		"SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_SCHEME", "http", "REMOTE_ADDR", "192.0.2.7", "REMOTE_PORT", "34308",
		"SERVER_PORT", "80", "SERVER_NAME", "example.org", "HTTP_HOST", "example.org"))
	if err != nil {
		log.Fatal(err)
	}
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	fmt.Println(body)
	// Output: /deep thought for 192.0.2.7:34308
}
