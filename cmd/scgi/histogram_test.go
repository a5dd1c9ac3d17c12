package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The buckets follow one another without a gap, to the longest duration.
func TestBuckets(t *testing.T) {
	var h histogram
	next := uint64(0)
	for bucket := range h.buckets {
		require.Equal(t, bucket, bucketOf(next))
		end := bucketEnd(bucket)
		require.Equal(t, bucket, bucketOf(end))
		require.LessOrEqual(t, end-next, next/128, "a bucket is no wider than 1 part in 128")
		next = end + 1
	}
	assert.Equal(t, uint64(1)<<63, next)
}

// A percentile is what sorting gives, or up to 1 part in 128 more.
func TestPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var whole, part histogram
		var all []time.Duration
		for i := range 1 + random.IntN(2000) {
			d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
			all = append(all, d)
			whole.record(d)
			if i%2 == 0 {
				part.record(d)
			}
		}
		var odd histogram
		for i, d := range all {
			if i%2 == 1 {
				odd.record(d)
			}
		}
		part.add(&odd)
		require.Equal(t, whole, part, "counted apart and added")

		slices.Sort(all)
		var sum time.Duration
		for _, d := range all {
			sum += d
		}
		require.Equal(t, sum/time.Duration(len(all)), whole.mean())
		require.Equal(t, all[0], whole.min)
		require.Equal(t, all[len(all)-1], whole.max)
		require.Equal(t, whole.max, whole.percentile(100))
		for _, p := range percentiles {
			exact := all[min(int(p/100*float64(len(all))+0.999999), len(all))-1]
			got := whole.percentile(p)
			require.GreaterOrEqual(t, got, exact, p)
			require.LessOrEqual(t, got-exact, exact/128+1, p)
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h, other histogram
	h.add(&other)
	assert.Zero(t, h.percentile(99))
	assert.Zero(t, h.mean())
	h.record(-time.Second)
	assert.Zero(t, h.max, "a clock that went back is no duration")
	assert.EqualValues(t, 1, h.count)
}
