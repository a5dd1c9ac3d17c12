package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

func TestPostAndExport(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	one, two, three := note("one"), note("two"), note("three")
	for _, row := range []struct{ name, input, want string }{
		{"one object", one, "1 stored, 0 stored before, 0 refused\n"},
		{"an array", "\n[" + one + "," + two + "]", "1 stored, 1 stored before, 0 refused\n"},
		{"lines", two + "\n" + three + "\n", "1 stored, 1 stored before, 0 refused\n"},
		{"nothing", "", "0 stored, 0 stored before, 0 refused\n"},
		{"an empty array", "[]", "0 stored, 0 stored before, 0 refused\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stdout, stderr, code := run(t, dir, row.input, "post")
			assert.Zero(t, code, stderr)
			assert.Equal(t, row.want, stdout)
			assert.Empty(t, stderr, "silent in a pipe")
		})
	}
	t.Run("one is refused, the others go on", func(t *testing.T) {
		stdout, stderr, code := run(t, dir, `{"callsign":"G8XYZ"}`+"\n"+note("four"), "post")
		assert.Equal(t, 1, code)
		assert.Contains(t, stdout, "1 stored, 0 stored before, 1 refused")
		assert.Contains(t, stderr, "message 1, line 1: 400")
	})
	t.Run("broken input", func(t *testing.T) {
		for _, input := range []string{"[" + one, "[", "{", one + "x", "[" + one + "][" + two + "]", "[" + one + "] " + two, "[" + one + ",]"} {
			_, stderr, code := run(t, dir, input, "post")
			assert.Equal(t, 1, code, input)
			assert.Contains(t, stderr, "message ")
		}
	})
	t.Run("a file, and the address as --to", func(t *testing.T) {
		file := filepath.Join(dir, "messages.json")
		require.NoError(t, os.WriteFile(file, []byte(note("five")), 0o600))
		stdout, stderr, code := run(t, dir, "", "post", "--to", "unix:data/windsock.sock", file)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, "1 stored")
	})

	entries := exported(t, dir)
	require.Len(t, entries, 5)
	for i, entry := range entries {
		assert.EqualValues(t, i+1, entry["seq"])
		assert.Equal(t, "127.0.0.1", entry["address"])
	}
	stdout, _, code := run(t, dir, "", "export", "--after", "4")
	assert.Zero(t, code)
	assert.Equal(t, 1, strings.Count(stdout, "\n"))
	assert.Contains(t, stdout, `"name":"five"`)
	assert.Zero(t, p.stop())
}

// A broken message is named and costs no other one. Only in an array is it the end.
func TestPostGoesOnAfterABrokenLine(t *testing.T) {
	one, two, three := note("one"), note("two"), note("three")
	spanning := strings.ReplaceAll(note("spanning"), ",", ",\n")
	cut := one[:len(one)-20]
	long := `{"callsign":"` + strings.Repeat("A", 8<<20) + `"}`
	for _, row := range []struct {
		name, input string
		stored      []string
		broken      []string // what standard error says
	}{
		{"no JSON", one + "\nBROKEN\n" + two + "\n", []string{"one", "two"}, []string{"message 2, line 2: this is no JSON object"}},
		{"the first", "BROKEN\n" + one, []string{"one"}, []string{"message 1, line 1: this is no JSON object"}},
		{"the last", one + "\n{", []string{"one"}, []string{"message 2, line 2: unexpected EOF"}},
		{"cut off in a string", cut + "\n" + one + "\n" + two, []string{"one", "two"}, []string{"message 1, line 1: invalid"}},
		{"an open bracket", "{\"a\":\n" + one + "\n" + two, []string{"one", "two"}, []string{"message 1, line 1: invalid"}},
		{"an open bracket before the last", "{\"a\":\n" + one, []string{"one"}, []string{"message 1, line 1: unexpected EOF"}},
		{"blank lines count", "\n\r\n" + one + "\r\n\r\n?\r\n" + two, []string{"one", "two"}, []string{"message 2, line 5: this is no JSON object"}},
		{"two on a line", one + two + "\n?", []string{"one", "two"}, []string{"message 3, line 2: this is no JSON object"}},
		{"behind one", one + "x\n" + two, []string{"one", "two"}, []string{"message 2, line 1: this is no JSON object"}},
		{"over lines", spanning + "\n" + spanning + "?\n" + one, []string{"spanning", "one"}, []string{"message 3, line 10: this is no JSON object"}},
		{"a text over lines is broken", strings.Replace(spanning, "{\"name", "{name", 1) + "\n" + one, []string{"one"},
			[]string{"message 1, line 1: invalid", "message 5, line 5: this is no JSON object"}},
		{"refused and broken", "{}\n?\n" + one, []string{"one"}, []string{"message 1, line 1: 400", "message 2, line 2: this is no JSON object"}},
		{"too long", one + "\n" + long + "\n" + two, []string{"one", "two"}, []string{"message 2, line 2: longer than the limit of 8388608 bytes"}},
		{"too long over lines", "{\n" + strings.Repeat("\n", 8<<20) + "?\n" + two, []string{"two"},
			[]string{"message 1, line 1: longer than the limit of 8388608 bytes", "message 2, line 8388610: this is no JSON object"}},
		{"a long line behind an open bracket", "{\"a\":\n" + long + "\n" + two, []string{"two"},
			[]string{"message 1, line 1: longer than the limit", "message 2, line 2: longer than the limit"}},
		{"byte order mark", "\ufeff" + one + "\n" + two, []string{"one", "two"}, nil},
		{"byte order mark before an array", "\ufeff[" + one + "]", []string{"one"}, nil},
		{"byte order mark within", one + "\n\ufeff" + two + "\n" + three, []string{"one", "three"}, []string{"message 2, line 2: this is no JSON object"}},
		{"an array ends", "[" + one + "\n,?," + two + "]", []string{"one"}, []string{"message 2: invalid"}},
		{"a long element", "[" + one + "," + long + "," + two + "]", []string{"one"}, []string{"message 2: longer than the limit of 8388608 bytes"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := folder(t)
			p := serve(t, dir)
			stdout, stderr, code := run(t, dir, row.input, "post")
			assert.Equal(t, row.broken != nil, code == 1, stderr)
			assert.Contains(t, stdout, " stored, ")
			for _, want := range row.broken {
				assert.Contains(t, stderr, want)
			}
			var stored []string
			for _, entry := range exported(t, dir) {
				stored = append(stored, entry["data"].(map[string]any)["name"].(string))
			}
			assert.Equal(t, row.stored, stored)
			assert.Zero(t, p.stop())
		})
	}
}

// Many messages are few requests, and each is stored once and counted.
func TestPostMany(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	var input strings.Builder
	for i := range 2500 {
		input.WriteString(strings.ReplaceAll(note(fmt.Sprint("n", i)), ",", ",\n") + "\n")
		if i%500 == 0 {
			input.WriteString(`{"callsign":"?"}` + "\n")
		}
	}
	fmt.Fprintf(&input, `{"callsign":%q}`+"\n", strings.Repeat("A", 1<<20))
	fmt.Fprintf(&input, `{"callsign":%q}`+"\n", strings.Repeat("A", 5<<20))
	input.WriteString(note("last"))
	stdout, stderr, code := run(t, dir, input.String(), "post")
	assert.Equal(t, 1, code)
	assert.Equal(t, "2501 stored, 0 stored before, 7 refused\n", stdout)
	for _, want := range []string{"message 2, line 6: 400", "message 503, line 2507: 400", "message 2506, line 12506: 400", "message 2507, line 12507: 413"} {
		assert.Contains(t, stderr, want)
	}
	entries := exported(t, dir)
	require.Len(t, entries, 2501)
	assert.Equal(t, map[string]any{"name": "n2499"}, entries[2499]["data"], "in their order")
	assert.Zero(t, p.stop())
}

// A server without room is asked again, for what it has not taken.
func TestPostToABusyServer(t *testing.T) {
	var taken []string
	requests := 0
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		lines := strings.Split(string(body), "\n")
		w.Header().Set("Retry-After", "0")
		requests++
		switch {
		case requests%2 == 1:
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		case len(lines) > 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		taken = append(taken, lines[0])
		_, _ = io.WriteString(w, `{"results":[{"status":"stored"}]}`)
	}))
	defer s.Close()
	stdout, stderr, code := run(t, folder(t), "[1,2,3,4,5,6,7,8]", "post", "--to", "unix:"+s.Address)
	assert.Zero(t, code, stderr)
	assert.Equal(t, "8 stored, 0 stored before, 0 refused\n", stdout)
	assert.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8"}, taken)
}

// Where there is no point in going on, what was done is said, and why.
func TestPostGivesUp(t *testing.T) {
	for _, row := range []struct {
		name         string
		status       int
		body, stderr string
		requests     int
	}{
		{"never any room", 503, "busy", "message 1: the server answered 503 Service Unavailable: busy", 5},
		{"disk full", 507, `{"detail":"no space"}`, "message 1: the server answered 507 Insufficient Storage: no space", 1},
		{"broken off", 408, `{"results":[],"error":"late"}`, "message 1: the server answered 408 Request Timeout: late", 1},
		{"another server", 404, "Action not found", "message 1: the server answered 404 Not Found: Action not found", 1},
		{"another answer", 200, "OK", "message 1: the server answered 200 OK: OK", 1},
		{"too many results", 200, `{"results":[{"status":"stored"},{"status":"stored"}]}`, "2 results for 1 messages", 1},
		{"unknown results", 200, `{"results":[{"status":"?"}]}`, `unknown status "?"`, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			requests := 0
			s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, row.body)
			}))
			defer s.Close()
			stdout, stderr, code := run(t, folder(t), "[1]", "post", "--to", "unix:"+s.Address)
			assert.Equal(t, 1, code)
			assert.Equal(t, "0 stored, 0 stored before, 0 refused\n", stdout)
			assert.Contains(t, stderr, row.stderr)
			assert.Equal(t, row.requests, requests)
		})
	}
}

func TestExportFollow(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	cmd := exec.Command(binary(t, buildFlags...), "export", "--follow")
	cmd.Dir, cmd.Env, cmd.Stdout = dir, surroundings(), write
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close())
	defer func() { _ = cmd.Process.Kill() }() // it has ended already, unless the test has failed
	require.NoError(t, read.SetReadDeadline(time.Now().Add(time.Minute)))
	buf := make([]byte, 64<<10)
	for i := range 3 {
		status, answer, err := p.post(note(fmt.Sprint("n", i)))
		assertPosted(t, status, answer, err)
		n, err := read.Read(buf)
		require.NoError(t, err)
		assert.Contains(t, string(buf[:n]), fmt.Sprintf(`"name":"n%d"`, i))
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.NoError(t, cmd.Wait(), "to be interrupted is how it ends")
	assert.Zero(t, p.stop())
}
