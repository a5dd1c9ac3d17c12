package habitat

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
)

func TestDataOfAnUnknownType(t *testing.T) {
	_, err := canonicalData("BEACON", []byte(`{}`))
	requireInvalid(t, err, "/type", `must be a type that clients send, not "BEACON"`)
}

// Canonical data says what the client said: encoding/json reads the same
// strings from both.
func TestCanonicalStringsSayTheSame(t *testing.T) {
	for _, c := range habitattest.ReadCases(t) {
		if c.Status != 200 || c.Want.Type != app.ListenerInfo {
			continue
		}
		var envelope, sent map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(c.Bytes(), &envelope), c.Name)
		require.NoError(t, json.Unmarshal(envelope["data"], &sent), c.Name)
		var stored map[string]string
		require.NoError(t, json.Unmarshal([]byte(c.Want.Data), &stored), c.Name)
		for name, value := range stored {
			want := string(sent[name])
			if sent[name][0] == '"' {
				require.NoError(t, json.Unmarshal(sent[name], &want), c.Name)
			}
			assert.Equal(t, want, value, c.Name)
		}
	}
}

// canonicalData returns the canonical form of data that is a text of its own.
func canonicalData(t app.Type, raw []byte) ([]byte, error) {
	d := canonical.NewDecoder(raw)
	defer d.Close()
	var f fields
	read, err := f.read(d)
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return nil, err
	}
	return f.canonical(t, read)
}
