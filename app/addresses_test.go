package app_test

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

func TestWithoutAddresses(t *testing.T) {
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	m := apptest.Numbered(1)
	m.Address = netip.MustParseAddr("192.0.2.1")
	_, err = app.WithoutAddresses(log).Append([]app.Message{m})
	require.NoError(t, err)
	page, err := app.WithoutAddresses(log).Read(t.Context(), app.Query{Limit: 1})
	require.NoError(t, err)
	require.Len(t, page.Entries, 1)
	assert.False(t, page.Entries[0].Address.IsValid())
}
