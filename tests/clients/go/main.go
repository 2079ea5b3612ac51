// go-zookeeper/zk, unchanged, against a server: `go-client HOST:PORT`. Exit code 0: every check holds. Version 1.0.4 has
// no persistent watches; the Java and Rust clients have.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const bound = 60 * time.Second

var server string

type quiet struct{}

func (quiet) Printf(string, ...interface{}) {}

// failure ends a check: `must` and `that` raise it, `run` reports it.
type failure struct{ message string }

func that(holds bool, format string, arguments ...interface{}) {
	if !holds {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

func must(err error) {
	that(err == nil, "error: %v", err)
}

func fails(expected, seen error) {
	that(errors.Is(seen, expected), "expected the error %q, saw %v", expected, seen)
}

func run(name string, check func()) {
	start := time.Now()
	defer func() {
		if raised := recover(); raised != nil {
			fmt.Printf("FAILED %s: %v\n", name, raised)
			os.Exit(1)
		}
		fmt.Printf("ok %s, %d ms\n", name, time.Since(start).Milliseconds())
	}()
	check()
}

func connect() *zk.Conn {
	client, events, err := zk.Connect([]string{server}, 10*time.Second, zk.WithLogger(quiet{}))
	must(err)
	deadline := time.After(bound)
	for {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				return client
			}
		case <-deadline:
			that(false, "no session at %s", server)
		}
	}
}

func next(events <-chan zk.Event) zk.Event {
	select {
	case event := <-events:
		return event
	case <-time.After(bound):
		that(false, "waited in vain for an event")
		return zk.Event{}
	}
}

func nodes() {
	client := connect()
	defer client.Close()
	all := zk.WorldACL(zk.PermAll)
	path, err := client.Create("/go", []byte("one"), 0, all)
	must(err)
	that(path == "/go", "%s", path)
	_, err = client.Create("/go", nil, 0, all)
	fails(zk.ErrNodeExists, err)
	_, err = client.Create("/none/x", nil, 0, all)
	fails(zk.ErrNoNode, err)
	path, err = client.Create("/go/s-", nil, zk.FlagSequence, all)
	must(err)
	that(path == "/go/s-0000000000", "%s", path)
	path, err = client.Create("/go/e-", nil, zk.FlagSequence|zk.FlagEphemeral, all)
	must(err)
	found, stat, err := client.Exists(path)
	must(err)
	that(found && stat.EphemeralOwner == client.SessionID(), "%v %v", found, stat)
	path, err = client.CreateContainer("/go/box", []byte("b"), zk.FlagContainer, all)
	must(err)
	that(path == "/go/box", "%s", path)
	path, err = client.CreateTTL("/go/ttl", []byte("t"), zk.FlagTTL, all, time.Minute)
	must(err)
	that(path == "/go/ttl", "%s", path)
	stat, err = client.Set("/go", []byte("three"), 0)
	must(err)
	that(stat.Version == 1 && stat.DataLength == 5, "%v", stat)
	_, err = client.Set("/go", nil, 0)
	fails(zk.ErrBadVersion, err)
	data, stat, err := client.Get("/go")
	must(err)
	that(bytes.Equal(data, []byte("three")) && stat.NumChildren == 4, "%q %v", data, stat)
	names, _, err := client.Children("/go")
	must(err)
	that(len(names) == 4, "%v", names)
	fails(zk.ErrNotEmpty, client.Delete("/go", -1))
	fails(zk.ErrBadVersion, client.Delete("/go/box", 7))
	must(client.Delete("/go/box", 0))
	_, err = client.Sync("/go")
	must(err)
	_, _, err = client.Get("/go/box")
	fails(zk.ErrNoNode, err)
	_, err = client.Create("/go/", nil, 0, all)
	fails(zk.ErrInvalidPath, err)
}

func watches() {
	watcher, writer := connect(), connect()
	defer watcher.Close()
	defer writer.Close()
	all := zk.WorldACL(zk.PermAll)
	found, _, events, err := watcher.ExistsW("/watched")
	must(err)
	that(!found, "it is there already")
	_, err = writer.Create("/watched", nil, zk.FlagEphemeral, all)
	must(err)
	event := next(events)
	that(event.Type == zk.EventNodeCreated && event.Path == "/watched", "%v", event)
	_, _, events, err = watcher.GetW("/watched")
	must(err)
	_, err = writer.Set("/watched", []byte("x"), -1)
	must(err)
	event = next(events)
	that(event.Type == zk.EventNodeDataChanged, "%v", event)
	_, _, children, err := watcher.ChildrenW("/")
	must(err)
	_, _, events, err = watcher.GetW("/watched")
	must(err)
	// The end of a session deletes its nodes, which is told to those who watch.
	writer.Close()
	event = next(events)
	that(event.Type == zk.EventNodeDeleted, "%v", event)
	event = next(children)
	that(event.Type == zk.EventNodeChildrenChanged && event.Path == "/", "%v", event)
}

func multi() {
	client := connect()
	defer client.Close()
	all := zk.WorldACL(zk.PermAll)
	results, err := client.Multi(
		&zk.CreateRequest{Path: "/multi", Data: []byte("0"), Acl: all},
		&zk.CreateRequest{Path: "/multi/s-", Acl: all, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: "/multi", Data: []byte("1"), Version: 0},
		&zk.CheckVersionRequest{Path: "/multi", Version: 1},
		&zk.DeleteRequest{Path: "/multi/s-0000000000", Version: -1},
	)
	must(err)
	that(len(results) == 5 && results[1].String == "/multi/s-0000000000" && results[2].Stat.Version == 1, "%v", results)
	results, err = client.Multi(
		&zk.SetDataRequest{Path: "/multi", Data: []byte("lost"), Version: -1},
		&zk.CheckVersionRequest{Path: "/multi", Version: 9},
	)
	fails(zk.ErrBadVersion, err)
	data, stat, err := client.Get("/multi")
	must(err)
	that(string(data) == "1" && stat.NumChildren == 0, "%q %v", data, stat)
}

func acls() {
	owner, stranger := connect(), connect()
	defer owner.Close()
	defer stranger.Close()
	must(owner.AddAuth("digest", []byte("gopher:secret")))
	_, err := owner.Create("/own", []byte("x"), 0, zk.DigestACL(zk.PermAll, "gopher", "secret"))
	must(err)
	_, _, err = stranger.Get("/own")
	fails(zk.ErrNoAuth, err)
	list, stat, err := owner.GetACL("/own")
	must(err)
	that(len(list) == 1 && list[0].Scheme == "digest" && stat.Aversion == 0, "%v %v", list, stat)
	stat, err = owner.SetACL("/own", append(list, zk.WorldACL(zk.PermRead)...), 0)
	must(err)
	that(stat.Aversion == 1, "%v", stat)
	_, _, err = stranger.Get("/own")
	must(err)
	_, err = stranger.Set("/own", nil, -1)
	fails(zk.ErrNoAuth, err)
	_, err = stranger.Create("/bad", nil, 0, []zk.ACL{})
	fails(zk.ErrInvalidACL, err)
}

func locks() {
	var inside, turns int
	var guard, group = sync.Mutex{}, sync.WaitGroup{}
	raised := make(chan interface{}, 3)
	for session := 0; session < 3; session++ {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if failed := recover(); failed != nil {
					raised <- failed
				}
			}()
			client := connect()
			defer client.Close()
			for turn := 0; turn < 10; turn++ {
				lock := zk.NewLock(client, "/locks/one", zk.WorldACL(zk.PermAll))
				must(lock.Lock())
				guard.Lock()
				inside++
				that(inside == 1, "%d sessions hold the lock", inside)
				guard.Unlock()
				// A round trip inside, so that an overlap would be seen.
				_, _, err := client.Exists("/locks")
				must(err)
				guard.Lock()
				inside--
				turns++
				guard.Unlock()
				must(lock.Unlock())
			}
		}()
	}
	group.Wait()
	select {
	case failed := <-raised:
		that(false, "%v", failed)
	default:
	}
	that(turns == 30, "%d turns", turns)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: go-client HOST:PORT")
		os.Exit(2)
	}
	server = os.Args[1]
	run("nodes", nodes)
	run("watches", watches)
	run("multi", multi)
	run("ACLs and authentication", acls)
	run("locks", locks)
}
