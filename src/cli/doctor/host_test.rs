//! What is said of disks, swap, clocks.

use super::*;

const MOUNTS: &str = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\nnas:/x /srv/nas nfs4 rw 0 0\n";

fn disk_at(place: &str, mounts: &str, cache: Option<&str>) -> Finding {
    disk(Path::new(place), mounts, &|name| (name == "/dev/vda").then(|| cache.map(str::to_owned)).flatten())
}

#[test]
fn the_log_belongs_on_a_disk() {
    let volatile = disk_at("/nowhere/yet", MOUNTS, Some("write back\n"));
    assert_eq!(
        (volatile.level, volatile.what.as_str()),
        (Level::Note, "log on ext4 at /, a disk with a volatile write cache: each sync empties it")
    );
    assert_eq!(disk_at("/nowhere", MOUNTS, Some("write through\n")).level, Level::Fine);
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
fn swap_is_worth_a_word_where_it_is_used() {
    assert_eq!(swap("SwapTotal:       0 kB\n", "60"), None);
    assert_eq!(swap("SwapTotal: 2048 kB\n", "1"), None);
    let used = swap("MemTotal: 9 kB\nSwapTotal:   2097148 kB\n", "60").expect("a finding");
    assert_eq!(used.what, "2047 MiB of swap, vm.swappiness=60");
}

#[test]
fn a_clock_that_costs_a_system_call_is_told() {
    assert_eq!(clock("tsc").level, Level::Fine);
    assert_eq!(clock("hpet").level, Level::Warning);
    assert_eq!(frequency("powersave").level, Level::Note);
    assert_eq!(frequency("performance").level, Level::Fine);
}
