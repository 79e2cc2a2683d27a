package main

import "golang.org/x/sys/windows"

// refused says that nobody listens.
const refused = windows.WSAECONNREFUSED
