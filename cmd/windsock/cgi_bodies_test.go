package main_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// Bodies of every size come through each front end's deploy file, one after the
// other over connections that are kept: to programs that take all of one before
// they answer or after their header, to one that takes nothing, and to one that
// gives it back while it reads.
func TestCGIBodies(t *testing.T) {
	frontend.Require(t, frontend.All()...)
	dir := folder(t)
	serve(t, dir, "--cgi", "/cgi="+cgiFolder(t))
	for _, kind := range frontend.All() {
		t.Run(string(kind), func(t *testing.T) {
			front := frontend.Start(t, kind, frontend.Config{Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			post := func(program, body string) string {
				resp, err := client.Post(front.URL+"/habitat/cgi/"+program, "text/plain", strings.NewReader(body))
				require.NoError(t, err)
				defer resp.Body.Close()
				answer, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return fmt.Sprint(resp.StatusCode, " ", string(answer))
			}
			for _, size := range []int{0, 1, 4095, 4096, 4097, 64 << 10, 64<<10 + 1, 1<<20 + 1, 3_000_000, 4 << 20} {
				body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
				sum := fmt.Sprintf("200 %x\n", sha256.Sum256([]byte(body)))
				assert.Equal(t, sum, post("sum.sh", body), size)
				assert.Equal(t, sum, post("sum-first.sh", body), size)
				assert.Equal(t, "403 no\n", post("ignores-body.sh", body), size)
				assert.True(t, "200 "+body == post("echo.py", body), "%d bytes", size)
			}
		})
	}
}
