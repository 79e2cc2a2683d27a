package supervise

import (
	"fmt"
	"os"
	"time"
)

func trace(w *world, format string, args ...any) {
	if os.Getenv("TRACE") != "" {
		fmt.Printf("%8v %s\n", time.Since(w.start), fmt.Sprintf(format, args...))
	}
}
