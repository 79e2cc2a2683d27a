package main

func onMain(run func() int) int { return run() }
