//go:build !unix

package listener

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func inspect(port Listener) (socket, error) {
	return socket{}, fmt.Errorf("inherited %s on %s: %w", port, runtime.GOOS, errors.ErrUnsupported)
}

func duplicate(port Listener) (*os.File, error) {
	_, err := inspect(port)
	return nil, err
}
