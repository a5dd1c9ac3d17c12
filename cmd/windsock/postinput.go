package main

// This file is the input of windsock post: messages from a stream, gathered into
// chunks.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// A chunk has at most so many messages, and bytes unless it is one message:
// well below what the server takes at once, and one commit there.
const (
	maxChunk      = 1_000
	maxChunkBytes = 1 << 20
)

// chunk is what is posted together.
type chunk struct {
	messages [][]byte // one line each
	err      error    // why there is nothing after them; nil at a proper end too
}

// input is a message that was read, or why there is none.
type input struct {
	message []byte
	err     error
}

// gather collects what is read while the caller is busy with what came before:
// the first chunk is one message, later ones as large as the server is slow. So
// nothing waits in a pipe for others to come.
func gather(ctx context.Context, all func(func([]byte, error) bool)) func(func(chunk) bool) {
	return func(yield func(chunk) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		// Nobody waits for the reader: it may be in a Read that never returns,
		// and the process ends with whoever gives up on it.
		read := make(chan input)
		go func() {
			defer close(read)
			for message, err := range all {
				select {
				case read <- input{message, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		chunks := make(chan chunk)
		go collect(ctx, read, chunks)
		for c := range chunks {
			if !yield(c) {
				return
			}
		}
	}
}

// collect makes chunks of what is read. One is given away as soon as somebody
// takes it, and grows until then.
func collect(ctx context.Context, read <-chan input, chunks chan<- chunk) {
	defer close(chunks)
	var forming chunk
	var next []byte // read, but with no place in this chunk
	size := 0
	for read != nil || len(forming.messages) > 0 || forming.err != nil {
		from, to := read, chunks
		if len(forming.messages) == 0 && forming.err == nil {
			to = nil
		}
		if len(forming.messages) == maxChunk || next != nil || forming.err != nil {
			from = nil
		}
		select {
		case in, ok := <-from:
			switch {
			case !ok:
				read = nil
			case in.err != nil:
				forming.err = in.err
			case len(forming.messages) > 0 && size+len(in.message) > maxChunkBytes:
				next = in.message
			default:
				forming.messages = append(forming.messages, in.message)
				size += len(in.message) + 1
			}
		case to <- forming:
			if forming.err != nil {
				return
			}
			forming, size = chunk{}, 0
			if next != nil {
				forming.messages, size, next = [][]byte{next}, len(next)+1, nil
			}
		case <-ctx.Done():
			return
		}
	}
}

// messages takes the input apart into JSON texts: those of an array, or those
// that follow one another. Whether each is a message is the server's to say.
func messages(input io.Reader) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		buffered := bufio.NewReader(input)
		isArray, err := startsArray(buffered)
		decoder := json.NewDecoder(buffered)
		if err == nil && isArray {
			_, err = decoder.Token()
		}
		for err == nil && (!isArray || decoder.More()) {
			var message json.RawMessage
			if err = decoder.Decode(&message); err == nil && !yield(oneLine(message), nil) {
				return
			}
		}
		if err == nil { // at the array's end
			if _, err = decoder.Token(); err == nil {
				_, err = decoder.Token()
				if err == nil {
					err = errors.New("something follows the array")
				}
				isArray = false
			}
		}
		if err != nil && (isArray || !errors.Is(err, io.EOF)) {
			yield(nil, unexpectedEnd(err))
		}
	}
}

// unexpectedEnd says what the end of the input within an array is.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// startsArray reports whether the first byte that is no blank opens an array.
func startsArray(r *bufio.Reader) (bool, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return false, err
		}
		if strings.IndexByte(" \t\r\n", c) < 0 {
			return c == '[', r.UnreadByte()
		}
	}
}

// oneLine returns a JSON text without the blanks between its tokens.
func oneLine(text []byte) []byte {
	var line bytes.Buffer
	if json.Compact(&line, text) != nil {
		return text // which cannot be: it has been decoded
	}
	return line.Bytes()
}
