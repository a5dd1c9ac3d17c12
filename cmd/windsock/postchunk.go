package main

// This file gathers the input of windsock post into chunks, each of which is posted
// in one request.

import "context"

// A chunk has at most maxChunk messages, and maxChunkBytes unless it is one message.
// That is well below what the server takes at once, and one commit there.
const (
	maxChunk      = 1_000
	maxChunkBytes = 1 << 20
)

// chunk is what is posted together, and then what comes instead of a message.
type chunk struct {
	messages []item // all with a text
	fault    *item  // has an error, and follows the messages; nil when there is none
}

// gather collects what is read while the caller is busy with what came before:
// the first chunk is one message, later ones are larger the slower the server is.
// So nothing waits in a pipe for others to come.
func gather(ctx context.Context, all func(func(item) bool)) func(func(chunk) bool) {
	return func(yield func(chunk) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		// The reader is not waited for: it may be in a Read that never returns,
		// and then the process ends without it.
		read := make(chan item)
		go func() {
			defer close(read)
			for next := range all {
				select {
				case read <- next:
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

// collect makes chunks of what is read. A chunk is given away as soon as the poster
// takes it, and grows until then.
func collect(ctx context.Context, read <-chan item, chunks chan<- chunk) {
	defer close(chunks)
	var forming chunk
	var next *item // read, but with no place in this chunk
	size := 0
	for read != nil || len(forming.messages) > 0 || forming.fault != nil {
		from, to := read, chunks
		if len(forming.messages) == 0 && forming.fault == nil {
			to = nil
		}
		if len(forming.messages) == maxChunk || next != nil || forming.fault != nil {
			from = nil
		}
		select {
		case in, ok := <-from:
			switch {
			case !ok:
				read = nil
			case in.err != nil:
				forming.fault = &in
			case len(forming.messages) > 0 && size+len(in.text) > maxChunkBytes:
				next = &in
			default:
				forming.messages = append(forming.messages, in)
				size += len(in.text) + 1
			}
		case to <- forming:
			forming, size = chunk{}, 0
			if next != nil {
				forming.messages, size, next = []item{*next}, len(next.text)+1, nil
			}
		case <-ctx.Done():
			return
		}
	}
}
