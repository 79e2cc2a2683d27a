package fd

import (
	"os"

	"golang.org/x/sys/unix"
)

// RefuseRights keeps others from passing descriptors to a unix socket, and to those that
// it accepts (SO_PASSRIGHTS, Linux 6.16): a sender gets EPERM. The error says that the
// kernel cannot.
func RefuseRights(n int) error {
	return os.NewSyscallError("setsockopt(SO_PASSRIGHTS)", unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0))
}
