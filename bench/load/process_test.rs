//! Tests of `process`.

use super::*;

#[test]
fn a_command_with_brackets_and_spaces_does_not_shift_the_fields() {
    let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 5 0 0 0 150 50 0 0 20 0 9 0 100 1 1";
    assert_eq!(cpu_seconds(stat), Some(2.0));
    assert_eq!(cpu_seconds("77 (x) S 1"), None);
}

#[test]
fn processor_time_is_told_finer_than_the_kernels_tick() {
    assert_eq!(run_nanos("1234567890 42 7\n"), Some(1_234_567_890));
    assert_eq!(run_nanos(""), None);
    // Of a process with one thread: here tests end theirs meanwhile.
    let busy =
        Busy(std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell"));
    let seconds = |precision| usage_of_each(&[busy.0.id()], &[], precision).expect("it runs")[0].cpu_seconds;
    let is_whole_ticks = |seconds: &f64| (seconds * TICKS_PER_SECOND).round() / TICKS_PER_SECOND == *seconds;
    let mut seen = vec![seconds(Precision::Nanoseconds)];
    while seen.last() < Some(&0.05) {
        seen.push(seconds(Precision::Nanoseconds));
        assert!(is_whole_ticks(&seconds(Precision::Ticks)));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    let is_told = std::path::Path::new("/proc/self/schedstat").exists();
    assert_eq!(!seen.iter().all(is_whole_ticks), is_told, "{seen:?}");
}

/// Ends with the test, however that ends.
struct Busy(std::process::Child);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it is ours");
    }
}

#[test]
fn the_machine_is_busy_except_when_idle_waiting_or_robbed() {
    let stat = "cpu  100 20 30 1000 2000 4 6 50 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    assert_eq!(
        machine_times(stat),
        Some(MachineUsage { busy_seconds: 1.6, kernel_seconds: 0.1, stolen_seconds: 0.5 })
    );
    assert_eq!(machine_times("cpu0 1 1 1 1 1 1 1 1"), None);
    assert_eq!(machine_times("cpu  1 2 3"), None);
    assert!(machine_usage().expect("our own /proc/stat").busy_seconds > 0.0);
}

#[test]
fn the_kernels_own_threads_are_told_by_their_flags() {
    assert!(is_kernel_thread("44 (kworker/1:1H-kblockd) I 2 0 0 0 -1 69238880 0 0 0 0 0 3200 0 0 0 -20 1 0"));
    assert!(!is_kernel_thread("77 (a) b (c) S 1 77 77 0 -1 4194560 5 0 0 0 150 50 0 0 20 0 9 0 100 1 1"));
    let own = std::fs::read_to_string("/proc/self/stat").expect("our own /proc entry");
    assert!(!is_kernel_thread(&own) && kernel_threads_seconds() > 0.0);
}

#[test]
fn fields_of_status_are_found_by_whole_name() {
    let status = "VmRSSX:\t1 kB\nRssAnon:\t    2048 kB\nThreads:\t3\n";
    assert_eq!(status_field(status, "RssAnon"), Some(2048));
    assert_eq!(status_field(status, "Threads"), Some(3));
    assert_eq!(status_field(status, "VmRSS"), None);
}

#[test]
fn this_process_has_memory_and_a_process_that_cannot_exist_is_named() {
    let own = usage_of_each(&[std::process::id()], &[], Precision::Ticks).expect("our own /proc entry")[0];
    assert!(own.resident_anonymous > 0 && own.threads > 0, "{own:?}");
    let last = Usage { threads: 7, ..Usage::default() };
    let seen = usage_of_each(&[std::process::id(), u32::MAX], &[last, last], Precision::Nanoseconds)
        .expect("it was seen before");
    assert!(seen[0].resident_anonymous > 0 && seen[1] == last, "{seen:?}");
    let error =
        usage_of_each(&[u32::MAX], &[], Precision::Nanoseconds).expect_err("pids end at 2^22").to_string();
    assert!(error.contains("--server-pid") && error.contains(&u32::MAX.to_string()), "{error}");
}

#[test]
fn an_ensemble_counts_as_one_server() {
    let one = Usage { cpu_seconds: 1.5, threads: 2, resident_anonymous: 10, ..Usage::default() };
    let both = sum(&[one, Usage { cpu_seconds: 0.5, resident_file: 7, ..one }]);
    assert_eq!((both.cpu_seconds, both.threads, both.resident_anonymous), (2.0, 4, 20));
    assert_eq!((both.resident_file, both.resident_peak), (7, 0));
}
