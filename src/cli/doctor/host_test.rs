//! What is said of each knob, by the kernel's texts.

use super::disk::{Device, disk, snapshots};
use super::kernel::{backlog, locked_memory, open_files, processes, remedy};
use super::memory::{huge_pages, newest_snapshot, room, swap};
use super::network::{Card, cards, interrupts, queues};
use super::processors::{
    IdleState, clock, frequency, governors, halt_polling, idle, idle_states, nodes, placed,
};
use super::*;
use crate::cli::apache::testing::Scratch;
use crate::config::Raw;

const MOUNTS: &str = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\nnas:/x /srv/nas nfs4 rw 0 0\n";

fn config(data: &Path, lines: &str) -> Config {
    let text = format!("dataDir={}\nclientPort=2181\n{lines}", data.display());
    Raw::parse("zoo.cfg", text.as_bytes()).check(|_| None, &|path: &Path| fs::read(path)).expect("sound").0
}

fn queue(write_cache: Option<&str>, fua: &str, scheduler: &str) -> Device {
    let text = |text: &str| Some(text.to_owned());
    Device {
        write_cache: write_cache.and_then(text),
        fua: text(fua),
        scheduler: text(scheduler),
        ..Device::default()
    }
}

fn disk_at(place: &str, mounts: &str, cache: Option<&str>) -> Finding {
    let device = |name: &str| (name == "/dev/vda").then(|| queue(cache, "0", "[none] mq-deadline"));
    let mut findings = disk(Path::new(place), mounts, true, &device);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

fn mounted(kind: &str, options: &str, device: &Device) -> Vec<(Level, String)> {
    let mounts = format!("/dev/vda / {kind} {options} 0 0");
    let findings = disk(Path::new("/nowhere"), &mounts, true, &|_| Some(device.clone()));
    findings.into_iter().skip(1).map(|finding| (finding.level, finding.what)).collect()
}

#[test]
fn the_log_belongs_on_a_disk() {
    let volatile = disk_at("/nowhere/yet", MOUNTS, Some("write back"));
    assert_eq!(
        (volatile.level, volatile.what.as_str()),
        (Level::Note, "log on ext4 at /, a disk with a volatile write cache: each sync empties it")
    );
    assert_eq!(disk_at("/nowhere", MOUNTS, Some("write through")).level, Level::Fine);
    assert_eq!(disk_at("/nowhere", MOUNTS, None).what, "log on ext4 at /");
    let memory = disk_at("/dev/shm/data", MOUNTS, None);
    assert!(memory.level == Level::Warning && memory.what.contains("memory"), "{memory:?}");
    assert_eq!(disk_at("/nowhere", "overlay / overlay rw 0 0", None).level, Level::Warning);
    assert_eq!(disk_at("/nowhere", "", None).level, Level::Note);
    let named = "x / ext4 rw 0 0\nssh:/y /no\\040where fuse.sshfs rw 0 0";
    assert_eq!(disk_at("/nowhere", named, None).what, "log on ext4 at /");
    // The place is looked for where it would be: a directory that isn't there counts by its nearest one above.
    let there = std::env::temp_dir().join(format!("ringkeeper doctor {}", std::process::id()));
    std::fs::create_dir(&there).expect("a directory");
    let place = there.to_str().expect("a name in UTF-8");
    let mounts = format!("x / ext4 rw 0 0\nssh:/y {} fuse.sshfs rw 0 0", place.replace(' ', "\\040"));
    let blank = disk_at(place, &mounts, None);
    std::fs::remove_dir(&there).expect("an empty directory");
    assert!(blank.level == Level::Warning && blank.what.contains("ringkeeper doctor"), "{blank:?}");
    assert_eq!(disk_at("/nowhere", "ssh:/y / fuse.sshfs rw 0 0", None).level, Level::Warning);
}

#[test]
fn a_direct_write_passes_a_cache_that_knows_fua() {
    let device = |_: &str| Some(queue(Some("write back"), "1", "[none]"));
    let level = |is_direct| disk(Path::new("/nowhere"), MOUNTS, is_direct, &device)[0].level;
    assert_eq!(level(true), Level::Fine);
    assert_eq!(level(false), Level::Note, "an fdatasync empties it all the same");
}

#[test]
fn mount_options_that_cost_are_told() {
    let device = queue(Some("write back"), "0", "[none] mq-deadline");
    assert_eq!(mounted("ext4", "rw,relatime", &device), []);
    assert_eq!(mounted("xfs", "rw,noatime,nosuid,nodiscard", &device), [], "whole words");
    for (options, level, word) in [
        ("ro,relatime", Level::Wrong, "read-only"),
        ("rw,nobarrier", Level::Warning, "without barriers"),
        ("rw,barrier=0", Level::Warning, "without barriers"),
        ("rw,data=journal", Level::Note, "written twice"),
        ("rw,sync,noatime", Level::Note, "mounted sync"),
        ("rw,discard", Level::Note, "trimmed"),
    ] {
        let told = mounted("ext4", options, &device);
        assert!(told.len() == 1 && told[0].0 == level && told[0].1.contains(word), "{options}: {told:?}");
    }
    let safe = queue(Some("write through"), "0", "[none]");
    assert_eq!(mounted("ext4", "rw,nobarrier", &safe), [], "there is no cache to be emptied");
    let copying = mounted("btrfs", "rw", &device);
    assert!(copying.len() == 1 && copying[0].1.contains("to another place"), "{copying:?}");
}

#[test]
fn a_scheduler_is_told_where_there_is_one() {
    assert_eq!(mounted("ext4", "rw", &queue(None, "0", "[none] mq-deadline kyber")), []);
    assert_eq!(mounted("ext4", "rw", &queue(None, "0", "")), []);
    let told = mounted("ext4", "rw", &queue(None, "0", "none [mq-deadline] kyber"));
    assert!(told.len() == 1 && told[0].1.contains("scheduler mq-deadline"), "{told:?}");
}

#[test]
fn who_refuses_io_uring_is_named() {
    let free = "Seccomp:\t0\n";
    assert!(remedy("5.15.0-91-generic", "0", free).contains("6.1 or newer"));
    assert!(remedy("6.0", "", free).contains("6.1 or newer"));
    assert!(remedy("6.1.0", "2", free).contains("it is 2"));
    assert!(remedy("6.18.4", "1", free).contains("io_uring_group"));
    assert!(remedy("6.18.4", "0", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n").contains("seccomp filter"));
    assert!(remedy("", "", "").contains("ulimit -l"));
}

#[test]
fn locked_memory_must_do_for_every_loop() {
    let scratch = Scratch::new();
    let (auto, epoll) = (config(scratch.path(), ""), config(scratch.path(), "ringkeeper.io=epoll\n"));
    let limits = |most| {
        format!("Limit   Soft Limit  Hard Limit  Units\nMax locked memory         {most}  {most}  bytes\n")
    };
    let (user, root) = ("CapEff:\t0000000000000000\n", "CapEff:\t000001ffffffffff\n");
    let told = locked_memory(&auto, &limits("65536"), user, 1).expect("a finding");
    assert!(told.level == Level::Warning && told.what.starts_with("64 KiB"), "{told:?}");
    assert!(locked_memory(&auto, &limits("8388608"), user, 40).is_some());
    for (config, most, status, loops) in [
        (&auto, "8388608", user, 4),
        (&auto, "221184", user, 1),
        (&auto, "unlimited", user, 64),
        (&auto, "65536", root, 1),
        (&auto, "65536", "", 1),
        (&epoll, "65536", user, 1),
    ] {
        assert_eq!(locked_memory(config, &limits(most), status, loops), None, "{most} {loops}");
    }
}

#[test]
fn limits_of_a_process_are_told_where_they_are_low() {
    assert_eq!(open_files(1_024).level, Level::Warning);
    assert_eq!(open_files(1 << 20).level, Level::Fine);
    let told = backlog("128\n", 1_024).expect("a finding");
    assert!(told.level == Level::Note && told.what.contains("somaxconn=128"), "{told:?}");
    assert_eq!((backlog("4096\n", 1_024), backlog("", 1_024)), (None, None));
    assert_eq!(processes(Some(20), 1).map(|told| told.level), Some(Level::Warning));
    assert_eq!((processes(Some(4_915), 16), processes(None, 1)), (None, None));
}

#[test]
fn control_groups_count_up_to_the_root() {
    let files = [
        ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
        ("/sys/fs/cgroup/a/memory.max", "1048576\n"),
        ("/sys/fs/cgroup/pids.max", "7"),
    ];
    let read = |place: &Path| {
        files.iter().find(|(path, _)| Path::new(path) == place).map(|(_, text)| (*text).to_owned())
    };
    let groups = |own| Groups { own, read: &read };
    assert_eq!(groups("1:name=systemd:/\n0::/a/b\n").least("memory.max"), Some(1 << 20));
    assert_eq!(groups("0::/a/b\n").least("pids.max"), Some(7));
    assert_eq!(groups("0::/\n").least("pids.max"), Some(7));
    assert_eq!(groups("0::/\n").least("memory.max"), None);
    assert_eq!(groups("4:memory:/a/b\n").least("memory.max"), None, "version 1 has other files");
}

#[test]
fn loops_and_processors_go_together() {
    let cpus = |count, quota_milli| Cpus {
        allowed: (0..count).collect(),
        online: 8,
        quota_milli,
        is_partition: false,
    };
    let one = placed(&cpus(2, None), 1);
    assert_eq!(
        (one.level, one.what.as_str()),
        (Level::Fine, "2 of 8 processors may be used: one event loop")
    );
    let many = placed(&cpus(2, None), 3);
    assert!(many.level == Level::Warning && many.what.ends_with("a replica and 2 shards"), "{many:?}");
    assert_eq!(placed(&cpus(4, None), 4).level, Level::Fine);
    let half = placed(&cpus(4, Some(500)), 1);
    assert!(half.level == Level::Warning && half.what.contains("quota 0.500"), "{half:?}");
    assert_eq!(placed(&cpus(4, Some(2_000)), 1).level, Level::Note);
}

#[test]
fn several_memory_nodes_are_worth_a_word() {
    assert_eq!((nodes("0\n", false), nodes("", false), nodes("0-1\n", true)), (None, None, None));
    assert!(nodes("0-1\n", false).expect("a finding").what.starts_with("2 memory nodes"));
    assert!(nodes("0,2-3\n", false).expect("a finding").what.starts_with("3 memory nodes"));
}

#[test]
fn memory_is_held_against_the_tree() {
    const MEMINFO: &str = "MemTotal:       4194304 kB\n";
    let gib = |count: u64| count << 30;
    assert_eq!(room(MEMINFO, None, Some(gib(1))), None);
    assert_eq!(room("", None, Some(gib(9))), None);
    assert_eq!(room(MEMINFO, Some(gib(1)), None).map(|told| told.level), Some(Level::Fine));
    let killed = room(MEMINFO, Some(gib(1)), Some(gib(1))).expect("a finding");
    assert!(
        killed.level == Level::Warning && killed.what.contains("1024 MiB of memory (memory.max)"),
        "{killed:?}"
    );
    assert_eq!(room(MEMINFO, None, Some(gib(3))).map(|told| told.level), Some(Level::Warning));
    assert_eq!(room(MEMINFO, Some(256 << 20), None).map(|told| told.level), Some(Level::Note));
}

#[test]
fn the_newest_whole_snapshot_says_how_large_the_tree_is() {
    let scratch = Scratch::new();
    let config = config(scratch.path(), "");
    assert_eq!(newest_snapshot(&config), None);
    let folder = scratch.path().join(server::SUBDIRECTORY);
    fs::create_dir(&folder).expect("room");
    for (name, bytes) in [
        ("snapshot.0000000000000002", 3),
        ("snapshot.0000000000000010", 5),
        ("snapshot.0000000000000011.tmp", 7),
        ("lock", 9),
    ] {
        fs::write(folder.join(name), vec![0; bytes]).expect("room");
    }
    assert_eq!(newest_snapshot(&config), Some(5));
}

#[test]
fn huge_pages_are_told() {
    let level = |enabled, defrag| huge_pages(enabled, defrag, true).map(|told| told.level);
    assert_eq!(level("always [madvise] never\n", ""), Some(Level::Fine));
    assert_eq!(level("[always] madvise never\n", "always defer [madvise] never\n"), Some(Level::Fine));
    assert_eq!(level("[always] madvise never\n", "[always] defer madvise never\n"), Some(Level::Note));
    assert_eq!(level("always madvise [never]\n", "[always] defer"), Some(Level::Note));
    assert_eq!(huge_pages("", "[always]", true), None);
    for enabled in ["always [madvise] never\n", "always madvise [never]\n"] {
        let told = huge_pages(enabled, "[always] defer madvise never\n", false).expect("the kernel says");
        assert!(told.level == Level::Fine && told.what.contains("ringkeeper.hugePages"), "{told:?}");
    }
}

#[test]
fn swap_is_worth_a_word_where_it_is_used() {
    assert_eq!(swap("SwapTotal:       0 kB\n", "60", None), None);
    assert_eq!(swap("SwapTotal: 2048 kB\n", "1", None), None);
    assert_eq!(swap("SwapTotal: 2048 kB\n", "60", Some(0)), None);
    let used = swap("MemTotal: 9 kB\nSwapTotal:   2097148 kB\n", "60", None).expect("a finding");
    assert_eq!(used.what, "2047 MiB of swap, vm.swappiness=60");
}

#[test]
fn a_clock_that_costs_a_system_call_is_told() {
    let level = |finding: Option<Finding>| finding.map(|finding| finding.level);
    assert_eq!((level(clock("tsc\n")), level(clock("hpet\n"))), (Some(Level::Fine), Some(Level::Warning)));
    assert_eq!(clock(""), None);
}

#[test]
fn settings_that_hold_it_back_are_told_and_their_defaults_are_not() {
    let placed = |lines: &str, processors, loops| {
        let findings = settings::look(&config(Path::new("/data"), lines), processors, loops);
        findings.into_iter().map(|finding| (finding.level, finding.what)).collect::<Vec<_>>()
    };
    let told = |lines: &str, processors| placed(lines, processors, 1);
    assert_eq!(told("", 2), []);
    assert_eq!(
        told("globalOutstandingLimit=1000\nringkeeper.snapshotRate=64\nringkeeper.lookMicros=5", 2),
        []
    );
    for (line, words) in [
        ("ringkeeper.lookMicros=0", "finds the loop asleep"),
        ("globalOutstandingLimit=100", "no more than 100 requests"),
        ("ringkeeper.snapshotRate=0", "whatever it can"),
    ] {
        let [(level, what)] = &told(line, 2)[..] else { panic!("{line}: not one finding") };
        assert!(*level == Level::Note && what.contains(words), "{line}: {what}");
    }
    assert_eq!(told("ringkeeper.lookMicros=0", 1), [], "one processor is never looked on");
    assert_eq!(placed("ringkeeper.lookMicros=0", 4, 3), [], "nor by several loops");
}

#[test]
fn every_processor_has_a_governor() {
    let of = |names: &[&str]| frequency(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["performance"; 2]).expect("a finding").what, "scaling governor performance");
    let mixed = of(&["performance", "powersave"]).expect("a finding");
    assert!(mixed.level == Level::Note && mixed.what.contains("on 1 of 2 processors"), "{mixed:?}");
    let scratch = Scratch::new();
    for (processor, governor) in [("cpu0", "performance\n"), ("cpu1", "powersave\n"), ("cpufreq", "")] {
        let place = scratch.path().join(processor).join("cpufreq");
        fs::create_dir_all(&place).expect("room");
        if !governor.is_empty() {
            fs::write(place.join("scaling_governor"), governor).expect("room");
        }
    }
    let found = || {
        let mut found = governors(scratch.path());
        found.sort();
        found
    };
    assert_eq!(found(), ["performance", "powersave"]);
    let driver = scratch.path().join("cpu1/cpufreq/scaling_driver");
    fs::write(&driver, "intel_cpufreq\n").expect("room");
    assert_eq!(found(), ["performance", "powersave"]);
    fs::write(&driver, "intel_pstate\n").expect("room");
    assert_eq!(found(), ["performance", "powersave of intel_pstate, which follows the load"]);
    assert_eq!(frequency(&found()).expect("a finding").level, Level::Fine);
}

#[test]
fn interrupts_belong_elsewhere_than_the_loops() {
    const TABLE: &str = "           CPU0       CPU1\n 24:    9   2000000  PCI-MSIX 1-edge  virtio1-req.0\n 25:  7  3  IO-APIC  \
        eth0\nLOC:   9000000  9000000  Local timer interrupts\n";
    let at = |cores: &[u16], uptime| interrupts(TABLE, uptime, &cores.iter().copied().collect());
    let told = at(&[1], "1000.00 9.9\n").expect("a finding");
    assert_eq!(
        told.what,
        "interrupt 24 (virtio1-req.0) came 2000 times a second to processors of ringkeeper.cores"
    );
    assert_eq!((at(&[0], "1000.0 9"), at(&[7], "1000.0 9"), at(&[1], "90000.0 9")), (None, None, None));
    assert_eq!(at(&[0, 1], "1000.0 9"), None, "there is no other place for it");
    assert_eq!((at(&[1], ""), interrupts("", "1000.0 9", &[1].into())), (None, None));
}

#[test]
fn a_card_with_one_queue_is_told_where_there_are_several_loops() {
    let card = |name: &str, masks: &[&str]| Card {
        name: name.to_owned(),
        masks: masks.iter().map(|&mask| mask.to_owned()).collect(),
    };
    let all =
        [card("eth0", &["00,00000000"]), card("eth1", &["0", "0"]), card("eth2", &["3"]), card("eth3", &[])];
    let told = queues(&all, 3);
    assert!(told.len() == 1 && told[0].what.starts_with("eth0 has one receiving queue"), "{told:?}");
    assert_eq!(queues(&all, 1), []);
    let scratch = Scratch::new();
    for (place, mask) in [
        ("lo/queues/rx-0", "0"),
        ("eth0/queues/rx-0", "2\n"),
        ("eth0/queues/tx-0", ""),
        ("eth0/device", ""),
        ("eth1/queues/rx-0", "0"),
        ("eth1/device", ""),
    ] {
        let place = scratch.path().join(place);
        fs::create_dir_all(&place).expect("room");
        if !mask.is_empty() {
            fs::write(place.join("rps_cpus"), mask).expect("room");
        }
    }
    for (name, state) in [("lo", "unknown\n"), ("eth0", "up\n"), ("eth1", "down\n")] {
        fs::write(scratch.path().join(name).join("operstate"), state).expect("room");
    }
    assert_eq!(cards(scratch.path()), [card("eth0", &["2"])]);
}

#[test]
fn a_disk_that_rests_is_told() {
    let resting = |micros: &str| {
        let rest_micros = Some(micros.to_owned());
        mounted("ext4", "rw", &Device { rest_micros, ..queue(None, "0", "[none]") })
    };
    assert!(resting("100000\n")[0].1.contains("up to 100000 µs"));
    assert_eq!((resting("0\n"), resting("")), (vec![], vec![]));
}

#[test]
fn snapshots_on_another_file_system_are_looked_at() {
    let scratch = Scratch::new();
    let (log, data) = (scratch.path().join("log"), scratch.path().join("data"));
    for place in [&log, &data] {
        fs::create_dir(place).expect("room");
    }
    let of = |kind: &str, options: &str| {
        let mounts = format!("/dev/vda / ext4 rw 0 0\nx {} {kind} {options} 0 0", data.display());
        snapshots(&data, &log, &mounts).expect("a finding").level
    };
    assert_eq!(of("xfs", "rw"), Level::Fine);
    assert_eq!((of("tmpfs", "rw"), of("overlay", "rw")), (Level::Warning, Level::Warning));
    assert_eq!((of("nfs4", "rw"), of("fuse.sshfs", "rw")), (Level::Note, Level::Note));
    assert_eq!(of("xfs", "noatime,ro"), Level::Wrong);
    assert_eq!(snapshots(&data, &log, "/dev/vda / ext4 rw 0 0"), None, "the log's was told");
    assert_eq!(snapshots(&data, &data, ""), None);
}

#[test]
fn a_deep_idle_state_is_told_unless_it_is_disabled() {
    let state = |name: &str, micros, is_disabled| IdleState { name: name.to_owned(), micros, is_disabled };
    let told =
        idle(&[state("POLL", 0, false), state("C6", 133, false), state("C1", 2, false)]).expect("a finding");
    assert!(told.level == Level::Note && told.what.contains("C6 takes 133 µs"), "{told:?}");
    assert_eq!(idle(&[state("C1", 2, false), state("C6", 133, true)]), None);
    assert_eq!(idle(&[]), None);
    let scratch = Scratch::new();
    let place = scratch.path().join("state1");
    fs::create_dir(&place).expect("room");
    for (file, text) in [("name", "C1E\n"), ("latency", "10\n"), ("disable", "1\n")] {
        fs::write(place.join(file), text).expect("room");
    }
    assert_eq!(idle_states(scratch.path()), [state("C1E", 10, true)]);
    assert_eq!(idle_states(&place), [], "nothing is known of what is none");
}

#[test]
fn a_guest_whose_processors_halt_at_once_is_told() {
    let told = |nanoseconds| halt_polling("haltpoll\n", nanoseconds);
    assert_eq!(told("0\n").map(|finding| finding.level), Some(Level::Note));
    let fine = told("200000\n").expect("a finding");
    assert!(fine.level == Level::Fine && fine.what.contains("200000 ns"), "{fine:?}");
    assert_eq!(halt_polling("menu\n", "0\n"), None, "the module is there, and not used");
    assert_eq!(told(""), None);
}

/// A page that a finding names is there, and is one of the table's.
#[test]
fn every_page_that_is_named_is_written() {
    let tuning = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning");
    let table = fs::read_to_string(tuning.join("README.md")).expect("the table");
    let sources = [
        "host.rs",
        "host/disk.rs",
        "host/kernel.rs",
        "host/memory.rs",
        "host/network.rs",
        "host/processors.rs",
        "directory.rs",
    ];
    let mut count = 0;
    for source in sources {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/doctor").join(source));
        for page in text.expect("a source").split(".see(\"").skip(1).filter_map(|rest| rest.split('"').next())
        {
            count += 1;
            assert!(tuning.join(format!("{page}.md")).exists(), "tuning/{page}.md, which {source} names");
            assert!(
                table.contains(&format!("({page}.md)")),
                "{page}.md is not in the table of tuning/README.md"
            );
        }
    }
    assert!(count > 10, "only {count} pages are named");
}
