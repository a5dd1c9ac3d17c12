package habitat

import (
	"strconv"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// idVersion is the first byte that is hashed into an ID. Another way to make
// IDs or canonical data gets another version.
const idVersion = 1

// messageID returns the ID of a message that has everything else.
func messageID(m *app.Message) app.ID {
	var decimal [20]byte // the longest int64 has a sign and 19 digits
	created := strconv.AppendInt(decimal[:0], m.ClientCreated, 10)
	return canonical.Identity(idVersion, []byte(m.Callsign), []byte(m.Type), created, m.Data)
}
