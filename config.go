package starter

import (
	"cmp"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Config says what to run, on which sockets, and how to replace it. The fields
// are named after the options of start_server; the zero value of each is its
// default.
type Config struct {
	// Command is the server program and its arguments. It is looked up in
	// the PATH of the worker's environment, from Dir.
	Command []string

	// Ports are TCP and UDP ports to bind: [LABEL@][HOST:][u]PORT[=FD][,OPTION...],
	// also several joined by commas, and inherited sockets: [LABEL@]fd://N. Paths
	// are unix stream sockets to bind, [LABEL@]PATH[,OPTION...]. OPTION is
	// backlog=N, reuseport, v6only=0, ipv4, ipv6, nodelay, defer-accept, fastopen=N,
	// mode=OCTAL, owner=USER, group=GROUP or nonblock.
	Ports []string
	Paths []string
	// Inherit takes sockets that systemd has passed to this process, by their names
	// (sd_listen_fds_with_names(3)); "*" takes all.
	Inherit []string
	// Backlog is the backlog of listen(2). 0: SOMAXCONN.
	Backlog int

	// Export names the conventions, beside SERVER_STARTER_PORT, by which workers
	// are told of the sockets: systemd, einhorn, unicorn, puma, nginx, php-fpm.
	Export []string
	// Expand replaces {fd:WHICH} and {port:WHICH} in the arguments of Command by
	// descriptors and ports. WHICH is a label, a name in SERVER_STARTER_PORT, or the
	// place of a socket, from 0.
	Expand bool

	// Dir is each worker's working directory, resolved anew at each start.
	Dir string
	// User and Group are names or numbers to run the workers as, with the user's
	// supplementary groups (initgroups(3)). Sockets are bound with our own rights.
	User, Group string
	Umask       *int // of the workers; nil: ours
	Nice        int  // added to the nice value of the workers, as by nice(1)
	// Limits are resource limits of the workers, each NAME=SOFT or NAME=SOFT:HARD with the
	// names of prlimit(1); SOFT alone is both. A value is a number in the kernel's unit, or
	// unlimited. NoNewPrivs keeps workers from getting rights by exec (PR_SET_NO_NEW_PRIVS).
	// Both are for Linux only.
	Limits     []string
	NoNewPrivs bool
	// DropEnv names variables of Env that workers do not get; EnvDir may still set
	// them. ClearEnv drops all of Env except PATH and the settings listed at EnvDir.
	DropEnv  []string
	ClearEnv bool
	// DieWithParent has the kernel send the workers TERM when this process ends
	// without having stopped them (PR_SET_PDEATHSIG). Linux only.
	DieWithParent bool
	// Subreaper makes this process adopt, and wait for, orphans of the workers as
	// PID 1 does (PR_SET_CHILD_SUBREAPER). Orphans that are left when the last worker has
	// gone get TERM, and KILL after KillTimeout, or after 10 s if there is none. The process
	// must not start other children while Run runs: they would be taken for orphans. Linux
	// only.
	Subreaper bool

	// Interval is how long a new worker has to live to prove itself, and the
	// least time between two attempts. 0: one second; less than MinInterval
	// is taken as MinInterval.
	Interval time.Duration
	// Proof is how a new worker proves itself: [Lived] (the default, with Interval),
	// [Notified] or [Probed]. For Notified the worker, or a descendant of it, sends READY=1
	// to the socket named by NOTIFY_SOCKET (sd_notify(3)). Notified and Probed are for Linux
	// only.
	Proof Proof
	// Probes are asked of each new worker with [Probed]. http://NAME/path and https://NAME/path
	// pass with a status from 200 to 399, tcp://NAME passes if the worker accepts, and
	// exec:COMMAND passes with exit code 0. NAME is a label, or a name in SERVER_STARTER_PORT.
	// All but exec: need BlueGreen: without it any worker may answer. A separate process asks,
	// start_server_probe. See docs/blue-green.md. Linux only.
	Probes []string
	// ProbeTimeout is how long a worker may take to pass a probe. 0: one second. A probe that has
	// failed is tried again until the time of the proof is over.
	ProbeTimeout time.Duration
	// ProbeInterval is the time after which a worker of a canary and, with ProbeLive, a live
	// worker is asked again. 0: never.
	ProbeInterval time.Duration
	// ProbeCommand is the path of start_server_probe. "": the one beside our own executable, or
	// the one in PATH.
	ProbeCommand string
	// BlueGreen gives each TCP port two sets of sockets (SO_REUSEPORT). A new generation gets the
	// set that no client reaches until it has proved itself. With Workers each worker has
	// a socket of its own, as with the option reuseport. Linux only.
	BlueGreen bool
	// Canary are the steps in which a proven generation gets more and more of the connections.
	// Until it gets all, it fails, and the restart with it, if a worker ends, does not pass a
	// probe again, or sends ABORT=1 as it sends READY=1 (sd_notify(3)). Canary needs BlueGreen.
	Canary []CanaryStep
	// KeepOld is how long the old generation stands by without connections, for Rollback. It
	// needs BlueGreen.
	KeepOld time.Duration
	// Attempts is how many attempts in a row may fail before a restart is given up.
	// The old generation then serves on; if there is none Run returns an error. 0: any
	// number.
	Attempts int
	// FirstAttempts takes the place of Attempts until a generation has been live. 0: it does not.
	FirstAttempts int

	// Watchdog is how long a worker may be silent after it has said that it is alive (WATCHDOG=1,
	// sd_notify(3)) or ready. After that it hangs, and a successor is started. When the successor
	// has proved itself the old worker gets ABRT, and KILL after KillTimeout, or after 10 s if
	// there is none. Workers are told the time by WATCHDOG_USEC and WATCHDOG_PID. Linux only.
	// 0: for ever.
	Watchdog time.Duration
	// ProbeLive has live workers asked again, too, every ProbeInterval: one that does not pass
	// hangs, as with Watchdog.
	ProbeLive bool
	// MaxAge is how old a worker may become before a successor replaces it. Each worker's limit is
	// longer or shorter by a random part of that, up to AgeSpread (0 to 1). 0: no limit.
	MaxAge    time.Duration
	AgeSpread float64
	// MaxMemory is how many bytes a worker and its descendants may have (PSS, or RSS where PSS
	// cannot be read) before a successor replaces it. They are measured every five seconds. Linux
	// only. 0: no limit.
	MaxMemory int64

	// Workers is how many processes there are in a generation. Each is told
	// its number, from 0, in SERVER_STARTER_WORKER and EINHORN_CHILD_INDEX.
	// 0: one, which is told no number. With HandleSignals TTIN adds one and TTOU
	// takes one away.
	Workers int

	// Replace is how a restart replaces the old workers: [AtOnce], the default,
	// [Rolling], which needs Workers, or [Beside], which does not go with Workers.
	Replace Replace

	// KillOldDelay is the time between the success of the new workers and the signal to
	// the old ones. nil: 0, or 5 s with automatic restarts.
	KillOldDelay *time.Duration
	// KillTimeout is how long a worker may take to go after it was told to,
	// before it gets KILL. 0: for ever.
	KillTimeout time.Duration
	// KillGroup makes each worker the leader of a process group, which is
	// killed as a whole when KillTimeout is over. On Linux, processes that a worker leaves
	// behind in its group when it ends get the signal that the worker got, or SignalOnHUP.
	// With KillTimeout they are also killed, and waited for.
	KillGroup bool
	// SignalGroup is KillGroup, and sends the signals that tell a worker to go to the whole
	// group: SignalOnHUP, SignalOnTERM, and those for workers that have failed or hang.
	SignalGroup bool
	// StopDelay is how long the workers serve on after TERM, for load
	// balancers to learn that they should look elsewhere.
	StopDelay time.Duration

	// SignalOnHUP tells old workers to go at a restart, and those of a failed attempt
	// that serve already. nil: TERM.
	SignalOnHUP  os.Signal
	SignalOnTERM os.Signal // to all workers at TERM. nil: TERM

	// Follow ties this process to its worker. A worker that has ended is not replaced. When
	// none is left Run returns, also after a stop: with a *Failure, unless the exit code of
	// the last one was 0. Attempts bounds the attempts until a worker has proved itself.
	// With HandleSignals each TERM, INT and QUIT is passed on to all workers, and a restart
	// that waits is dropped; what the signal does is up to the workers. USR1 and USR2 are not
	// passed on, even as PID 1 or with Subreaper. Follow does not go with Workers.
	Follow bool
	// FirstServes makes a generation live, when nothing serves, as soon as one of its
	// workers has proved itself; the others are then replaced one by one if they fail.
	// Without FirstServes all have to prove themselves first.
	FirstServes bool

	EnableAutoRestart   bool          // restart by time
	AutoRestartInterval time.Duration // 0: 360 s

	PidFile    string // holds our pid, under flock(2), while we run
	StatusFile string // lists the serving workers, a line GENERATION:PID each
	// EnvDir is a directory whose files are variables for the workers. It is read
	// at every start of a worker. It overrides the environment, and so the three
	// settings above that have a variable: ENABLE_AUTO_RESTART,
	// AUTO_RESTART_INTERVAL and KILL_OLD_DELAY.
	EnvDir string

	// Control is the path of the control socket. Clients of the same user and of root
	// ask for the status there, and send commands. "": there is none.
	Control string

	// OnEvent are commands that sh -c runs for events of the control socket: COMMAND for all
	// events, EVENT[,EVENT...]:COMMAND for some. A command gets the event on its stdin, as the
	// line of JSON that clients get, and its output goes to the log. One command runs at a time,
	// as the user of this process. After 30 s it is killed with its process group. If more than
	// 100 wait the oldest is dropped. See docs/health.md.
	OnEvent []string

	// LogFile is where the log and the workers' stdout and stderr go: a file,
	// or "| command", or "syslog:TAG", which is logger(1) with that tag
	// ("syslog:": Name). "": the log goes to Log, and the workers write to our own stdout
	// and stderr. With a LogFile workers get no JOURNAL_STREAM. A generation writes to the
	// file that is there when it begins, and from then on this package does, too; see Reopen.
	LogFile string
	// Name is the name of this program in the log and for clients of the control socket.
	// "": start_server.
	Name string
	// Verbose adds log lines for workers that have lived through Interval, and for what
	// workers say of themselves.
	Verbose bool
	// Log takes the log lines until LogFile is open. nil: os.Stderr.
	Log io.Writer
	// FDStore makes the service manager keep the sockets (FDSTORE=1, sd_notify(3)). If this
	// superdaemon is killed, the next one that the manager starts gets them, with all
	// connections that wait. It needs NotifyManager, a NOTIFY_SOCKET, and a manager that keeps
	// as many (FileDescriptorStoreMax=). Paths then stay when Run ends. Sockets that a manager
	// has kept are taken over even without FDStore. Linux only.
	FDStore bool
	// ReplaceOrphans takes over the sockets of workers whose superdaemon was killed, with all
	// connections that wait. StatusFile has to list these workers, and the kernel has to let us
	// (pidfd_getfd(2)). When a generation is live they get SignalOnHUP after KillOldDelay, and
	// KILL after KillTimeout. Linux only.
	ReplaceOrphans bool

	// Env is the environment of the workers. nil: our own.
	Env []string

	// PrefixOutput has each line that a worker writes, to stdout or stderr, begin with
	// its pid, as in "[4711] hello"; a line of more than 64 KiB becomes several. Workers
	// write to this process, which copies whole lines to where the log is. A worker waits
	// while the log takes nothing. After the last worker has ended its remaining output is
	// copied for 2 s, or for up to 10 s while more keeps coming; then the pipe is closed.
	// Workers get no JOURNAL_STREAM.
	PrefixOutput bool
	// LogWorkers is PrefixOutput with the worker's generation and slot, and with stdout and
	// stderr told apart, as in "[4711 generation:2 slot:0 stderr] hello". Stdout and stderr are
	// two pipes, so a line of one may come before an earlier line of the other.
	LogWorkers bool
	// LogFormat is what lines look like: those of this package and, with LogWorkers or
	// PrefixOutput, those of the workers. "": LogPlain.
	LogFormat LogFormat

	// Release is the version of the program that uses this package, for the log of an Upgrade and
	// for clients of the control socket. "": Version.
	Release string
	// RehearseArg is put before all arguments when an image is asked whether it could go on.
	// A program that does not know this argument has to exit. "": there is none.
	RehearseArg string
	// InForce returns a command line that has all settings of this configuration, for clients of
	// the control socket that ask. nil: the arguments of the process.
	InForce func() []string
	// ReadsFile says that the arguments of the process name a file, which may have changed by the
	// time of an Upgrade. InForce then takes the place of the arguments: to find out what has
	// changed, and to go on with this image if the new one cannot.
	ReadsFile bool
	// Changes returns, for the log, a line for each difference between the arguments of the last
	// image, old, and those of this one. nil: nothing is said.
	Changes func(old []string) []string

	// Started is called once, when the first worker has been started, from
	// another goroutine. nil: nobody is told.
	Started func()
	// Serving is called once, when the first generation is live, from another goroutine.
	// nil: nobody is told.
	Serving func()
	// HandleSignals makes Listen and Run catch HUP (restart), TERM, INT and QUIT
	// (stop), and USR1 (Reopen, with a LogFile), and ignore PIPE and USR2. As PID 1, and
	// with Subreaper, USR1 and USR2 are passed on to the workers, too, and the process waits
	// for all orphans that it is given. With Workers set TTIN adds one and TTOU takes one away.
	HandleSignals bool
	// UpgradeOnUSR1 makes USR1 call Upgrade with an empty Image. It needs HandleSignals. USR1
	// then means nothing else, even as PID 1 or with Subreaper.
	UpgradeOnUSR1 bool
	// RedirectOutput points our own stdout and stderr to LogFile as well.
	RedirectOutput bool
	// NotifyManager tells the service manager how we get on (sd_notify(3)), if our own
	// environment has a NOTIFY_SOCKET when New is called: READY=1 when the first
	// generation is live, RELOADING=1 and READY=1 around a restart that was asked for,
	// STOPPING=1, STATUS, and WATCHDOG=1 if the manager wants that (WATCHDOG_USEC). For the
	// manager a restart is over when Restart returns. Its timeout for a start, a restart
	// or a stop is extended (EXTEND_TIMEOUT_USEC) as long as Interval, Proof, StopDelay and
	// KillTimeout allow; without KillTimeout the manager alone limits a stop. Workers do
	// not get these variables. When Run ends it waits for a manager that does not read for
	// two seconds at most. Errors are logged once. A manager knows of one service, so only
	// one Starter in a process may have this.
	NotifyManager bool
}

// ListenOn adds the socket of a URI to Ports or Paths: tcp://HOST:PORT, tcp4://HOST:PORT,
// tcp6://HOST:PORT, unix://PATH, or fd://N, an inherited socket. tcp without a host is all
// addresses of both families, and 0.0.0.0 is all addresses of IPv4. The mode of a unix
// socket is what the umask of this process leaves of 0777. A host is looked up, which may
// block; if that fails the error is a *net.DNSError.
func (c *Config) ListenOn(uri string) error {
	port, path, err := socket.FromURI(uri)
	if port != "" {
		c.Ports = append(c.Ports, port)
	}
	if path != "" {
		c.Paths = append(c.Paths, path)
	}
	return err
}

// complete fills in the defaults.
func (c *Config) complete() {
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.SignalOnHUP == nil {
		c.SignalOnHUP = syscall.SIGTERM
	}
	if c.SignalOnTERM == nil {
		c.SignalOnTERM = syscall.SIGTERM
	}
	c.Name = cmp.Or(c.Name, "start_server")
	if c.Log == nil {
		c.Log = os.Stderr
	}
	c.Release = cmp.Or(c.Release, Version)
	c.KillGroup = c.KillGroup || c.SignalGroup
	if c.Started == nil {
		c.Started = func() {}
	}
	if c.Serving == nil {
		c.Serving = func() {}
	}
}

// program is what all workers run.
func (c *Config) program(exports []fdenv.Export, runAs *proc.Credential, limits []proc.Limit) launch.Program {
	return launch.Program{
		Command:  c.Command,
		Expand:   c.Expand,
		Exports:  exports,
		Numbered: c.Workers > 0,
		Start: proc.Command{
			Dir:           c.Dir,
			Group:         c.KillGroup,
			Umask:         c.Umask,
			Nice:          c.Nice,
			Credential:    runAs,
			DieWithParent: c.DieWithParent,
			Limits:        limits,
			NoNewPrivs:    c.NoNewPrivs,
		},
	}
}

// relays tells whether what workers write goes by way of us.
func (c *Config) relays() bool { return c.PrefixOutput || c.LogWorkers }

// inInitsPlace tells whether we are in the place of init: orphans come to us, and signals
// for the workers can only be sent to us.
func (c *Config) inInitsPlace() bool { return c.Subreaper || c.HandleSignals && os.Getpid() == 1 }

// listens tells whether workers may say how they get on: that they are ready, in a canary that
// they are not fit, or that they are alive.
func (c *Config) listens() bool { return c.Proof.how.Notified() || len(c.Canary) > 0 || c.Watchdog > 0 }

// life is the configuration of the supervisor.
func (c *Config) life() supervise.Config {
	life := supervise.Config{
		Workers:       c.Workers,
		Interval:      c.Interval,
		Proof:         c.Proof.how,
		Replace:       c.Replace.how,
		Attempts:      c.Attempts,
		FirstAttempts: c.FirstAttempts,
		FirstServes:   c.FirstServes,
		Follow:        c.Follow,
		RetireSignal:  c.SignalOnHUP,
		AbortSignal:   syscall.SIGTERM,
		KillTimeout:   c.KillTimeout,
		Renewal: supervise.Renewal{
			Watchdog: c.Watchdog, HungSignal: syscall.SIGABRT, ProbeLive: c.ProbeLive,
			MaxAge: c.MaxAge, AgeSpread: c.AgeSpread, MaxMemory: c.MaxMemory, Measure: proc.Memory,
		},
		KeepOld:       c.KeepOld,
		ProbeInterval: c.ProbeInterval,
	}
	for _, step := range c.Canary {
		life.Canary = append(life.Canary, supervise.Step{Share: supervise.ShareOf(step.Percent), For: step.For})
	}
	return life
}

// Image is the image that a superdaemon becomes by Upgrade.
type Image struct {
	Executable  string   // a path; "": the path of our own executable, which may be another file by now
	Args        []string // without the name of the program; none: our own
	KeepWorkers bool     // the workers are not restarted
}

func (c *Config) inForce() []string {
	if c.InForce == nil {
		return os.Args[min(1, len(os.Args)):]
	}
	return c.InForce()
}

// MinInterval is the shortest Interval there is: 100 ms.
const MinInterval = supervise.MinInterval

// MaxWorkers is the greatest number of workers there may be: 10000.
const MaxWorkers = supervise.MaxWorkers

// Proof is how a worker proves itself: [Lived], [Notified] or [Probed]. The zero value is Lived, for
// the Interval of the Config.
type Proof struct{ how supervise.Proof }

// Lived is the proof of a worker that is still there after d, which is at least
// MinInterval.
func Lived(d time.Duration) Proof { return Proof{supervise.Lived(d)} }

// Notified is the proof of a worker that says that it is ready. One that has not
// said so within d has failed.
func Notified(d time.Duration) Proof { return Proof{supervise.Notified(d)} }

// Probed is the proof of a worker that has passed all Probes of the Config within d, and has
// lived for its Interval.
func Probed(d time.Duration) Proof { return Proof{supervise.Probed(d)} }

// Replace is how a new generation replaces the live one: [AtOnce], which is the zero value,
// [Beside] or [Rolling].
type Replace struct{ how supervise.Replace }

var (
	// AtOnce tells the old workers to go when all the new ones are proven.
	AtOnce = Replace{supervise.AtOnce}
	// Beside tells no old worker to go: they stay until they end by themselves, or
	// everything is stopped.
	Beside = Replace{supervise.Beside}
)

// Rolling replaces the workers slot by slot: each new one takes over as soon as
// it is proven. There are at most surge processes beyond Workers; less than 1 is taken
// as 1. If an attempt fails in the middle, the new workers that have taken over serve
// on, and so do the old ones that were not replaced yet.
func Rolling(surge int) Replace { return Replace{supervise.Rolling(surge)} }

// CanaryStep is a step in which a new generation gets a part of the new connections.
type CanaryStep struct {
	Percent float64 // of all new connections: more than 0, less than 100, to a hundredth
	For     time.Duration
}

// LogFormat is what lines of the log look like.
type LogFormat string

// The formats. In all but LogPlain wait statuses come with words, as in "status:256 (exit code 1)".
const (
	// LogPlain is Server::Starter's lines. Where Log is the stream to systemd's journal, as
	// JOURNAL_STREAM says, they begin with their level, from <3> to <6>, which the journal takes
	// away again (sd-daemon(3)).
	LogPlain LogFormat = "plain"
	// LogTime is the same after the time, by RFC 3339 with milliseconds and zone.
	LogTime LogFormat = "time"
	// LogJSON is a JSON object a line; docs/logs.md lists its members.
	LogJSON LogFormat = "json"
)
