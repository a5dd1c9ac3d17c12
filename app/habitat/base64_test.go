package habitat

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What CPython 3.6 to 3.13 make of each text with binascii.a2b_base64.
var base64Cases = []struct {
	name, text, want string
	invalid          bool
}{
	{name: "empty", text: "", want: ""},
	{name: "full groups", text: "JCRLSVRF", want: "$$KITE"},
	{name: "two pads", text: "JA==", want: "$"},
	{name: "one pad", text: "JCQ=", want: "$$"},
	{name: "bits left over before two pads", text: "JP==", want: "$"},
	{name: "bits left over before one pad", text: "JCT=", want: "$$"},
	{name: "blanks and line ends", text: " J\tC\r\nR\vL\f", want: "$$K"},
	{name: "outside the alphabet", text: "-J_C!R\x00L\xff", want: "$$K"},
	{name: "nothing of the alphabet", text: "\n-_\x80", want: ""},
	{name: "only pads", text: "=====", want: ""},
	{name: "pads first", text: "==JA==", want: "$"},
	{name: "pad behind one character", text: "J=A==", want: "$"},
	{name: "pads behind one character", text: "J===CRL", want: "$$K"},
	{name: "pad behind a full group", text: "JCRL=JA==", want: "$$K$"},
	{name: "pad within a group", text: "JC=RL", want: "$$K"},
	{name: "data resets the pads", text: "JC=Q=", want: "$$"},
	{name: "data behind two pads", text: "JA==JA==", want: "$"},
	{name: "data behind one pad", text: "JCQ=JA==", want: "$$"},
	{name: "more pads than needed", text: "JA====", want: "$"},
	{name: "blank between pads", text: "JA= =", want: "$"},
	{name: "outside the alphabet between pads", text: "JA=-=", want: "$"},
	{name: "one character", text: "J", invalid: true},
	{name: "two characters", text: "JA", invalid: true},
	{name: "three characters", text: "JCR", invalid: true},
	{name: "five characters", text: "JCRLJ", invalid: true},
	{name: "one pad of two", text: "JA=", invalid: true},
	{name: "pads behind one character only", text: "J====", invalid: true},
	{name: "one pad in each of two groups", text: "JA=CRJA=", invalid: true},
	{name: "pad, then a third character", text: "JA=Q", invalid: true},
	{name: "a fourth character outside the alphabet", text: "JCR-", invalid: true},
}

func TestDecodeBase64(t *testing.T) {
	for _, c := range base64Cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeBase64([]byte(c.text))
			if c.invalid {
				assert.Nil(t, got)
				require.ErrorIs(t, err, errPadding)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got))
		})
	}
}

// FuzzLenientBase64 compares with another way to say the same rules, and what
// the standard library takes it must take to the same result.
func FuzzLenientBase64(f *testing.F) {
	for _, c := range base64Cases {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeBase64(text)
		want, valid := referenceBase64(string(text))
		require.Equal(t, valid, err == nil, "%q", text)
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.Equal(t, want, string(got), "%q", text)
		if standard, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			require.Equal(t, string(standard), string(got))
		}
		again, err := decodeBase64([]byte(base64.StdEncoding.EncodeToString(got)))
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	})
}

// referenceBase64 cuts the text into groups first, then lets the standard
// library decode each.
func referenceBase64(text string) (decoded string, valid bool) {
	text = strings.Map(func(r rune) rune {
		if r == '=' || r < 0x80 && strings.ContainsRune(base64Alphabet, r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	for group := ""; ; {
		if text == "" {
			return decoded, group == ""
		}
		next := text[:1]
		switch {
		case next != "=":
			group += next
		case len(group) == 3 || len(group) == 2 && strings.HasPrefix(text, "=="):
			last, err := base64.RawStdEncoding.DecodeString(group)
			return decoded + string(last), err == nil
		}
		text = text[1:]
		if len(group) == 4 {
			full, _ := base64.RawStdEncoding.DecodeString(group)
			decoded += string(full)
			group = ""
		}
	}
}
