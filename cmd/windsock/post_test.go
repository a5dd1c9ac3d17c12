package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		assert.Contains(t, stderr, "message 1: 400")
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
