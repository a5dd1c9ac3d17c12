package scgi_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// pair is a variable.
type pair struct{ name, value string }

func pairs(v scgi.Vars) []pair {
	var all []pair
	for name, value := range v.All() {
		all = append(all, pair{name, value})
	}
	return all
}

func seq(all []pair) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for _, p := range all {
			if !yield(p.name, p.value) {
				return
			}
		}
	}
}

// block is a header block, "|" standing for NUL.
func block(s string) string { return strings.ReplaceAll(s, "|", "\x00") }

// least is what every header begins with.
const least = "CONTENT_LENGTH|0|SCGI|1|"

// readings are the ways in which the same bytes may arrive.
var readings = []struct {
	name string
	of   func(raw []byte) *bufio.Reader
}{
	{"in one piece", func(raw []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(raw)) }},
	{"byte by byte", func(raw []byte) *bufio.Reader { return bufio.NewReader(iotest.OneByteReader(bytes.NewReader(raw))) }},
	{"small buffer", func(raw []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(raw), 16) }},
	{"end with the last byte", func(raw []byte) *bufio.Reader {
		return bufio.NewReader(iotest.DataErrReader(bytes.NewReader(raw)))
	}},
}

// eachReading reads raw in every way and checks that all find the same.
func eachReading(t *testing.T, raw []byte, check func(t *testing.T, vars scgi.Vars, rest []byte, err error)) {
	t.Helper()
	for _, reading := range readings {
		t.Run(reading.name, func(t *testing.T) {
			r := reading.of(raw)
			vars, err := scgi.ReadHeader(r, 0)
			if err != nil {
				assert.Empty(t, pairs(vars), "nothing is returned with an error")
			}
			rest, restErr := io.ReadAll(r)
			require.NoError(t, restErr)
			check(t, vars, rest, err)
		})
	}
}

// The specification's own example, and what else is on the wire as it stands.
var headers = []struct {
	name string
	raw  string
	vars []pair
}{
	{"the least", "24:CONTENT_LENGTH|0|SCGI|1|,", []pair{{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}}},
	{"the specification's example",
		"70:CONTENT_LENGTH|27|SCGI|1|REQUEST_METHOD|POST|REQUEST_URI|/deepthought|,",
		[]pair{{"CONTENT_LENGTH", "27"}, {"SCGI", "1"}, {"REQUEST_METHOD", "POST"}, {"REQUEST_URI", "/deepthought"}}},
	{"SCGI at the end", "28:CONTENT_LENGTH|0|A|b|SCGI|1|,", []pair{{"CONTENT_LENGTH", "0"}, {"A", "b"}, {"SCGI", "1"}}},
	{"empty values", "30:CONTENT_LENGTH|0|SCGI|1|A||B||,",
		[]pair{{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"A", ""}, {"B", ""}}},
	{"the largest length", "42:CONTENT_LENGTH|9223372036854775807|SCGI|1|,",
		[]pair{{"CONTENT_LENGTH", "9223372036854775807"}, {"SCGI", "1"}}},
	{"names in lower case, with other characters", "59:CONTENT_LENGTH|0|SCGI|1|proxy-scgi-pathinfo|1|scgi|2|a=b|,|,",
		[]pair{{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"proxy-scgi-pathinfo", "1"}, {"scgi", "2"}, {"a=b", ","}}},
	{"any byte but NUL", "43:CONTENT_LENGTH|0|SCGI|1|\xff\x01|\r\n\t\x7f\xc3\x28:,|é|\u2028|,",
		[]pair{{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"\xff\x01", "\r\n\t\x7f\xc3\x28:,"}, {"é", "\u2028"}}},
	{"names that differ by case", "32:CONTENT_LENGTH|0|SCGI|1|A|1|a|2|,",
		[]pair{{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"A", "1"}, {"a", "2"}}},
}

func TestHeaderBothWays(t *testing.T) {
	for _, row := range headers {
		t.Run(row.name, func(t *testing.T) {
			raw := []byte(block(row.raw))
			written, err := scgi.AppendHeader([]byte("before"), seq(row.vars))
			require.NoError(t, err)
			assert.Equal(t, "before"+string(raw), string(written))
			eachReading(t, append(slices.Clone(raw), "body"...), func(t *testing.T, vars scgi.Vars, rest []byte, err error) {
				require.NoError(t, err)
				assert.Equal(t, row.vars, pairs(vars))
				assert.Equal(t, "body", string(rest))
			})
		})
	}
}

func atoi(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func TestVars(t *testing.T) {
	vars := parse(t, block(least+"A|1|EMPTY||B|2|"))
	assert.Equal(t, "1", vars.Get("A"))
	assert.Equal(t, "2", vars.Get("B"))
	assert.Equal(t, "", vars.Get("EMPTY"))
	assert.Equal(t, "", vars.Get("a"), "names are case-sensitive")
	assert.Equal(t, "", vars.Get("1"), "a value is no name")
	assert.Equal(t, "", vars.Get(""))
	value, ok := vars.Lookup("EMPTY")
	assert.True(t, ok)
	assert.Equal(t, "", value)
	_, ok = vars.Lookup("C")
	assert.False(t, ok)

	var first []string
	for name := range vars.All() {
		first = append(first, name)
		if len(first) == 2 {
			break
		}
	}
	assert.Equal(t, []string{"CONTENT_LENGTH", "SCGI"}, first)

	var none scgi.Vars
	assert.Equal(t, "", none.Get("A"))
	assert.Empty(t, pairs(none))
}

// parse reads a header of that block.
func parse(t testing.TB, block string) scgi.Vars {
	t.Helper()
	vars, err := scgi.ReadHeader(bufio.NewReader(bytes.NewReader(scgitest.Netstring(block, ""))), -1)
	require.NoError(t, err)
	return vars
}

func TestHeaderRefused(t *testing.T) {
	for _, row := range []struct {
		name, raw string
		offset    int
		reason    string // a part of it
	}{
		{"no digit", ":" + least + ",", 0, "does not start with the length"},
		{"plus sign", "+24:" + least + ",", 0, "does not start with the length"},
		{"minus sign", "-24:" + least + ",", 0, "does not start with the length"},
		{"blank before", " 24:" + least + ",", 0, "does not start with the length"},
		{"blank behind", "24 :" + least + ",", 2, "something else than digits"},
		{"leading zero", "024:" + least + ",", 0, "leading zero"},
		{"two zeros", "00:,", 0, "leading zero"},
		{"hexadecimal", "0x18:" + least + ",", 1, "something else than digits"},
		{"line feed", "24\n:" + least + ",", 2, "something else than digits"},
		{"other digits", "٢٤:" + least + ",", 0, "does not start with the length"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", 0, "HTTP"},
		{"FastCGI", "\x01\x01|\x01|\x08||||", 0, "FastCGI"},
		{"uwsgi", "|\x10||", 0, "uwsgi"},
		{"TLS", "\x16\x03\x01", 0, "TLS"},
		{"HTTP, a word like PROXY", "PROPFIND / HTTP/1.1\r\n\r\n", 0, "HTTP"},
		{"PROXY, binary", "\r\n\r\n|\r\nQUIT\n", 0, "PROXY"},
		{"empty block", "0:,", 2, "empty"},
		{"a lone NUL", "1:|,", 2, "without a name"},
		{"length too short", "23:" + least + ",", 26, "comma"},
		{"length too long", "25:" + least + ",x", 28, "comma"},
		{"another end", "24:" + least + ";", 27, "comma"},
		{"first variable", "24:SCGI|1|CONTENT_LENGTH|0|,", 3, "not CONTENT_LENGTH"},
		{"first variable's case", "24:Content_Length|0|SCGI|1|,", 3, "not CONTENT_LENGTH"},
		{"length missing", "23:CONTENT_LENGTH||SCGI|1|,", 18, "CONTENT_LENGTH is empty"},
		{"length 00", "25:CONTENT_LENGTH|00|SCGI|1|,", 18, "leading zero"},
		{"length 07", "25:CONTENT_LENGTH|07|SCGI|1|,", 18, "leading zero"},
		{"length +7", "25:CONTENT_LENGTH|+7|SCGI|1|,", 18, "no decimal number"},
		{"length -7", "25:CONTENT_LENGTH|-7|SCGI|1|,", 18, "no decimal number"},
		{"length with a blank", "25:CONTENT_LENGTH| 7|SCGI|1|,", 18, "no decimal number"},
		{"length with a line feed", "25:CONTENT_LENGTH|7\n|SCGI|1|,", 18, "no decimal number"},
		{"length 2^63", "42:CONTENT_LENGTH|9223372036854775808|SCGI|1|,", 18, "too large"},
		{"length 2^64+7", "43:CONTENT_LENGTH|18446744073709551623|SCGI|1|,", 18, "too large"},
		{"no SCGI", "17:CONTENT_LENGTH|0|,", 20, "scgi_params"},
		{"no SCGI but scgi", "24:CONTENT_LENGTH|0|scgi|1|,", 27, "scgi_params"},
		{"SCGI 2", "24:CONTENT_LENGTH|0|SCGI|2|,", 25, "not 1"},
		{"SCGI empty", "23:CONTENT_LENGTH|0|SCGI||,", 25, "not 1"},
		{"SCGI 01", "25:CONTENT_LENGTH|0|SCGI|01|,", 25, "not 1"},
		{"no name", "27:" + least + "|v|,", 27, "without a name"},
		{"ends in a name", "25:" + least + "A,", 27, "within a name"},
		{"ends behind a name", "26:" + least + "A|,", 29, "within a value"},
		{"ends in a value", "27:" + least + "A|b,", 29, "within a value"},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := block(row.raw)
			eachReading(t, []byte(raw), func(t *testing.T, _ scgi.Vars, _ []byte, err error) {
				var malformed *scgi.ProtocolError
				require.ErrorAs(t, err, &malformed)
				assert.Equal(t, row.offset, malformed.Offset)
				assert.Contains(t, malformed.Reason, row.reason)
				assert.Contains(t, err.Error(), "scgi: ")
				assert.NotContains(t, err.Error(), "\n")
				if row.offset > 0 {
					assert.Contains(t, err.Error(), strconv.Itoa(row.offset))
				}
			})
		})
	}
}

// A PROXY header in text is told from HTTP when it has arrived as a whole.
func TestHeaderPROXY(t *testing.T) {
	_, err := scgi.ReadHeader(bufio.NewReader(strings.NewReader("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")), 0)
	assert.ErrorContains(t, err, "PROXY protocol header")
}

// What a peer sent is shown in errors, but bounded.
func TestHeaderErrorIsBounded(t *testing.T) {
	name := strings.Repeat("N\n", 10_000)
	_, err := scgi.ReadHeader(bufio.NewReader(bytes.NewReader(scgitest.Netstring(name+"\x001\x00", ""))), 0)
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 300)
	assert.NotContains(t, err.Error(), "\n")
}

// An input that ends is a probe at its first byte, and cut short at every other.
func TestHeaderCutShort(t *testing.T) {
	whole := scgitest.Get("/")
	for n := range whole {
		for _, reading := range readings {
			_, err := scgi.ReadHeader(reading.of(whole[:n]), 0)
			if n == 0 {
				assert.Equal(t, io.EOF, err, reading.name)
			} else {
				assert.Equal(t, io.ErrUnexpectedEOF, err, "%s, %d bytes", reading.name, n)
			}
		}
	}
}

// The reader's own error is passed on.
func TestHeaderReadError(t *testing.T) {
	broken := errors.New("broken")
	whole := scgitest.Get("/")
	for _, n := range []int{0, 1, 4, 40, len(whole) - 1} {
		_, err := scgi.ReadHeader(bufio.NewReader(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken))), 0)
		assert.ErrorIs(t, err, broken, "%d bytes", n)
	}
}

func TestHeaderLimit(t *testing.T) {
	sized := func(n int) []byte {
		filler := n - len(block(least)) - len("A||")
		return scgitest.Netstring(block(least+"A|"+strings.Repeat("x", filler)+"|"), "")
	}
	for _, row := range []struct {
		name        string
		size, limit int
		ok          bool
	}{
		{"the default limit", 64 << 10, 0, true},
		{"over the default limit", 64<<10 + 1, 0, false},
		{"a limit", 300, 300, true},
		{"over a limit", 301, 300, false},
		{"a limit over the default", 100_000, 100_000, true},
		{"over a limit over the default", 100_001, 100_000, false},
		{"no limit", 1 << 20, -1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, reading := range readings {
				vars, err := scgi.ReadHeader(reading.of(sized(row.size)), row.limit)
				if row.ok {
					require.NoError(t, err)
					assert.Len(t, pairs(vars), 3)
					continue
				}
				var malformed *scgi.ProtocolError
				require.ErrorAs(t, err, &malformed)
				assert.Contains(t, malformed.Reason, "limit of "+strconv.Itoa(cmp.Or(row.limit, 64<<10))+" bytes")
			}
		})
	}
}

// Nine digits are the most, whatever the limit: so a length is an int anywhere.
func TestHeaderLengthDigits(t *testing.T) {
	for _, digits := range []string{"1000000000:", "99999999999999999999:", strings.Repeat("9", 100) + ":"} {
		_, err := scgi.ReadHeader(bufio.NewReader(strings.NewReader(digits)), -1)
		var malformed *scgi.ProtocolError
		require.ErrorAs(t, err, &malformed, digits)
		assert.Contains(t, malformed.Reason, "limit of 999999999 bytes")
	}
	_, err := scgi.ReadHeader(bufio.NewReader(strings.NewReader("999999999:")), -1)
	assert.Equal(t, io.ErrUnexpectedEOF, err)
}

// Memory grows with what arrives, never by the length that the peer claims.
func TestHeaderAllocatesByWhatArrives(t *testing.T) {
	raw := []byte("999999999:" + strings.Repeat("x", 10_000))
	br := bufio.NewReader(nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		br.Reset(bytes.NewReader(raw))
		_, err := scgi.ReadHeader(br, -1)
		require.Equal(t, io.ErrUnexpectedEOF, err)
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*100_000))
}

func TestRepeated(t *testing.T) {
	many := ""
	for i := range 100 {
		many += "N" + strconv.Itoa(i) + "|v|"
	}
	for _, row := range []struct {
		name, vars string
		want       string // the block that is left; "" when it is refused
		reason     string
	}{
		{"request header", "HTTP_X|a|B|b|HTTP_X|c|HTTP_X|a|", "HTTP_X|a, c, a|B|b|", ""},
		{"request header, empty values", "HTTP_X||HTTP_X|c|HTTP_X||", "HTTP_X|, c, |", ""},
		{"same request header", "HTTP_X|a|HTTP_X|a|", "HTTP_X|a, a|", ""},
		{"cookie", "HTTP_COOKIE|a=1|HTTP_COOKIE|b=2|HTTP_COOKIE|c=3|", "HTTP_COOKIE|a=1; b=2; c=3|", ""},
		{"both", "HTTP_COOKIE|a=1|HTTP_X|a|HTTP_COOKIE|b=2|HTTP_X|b|", "HTTP_COOKIE|a=1; b=2|HTTP_X|a, b|", ""},
		{"same variable", "SCRIPT_NAME|/a|B|b|SCRIPT_NAME|/a|", "SCRIPT_NAME|/a|B|b|", ""},
		{"same variable, empty", "A||A||", "A||", ""},
		{"case differs", "http_x|a|HTTP_X|b|http_x|a|", "http_x|a|HTTP_X|b|", ""},
		{"other variable", "SCRIPT_NAME|/a|SCRIPT_NAME|/b|", "", `a second "SCRIPT_NAME" with another value`},
		{"other variable, first empty", "A||A|b|", "", `a second "A" with another value`},
		{"other variable, third", "A|a|A|a|A|b|", "", `a second "A" with another value`},
		{"not a request header", "HTTP|a|HTTP|b|", "", `a second "HTTP" with another value`},
		{"CONTENT_LENGTH, same", "CONTENT_LENGTH|0|", "", "a second CONTENT_LENGTH"},
		{"CONTENT_LENGTH, other", "CONTENT_LENGTH|7|", "", "a second CONTENT_LENGTH"},
		{"SCGI, same", "SCGI|1|", "", "a second SCGI"},
		{"SCGI, other", "SCGI|2|", "", "SCGI is \"2\""},
		{"Host, same", "HTTP_HOST|a|HTTP_HOST|a|", "HTTP_HOST|a|", ""},
		{"Host, other", "HTTP_HOST|a|HTTP_HOST|b|", "", `a second "HTTP_HOST" with another value`},
		{"client's length, same", "HTTP_CONTENT_LENGTH|0|HTTP_CONTENT_LENGTH|0|", "HTTP_CONTENT_LENGTH|0|", ""},
		{"client's length, other", "HTTP_CONTENT_LENGTH|0|HTTP_CONTENT_LENGTH|7|", "", `a second "HTTP_CONTENT_LENGTH"`},
		{"many, none repeated", many, many, ""},
		{"many, first repeated", "A|a|" + many + "A|a|", "A|a|" + many, ""},
		{"many, first repeated otherwise", "A|a|" + many + "A|b|", "", `a second "A"`},
		{"many, last repeated", many + "HTTP_X|1|HTTP_X|2|", many + "HTTP_X|1, 2|", ""},
		{"many, all repeated", many + many, many, ""},
		{"many, CONTENT_LENGTH", many + "CONTENT_LENGTH|0|", "", "a second CONTENT_LENGTH"},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := scgitest.Netstring(block(least+row.vars), "")
			eachReading(t, raw, func(t *testing.T, vars scgi.Vars, _ []byte, err error) {
				if row.reason == "" {
					require.NoError(t, err)
					assert.Equal(t, pairs(parse(t, block(least+row.want))), pairs(vars))
					return
				}
				var malformed *scgi.ProtocolError
				require.ErrorAs(t, err, &malformed)
				assert.Contains(t, malformed.Reason, row.reason)
			})
		})
	}
}

// The offset of a repeated variable is that of the name that comes again.
func TestRepeatedOffset(t *testing.T) {
	raw := scgitest.Netstring(block(least+"A|a|B|b|A|c|"), "")
	_, err := scgi.ReadHeader(bufio.NewReader(bytes.NewReader(raw)), 0)
	var malformed *scgi.ProtocolError
	require.ErrorAs(t, err, &malformed)
	assert.Equal(t, bytes.LastIndex(raw, []byte("A\x00c")), malformed.Offset)
}

// corpus reads the files of a folder of testdata/scgi.
func corpus(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "scgi", folder, "*.scgi"))
	require.NoError(t, err)
	files := make(map[string][]byte)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		files[filepath.Base(path)] = raw
	}
	require.NotEmpty(t, files, "testdata/scgi/%s", folder)
	return files
}

func TestCorpusGood(t *testing.T) {
	files := corpus(t, "good")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			raw := files[name]
			eachReading(t, raw, func(t *testing.T, vars scgi.Vars, body []byte, err error) {
				require.NoError(t, err)
				length := atoi(t, vars.Get("CONTENT_LENGTH"))
				assert.GreaterOrEqual(t, len(body), length)
				if !strings.HasPrefix(name, "odd-trailing") {
					assert.Len(t, body, length)
				}
				if repeats(raw) {
					return
				}
				again, err := scgi.AppendHeader(nil, vars.All())
				require.NoError(t, err)
				assert.Equal(t, raw[:len(raw)-len(body)], again)
			})
		})
	}
}

// repeats reports, by counting, whether a header has a name twice.
func repeats(raw []byte) bool {
	_, block, _ := bytes.Cut(raw, []byte(":"))
	fields := bytes.Split(block, []byte{0})
	seen := make(map[string]bool)
	for i := 0; i+1 < len(fields); i += 2 {
		if seen[string(fields[i])] {
			return true
		}
		seen[string(fields[i])] = true
	}
	return false
}

// What each front end makes of the same POST.
func TestCorpusPost(t *testing.T) {
	files := corpus(t, "good")
	common := map[string]string{
		"CONTENT_LENGTH": "7", "SCGI": "1", "REQUEST_METHOD": "POST", "REQUEST_URI": "/habitat/message?x=1",
		"QUERY_STRING": "x=1", "CONTENT_TYPE": "application/json", "SERVER_PROTOCOL": "HTTP/1.1",
		"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": "curl/7.88.1", "HTTP_ACCEPT": "*/*",
	}
	const missing = "\x00"
	for name, differing := range map[string]map[string]string{
		"nginx-post.scgi": {"SCRIPT_NAME": "/habitat", "PATH_INFO": "/message", "HTTP_CONTENT_LENGTH": "7",
			"HTTP_CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Bearer token", "HTTP_HOST": "habitat.example"},
		"nginx-stock-post.scgi": {"SCRIPT_NAME": missing, "PATH_INFO": missing, "HTTP_CONTENT_LENGTH": "7"},
		"lighttpd-post.scgi": {"SCRIPT_NAME": "/habitat", "PATH_INFO": "/message", "HTTP_CONTENT_LENGTH": "7",
			"HTTP_AUTHORIZATION": "Bearer token", "HTTP_HOST": "habitat.example:8080"},
		"lighttpd-slash-post.scgi": {"SCRIPT_NAME": "/habitat/message", "PATH_INFO": missing},
		"apache-post.scgi": {"SCRIPT_NAME": "/habitat", "PATH_INFO": "/message", "proxy-scgi-pathinfo": "1",
			"HTTP_AUTHORIZATION": "Bearer token", "HTTP_CONTENT_LENGTH": missing},
		"apache-stock-post.scgi": {"SCRIPT_NAME": "/habitat/message", "PATH_INFO": missing, "HTTP_AUTHORIZATION": missing},
	} {
		t.Run(name, func(t *testing.T) {
			raw, ok := files[name]
			require.True(t, ok, "not captured")
			eachReading(t, raw, func(t *testing.T, vars scgi.Vars, body []byte, err error) {
				require.NoError(t, err)
				assert.Equal(t, `{"a":1}`, string(body))
				want := maps.Clone(common)
				maps.Copy(want, differing)
				for name, value := range want {
					got, ok := vars.Lookup(name)
					assert.Equal(t, value != missing, ok, name)
					if value != missing {
						assert.Equal(t, value, got, name)
					}
				}
			})
		})
	}
}

// onlyForServer are the bad requests whose header is well formed.
var onlyForServer = map[string]bool{
	"nginx-unbuffered-length.scgi": true, "content-length-disagrees.scgi": true, "method-missing.scgi": true,
	"path-missing.scgi": true, "cut-body-missing.scgi": true, "cut-body-short.scgi": true, "cut-body-huge.scgi": true,
}

func TestCorpusBad(t *testing.T) {
	files := corpus(t, "bad")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			eachReading(t, files[name], func(t *testing.T, _ scgi.Vars, _ []byte, err error) {
				switch {
				case onlyForServer[name]:
					assert.NoError(t, err)
				case strings.HasPrefix(name, "cut-"):
					assert.Equal(t, io.ErrUnexpectedEOF, err)
				default:
					var malformed *scgi.ProtocolError
					assert.ErrorAs(t, err, &malformed)
				}
			})
		})
	}
}
