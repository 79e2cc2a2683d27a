package main

import "syscall"

// gracefully is TERM, as there is no USR2.
const gracefully = syscall.SIGTERM
