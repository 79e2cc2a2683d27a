package notify

import "github.com/lestrrat/go-server-starter/internal/supervise"

// Held is a socket as one image of this program hands it over to the next.
type Held struct {
	Path    string // of its directory; "": it is an abstract one
	FD      int
	Unheard []supervise.Notice // that were read, but not handled
}
