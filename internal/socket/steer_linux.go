package socket

import (
	"encoding/binary"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// steer attaches to the group of sockets a program that chooses among the first n slots
// (SO_ATTACH_REUSEPORT_CBPF, socket(7)). It replaces the last program.
func (s *Socket) steer(n int) error {
	program, through := s.split.spreading(n), s.fd
	if s.Sided {
		program = s.split.steering(n)
		if len(*s.others) > 0 {
			through = (*s.others)[0] // the others are locked
		}
	}
	return os.NewSyscallError("setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
		unix.SetsockoptSockFprog(through, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}))
}

// queued is the length of the accept queue. For a listening socket that is tcpi_unacked
// (tcp_get_info, net/ipv4/tcp.c).
func (s *Socket) queued(fd int) (int, error) {
	if s.UDP {
		return waiting(fd)
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt(TCP_INFO)", err)
	}
	return int(info.Unacked), nil
}

// network is the offset of the IP header (SKF_NET_OFF, linux/filter.h): offset 0 is what
// follows the TCP or UDP header.
const network = 1<<32 - 0x100000

// odd is 2^32 divided by the golden ratio. To multiply by it spreads a difference in the
// low bits, as between a client's ports, to the high ones.
const odd = 0x9e3779b1

// secret keeps clients from choosing a worker by their port. If there is no randomness it
// is 0: connections are spread just as evenly.
var secret = sync.OnceValue(func() uint32 {
	var random [4]byte
	_, _ = unix.Getrandom(random[:], 0)
	return binary.NativeEndian.Uint32(random[:])
})

// The instructions of classic BPF that are used.

func load(size, offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: uint16(unix.BPF_LD | size | unix.BPF_ABS), K: network + offset}
}

func alu(op, k uint32) unix.SockFilter {
	return unix.SockFilter{Code: uint16(unix.BPF_ALU | op | unix.BPF_K), K: k}
}

func equal(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func skip(n uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: n} }

var (
	tax  = unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX}
	retA = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A}
	// headerX loads into X how long an IPv4 header is.
	headerX = []unix.SockFilter{load(unix.BPF_B, 0), alu(unix.BPF_AND, 0x0f), alu(unix.BPF_LSH, 2), tax}
	// loadPortX loads the port behind a header of X bytes.
	loadPortX = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: network}
)

// steering is a program in classic BPF that hashes the source address and port to a slot
// below n: the same slot for all packets of a flow, slot 0 for a packet that is too short.
// The port is ignored in an IPv6 packet with extension headers.
func steering(n int) []unix.SockFilter { return append(hashing(n), retA) }

// hashing leaves the slot in A.
func hashing(n int) []unix.SockFilter {
	xorX := unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X}
	keepPort := unix.SockFilter{Code: unix.BPF_ST}
	loadPort := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_MEM}

	ipv4 := append(slices.Clone(headerX),
		loadPortX,
		keepPort,
		load(unix.BPF_W, 12), // the source address
	)
	ipv6 := []unix.SockFilter{
		load(unix.BPF_B, 6), // the next header
		equal(unix.IPPROTO_TCP, 3, 0),
		equal(unix.IPPROTO_UDP, 2, 0),
		{Code: unix.BPF_LD | unix.BPF_IMM},
		skip(1),
		load(unix.BPF_H, 40),
		keepPort,
		load(unix.BPF_W, 8), // the source address, word by word
	}
	for _, offset := range []uint32{12, 16, 20} {
		ipv6 = append(ipv6, alu(unix.BPF_MUL, odd), tax, load(unix.BPF_W, offset), xorX)
	}
	ipv4 = append(ipv4, skip(uint32(len(ipv6))))

	program := []unix.SockFilter{
		load(unix.BPF_B, 0), // the version
		alu(unix.BPF_RSH, 4),
		equal(6, uint8(len(ipv4)), 0),
	}
	program = append(append(program, ipv4...), ipv6...)
	return append(program,
		alu(unix.BPF_XOR, secret()), alu(unix.BPF_MUL, odd), tax, loadPort, xorX,
		alu(unix.BPF_MUL, odd), tax, alu(unix.BPF_RSH, 15), xorX,
		alu(unix.BPF_MUL, odd), alu(unix.BPF_RSH, 16),
		alu(unix.BPF_MOD, uint32(n)))
}
