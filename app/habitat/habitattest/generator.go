package habitattest

// This file makes random valid messages: what the contract allows, in the odd
// ways in which it allows it.

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Generator makes messages from random numbers.
type Generator struct{ *rand.Rand }

// Fuzzed makes a Generator from a fuzzer's bytes. After them it goes on by
// itself: rand has loops that constant numbers never end.
func Fuzzed(choices []byte) Generator {
	return Generator{rand.New(&choicesSource{choices, rand.NewPCG(1, uint64(len(choices)))})}
}

type choicesSource struct {
	left []byte
	rest rand.Source
}

func (s *choicesSource) Uint64() uint64 {
	if len(s.left) == 0 {
		return s.rest.Uint64()
	}
	// Few bits make most choices, so a byte a choice; it counts at both ends.
	choice := uint64(s.left[0])
	s.left = s.left[1:]
	return choice<<56 | choice
}

// Generated is a message as a client sends it.
type Generated struct {
	Body, Address, Key string
	Created            string // time_created as it stands in the body
}

// Message returns a valid message.
func (g Generator) Message() Generated {
	callsign := g.from("ABCXYZabcxyz0189/_-", 1+g.IntN(32))
	kind, data := g.data()
	created := g.integer()
	m := Generated{Address: g.Address(), Created: g.integerText(created)}
	if g.odds(3) {
		m.Key = g.from("abc~!\" ,;=", 1+g.IntN(20))
	}
	m.Body = g.blank() + g.object([][2]string{
		{"callsign", g.quote(callsign)},
		{"type", g.quote(kind)},
		{"time_created", m.Created},
		{"time_uploaded", g.integerText(g.uploaded(created))},
		{"data", data},
	}) + g.blank()
	return m
}

func (g Generator) odds(n int) bool { return g.IntN(n) == 0 }

// Pick returns one of the values.
func Pick[T any](g Generator, from ...T) T { return from[g.IntN(len(from))] }

// from returns n characters of an ASCII alphabet.
func (g Generator) from(alphabet string, n int) string {
	var text strings.Builder
	for range n {
		text.WriteByte(alphabet[g.IntN(len(alphabet))])
	}
	return text.String()
}

func (g Generator) blank() string {
	if !g.odds(4) {
		return ""
	}
	return g.from(" \t\r\n", 1+g.IntN(3))
}

// Address returns the REMOTE_ADDR of a client.
func (g Generator) Address() string {
	v4 := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, g.Uint32())))
	var b [16]byte
	for i := range b {
		b[i] = Pick(g, 0, 0, byte(g.Uint32()))
	}
	v6 := netip.AddrFrom16(b)
	return Pick(g, v4.String(), "::ffff:"+v4.String(), v6.String(), v6.StringExpanded(), strings.ToUpper(v6.String()))
}

// object writes members in any order, with others that mean nothing among them.
func (g Generator) object(members [][2]string) string {
	for n := range g.IntN(3) {
		members = append(members, [2]string{fmt.Sprint(Pick(g, "", "DATA", "x\u00e9", "\x00"), n), g.anything(4)})
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	var texts []string
	for _, m := range members {
		texts = append(texts, g.blank()+g.quote(m[0])+g.blank()+":"+g.blank()+m[1]+g.blank())
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// anything is any JSON value, nested by depth or much.
func (g Generator) anything(depth int) string {
	switch g.IntN(6) {
	case 0:
		return Pick(g, "null", "true", "false")
	case 1:
		return g.quote(g.text())
	case 2:
		return Pick(g, "-0", "1e999", "0.10", "1E+2", g.integerText(g.integer()))
	case 3:
		if depth > 0 {
			return "[" + g.anything(depth-1) + g.blank() + "," + g.anything(depth-1) + "]"
		}
	case 4:
		if depth > 0 {
			return `{"a":` + g.anything(depth-1) + `,"A":` + g.anything(depth-1) + "}"
		}
	case 5: // at most 64 are open: three are outside, and four may be
		return strings.Repeat("[", 57) + strings.Repeat("]", 57)
	}
	return Pick(g, "{}", "[]", "[ ]")
}

// text is any text, the parts of it that JSON treats in a special way above all.
func (g Generator) text() string {
	var text strings.Builder
	for range g.IntN(12) {
		switch g.IntN(4) {
		case 0:
			text.WriteByte(byte(g.IntN(0x80)))
		case 1:
			text.WriteRune(rune(0x80 + g.IntN(0xd800-0x80)))
		case 2:
			text.WriteRune(rune(0xe000 + g.IntN(0x110000-0xe000)))
		case 3:
			text.WriteString(Pick(g, `\`, `"`, "/", "\u2028", "\u2029", "\uFEFF", "\uFFFD", "\x7f", `\u0041`, "<&>"))
		}
	}
	return text.String()
}

// quote writes a string with some of it escaped.
func (g Generator) quote(text string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var quoted strings.Builder
	for _, r := range text {
		must := r < ' ' || r == '"' || r == '\\'
		switch {
		case short[r] != "" && (must || g.odds(8)) && g.odds(2):
			quoted.WriteString(short[r])
		case must || g.odds(8):
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&quoted, Pick(g, `\u%04x`, `\u%04X`), unit)
			}
		default:
			quoted.WriteRune(r)
		}
	}
	return `"` + quoted.String() + `"`
}

func (g Generator) integer() int64 {
	return Pick(g, 0, -1, 1_301_774_389+int64(g.IntN(1000)), -int64(g.IntN(1e6)), math.MaxInt64, math.MinInt64,
		int64(g.Uint64()), int64(g.Uint64()>>g.IntN(64)))
}

// integerText writes an integer as a number with something to be cut off, or
// as a string.
func (g Generator) integerText(n int64) string {
	text := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(text, "-")
	sign := strings.TrimSuffix(text, digits)
	if n == 0 && g.odds(4) {
		sign = "-"
	}
	switch g.IntN(6) {
	case 0: // digits behind the point
		return sign + digits + "." + g.from("0123456789", 1+g.IntN(30)) + Pick(g, "", "e0", "E-0", "e+00")
	case 1: // the point further left
		cut := g.IntN(len(digits))
		whole, fraction := digits[:cut], digits[cut:]
		if whole == "" {
			whole = "0"
		}
		return sign + whole + "." + fraction + Pick(g, "e", "E", "e+") + strconv.Itoa(len(fraction))
	case 2: // the point further right
		zeros := g.IntN(40)
		if n == 0 {
			return sign + "0" + Pick(g, "", "e999999999999", "e-5")
		}
		return sign + digits + strings.Repeat("0", zeros) + "e-" + strconv.Itoa(zeros)
	case 3:
		return g.quote(g.padded(Pick(g, "", "+")+strings.Repeat("0", g.IntN(30))+digits, sign))
	default:
		return sign + digits
	}
}

// padded puts a sign and blanks around what a string holds of a number.
func (g Generator) padded(text, sign string) string {
	if sign == "-" {
		text = "-" + strings.TrimPrefix(text, "+")
	}
	const around = " \t\n\v\f\r"
	return g.from(around, g.IntN(3)) + text + g.from(around, g.IntN(3))
}

// uploaded is a time_uploaded that keeps the stored time within its bounds, by a
// margin for the time that a test takes.
func (g Generator) uploaded(created int64) int64 {
	uploaded := Pick(g, created, created+1, g.integer())
	stored := big.NewInt(created)
	stored.Add(stored, big.NewInt(time.Now().Unix())).Sub(stored, big.NewInt(uploaded))
	if stored.CmpAbs(big.NewInt(math.MaxInt64-1<<32)) > 0 {
		return created
	}
	return uploaded
}

// number is a float within limit on either side, or from 0 on.
func (g Generator) number(limit float64, negative bool) string {
	f := Pick(g, 0, limit, g.Float64()*limit, math.Abs(math.Float64frombits(g.Uint64())), 5e-324, math.Round(g.Float64()*1e9), 1e21, 1e-7)
	if !(f <= limit) {
		f = limit
	}
	if negative && g.odds(2) {
		f = -f
	}
	text := strconv.FormatFloat(f, Pick(g, byte('e'), 'E', 'g', 'G'), -1, 64)
	if size := math.Abs(f); size < 1e30 && size > 1e-30 && g.odds(2) {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if g.odds(2) {
		return text
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	switch {
	case strings.HasPrefix(text, "0.") && g.odds(2):
		text = text[1:]
	case !strings.ContainsAny(text, ".eE") && g.odds(2):
		text += "."
	}
	return g.quote(g.padded(Pick(g, "", "+", "00")+text, sign))
}

// data returns a type that clients may send and data for it.
func (g Generator) data() (kind, data string) {
	var members [][2]string
	switch g.IntN(3) {
	case 0:
		members = append(members, [2]string{"string", g.quote(g.base64())})
		if g.odds(2) {
			members = append(members, [2]string{"frequency", g.number(math.MaxFloat64, false)})
		}
		return "RECEIVED_TELEM", g.object(members)
	case 1:
		for _, name := range []string{"name", "location", "radio", "antenna"} {
			if g.odds(2) {
				value := Pick(g, g.quote(g.text()), g.quote(g.text()), "true", "false", "-0.0", "1E5", g.integerText(g.integer()))
				members = append(members, [2]string{name, value})
			}
		}
		return "LISTENER_INFO", g.object(members)
	default:
		return "LISTENER_TELEM", g.object([][2]string{
			{"latitude", g.number(90, true)},
			{"longitude", g.number(180, true)},
			{"altitude", g.integerText(g.integer())},
			{"time", g.object([][2]string{
				{"hour", g.integerText(int64(g.IntN(25)))},
				{"minute", g.integerText(int64(g.IntN(60)))},
				{"second", g.integerText(int64(g.IntN(62)))},
			})},
		})
	}
}

// base64 is any bytes in base64 that has characters in it which do not count.
func (g Generator) base64() string {
	decoded := make([]byte, g.IntN(40))
	for i := range decoded {
		decoded[i] = byte(g.Uint32())
	}
	encoded := base64.StdEncoding.EncodeToString(decoded)
	padding := strings.TrimLeft(encoded, base64Alphabet)
	var text strings.Builder
	for i, c := range strings.TrimRight(encoded, "=") {
		text.WriteString(g.noise())
		if i%4 < 2 && g.odds(16) {
			text.WriteByte('=')
		}
		text.WriteRune(c)
	}
	for range padding {
		text.WriteString(g.noise() + "=")
	}
	text.WriteString(g.noise())
	if padding != "" && g.odds(4) {
		text.WriteString("QUJD=x")
	}
	return text.String()
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func (g Generator) noise() string {
	if !g.odds(8) {
		return ""
	}
	return Pick(g, " ", "\n", "\t", "-", "_", "é", "🎈", "\x00", "\u2028", `"`)
}
