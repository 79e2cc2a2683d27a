//go:build unix

package trampoline

import (
	"strconv"
	"syscall"
)

func init() {
	text, ok := syscall.Getenv(Variable)
	if !ok {
		return
	}
	// The variable alone proves nothing: an environment may hold it by chance.
	fd, parent, ok := parseValue(text)
	if !ok {
		return
	}
	length, ok := 0, isPair(fd)
	if ok {
		length, ok = peekHeader(fd)
	}
	switch {
	case ok:
		f := run(fd, length) // returns only if it fails
		for _, err := syscall.Write(fd, f.Encode()); err == syscall.EINTR; {
			_, err = syscall.Write(fd, f.Encode())
		}
		syscall.Exit(1)
	case parent == syscall.Getppid():
		// To go on would start a superdaemon, whose workers would each start another.
		_, _ = syscall.Write(2, []byte("worker not started: descriptor "+strconv.Itoa(fd)+" has no instructions for it\n"))
		syscall.Exit(1)
	}
}

// Value is the Variable of a trampoline that the calling process starts, with its
// instructions at that descriptor.
func Value(fd int) string {
	return strconv.Itoa(fd) + ":" + strconv.Itoa(syscall.Getpid())
}

func parseValue(text string) (fd, parent int, ok bool) {
	for i := range len(text) {
		if text[i] == ':' {
			fd, err := strconv.Atoi(text[:i])
			parent, err2 := strconv.Atoi(text[i+1:])
			return fd, parent, err == nil && err2 == nil
		}
	}
	return 0, 0, false
}

// isPair tells whether fd is from socketpair(2), so that only a process that we descend
// from can be at the other end. A connection to a listening socket has a name.
func isPair(fd int) bool {
	ours, err := syscall.Getsockname(fd)
	if err != nil {
		return false
	}
	theirs, err := syscall.Getpeername(fd)
	return err == nil && isUnnamed(ours) && isUnnamed(theirs)
}

func isUnnamed(addr syscall.Sockaddr) bool {
	u, ok := addr.(*syscall.SockaddrUnix)
	return ok && (u.Name == "" || u.Name == "@") // the latter on Linux
}

// peekHeader does not block, and leaves what it reads in the socket: it may be meant for
// something else.
func peekHeader(fd int) (length int, ok bool) {
	header := make([]byte, HeaderSize)
	for {
		n, _, err := syscall.Recvfrom(fd, header, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return decodeHeader(header[:max(n, 0)])
		}
	}
}

// run executes the program, or returns why it cannot.
func run(fd, length int) Failure {
	syscall.CloseOnExec(fd)
	privileged, err := Privileged()
	if err != nil {
		return failure(StepRead, err)
	}
	if privileged {
		return Failure{StepPrivileged, uint32(syscall.EPERM)}
	}
	message, err := readFull(fd, HeaderSize+length)
	if err != nil {
		return failure(StepRead, err)
	}
	job, err := decodeBody(message[HeaderSize:])
	if err != nil {
		return Failure{StepRead, uint32(syscall.EBADMSG)}
	}
	if step, err := job.prepare(); err != nil {
		return failure(step, err)
	}
	return failure(StepExec, job.exec())
}

func failure(step Step, err error) Failure {
	errno, ok := err.(syscall.Errno)
	if !ok {
		errno = syscall.EIO
	}
	return Failure{step, uint32(errno)}
}

func readFull(fd, length int) ([]byte, error) {
	b := make([]byte, length)
	for done := 0; done < length; {
		n, err := syscall.Read(fd, b[done:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, err
		case n == 0: // our parent is gone
			return nil, syscall.EPIPE
		default:
			done += n
		}
	}
	return b, nil
}

// prepare does all but the exec. The same thread must then call exec, because niceness and the
// parent death signal are a thread's.
func (j *Job) prepare() (Step, error) {
	j.Signals.ignore()
	if j.Nice != 0 {
		if err := renice(j.Nice); err != nil {
			return StepNice, err
		}
	}
	if err := raise(j.Limits); err != nil {
		return StepLimits, err
	}
	if j.Identity != nil {
		if step, err := j.Identity.assume(); err != nil {
			return step, err
		}
	}
	if j.Parent != 0 {
		if err := dieWith(j.Parent); err != nil { // after the IDs: changing them would undo it
			return StepParent, err
		}
	}
	if j.Umask >= 0 {
		syscall.Umask(j.Umask)
	}
	if j.Dir != "" {
		if err := syscall.Chdir(j.Dir); err != nil {
			return StepDir, err
		}
	}
	for _, name := range j.PidVariables {
		j.Env = append(j.Env, name+"="+strconv.Itoa(syscall.Getpid()))
	}
	for _, fd := range j.Closed {
		syscall.CloseOnExec(fd)
	}
	if j.NoNewPrivs {
		if err := noNewPrivs(); err != nil {
			return StepNoNewPrivs, err
		}
	}
	if err := limit(j.Limits); err != nil { // late: our own memory is limited by them, too
		return StepLimits, err
	}
	j.Signals.unblock() // last: a signal held back until now acts as it would on the program
	return 0, nil
}

// exec tries the paths in turn, as execvp(3) does.
func (j *Job) exec() error {
	var denied, last error
	for _, path := range j.Paths {
		last = syscall.Exec(path, j.Args, j.Env)
		switch last {
		case syscall.ENOEXEC: // a script without a #! line
			return syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, j.Args[1:]...), j.Env)
		case syscall.EACCES:
			denied = last
		case syscall.ENOENT, syscall.ENOTDIR:
		default:
			return last
		}
	}
	if denied != nil {
		return denied
	}
	return last
}

// assume sets the IDs of this process, on all threads. The user comes last: without
// root's rights the groups cannot be changed.
func (id *Identity) assume() (Step, error) {
	if id.Apart {
		if err := newKeyring(); err != nil {
			return StepKeyring, err
		}
	}
	if id.NewGroups {
		if err := syscall.Setgroups(id.Groups); err != nil {
			return StepGroups, err
		}
	}
	if err := setGID(id.GID); err != nil {
		return StepGID, err
	}
	if err := setUID(id.UID); err != nil {
		return StepUID, err
	}
	if id.Apart && id.UID != 0 {
		if err := dropCapabilities(); err != nil {
			return StepUID, err
		}
	}
	return 0, nil
}
