// A whole run: sessions, keys, the measured load, the result.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Clients of the preparation, and the requests that each keeps up.
const (
	prepareSessions    = 8
	prepareOutstanding = 64
)

func runLoad(arguments []string) (outcome, error) {
	o, err := parseOptions(arguments)
	if err != nil {
		return outcome{}, err
	}
	if o.json != "" {
		// Told before the load, and not after it.
		if folder, err := os.Stat(filepath.Dir(o.json)); err != nil || !folder.IsDir() {
			return outcome{}, fmt.Errorf("--json %s: its folder isn't there", o.json)
		}
	}
	usages, err := usageOfEach(o.serverPids, nil)
	if err != nil {
		return outcome{}, err
	}
	asked, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	keys := keyNames(o.keys)
	if !o.keysExist {
		if err := prepare(asked, o, keys); err != nil {
			return outcome{}, fmt.Errorf("preparing: %w", err)
		}
	}
	sessions, err := openSessions(asked, o.servers, o.sessions)
	if err != nil {
		return outcome{}, err
	}
	defer closeSessions(sessions)
	l := newLoad(o, sessions, keys, usages)
	if err := l.run(asked); err != nil {
		return outcome{}, fmt.Errorf("measuring: %w", err)
	}
	return conclude(o, l)
}

// conclude tells and writes what was measured.
func conclude(o *options, l *load) (outcome, error) {
	result := report(o, l)
	text, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		return outcome{}, err
	}
	ended := outcome{errors: l.recorder.errorsCount(), partial: l.cut}
	if o.json == "" {
		fmt.Println(string(text))
		return ended, nil
	}
	fmt.Println(line(result))
	if err := writeWhole(o.json, append(text, '\n')); err != nil {
		fmt.Println(string(text))
		ended.partial = fmt.Sprintf("--json: %v", err)
	}
	return ended, nil
}

// writeWhole: a file gets its name when it is whole.
func writeWhole(path string, text []byte) error {
	partial := path + ".partial"
	if err := os.WriteFile(partial, text, 0o644); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// prepare gives every key a value of --bytes; unmeasured.
func prepare(ctx context.Context, o *options, keys []string) error {
	sessions, err := openSessions(ctx, o.servers, prepareSessions)
	if err != nil {
		return err
	}
	defer closeSessions(sessions)
	var next atomic.Int64
	value := valueOf(o.bytes)
	begin := now()
	group, within := errgroup.WithContext(ctx)
	for i := range prepareSessions * prepareOutstanding {
		one := sessions[i%len(sessions)]
		group.Go(func() error {
			for key := int(next.Add(1)) - 1; key < len(keys); key = int(next.Add(1)) - 1 {
				if err := one.ask(within, set, keys[key], value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped by a signal")
		}
		return err
	}
	fmt.Printf("prepared %d keys in %.2f s\n", len(keys), float64(now()-begin)/1e9)
	return nil
}
