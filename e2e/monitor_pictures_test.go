//go:build linux && extra

package e2e

import (
	"bytes"
	pixels "image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small is the picture with only its 256 most frequent colours, as a PNG.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	from, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	count := map[color.RGBA]int{}
	size := from.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := range size.Dy() {
		for x := range size.Dx() {
			count[at(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range most[:min(256, len(most))] {
		palette = append(palette, c)
	}
	to := pixels.NewPaletted(size, palette)
	nearest := map[color.RGBA]uint8{}
	for y := range size.Dy() {
		for x := range size.Dx() {
			c := at(x, y)
			if _, is := nearest[c]; !is {
				nearest[c] = uint8(palette.Index(c))
			}
			to.SetColorIndex(x, y, nearest[c])
		}
	}
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to))
	require.Less(t, out.Len(), 100_000)
	return out.Bytes()
}

// TestScreenshots makes the pictures of docs/img, if SCREENSHOTS says where to put them.
func TestScreenshots(t *testing.T) {
	to := os.Getenv("SCREENSHOTS")
	if to == "" {
		t.Skip("SCREENSHOTS says not where to put them")
	}
	b, dir := opens(t), tempDir(t)
	_, release := released(t, dir, "api", "--workers=3")
	released(t, dir, "shop", "--workers=4", "--blue-green", "--canary=10%:1h")
	for range 2 {
		code, printed := command(t, dir, ours, "--restart", "--control=api.ctl")
		require.Zero(t, code, printed)
	}
	url := monitors(t, dir)
	b.looks("light", 1080, 760, false)
	b.visit(url)
	b.sees(`document.querySelectorAll(".card").length === 2`)
	b.sees(`(() => { const w = document.getElementById("window"); w.value = "300"; w.dispatchEvent(new Event("change")); return true; })()`)
	code, printed := command(t, dir, ours, "--restart", "--control=api.ctl")
	require.Zero(t, code, printed)
	path := filepath.Join(dir, "broken")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho 'reading config/database.yml'\necho 'no such database: shop_production'\nexit 3\n"), 0o755))
	release(path)
	command(t, dir, ours, "--restart", "--control=api.ctl")
	go command(t, dir, ours, "--restart", "--control=shop.ctl", "--timeout=20")
	b.sees(`document.querySelectorAll(".worker.canary").length === 4 && !!document.querySelector(".track .failed")`)
	// Show paths as they usually are, and bars as they are after a few minutes.
	b.value(`page.span = () => 30; document.querySelectorAll(".path").forEach(p => { p.textContent = p.textContent.replace(/.*\//, "/run/"); })`)
	b.sees(`page.cards.forEach(page.tick) === undefined`)
	for name, looks := range map[string]func(){
		"light": func() { b.looks("light", 1080, 760, false) },
		"dark":  func() { b.looks("dark", 1080, 760, false) },
		"phone": func() { b.looks("dark", 390, 800, true) },
	} {
		looks()
		b.sees(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
		require.NoError(t, os.WriteFile(filepath.Join(to, "monitor-"+name+".png"), small(t, b.picture()), 0o644))
	}
	assert.Empty(t, strings.Join(b.complaints(), "\n"))
}
