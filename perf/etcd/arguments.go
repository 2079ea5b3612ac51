// The command line: read, and refused in a sentence where something would fail later.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// options are those of `ringkeeper-load` that etcd's protocol has the same work for.
type options struct {
	servers     []string
	serverPids  []int
	sessions    int
	outstanding int
	// Requests a second of an open loop; 0 in a closed one.
	rate float64
	op   string
	// Of the operations, so many are gets.
	readShare float64
	bytes     int
	keys      int
	keysExist bool
	warmup    float64
	seconds   float64
	seed      uint64
	json      string
}

func parseOptions(arguments []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("etcd-load", flag.ContinueOnError)
	flags.SetOutput(os.Stdout)
	flags.Func("server", "`HOST:PORT`; several are an ensemble's: session i goes to address i modulo their number", o.addServers)
	flags.Func("server-pid", "`process` of a server, for its processor time and memory; may be repeated", o.addPid)
	flags.IntVar(&o.sessions, "sessions", 32, "clients, each on a connection of its own")
	flags.IntVar(&o.outstanding, "outstanding", 16, "closed loop: unanswered requests which each session keeps up")
	flags.Float64Var(&o.rate, "rate", 0, "open loop: requests a second over all sessions; latency counts from the intended start")
	flags.StringVar(&o.op, "op", "", "get (serializable), set, or mixed:SHARE_OF_GETS")
	flags.IntVar(&o.bytes, "bytes", 100, "value of each key")
	flags.IntVar(&o.keys, "keys", 10_000, "keys to choose from, uniformly; made if they aren't known to be there")
	flags.BoolVar(&o.keysExist, "keys-exist", false, "the keys are known to be there, with values of --bytes")
	flags.Float64Var(&o.warmup, "warmup", 2, "seconds of load before the measured window")
	flags.Float64Var(&o.seconds, "seconds", 10, "seconds of the measured window")
	flags.Uint64Var(&o.seed, "seed", 1, "of the choice of keys")
	flags.StringVar(&o.json, "json", "", "write the result to this `file`; without it, to standard output")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no option", flags.Arg(0))
	}
	if len(o.servers) == 0 {
		o.servers = []string{"127.0.0.1:2379"}
	}
	given := map[string]bool{}
	flags.Visit(func(one *flag.Flag) { given[one.Name] = true })
	return o, o.check(given["rate"])
}

// check tells all that is wrong at once.
func (o *options) check(paced bool) error {
	var faults []string
	require := func(holds bool, fault string) {
		if !holds {
			faults = append(faults, fault)
		}
	}
	share, err := parseOp(o.op)
	o.readShare = share
	require(err == nil, "--op must be get, set or mixed:SHARE_OF_GETS")
	require(o.sessions >= 1 && o.sessions <= 100_000, "--sessions must be 1 to 100,000")
	require(o.outstanding >= 1 && o.outstanding <= 1_000_000, "--outstanding must be 1 to 1,000,000")
	require(!paced || o.rate >= 1 && o.rate <= 10_000_000, "--rate must be 1 to 10,000,000 a second")
	require(o.bytes >= 0 && o.bytes <= 1_000_000, "--bytes must be at most 1,000,000")
	require(o.keys >= 1 && o.keys <= 10_000_000, "--keys must be 1 to 10,000,000")
	require(o.warmup >= 0 && o.warmup <= 86_400, "--warmup must be 0 to 86,400 seconds")
	require(o.seconds >= 0.1 && o.seconds <= 86_400, "--seconds must be 0.1 to 86,400")
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// parseOp gives the share of gets.
func parseOp(op string) (float64, error) {
	switch op {
	case "get":
		return 1, nil
	case "set":
		return 0, nil
	}
	text, mixed := strings.CutPrefix(op, "mixed:")
	share, err := strconv.ParseFloat(text, 64)
	if !mixed || err != nil || !(share >= 0 && share <= 1) {
		return 0, fmt.Errorf("%q is no operation", op)
	}
	return share, nil
}

func (o *options) addServers(text string) error {
	servers, err := parseServers(text)
	o.servers = append(o.servers, servers...)
	return err
}

func parseServers(text string) ([]string, error) {
	servers := strings.Split(text, ",")
	for _, server := range servers {
		if _, port, err := net.SplitHostPort(server); err != nil || port == "" {
			return nil, fmt.Errorf("%q is not HOST:PORT", server)
		}
	}
	return servers, nil
}

func (o *options) addPid(text string) error {
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 1 {
		return fmt.Errorf("%q is no process", text)
	}
	o.serverPids = append(o.serverPids, pid)
	return nil
}
