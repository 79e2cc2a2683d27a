package socket

import (
	"encoding/hex"
	"hash/fnv"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

// Kept is a socket in the descriptor store of a service manager.
type Kept struct {
	Name string // there; see keptName
	Ino  uint64 // of the socket
}

// Unkept is a socket that is to be put into the descriptor store.
type Unkept struct {
	Kept
	FD int // the receiver's to close
}

// unslotted is the slot of a socket that all slots share.
const unslotted = -1

// keptName is the name of a socket in the descriptor store: PREFIX/NTH/SLOT/KEY. NTH counts
// the sockets that have the same key: several may ask for port 0. The name is printable ASCII
// without a colon, and not longer than a label may be.
func keptName(key string, nth, slot int) string {
	which := "-"
	if slot != unslotted {
		which = strconv.Itoa(slot)
	}
	begin := fdenv.KeptPrefix + strconv.Itoa(nth) + "/" + which + "/"
	if name := begin + url.QueryEscape(key); len(name) <= maxLabel {
		return name
	}
	sum := fnv.New128a() // a cryptographic one makes the program 0.16 MB bigger
	_, _ = sum.Write([]byte(key))
	return begin + "#" + hex.EncodeToString(sum.Sum(nil))
}

// parseKept takes a name apart. same is equal for all slots of one socket.
func parseKept(name string) (same string, nth, slot int, ok bool) {
	rest, ok := strings.CutPrefix(name, fdenv.KeptPrefix)
	parts := strings.SplitN(rest, "/", 3)
	if !ok || len(parts) < 3 {
		return "", 0, 0, false
	}
	nth, err := strconv.Atoi(parts[0])
	if err != nil || nth < 0 {
		return "", 0, 0, false
	}
	slot = unslotted
	if parts[1] != "-" {
		if slot, err = strconv.Atoi(parts[1]); err != nil || slot < 0 {
			return "", 0, 0, false
		}
	}
	return parts[0] + "/" + parts[2], nth, slot, true
}

// isFor tells whether an open socket is what a specification asks for. A host name is not
// looked up.
func (s *Spec) isFor(found inherited) bool {
	switch network := found.addr.Network(); {
	case s.Taken:
		return false
	case s.Path != "":
		return network == "unix"
	case s.UDP && network != "udp", !s.UDP && network != "tcp":
		return false
	}
	addr, ok := addrPort(found.addr)
	return ok && (s.Port == 0 || s.Port == addr.Port()) && (!s.IP.IsValid() || s.IP == addr.Addr())
}

// addrPort is the address of a socket that is not a path.
func addrPort(addr net.Addr) (_ netip.AddrPort, ok bool) {
	is, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}, false
	}
	return is.AddrPort(), true
}
