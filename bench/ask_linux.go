package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// answer is the result of another start_server that asks a superdaemon.
type answer struct {
	ended time.Duration // when it ended
	err   error
}

// ask starts another start_server that asks v's superdaemon, and tells when that has ended,
// by itself or because ctx has. The caller must read reports meanwhile, or the workers
// block.
func (v *server) ask(ctx context.Context, options ...string) <-chan answer {
	result := make(chan answer, 1)
	cmd := exec.CommandContext(ctx, v.asker[0], append(options, v.asker[1:]...)...)
	cmd.Env = v.cmd.Env                                   // ours may hold options
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, and we stop it
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		result <- answer{err: err}
		return result
	}
	go func() {
		err := cmd.Wait()
		ended := protocol.Now()
		if err != nil {
			err = fmt.Errorf("start_server %q: %w: %s", options, err, said.Bytes())
		}
		result <- answer{ended, err}
	}()
	return result
}

// returnsTarget is how long --restart may take to return once the old worker
// has its signal, in ms.
const returnsTarget = 10

// restartReturns measures from the old worker's signal to the end of the start_server
// --restart that asked for it: how late an operator learns of the restart. The start of
// that program is not in it.
func (b *bench) restartReturns(ctx context.Context) ([]row, error) {
	use := usual
	use.asked = true
	f, err := b.launchAll(ctx, b.superdaemons(), use)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	s, err := repeat(b.n, b.superdaemons(), func(s subject) (float64, error) {
		if err := f[s].settle(ctx); err != nil {
			return 0, err
		}
		return f[s].restartReturns(ctx)
	})
	if err != nil {
		return nil, err
	}
	r := row{label: "old worker's signal to --restart's return, ms", format: "%.2f", values: s.medians()}
	return []row{r.atMost(returnsTarget)}, nil
}

func (v *server) restartReturns(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	old := v.worker
	asking := v.ask(ctx, "--restart")
	told, err := v.await(ctx, protocol.Terminated, old)
	if err != nil {
		cancel()
		return 0, errors.Join(err, (<-asking).err)
	}
	a := <-asking
	return ms(a.ended - told.At), a.err
}
