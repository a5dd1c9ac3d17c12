package scgi

import "strings"

// nameSet finds repeated names in a header block. Blocks of ordinary size are
// looked at in a small table on the stack, where even a peer that chooses names to
// collide costs no more than smallNames looks a name. Past that a map takes over.
type nameSet struct {
	table [2 * smallNames]nameSlot
	n     int
	many  map[string]struct{}
}

// smallNames is how many names the table takes, filled by half at most.
const smallNames = 64

// nameSlot is the place of a name in the block; the zero slot is free.
type nameSlot struct{ pos, length uint32 }

// add adds the name of that length at pos and reports whether it was there.
func (s *nameSet) add(block string, pos, length int) bool {
	name := block[pos : pos+length]
	if s.n == smallNames {
		s.spill(block)
	}
	if s.many != nil {
		_, there := s.many[name]
		s.many[name] = struct{}{}
		return there
	}
	for i := hashName(name); ; i++ {
		slot := &s.table[i%uint(len(s.table))]
		if slot.length == 0 {
			*slot = nameSlot{uint32(pos), uint32(length)}
			s.n++
			return false
		}
		if slot.name(block) == name {
			return true
		}
	}
}

// hashName tells usual names apart: they differ in length or at their end.
func hashName(name string) uint {
	h := uint(len(name))
	for i := max(0, len(name)-8); i < len(name); i++ {
		h = h*31 + uint(name[i])
	}
	return h ^ h>>7
}

// spill moves every name from the table to the map.
func (s *nameSet) spill(block string) {
	s.many = make(map[string]struct{}, 2*smallNames)
	for _, slot := range s.table {
		if slot.length > 0 {
			s.many[slot.name(block)] = struct{}{}
		}
	}
	s.n = 0
}

func (s nameSlot) name(block string) string { return block[s.pos : s.pos+s.length] }

// mergeRepeated makes a block in which every name stands once, at its first
// place. It is the slow path: nginx up to 1.22 sends repeated request headers
// as repeated variables, and `include scgi_params` with an override repeats a
// variable, but most requests repeat nothing.
func mergeRepeated(block string, start int) (Vars, error) {
	type variable struct {
		name   string
		values []string
	}
	var vars []variable
	index := make(map[string]int)
	for rest := block; rest != ""; {
		pos := len(block) - len(rest)
		var name, value string
		name, value, rest = cutVar(rest)
		i, repeated := index[name]
		switch {
		case !repeated:
			index[name] = len(vars)
			vars = append(vars, variable{name, []string{value}})
		case name == "CONTENT_LENGTH" || name == "SCGI":
			return Vars{}, &ProtocolError{Offset: start + pos, Reason: "a second " + name}
		case joinable(name):
			vars[i].values = append(vars[i].values, value)
		case vars[i].values[0] != value:
			return Vars{}, &ProtocolError{Offset: start + pos, Reason: "a second " + quote(name) + " with another value"}
		}
	}
	var sb strings.Builder
	sb.Grow(len(block))
	for _, v := range vars {
		sb.WriteString(v.name)
		sb.WriteByte(0)
		sb.WriteString(strings.Join(v.values, separator(v.name)))
		sb.WriteByte(0)
	}
	return Vars{sb.String()}, nil
}

// joinable tells the request headers that are lists, or are treated as such,
// from those of which two different ones are two readings of one request.
func joinable(name string) bool {
	return strings.HasPrefix(name, "HTTP_") && name != "HTTP_HOST" && name != "HTTP_CONTENT_LENGTH"
}

func separator(name string) string {
	if name == "HTTP_COOKIE" {
		return "; "
	}
	return ", "
}
