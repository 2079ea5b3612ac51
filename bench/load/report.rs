//! The result, for people in one line and for programs as JSON.
//!
//! Called by `run` after a load. Units are in the names: `_us` microseconds, `_bytes`, `_seconds`.

use crate::arguments::LoadArguments;
use crate::load::{Load, Pacing};
use crate::process;
use crate::recorder::Recorder;
use crate::workload::KINDS;
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

/// Everything that was measured. `load` has ended and was a measured one.
pub fn as_json(arguments: &LoadArguments, load: &Load) -> Value {
    let recorder = &load.recorder;
    let all = recorder.all();
    // A load that ended early has no second sample, and is reported as an error beside zeros.
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
            kinds.insert(kind.name().to_owned(), latency(recorder.histogram(kind)));
        }
    }
    let mut value = json!({
        "op": arguments.op.map(|op| op.to_string()),
        "sessions": arguments.sessions,
        "outstanding": match arguments.pacing() { Pacing::Closed { outstanding } => Some(outstanding), Pacing::Open { .. } => None },
        "rate": arguments.rate,
        "driver": arguments.driver.name(),
        "data_bytes": arguments.bytes,
        "keys": arguments.keys,
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
            "operations_per_cpu_second": per_cpu(own_cpu),
        },
        "machine": {
            "busy_cpu_seconds": busy,
            "stolen_cpu_seconds": end.machine.stolen_seconds - begin.machine.stolen_seconds,
            // Interrupts and the kernel's threads: mostly the completion of this load's own packets and syncs.
            "kernel_cpu_seconds": kernel,
            // Neither generator nor server nor kernel. Counts the server too where --server-pid isn't given.
            "other_cpu_seconds": (busy - own_cpu - server_cpu - kernel).max(0.0),
        },
        "errors": errors(recorder),
        "series_100ms": {
            "replies": recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(),
            "latency_max_us": recorder.series.iter().map(|entry| microseconds(entry.latency_ns_max)).collect::<Vec<_>>(),
        },
    });
    if arguments.rate.is_some() {
        value["sent_late"] = latency(&recorder.lateness);
    }
    if !arguments.server_pid.is_empty() {
        value["server"] = json!({
            "pids": arguments.server_pid,
            "cpu_seconds": server_cpu,
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

/// One line.
pub fn as_line(result: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let pace = match result["rate"].as_f64() {
        Some(rate) => format!("{} sessions at {rate}/s", result["sessions"]),
        None => format!("{}x{}", result["sessions"], result["outstanding"]),
    };
    let latency = &result["latency"];
    let mut line = format!(
        "{} {pace}: {:.0} op/s  p50 {:.0} p90 {:.0} p99 {:.0} p99.9 {:.0} max {:.0} us  generator {:.2} cpu-s ({:.0}k op/cpu-s)",
        result["op"].as_str().unwrap_or("-"),
        number(&result["operations_per_second"]),
        number(&latency["p50_us"]),
        number(&latency["p90_us"]),
        number(&latency["p99_us"]),
        number(&latency["p999_us"]),
        number(&latency["max_us"]),
        number(&result["generator"]["cpu_seconds"]),
        number(&result["generator"]["operations_per_cpu_second"]) / 1e3,
    );
    if let Some(server) = result.get("server") {
        line += &format!(
            "  server {:.2} cpu-s ({:.0}k op/cpu-s) resident {:.0} MB anonymous + {:.0} MB file",
            number(&server["cpu_seconds"]),
            number(&server["operations_per_cpu_second"]) / 1e3,
            number(&server["resident_anonymous_bytes"]) / 1e6,
            number(&server["resident_file_bytes"]) / 1e6,
        );
    }
    line + &format!("  {}", errors_line(result))
}

fn errors_line(result: &Value) -> String {
    match result["errors"].as_object() {
        Some(errors) if !errors.is_empty() => {
            let list: Vec<String> = errors.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
            format!("ERRORS {}", list.join(", "))
        }
        _ => "no errors".to_owned(),
    }
}
