package main

import (
	"strings"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

// completed has the values that a shell completes and cmdline does not know.
var completed = map[string]cmdline.Values{"export": exports}

// exports returns the lists that a list of --export may become: its last name is completed.
func exports(typed string) (lists []string) {
	before := typed[:strings.LastIndex(typed, ",")+1]
	for _, name := range fdenv.ExportNames() {
		lists = append(lists, before+name)
	}
	return lists
}
