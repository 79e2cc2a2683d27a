package socket

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// This file runs the programs of a group as the kernel does (socket(7), linux/filter.h), with
// packets and random numbers that we cannot get from the kernel.

// packet is the first packet of a connection, from the IP header on. An IPv4 header is longer by
// padding words.
func packet(from, to netip.AddrPort, padding int) []byte {
	var b []byte
	if from.Addr().Is4() {
		b = make([]byte, 20+4*padding, 40+4*padding)
		b[0], b[9] = byte(0x45+padding), unix.IPPROTO_TCP
		copy(b[12:], from.Addr().AsSlice())
		copy(b[16:], to.Addr().AsSlice())
	} else {
		b = make([]byte, 40, 60)
		b[0], b[6] = 0x60, unix.IPPROTO_TCP
		copy(b[8:], from.Addr().AsSlice())
		copy(b[24:], to.Addr().AsSlice())
	}
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	return append(b, make([]byte, 16)...)
}

// machine is what a program works with.
type machine struct {
	a, x   uint32
	memory [unix.BPF_MEMWORDS]uint32
	packet []byte
	random uint32
}

// load is the number of that size at an offset; not ok if the packet is too short.
func (m *machine) load(size uint16, offset uint32) (_ uint32, ok bool) {
	if offset == random {
		return m.random, true
	}
	offset -= network
	n := map[uint16]uint32{unix.BPF_B: 1, unix.BPF_H: 2, unix.BPF_W: 4}[size]
	if uint64(offset)+uint64(n) > uint64(len(m.packet)) {
		return 0, false
	}
	var word [4]byte
	copy(word[4-n:], m.packet[offset:])
	return binary.BigEndian.Uint32(word[:]), true
}

func (m *machine) alu(op uint16, k uint32) {
	switch op {
	case unix.BPF_ADD:
		m.a += k
	case unix.BPF_MUL:
		m.a *= k
	case unix.BPF_MOD:
		m.a %= k
	case unix.BPF_AND:
		m.a &= k
	case unix.BPF_OR:
		m.a |= k
	case unix.BPF_XOR:
		m.a ^= k
	case unix.BPF_LSH:
		m.a <<= k
	case unix.BPF_RSH:
		m.a >>= k
	default:
		panic(fmt.Sprintf("operation %#x is not known", op))
	}
}

// run is the place that a program chooses; for a packet that is too short it is 0.
func run(program []unix.SockFilter, packet []byte, random uint32) (place int) {
	m := machine{packet: packet, random: random}
	for at := 0; ; at++ {
		ok := true
		switch f := program[at]; f.Code & 0x07 {
		case unix.BPF_LD:
			switch f.Code & 0xe0 {
			case unix.BPF_IMM:
				m.a = f.K
			case unix.BPF_MEM:
				m.a = m.memory[f.K]
			case unix.BPF_ABS:
				m.a, ok = m.load(f.Code&0x18, f.K)
			case unix.BPF_IND:
				m.a, ok = m.load(f.Code&0x18, f.K+m.x)
			}
		case unix.BPF_ST:
			m.memory[f.K] = m.a
		case unix.BPF_ALU:
			k := f.K
			if f.Code&unix.BPF_X != 0 {
				k = m.x
			}
			m.alu(f.Code&0xf0, k)
		case unix.BPF_JMP:
			yes := false
			switch f.Code & 0xf0 {
			case unix.BPF_JA:
				at += int(f.K)
				continue
			case unix.BPF_JEQ:
				yes = m.a == f.K
			case unix.BPF_JGE:
				yes = m.a >= f.K
			case unix.BPF_JGT:
				yes = m.a > f.K
			}
			if yes {
				at += int(f.Jt)
			} else {
				at += int(f.Jf)
			}
		case unix.BPF_RET:
			if f.Code&0x18 == unix.BPF_A {
				return int(m.a)
			}
			return int(f.K)
		case unix.BPF_MISC:
			if f.Code&0xf8 == unix.BPF_TXA {
				m.a = m.x
			} else {
				m.x = m.a
			}
		}
		if !ok {
			return 0
		}
	}
}

// clients are pairs of addresses of both families, each of which differs from the first of its family
// in one word.
func clients() (pairs [][2]netip.AddrPort) {
	for _, p := range [][2]string{
		{"10.0.0.1:1000", "10.0.0.1:80"}, {"10.0.0.2:1000", "10.0.0.1:80"},
		{"[2001:db8:1:2:3:4:5:6]:1000", "[2001:db8:1:2:3:4:5:6]:80"},
		{"[2001:db9:1:2:3:4:5:6]:1000", "[2001:db8:1:2:3:4:5:6]:80"},
		{"[2001:db8:1:3:3:4:5:6]:1000", "[2001:db8:1:2:3:4:5:6]:80"},
		{"[2001:db8:1:2:3:5:5:6]:1000", "[2001:db8:1:2:3:4:5:6]:80"},
		{"[2001:db8:1:2:3:4:5:7]:1000", "[2001:db8:1:2:3:4:5:6]:80"},
	} {
		pairs = append(pairs, [2]netip.AddrPort{netip.MustParseAddrPort(p[0]), netip.MustParseAddrPort(p[1])})
	}
	return pairs
}

// The share is exact, and so is the side that the rest goes to.
func TestShareIsExact(t *testing.T) {
	t.Parallel()
	order := []int{4, 0, 3, 1, 2} // of two slots
	for _, known := range [][]int{nil, order} {
		for _, flipped := range []bool{false, true} {
			for _, share := range []int{0, 1, 5000, All - 1, All} {
				p := &split{side: 1, share: share, order: known, Having: Having{Flipped: flipped}}
				program := p.steering(2)
				for _, pair := range clients() {
					for padding := range 2 {
						b := packet(pair[0], pair[1], padding)
						slot := run(steering(2), b, 0)
						for _, random := range []int{0, share - 1, share, share + 1, All - 1, All, All + share, 3*All - 1} {
							if random < 0 {
								continue
							}
							side := 0
							if random%All < share {
								side = 1
							}
							want := p.place(nth(slot, p.set(side)))
							require.Equal(t, want, run(program, b, uint32(random)), "share %d, random %d, %v", share, random, pair)
						}
					}
				}
			}
		}
	}
}

// A connection of ours is known by its port and by its two addresses, which are the same. If a
// word of them or the port differs it is not ours.
func TestOnlyOurOwnConnectionsAreApart(t *testing.T) {
	t.Parallel()
	const apart = 4
	p := &split{share: All, private: []private{{port: 999, place: 2}, {port: 1000, place: apart}, {port: 1001, place: 3}}}
	for _, steering := range [][]unix.SockFilter{p.steering(1), p.spreading(1)} {
		for _, pair := range clients() {
			for padding := range 2 {
				ours := pair[0].Addr() == pair[1].Addr()
				assert.Equal(t, ours, run(steering, packet(pair[0], pair[1], padding), 0) == apart, "%v", pair)
				stranger := netip.AddrPortFrom(pair[1].Addr(), 1002)
				assert.Zero(t, run(steering, packet(stranger, pair[1], padding), 0), "%v", stranger)
			}
		}
	}
}

// Each word of the address, and the port, counts for the slot, whatever comes before the port.
func TestWhatChoosesTheSlot(t *testing.T) {
	t.Parallel()
	const slots = 16
	spread := func(clients func(i int) (from netip.AddrPort, padding int)) int {
		found := map[int]bool{}
		for i := range 200 {
			from, padding := clients(i)
			to := netip.MustParseAddrPort("[2001:db8::2]:80")
			if from.Addr().Is4() {
				to = netip.MustParseAddrPort("10.0.1.1:80")
			}
			slot := run(steering(slots), packet(from, to, padding), 0)
			require.Less(t, slot, slots)
			found[slot] = true
		}
		return len(found)
	}
	for word := range 4 {
		assert.Equal(t, slots, spread(func(i int) (netip.AddrPort, int) {
			var ip [16]byte
			binary.BigEndian.PutUint32(ip[4*word:], uint32(i))
			return netip.AddrPortFrom(netip.AddrFrom16(ip), 1000), 0
		}), "word %d of an IPv6 address", word)
	}
	assert.Equal(t, slots, spread(func(i int) (netip.AddrPort, int) {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1000), 0
	}))
	for _, ip := range []string{"10.0.0.1", "2001:db8::1"} {
		for padding := range 11 {
			assert.Equal(t, slots, spread(func(i int) (netip.AddrPort, int) {
				return netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(1000+i)), padding
			}), "ports of %s, %d", ip, padding)
		}
	}
}

// The same holds for datagrams. A packet that is too short, or has extension headers, gets a
// slot, too.
func TestSlotOfOtherPackets(t *testing.T) {
	t.Parallel()
	from, to := netip.MustParseAddrPort("[2001:db8::1]:1000"), netip.MustParseAddrPort("[2001:db8::2]:80")
	b := packet(from, to, 0)
	slot := run(steering(1<<16), b, 0)
	b[6] = unix.IPPROTO_UDP
	assert.Equal(t, slot, run(steering(1<<16), b, 0))
	b[6] = unix.IPPROTO_FRAGMENT
	other := run(steering(1<<16), b, 0)
	assert.NotEqual(t, slot, other)
	b[41]++
	assert.Equal(t, other, run(steering(1<<16), b, 0), "that is no port")
	assert.Zero(t, run(steering(1<<16), b[:20], 0))
	assert.Zero(t, run(steering(1<<16), nil, 0))
}

// A client that knows the program cannot tell from its port which worker it will reach.
func TestSlotIsChosenWithASecret(t *testing.T) {
	t.Parallel()
	assert.NotZero(t, secret())
	program := steering(16)
	known := slices.DeleteFunc(slices.Clone(program), func(f unix.SockFilter) bool { return f == alu(unix.BPF_XOR, secret()) })
	others := 0
	for i := range 100 {
		b := packet(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(1000+i)), netip.MustParseAddrPort("10.0.1.1:80"), 0)
		if run(program, b, 0) != run(known, b, 0) {
			others++
		}
	}
	assert.Greater(t, others, 50)
}
