//go:build unix

package scgi_test

import (
	"runtime"
	"testing"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// This file and the other matrix_*_test.go run package scgi behind the real nginx, lighttpd and Apache, over
// unix sockets and over TCP. The rows of the matrix are behaviours, its columns front ends. FRONTENDS.md
// shows it to users; it is written by
//
//	go test -run Matrix ./scgi -update

// matrixRow is a behaviour.
type matrixRow struct {
	name  string // in FRONTENDS.md, and of the test
	path  string // of its handler
	check func(*testing.T, *matrixCell)
	notes []matrixNote
}

// matrixNote is what a user has to know of a behaviour behind some front ends.
type matrixNote struct {
	on   []matrixPlace
	text string
	no   bool // the front end makes it impossible
	set  bool // it takes the settings of matrixConfigs

	// instead shows what the front end makes of it, in place of the row's check: should another version do
	// better, it fails, where that can be told without waiting. It may be nil only where the row's check holds.
	instead func(*testing.T, *matrixCell)

	// without shows what happens without the settings, or beyond them. It may be nil.
	without func(*testing.T, *matrixCell)
}

// matrixPlace is a column of the matrix. As the place of a note without a network it is two.
type matrixPlace struct {
	kind    frontend.Kind
	network string
}

var (
	onNginx    = matrixPlace{kind: frontend.Nginx}
	onLighttpd = matrixPlace{kind: frontend.Lighttpd}
	onApache   = matrixPlace{kind: frontend.Apache}
)

func (p matrixPlace) unix() matrixPlace { return matrixPlace{p.kind, "unix"} }
func (p matrixPlace) tcp() matrixPlace  { return matrixPlace{p.kind, "tcp"} }

// matrixPlaces are the columns.
func matrixPlaces() []matrixPlace {
	var places []matrixPlace
	for _, kind := range frontend.All() {
		p := matrixPlace{kind: kind}
		places = append(places, p.unix(), p.tcp())
	}
	return places
}

// notesOn returns the notes that a column has.
func (row matrixRow) notesOn(column matrixPlace) []matrixNote {
	var notes []matrixNote
	for _, note := range row.notes {
		for _, place := range note.on {
			if place.kind == column.kind && (place.network == "" || place.network == column.network) {
				notes = append(notes, note)
			}
		}
	}
	return notes
}

func TestMatrix(t *testing.T) {
	runtime.GC() // the download's heap is not that of earlier tests
	seen := &matrixSeen{versions: make(map[frontend.Kind]string)}
	passed := t.Run("behind", func(t *testing.T) {
		for _, place := range matrixPlaces() {
			t.Run(string(place.kind)+" "+place.network, func(t *testing.T) {
				t.Parallel()
				column := startMatrixColumn(t, place)
				seen.frontend(t, column.front)
				for _, row := range matrixRows {
					t.Run(row.name, func(t *testing.T) {
						row.run(t, column)
						seen.cell()
					})
				}
			})
		}
	})
	if passed {
		compareMatrix(t, seen)
	}
}

// run checks a row in a column.
func (row matrixRow) run(t *testing.T, column *matrixColumn) {
	cell := &matrixCell{column, row.path}
	check, notes := row.check, row.notesOn(column.matrixPlace)
	for _, note := range notes {
		if note.set {
			cell.path = matrixSet + row.path
		}
		if note.instead != nil {
			check = note.instead
		}
	}
	check(t, cell)
	for _, note := range notes {
		if note.without != nil {
			note.without(t, &matrixCell{column, row.path})
		}
	}
}
