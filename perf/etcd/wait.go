// Waits until a member answers, and says when that was, as `ringkeeper-load wait` does.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	// How long one attempt may take: some servers take a connection before they serve.
	waitStep = 500 * time.Millisecond
	// Between two attempts: the resolution of the answer.
	waitPause = time.Millisecond
)

func runWait(arguments []string) (outcome, error) {
	flags := flag.NewFlagSet("etcd-load wait", flag.ContinueOnError)
	flags.SetOutput(os.Stdout)
	server := flags.String("server", "127.0.0.1:2379", "`HOST:PORT`")
	path := flags.String("path", "/", "the key to read; it need not be there")
	seconds := flags.Float64("seconds", 60, "give up after so many")
	if err := flags.Parse(arguments); err != nil {
		return outcome{}, err
	}
	begin := now()
	for {
		err := readOnce(*server, *path)
		at := now()
		elapsed := float64(at-begin) / 1e9
		if err == nil {
			fmt.Printf("answered after %.4f s, at %d ns of the monotone clock\n", elapsed, at)
			return outcome{}, nil
		}
		if elapsed > *seconds {
			return outcome{}, fmt.Errorf("no answer from %s within %g s: %w", *server, *seconds, err)
		}
		time.Sleep(waitPause)
	}
}

// readOnce reads linearizably, which a member can only while it knows a leader: ZooKeeper's servers answer no read before.
func readOnce(server, path string) error {
	// Refused at once where nobody listens; the library would wait a second before its next try.
	probe, err := net.DialTimeout("tcp", server, waitStep)
	if err != nil {
		return err
	}
	probe.Close()
	client, err := newClient(server)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), waitStep)
	defer cancel()
	_, err = client.Get(ctx, path)
	return err
}
