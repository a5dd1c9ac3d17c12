package habitattest

// This file is a second opinion on what a message is, written from the
// contract alone: encoding/json's tokens, big integers and regular expressions
// in the place of the decoder's own. It shares nothing with the product.

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/windsock-scgi/windsock/app"
)

// Opinion is what the contract makes of a body: a message, or the key of the
// envelope that is at fault, empty when the body as a whole is.
type Opinion struct {
	Valid bool
	Fault string

	ID, Callsign, Kind, Address, Data      string
	ClientCreated, ClientUploaded, Created int64
}

// Judge applies the contract's checks in its order.
func Judge(body []byte, remoteAddr string, now int64) Opinion {
	envelope, ok := strictObject(body)
	if !ok {
		return Opinion{}
	}
	for _, key := range []string{"callsign", "type", "time_created", "time_uploaded", "data"} {
		if _, ok := envelope[key]; !ok {
			return Opinion{Fault: key}
		}
	}
	var o Opinion
	callsign, ok := envelope["callsign"].(string)
	if !ok || !callsignText.MatchString(callsign) {
		return Opinion{Fault: "callsign"}
	}
	o.Callsign = strings.ToUpper(callsign)
	o.Address = addressText(remoteAddr)
	o.Kind, _ = envelope["type"].(string)
	canonical := canonicalByType[o.Kind]
	if canonical == nil {
		return Opinion{Fault: "type"}
	}
	if o.ClientCreated, ok = wholeNumber(envelope["time_created"]); !ok {
		return Opinion{Fault: "time_created"}
	}
	if o.ClientUploaded, ok = wholeNumber(envelope["time_uploaded"]); !ok {
		return Opinion{Fault: "time_uploaded"}
	}
	created := big.NewInt(o.ClientCreated)
	created.Add(created, big.NewInt(now)).Sub(created, big.NewInt(o.ClientUploaded))
	if !created.IsInt64() {
		return Opinion{Fault: "time_created"}
	}
	o.Created = created.Int64()
	data, ok := envelope["data"].(map[string]any)
	if ok {
		o.Data, ok = canonical(data)
	}
	if !ok {
		return Opinion{Fault: "data"}
	}
	o.ID = identity(o.Callsign, o.Kind, strconv.FormatInt(o.ClientCreated, 10), o.Data)
	o.Valid = true
	return o
}

// addressText is the canonical text of an address without its zone, empty for
// what is no address.
func addressText(remoteAddr string) string {
	host, zone, zoned := strings.Cut(remoteAddr, "%")
	ip := net.ParseIP(host)
	if ip == nil || zoned && (zone == "" || !strings.Contains(host, ":")) {
		return ""
	}
	return ip.String()
}

// identity is the id of a message with these parts.
func identity(parts ...string) string {
	hashed := []byte{1}
	for _, part := range parts {
		hashed = append(binary.BigEndian.AppendUint64(hashed, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(hashed)
	return hex.EncodeToString(sum[:16])
}

// strictObject reads a body as strict JSON: objects as maps, numbers as
// json.Number. It is false for what is none, or no object.
func strictObject(body []byte) (map[string]any, bool) {
	// A byte order mark is no JSON to json.Valid either.
	if !json.Valid(body) || !utf8.Valid(body) || !pairedSurrogates(body) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	value, err := strictValue(decoder, 1)
	object, ok := value.(map[string]any)
	return object, ok && err == nil
}

var errNotStrict = errors.New("too deep, or a name is repeated")

// strictValue reads one value. An object or list there would be the depth-th
// that is open.
func strictValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if delim, ok := token.(json.Delim); ok {
		if depth > 64 {
			return nil, errNotStrict
		}
		if delim == '{' {
			return strictMembers(decoder, depth+1)
		}
		return strictItems(decoder, depth+1)
	}
	return token, err
}

func strictMembers(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		if _, repeated := object[name.(string)]; repeated {
			return nil, errNotStrict
		}
		if object[name.(string)], err = strictValue(decoder, depth); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}

func strictItems(decoder *json.Decoder, depth int) (any, error) {
	list := []any{}
	for decoder.More() {
		item, err := strictValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := decoder.Token()
	return list, err
}

var escapes = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`)

// pairedSurrogates reports whether each half of a pair that JSON escapes stands
// beside its other half.
func pairedSurrogates(text []byte) bool {
	high := -1 // where the second half must begin
	for _, at := range escapes.FindAllIndex(text, -1) {
		code, _ := strconv.ParseUint(strings.TrimPrefix(string(text[at[0]:at[1]]), `\u`), 16, 32)
		isLow := at[1]-at[0] == 6 && code>>10 == 0xdc00>>10
		if isLow != (high == at[0]) {
			return false
		}
		if high >= 0 && !isLow {
			return false
		}
		high = -1
		if at[1]-at[0] == 6 && code>>10 == 0xd800>>10 {
			high = at[1]
		}
	}
	return high < 0
}

const blanks = " \t\n\v\f\r"

var (
	callsignText = regexp.MustCompile(`\A[A-Za-z0-9/_-]{1,32}\z`)
	integerText  = regexp.MustCompile(`\A[+-]?[0-9]+\z`)
	numberText   = regexp.MustCompile(`\A([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?\z`)
)

// wholeNumber reads an integer by the rule of the times.
func wholeNumber(value any) (int64, bool) {
	whole := new(big.Int)
	switch value := value.(type) {
	case json.Number:
		if !cutFraction(whole, string(value)) {
			return 0, false
		}
	case string:
		text := strings.Trim(value, blanks)
		if !integerText.MatchString(text) {
			return 0, false
		}
		whole.SetString(strings.TrimPrefix(text, "+"), 10)
	default:
		return 0, false
	}
	return whole.Int64(), whole.IsInt64()
}

// cutFraction sets whole to a JSON number's part before the point that its
// exponent gives it, or reports that this is longer than any int64.
func cutFraction(whole *big.Int, number string) bool {
	parts := numberText.FindStringSubmatch(number)
	digits := strings.TrimLeft(parts[2]+parts[3], "0")
	exponent, err := strconv.Atoi("0" + strings.TrimLeft(parts[4], "+-"))
	if err != nil {
		exponent = math.MaxInt32
	}
	if strings.HasPrefix(parts[4], "-") {
		exponent = -exponent
	}
	count := len(digits) + exponent - len(parts[3]) // of digits before the point
	switch {
	case digits == "" || count <= 0:
		return true
	case count > 19:
		return false
	}
	digits += strings.Repeat("0", 19)
	whole.SetString(parts[1]+digits[:count], 10)
	return true
}

// finiteNumber reads a number or a string that is one.
func finiteNumber(value any) (float64, bool) {
	var text string
	switch value := value.(type) {
	case json.Number:
		text = string(value)
	case string:
		text = strings.Trim(value, blanks)
	default:
		return 0, false
	}
	parts := numberText.FindStringSubmatch(text)
	if parts == nil || parts[2]+parts[3] == "" {
		return 0, false
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f, !math.IsInf(f, 0)
}

// canonicalByType makes canonical data, by type of message.
var canonicalByType = map[string]func(map[string]any) (string, bool){
	"RECEIVED_TELEM": canonicalReceived,
	"LISTENER_INFO":  canonicalInfo,
	"LISTENER_TELEM": canonicalListener,
}

// fields are an object's members, their values as text.
type fields map[string]string

func (f fields) String() string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		members = append(members, `"`+name+`":`+f[name])
	}
	return "{" + strings.Join(members, ",") + "}"
}

func canonicalReceived(data map[string]any) (string, bool) {
	text, ok := data["string"].(string)
	if !ok {
		return "", false
	}
	received, ok := lenientBase64(text)
	if !ok {
		return "", false
	}
	all := fields{"string": `"` + base64.StdEncoding.EncodeToString(received) + `"`}
	if value, ok := data["frequency"]; ok {
		frequency, ok := finiteNumber(value)
		if !ok || frequency < 0 {
			return "", false
		}
		all["frequency"] = shortest(frequency)
	}
	return all.String(), true
}

func canonicalInfo(data map[string]any) (string, bool) {
	all := fields{}
	for _, name := range []string{"name", "location", "radio", "antenna"} {
		value, ok := data[name]
		if !ok {
			continue
		}
		switch value := value.(type) {
		case string:
			all[name] = minimalEscapes(value)
		case json.Number, bool:
			all[name] = minimalEscapes(fmt.Sprint(value))
		default:
			return "", false
		}
	}
	return all.String(), true
}

func canonicalListener(data map[string]any) (string, bool) {
	all := fields{}
	for name, limit := range map[string]float64{"latitude": 90, "longitude": 180} {
		degrees, ok := finiteNumber(data[name])
		if !ok || math.Abs(degrees) > limit {
			return "", false
		}
		all[name] = shortest(degrees)
	}
	altitude, ok := wholeNumber(data["altitude"])
	if !ok {
		return "", false
	}
	all["altitude"] = fmt.Sprint(altitude)
	clock, ok := data["time"].(map[string]any)
	if !ok {
		return "", false
	}
	hands := fields{}
	for name, limit := range map[string]int64{"hour": 24, "minute": 59, "second": 61} {
		hand, ok := wholeNumber(clock[name])
		if !ok || hand < 0 || hand > limit {
			return "", false
		}
		hands[name] = fmt.Sprint(hand)
	}
	all["time"] = hands.String()
	return all.String(), true
}

// shortest is encoding/json's notation, which is ECMAScript's too, but for the
// sign of zero.
func shortest(f float64) string {
	if f == 0 {
		return "0"
	}
	text, _ := json.Marshal(f) // it is finite, so there is no error
	return string(text)
}

// minimalEscapes quotes a string with the escapes that JSON cannot do without.
func minimalEscapes(s string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var quoted strings.Builder
	for _, r := range s {
		switch {
		case short[r] != "":
			quoted.WriteString(short[r])
		case r < ' ':
			fmt.Fprintf(&quoted, `\u%04x`, r)
		default:
			quoted.WriteRune(r)
		}
	}
	return `"` + quoted.String() + `"`
}

var (
	outsideBase64 = regexp.MustCompile(`[^A-Za-z0-9+/=]`)
	// Groups of four, then one that padding completes, or none. A lone padding
	// character before the last of four completes nothing, nor does one at a
	// group's beginning.
	paddedBase64 = regexp.MustCompile(`\A((?:=*[^=]=*[^=]=?[^=][^=])*)(?:=*[^=]=*[^=](?:=?[^=]=|==)|=*\z)`)
)

// lenientBase64 decodes as binascii.a2b_base64 does.
func lenientBase64(text string) ([]byte, bool) {
	matched := paddedBase64.FindString(outsideBase64.ReplaceAllString(text, ""))
	if matched == "" && outsideBase64.ReplaceAllString(text, "") != "" {
		return nil, false
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(matched, "=", ""))
	return decoded, err == nil
}

// Of is what the decoder's answer says, to be compared.
func Of(m app.Message, err error) Opinion {
	if err != nil {
		var invalid *app.InvalidError
		errors.As(err, &invalid)
		first, _, _ := strings.Cut(strings.TrimPrefix(invalid.Pointer, "/"), "/")
		return Opinion{Fault: first}
	}
	return Opinion{
		Valid: true, ID: m.ID.String(), Callsign: m.Callsign, Kind: string(m.Type), Address: addressText(m.Address.String()),
		Data: string(m.Data), ClientCreated: m.ClientCreated, ClientUploaded: m.ClientUploaded, Created: m.TimeCreated,
	}
}
