package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/windsock-scgi/windsock/app/retention"
)

// keepLimit is the value of --keep: an age, a size, both with a comma between
// them, or unlimited.
type keepLimit struct {
	text  string // as it was given
	age   time.Duration
	bytes int64
}

// unlimited is the word for no bound.
const unlimited = "unlimited"

// minKeepBytes is the smallest size: what is smaller was meant otherwise.
const minKeepBytes = 1_000_000

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *keepLimit) UnmarshalText(text []byte) error {
	*k = keepLimit{text: string(text)}
	if string(text) == unlimited {
		return nil
	}
	for bound := range strings.SplitSeq(string(text), ",") {
		if err := k.add(strings.TrimSpace(bound)); err != nil {
			return err
		}
	}
	return nil
}

func (k *keepLimit) add(bound string) error {
	if age, err := parseAge(bound); err == nil {
		if k.age != 0 {
			return errors.New("two ages")
		}
		if k.age = age; age == 0 {
			return fmt.Errorf("%q would keep nothing", bound)
		}
		return nil
	}
	bytes, err := parseSize(bound)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither an age (90d, 12h) nor a size (500MB, 20GB, 20GiB), nor %s", bound, unlimited)
	case k.bytes != 0:
		return errors.New("two sizes")
	case bytes < minKeepBytes:
		return fmt.Errorf("%q is too small: 1MB is the least", bound)
	}
	k.bytes = bytes
	return nil
}

// addressLimit is the value of --keep-addresses: an age or unlimited. Zero is not
// to store them at all.
type addressLimit struct {
	age       time.Duration
	unlimited bool
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *addressLimit) UnmarshalText(text []byte) error {
	*l = addressLimit{unlimited: string(text) == unlimited}
	if l.unlimited {
		return nil
	}
	age, err := parseAge(string(text))
	if err != nil && string(text) != "0" {
		return fmt.Errorf("%q is neither an age (30d, 12h), nor 0, nor %s", text, unlimited)
	}
	l.age = age
	return nil
}

// none reports whether no address is to be stored.
func (l addressLimit) none() bool { return l == addressLimit{} }

// keeping is what is kept in the application's words, where zero is no bound. What
// is not to be stored may have been once, and is too old at any age.
func keeping(k keepLimit, addresses addressLimit) retention.Keep {
	if addresses.none() {
		addresses.age = 1
	}
	return retention.Keep{Age: k.age, Bytes: k.bytes, Addresses: addresses.age}
}

// parseAge reads a whole number of days or hours. There are no other units: m is
// a month for one and a minute for another.
func parseAge(text string) (time.Duration, error) {
	number, unit := splitUnit(text)
	hours := map[string]uint64{"h": 1, "d": 24}[unit]
	n, err := strconv.ParseUint(number, 10, 64)
	if most := uint64(math.MaxInt64 / time.Hour); err != nil || hours == 0 || n > most/hours {
		return 0, errors.New("not an age")
	}
	return time.Duration(n*hours) * time.Hour, nil
}

// byteSize is a setting that is a number of bytes.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *byteSize) UnmarshalText(text []byte) error {
	bytes, err := parseSize(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a size (500MB, 1GiB)", text)
	}
	*s = byteSize(bytes)
	return nil
}

// sizeUnits are those of the SI and those of IEC 80000-13.
var sizeUnits = map[string]uint64{
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// parseSize reads a whole number of bytes, with a unit.
func parseSize(text string) (int64, error) {
	number, unit := splitUnit(text)
	n, err := strconv.ParseUint(number, 10, 64)
	if bytes := sizeUnits[unit]; err == nil && bytes != 0 && n <= math.MaxInt64/bytes {
		return int64(n * bytes), nil
	}
	return 0, errors.New("not a size")
}

func splitUnit(text string) (number, unit string) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}
