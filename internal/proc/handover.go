package proc

// Handed is a child as one image of this program hands it over to the next, which has the
// same pid, and so the same children.
type Handed struct {
	Pid    int
	Group  bool
	Ended  bool // and was waited for
	Status int  // raw (wait(2))
}
