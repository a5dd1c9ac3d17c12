// Package sqlitetest reads a store with SQL of its own, so that tests need not
// believe what the product says of it.
package sqlitetest

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"

	_ "modernc.org/sqlite" // registers the driver
)

// Row is a stored message, as it stands in its table.
type Row struct {
	Seq                int64
	ID, Callsign, Type string // the id in hex
	ClientCreated      int64
	Data               string
}

// Identity returns the id that the contract gives to what the row holds: SHA-256
// over a version and four parts, each behind its length.
func (r Row) Identity() string {
	hashed := []byte{1}
	for _, part := range []string{r.Callsign, r.Type, strconv.FormatInt(r.ClientCreated, 10), r.Data} {
		hashed = append(binary.BigEndian.AppendUint64(hashed, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(hashed)
	return hex.EncodeToString(sum[:16])
}

// Read returns all that the store at path holds, in order. Somebody may be
// writing to it meanwhile. What is an error in any store is one here: damage, a
// seq that does not rise, an id that comes twice.
func Read(path string) ([]Row, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	defer db.Close() // nothing was written: there is nothing to lose
	db.SetMaxOpenConns(1)
	var state string
	if err := db.QueryRow("PRAGMA integrity_check(1)").Scan(&state); err != nil || state != "ok" {
		return nil, fmt.Errorf("%s is damaged: %s %w", path, state, err)
	}
	found, err := db.Query("SELECT seq, id, callsign, type, client_created, data FROM messages ORDER BY rowid")
	if err != nil {
		return nil, err
	}
	defer found.Close() // found.Err tells
	var rows []Row
	for found.Next() {
		var row Row
		var id []byte
		if err := found.Scan(&row.Seq, &id, &row.Callsign, &row.Type, &row.ClientCreated, &row.Data); err != nil {
			return nil, err
		}
		row.ID = hex.EncodeToString(id)
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	return rows, inOrder(rows)
}

func inOrder(rows []Row) error {
	seqs := make(map[string]int64, len(rows))
	last := int64(0)
	for _, row := range rows {
		if row.Seq <= last {
			return fmt.Errorf("seq %d follows %d", row.Seq, last)
		}
		last = row.Seq
		if first, twice := seqs[row.ID]; twice {
			return fmt.Errorf("id %s is stored as %d and as %d", row.ID, first, row.Seq)
		}
		seqs[row.ID] = row.Seq
	}
	return nil
}
