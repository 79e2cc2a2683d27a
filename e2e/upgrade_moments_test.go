//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A restart that was asked for is done, even if its signal comes in an upgrade.
func TestUpgradesInAStormOfHUP(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--control=ctl", "--status-file=st", "--ready=notify", "--interval=0", "--", hello, "-all")
	d.answers(1, "tcp", addr)
	l := startLoad(t, "tcp", addr, 2, 2)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
				d.cmd.Process.Signal(syscall.SIGHUP)
			case <-end:
				tick.Stop()
				return
			}
		}
	}()
	for range 8 {
		d.upgraded()
	}
	close(end)
	<-ended
	l.goesOn(50)
	l.stop()
	d.sees(8, `^this is start_server .* now, in the place of `)
	before := d.status().Generation
	d.signal(syscall.SIGHUP)
	eventually(t, func() bool { return d.status().Generation > before }, d.out.String)
	d.stop()
	d.runs()
}

// The pause after a failed attempt goes on, and another attempt is made.
func TestUpgradeWhilePausing(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=1", "--attempts=5")
	one := d.worker(1)
	d.write("broken", "")
	d.signal(syscall.SIGHUP)
	d.sees(1, `seems to have failed to start`)
	d.upgraded("--keep-workers")
	d.serves("st", "1:%d\n", one)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	d.serves("st", fmt.Sprintf("%d:%%d\n", d.status().Generation), d.status().Workers[0].Pid)
	d.stop()
	d.runs()
}

// An image also counts the attempts of the image before it, and gives up in time.
func TestUpgradeCountsAttempts(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=1", "--attempts=3")
	d.write("broken", "")
	d.signal(syscall.SIGHUP)
	d.sees(1, `seems to have failed to start`)
	d.upgraded("--keep-workers")
	d.sees(1, `^giving the restart up after 3 failed attempts, the old workers serve on: `)
	assert.Len(t, d.sees(4, `^starting new worker`), 4)
	d.stop()
	d.runs()
}

func TestUpgradeInTheMiddleOfARollingRestart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--control=ctl", "--status-file=st", "--interval=0.3", "--workers=4", "--rolling")
	eventually(t, func() bool { return strings.Count(d.file("st"), "\n") == 4 }, d.out.String)
	d.signal(syscall.SIGHUP)
	d.sees(2, `^old worker \d+ died, status:0$`)
	d.upgraded("--keep-workers")
	d.sees(4, `^old worker \d+ died, status:0$`)
	eventually(t, func() bool { return strings.Count("\n"+d.file("st"), "\n2:") == 4 }, func() string { return d.file("st") })
	assert.Len(t, d.sees(8, `^starting new worker`), 8, "none is started twice")
	d.stop()
	d.runs()
}

// Workers that were told to go are neither told again nor forgotten.
func TestUpgradeWhileWorkersDrain(t *testing.T) {
	t.Parallel()
	for row, killed := range map[string]bool{"--kill-timeout=0": false, "--kill-timeout=1": true} {
		d := start(t, ours, "--control=ctl", "--status-file=st", "--interval=0.1", row, "--", "/bin/sh", "-c",
			`trap 'echo told; until [ -e go ]; do sleep 0.02; done; exit 3' TERM; echo up; while :; do sleep 0.05; done`)
		one := d.worker(1)
		d.sees(1, `^up$`)
		d.signal(syscall.SIGHUP)
		d.sees(1, `^new worker is now running, sending TERM to old workers:`)
		d.sees(2, `^(up|told)$`)
		d.upgraded("--keep-workers")
		if killed {
			d.sees(1, fmt.Sprintf(`^old worker %d died, status:9$`, one))
		} else {
			d.upgraded("--keep-workers")
			assert.True(t, alive(one))
		}
		d.write("go", "")
		if !killed {
			d.sees(1, fmt.Sprintf(`^old worker %d died, status:%d$`, one, 3<<8))
		}
		assert.Len(t, d.sees(1, `^told$`), 1)
		d.signal(syscall.SIGTERM)
		d.exit()
		d.runs()
	}
}

// Processes that a worker has left behind do not put off an upgrade, and are still killed.
func TestUpgradeWhileWhatIsLeftBehindIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--control=ctl", "--interval=0.1", "--kill-group", "--kill-timeout=3"}, wrapped(`trap "" TERM`)...)...)
	first, wrapper := d.server(1), d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^worker %d has left processes of its group behind, sending TERM to them:`, wrapper))
	d.upgraded("--keep-workers")
	assert.True(t, alive(first))
	d.sees(1, fmt.Sprintf(`^what worker %d has left behind is still there 3 secs after it was told to go, sending KILL$`, wrapper))
	isGone(t, first)
	second := d.server(2)
	d.stop()
	assert.False(t, alive(second), "a stop waits for what was left behind")
	d.runs()
}

// The service manager waits for the end of the restart that was under way, and not for the end of
// the upgrade.
func TestUpgradeInTheMiddleOfAReload(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(dir, "notify"))
	d := startLate(t, dir, m.env())
	m.hears(isReady)
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	d.upgraded("--keep-workers")
	assert.Equal(t, []string{isReady, isReloading}, m.states(), "generation 2 is not ready yet")
	d.write("go", "")
	m.hears(isReady, isReloading, isReady)
	d.serves("st", "2:%d\n", two)
	d.upgraded("--keep-workers")
	m.hears(isReady, isReloading, isReady, isReloading, isReady)
	d.stop()
	d.runs()
}

// A stop that was put off still comes.
func TestUpgradeBeforeAStop(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1", "--stop-delay=1.5")
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM`)
	d.upgraded("--keep-workers")
	assert.Zero(t, d.exit())
	d.before("this is start_server", "sending TERM")
	d.sees(1, fmt.Sprintf(`^told TERM: %d$`, d.worker(1)))
	assert.Len(t, d.sees(1, `^starting new worker`), 1)
	d.runs()
}

func TestUpgradeMovesTheControlSocket(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1")
	worker := filepath.Join(d.dir, "worker.sh")
	code, printed := command(t, d.dir, ours, "--upgrade=ctl", "--control=new.ctl", "--timeout=30", "--status-file=st", "--interval=0.1", "--", worker)
	require.Zero(t, code, "%s\n%s", printed, d.out)
	eventually(t, func() bool {
		_, err := os.Lstat(filepath.Join(d.dir, "ctl"))
		return os.IsNotExist(err)
	}, func() string { return "the old one is still there" })
	code, printed = command(t, d.dir, ours, "--control=new.ctl", "--status")
	assert.Zero(t, code, printed)
	// Then the control socket is taken away: nothing can be asked after that.
	code, printed = command(t, d.dir, ours, "--control=new.ctl", "--upgrade", "--timeout=30", "--status-file=st", "--interval=0.1", "--", worker)
	require.Zero(t, code, "%s\n%s", printed, d.out)
	code, printed = command(t, d.dir, ours, "--upgrade=new.ctl", "--timeout=30", "--status-file=st", "--interval=0.1", "--", worker)
	require.Zero(t, code, "%s\n%s", printed, d.out)
	eventually(t, func() bool {
		_, err := os.Lstat(filepath.Join(d.dir, "new.ctl"))
		return os.IsNotExist(err)
	}, func() string { return "it is still there" })
	d.stop()
	d.runs()
}

// Clients that follow events are told to come back, and can do so.
func TestUpgradeTellsThoseThatFollowEvents(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1")
	follow := func() *bufio.Reader {
		conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(deadline))
		_, err = conn.Write([]byte(`{"command":"subscribe"}` + "\n"))
		require.NoError(t, err)
		in := bufio.NewReader(conn)
		_, err = in.ReadString('\n') // that it follows
		require.NoError(t, err)
		return in
	}
	last := func(in *bufio.Reader) (event map[string]any) {
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return event
			}
			event = nil
			require.NoError(t, json.Unmarshal(line, &event), string(line))
		}
	}
	for range 2 {
		in := follow()
		d.upgraded("--keep-workers")
		event := last(in)
		assert.Equal(t, "handed-over", event["event"])
		assert.Equal(t, "another image goes on: connect again", event["text"])
	}
	d.stop()
}

// A client that asks for something at any moment gets an answer on its connection.
func TestUpgradeAnswersEveryClient(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1", "--workers=1")
	end := make(chan struct{})
	var asking sync.WaitGroup
	for _, command := range []string{"restart", "status", `workers","workers":1,"id":"`, "rollback"} {
		asking.Go(func() {
			conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				conn.SetDeadline(time.Now().Add(deadline))
				_, err := conn.Write([]byte(`{"command":"` + command + `"}` + "\n"))
				var answer []byte
				if err == nil {
					answer, err = answers.ReadBytes('\n')
				}
				var a struct {
					OK    bool
					Error string
				}
				if !assert.NoError(t, err, "%s: request %d", command, n) || !assert.NoError(t, json.Unmarshal(answer, &a)) {
					return
				}
				want := "^$"
				switch command {
				case "restart":
					want = "^(the superdaemon is being upgraded: the new image carries this out, and its status tells how it went)?$"
				case "rollback":
					want = "^there is no generation to go back to"
				}
				assert.Regexp(t, want, a.Error, command)
			}
		})
	}
	for range 15 {
		d.upgraded("--keep-workers")
	}
	close(end)
	asking.Wait()
	d.seesUpgrade(15)
	d.stop()
	d.runs()
}

// Commands that ask for something get it, or say what has become of it.
func TestUpgradeAnswersEveryCommand(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1")
	end := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		for _, command := range []string{"--restart", "--status", "--reopen"} {
			asking.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					code, printed := d.ask(command, "--timeout=60")
					switch {
					case command == "--reopen":
						assert.Contains(t, printed, "there is no log file", command)
					case code != 0:
						assert.Contains(t, printed, "the superdaemon is being upgraded: the new image carries this out, and its status tells how it went", command)
					}
				}
			})
		}
	}
	for range 15 {
		d.upgraded("--keep-workers")
	}
	close(end)
	asking.Wait()
	d.stop()
	d.runs()
}

// A start_server that is older than --upgrade says that there is no such command.
func TestUpgradeOfAnOldOne(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.1")
	listener, err := net.Listen("unix", filepath.Join(d.dir, "old"))
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		to, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
		if err != nil {
			return
		}
		defer to.Close()
		go io.Copy(conn, to)
		for in := bufio.NewScanner(conn); in.Scan(); {
			fmt.Fprintln(to, strings.Replace(in.Text(), `"self-upgrade"`, `"not-there"`, 1))
		}
	}()
	code, printed := command(t, d.dir, ours, "--upgrade", "--control=old", "--timeout=20")
	assert.Equal(t, 1, code)
	assert.Equal(t, fmt.Sprintf("start_server: start_server (pid:%d) is of a version that cannot be replaced while it runs: stop it, and start the new one\n", d.cmd.Process.Pid), printed)
	d.stop()
}

// A superdaemon of another kind is no start_server, and does not become one.
func TestUpgradeOfAnotherKind(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d := startIn(t, dir, nil, ein, "--bind=127.0.0.1:0", "--socket-path=ctl", "--", hello)
	d.sees(1, `^starting new worker`)
	eventually(t, func() bool {
		_, err := os.Lstat(filepath.Join(dir, "ctl"))
		return err == nil
	}, d.out.String)
	code, printed := d.ask("--upgrade", "--timeout=20", "--", hello)
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "the state that is handed over is one of einhyrningsins, and this is start_server")
	assert.True(t, alive(d.worker(1)))
	a := d.talk(`{"command":"self-upgrade","executable":"` + ein + `","keep_workers":true}`)[0]
	assert.Equal(t, true, a["ok"], a)
	assert.True(t, alive(d.worker(1)))
	d.seesUpgrade(1)
	d.stop()
	d.runs()
}
