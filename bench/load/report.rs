//! The result as JSON.
//!
//! Called by `run` after a load. Units are in the names: `_us` microseconds, `_bytes`, `_seconds`. `summary` and `files` make
//! the other forms.

use crate::bench::arguments::LoadArguments;
use crate::bench::keys::Sizes;
use crate::bench::load::{Load, Pacing};
use crate::bench::mix::Work;
use crate::bench::process;
use crate::bench::recorder::Recorder;
use crate::bench::workload::KINDS;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

const PERCENTILES: [(&str, f64); 5] =
    [("p50_us", 0.50), ("p90_us", 0.90), ("p99_us", 0.99), ("p999_us", 0.999), ("p9999_us", 0.9999)];

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

fn latency(histogram: &Histogram<u64>) -> Value {
    let mut value = json!({
        "count": histogram.len(),
        "mean_us": histogram.mean() / 1000.0,
        "max_us": microseconds(histogram.max()),
    });
    for (name, quantile) in PERCENTILES {
        value[name] = json!(microseconds(histogram.value_at_quantile(quantile)));
    }
    value
}

/// Everything that was measured. `load` has ended and was a measured one; `pids`: the servers of this host.
pub fn as_json(arguments: &LoadArguments, load: &Load, pids: &[u32]) -> Value {
    let recorder = &load.recorder;
    let all = recorder.all();
    let begin = load.begin.clone().unwrap_or_default();
    let end = load.end.clone().unwrap_or_else(|| begin.clone());
    let window_seconds = (end.at - begin.at) as f64 / 1e9;
    let per_second = |count: u64| if window_seconds > 0.0 { count as f64 / window_seconds } else { 0.0 };
    let per_cpu = |cpu: f64| if cpu > 0.0 { Some(all.len() as f64 / cpu) } else { None };
    let own_cpu = (end.own_cpu_ns - begin.own_cpu_ns) as f64 / 1e9;
    let cpu_of_each: Vec<f64> = end
        .servers
        .iter()
        .zip(&begin.servers)
        .map(|(end, begin)| end.cpu_seconds - begin.cpu_seconds)
        .collect();
    let server_cpu: f64 = cpu_of_each.iter().sum();
    let servers = process::sum(&end.servers);
    let busy = end.machine.busy_seconds - begin.machine.busy_seconds;
    let kernel = end.machine.kernel_seconds - begin.machine.kernel_seconds;
    let mut kinds = serde_json::Map::new();
    for kind in KINDS {
        if !recorder.histogram(kind).is_empty() {
            kinds.insert(kind.name().to_owned(), latency(&recorder.histogram(kind)));
        }
    }
    let share = |cpu: f64| if window_seconds > 0.0 { cpu / window_seconds } else { 0.0 };
    let mut value = json!({
        "op": arguments.work().map(|work| work.to_string()),
        // Why this isn't all of what was to be measured; null if it is.
        "partial": load.cut,
        "servers": arguments.server,
        "sessions": arguments.sessions,
        "sessions_lost": recorder.sessions_lost,
        "outstanding": outstanding(arguments),
        "rate": arguments.rate,
        "driver": arguments.driver.name(),
        "data_bytes": data_bytes(arguments.bytes),
        "keys": arguments.keys,
        "distribution": arguments.distribution.to_string(),
        "warmup_seconds": arguments.warmup,
        "window_seconds": window_seconds,
        "window_start_ns": begin.at,
        "operations": all.len(),
        "replies_total": recorder.replies_total,
        "operations_per_second": per_second(all.len()),
        "latency": latency(&all),
        "latency_by_kind": kinds,
        "generator": {
            "cpu_seconds": own_cpu,
            // Of one core.
            "cpu_share": share(own_cpu),
            "operations_per_cpu_second": per_cpu(own_cpu),
        },
        "machine": {
            "cpus": std::thread::available_parallelism().map_or(1, usize::from),
            "busy_cpu_seconds": busy,
            "stolen_cpu_seconds": end.machine.stolen_seconds - begin.machine.stolen_seconds,
            // Interrupts and the kernel's threads: mostly the completion of this load's own packets and syncs.
            "kernel_cpu_seconds": kernel,
            // Neither generator nor server nor kernel. Counts the server too where its process isn't known.
            "other_cpu_seconds": (busy - own_cpu - server_cpu - kernel).max(0.0),
        },
        "errors": errors(recorder),
        "notes": recorder.notes().map(|(what, count)| (what.to_owned(), json!(count))).collect::<Value>(),
        "series_100ms": {
            "replies": recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(),
            "errors": recorder.series.iter().map(|entry| entry.errors).collect::<Vec<_>>(),
            "latency_p50_us": recorder.series.iter().map(|entry| microseconds(entry.latency_ns_p50)).collect::<Vec<_>>(),
            "latency_p99_us": recorder.series.iter().map(|entry| microseconds(entry.latency_ns_p99)).collect::<Vec<_>>(),
            "latency_max_us": recorder.series.iter().map(|entry| microseconds(entry.latency_ns_max)).collect::<Vec<_>>(),
        },
    });
    if arguments.rate.is_some() {
        value["sent_late"] = latency(&recorder.lateness);
    }
    if !pids.is_empty() {
        value["server"] = json!({
            "pids": pids,
            "cpu_seconds": server_cpu,
            // Of one core.
            "cpu_share": share(server_cpu),
            // In the order of `pids`.
            "cpu_seconds_each": cpu_of_each,
            "operations_per_cpu_second": per_cpu(server_cpu),
            "resident_anonymous_bytes": servers.resident_anonymous,
            "resident_file_bytes": servers.resident_file,
            "resident_shared_bytes": servers.resident_shared,
            "resident_peak_bytes": servers.resident_peak,
            "threads": servers.threads,
        });
    }
    value
}

fn errors(recorder: &Recorder) -> Value {
    recorder.errors_by_kind().map(|(kind, count)| (kind.to_owned(), json!(count))).collect()
}

/// Where a session keeps requests up.
fn outstanding(arguments: &LoadArguments) -> Option<usize> {
    match (arguments.pacing(), arguments.work()) {
        (Pacing::Closed { outstanding }, Some(Work::Mix(_))) => Some(outstanding),
        _ => None,
    }
}

/// A number where it is one.
fn data_bytes(sizes: Sizes) -> Value {
    if sizes.min == sizes.max { json!(sizes.min) } else { json!(sizes.to_string()) }
}
