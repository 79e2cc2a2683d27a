package proc

// Credential is the user and the groups that a program runs as. LookupCredential makes
// one.
type Credential struct {
	UID, GID   int
	Groups     []int  // supplementary groups
	Name, Home string // of the user; "": it has no entry in the user database
	who        string // "user nobody", for messages
}
