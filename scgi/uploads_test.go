package scgi_test

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/windsock-scgi/windsock/scgi"
)

// The temporary files of a multipart form are removed once the handler has ended,
// however it ended. Only a handler that hijacks keeps them.
func TestUploadsAreRemoved(t *testing.T) {
	parse := func(r *http.Request) { assert.NoError(t, r.ParseMultipartForm(0)) } // all of it into files
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		left    int
	}{
		"returned": {func(_ http.ResponseWriter, r *http.Request) { parse(r) }, 0},
		"panicked": {func(_ http.ResponseWriter, r *http.Request) { parse(r); panic("a handler's") }, 0},
		"aborted":  {func(_ http.ResponseWriter, r *http.Request) { parse(r); panic(http.ErrAbortHandler) }, 0},
		"exited":   {func(_ http.ResponseWriter, r *http.Request) { parse(r); runtime.Goexit() }, 0},
		"answered": {func(w http.ResponseWriter, r *http.Request) {
			parse(r)
			assert.NoError(t, http.NewResponseController(w).Flush())
		}, 0},
		"removed by the handler": {func(_ http.ResponseWriter, r *http.Request) {
			parse(r)
			assert.NoError(t, r.MultipartForm.RemoveAll())
		}, 0},
		"under a mount": {scgi.StripMount("/mount", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parse(r) })).ServeHTTP, 0},
		"panicked under a mount": {scgi.StripMount("/mount", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			parse(r)
			panic("a handler's")
		})).ServeHTTP, 0},
		"hijacked": {func(w http.ResponseWriter, r *http.Request) {
			parse(r)
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				assert.NoError(t, conn.Close())
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			t.Setenv("TMPDIR", folder)
			files := func() []string {
				names, err := filepath.Glob(filepath.Join(folder, "*"))
				assert.NoError(t, err)
				return names
			}
			synctest.Test(t, func(t *testing.T) {
				log := newRecorder()
				l := startMemory(t, &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						if name != "removed by the handler" {
							assert.Len(t, files(), 1)
						}
					}()
					row.handler(w, r)
				})})
				l.ask(t, upload())
				synctest.Wait()
				assert.Len(t, files(), row.left)
				assert.Empty(t, log.matching("temporary file"))
			})
		})
	}
}

// A file that cannot be removed is logged, since it takes room on the disk.
func TestUploadThatRemains(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	log := newRecorder()
	l := startMemory(t, &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(0))
		file, err := r.MultipartForm.File["file"][0].Open()
		if !assert.NoError(t, err) {
			return
		}
		path := file.(*os.File).Name()
		assert.NoError(t, file.Close())
		assert.NoError(t, os.Remove(path))
		assert.NoError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	})})
	assert.Contains(t, l.ask(t, upload()), "200 OK")
	assert.Len(t, log.matching("WARN", "a temporary file of an upload remains", "directory not empty"), 1)
}

// upload is a POST of a form with one file.
func upload() []byte {
	return []byte(post("CONTENT_TYPE|multipart/form-data; boundary=b|", formOf("content")))
}

// formOf is a form of one file, with the boundary b.
func formOf(content string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + content + "\r\n--b--\r\n"
}
