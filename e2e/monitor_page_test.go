//go:build linux && extra

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evil is a part of a name and of a log line. No page may run it.
const evil = `<img src=x onerror=hacked=1>`

// broken is a release that does not come up. Its last words hold evil.
func broken(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "broken")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho 'reading config/database.yml'\necho 'no such database: "+evil+"'\nexit 3\n"), 0o755))
	return path
}

// click presses a button of the only card.
func (b *browser) click(name string) {
	b.t.Helper()
	b.sees(`(() => { const b = [...document.querySelectorAll(".acts button")].find(b => b.textContent === "` + name + `" && !b.disabled); if (!b) return false; b.click(); return true; })()`)
}

// told waits until the line below the buttons matches.
func (b *browser) told(pattern string) {
	b.t.Helper()
	b.sees(`/` + pattern + `/.test(document.querySelector(".told").textContent)`)
}

// The page shows a restart with a canary, its promotion, a rollback and a failing release. Its
// buttons ask for them.
func TestPageOfTheMonitor(t *testing.T) {
	t.Parallel()
	b := opens(t)
	dir := tempDir(t)
	_, release := released(t, dir, "a"+evil, "--workers=2", "--blue-green", "--canary=5%:1h", "--keep-old=1h")
	b.visit(monitors(t, dir))
	b.looks("light", 1100, 800, false)
	b.sees(`document.getElementById("summary").textContent === "Serving"`)
	b.click("Restart")
	b.told("The token is missing")
	typed := `(() => { const t = document.getElementById("token"); t.value = "%s"; t.dispatchEvent(new Event("input")); return true; })()`
	b.sees(fmt.Sprintf(typed, "wrong"))
	b.click("Restart")
	b.told("^restart: the token is wrong$")
	b.sees(fmt.Sprintf(typed, monitorToken))

	b.click("Restart")
	b.sees(`document.querySelector(".chip").textContent === "canary" && !!document.querySelector(".track .canary")`)
	b.sees(`document.querySelector(".share").textContent.includes("5 % · gen 2")`)
	b.sees(`document.querySelectorAll(".worker.canary").length === 2`)
	b.told("^restart: .*canary|^restart: .*connections")
	b.value(`fetch("api/promote", {method: "POST", headers: {"Content-Type": "application/json", "X-Start-Server-Monitor": "1", "Authorization": "Bearer ` + monitorToken + `"}, body: JSON.stringify({control: [...page.cards.keys()][0]})})`)
	b.told("^restart: generation 2 is live$")
	b.sees(`[...document.querySelectorAll(".row")].some(r => r.textContent.startsWith("gen 1stands by"))`)
	b.click("Roll back")
	b.told("^rollback: ")
	b.sees(`document.querySelector(".facts").textContent.includes("generation 1 ")`)

	release(broken(t, dir))
	b.click("Restart")
	b.told("^restart: new worker .* exit code 3$")
	b.sees(`document.querySelector("details pre").textContent.includes("no such database: ` + evil + `")`)
	b.sees(`document.querySelector("details").open && !!document.querySelector(".track .failed")`)
	b.sees(`[...document.querySelectorAll("#log .alarm")].some(e => e.textContent === "failed")`)
	b.sees(`[...document.querySelectorAll("h2")].some(e => e.textContent === "a` + evil + `.ctl")`)

	assert.Equal(t, `"undefined"`, b.value(`typeof hacked`))
	assert.Equal(t, "0", b.value(`document.images.length`))
	b.looks("dark", 390, 800, true)
	assert.Equal(t, "true", b.value(`document.documentElement.scrollWidth <= 390`), "it fits a phone")
	for _, complaint := range b.complaints() {
		assert.Regexp(t, "status of (401|502)", complaint, "the wrong token and the failed restart are all that the browser complains of")
	}
	b.click("Stop")
	b.click("Really stop it?")
	b.sees(`document.getElementById("summary").textContent === "1 of 1 not serving"`)
}

// Only our own scripts run, even if somebody could put another one into the page.
func TestPolicyOfThePage(t *testing.T) {
	t.Parallel()
	b := opens(t)
	b.visit(monitors(t, tempDir(t)))
	b.sees(`document.getElementById("none").textContent.includes("matches no control socket")`)
	assert.Contains(t, b.value(`document.body.innerHTML = "x"`), "TrustedHTML")
	b.value(`(() => { const e = document.createElement("a"); e.setAttribute("onclick", "hacked = 1"); document.body.append(e); e.click(); })()`)
	assert.Contains(t, b.value(`eval("hacked = 1")`), "exception")
	assert.Equal(t, `"undefined"`, b.value(`typeof hacked`))
}
