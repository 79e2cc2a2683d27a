package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

// kinds are the media types of the assets, by the ends of their names. The machine's own table may
// have others.
var kinds = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// addAssets serves the page and its files. The page names each file with a part that changes with
// the file, so browsers may keep it.
func (s *Site) addAssets() error {
	files, err := fs.Glob(assets, "assets/*.*")
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, file := range files {
		text, err := assets.ReadFile(file)
		if err != nil {
			return err
		}
		kind, is := kinds[path.Ext(file)]
		if !is {
			continue
		}
		sum := sha256.Sum256(text)
		tag, name := hex.EncodeToString(sum[:6]), path.Base(file)
		sums[name] = name + "?" + tag
		s.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			if r.URL.RawQuery == tag {
				w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			_, _ = w.Write(text)
		})
	}
	page, err := template.ParseFS(assets, "assets/page.html")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := page.Execute(&text, struct {
		Files   map[string]string
		Version string
	}{sums, s.Version}); err != nil {
		return err
	}
	s.page = text.Bytes()
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(s.page)
	})
	return nil
}
