package proc

// itself is the path by which we can start our own executable again, even if its file
// has been replaced since.
func itself() (path string, err error) { return "/proc/self/exe", nil }
