// Package trampoline is what a worker runs between the fork and its program,
// where something is to be done there that fork and exec alone cannot do: its
// own pid is to stand in a variable, its umask or niceness to be another, its
// privileges to be dropped. The worker is first this executable again, which
// does that and then executes the program, so that the pid stays the same and
// no shell is needed.
//
// The instructions come over a socket pair. The other end gets a Failure back,
// or, as the descriptor is close-on-exec, its end when the program runs.
//
// An init function sees whether this process is to be such a worker. It needs
// few packages, so that it runs before most others are initialised.
package trampoline

import "errors"

// Variable tells the executable which descriptor the instructions come from, and
// who sends them: FD:PID. It means nothing if the descriptor is anything else
// than a socket pair that holds some and the sender is not the parent.
const Variable = "START_SERVER_TRAMPOLINE_FD"

// Job is what is to be done, in this order but for the first three, which come
// last.
type Job struct {
	Paths     []string // the program's file: those after the first are tried as execvp(3) would
	Args, Env []string

	Nice     int       // added to the niceness; before privileges are dropped, as it may need them
	Identity *Identity // nil: that of who has started us
	Parent   int       // TERM comes when this process, our parent, is gone. 0: it does not
	Umask    int       // -1: the umask stays
	// Dir is the working directory, entered with the privileges that the
	// program has, as if it did that itself: root's, over NFS, may be fewer.
	Dir         string // "": it stays
	PidVariable string // set to our pid. "": none
	Closed      []int  // descriptors that the program finds closed, besides the socket
	Signals     Signals
}

// Identity is who a process is to the kernel.
type Identity struct {
	UID, GID int
	Groups   []int // supplementary ones
}

// Signals is what exec hands on to a program of how signals are treated. Go's
// runtime changes that in this process.
type Signals struct {
	Ignored []int
	Blocked []uint64 // the words of a set as the kernel has it; nil: it stays as it is
}

// Step is what may fail.
type Step uint32

// The steps.
const (
	StepRead Step = iota + 1
	StepPrivileged
	StepNice
	StepGroups
	StepGID
	StepUID
	StepParent
	StepDir
	StepExec
)

// Failure is what is sent back when the program cannot be executed: the step
// and its error number.
type Failure struct {
	Step  Step
	Errno uint32
}

// FailureSize is the length of an encoded Failure.
const FailureSize = 8

// Encode returns FailureSize bytes.
func (f Failure) Encode() []byte {
	return putUint32(putUint32(nil, uint32(f.Step)), f.Errno)
}

// DecodeFailure is the reverse of Encode; ok is false for anything else.
func DecodeFailure(b []byte) (f Failure, ok bool) {
	d := decoder{rest: b}
	f = Failure{Step(d.uint32()), d.uint32()}
	return f, !d.short && len(d.rest) == 0 && f.Step >= StepRead && f.Step <= StepExec
}

// magic begins the instructions. What comes after it may change with each
// version of this package, as both ends are the same executable.
const magic = "start_server trampoline 1\n"

// HeaderSize is how many bytes must be there to be read when the process begins:
// it would not take the descriptor for its own otherwise.
const HeaderSize = len(magic) + 4

// Encode returns the instructions as they are sent.
func (j *Job) Encode() []byte {
	size := HeaderSize + 256
	for _, list := range [][]string{j.Paths, j.Args, j.Env} {
		for _, s := range list {
			size += 4 + len(s)
		}
	}
	b := append(make([]byte, 0, size), magic...)
	b = putUint32(b, 0) // the length, which is known at the end
	b = putStrings(b, j.Paths)
	b = putStrings(b, j.Args)
	b = putStrings(b, j.Env)
	b = putInt(b, j.Nice)
	if j.Identity == nil {
		b = putInt(b, 0)
	} else {
		b = putInt(b, 1)
		b = putInt(b, j.Identity.UID)
		b = putInt(b, j.Identity.GID)
		b = putInts(b, j.Identity.Groups)
	}
	b = putInt(b, j.Parent)
	b = putInt(b, j.Umask)
	b = putString(b, j.Dir)
	b = putString(b, j.PidVariable)
	b = putInts(b, j.Closed)
	b = putInts(b, j.Signals.Ignored)
	b = putUint32(b, uint32(len(j.Signals.Blocked)))
	for _, word := range j.Signals.Blocked {
		b = putUint64(b, word)
	}
	putUint32(b[len(magic):len(magic)], uint32(len(b)-HeaderSize))
	return b
}

// decodeHeader is the length of the body; ok is false if it is no header.
func decodeHeader(b []byte) (length int, ok bool) {
	if len(b) != HeaderSize || string(b[:len(magic)]) != magic {
		return 0, false
	}
	d := decoder{rest: b[len(magic):]}
	return int(d.uint32()), true
}

var errGarbled = errors.New("garbled instructions")

// decodeBody is the reverse of Encode, without the header.
func decodeBody(b []byte) (*Job, error) {
	d := decoder{rest: b}
	j := &Job{Paths: d.strings(), Args: d.strings(), Env: d.strings(), Nice: d.int()}
	switch d.int() {
	case 0:
	case 1:
		j.Identity = &Identity{UID: d.int(), GID: d.int(), Groups: d.ints()}
	default:
		return nil, errGarbled
	}
	j.Parent, j.Umask, j.Dir, j.PidVariable, j.Closed = d.int(), d.int(), d.string(), d.string(), d.ints()
	j.Signals.Ignored = d.ints()
	for range d.count(8) {
		j.Signals.Blocked = append(j.Signals.Blocked, d.uint64())
	}
	if d.short || len(d.rest) > 0 || len(j.Paths) == 0 || len(j.Args) == 0 {
		return nil, errGarbled
	}
	return j, nil
}

func putUint32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func putUint64(b []byte, v uint64) []byte {
	return putUint32(putUint32(b, uint32(v)), uint32(v>>32))
}

func putInt(b []byte, v int) []byte { return putUint64(b, uint64(v)) }

func putInts(b []byte, list []int) []byte {
	b = putUint32(b, uint32(len(list)))
	for _, v := range list {
		b = putInt(b, v)
	}
	return b
}

func putString(b []byte, s string) []byte {
	return append(putUint32(b, uint32(len(s))), s...)
}

func putStrings(b []byte, list []string) []byte {
	b = putUint32(b, uint32(len(list)))
	for _, s := range list {
		b = putString(b, s)
	}
	return b
}

// decoder takes values off rest. Once one is cut off, all are zero.
type decoder struct {
	rest  []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.short, d.rest = true, nil
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) uint32() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (d *decoder) uint64() uint64 {
	low := uint64(d.uint32())
	return low | uint64(d.uint32())<<32
}

func (d *decoder) int() int { return int(d.uint64()) }

// count is a length of a list whose items take size bytes at least.
func (d *decoder) count(size int) int {
	n := int(d.uint32())
	if n < 0 || n > len(d.rest)/size {
		d.short, d.rest = true, nil
		return 0
	}
	return n
}

func (d *decoder) ints() []int {
	var list []int
	for range d.count(8) {
		list = append(list, d.int())
	}
	return list
}

func (d *decoder) string() string { return string(d.take(int(d.uint32()))) }

func (d *decoder) strings() []string {
	n := d.count(4)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.string())
	}
	return list
}
