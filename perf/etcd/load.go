// One load: who asks when, and when it is over.
//
// Closed loop: each session keeps `--outstanding` requests unanswered, a goroutine each. Open loop: request i is due at
// origin + i/rate, whatever came back meanwhile, and its latency counts from then. Phases: warm-up, window, drain, in which
// every answer is waited for. As bench/load/load.rs.
package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A server which answers nothing for so long is taken for dead; and for so long, once a signal asked us to stop.
	stallNs = 30_000_000_000
	stopNs  = 2_000_000_000
	// Unanswered requests of an open loop, a goroutine each: gigabytes of memory; a server so far behind has failed.
	backlogMax = 200_000
	turn       = 20 * time.Millisecond
	// Between two looks at the servers: what they used until they died is told.
	lookNs = 1_000_000_000
)

// sample is the state of the machine at one end of the window.
type sample struct {
	at, ownCPU int64
	servers    []usage
	machine    machineUsage
}

type load struct {
	options  *options
	sessions []*session
	keys     []string
	value    string
	recorder *recorder
	origin   int64
	// No request is asked (closed loop) or due (open loop) from here on.
	stopAt   atomic.Int64
	inFlight atomic.Int64
	cutting  sync.Mutex
	// Why it ended before its window did; empty if it didn't.
	cut        string
	begin, end *sample
	lastLook   []usage
	lastLookAt int64
}

func newLoad(o *options, sessions []*session, keys []string, usages []usage) *load {
	origin := now()
	begin := origin + int64(o.warmup*1e9)
	end := begin + int64(o.seconds*1e9)
	l := &load{options: o, sessions: sessions, keys: keys, value: valueOf(o.bytes), origin: origin, lastLook: usages, lastLookAt: origin}
	l.recorder = newRecorder(o.rate > 0, begin, end)
	l.stopAt.Store(end)
	return l
}

// run ends when every request is answered or given up. `asked` ends on a signal.
func (l *load) run(asked context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var workers sync.WaitGroup
	if l.options.rate > 0 {
		workers.Go(func() { l.pace(ctx, &workers) })
	} else {
		for i := range l.sessions {
			for n := range l.options.outstanding {
				stream := uint64(i*l.options.outstanding + n)
				workers.Go(func() { l.work(ctx, l.sessions[i], stream) })
			}
		}
	}
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	err := l.watch(asked, done, cancel)
	cancel()
	<-done
	if err != nil {
		return err
	}
	return l.finish()
}

// watch takes the samples at both ends of the window, and ends a load that makes no progress.
func (l *load) watch(asked context.Context, done <-chan struct{}, cancel context.CancelFunc) error {
	lastProgress, lastAt := uint64(0), now()
	signalled := asked.Done()
	patience := int64(stallNs)
	// A slow open loop asks seldom: then silence is no sign.
	if l.options.rate > 0 {
		patience = max(patience, int64(3e9/l.options.rate))
	}
	for {
		if err := l.look(); err != nil {
			return err
		}
		timer := time.NewTimer(l.untilNextLook())
		select {
		case <-done:
			timer.Stop()
			if now() >= l.recorder.end || l.isCut() {
				return l.look()
			}
			l.cutShort(l.whyEnded())
			return nil
		case <-signalled:
			timer.Stop()
			l.cutShort("stopped by a signal")
			signalled, patience, lastAt = nil, stopNs, now()
		case <-timer.C:
		}
		progress, lost := l.recorder.seen()
		if progress != lastProgress {
			lastProgress, lastAt = progress, now()
		}
		if lost == len(l.sessions) {
			l.cutShort(l.whyEnded())
		}
		if now()-lastAt >= patience {
			l.cutShort("the server answers nothing")
			// What is unanswered is told as such.
			cancel()
			return nil
		}
	}
}

func (l *load) whyEnded() string {
	if _, lost := l.recorder.seen(); lost == len(l.sessions) {
		return "the server closed all connections"
	}
	return "the load ended before its window"
}

// untilNextLook is a turn, or less where the window begins or ends before.
func (l *load) untilNextLook() time.Duration {
	wait, at := int64(turn), now()
	for _, edge := range []int64{l.recorder.begin, l.recorder.end} {
		if edge > at {
			wait = min(wait, edge-at)
		}
	}
	return time.Duration(wait)
}

func (l *load) look() error {
	at := now()
	var err error
	if l.begin == nil && at >= l.recorder.begin {
		l.begin, err = l.sample()
	}
	if err == nil && l.end == nil && at >= l.recorder.end {
		l.end, err = l.sample()
	} else if err == nil && at-l.lastLookAt >= lookNs {
		l.lastLookAt = at
		l.lastLook, err = usageOfEach(l.options.serverPids, l.lastLook)
	}
	return err
}

func (l *load) sample() (*sample, error) {
	servers, err := usageOfEach(l.options.serverPids, l.lastLook)
	if err != nil {
		return nil, err
	}
	machine, err := readMachine()
	if err != nil {
		return nil, err
	}
	return &sample{now(), ownCPU(), servers, machine}, nil
}

// cutShort: nothing more is asked; the first reason is kept.
func (l *load) cutShort(why string) {
	l.cutting.Lock()
	defer l.cutting.Unlock()
	if l.cut == "" && l.end == nil {
		l.cut = why
	}
	l.stopAt.Store(min(l.stopAt.Load(), now()))
}

func (l *load) isCut() bool {
	l.cutting.Lock()
	defer l.cutting.Unlock()
	return l.cut != ""
}

// finish: what was measured until now is what there is.
func (l *load) finish() error {
	if l.end == nil {
		last, err := l.sample()
		if err != nil {
			return err
		}
		if l.begin == nil {
			l.begin = last
		}
		l.end = last
	}
	end := l.recorder.end
	if l.cut != "" {
		end = now()
	}
	l.recorder.finish(end)
	return nil
}

// work is one of a session's goroutines in a closed loop.
func (l *load) work(ctx context.Context, s *session, stream uint64) {
	choice := newChooser(l.options.seed, stream, l.options.readShare, l.keys)
	for !s.broken.Load() {
		start := now()
		if start >= l.stopAt.Load() {
			return
		}
		what, key := choice.next()
		l.ask(ctx, s, what, key, start)
	}
}

// pace releases the requests of an open loop, each in a goroutine of `workers`.
func (l *load) pace(ctx context.Context, workers *sync.WaitGroup) {
	pacer := newPacer()
	choice := newChooser(l.options.seed, 0, l.options.readShare, l.keys)
	for i := 0; ; i++ {
		due := l.origin + int64(float64(i)*1e9/l.options.rate)
		pacer.sleepUntil(min(due, l.stopAt.Load()))
		if due >= l.stopAt.Load() || ctx.Err() != nil {
			return
		}
		s := l.sessions[i%len(l.sessions)]
		what, key := choice.next()
		if s.broken.Load() {
			l.recorder.failed("not asked: its session is gone")
			continue
		}
		if l.inFlight.Add(1) > backlogMax {
			l.inFlight.Add(-1)
			l.cutShort("gave up: the server is too far behind --rate")
			return
		}
		workers.Go(func() {
			l.recorder.sentLate(due, now())
			l.ask(ctx, s, what, key, due)
			l.inFlight.Add(-1)
		})
	}
}

func (l *load) ask(ctx context.Context, s *session, what kind, key string, start int64) {
	err := s.ask(ctx, what, key, l.value)
	at := now()
	switch {
	case err == nil:
		l.recorder.answered(what, start, at)
	case isAnswer(err):
		l.recorder.refused(reason(err), at)
	case errors.Is(ctx.Err(), context.Canceled):
		l.recorder.failed("unanswered")
	case s.broken.CompareAndSwap(false, true):
		l.recorder.sessionLost(reason(err))
	default:
		l.recorder.failed("unanswered")
	}
}
