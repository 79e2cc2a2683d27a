package control

// Held is a control socket as one image of this program hands it over to the next.
type Held struct {
	Path     string
	Dev, Ino uint64
	FD       int
	Clients  []HeldClient
}

// HeldClient is a connection that the next image goes on serving.
type HeldClient struct {
	FD         int
	Subscribed bool
	Unread     string // was read, and not carried out
}

// Waiting is a client that waits for an answer of the next image: it asked for the hand-over.
type Waiting struct {
	FD         int
	Pid        int
	UID        int
	ID         string // of the request
	Subscribed bool
	Unread     string // was read behind that, and not carried out
}
