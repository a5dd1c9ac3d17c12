package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/cmd/internal/front"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

// service is everything that runs.
type service struct {
	store     *sqlite.Store
	handler   *web.Handler
	tail      *feed.Tail
	committer *commit.Committer
	retention *retention.Retention
	scgi      *scgi.Server
	listeners []*listen.Listener
	front     *front.Front // nil without --http
	programs  *programs    // nil without --cgi
}

// start makes the service, in the order of a request's way from its end to its
// beginning: nothing is taken in before it can be kept. On an error, as when ctx ends
// first, nothing is left of it. ctx means nothing to the service.
func (c *serveCommand) start(ctx context.Context, logger zerolog.Logger) (*service, error) {
	path, err := storePath(c.Store)
	if err != nil {
		return nil, err
	}
	inFlight := &admission.Budget{Bytes: int64(c.InFlight)}
	programs, err := c.CGI.newPrograms(c.Mount, inFlight, logger)
	if err != nil {
		return nil, err
	}
	conns, err := c.maxConns()
	if err != nil {
		return nil, err
	}
	if err := makeDataFolder(append([]string{c.Store}, c.Listen...)...); err != nil {
		return nil, err
	}
	store, err := sqlite.OpenContext(ctx, path)
	if err != nil {
		return nil, err
	}
	tail := &feed.Tail{Log: store, MaxSubscribers: conns / 2, Logger: logger} // the rest is for those who post
	if err := tail.Start(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	committer := &commit.Committer{Log: c.storing(store), Committed: tail.Committed, Logger: logger}
	retention := &retention.Retention{Log: store, Committer: committer, Keep: keeping(c.Keep, c.KeepAddresses), Logger: logger}
	committer.Stored = retention.Stored
	handler := &web.Handler{Log: store, Committer: committer, Tail: tail, Logger: logger, Version: versionText(),
		Keep: c.Keep.text, Other: programs.find, Budget: inFlight}
	s := &service{
		store:     store,
		handler:   handler,
		tail:      tail,
		committer: committer,
		retention: retention,
		programs:  programs,
		scgi: &scgi.Server{
			Handler:  scgi.StripMount(c.Mount, handler),
			Logger:   slog.New(zerolog.NewSlogHandler(logger)),
			MaxConns: conns,
		},
	}
	retention.Start()
	if err := s.listen(ctx, c.Listen); err != nil {
		return nil, errors.Join(err, s.stop(startFailed))
	}
	if c.HTTP != "" {
		if s.front, err = startFront(ctx, c.HTTP, c.Listen[0], s.listeners[0].Addr(), s.scgi.Logger); err != nil {
			return nil, errors.Join(err, s.stop(startFailed))
		}
	}
	return s, nil
}

// storing is the log as messages go into it.
func (c *serveCommand) storing(log app.Store) app.Store {
	if c.KeepAddresses.none() {
		return app.WithoutAddresses(log)
	}
	return log
}

// closePatience is how long the closing of the store may take when there was no
// time left for it.
const closePatience = time.Second

// startFailed is the grace of a start that failed: there is little to wait for.
const startFailed = time.Second

// makeDataFolder makes the folder of the defaults. Others are for whoever names
// them to make: a mistyped path is an error, not a new and empty store.
func makeDataFolder(values ...string) error {
	for _, value := range values {
		_, path, _ := strings.Cut(value, ":")
		if filepath.Dir(path) != dataFolder {
			continue
		}
		err := os.Mkdir(dataFolder, 0o755)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return errors.Join(err, syncFolder("."))
	}
	return nil
}

// syncFolder makes the names in a folder durable: a power cut must not take the
// store away by losing the name of the folder that it is in.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// listen opens all the listeners before it serves the first.
func (s *service) listen(ctx context.Context, addrs []string) error {
	for _, addr := range addrs {
		l, err := listen.Listen(ctx, addr)
		if err != nil {
			return err
		}
		l.Logger = s.scgi.Logger
		s.listeners = append(s.listeners, l)
	}
	for _, l := range s.listeners {
		if err := s.scgi.Start(l); err != nil {
			return err
		}
	}
	return nil
}

// addresses are those that are really listened on: a port 0 has become one.
func (s *service) addresses() []string {
	var texts []string
	for _, l := range s.listeners {
		texts = append(texts, l.Addr().Network()+":"+l.Addr().String())
	}
	return texts
}

// stop ends the service in the order in which a request passes through it: event
// streams, which have no end of their own, and who waits for a CGI program; then no new requests, those that are
// in get their answer, what they stored is closed.
func (s *service) stop(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.tail.Drain()
	s.programs.drain()
	hurry := time.AfterFunc(grace/2, s.handler.Drain) // what waits until then could take all of the grace
	defer hurry.Stop()
	var frontErr error
	frontEnded := make(chan struct{})
	go func() { // beside the SCGI side, whose socket goes away at once
		defer close(frontEnded)
		if s.front != nil {
			frontErr = s.front.Stop(ctx)
		}
	}()
	err := s.scgi.Shutdown(ctx)
	<-frontEnded
	s.programs.close() // after a stop in peace there are none
	s.retention.Close()
	err = errors.Join(err, frontErr, s.committer.Close(ctx))
	s.tail.Close()
	err = errors.Join(err, s.closeStore(ctx))
	for _, l := range s.listeners {
		_ = l.Close() // those that a failed start had opened and not served; the others are closed
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not all was done after %s (--grace), what was left was broken off", grace)
	}
	if err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// closeStore closes the store, but waits for a disk that hangs no longer than
// for all else. Nothing is lost by that: what was answered is in its log.
func (s *service) closeStore(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- s.store.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-closed:
		return err
	case <-time.After(closePatience):
		return ctx.Err()
	}
}
