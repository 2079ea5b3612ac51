//! Tests of `files`: their texts, and paths that don't work.

use super::*;

fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("valid");
    for value in 1..=1000u64 {
        histogram.record(value * 1_000).expect("in range");
    }
    histogram
}

#[test]
fn the_series_has_a_line_per_100_ms_and_says_that_it_is_partial() {
    let entry = SeriesEntry {
        replies: 7,
        errors: 1,
        latency_ns_p50: 1_500,
        latency_ns_p99: 20_000,
        latency_ns_max: 30_250,
    };
    let text = csv(&[SeriesEntry::default(), entry], None);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..], ["0.0,0,0,0,0,0", "0.1,7,1,1.5,20,30.25"]);
    assert_eq!(lines[0].split(',').count(), 6);
    assert_eq!(csv(&[], Some("it died")).lines().last(), Some("# partial: it died"));
}

#[test]
fn percentiles_are_written_as_hdrhistogram_does() {
    let text = hgrm(&histogram(), None);
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(2)
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_ascii_whitespace().map(|field| field.parse().expect("a number")).collect())
        .collect();
    assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]), "{text}");
    let median = rows.iter().find(|row| row[1] >= 0.5).expect("a row of the median");
    assert!((0.49..0.51).contains(&median[0]) && (median[3] - 2.0).abs() < 0.01, "{median:?}");
    let last = rows.last().expect("a row");
    assert!((last[1] - 1.0).abs() < 1e-9 && last[2] as u64 == 1000, "{last:?}");
    assert!(text.contains("Total count    =         1000]"), "{text}");
    assert!(hgrm(&histogram(), Some("it died")).starts_with("#[partial: it died]"));
}

#[test]
fn a_file_is_whole_or_as_it_was() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join("load-test-files");
    fs::create_dir_all(&folder).expect("target is writable");
    let path = folder.join("out.json");
    write_whole(&path, "first").expect("writable");
    fs::create_dir_all(unfinished(&path)).expect("writable");
    assert!(write_whole(&path, "second").is_err(), "its unfinished name is taken by a directory");
    assert_eq!(fs::read_to_string(&path).expect("there"), "first");
    fs::remove_dir(unfinished(&path)).expect("empty");
    write_whole(&path, "second").expect("writable");
    assert_eq!(fs::read_to_string(&path).expect("there"), "second");
    assert!(!unfinished(&path).exists());
    fs::remove_dir_all(&folder).expect("ours");
    // What every Linux has for this purpose: a device that is always full.
    let error = write_whole(Path::new("/dev/full"), "text").expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn files_of_one_kind_stand_beside_that_of_all() {
    assert_eq!(of_kind(Path::new("a/out.hgrm"), "get"), Path::new("a/out.get.hgrm"));
    assert_eq!(of_kind(Path::new("a/out"), "get"), Path::new("a/out.get"));
}
