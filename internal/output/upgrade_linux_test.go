package output

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Here all images are in this process: several wait for one log command, and each has
// descriptors of its own.

// waited is a process for which several images wait.
type waited struct {
	child
	once   sync.Once
	status int
}

func (w *waited) Wait() int {
	w.once.Do(func() { w.status = w.child.Wait() })
	return w.status
}

// commands counts the log commands that are started.
type commands struct {
	mu  sync.Mutex
	all []*waited
}

func (c *commands) run(args []string, files []int) (Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := start(args, files)
	if err != nil {
		return nil, err
	}
	w := &waited{child: p.(child)}
	c.all = append(c.all, w)
	return w, nil
}

func (c *commands) started() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// kill ends the command that was started last, and waits until another one is.
func (c *commands) kill(t *testing.T) {
	t.Helper()
	before := c.started()
	c.mu.Lock()
	p := c.all[before-1]
	c.mu.Unlock()
	require.NoError(t, syscall.Kill(p.Pid(), syscall.SIGKILL))
	eventually(t, func() bool { return c.started() > before }, "it is started again")
}

// image is an Output as one image of this program has it.
type image struct {
	*Output
	early *testkit.Output
	runs  *commands
}

func newImage(runs *commands) *image {
	early := &testkit.Output{}
	return &image{New(early, "a test"), early, runs}
}

func (i *image) opens(t *testing.T, spec string, held *Held) {
	t.Helper()
	require.NoError(t, i.Open(spec, Config{Run: i.runs.run, Held: held}))
}

// hands is what the next image gets. With release this image goes on; without, it is gone.
func (i *image) hands(t *testing.T) (h *Held, release func()) {
	t.Helper()
	all := append([]*sink{}, i.going...)
	if i.sink != nil {
		all = append(all, i.sink)
	}
	held, free := i.Hand()
	goOn := sync.OnceFunc(free)
	dup := func(n int) int {
		if n < 0 {
			return n
		}
		again, err := fd.Dup(n)
		require.NoError(t, err)
		return again
	}
	for _, c := range held.Commands() {
		c.Writer, c.Reader, c.Stdout, c.Stderr = dup(c.Writer), dup(c.Reader), dup(c.Stdout), dup(c.Stderr)
	}
	t.Cleanup(func() {
		for _, s := range all {
			forget(s)
		}
		goOn()
	})
	return held, goOn
}

// gone closes what an image has of its log, as its end does.
func (i *image) gone() { i.sink.file.Close() }

// forget ends the care for a log command.
func forget(s *sink) {
	if s.command == nil {
		return
	}
	select {
	case <-s.command.given:
	case <-s.command.ended:
	default:
		close(s.command.given)
	}
}

func reads(t *testing.T, path, want string) {
	t.Helper()
	eventually(t, func() bool {
		text, err := os.ReadFile(path)
		return err == nil && string(text) == want
	}, fmt.Sprintf("%s has %q", path, want))
}

func TestLogCommandRunsOnOverAnUpgrade(t *testing.T) {
	t.Parallel()
	runs, out := &commands{}, filepath.Join(t.TempDir(), "out")
	last, next := newImage(runs), newImage(runs)
	spec := "| exec cat >>" + out
	last.opens(t, spec, nil)
	last.Printf("of the last")
	h, _ := last.hands(t)
	assert.Equal(t, spec, h.Spec)
	last.gone()
	next.Adopt(h)
	next.opens(t, spec, h)
	assert.Empty(t, h.Commands(), "it is taken")
	next.Printf("of the next")
	next.Flush()
	reads(t, out, "of the last\nof the next\n")
	require.Equal(t, 1, runs.started())

	died := runs.all[0].Pid()
	runs.kill(t)
	next.Printf("later")
	require.NoError(t, next.Close())
	assert.Equal(t, fmt.Sprintf("of the last\nof the next\nlog command %d died unexpectedly with status:9, restarting\nlater\n", died), content(t, out))
	assert.Equal(t, 2, runs.started())
}

// An upgrade that fails leaves the log command to the image that goes on.
func TestLogCommandRunsOnAfterAnUpgradeThatFailed(t *testing.T) {
	t.Parallel()
	runs, out := &commands{}, filepath.Join(t.TempDir(), "out")
	last, next := newImage(runs), newImage(runs)
	spec := "| exec cat >>" + out
	last.opens(t, spec, nil)
	h, release := last.hands(t)
	next.opens(t, spec, h)
	adopted := next.sink
	next.Printf("it cannot go on")
	require.NoError(t, next.Abandon())
	next.Printf("too late")
	next.Flush()
	assert.Equal(t, "too late\n", next.early.String())
	assert.NoError(t, adopted.file.Close(), "it was left open")
	forget(adopted)

	release()
	last.Printf("it goes on")
	last.Flush()
	reads(t, out, "it cannot go on\nit goes on\n")
	assert.Equal(t, 1, runs.started())
	require.NoError(t, last.Close())
	reads(t, out, "it cannot go on\nit goes on\n")

	// What it has opened itself is closed.
	assert.NoError(t, next.Abandon(), "no log is open")
	next.opens(t, out, h)
	mine := next.sink.file
	assert.NoError(t, next.Abandon())
	assert.ErrorIs(t, mine.Close(), os.ErrClosed)
}

// It ends when the last worker that writes to it has ended, whatever images come.
func TestLogCommandThatIsNotAskedForAnyMoreGoesWithItsWriters(t *testing.T) {
	t.Parallel()
	runs, dir := &commands{}, t.TempDir()
	out, log := filepath.Join(dir, "out"), filepath.Join(dir, "log")
	image := newImage(runs)
	image.opens(t, "| exec cat >>"+out, nil)
	stdout, _ := image.Descriptors()
	end, err := fd.Dup(stdout)
	require.NoError(t, err)
	worker := os.NewFile(uintptr(end), "worker")
	defer worker.Close()
	want := ""
	for n := range 3 {
		h, _ := image.hands(t)
		require.Len(t, h.Commands(), 1, "image %d", n)
		image.gone()
		image = newImage(runs)
		image.opens(t, log, h)
		image.LetGo(h, runs.run)
		fmt.Fprintln(worker, "worker", n)
		want += fmt.Sprintf("worker %d\n", n)
		reads(t, out, want)
		runs.kill(t)
		fmt.Fprintln(worker, "again", n)
		want += fmt.Sprintf("again %d\n", n)
		reads(t, out, want)
	}
	image.Printf("of ours")
	require.NoError(t, image.Close())
	assert.Equal(t, "of ours\n", content(t, log), "whether the other one was started again is no news")
	started := runs.started()
	image.opens(t, log, nil)
	worker.Close()
	eventually(t, func() bool { // the image that hands over sees that it has gone
		h, release := image.Hand()
		defer release()
		return len(h.Commands()) == 0
	}, "it has ended")
	assert.Equal(t, started, runs.started())
	assert.NoError(t, image.Close())
}

// Another log command takes the place of one.
func TestLogCommandsAreNamedTheOneInForceFirst(t *testing.T) {
	t.Parallel()
	in, going := &HeldCommand{Writer: 7}, &HeldCommand{Writer: -1}
	assert.Equal(t, []*HeldCommand{in, going}, (&Held{Command: in, Going: []*HeldCommand{going}}).Commands())

	runs, dir := &commands{}, t.TempDir()
	last, next := newImage(runs), newImage(runs)
	last.opens(t, "| exec cat >>"+dir+"/old", nil)
	last.Printf("old")
	h, _ := last.hands(t)
	last.gone()
	next.opens(t, "| exec cat >>"+dir+"/new", h)
	next.LetGo(h, runs.run)
	next.Printf("new")
	require.NoError(t, next.Close())
	reads(t, dir+"/old", "old\n")
	reads(t, dir+"/new", "new\n")
	assert.Equal(t, 2, runs.started())
}

// inodes are what our own stdout and stderr are.
func inodes(t *testing.T) (all [2]uint64) {
	t.Helper()
	for i := range all {
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(1+i, &st))
		all[i] = st.Ino
	}
	return all
}

// Not parallel: stdout and stderr are the process's.
func TestOurOwnOutputIsFoundAgainAfterAnUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	before := inodes(t)
	last, next := New(os.Stderr, "a test"), New(os.Stderr, "a test")
	require.NoError(t, last.Open(path, Config{Redirect: true}))
	h, release := last.Hand()
	saved := len(h.Saved)
	redirected := inodes(t)
	next.Adopt(h)
	adopted := inodes(t)
	err := next.Open(path, Config{Redirect: true, Held: h})
	again := inodes(t)
	closed := next.Close()
	after := inodes(t)
	release()
	require.NoError(t, last.Close())
	require.NoError(t, err)
	require.NoError(t, closed)
	assert.Equal(t, 2, saved)
	assert.NotEqual(t, before, redirected)
	assert.Equal(t, before, adopted)
	assert.Equal(t, redirected, again)
	assert.Equal(t, before, after)
}

// Not parallel either.
func TestOurOwnOutputGoesToTheFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o := New(os.Stderr, "a test")
	require.NoError(t, o.Open(path, Config{Redirect: true}))
	require.NoError(t, os.Rename(path, path+".1"))
	r := reopened(o)
	_, first := unix.Write(1, []byte("out\n"))
	_, second := unix.Write(2, []byte("err\n"))
	require.NoError(t, o.Close())
	assert.True(t, r.Changed)
	assert.NoError(t, first)
	assert.NoError(t, second)
	assert.Equal(t, "out\nerr\n", content(t, path))
	assert.Empty(t, content(t, path+".1"))
	var st unix.Stat_t
	for _, std := range []int{0, 3} { // no others are ours to change
		if unix.Fstat(std, &st) == nil {
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.NotEqual(t, info.Sys().(*syscall.Stat_t).Ino, st.Ino, "descriptor %d", std)
		}
	}
}

// A pipe that is released at once after it was held is read on.
func TestRelayThatWasLetGoAtOnceGoesOn(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	from, to, err := os.Pipe()
	require.NoError(t, err)
	defer to.Close()
	r := &New(&log, "a test").relays
	fmt.Fprint(to, "begun")
	require.NoError(t, from.SetReadDeadline(time.Now().Add(-time.Hour)))
	copied := r.follow(from, Worker{Pid: 7}, "")
	require.Never(t, func() bool {
		select {
		case <-copied:
			return true
		default:
			return false
		}
	}, 50*time.Millisecond, 5*time.Millisecond, "it reads on")
	require.NoError(t, from.SetReadDeadline(time.Time{}))
	fmt.Fprint(to, " and ended\n")
	to.Close()
	<-copied
	assert.Equal(t, "[7] begun and ended\n", log.String())
}
