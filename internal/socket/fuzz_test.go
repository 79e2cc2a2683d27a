package socket

import (
	"strings"
	"testing"
)

// FuzzParse checks what must hold of everything that parses: a port, a path or a
// descriptor of ours, options only where they make sense, a descriptor that no
// other has, and names that the variables for workers can hold.
func FuzzParse(f *testing.F) {
	for _, seed := range [][3]string{
		{"80", "127.0.0.1:u53=4", "/tmp/s.sock"},
		{" [::1] : 80 = 0 ,localhost:81", "[fe80::1%lo]:u0=2", ""},
		{"80=3=4,:1,::1:2,[::]3", "u", "/a;b"},
		{"0,0,0=1048575", "0=1048576", strings.Repeat("x", 104)},
		{"web@80,backlog=5, reuseport ,u81,nonblock", "a@fd://3=4,nodelay", "l@/s,mode=0660,owner=a,group=7"},
		{"fd://0,fd://x", "[::]:0,v6only=0,v6only=1", "user@host.sock,a,nonblock"},
		{"80,defer-accept,fastopen=9,mode=6", "nodelay,80", "./a@b,reuseport"},
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
		want := 1
		for _, list := range []string{one, two} {
			for _, item := range strings.Split(list, ",") {
				if !isOption(item) {
					want++
				}
			}
		}
		if len(specs) != want {
			t.Fatalf("%d specs for %d texts", len(specs), want)
		}
		taken, sources := map[int]bool{}, map[int]bool{}
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
			bare := Spec{Text: s.Text, Label: s.Label, Pin: s.Pin, Tuning: s.Tuning}
			switch {
			case isPath:
				bare.Path = s.Path
				if s != bare || s.Path == "" || !strings.HasPrefix(path, s.Text) || !strings.HasSuffix(s.Text, s.Path) {
					t.Fatalf("%+v is not a path", s)
				}
			case s.Taken:
				bare.Taken, bare.Source = true, s.Source
				if s != bare || s.Source < 0 || s.Source > maxFD || sources[s.Source] {
					t.Fatalf("%+v is not a descriptor of ours", s)
				}
				sources[s.Source] = true
			case s.Path != "" || !s.IP.IsValid() && s.Host == "":
				t.Fatalf("%+v has no address", s)
			}
			checkTuning(t, s)
			if s.Label != "" && checkLabel(s.Label) != nil {
				t.Fatalf("the label %q cannot be told", s.Label)
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

// checkTuning checks that there is no option that the socket could not have.
func checkTuning(t *testing.T, s Spec) {
	isPort := s.Path == "" && !s.Taken
	tcp := isPort && !s.UDP || s.Taken
	for what, wrong := range map[string]bool{
		"a path's option":   s.Path == "" && (s.HasMode || s.Owner != "" || s.Group != ""),
		"the mode":          s.Mode&^0o777 != 0,
		"SO_REUSEPORT":      s.Reuseport && !isPort,
		"dual stack":        s.DualStack && !(isPort && s.IP.Is6()),
		"an option of TCP":  !tcp && (s.NoDelay || s.DeferAccept || s.FastOpen != 0),
		"a backlog for UDP": s.UDP && s.Backlog != 0,
		"a negative number": s.Backlog < 0 || s.FastOpen < 0,
	} {
		if wrong {
			t.Fatalf("%s is not for %+v", what, s)
		}
	}
}
