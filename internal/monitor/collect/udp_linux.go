package collect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// drops returns how many packets the kernel dropped on each UDP socket of a superdaemon, by the
// socket's name; nil if it has none. It reads /proc/PID/net, which shows the network namespace
// that the superdaemon is in.
func drops(s *control.Status) map[string]uint64 {
	names := map[string]string{} // by the address as the kernel writes it
	for _, o := range s.Sockets {
		if o.Network == "udp" {
			if address, err := netip.ParseAddrPort(o.Address); err == nil {
				names[kernelAddress(address)] = o.Name
			}
		}
	}
	if len(names) == 0 || s.Pid <= 0 {
		return nil
	}
	all := map[string]uint64{}
	for _, table := range []string{"udp", "udp6"} {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(s.Pid) + "/net/" + table)
		if err != nil {
			continue
		}
		addDrops(all, names, text)
	}
	return all
}

// addDrops adds up the drops in a table of the kernel. The second field is the local address, the
// last one the drops (proc_net(5)).
func addDrops(all map[string]uint64, names map[string]string, table []byte) {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 13 {
			continue
		}
		name, is := names[string(fields[1])]
		n, err := strconv.ParseUint(string(fields[12]), 10, 63)
		if is && err == nil {
			all[name] += n
		}
	}
}

// kernelAddress is an address as the kernel writes it: words of the machine's byte order.
func kernelAddress(a netip.AddrPort) string {
	bytes, hex := a.Addr().AsSlice(), ""
	for ; len(bytes) >= 4; bytes = bytes[4:] {
		hex += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(bytes))
	}
	return fmt.Sprintf("%s:%04X", hex, a.Port())
}
