//! The files of a result: JSON, the series as CSV, the percentiles in HdrHistogram's text form.
//!
//! Called by `run`: before the load, so that a wrong path is told at once, and after it. A file gets its name when it is
//! whole; what stood there before stays until then. Tested: `files_test.rs`.

use crate::bench::arguments::LoadArguments;
use crate::bench::recorder::{Recorder, SERIES_STEP_NS, SeriesEntry};
use crate::bench::workload::KINDS;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with the paths that were asked for, before anything is measured.
pub fn check(arguments: &LoadArguments) -> Result<(), String> {
    let files = [("--json", &arguments.json), ("--csv", &arguments.csv), ("--hgrm", &arguments.hgrm)];
    for (flag, path) in files {
        let Some(path) = path else { continue };
        let tried = match is_special(path) {
            true => File::options().write(true).open(path).map(drop),
            false => File::create(unfinished(path)).and_then(|_| fs::remove_file(unfinished(path))),
        };
        tried.map_err(|error| format!("{flag} {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Writes what was asked for. The answer is what couldn't be written, and why; `result` as text goes along with a JSON
/// that couldn't.
pub fn write_all(arguments: &LoadArguments, recorder: &Recorder, result: &Value) -> Vec<String> {
    let mut failed = Vec::new();
    let partial = result["partial"].as_str();
    let mut write = |flag: &str, path: &Path, text: &str| {
        if let Err(error) = write_whole(path, text) {
            failed.push(format!("{flag} {}: {error}", path.display()));
        }
    };
    if let Some(path) = &arguments.csv {
        write("--csv", path, &csv(&recorder.series, partial));
    }
    if let Some(path) = &arguments.hgrm {
        write("--hgrm", path, &hgrm(&recorder.all(), partial));
        let kinds = KINDS.into_iter().filter(|kind| !recorder.histogram(*kind).is_empty());
        let kinds: Vec<_> = kinds.collect();
        if kinds.len() > 1 && !is_special(path) {
            for kind in kinds {
                write("--hgrm", &of_kind(path, kind.name()), &hgrm(&recorder.histogram(kind), partial));
            }
        }
    }
    if let Some(path) = &arguments.json {
        write("--json", path, &format!("{result:#}\n"));
    }
    failed
}

/// A device or a pipe: nothing that can be replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

/// `out.hgrm` of gets is `out.get.hgrm`.
fn of_kind(path: &Path, kind: &str) -> PathBuf {
    let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
    match ending {
        Some(ending) => path.with_extension(format!("{kind}.{ending}")),
        None => path.with_extension(kind),
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if is_special(path) {
        return fs::write(path, text);
    }
    let unfinished = unfinished(path);
    fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| {
        // Half a file is no result, and takes up room.
        let _ = fs::remove_file(&unfinished);
    })
}

/// A line per 100 ms: seconds since the window began, and what came back in them.
fn csv(series: &[SeriesEntry], partial: Option<&str>) -> String {
    let mut text = "seconds,operations,errors,latency_p50_us,latency_p99_us,latency_max_us\n".to_owned();
    for (at, entry) in series.iter().enumerate() {
        let seconds = at as f64 * SERIES_STEP_NS as f64 / 1e9;
        let [p50, p99, max] = [entry.latency_ns_p50, entry.latency_ns_p99, entry.latency_ns_max].map(us);
        writeln!(text, "{seconds:.1},{},{},{p50},{p99},{max}", entry.replies, entry.errors)
            .expect("writing to a String can't fail");
    }
    if let Some(reason) = partial {
        writeln!(text, "# partial: {reason}").expect("writing to a String can't fail");
    }
    text
}

fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// As `outputPercentileDistribution` of HdrHistogram writes it, in milliseconds, for its plotter.
fn hgrm(histogram: &Histogram<u64>, partial: Option<&str>) -> String {
    const TICKS_PER_HALF_DISTANCE: u32 = 5;
    let ms = |nanoseconds: f64| nanoseconds / 1e6;
    let mut text = String::new();
    if let Some(reason) = partial {
        writeln!(text, "#[partial: {reason}]").expect("writing to a String can't fail");
    }
    text += "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to() as f64);
        write!(text, "{value:12.6} {quantile:2.12} {total:10}").expect("writing to a String can't fail");
        if quantile < 1.0 {
            write!(text, " {:14.2}", 1.0 / (1.0 - quantile)).expect("writing to a String can't fail");
        }
        text.push('\n');
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    writeln!(text, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]").expect("as above");
    let (max, count) = (ms(histogram.max() as f64), histogram.len());
    writeln!(text, "#[Max     = {max:12.6}, Total count    = {count:12}]").expect("as above");
    text
}

#[cfg(test)]
#[path = "files_test.rs"]
mod tests;
