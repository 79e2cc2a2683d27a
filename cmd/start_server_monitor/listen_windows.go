package main

import "golang.org/x/sys/windows"

// refused is the error of connect if no process listens.
const refused = windows.WSAECONNREFUSED
