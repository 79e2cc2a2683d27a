// Package trampoline prepares a worker in ways that fork and exec alone cannot: it sets
// a variable to the worker's own pid, sets its umask and niceness, and drops privileges.
// The worker first runs this executable again, which does that and then executes the
// program. So the pid stays the same, and no shell is needed.
//
// The instructions come over a socket pair. What comes back is a Failure or, when the
// program is executed, the end of the file: the descriptor is close-on-exec.
//
// An init function finds out whether this process is such a worker. The package imports
// little, so that this init function runs before nearly all others.
package trampoline

import "errors"

// Variable is set to FD:PID: the descriptor that the instructions come from, and the
// process that sends them. If no instructions are there it is ignored; but if PID is our
// parent that is an error.
const Variable = "START_SERVER_TRAMPOLINE_FD"

// Job is the instructions: what to do before the exec, in this order, and what to
// execute.
type Job struct {
	Paths     []string // of the program's file, tried in turn as execvp(3) does
	Args, Env []string

	Nice     int       // added to the niceness, which may take the privileges that are dropped next
	Identity *Identity // nil: the parent's
	Parent   int       // our parent's pid: TERM comes when that is gone; 0: it does not
	Umask    int       // -1: it stays
	// Dir is the working directory; "": it stays. It is entered as the program's user:
	// over NFS root may have fewer rights.
	Dir          string
	PidVariables []string // set to our pid
	NoNewPrivs   bool
	Limits       []Limit
	Closed       []int // descriptors to close on exec, besides the socket
	Signals      Signals
}

// Identity is the IDs of a process.
type Identity struct {
	UID, GID  int
	Groups    []int // supplementary
	NewGroups bool  // set Groups; only root may, even to what they are already
	Apart     bool  // it is another user's: a new session keyring, and no capabilities
}

// Limit is a resource limit (setrlimit(2)).
type Limit struct {
	Resource   int
	Soft, Hard uint64
}

// Signals is which signals a program finds ignored and blocked when it is executed. Go's
// runtime has changed that in this process.
type Signals struct {
	Ignored []int
	Blocked []uint64 // the words of the kernel's signal set; nil: it stays
}

// Step is a step that may fail.
type Step uint32

// The steps.
const (
	StepRead Step = iota + 1
	StepPrivileged
	StepNice
	StepLimits
	StepKeyring
	StepGroups
	StepGID
	StepUID
	StepParent
	StepDir
	StepNoNewPrivs
	StepExec
)

// Failure is sent back when the program cannot be executed.
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
	return f, !d.bad && len(d.rest) == 0 && f.Step >= StepRead && f.Step <= StepExec
}

// magic begins the instructions. What follows may change with every version, because both
// ends are the same executable.
const magic = "start_server trampoline 1\n"

// HeaderSize is how many bytes must be readable when the process begins. Otherwise it
// does not take itself for a trampoline.
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
	b = putUint32(b, 0) // the length, filled in at the end
	b = putStrings(b, j.Paths)
	b = putStrings(b, j.Args)
	b = putStrings(b, j.Env)
	b = putInt(b, j.Nice)
	b = putBool(b, j.Identity != nil)
	if j.Identity != nil {
		b = putInt(b, j.Identity.UID)
		b = putInt(b, j.Identity.GID)
		b = putInts(b, j.Identity.Groups)
		b = putBool(b, j.Identity.NewGroups)
		b = putBool(b, j.Identity.Apart)
	}
	b = putInt(b, j.Parent)
	b = putInt(b, j.Umask)
	b = putString(b, j.Dir)
	b = putStrings(b, j.PidVariables)
	b = putBool(b, j.NoNewPrivs)
	b = putUint32(b, uint32(len(j.Limits)))
	for _, l := range j.Limits {
		b = putUint64(putUint64(putInt(b, l.Resource), l.Soft), l.Hard)
	}
	b = putInts(b, j.Closed)
	b = putInts(b, j.Signals.Ignored)
	b = putUint32(b, uint32(len(j.Signals.Blocked)))
	for _, word := range j.Signals.Blocked {
		b = putUint64(b, word)
	}
	putUint32(b[len(magic):len(magic)], uint32(len(b)-HeaderSize))
	return b
}

// decodeHeader reads the length of the body; ok is false if b is no header.
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
	if d.bool() {
		j.Identity = &Identity{UID: d.int(), GID: d.int(), Groups: d.ints(), NewGroups: d.bool(), Apart: d.bool()}
	}
	j.Parent, j.Umask, j.Dir, j.PidVariables, j.NoNewPrivs = d.int(), d.int(), d.string(), d.strings(), d.bool()
	for range d.count(24) {
		j.Limits = append(j.Limits, Limit{d.int(), d.uint64(), d.uint64()})
	}
	j.Closed = d.ints()
	j.Signals.Ignored = d.ints()
	for range d.count(8) {
		j.Signals.Blocked = append(j.Signals.Blocked, d.uint64())
	}
	if d.bad || len(d.rest) > 0 || len(j.Paths) == 0 || len(j.Args) == 0 {
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

func putBool(b []byte, v bool) []byte {
	if v {
		return putInt(b, 1)
	}
	return putInt(b, 0)
}

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

// decoder takes values off rest. After one that is bad or cut off, all are zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.bad, d.rest = true, nil
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

func (d *decoder) bool() bool {
	v := d.int()
	if v != 0 && v != 1 {
		d.bad, d.rest = true, nil
	}
	return v == 1
}

// count reads the length of a list whose items take at least size bytes each.
func (d *decoder) count(size int) int {
	n := int(d.uint32())
	if n < 0 || n > len(d.rest)/size {
		d.bad, d.rest = true, nil
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
