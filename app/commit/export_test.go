package commit

// Works returns how many works wait for their turn.
func (c *Committer) Works() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.works)
}
