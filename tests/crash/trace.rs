//! A sync lies between the arrival of a write and its reply: read off a trace of the system calls of the real binary.
//!
//! On the epoll backend (`ringkeeper.io=epoll`): there every receive and every send is a system call that strace shows, and a
//! thread syncs the log. A ring's own writes no trace shows; of them the file's flags are looked at. The server is traced by
//! a detached strace (`-D`), so that its own process id is ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, Server, until};

const RECEIVE: &[&str] = &["recvfrom(", "read(", "recvmsg(", "readv("];
const SEND: &[&str] = &["sendto(", "write(", "sendmsg(", "writev("];
const SYNC: &[&str] = &["fdatasync(", "fsync(", "msync("];
const CALLS: &str = "trace=recvfrom,read,recvmsg,readv,sendto,write,sendmsg,writev,fdatasync,fsync,msync";

/// What happened to a request that carries `marker`, in the order of the trace.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Received, then a sync began and ended well, then the reply was sent.
    SyncBeforeReply,
    /// The reply was sent without that.
    NoSync,
    /// The trace does not hold both ends.
    Incomplete,
}

/// The call of a line of `strace -f`: `1234 fdatasync(7) = 0`.
fn call(line: &str) -> &str {
    line.split_once(' ').map_or("", |(_, call)| call.trim_start())
}

fn is(line: &str, names: &[&str]) -> bool {
    names.iter().any(|name| call(line).starts_with(name))
}

/// The descriptor a call is about.
fn descriptor(line: &str) -> Option<&str> {
    call(line).split_once('(')?.1.split([',', ')', ' ']).next()
}

fn judge(trace: &str, marker: &str) -> Found {
    let lines: Vec<&str> = trace.lines().collect();
    // A receive that was interrupted in the trace shows its bytes where it resumes, and its descriptor where it began.
    let Some(received) = lines.iter().position(|line| line.contains(marker)) else {
        return Found::Incomplete;
    };
    let Some(socket) = receiving_descriptor(&lines, received) else { return Found::Incomplete };
    let behind = &lines[received + 1..];
    let sent = behind.iter().position(|line| is(line, SEND) && descriptor(line) == Some(socket));
    let Some(sent) = sent else { return Found::Incomplete };
    let between = &behind[..sent];
    let Some(began) = between.iter().position(|line| is(line, SYNC)) else { return Found::NoSync };
    let thread = between[began].split(' ').next();
    let ended = between[began..].iter().any(|line| {
        let resumed = line.contains("sync resumed") && line.split(' ').next() == thread;
        (is(line, SYNC) || resumed) && line.trim_end().ends_with("= 0")
    });
    if ended { Found::SyncBeforeReply } else { Found::NoSync }
}

fn receiving_descriptor<'a>(lines: &[&'a str], at: usize) -> Option<&'a str> {
    let line = lines[at];
    if is(line, RECEIVE) {
        return descriptor(line);
    }
    let thread = line.split(' ').next();
    let began = lines[..at].iter().rev().find(|line| line.split(' ').next() == thread && is(line, RECEIVE));
    began.and_then(|line| descriptor(line))
}

#[test]
fn a_trace_is_judged_by_what_lies_between() {
    let good = "10 recvfrom(9, \"..MARK..\", 65536, 0, NULL, NULL) = 40\n11 fdatasync(7) = 0\n10 sendto(9, \"..\", 88, 0, NULL, 0) = 88\n";
    assert_eq!(judge(good, "MARK"), Found::SyncBeforeReply);
    let split = "10 recvfrom(9, \"..MARK..\", 65536) = 40\n11 fdatasync(7 <unfinished ...>\n\
        10 epoll_wait(3) = 0\n11 <... fdatasync resumed>) = 0\n10 sendto(9, \"..\") = 88\n";
    assert_eq!(judge(split, "MARK"), Found::SyncBeforeReply);
    let resumed = "10 recvfrom(9 <unfinished ...>\n11 read(5, \"x\", 8) = 8\n\
        10 <... recvfrom resumed>\"..MARK..\", 65536) = 40\n11 fdatasync(7) = 0\n10 sendto(9, \"..\") = 88\n";
    assert_eq!(judge(resumed, "MARK"), Found::SyncBeforeReply);
    // Reply before sync; no sync; a sync that began before the write arrived; one that is still running; one that failed.
    for bad in [
        "10 recvfrom(9, \"..MARK..\") = 40\n10 sendto(9, \"..\") = 88\n11 fdatasync(7) = 0\n",
        "10 recvfrom(9, \"..MARK..\") = 40\n10 sendto(9, \"..\") = 88\n",
        "11 fdatasync(7 <unfinished ...>\n10 recvfrom(9, \"..MARK..\") = 40\n11 <... fdatasync resumed>) = 0\n10 sendto(9, \"..\") = 88\n",
        "10 recvfrom(9, \"..MARK..\") = 40\n11 fdatasync(7 <unfinished ...>\n10 sendto(9, \"..\") = 88\n11 <... fdatasync resumed>) = 0\n",
        "10 recvfrom(9, \"..MARK..\") = 40\n11 fdatasync(7) = -1 EIO\n10 sendto(9, \"..\") = 88\n",
    ] {
        assert_eq!(judge(bad, "MARK"), Found::NoSync, "{bad}");
    }
    // A send to somebody else is not the reply.
    let other = "10 recvfrom(9, \"..MARK..\") = 40\n10 sendto(8, \"..\") = 88\n11 fdatasync(7) = 0\n10 sendto(9, \"..\") = 88\n";
    assert_eq!(judge(other, "MARK"), Found::SyncBeforeReply);
    assert_eq!(judge(good, "ELSE"), Found::Incomplete);
}

const WRITES: usize = 50;

/// Runs a server under strace while one session writes and reads; gives the trace.
fn traced(config: Config) -> String {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok_and(|output| output.status.success()),
        "strace is missing: `tests/run --prepare` installs it"
    );
    let folder = crate::support::server::folder("trace");
    let trace_file = folder.join("calls");
    let file = trace_file.display().to_string();
    let wrapper = ["strace", "-D", "-f", "-s", "300", "-e", CALLS, "-e", "signal=none", "-o", &file];
    let mut server = config.set("ringkeeper.io", "epoll").under(&wrapper).start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for number in 0..WRITES {
        client.set_data("/a", format!("written-{number:03}").as_bytes(), -1).expect("there");
        client.exists(&format!("/looked-for-{number:03}"), false).expect_err("not there");
    }
    client.set_data("/a", b"the-end-of-all", -1).expect("there");
    let trace = until("the trace to be written", || {
        let bytes = fs::read(&trace_file).ok()?;
        let trace = String::from_utf8_lossy(&bytes).into_owned();
        (judge(&trace, "the-end-of-all") != Found::Incomplete).then_some(trace)
    });
    server.kill();
    // The detached strace may still hold the file.
    let _left = fs::remove_dir_all(folder);
    trace
}

fn count(trace: &str, marker: &str, found: Found) -> usize {
    (0..WRITES).filter(|number| judge(trace, &format!("{marker}-{number:03}")) == found).count()
}

#[test]
fn a_sync_lies_between_a_write_and_its_reply() {
    let trace = traced(Config::default());
    assert_eq!(count(&trace, "written", Found::SyncBeforeReply), WRITES, "{trace}");
    // Reads need none: were every gap to hold some sync, the line above would say nothing.
    assert!(count(&trace, "looked-for", Found::NoSync) > WRITES / 2, "reads wait for the disk:\n{trace}");
}

/// The canary: a server that was told not to wait for its disk is seen through.
#[test]
fn the_trace_shows_a_server_that_replies_before_the_sync() {
    let trace = traced(Config::default().set("forceSync", "no"));
    assert!(
        count(&trace, "written", Found::NoSync) > WRITES / 2,
        "forceSync=no syncs before it replies:\n{trace}"
    );
}

/// The flags of the server's open segments, of `open(2)`.
fn segment_flags(server: &Server) -> Vec<libc::c_int> {
    let process = Path::new("/proc").join(server.pid().to_string());
    let links =
        fs::read_dir(process.join("fd")).expect("its own child's").map(|entry| entry.expect("readable"));
    links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?;
            let name = target.file_name()?.to_str()?;
            name.starts_with("segment.0").then_some(())?;
            let info = fs::read_to_string(process.join("fdinfo").join(link.file_name())).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("of an open file");
            Some(libc::c_int::from_str_radix(flags.trim(), 8).expect("octal"))
        })
        .collect()
}

/// What the ring does no trace shows. By these flags a write is complete only when it is on the disk, and that a reply waits for
/// the write is the simulator's to see.
#[test]
fn a_ring_writes_a_log_that_is_synced_by_each_write() {
    let synced = libc::O_DIRECT | libc::O_DSYNC;
    let is_synced = |flags: &libc::c_int| flags & synced == synced;
    let server = Server::start();
    let flags = segment_flags(&server);
    assert!(!flags.is_empty() && flags.iter().all(is_synced), "{flags:?}");
    let mapped = Config::default().set("ringkeeper.logWrite", "mmap").start();
    let flags = segment_flags(&mapped);
    assert!(!flags.is_empty() && !flags.iter().any(is_synced), "{flags:?}");
}
