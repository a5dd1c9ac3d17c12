//go:build unix

package scgi_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// This file shows the matrix as FRONTENDS.md.

var updateMatrix = flag.Bool("update", false, "write FRONTENDS.md anew")

const matrixFile = "FRONTENDS.md"

// compareMatrix expects the file to be what the rows say, or with -update writes it. The versions in it are
// those of the machine that wrote it: others that behave alike are welcome.
func compareMatrix(t *testing.T, seen *matrixSeen) {
	t.Helper()
	want := renderMatrix(seen.line())
	if *updateMatrix {
		require.Equal(t, len(matrixRows)*len(matrixPlaces()), seen.cells, "cells that have run; all are needed for -update")
		require.NoError(t, os.WriteFile(matrixFile, []byte(want), 0o644))
		return
	}
	stored, err := os.ReadFile(matrixFile)
	require.NoError(t, err, "go test -run Matrix ./scgi -update writes it")
	assert.Equal(t, seenLine.ReplaceAllString(want, ""), seenLine.ReplaceAllString(string(stored), ""),
		"go test -run Matrix ./scgi -update writes %s anew", matrixFile)
}

// matrixSeen is what has run.
type matrixSeen struct {
	mu       sync.Mutex // guards what follows
	cells    int
	versions map[frontend.Kind]string
}

// cell counts a cell.
func (s *matrixSeen) cell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells++
}

var (
	versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)
	seenLine       = regexp.MustCompile(`(?m)^Run with nginx .*$`)
)

// frontend asks a front end for its version.
func (s *matrixSeen) frontend(t *testing.T, front *frontend.Frontend) {
	t.Helper()
	resp, err := matrixClient.Get(front.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[front.Kind] = versionPattern.FindString(resp.Header.Get("Server"))
}

// line names the versions, once all columns have ended.
func (s *matrixSeen) line() string {
	return fmt.Sprintf("Run with nginx %s, lighttpd %s and Apache %s.",
		s.versions[frontend.Nginx], s.versions[frontend.Lighttpd], s.versions[frontend.Apache])
}

const matrixIntro = `# Package scgi behind nginx, lighttpd and Apache

What a handler can rely on, behind each front end and over each network: **yes** with the front end's defaults,
with a number where there is more to know or to set, **no** where the front end makes it impossible. Every cell
is a test. The front ends are configured much as in the folder deploy, without its limits on sizes.
%s

`

// renderMatrix returns the whole file.
func renderMatrix(versions string) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, matrixIntro, versions)
	sb.WriteString("| |")
	for _, place := range matrixPlaces() {
		sb.WriteString(" " + place.title() + " |")
	}
	sb.WriteString("\n| --- |" + strings.Repeat(" --- |", len(matrixPlaces())) + "\n")
	var notes []string
	for _, row := range matrixRows {
		sb.WriteString("| " + row.name + " |")
		for _, place := range matrixPlaces() {
			sb.WriteString(" " + renderCell(row.notesOn(place), &notes) + " |")
		}
		sb.WriteString("\n")
	}
	sb.WriteString("\n")
	for i, note := range notes {
		fmt.Fprintf(&sb, "%d. %s\n", i+1, note)
	}
	sb.WriteString("\nWritten by `go test -run Matrix ./scgi -update`.\n")
	return sb.String()
}

func (p matrixPlace) title() string {
	name := map[frontend.Kind]string{frontend.Apache: "Apache"}[p.kind]
	network := map[string]string{"tcp": "TCP"}[p.network]
	return cmp.Or(name, string(p.kind)) + " " + cmp.Or(network, p.network)
}

// renderCell numbers the notes as it meets them.
func renderCell(cell []matrixNote, notes *[]string) string {
	word, numbers := "yes", ""
	for _, note := range cell {
		if note.no {
			word = "no"
		}
		i := slices.Index(*notes, note.text)
		if i < 0 {
			i = len(*notes)
			*notes = append(*notes, note.text)
		}
		numbers += fmt.Sprintf(" [%d]", i+1)
	}
	return word + numbers
}
