//! Tests of `summary`: what stands on the screen.

use super::*;
use serde_json::json;

fn latency(count: u64) -> Value {
    json!({
        "count": count, "mean_us": 120.4, "max_us": 2_500_000.0, "p50_us": 93.0, "p90_us": 150.0,
        "p99_us": 1_250.0, "p999_us": 41_234.0, "p9999_us": 123_456.0,
    })
}

fn result() -> Value {
    json!({
        "op": "get=9,set=1", "partial": null, "servers": ["a:1", "b:2"], "sessions": 1000, "outstanding": 16,
        "rate": null, "warmup_seconds": 2.0, "window_seconds": 10.0, "operations": 1_234_567,
        "operations_per_second": 123_456.7, "latency": latency(1_234_567),
        "latency_by_kind": { "get": latency(1_111_111), "set": latency(123_456) },
        "errors": {}, "notes": {},
        "generator": { "cpu_share": 0.5, "operations_per_cpu_second": 246_913.0 },
        "server": {
            "pids": [11, 12], "cpu_share": 0.25, "operations_per_cpu_second": 493_826.0,
            "resident_anonymous_bytes": 200e6, "resident_file_bytes": 30e6, "resident_shared_bytes": 0,
            "resident_peak_bytes": 1.5e9,
        },
        "machine": { "cpus": 2, "other_cpu_seconds": 0.1, "stolen_cpu_seconds": 0.1 },
        "series_100ms": { "replies": [0, 100, 200, 400, 7] },
    })
}

#[test]
fn a_result_is_on_one_screen() {
    let text = text(&result());
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 120), "{text}");
    for part in [
        "get=9,set=1 · 1,000 sessions x 16 · a:1,b:2 · 10.0 s after 2.0 s of warm-up",
        "123 k op/s   1,234,567 operations, no errors",
        "▁▃▅█  0 to 4.00 k op/s in 100 ms",
        "  get            1,111,111   120 us    93 us   150 us  1.25 ms  41.2 ms   123 ms   2.50 s",
        "  all            1,234,567",
        "  servers     0.25 of a core, 494 k op per CPU-second; 230 MB resident, 1.50 GB at most (process 11, 12)",
        "  generator   0.50 of a core, 247 k op per CPU-second",
        "  others      0.02 of a core; there are 2",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("ERROR") && !text.contains("PARTIAL") && !text.contains("sent late"), "{text}");
}

#[test]
fn what_went_wrong_cannot_be_overlooked() {
    let mut result = result();
    result["partial"] = json!("the server closed all connections");
    result["errors"] = (0..9).map(|n| (format!("kind {n}"), json!(n + 1))).collect();
    result["notes"] = json!({ "queue: another one took the item first": 12_345 });
    result["rate"] = json!(20_000.0);
    result["sent_late"] = latency(5);
    result.as_object_mut().expect("an object").shift_remove("server");
    let text = text(&result);
    for part in [
        "1,000 sessions, 20.0 k/s",
        "  PARTIAL: the server closed all connections; measured until then: 10.0 s",
        "45 ERRORS",
        "  ERROR           9  kind 8",
        "  and 3 kinds of errors more: see --json",
        "  note       12,345  queue: another one took the item first",
        "  sent late              5",
        "  all others  ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("kind 0") && !text.contains("server  "), "{text}");
}

#[test]
fn a_load_that_measured_nothing_is_told_without_figures() {
    let mut result = result();
    for field in ["operations", "operations_per_second", "window_seconds"] {
        result[field] = json!(0);
    }
    result["latency_by_kind"] = json!({});
    result["series_100ms"]["replies"] = json!([]);
    let text = text(&result);
    assert!(
        text.contains("0 op/s   0 operations") && !text.contains("p50") && !text.contains("NaN"),
        "{text}"
    );
}

#[test]
fn figures_have_three_digits_and_a_unit() {
    let counts = [0.0, 7.0, 950.4, 999.6, 9_994.0, 41_234.0, 999_400.0, 999_600.0, 1_912_345.0];
    let texts = ["0", "7", "950", "1.00 k", "9.99 k", "41.2 k", "999 k", "1.00 M", "1.91 M"];
    assert_eq!(counts.map(count), texts);
    assert_eq!(
        [0.0, 93.4, 999.6, 1_250.0, 41_234.0, 2.5e6].map(duration),
        ["0 us", "93 us", "1.00 ms", "1.25 ms", "41.2 ms", "2.50 s"]
    );
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(picture(&[], 5), "");
    assert_eq!(picture(&[0.0, 0.0], 5), "▁▁");
    assert_eq!(picture(&[1.0, 1.0, 8.0, 8.0], 2), "▂█");
}
