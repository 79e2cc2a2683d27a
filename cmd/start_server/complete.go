package main

import (
	"strings"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

// completed are the values of options that a shell completes and only we know.
var completed = map[string]cmdline.Values{"export": exports}

// exports are the lists that a list of --export may become: its last name is completed.
func exports(typed string) (lists []string) {
	before := typed[:strings.LastIndex(typed, ",")+1]
	for _, name := range fdenv.ExportNames() {
		lists = append(lists, before+name)
	}
	return lists
}
