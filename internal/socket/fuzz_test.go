package socket

import (
	"strings"
	"testing"
)

// FuzzParse checks what must hold of everything that parses: a port or a path,
// a descriptor that no other has, and a name that SERVER_STARTER_PORT can hold.
func FuzzParse(f *testing.F) {
	for _, seed := range [][3]string{
		{"80", "127.0.0.1:u53=4", "/tmp/s.sock"},
		{" [::1] : 80 = 0 ,localhost:81", "[fe80::1%lo]:u0=2", ""},
		{"80=3=4,:1,::1:2,[::]3", "u", "/a;b"},
		{"0,0,0=1048575", "0=1048576", strings.Repeat("x", 104)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, one, two, path string) {
		specs, err := Parse([]string{one, two}, []string{path})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("the error says nothing")
			}
			return
		}
		if want := strings.Count(one+two, ",") + 3; len(specs) != want {
			t.Fatalf("%d specs for %d texts", len(specs), want)
		}
		taken := map[int]bool{}
		for i, fd := range number(specs) {
			s := specs[i]
			switch {
			case taken[fd]:
				t.Fatalf("descriptor %d is given twice: %+v", fd, specs)
			case fd < 0 || fd > maxFD+len(specs) || s.Pin < 0 && fd < 3 || s.Pin >= 0 && s.Pin != fd:
				t.Fatalf("%+v has descriptor %d", s, fd)
			}
			taken[fd] = true

			isPath := i == len(specs)-1
			if isPath != (s.Path != "") || isPath && s != (Spec{Text: path, Path: path, Pin: -1}) {
				t.Fatalf("%+v is neither a path nor a port", s)
			}
			if !isPath && !s.IP.IsValid() && s.Host == "" {
				t.Fatalf("%+v has no address", s)
			}
			if name := s.name(s.Port); name == "" || strings.ContainsAny(name, ";\n\x00") {
				t.Fatalf("the name %q cannot be told", name)
			}
			if strings.TrimSpace(s.Host) != s.Host {
				t.Fatalf("the host %q has blanks around it", s.Host)
			}
		}
	})
}
