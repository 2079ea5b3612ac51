// etcd-load measures etcd through its own client, with the options and the JSON of `ringkeeper-load`, so that the scenarios
// of perf/ can put the same work on it. perf/README.md says what is compared with what.
//
//	etcd-load --op set --server 127.0.0.1:2379 --sessions 32 --outstanding 16 --json out.json
//	etcd-load wait --server 127.0.0.1:2379 --seconds 60
//	etcd-load writer --server 127.0.0.1:2379,127.0.0.1:2381 --path /lost
//
// Exit status: 0 measured; 1 measured, with errors; 2 not measured; 3 measured in part, or the result can't be written.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
)

const (
	exitMeasured       = 0
	exitWithErrors     = 1
	exitNotMeasured    = 2
	exitMeasuredInPart = 3
)

// outcome says how a command ended that could do its work.
type outcome struct {
	errors uint64
	// Why less was measured than should have been, or not all could be written; empty if neither is so.
	partial string
}

// A quarter of the default's collections: its requests cost a fifth less processor time, which is the servers' on a small machine.
const collectAtPercent = 400

func main() {
	debug.SetGCPercent(collectAtPercent)
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	command := runLoad
	if len(arguments) > 0 {
		switch arguments[0] {
		case "wait":
			command, arguments = runWait, arguments[1:]
		case "writer":
			command, arguments = runWriter, arguments[1:]
		}
	}
	ended, err := command(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitMeasured
	case err != nil:
		complain(err.Error())
		return exitNotMeasured
	case ended.partial != "":
		complain(ended.partial)
		return exitMeasuredInPart
	case ended.errors > 0:
		return exitWithErrors
	}
	return exitMeasured
}

func complain(text string) {
	fmt.Fprintf(os.Stderr, "etcd-load: %s\n", text)
}
