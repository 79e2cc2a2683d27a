//go:build !linux

package starter

import (
	"context"
	"errors"
	"os"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/notify"
)

// ErrRehearsal is what Run returns in a rehearsal of Upgrade, which is for Linux only.
var ErrRehearsal = errors.New("this was a rehearsal")

var errUpgrade = errors.New("only Linux can replace a superdaemon")

// Upgrade replaces this process by another image of it. Only Linux can.
func (s *Starter) Upgrade(context.Context, Image) error { return errUpgrade }

func (s *Starter) upgrade(_ context.Context, cause string, _ Image, _ *control.Waiting) error {
	s.out.Printf("%s: ignored, as %v", cause, errUpgrade)
	return errUpgrade
}

func (s *Starter) byClient(control.Request, string) control.Answer {
	return control.Answer{Error: errUpgrade.Error()}
}

func raiseAgain(os.Signal) {}

func (s *Starter) adoptNotices() (*notify.Listener, error) { return nil, nil }

func (s *Starter) succeed() {}

func (s *Starter) goOn(context.Context) error { return errUpgrade }

func (s *Starter) rehearse(*handover.State) error { return errUpgrade }
