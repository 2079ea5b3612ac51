//! The result on one screen, for people.
//!
//! Called by `run` with what `report` made. Pure. Tested: `summary_test.rs`.

use serde_json::Value;
use std::fmt::Write;

/// Places of the picture of the series.
const PICTURE_COLUMNS: usize = 60;
/// Kinds of errors that are told; the others are counted.
const ERRORS_MAX: usize = 6;
const LATENCIES: [&str; 7] = ["mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us"];
const NO_WRITE: &str = "writing to a String can't fail";

/// Everything that a person wants to know first.
pub fn text(result: &Value) -> String {
    let mut text = headline(result);
    if let Some(reason) = result["partial"].as_str() {
        writeln!(
            text,
            "\n  PARTIAL: {reason}; measured until then: {:.1} s",
            number(&result["window_seconds"])
        )
        .expect(NO_WRITE);
    }
    text.push('\n');
    throughput(result, &mut text);
    latencies(result, &mut text);
    troubles(result, &mut text);
    processors(result, &mut text);
    text.truncate(text.trim_end().len());
    text
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn headline(result: &Value) -> String {
    let sessions = result["sessions"].as_u64().unwrap_or(0);
    let pace = match (result["rate"].as_f64(), result["outstanding"].as_u64()) {
        (Some(rate), _) => format!("{} sessions, {}/s", grouped(sessions), count(rate)),
        (None, Some(outstanding)) => format!("{} sessions x {outstanding}", grouped(sessions)),
        (None, None) => format!("{} sessions", grouped(sessions)),
    };
    let servers: Vec<&str> =
        result["servers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!(
        "{} · {pace} · {} · {:.1} s after {:.1} s of warm-up\n",
        result["op"].as_str().unwrap_or("-"),
        servers.join(","),
        number(&result["window_seconds"]),
        number(&result["warmup_seconds"]),
    )
}

fn throughput(result: &Value, text: &mut String) {
    let errors: u64 = result["errors"]
        .as_object()
        .into_iter()
        .flat_map(|errors| errors.values())
        .filter_map(Value::as_u64)
        .sum();
    let errors = if errors == 0 { "no errors".to_owned() } else { format!("{} ERRORS", grouped(errors)) };
    let rate = count(number(&result["operations_per_second"]));
    let operations = grouped(result["operations"].as_u64().unwrap_or(0));
    writeln!(text, "  {rate} op/s   {operations} operations, {errors}").expect(NO_WRITE);
    let replies = result["series_100ms"]["replies"].as_array().into_iter().flatten();
    let replies: Vec<f64> = replies.map(number).collect();
    // The last entry may be a part of 100 ms.
    let whole = &replies[..replies.len().saturating_sub(1)];
    let least = whole.iter().copied().fold(f64::INFINITY, f64::min);
    if least.is_finite() {
        let most = whole.iter().copied().fold(0.0, f64::max);
        let picture = picture(whole, PICTURE_COLUMNS);
        writeln!(text, "  {picture}  {} to {} op/s in 100 ms", count(least * 10.0), count(most * 10.0))
            .expect(NO_WRITE);
    }
}

/// `values` as bars from zero to the greatest.
fn picture(values: &[f64], columns: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = columns.min(values.len());
    let means: Vec<f64> = (0..columns)
        .map(|column| {
            let part = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let most = means.iter().copied().fold(0.0, f64::max);
    let bar = |mean: f64| if most > 0.0 { BARS[((mean / most * 8.0) as usize).min(7)] } else { BARS[0] };
    means.into_iter().map(bar).collect()
}

fn latencies(result: &Value, text: &mut String) {
    let Some(kinds) = result["latency_by_kind"].as_object().filter(|kinds| !kinds.is_empty()) else { return };
    let names = ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
    write!(text, "\n  {:<12}{:>12}", "", "count").expect(NO_WRITE);
    for name in names {
        write!(text, "{name:>9}").expect(NO_WRITE);
    }
    text.push('\n');
    let mut row = |name: &str, latency: &Value| {
        write!(text, "  {name:<12}{:>12}", grouped(latency["count"].as_u64().unwrap_or(0))).expect(NO_WRITE);
        for field in LATENCIES {
            write!(text, "{:>9}", duration(number(&latency[field]))).expect(NO_WRITE);
        }
        text.push('\n');
    };
    for (name, latency) in kinds {
        row(name, latency);
    }
    // A kind that looks at the operations of another one again is no operation of its own.
    let all = &result["latency"];
    if kinds.values().all(|one| one["count"] != all["count"]) {
        row("all", all);
    }
    if let Some(late) = result.get("sent_late").filter(|late| number(&late["p99_us"]) >= 1_000.0) {
        row("sent late", late);
    }
}

fn troubles(result: &Value, text: &mut String) {
    let errors = result["errors"].as_object().into_iter().flatten();
    let mut errors: Vec<(&str, u64)> =
        errors.map(|(kind, count)| (kind.as_str(), count.as_u64().unwrap_or(0))).collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let notes = result["notes"].as_object().into_iter().flatten();
    let notes: Vec<(&str, u64)> =
        notes.map(|(what, count)| (what.as_str(), count.as_u64().unwrap_or(0))).collect();
    if errors.is_empty() && notes.is_empty() {
        return;
    }
    text.push('\n');
    for (kind, count) in errors.iter().take(ERRORS_MAX) {
        writeln!(text, "  ERROR  {:>10}  {kind}", grouped(*count)).expect(NO_WRITE);
    }
    if errors.len() > ERRORS_MAX {
        writeln!(text, "  and {} kinds of errors more: see --json", errors.len() - ERRORS_MAX)
            .expect(NO_WRITE);
    }
    for (what, count) in notes {
        writeln!(text, "  note   {:>10}  {what}", grouped(count)).expect(NO_WRITE);
    }
}

fn processors(result: &Value, text: &mut String) {
    text.push('\n');
    let used = |share: &Value, per_cpu: &Value| {
        let share = format!("{:.2} of a core", number(share));
        match per_cpu.as_f64() {
            Some(per_cpu) => format!("{share}, {} op per CPU-second", count(per_cpu)),
            None => share,
        }
    };
    if let Some(server) = result.get("server") {
        let pids: Vec<String> =
            server["pids"].as_array().into_iter().flatten().map(Value::to_string).collect();
        let resident = number(&server["resident_anonymous_bytes"])
            + number(&server["resident_file_bytes"])
            + number(&server["resident_shared_bytes"]);
        let used = used(&server["cpu_share"], &server["operations_per_cpu_second"]);
        let (resident, peak) = (bytes(resident), bytes(number(&server["resident_peak_bytes"])));
        writeln!(
            text,
            "  {:<12}{used}; {resident} resident, {peak} at most (process {})",
            if pids.len() > 1 { "servers" } else { "server" },
            pids.join(", ")
        )
        .expect(NO_WRITE);
    }
    let generator = &result["generator"];
    let own = used(&generator["cpu_share"], &generator["operations_per_cpu_second"]);
    writeln!(text, "  {:<12}{own}", "generator").expect(NO_WRITE);
    let machine = &result["machine"];
    let seconds = number(&result["window_seconds"]);
    if seconds > 0.0 {
        let others = number(&machine["other_cpu_seconds"]) + number(&machine["stolen_cpu_seconds"]);
        let who = if result.get("server").is_some() { "others" } else { "all others" };
        writeln!(text, "  {who:<12}{:.2} of a core; there are {}", others / seconds, machine["cpus"])
            .expect(NO_WRITE);
    }
}

/// Three digits: `950`, `41.2 k`, `1.91 M`.
pub fn count(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 999_500.0 => (v / 1e6, " M"),
        v if v >= 999.5 => (v / 1e3, " k"),
        v => (v, ""),
    };
    format!("{}{unit}", three_digits(scaled, unit.is_empty()))
}

fn three_digits(value: f64, is_whole: bool) -> String {
    match value {
        v if v >= 99.95 || v == 0.0 || is_whole && v.fract() == 0.0 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn duration(microseconds: f64) -> String {
    match microseconds {
        v if v >= 999_500.0 => format!("{} s", three_digits(v / 1e6, false)),
        v if v >= 999.5 => format!("{} ms", three_digits(v / 1e3, false)),
        v => format!("{v:.0} us"),
    }
}

fn bytes(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} GB", v / 1e9),
        v => format!("{:.0} MB", v / 1e6),
    }
}

/// `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "summary_test.rs"]
mod tests;
