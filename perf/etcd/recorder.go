// What was measured: latency histograms by kind, a series of 100 ms, errors by kind.
//
// In a closed loop an operation belongs to the window by its reply, in an open one by its intended start. Latencies are
// nanoseconds with three digits; above two minutes they count as that. As bench/load/recorder.rs, but locked: each request has
// a goroutine.
package main

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	latencyMax = 120_000_000_000
	seriesStep = 100_000_000
)

// slice is one entry of the series.
type slice struct {
	replies, errors uint64
	p50, p99, max   int64
}

type recorder struct {
	mutex      sync.Mutex
	byIntended bool
	begin, end int64
	latency    [kinds]*hdrhistogram.Histogram
	// Open loop: how long after its intended start a request was handed to the client.
	lateness *hdrhistogram.Histogram
	series   []slice
	// The latencies of the entry that is being filled.
	open   *hdrhistogram.Histogram
	openAt int
	// The time of the last answer: errors have none of their own.
	lastAnswer int64
	// Over the whole run, warm-up included: an error is never in the wrong place.
	errors       map[string]uint64
	repliesTotal uint64
	// Answers of any kind: as long as they come, the server lives.
	progress     uint64
	sessionsLost int
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax, 3)
}

// newRecorder counts what belongs to the window from `begin` to `end`.
func newRecorder(byIntended bool, begin, end int64) *recorder {
	r := &recorder{byIntended: byIntended, begin: begin, end: end, lateness: newHistogram(), open: newHistogram()}
	for i := range r.latency {
		r.latency[i] = newHistogram()
	}
	r.series = make([]slice, (end-begin+seriesStep-1)/seriesStep)
	r.errors = map[string]uint64{}
	return r
}

func record(histogram *hdrhistogram.Histogram, latency int64) {
	// Within the bounds it can't fail.
	_ = histogram.RecordValue(min(max(latency, 1), latencyMax))
}

func (r *recorder) inside(moment int64) bool {
	return moment >= r.begin && moment < r.end
}

func (r *recorder) answered(what kind, start, at int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.progress++
	r.repliesTotal++
	r.lastAnswer = at
	moment := at
	if r.byIntended {
		moment = start
	}
	if r.inside(moment) {
		record(r.latency[what], at-start)
	}
	if !r.inside(at) {
		return
	}
	entry := int((at - r.begin) / seriesStep)
	if entry > r.openAt {
		r.closeSlice()
		r.openAt = entry
	}
	// Goroutines overtake each other: who is late by a step counts in its own entry, and its latency in the open one.
	r.series[entry].replies++
	record(r.open, at-start)
}

func (r *recorder) closeSlice() {
	if r.openAt < len(r.series) && r.open.TotalCount() > 0 {
		entry := &r.series[r.openAt]
		entry.p50, entry.p99, entry.max = r.open.ValueAtQuantile(50), r.open.ValueAtQuantile(99), r.open.Max()
	}
	r.open.Reset()
}

// finish completes the series, which ends at `end` if the load was cut short.
func (r *recorder) finish(end int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.closeSlice()
	entries := int((max(end, r.begin) - r.begin + seriesStep - 1) / seriesStep)
	r.series = r.series[:min(entries, len(r.series))]
}

func (r *recorder) sentLate(intended, at int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.inside(intended) {
		record(r.lateness, at-intended)
	}
}

// refused: the server answered, and said no.
func (r *recorder) refused(why string, at int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.progress++
	r.lastAnswer = at
	r.count(why)
}

// failed: there was no answer.
func (r *recorder) failed(why string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.count(why)
}

func (r *recorder) sessionLost(why string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.sessionsLost++
	r.count(why)
}

// Locked by the caller.
func (r *recorder) count(why string) {
	r.errors[why]++
	if r.inside(r.lastAnswer) {
		r.series[(r.lastAnswer-r.begin)/seriesStep].errors++
	}
}

// seen gives how many answers came and how many sessions are lost, so far.
func (r *recorder) seen() (progress uint64, lost int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.progress, r.sessionsLost
}

// all operations together. Once the load has ended.
func (r *recorder) all() *hdrhistogram.Histogram {
	all := newHistogram()
	for _, one := range r.latency {
		all.Merge(one)
	}
	return all
}

func (r *recorder) errorsCount() uint64 {
	var sum uint64
	for _, count := range r.errors {
		sum += count
	}
	return sum
}
