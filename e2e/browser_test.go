//go:build linux && extra

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is a headless Chromium with one page, spoken to by its DevTools protocol over
// pipes: JSON, and a zero byte behind each message.
type browser struct {
	t       *testing.T
	out     io.Writer
	session string

	mu      sync.Mutex
	last    int
	waits   map[int]chan devMessage
	console []string // complaints of the page, or of the browser about it
}

// devMessage is a message of the protocol.
type devMessage struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// opens starts a browser, and skips the test if there is none.
func opens(t *testing.T) *browser {
	t.Helper()
	program := needs(t, "chromium")
	toRead, out, err := os.Pipe()
	require.NoError(t, err)
	in, toWrite, err := os.Pipe()
	require.NoError(t, err)
	c := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--user-data-dir="+tempDir(t), "about:blank")
	c.ExtraFiles = []*os.File{toRead, toWrite}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, c.Start())
	toRead.Close()
	toWrite.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // its own processes with it
		_ = c.Wait()
		out.Close()
		in.Close()
	})
	b := &browser{t: t, out: out, waits: map[int]chan devMessage{}}
	go b.read(in)
	b.attach()
	return b
}

// attach makes the page.
func (b *browser) attach() {
	b.t.Helper()
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.do(domain+".enable", nil, nil)
	}
}

func (b *browser) read(in io.Reader) {
	for r := bufio.NewReader(in); ; {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			devMessage
			Params json.RawMessage `json:"params"`
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if wait := b.waits[m.ID]; wait != nil {
			delete(b.waits, m.ID)
			wait <- m.devMessage
		}
		if m.Method == "Runtime.exceptionThrown" || m.Method == "Log.entryAdded" && strings.Contains(string(m.Params), `"level":"error"`) {
			b.console = append(b.console, string(m.Params))
		}
		b.mu.Unlock()
	}
}

// do makes the browser do something, and reads the result.
func (b *browser) do(method string, params, result any) {
	b.t.Helper()
	b.mu.Lock()
	b.last++
	id, wait := b.last, make(chan devMessage, 1)
	b.waits[id] = wait
	b.mu.Unlock()
	text, err := json.Marshal(devMessage{ID: id, Method: method, Params: params, Session: b.session})
	require.NoError(b.t, err)
	_, err = b.out.Write(append(text, 0))
	require.NoError(b.t, err)
	select {
	case m := <-wait:
		require.Empty(b.t, string(m.Error), method)
		if result != nil {
			require.NoError(b.t, json.Unmarshal(m.Result, result))
		}
	case <-time.After(deadline):
		b.t.Fatalf("%s: the browser does not answer", method)
	}
}

// visit goes to an address.
func (b *browser) visit(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url}, nil)
}

// value is the value of a JavaScript expression, as JSON. A promise is waited for.
func (b *browser) value(expression string) string {
	b.t.Helper()
	var v struct {
		Result struct {
			Value       json.RawMessage
			Description string
		}
		ExceptionDetails json.RawMessage
	}
	b.do("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "allowUnsafeEvalBlockedByCSP": false}, &v)
	if v.ExceptionDetails != nil {
		return "exception: " + v.Result.Description
	}
	return string(v.Result.Value)
}

// sees waits until an expression is true.
func (b *browser) sees(expression string) {
	b.t.Helper()
	eventually(b.t, func() bool { return b.value(expression) == "true" }, func() string {
		return fmt.Sprintf("%s is not true; the page has: %s\n%s", expression, b.value("document.body && document.body.innerText"), strings.Join(b.complaints(), "\n"))
	})
}

func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.console...)
}

// looks sets the colours and the size of the screen.
func (b *browser) looks(scheme string, width, height int, phone bool) {
	b.t.Helper()
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// picture is the screen as a PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.do("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	require.NoError(b.t, err)
	return png
}
