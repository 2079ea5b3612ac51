//! What the host says of its cores.

use super::super::directory::tests::Scratch;
use super::*;

#[test]
fn a_pinned_thread_may_run_on_its_core_only() {
    let cores = allowed().unwrap();
    let last = *cores.last().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(last).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
        });
    });
    assert_eq!(allowed().unwrap(), cores, "other threads are left alone");
    let error = pin(100_000).unwrap_err().to_string();
    assert!(error.contains("core 100000"), "{error}");
}

#[test]
fn this_machine_has_cores() {
    let cpus = Cpus::detect().unwrap();
    assert!((1..=cpus.online).contains(&cpus.usable()) && !cpus.allowed.is_empty(), "{cpus:?}");
    assert_eq!(cpus.is_restricted(), cpus.allowed.len() < cpus.online);
}

#[test]
fn the_smallest_quota_on_the_way_up_counts() {
    let scratch = Scratch::new("quota");
    let root = scratch.path();
    fs::create_dir_all(root.join("pod/box")).unwrap();
    assert_eq!(quota_milli(root, "0::/pod/box\n"), None, "no files, no quota");
    fs::write(root.join("pod/box/cpu.max"), "max 100000\n").unwrap();
    assert_eq!(quota_milli(root, "0::/pod/box\n"), None);
    fs::write(root.join("pod/cpu.max"), "150000 100000\n").unwrap();
    assert_eq!(quota_milli(root, "0::/pod/box\n"), Some(1500));
    fs::write(root.join("pod/box/cpu.max"), "300000 100000\n").unwrap();
    assert_eq!(quota_milli(root, "0::/pod/box\n"), Some(1500));
    let cpus = Cpus { allowed: vec![0, 1, 2, 3], online: 8, quota_milli: Some(1500), is_partition: false };
    assert_eq!(cpus.usable(), 2, "a core and a half keeps two threads busy");
    assert!(cpus.is_restricted());
    assert_eq!(Cpus { quota_milli: None, ..cpus }.usable(), 4);
}

#[test]
fn version_1_quotas_count_too() {
    let scratch = Scratch::new("quota-1");
    let group = scratch.path().join("cpu/docker");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cpu.cfs_quota_us"), "-1\n").unwrap();
    fs::write(group.join("cpu.cfs_period_us"), "100000\n").unwrap();
    let groups = "12:memory:/docker\n3:cpu,cpuacct:/docker\n";
    assert_eq!(quota_milli(scratch.path(), groups), None);
    fs::write(group.join("cpu.cfs_quota_us"), "50000\n").unwrap();
    assert_eq!(quota_milli(scratch.path(), groups), Some(500));
    fs::write(group.join("cpu.cfs_period_us"), "0\n").unwrap();
    assert_eq!(quota_milli(scratch.path(), groups), None, "no division by zero");
}

#[test]
fn a_partition_is_known_by_its_file() {
    let scratch = Scratch::new("partition");
    fs::create_dir_all(scratch.path().join("box")).unwrap();
    assert!(!is_partition(scratch.path(), "0::/box\n"));
    for (kind, expected) in [("member", false), ("isolated", true), ("root", true), ("root invalid", false)] {
        fs::write(scratch.path().join("box/cpuset.cpus.partition"), kind).unwrap();
        assert_eq!(is_partition(scratch.path(), "0::/box\n"), expected, "{kind}");
    }
}
