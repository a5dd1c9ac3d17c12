package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/retention"
)

func TestKeepLimit(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]keepLimit{
		"unlimited":       {},
		"90d":             {age: 90 * day},
		"12h":             {age: 12 * time.Hour},
		"20GB":            {bytes: 20_000_000_000},
		"1000KB":          {bytes: 1_000_000},
		"500MiB":          {bytes: 500 << 20},
		"3TB":             {bytes: 3_000_000_000_000},
		"90d,20GiB":       {age: 90 * day, bytes: 20 << 30},
		"20GiB, 90d":      {age: 90 * day, bytes: 20 << 30},
		"106751d":         {age: 106751 * day},
		"8388607TiB,1h":   {bytes: 8388607 << 40, age: time.Hour},
		"007d":            {age: 7 * day},
		"9223372036GB":    {bytes: 9_223_372_036_000_000_000},
		"2562047h,1MB":    {age: 2562047 * time.Hour, bytes: 1_000_000},
		"1h,1TiB":         {age: time.Hour, bytes: 1 << 40},
		"2d,9999999999KB": {age: 2 * day, bytes: 9_999_999_999_000},
	} {
		var got keepLimit
		require.NoError(t, got.UnmarshalText([]byte(text)), text)
		want.text = text
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "90", "6m", "90s", "-1d", "1.5d", "0d", "0h", "0MB", "999KB", "20gb", "20G", "20B", "90d,", ",90d",
		"90d,30d", "1GB,2GB", "unlimited,90d", "90d 20GB", "106752d", "9223372037GB", "8388608TiB", "99999999999999999999d", "d", "GB", "٣d", "+3d"} {
		var got keepLimit
		assert.Error(t, got.UnmarshalText([]byte(text)), text)
	}
}

func TestAddressLimit(t *testing.T) {
	for text, want := range map[string]addressLimit{
		"unlimited": {unlimited: true},
		"30d":       {age: 30 * 24 * time.Hour},
		"1h":        {age: time.Hour},
		"0":         {},
		"0d":        {},
	} {
		var got addressLimit
		require.NoError(t, got.UnmarshalText([]byte(text)), text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "30", "20GB", "30d,1GB", "never", "-1d", "00"} {
		var got addressLimit
		assert.Error(t, got.UnmarshalText([]byte(text)), text)
	}
}

func TestKeeping(t *testing.T) {
	assert.Equal(t, retention.Keep{}, keeping(keepLimit{}, addressLimit{unlimited: true}))
	assert.Equal(t, retention.Keep{Age: 1, Bytes: 2, Addresses: 3}, keeping(keepLimit{age: 1, bytes: 2}, addressLimit{age: 3}))
	assert.Equal(t, retention.Keep{Addresses: 1}, keeping(keepLimit{}, addressLimit{}), "those of before go")
}
