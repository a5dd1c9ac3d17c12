package habitat

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What may stand in a field is covered by cases.json.

func TestCutNumber(t *testing.T) {
	zeros := strings.Repeat("0", 1000)
	for _, c := range []struct {
		text string
		want int64
		fits bool
	}{
		{"0", 0, true},
		{"-0.0", 0, true},
		{"1.9", 1, true},
		{"-1.9", -1, true},
		{"12.34e1", 123, true},
		{"12.34e2", 1234, true},
		{"12.34e3", 12340, true},
		{"12.34e-1", 1, true},
		{"12.34e-2", 0, true},
		{"12.34E-3", 0, true},
		{"1e18", 1e18, true},
		{"9.3e18", 0, false},
		{"9223372036854775807.999999", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"-9223372036854775808.999999", math.MinInt64, true},
		{"-9223372036854775809", 0, false},
		{"92233720368547758070", 0, false},
		{"0." + zeros + "5e1001", 5, true},
		{"0." + zeros + "5e1000", 0, true},
		{"7" + zeros + "e-1000", 7, true},
		{"7" + zeros + ".5e-1001", 0, true},
		{"0e99999999999999999999999999", 0, true},
		{"0." + zeros + "e99999999999999999999999999", 0, true},
		{"1e-99999999999999999999999999", 0, true},
		{"1e99999999999999999999999999", 0, false},
		{"-1e99999999999999999999999999", 0, false},
		{"1e9223372036854775807", 0, false},
		{"1e-9223372036854775808", 0, true},
		{"1e+0" + zeros, 1, true},
	} {
		got, fits := cutNumber([]byte(c.text))
		assert.Equal(t, c.fits, fits, "%.60s", c.text)
		if fits {
			assert.Equal(t, c.want, got, "%.60s", c.text)
		}
	}
}

// Absurd exponents and lengths take no memory.
func TestCutNumberAllocatesNothing(t *testing.T) {
	for _, text := range []string{"1e99999999999", "0e999999999", "1e-999999999", strings.Repeat("9", 1<<16), "0." + strings.Repeat("0", 1<<16)} {
		raw := []byte(text)
		assert.Zero(t, testing.AllocsPerRun(10, func() { cutNumber(raw) }), "%.20s", text)
	}
}

// cutNumber does what exact arithmetic does.
func TestCutNumberAgainstBig(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		text := randomNumber(random)
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		want := new(big.Int).Quo(exact.Num(), exact.Denom()) // towards zero
		got, fits := cutNumber([]byte(text))
		require.Equal(t, want.IsInt64(), fits, text)
		if fits {
			require.Equal(t, want.Int64(), got, text)
		}
	}
}

// randomNumber returns a JSON number, about as often in int64's range as not.
func randomNumber(random *rand.Rand) string {
	text := fmt.Sprint(random.Uint64() >> random.UintN(64))
	if random.UintN(2) == 0 {
		text += fmt.Sprintf(".%0*d", 1+random.IntN(25), random.Uint64()>>random.UintN(64))
	}
	if random.UintN(2) == 0 {
		text += fmt.Sprintf("e%+d", random.IntN(60)-30)
	}
	if random.UintN(2) == 0 {
		text = "-" + text
	}
	return text
}

func TestParseInteger(t *testing.T) {
	for _, c := range []struct {
		text     string
		want     int64
		ok, fits bool
	}{
		{"0", 0, true, true},
		{"007", 7, true, true},
		{" \t\n\v\f\r+7\r\f\v\n\t ", 7, true, true},
		{"-7", -7, true, true},
		{strings.Repeat("0", 1000) + "7", 7, true, true},
		{"9223372036854775807", math.MaxInt64, true, true},
		{"-9223372036854775808", math.MinInt64, true, true},
		{"9223372036854775808", 0, true, false},
		{"-9223372036854775809", 0, true, false},
		{"", 0, false, false},
		{" ", 0, false, false},
		{"-", 0, false, false},
		{"+ 7", 0, false, false},
		{"7 7", 0, false, false},
		{"7.0", 0, false, false},
		{"7e0", 0, false, false},
		{"0x7", 0, false, false},
		{"7_7", 0, false, false},
		{"99999999999999999999x", 0, false, false},
		{"\x857", 0, false, false},
	} {
		got, ok, fits := parseInteger([]byte(c.text))
		assert.Equal(t, c.ok, ok, "%q", c.text)
		assert.Equal(t, c.fits, fits, "%q", c.text)
		assert.Equal(t, c.want, got, "%q", c.text)
	}
}

// Digits and an exponent may cancel out.
func TestFloatOfManyDigits(t *testing.T) {
	zeros := strings.Repeat("0", 700)
	for _, text := range []string{"0." + zeros + "15e701", "15" + zeros + "e-701", "1.5" + zeros, zeros + "1.5", "1.5e" + zeros} {
		f, err := decodeFloat("", []byte(`"`+text+`"`))
		require.NoError(t, err, text)
		assert.Equal(t, 1.5, f, text)
	}
}
