// A session: one client of etcd's own library on one connection to one member.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"
)

const (
	// A member that takes no connection for so long isn't there.
	connectTimeout = 30 * time.Second
	// How many connect at once.
	connectAtOnce = 64
)

type session struct {
	client *clientv3.Client
	// Its connection was lost. The library would mend it, but then a server that died would look like a slow one.
	broken atomic.Bool
}

func newClient(server string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{server},
		// One attempt: an error is told, not hidden in the latency of the next try.
		MaxUnaryRetries: 1,
		Logger:          zap.NewNop(),
	})
}

// openSessions connects `count` of them, to the members in turn.
func openSessions(ctx context.Context, servers []string, count int) ([]*session, error) {
	// The library tries again and again where nobody listens, and then says only that time is up.
	for _, server := range servers {
		probe, err := net.DialTimeout("tcp", server, connectTimeout)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (is --server right, does it run?)", server, err)
		}
		probe.Close()
	}
	sessions := make([]*session, count)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(connectAtOnce)
	for i := range sessions {
		server := servers[i%len(servers)]
		group.Go(func() error {
			client, err := newClient(server)
			if err != nil {
				return fmt.Errorf("session %d of %d at %s: %w", i+1, count, server, err)
			}
			sessions[i] = &session{client: client}
			// The connection is made by the first request.
			limited, cancel := context.WithTimeout(within, connectTimeout)
			defer cancel()
			if _, err := client.Get(limited, root, clientv3.WithSerializable()); err != nil {
				return fmt.Errorf("session %d of %d at %s: %w", i+1, count, server, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		closeSessions(sessions)
		return nil, err
	}
	return sessions, nil
}

func closeSessions(sessions []*session) {
	for _, one := range sessions {
		if one != nil {
			// It leaves nothing behind at the server; a connection that is gone already is no fault here.
			_ = one.client.Close()
		}
	}
}

// ask does one operation. A serializable get is what ZooKeeper's reads are: answered by the member that is asked, from what it
// knows.
func (s *session) ask(ctx context.Context, what kind, key, value string) error {
	if what == set {
		_, err := s.client.Put(ctx, key, value)
		return err
	}
	found, err := s.client.Get(ctx, key, clientv3.WithSerializable())
	switch {
	case err != nil:
		return err
	case len(found.Kvs) != 1:
		return refusal("no such key")
	case len(found.Kvs[0].Value) != len(value):
		return refusal("wrong length of value (other size than --bytes?)")
	}
	return nil
}

// refusal is an answer that isn't what was asked for.
type refusal string

func (r refusal) Error() string { return string(r) }

// isAnswer: the server said it; otherwise the connection failed, or the generator gave up.
func isAnswer(err error) bool {
	var told rpctypes.EtcdError
	var wrong refusal
	return errors.As(err, &told) || errors.As(err, &wrong)
}

// reason is short and has no addresses in it, so that alike ones are counted as one.
func reason(err error) string {
	if isAnswer(err) {
		return err.Error()
	}
	return "connection lost: " + status.Code(err).String()
}
