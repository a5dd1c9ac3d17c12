package canonical

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The samples of RFC 8785, appendix B, and the edges of its two notations.
func TestAppendFloat(t *testing.T) {
	for _, c := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
		{math.Float64bits(434650000), "434650000"},
		{math.Float64bits(-1e-7), "-1e-7"},
		{math.Float64bits(1e-10), "1e-10"},
		{math.Float64bits(1e100), "1e+100"},
		{math.Float64bits(-1e21), "-1e+21"},
	} {
		f := math.Float64frombits(c.bits)
		assert.Equal(t, c.want, string(AppendFloat(nil, f)), "%016x", c.bits)
		assert.Equal(t, "x"+c.want, string(AppendFloat([]byte("x"), f)), "behind other text")
	}
}

// Every number comes back as it was, in encoding/json's notation.
func TestAppendFloatRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(random.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		got := string(AppendFloat(nil, f))
		want, err := json.Marshal(f)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
		back, err := strconv.ParseFloat(got, 64)
		require.NoError(t, err)
		require.Equal(t, f, back)
	}
}

func TestAppendString(t *testing.T) {
	for b := range byte(' ') {
		want := fmt.Sprintf(`"\u%04x"`, b)
		if short, ok := map[byte]string{'\b': `"\b"`, '\t': `"\t"`, '\n': `"\n"`, '\f': `"\f"`, '\r': `"\r"`}[b]; ok {
			want = short
		}
		assert.Equal(t, want, string(AppendString(nil, []byte{b})))
	}
	plain := " !#[]/<>&'\x7f\u0080é\u2028\u2029🎈\uffff"
	assert.Equal(t, `"`+plain+`"`, string(AppendString(nil, plain)))
	assert.Equal(t, `x"\"\\"`, string(AppendString([]byte("x"), `"\`)))
	assert.Equal(t, `"a�b"`, string(AppendString(nil, "a\xffb")), "what is no UTF-8 is replaced")
}
