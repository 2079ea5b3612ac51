// A client that writes without pause and comes back at once when its member is lost, for the scenario of fail-over: the
// counterpart of perf/failover.py.
//
// It says `ready` after the first write, writes until its standard input ends, and then says all as one line of JSON. A request has
// no deadline of its own: what ends those to a silent leader is the servers' detection.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	writerConnect = 500 * time.Millisecond
	writerRetry   = time.Millisecond
	// After the end of its input it waits so long for the answer that is outstanding.
	writerEnd = time.Second
)

type writer struct {
	servers []string
	key     string
	// (sent, answered), in nanoseconds of the monotone clock.
	Acknowledged [][2]int64        `json:"acknowledged"`
	Disconnects  []int64           `json:"disconnects"`
	Errors       map[string]uint64 `json:"errors"`
}

func runWriter(arguments []string) (outcome, error) {
	flags := flag.NewFlagSet("etcd-load writer", flag.ContinueOnError)
	flags.SetOutput(os.Stdout)
	server := flags.String("server", "127.0.0.1:2379", "`HOST:PORT,…`: the first is taken, the others when it is lost")
	path := flags.String("path", "/writer", "the key to write")
	if err := flags.Parse(arguments); err != nil {
		return outcome{}, err
	}
	servers, err := parseServers(*server)
	if err != nil {
		return outcome{}, err
	}
	w := &writer{servers: servers, key: *path, Acknowledged: [][2]int64{}, Disconnects: []int64{}, Errors: map[string]uint64{}}
	ended, end := context.WithCancel(context.Background())
	requests, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
		time.AfterFunc(writerEnd, giveUp)
	}()
	w.run(ended, requests)
	text, err := json.Marshal(w)
	if err != nil {
		return outcome{}, err
	}
	fmt.Println(string(text))
	return outcome{}, nil
}

func (w *writer) run(ended, requests context.Context) {
	value := valueOf(100)
	for ended.Err() == nil {
		client := w.connect()
		for client != nil && ended.Err() == nil {
			sent := now()
			_, err := client.Put(requests, w.key, value)
			switch {
			case err == nil:
				w.Acknowledged = append(w.Acknowledged, [2]int64{sent, now()})
				if len(w.Acknowledged) == 1 {
					fmt.Println("ready")
				}
			case ended.Err() != nil:
			case isAnswer(err):
				w.Errors[err.Error()]++
			default:
				w.Disconnects = append(w.Disconnects, now())
				client.Close()
				client = nil
			}
		}
		if client != nil {
			client.Close()
			continue
		}
		// The next one: the one that just hung up is the least likely to serve.
		w.servers = append(w.servers[1:], w.servers[0])
		if ended.Err() == nil {
			time.Sleep(writerRetry)
		}
	}
}

// connect gives a client of the first server, nil where nobody listens there.
func (w *writer) connect() *clientv3.Client {
	probe, err := net.DialTimeout("tcp", w.servers[0], writerConnect)
	if err != nil {
		return nil
	}
	probe.Close()
	client, err := newClient(w.servers[0])
	if err != nil {
		return nil
	}
	return client
}
