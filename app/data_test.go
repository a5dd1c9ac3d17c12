package app

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The data of the types that clients may send is covered by cases.json.

func TestTelemData(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"only what is required", `{"_raw": "JCRL", "_listener_metadata": {}}`, `{"_listener_metadata":{},"_raw":"JCRL"}`},
		{"empty raw", `{"_listener_metadata": {}, "_raw": ""}`, `{"_listener_metadata":{},"_raw":""}`},
		{"lenient raw", `{"_listener_metadata": {}, "_raw": "J C-R\nL"}`, `{"_listener_metadata":{},"_raw":"JCRL"}`},
		{"raw in canonical base64", `{"_listener_metadata": {}, "_raw": "J\u0020CR\nL\/\/=="}`, `{"_listener_metadata":{},"_raw":"JCRL/w=="}`},
		{"metadata keeps its order", `{"_raw": "", "_listener_metadata": {"b": 1, "a": {"d": 2, "c": 3}}}`, `{"_listener_metadata":{"b":1,"a":{"d":2,"c":3}},"_raw":""}`},
		{"extra values keep their text", `{"_raw": "", "_listener_metadata": {}, "x": [1.0, -0, 1E+2, 1e999, "\u0041\/", null, true, false]}`, `{"_listener_metadata":{},"_raw":"","x":[1.0,-0,1E+2,1e999,"\u0041\/",null,true,false]}`},
		{"blanks in strings stay", "{\"_raw\": \"\", \"_listener_metadata\": {}, \"x\":\t[ \" a\\\" , b \" ,\r\n{ \" c \" : [ ] } ] }", `{"_listener_metadata":{},"_raw":"","x":[" a\" , b ",{" c ":[]}]}`},
		{"keys are sorted by bytes", `{"é": 1, "z": 2, "_raw": "", "aa": 3, "_listener_metadata": {}, "a": 4, "Z": 5, "": 6, "🎈": 7, "ﬀ": 8}`, `{"":6,"Z":5,"_listener_metadata":{},"_raw":"","a":4,"aa":3,"z":2,"é":1,"ﬀ":8,"🎈":7}`},
		{"keys are sorted by what they stand for", `{"\u0062": 1, "\u0061": 2, "_\u0072aw": "", "_listener_metadata": {}}`, `{"_listener_metadata":{},"_raw":"","a":2,"b":1}`},
		{"keys have minimal escapes", `{"\/\u0022\u005c\u000a\u0001\u00e9\ud83c\udf88": 1, "_raw": "", "_listener_metadata": {}}`, `{"/\"\\\n\u0001é🎈":1,"_listener_metadata":{},"_raw":""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, checkJSON([]byte(c.raw)))
			got, err := canonicalData(Telem, []byte(c.raw))
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got))
			assert.True(t, json.Valid(got))
			again, err := canonicalData(Telem, got)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(again), "the canonical form is its own")
		})
	}
}

func TestTelemDataInvalid(t *testing.T) {
	for _, c := range []struct{ name, raw, pointer, reason string }{
		{"no object", `[]`, "/data", "must be an object, not a list"},
		{"no raw", `{"_listener_metadata": {}, "raw": ""}`, "/data/_raw", "is required"},
		{"raw is no string", `{"_raw": 1, "_listener_metadata": {}}`, "/data/_raw", "must be a string of base64, not 1"},
		{"raw has wrong padding", `{"_raw": "JCR", "_listener_metadata": {}}`, "/data/_raw", "must be base64 with the right padding"},
		{"no metadata", `{"_raw": ""}`, "/data/_listener_metadata", "is required"},
		{"metadata is null", `{"_raw": "", "_listener_metadata": null}`, "/data/_listener_metadata", "must be an object, not null"},
		{"metadata is a list", `{"_raw": "", "_listener_metadata": []}`, "/data/_listener_metadata", "must be an object, not a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, checkJSON([]byte(c.raw)))
			got, err := canonicalData(Telem, []byte(c.raw))
			assert.Nil(t, got)
			requireInvalid(t, err, c.pointer, c.reason)
		})
	}
}

func TestDataOfAnUnknownType(t *testing.T) {
	_, err := canonicalData("BEACON", []byte(`{}`))
	requireInvalid(t, err, "/type", `must be a known type, not "BEACON"`)
}

// Canonical data says what the client said: encoding/json reads the same
// strings from both.
func TestCanonicalStringsSayTheSame(t *testing.T) {
	for _, c := range readMessageCases(t) {
		if c.Status != 200 || c.Want.Type != ListenerInfo {
			continue
		}
		var envelope, sent map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(c.body(), &envelope), c.Name)
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
