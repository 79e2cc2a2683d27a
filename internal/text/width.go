package text

// wide are the runes that take two columns of a terminal, such as Chinese ones and most
// emoji. A block that has some is here whole.
var wide = [...]struct{ first, last rune }{
	{0x1100, 0x115f}, {0x2300, 0x23ff}, {0x25fd, 0x25fe}, {0x2600, 0x27bf}, {0x2b1b, 0x2b55}, {0x2e80, 0xa4cf},
	{0xa960, 0xa97f}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe10, 0xfe19}, {0xfe30, 0xfe6f}, {0xff01, 0xff60},
	{0xffe0, 0xffe6}, {0x16fe0, 0x1b2ff}, {0x1d300, 0x1d37f}, {0x1f000, 0x1faff}, {0x20000, 0x3fffd},
}

func columns(r rune) int {
	if r < wide[0].first {
		return 1
	}
	for _, block := range wide {
		if block.first <= r && r <= block.last {
			return 2
		}
	}
	return 1
}

// Width returns how many columns printable text takes on a terminal, at most. A mark above a
// letter takes no column of its own, and is counted.
func Width(s string) (width int) {
	for _, r := range s {
		width += columns(r)
	}
	return width
}

// Head returns as much of the beginning of s as fits into width columns.
func Head(s string, width int) string {
	for i, r := range s {
		if width -= columns(r); width < 0 {
			return s[:i]
		}
	}
	return s
}

// Cut returns s, or as much of its beginning as fits into width columns together with a "…".
func Cut(s string, width int) string {
	switch {
	case len(s) <= width || Head(s, width) == s:
		return s
	case width <= 0:
		return ""
	}
	return Head(s, width-1) + "…"
}
