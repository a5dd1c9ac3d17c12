//go:build unix

package scgi_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file has the row about WebSockets, and RFC 6455 as far as it takes to send short frames to and fro.

func checkWebSocket(t *testing.T, c *matrixCell) {
	ended := make(chan error, 1)
	c.handle(func(w http.ResponseWriter, r *http.Request) { ended <- echoFrames(w, r) })
	conn, br, resp := c.upgrade(t)
	require.Equal(t, "101 Switching Protocols", resp.Status)
	assert.Equal(t, "websocket", resp.Header.Get("Upgrade"))
	assert.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.Header.Get("Sec-Websocket-Accept")) // RFC 6455, section 1.3
	for _, text := range []string{"hello", "", "bye"} {
		_, err := conn.Write(appendFrame(nil, frameText, text, "mask"))
		require.NoError(t, err)
		opcode, got, err := readFrame(br)
		require.NoError(t, err)
		assert.EqualValues(t, frameText, opcode)
		assert.Equal(t, text, got)
	}
	_, err := conn.Write(appendFrame(nil, frameClose, "", "mask"))
	require.NoError(t, err)
	_, err = br.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
	assert.NoError(t, awaitMatrix(t, ended))
}

// checkWebSocketFramed shows that the front end takes 101 for an answer like any other, with a body that it
// frames, or that it sends another status. The handler only closes; some front ends send nothing before.
func checkWebSocketFramed(t *testing.T, c *matrixCell) {
	ended := make(chan error, 1)
	c.handle(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := switchProtocols(w, r)
		if err == nil {
			err = conn.Close()
		}
		ended <- err
	})
	_, _, resp := c.upgrade(t)
	assert.NoError(t, awaitMatrix(t, ended))
	framed := resp.Header.Get("Content-Length") != "" || len(resp.TransferEncoding) > 0
	assert.True(t, framed || resp.StatusCode != http.StatusSwitchingProtocols)
}

// upgrade asks for a WebSocket.
func (c *matrixCell) upgrade(t *testing.T) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn := c.dial(t)
	_, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", matrixMount, c.path)
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	return conn, br, resp
}

// switchProtocols takes the connection over for a WebSocket.
func switchProtocols(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.ReadWriter, error) {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + guid))
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.Header().Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	w.WriteHeader(http.StatusSwitchingProtocols)
	return http.NewResponseController(w).Hijack()
}

// echoFrames sends text back until another frame comes.
func echoFrames(w http.ResponseWriter, r *http.Request) error {
	conn, rw, err := switchProtocols(w, r)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		opcode, text, err := readFrame(rw.Reader)
		if err != nil || opcode != frameText {
			return err
		}
		if _, err := conn.Write(appendFrame(nil, frameText, text, "")); err != nil {
			return err
		}
	}
}

// Frames that are not continued.
const (
	frameText  = 0x81
	frameClose = 0x88
	frameMask  = 0x80 // of the second byte, beside a short length
)

// appendFrame appends a frame; the mask has four bytes, or is empty.
func appendFrame(b []byte, opcode byte, text, mask string) []byte {
	if mask == "" {
		return append(append(b, opcode, byte(len(text))), text...)
	}
	b = append(append(b, opcode, byte(len(text))|frameMask), mask...)
	for i := range len(text) {
		b = append(b, text[i]^mask[i%4])
	}
	return b
}

func readFrame(r io.Reader) (opcode byte, text string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	var mask [4]byte // of zeros, which change nothing
	if head[1]&frameMask != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, "", err
		}
	}
	payload := make([]byte, head[1]&^frameMask)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, "", err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0], string(payload), nil
}
