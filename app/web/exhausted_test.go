package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/windsock-scgi/windsock/app/web"
)

// A request for which no descriptor is left is worth trying again.
func TestOutOfDescriptors(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		w := httptest.NewRecorder()
		web.WriteError(w, httptest.NewRequest("GET", "/", nil), fmt.Errorf("opening: %w", os.NewSyscallError("open", errno)))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Regexp(t, `^[1-5]$`, w.Header().Get("Retry-After"))
	}
}
