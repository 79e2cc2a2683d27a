package proc

// Credential is whom a program is to run as. LookupCredential makes one.
type Credential struct {
	UID, GID int
	Groups   []int  // supplementary groups
	who      string // "user nobody", for messages
}

func (c *Credential) String() string { return c.who }
