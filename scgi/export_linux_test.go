package scgi

import "net"

// NewSocket makes the server's connection of a descriptor that does not block.
func NewSocket(fd int, unix bool) net.Conn { return &socket{fd: fd, unix: unix} }

// IsQuick reports whether a server would accept from l in Linux's own way.
func IsQuick(s *Server, l net.Listener) bool {
	queue := s.quicken(l)
	_, same := queue.(*quickListener)
	if same {
		_ = queue.Close()
	}
	return same
}
