package scgi

import "iter"

// connList is the connections that a server has open: a ring through the
// connections themselves, so that the ten thousandth costs what the first does.
type connList struct {
	first *conn
	n     int
}

// connLinks is a connection's place in the list; outside of it both are nil.
type connLinks struct{ prev, next *conn }

func (l *connList) add(c *conn) {
	if l.first == nil {
		l.first, c.links = c, connLinks{c, c}
	} else {
		last := l.first.links.prev
		c.links = connLinks{last, l.first}
		last.links.next, l.first.links.prev = c, c
	}
	l.n++
}

// remove does nothing for a connection that is not in the list.
func (l *connList) remove(c *conn) {
	if !l.has(c) {
		return
	}
	prev, next := c.links.prev, c.links.next
	prev.links.next, next.links.prev = next, prev
	if l.first == c {
		l.first = next
	}
	if l.n--; l.n == 0 {
		l.first = nil
	}
	c.links = connLinks{}
}

func (l *connList) has(c *conn) bool { return c != nil && c.links.next != nil }

func (l *connList) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		for i, c := 0, l.first; i < l.n; i, c = i+1, c.links.next {
			if !yield(c) {
				return
			}
		}
	}
}
