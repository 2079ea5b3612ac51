// The result, with the names and units of bench/load/report.rs: the scripts read both alike.
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type object = map[string]any

var percentiles = []struct {
	name     string
	quantile float64
}{{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p999_us", 99.9}, {"p9999_us", 99.99}}

func microseconds(nanoseconds int64) float64 {
	return float64(nanoseconds) / 1000
}

func latencyOf(histogram *hdrhistogram.Histogram) object {
	value := object{
		"count":   histogram.TotalCount(),
		"mean_us": histogram.Mean() / 1000,
		"max_us":  microseconds(histogram.Max()),
	}
	for _, one := range percentiles {
		value[one.name] = microseconds(histogram.ValueAtQuantile(one.quantile))
	}
	return value
}

// report tells everything that was measured; the load has ended.
func report(o *options, l *load) object {
	r, all := l.recorder, l.recorder.all()
	operations := all.TotalCount()
	window := float64(r.end-r.begin) / 1e9
	if l.cut != "" {
		window = float64(max(l.end.at, r.begin)-r.begin) / 1e9
	}
	own := float64(l.end.ownCPU-l.begin.ownCPU) / 1e9
	byKind := object{}
	for what, histogram := range r.latency {
		if histogram.TotalCount() > 0 {
			byKind[kind(what).String()] = latencyOf(histogram)
		}
	}
	each, servers := serversUsed(l)
	busy := l.end.machine.busySeconds - l.begin.machine.busySeconds
	kernel := l.end.machine.kernelSeconds - l.begin.machine.kernelSeconds
	result := object{
		"op": o.op, "partial": nil, "servers": o.servers, "sessions": o.sessions, "sessions_lost": r.sessionsLost,
		"outstanding": nil, "rate": nil, "driver": "etcd client " + clientVersion(), "reads": "serializable",
		"data_bytes": o.bytes, "keys": o.keys, "distribution": "uniform",
		"warmup_seconds": o.warmup, "window_seconds": window, "window_start_ns": r.begin,
		"operations": operations, "replies_total": r.repliesTotal,
		"operations_per_second": ratio(float64(operations), window).or(0),
		"latency":               latencyOf(all), "latency_by_kind": byKind,
		"generator": object{
			"cpu_seconds": own, "cpu_share": ratio(own, window).or(0),
			"operations_per_cpu_second": ratio(float64(operations), own).orNil(),
		},
		"machine": object{
			"cpus": runtime.NumCPU(), "busy_cpu_seconds": busy,
			"stolen_cpu_seconds": l.end.machine.stolenSeconds - l.begin.machine.stolenSeconds,
			"kernel_cpu_seconds": kernel,
			// Neither generator nor server nor kernel. Counts the server too where its process isn't known.
			"other_cpu_seconds": max(0, busy-own-servers.cpuSeconds-kernel),
		},
		"errors": r.errors, "notes": object{}, "series_100ms": seriesOf(r.series),
	}
	if l.cut != "" {
		result["partial"] = l.cut
	}
	if o.rate > 0 {
		result["rate"], result["sent_late"] = o.rate, latencyOf(r.lateness)
	} else {
		result["outstanding"] = o.outstanding
	}
	if len(o.serverPids) > 0 {
		result["server"] = object{
			"pids": o.serverPids, "cpu_seconds": servers.cpuSeconds, "cpu_share": ratio(servers.cpuSeconds, window).or(0),
			// In the order of `pids`.
			"cpu_seconds_each":          each,
			"operations_per_cpu_second": ratio(float64(operations), servers.cpuSeconds).orNil(),
			"resident_anonymous_bytes":  servers.anonymous, "resident_file_bytes": servers.file,
			"resident_shared_bytes": servers.shared, "resident_peak_bytes": servers.peak, "threads": servers.threads,
		}
	}
	return result
}

// serversUsed in the window: processor time of each, and the sum of all.
func serversUsed(l *load) ([]float64, usage) {
	each, sum := make([]float64, len(l.end.servers)), usage{}
	for i, one := range l.end.servers {
		each[i] = one.cpuSeconds - l.begin.servers[i].cpuSeconds
		sum.cpuSeconds += each[i]
		sum.threads += one.threads
		sum.anonymous += one.anonymous
		sum.file += one.file
		sum.shared += one.shared
		sum.peak += one.peak
	}
	return each, sum
}

func seriesOf(series []slice) object {
	count := len(series)
	replies, errors := make([]uint64, count), make([]uint64, count)
	p50, p99, most := make([]float64, count), make([]float64, count), make([]float64, count)
	for i, one := range series {
		replies[i], errors[i] = one.replies, one.errors
		p50[i], p99[i], most[i] = microseconds(one.p50), microseconds(one.p99), microseconds(one.max)
	}
	return object{"replies": replies, "errors": errors, "latency_p50_us": p50, "latency_p99_us": p99, "latency_max_us": most}
}

// quotient that may not be there.
type quotient struct {
	value float64
	is    bool
}

func ratio(above, below float64) quotient {
	if below <= 0 {
		return quotient{}
	}
	return quotient{above / below, true}
}

func (q quotient) or(otherwise float64) float64 {
	if q.is {
		return q.value
	}
	return otherwise
}

func (q quotient) orNil() any {
	if q.is {
		return q.value
	}
	return nil
}

func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, one := range info.Deps {
			if one.Path == "go.etcd.io/etcd/client/v3" {
				return one.Version
			}
		}
	}
	return "of unknown version"
}

// line is the result for people.
func line(result object) string {
	latency := result["latency"].(object)
	return fmt.Sprintf("%s: %.0f op/s, p50 %.0f p99 %.0f max %.0f µs, errors %v", result["op"], result["operations_per_second"],
		latency["p50_us"], latency["p99_us"], latency["max_us"], result["errors"])
}
