// The two clocks of the generator: monotone time, and the processor time of this process.
package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func nanoseconds(clock int32) int64 {
	var at unix.Timespec
	// It fails for clocks that the kernel doesn't know, and every Linux knows these.
	if err := unix.ClockGettime(clock, &at); err != nil {
		panic(err)
	}
	return at.Nano()
}

// What time.Since counts from, by the kernel's clock: reading that one each time would be a call into the kernel.
var (
	startedAt = time.Now()
	startedNs = nanoseconds(unix.CLOCK_MONOTONIC)
)

// now is in nanoseconds of CLOCK_MONOTONIC, as the scripts' own.
func now() int64 {
	return startedNs + int64(time.Since(startedAt))
}

// ownCPU is in nanoseconds, user and system, of all threads.
func ownCPU() int64 {
	return nanoseconds(unix.CLOCK_PROCESS_CPUTIME_ID)
}

// pacer sleeps to moments. Go's timers may be a millisecond late where nothing else happens, which would count as latency of an
// open loop; a thread's own sleep is exact to some microseconds. Use it in one goroutine.
type pacer struct{}

func newPacer() pacer {
	runtime.LockOSThread()
	// A processor more for Go than there is: the sleeping thread keeps one of them.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	// Without it the kernel adds 50 µs. Where that is refused, the lateness is told in `sent_late` all the same.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return pacer{}
}

func (pacer) sleepUntil(at int64) {
	for at > now() {
		until := unix.NsecToTimespec(at)
		// A signal ends it early; hence the loop.
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil)
	}
}
