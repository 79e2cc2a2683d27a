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
// are named as the options of start_server; the zero value of each is its
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
	// Inherit takes the sockets that systemd has passed to this process, or those
	// of the names given: "*" is all (sd_listen_fds_with_names(3)).
	Inherit []string
	// Backlog is that of listen(2). 0: SOMAXCONN.
	Backlog int

	// Export names the conventions, beside SERVER_STARTER_PORT, by which workers
	// are told of the sockets: systemd, einhorn, unicorn, puma, nginx, php-fpm.
	Export []string
	// Expand puts descriptors and ports in the place of {fd:WHICH} and
	// {port:WHICH} in Command. WHICH is a label, a name in SERVER_STARTER_PORT, or
	// a place among the sockets, from 0.
	Expand bool

	// Dir is each worker's working directory, resolved anew at each start.
	Dir string
	// User and Group are names or numbers to run the workers as, with the user's
	// supplementary groups as initgroups(3) has them. All is bound before.
	User, Group string
	Umask       *int // of the workers; nil: ours
	Nice        int  // added to the priority of the workers, as by nice(1)
	// Limits are resource limits of the workers, each NAME=SOFT or NAME=SOFT:HARD with the
	// names of prlimit(1); SOFT alone is both. A value is a number in the kernel's unit, or
	// unlimited. NoNewPrivs keeps them from getting rights by exec (PR_SET_NO_NEW_PRIVS). Linux only.
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
	// PID 1 does (PR_SET_CHILD_SUBREAPER). Those that are left when the last worker has
	// gone get TERM, and KILL after KillTimeout, or 10 s. It must then start no other children
	// while Run runs, as they would be taken for orphans. Linux only.
	Subreaper bool

	// Interval is how long a new worker lives before it has started, and the
	// least time between two attempts. 0: one second; less than MinInterval
	// is taken as that.
	Interval time.Duration
	// Proof is how a new worker proves itself: [Lived], which is the default with
	// Interval, or [Notified]. A notice is READY=1 on the socket named by NOTIFY_SOCKET
	// (sd_notify(3)) from the worker or a descendant of it. Linux only.
	Proof Proof
	// Probes are asked of each new worker with [Probed]: http://NAME/path and https://NAME/path,
	// which any answer of 200 to 399 passes, tcp://NAME, which a worker passes that accepts, and
	// exec:COMMAND, which exit code 0 passes. NAME is a label, or a name in SERVER_STARTER_PORT.
	// All but exec: need BlueGreen, as otherwise nobody knows which worker answers. A process of
	// its own asks, start_server_probe. See docs/blue-green.md. Linux only.
	Probes []string
	// ProbeTimeout is how long a worker may take to pass one. 0: one second. It is tried again
	// until the time of the proof is over.
	ProbeTimeout time.Duration
	// ProbeInterval is after how long a worker of a canary is asked again. 0: never.
	ProbeInterval time.Duration
	// ProbeCommand is the path of start_server_probe. "": it stands beside our own executable, or
	// is in PATH.
	ProbeCommand string
	// BlueGreen gives each TCP port two sets of sockets (SO_REUSEPORT): a new generation has the
	// one that no client reaches until it has proved itself. With Workers each worker has
	// a socket of its own, as with the option reuseport. Linux only.
	BlueGreen bool
	// Canary are the steps in which a proven generation comes to get all connections. Until then
	// it fails, and the restart with it, if a worker ends, does not pass a probe again, or says
	// ABORT=1 as sd_notify(3) says READY=1. It needs BlueGreen.
	Canary []CanaryStep
	// KeepOld is how long the old generation stands by without connections, for Rollback. It
	// needs BlueGreen.
	KeepOld time.Duration
	// Attempts is how many attempts in a row may fail before a restart is
	// given up and the old generation, if there is one, serves on; without
	// one Run returns an error. 0: any number.
	Attempts int
	// FirstAttempts is Attempts until a generation has been live. 0: there is no difference.
	FirstAttempts int

	// Watchdog is how long a worker may be silent that has said that it is alive, by WATCHDOG=1 as
	// sd_notify(3) has it, or that it is ready. One that hangs gets a successor, and when that
	// has proved itself ABRT, and KILL after KillTimeout, or 10 s. Workers are told of it by
	// WATCHDOG_USEC and WATCHDOG_PID. Linux only. 0: for ever.
	Watchdog time.Duration
	// ProbeLive has live workers asked again, too, every ProbeInterval: one that does not pass
	// hangs, as with Watchdog.
	ProbeLive bool
	// MaxAge is how old a worker may become before a successor replaces it, and AgeSpread which
	// part of that, from 0 to 1, it may be more or less. 0: as old as it likes.
	MaxAge    time.Duration
	AgeSpread float64
	// MaxMemory is how many bytes a worker may have with its descendants (PSS, or RSS where that
	// cannot be read) before a successor replaces it. It is looked at every five seconds. Linux only. 0: any number.
	MaxMemory int64

	// Workers is how many processes there are in a generation. Each is told
	// its number, from 0, in SERVER_STARTER_WORKER and EINHORN_CHILD_INDEX.
	// 0: one, which is told nothing. With HandleSignals TTIN adds one and TTOU
	// takes one away.
	Workers int

	// Replace is how a restart replaces the old workers: [AtOnce], the default,
	// [Rolling], which needs Workers, or [Beside], which goes without.
	Replace Replace

	// KillOldDelay is the wait between a new worker's success and the old
	// workers' signal. nil: 0, or 5 s with automatic restarts.
	KillOldDelay *time.Duration
	// KillTimeout is how long a worker may take to go after it was told to,
	// before it gets KILL. 0: for ever.
	KillTimeout time.Duration
	// KillGroup makes each worker the leader of a process group, which is
	// killed as a whole when KillTimeout is over. What a worker leaves behind in its
	// group when it ends is told to go by the signal that it was told by, or SignalOnHUP;
	// with KillTimeout it is killed and waited for. That is on Linux only.
	KillGroup bool
	// SignalGroup is KillGroup, and has the whole group get the signals that tell a worker to
	// go: SignalOnHUP, SignalOnTERM, and those for workers that have failed or hang.
	SignalGroup bool
	// StopDelay is how long the workers serve on after TERM, for load
	// balancers to learn that they should look elsewhere.
	StopDelay time.Duration

	// SignalOnHUP tells old workers to go at a restart, and those of a failed attempt
	// that serve already. nil: TERM.
	SignalOnHUP  os.Signal
	SignalOnTERM os.Signal // to all workers at TERM. nil: TERM

	// Follow ties this process to its worker. None is started in the place of one that
	// has ended. When none is left Run returns, after a stop, too: with a *Failure, unless
	// the last one ended by exit code 0. Attempts bounds what is tried until one has proved
	// itself. With HandleSignals TERM, INT and QUIT are passed on to all workers as they
	// are, each time that they come, and a restart that waits is dropped; what comes of
	// that is up to the workers. USR1 and USR2 do not go to workers as PID 1 either. Without Workers.
	Follow bool
	// FirstServes makes a generation live, when nothing serves, as soon as one of its
	// workers has proved itself; the others are then replaced one by one if they fail.
	// Otherwise all have to.
	FirstServes bool

	EnableAutoRestart   bool          // restart by time
	AutoRestartInterval time.Duration // 0: 360 s

	PidFile    string // holds our pid, under flock(2), while we run
	StatusFile string // lists the serving workers, a line GENERATION:PID each
	// EnvDir is a directory whose files are variables for the workers, read
	// at every start of one. It overrides the environment, and with that the
	// three settings above that have a variable: ENABLE_AUTO_RESTART,
	// AUTO_RESTART_INTERVAL and KILL_OLD_DELAY.
	EnvDir string

	// Control is the path of the control socket, by which clients of the same
	// user and root ask how things stand and have things done. "": there is none.
	Control string

	// OnEvent are commands that are started by sh -c for events of the control socket, each
	// COMMAND, for all of them, or EVENT[,EVENT...]:COMMAND. One reads the event from its
	// stdin, as the line of JSON that clients get, and its output goes to the log. There is one
	// at a time, and it is killed with its process group after 30 s; if more than 100 wait the
	// oldest is dropped. It runs as the user of this process. See docs/health.md.
	OnEvent []string

	// LogFile is where the log and the workers' stdout and stderr go: a file,
	// or "| command", or "syslog:TAG", which is logger(1) with that tag
	// ("syslog:": Name). "": the log to Log, the workers' to our own. With
	// it workers get no JOURNAL_STREAM. A generation writes to the file that stands there
	// when it begins, and then this package does, too; see Reopen.
	LogFile string
	// Name is what the log and clients of the control socket are told that this
	// program is. "": start_server.
	Name string
	// Verbose has the log tell, too, of workers that have lived through Interval and of
	// what workers say of themselves.
	Verbose bool
	// Log takes the log lines until LogFile is open. nil: os.Stderr.
	Log io.Writer
	// FDStore has the service manager keep the sockets (FDSTORE=1, sd_notify(3)), so that a
	// superdaemon that it starts after this one was killed is given them, with all connections
	// that wait. It needs NotifyManager and a NOTIFY_SOCKET, and a manager that keeps as many
	// (FileDescriptorStoreMax=). Paths then stay when Run ends. Sockets that a manager has kept
	// are taken over in any case. Linux only.
	FDStore bool
	// ReplaceOrphans takes the sockets over, with all connections that wait, from workers that
	// StatusFile lists of a superdaemon that was killed, where the kernel lets us
	// (pidfd_getfd(2)). When a generation is live they are told to go by SignalOnHUP after
	// KillOldDelay, and killed after KillTimeout. Linux only.
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
	// stderr told apart, as in "[4711 generation:2 slot:0 stderr] hello". Each of the two is a
	// pipe of its own, so that a line of one may come before an earlier line of the other.
	LogWorkers bool
	// LogFormat is what lines look like: those of this package and, with LogWorkers or
	// PrefixOutput, those of the workers. "": LogPlain.
	LogFormat LogFormat

	// Release is the version of the program that uses this package, as Upgrade tells it. "":
	// Version.
	Release string
	// RehearseArg is put before all arguments when an image is asked whether it could go on.
	// A program that does not know that argument has to end by it. "": there is none.
	RehearseArg string
	// InForce returns a command line that says all that this configuration does, for clients of the
	// control socket that ask. nil: the arguments of the process.
	InForce func() []string
	// ReadsFile tells that the arguments of the process name a file, which may say something
	// else by the time of an Upgrade: InForce then stands for them where it is to be known what
	// has changed, and if this image has to go on after all.
	ReadsFile bool
	// Changes tells, a line each, in what the arguments of this image differ from those of
	// the last one, for the log. nil: nothing is said.
	Changes func(old []string) []string

	// Started is called once, when the first worker has been started, from
	// another goroutine. nil: nobody is told.
	Started func()
	// Serving is called once, when the first generation is live, from another goroutine.
	// nil: nobody is told.
	Serving func()
	// HandleSignals makes Listen and Run catch HUP (restart), TERM, INT and QUIT
	// (stop), and USR1 (Reopen), and ignore PIPE and USR2. As PID 1, and with Subreaper,
	// USR1 and USR2 are passed on to the workers, too, and all orphans are waited for that
	// the process is given. With Workers set TTIN adds one and TTOU takes one away.
	HandleSignals bool
	// UpgradeOnUSR1 has Upgrade called with an empty Image at USR1, with HandleSignals, which
	// goes before what USR1 means as PID 1 or with Subreaper.
	UpgradeOnUSR1 bool
	// RedirectOutput points our own stdout and stderr to LogFile as well.
	RedirectOutput bool
	// NotifyManager has the service manager told, if our own environment has
	// a NOTIFY_SOCKET when New is called, how we get on (sd_notify(3)): READY=1
	// when the first generation is live, RELOADING=1 and READY=1 around a restart
	// that was asked for, STOPPING=1, STATUS, and WATCHDOG=1 if it wants to hear
	// that (WATCHDOG_USEC). A restart is over for it when Restart returns. A start, a
	// restart and a stop are extended (EXTEND_TIMEOUT_USEC) as long as Interval, Proof,
	// StopDelay and KillTimeout allow for; without KillTimeout
	// the time for a stop is the manager's alone. Workers do not get these
	// variables. A manager that does not listen is waited for two seconds
	// at most when Run ends; errors are logged once. It knows of one service, so
	// this is for one Starter in a process.
	NotifyManager bool
}

// ListenOn adds a socket to Ports or Paths that is given by a URI: tcp://HOST:PORT,
// tcp4://HOST:PORT or tcp6://HOST:PORT, where no host with tcp is all addresses of
// both families, and 0.0.0.0 those of IPv4; unix://PATH, whose mode is what
// the umask of this process leaves of 0777; or fd://N, an inherited socket. A host is looked
// up, which may block; the error then is a *net.DNSError.
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

// relays tells that what workers write goes by way of us.
func (c *Config) relays() bool { return c.PrefixOutput || c.LogWorkers }

// inInitsPlace tells that orphans come to us, and that nobody but us can be sent a
// signal that is for the workers.
func (c *Config) inInitsPlace() bool { return c.Subreaper || c.HandleSignals && os.Getpid() == 1 }

// listens tells that workers may say how they get on: that they are ready, in a canary that
// they are not fit, or that they are alive.
func (c *Config) listens() bool { return c.Proof.how.Notified() || len(c.Canary) > 0 || c.Watchdog > 0 }

// life is what the supervisor is told.
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

// Image is what a superdaemon is to become.
type Image struct {
	Executable  string   // a path; "": that of this one, where another file may be by now
	Args        []string // without the name of the program; none: those of this one
	KeepWorkers bool     // they are not restarted
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
// it is proven. There are at most surge processes, at least 1, beyond Workers. An
// attempt that fails in the middle leaves those that are replaced, and the others,
// serving.
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
