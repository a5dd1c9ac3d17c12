package sqlite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
)

// maxRecordLine is the limit for a line of an export, in bytes: far above what a
// message of 1 MiB and its keys can make.
const maxRecordLine = 16 << 20

// A transaction of a restoration has at most restoreRows messages, and ends with
// the one whose data makes it restoreBytes.
const (
	restoreRows  = 1000
	restoreBytes = 1 << 20
)

// byteOrderMark is what some editors put before a text.
const byteOrderMark = "\uFEFF"

// export makes a new store and inserts the records.
func (r *restoration) export(in io.Reader, size int64, mode fs.FileMode) error {
	if err := fill(r.making, mode); err != nil {
		return err
	}
	w, err := openWriter(r.ctx, r.making)
	if err != nil {
		return err
	}
	if err := r.records(w, in, size); err != nil {
		return errors.Join(err, w.close())
	}
	return errors.Join(w.checkpoint(), w.close())
}

// records inserts all records.
func (r *restoration) records(w *writer, in io.Reader, size int64) error {
	i := inserter{w: w}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRecordLine)
	line, done := 0, int64(0)
	for lines.Scan() {
		line++
		record, err := r.parse(lines.Bytes(), line)
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if record != nil {
			if err := i.add(numbered{line, *record}); err != nil {
				return err
			}
		}
		done += int64(len(lines.Bytes())) + 1
		r.to.Progress("restoring", done, size)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: longer than the limit of %d bytes", line+1, maxRecordLine)
	case err != nil:
		return err
	}
	return i.end()
}

// parse returns the record of a line; none for a blank line, and for one that was
// damaged when it was exported.
func (r *restoration) parse(line []byte, number int) (*app.Record, error) {
	if number == 1 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil, nil
	}
	record, err := app.ParseRecord(line)
	if err != nil {
		return nil, err
	}
	if record.Damage != nil {
		r.to.LeftOut(fmt.Sprintf("message %d is left out, since it was damaged: %v", record.Seq, record.Damage))
		return nil, nil
	}
	if err := habitat.Verify(&record.Message); err != nil {
		return nil, fmt.Errorf("message %d: %w", record.Seq, err)
	}
	return &record, nil
}

// numbered is a record and the line where it stands.
type numbered struct {
	line int
	app.Record
}

// inserter inserts records, some in each transaction.
type inserter struct {
	w     *writer
	chunk []numbered
	bytes int   // of data in chunk
	first int64 // the seq of the first record
	any   bool  // there was one
}

func (i *inserter) add(r numbered) error {
	if !i.any {
		i.any, i.first = true, r.Seq
	}
	i.chunk = append(i.chunk, r)
	if i.bytes += len(r.Data); len(i.chunk) < restoreRows && i.bytes < restoreBytes {
		return nil
	}
	return i.flush()
}

func (i *inserter) flush() error {
	err := i.w.restore(i.chunk)
	i.chunk, i.bytes = i.chunk[:0], 0
	return err
}

// end inserts the rest. Messages before the first one count as pruned.
func (i *inserter) end() error {
	if !i.any {
		return errors.New("there is no message in it")
	}
	if err := i.flush(); err != nil || i.first == 1 {
		return err
	}
	return i.w.transact(func() error {
		return i.w.conn.run("INSERT INTO meta VALUES (?, ?)", metaPruned, strconv.FormatInt(i.first-1, 10))
	})
}

// restore inserts records, as a whole or, with an error, not at all. After an error
// nothing more is to be inserted.
func (w *writer) restore(records []numbered) error {
	indexed := 0
	w.index.sort()
	err := w.transact(func() (err error) {
		for i := range records {
			if err := w.restoreOne(&records[i].Record); err != nil {
				return fmt.Errorf("line %d: message %d: %w", records[i].line, records[i].Seq, err)
			}
		}
		indexed, err = w.indexSome(len(records))
		return err
	})
	if err == nil {
		w.index.wrote(indexed)
	}
	return err
}

// restoreOne inserts a message with its seq and its keys.
func (w *writer) restoreOne(r *app.Record) error {
	if r.Seq < w.next {
		return fmt.Errorf("its seq is lower than %d, which comes next", w.next)
	}
	if r.Seq == math.MaxInt64 {
		return errors.New("its seq is the highest number there is: no message could come after it")
	}
	w.next = r.Seq
	receipt, err := w.store(&r.Message)
	if err != nil {
		return classify("inserting it", err)
	}
	if receipt.Duplicate {
		return fmt.Errorf("message %d has the same id", receipt.Seq)
	}
	for _, key := range r.Keys {
		row, found, err := w.findKey.first(r.ID[:], r.Callsign, []byte(key))
		if found {
			return fmt.Errorf("its key %q stands for message %d already", key, row[0])
		}
		if err == nil {
			err = w.insertKey.run(r.Callsign, []byte(key), r.Seq)
		}
		if err != nil {
			return classify("inserting its key", err)
		}
	}
	return nil
}
