package habitat

// This file looks at a stored message and says whether it can be what was
// stored: everything that Decode makes sure of can be found out again.

import (
	"bytes"
	"fmt"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// Verify returns an error that names the first thing about a stored message
// that Decode cannot have made: then it was changed since, by a failing disk or
// by hand. Data and address are looked at for their canonical form, and the ID
// is computed anew. The Key is no part of what is read back, and not looked at.
func Verify(m *app.Message) error {
	for _, verify := range []func(*app.Message) error{verifyCallsign, verifyAddress, verifyTimes, verifyData} {
		if err := verify(m); err != nil {
			return err
		}
	}
	if id := messageID(m); id != m.ID {
		return fmt.Errorf("its id is %s, and what it holds gives %s", m.ID, id)
	}
	return nil
}

func verifyCallsign(m *app.Message) error {
	for _, c := range []byte(m.Callsign) {
		if !inCallsign(c) || 'a' <= c && c <= 'z' {
			return fmt.Errorf("its callsign %s is not of the characters A-Z 0-9 / _ -", quote(m.Callsign))
		}
	}
	if len(m.Callsign) == 0 || len(m.Callsign) > maxCallsign {
		return fmt.Errorf("its callsign has %d characters, not 1 to %d", len(m.Callsign), maxCallsign)
	}
	return nil
}

func verifyAddress(m *app.Message) error {
	if m.Address.Zone() != "" || m.Address.Is4In6() {
		return fmt.Errorf("its address %s is not in canonical form", m.Address)
	}
	return nil
}

// verifyTimes holds the times against each other. What the clock said it cannot
// know: one that jumped is no damage.
func verifyTimes(m *app.Message) error {
	if m.TimeUploaded != m.Received.Unix() {
		return fmt.Errorf("its time_uploaded %d is not the second in which it was received, %d",
			m.TimeUploaded, m.Received.Unix())
	}
	created, fits := shiftTime(m.ClientCreated, m.TimeUploaded, m.ClientUploaded)
	if !fits || created != m.TimeCreated {
		return fmt.Errorf("its time_created %d is not what the client's times give", m.TimeCreated)
	}
	return nil
}

func verifyData(m *app.Message) error {
	d := canonical.NewDecoder(m.Data)
	defer d.Close()
	var f fields
	raw, err := f.read(d)
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return fmt.Errorf("its data is no JSON: %w", err)
	}
	made, err := f.canonical(m.Type, raw)
	if err != nil {
		return fmt.Errorf("its data is not that of a %s: %w", quote(string(m.Type)), err)
	}
	if !bytes.Equal(made, m.Data) {
		return fmt.Errorf("its data is not in canonical form: %s", quote(m.Data))
	}
	return nil
}
