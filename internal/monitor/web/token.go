package web

import (
	"fmt"
	"io"
	"strings"
)

const (
	minToken = 16   // characters
	maxToken = 1024 // bytes of the file
)

// ReadToken reads the token in a file, without the space around it. The error says that the file
// is not there, that others could read or change it, or that the token is too short.
func ReadToken(path string) (string, error) {
	fault := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("token file %q: "+format, append([]any{path}, args...)...)
	}
	f, err := openToken(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return fault("it is not a regular file")
	}
	if why := exposed(info); why != "" {
		return fault("%s", why)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	switch {
	case len(text) > maxToken:
		return fault("it is longer than %d bytes", maxToken)
	case len(token) < minToken:
		return fault("the token has fewer than %d characters: openssl rand -hex 16 makes a good one", minToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fault("the token is more than one word of ASCII")
	}
	return token, nil
}
