// What belongs to the window, the series, and what goes wrong.
package main

import "testing"

const ms = 1_000_000

func TestAClosedLoopCountsByTheAnswerAndAnOpenOneByTheStart(t *testing.T) {
	for byIntended, expected := range map[bool]int64{false: 2, true: 1} {
		r := newRecorder(byIntended, 1000*ms, 1200*ms)
		r.answered(set, 990*ms, 1010*ms)
		r.answered(set, 1020*ms, 1030*ms)
		r.answered(set, 500*ms, 600*ms)
		if byIntended {
			// Late: it counts, but in no entry of the series.
			r.answered(get, 1199*ms, 1500*ms)
			expected++
		}
		r.finish(r.end)
		if count := r.all().TotalCount(); count != expected {
			t.Errorf("by intended start %v: %d", byIntended, count)
		}
		if r.series[0].replies != 2 || r.series[1].replies != 0 {
			t.Errorf("%+v", r.series)
		}
	}
}

func TestTheSeriesHasEachEntrysLatencies(t *testing.T) {
	r := newRecorder(false, 0, 250*ms)
	r.answered(get, 9*ms, 10*ms)
	r.answered(get, 90*ms, 99*ms)
	r.answered(get, 120*ms, 150*ms)
	// Overtaken by the one before.
	r.answered(get, 94*ms, 99*ms)
	r.failed("broken")
	r.finish(r.end)
	if len(r.series) != 3 || r.series[0].replies != 3 || r.series[1].replies != 1 || r.series[2].replies != 0 {
		t.Errorf("%+v", r.series)
	}
	if near(r.series[0].max, 9*ms) && near(r.series[0].p50, 1*ms) && near(r.series[1].max, 30*ms) {
		return
	}
	t.Errorf("%+v", r.series)
}

func near(seen, expected int64) bool {
	return seen >= expected && seen < expected+expected/500
}

func TestErrorsAreCountedByKindAndACutSeriesIsShort(t *testing.T) {
	r := newRecorder(false, 0, 1000*ms)
	r.answered(set, 0, 50*ms)
	r.refused("no leader", 60*ms)
	r.refused("no leader", 160*ms)
	r.sessionLost("connection lost: Unavailable")
	r.finish(170 * ms)
	if r.errors["no leader"] != 2 || r.errorsCount() != 3 || r.sessionsLost != 1 {
		t.Errorf("%v", r.errors)
	}
	if len(r.series) != 2 || r.series[0].errors != 1 || r.series[1].errors != 2 {
		t.Errorf("%+v", r.series)
	}
	if progress, lost := r.seen(); progress != 3 || lost != 1 {
		t.Errorf("%d answers, %d lost", progress, lost)
	}
}

func TestLatenciesBeyondTheBoundsCountAsThese(t *testing.T) {
	r := newRecorder(false, 0, 1_000_000*ms)
	r.answered(set, 5, 5)
	r.answered(set, 0, 500_000*ms)
	if r.all().TotalCount() != 2 || !near(r.all().Max(), latencyMax) {
		t.Errorf("%d, %d", r.all().TotalCount(), r.all().Max())
	}
}
