//! Members that were moved over and whose history is not the leader's: what they have too much is cut, what they lack is sent,
//! whichever kind leads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper::wire::client::CreateRequest;
use ringkeeper::wire::{AclList, ErrorCode, Opcode};

use crate::history::{History, Load};
use crate::migration::{LONGEST_SESSION_MS, become_kind, convert};
use crate::mixed::{assert_no_mismatch, prepare_with};
use crate::support::client::PERSISTENT;
use crate::support::{Client, Connect, Ensemble, Server, until};

const WRITERS: usize = 2;
const SOME: u64 = 20;
/// Proposals that nobody but their leader has.
const ALONE: usize = 50;
/// The server that has them. It leads first: with equal logs the larger number decides.
const MOVED: usize = 2;
const OTHERS: [usize; 2] = [0, 1];

/// The log files of either kind that this server has.
fn logs(server: &Server) -> Vec<PathBuf> {
    let folders = ["version-2", "ringkeeper-1"].map(|name| server.data_dir().join(name));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let is_log = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("log.") || name.starts_with("segment.")
    };
    entries.map(|entry| entry.expect("readable").path()).filter(is_log).collect()
}

fn dump(file: &Path) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args(["log", "dump"]).arg(file).output();
    String::from_utf8_lossy(&out.expect("it runs").stdout).into_owned()
}

/// What the servers at these places have said, together.
fn lines(ensemble: &Ensemble, places: &[usize], is_wanted: impl Fn(&str) -> bool) -> usize {
    let count = |at: &usize| ensemble.servers[*at].output().lines().filter(|line| is_wanted(line)).count();
    places.iter().map(count).sum()
}

/// Differences that a leader of Apache's among the others has sent to the member, or the member of Apache's was sent by whoever
/// leads.
fn diffs(ensemble: &Ensemble) -> usize {
    let to_it = format!("for peer sid: {}", MOVED + 1);
    lines(ensemble, &OTHERS, |line| line.contains("Sending DIFF") && line.ends_with(&to_it))
        + lines(ensemble, &[MOVED], |line| line.contains("Getting a diff from the leader"))
}

fn alone(number: usize) -> String {
    format!("/alone-{number}")
}

/// The leader logs what nobody else ever gets, and is killed; the others go on without it.
fn leave_a_tail(ensemble: &mut Ensemble) {
    let mut client = Connect { timeout_ms: 40_000, ..Connect::default() }.open(&ensemble.servers[MOVED]);
    client.create("/together", b"", PERSISTENT);
    ensemble.assert_equal();
    for at in OTHERS {
        ensemble.servers[at].signal("STOP");
    }
    for number in 0..ALONE {
        let path = alone(number);
        let acl = Some(AclList::OPEN);
        let create = CreateRequest { path: path.as_str().into(), data: Some(b"x"), acl, flags: PERSISTENT };
        client.send(Opcode::Create, &create);
    }
    let last = alone(ALONE - 1);
    until("the leader to have logged them", || {
        let logs = logs(&ensemble.servers[MOVED]);
        logs.iter().any(|log| dump(log).lines().any(|line| line.ends_with(&last))).then_some(())
    });
    ensemble.servers[MOVED].kill();
    for at in OTHERS {
        ensemble.servers[at].kill();
        ensemble.servers[at].spawn();
    }
    ensemble.settle_among(&OTHERS);
}

fn assert_nobody_has_the_tail(ensemble: &Ensemble) {
    for server in &ensemble.servers {
        let mut client = Client::connect(server);
        client.catch_up();
        assert!(client.exists("/together", false).is_ok());
        for number in 0..ALONE {
            assert_eq!(client.exists(&alone(number), false), Err(ErrorCode::NoNode));
        }
        client.close();
    }
}

/// Three servers, of which the last leads. `java`: the places of Apache's.
fn start(java: &[usize]) -> Ensemble {
    let ids: Vec<usize> = java.iter().map(|at| at + 1).collect();
    let mut ensemble = prepare_with(3, 0, &ids, |config| {
        // A difference is sent however much was written meanwhile.
        config.set("maxSessionTimeout", LONGEST_SESSION_MS).set("commitLogCount", 100_000)
    });
    for at in [MOVED, 0] {
        ensemble.servers[at].spawn();
    }
    assert_eq!(ensemble.settle_among(&[0, MOVED]), MOVED);
    ensemble.servers[1].spawn();
    ensemble.settle();
    ensemble
}

/// Nothing is converted here: who led comes back as what it is, below a leader of the other kind.
fn a_tail_is_cut(java: &[usize], words: &str) {
    let mut ensemble = start(java);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    leave_a_tail(&mut ensemble);
    assert_eq!(lines(&ensemble, &[MOVED], |line| line.contains(words)), 0);
    ensemble.servers[MOVED].restart();
    assert_ne!(ensemble.settle(), MOVED);
    assert_eq!(lines(&ensemble, &[MOVED], |line| line.contains(words)), 1, "once, and that was enough");
    assert_nobody_has_the_tail(&ensemble);
    ensemble.assert_equal();
    // What it logs from here on comes where the tail was.
    let load = Load::start(&ensemble, 1, WRITERS);
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    assert_no_mismatch(&ensemble.servers);
    ensemble.servers[MOVED].kill();
    ensemble.servers[MOVED].restart();
    history.check_again(&mut ensemble);
    assert_nobody_has_the_tail(&ensemble);
}

#[test]
fn what_ours_logged_alone_is_cut_under_a_leader_of_apaches() {
    a_tail_is_cut(&OTHERS, "the leader's history ends earlier: the log is cut");
}

#[test]
fn what_apaches_logged_alone_is_cut_under_a_leader_of_ours() {
    a_tail_is_cut(&[MOVED], "Truncating log to get in sync with the leader");
}

/// A member that was away gets the transactions that it missed, and no snapshot: as follower and as observer, idle and under load.
fn a_difference_is_sent(leads_java: bool, voters: usize) {
    let is_java = |at: &usize| if *at == MOVED { !leads_java } else { leads_java };
    let ids: Vec<usize> = (0..3).filter(is_java).map(|at| at + 1).collect();
    let mut ensemble = prepare_with(voters, 3 - voters, &ids, |config| config.set("commitLogCount", 100_000));
    for at in OTHERS {
        ensemble.servers[at].spawn();
    }
    ensemble.settle();
    ensemble.servers[MOVED].spawn();
    assert_ne!(ensemble.settle(), MOVED);
    let snapshots = |ensemble: &Ensemble| {
        let words = ["the leader sends a snapshot", "Getting a snapshot from leader"];
        lines(ensemble, &[MOVED], |line| words.iter().any(|word| line.contains(word)))
    };
    let mut history = History::default();
    for (round, is_idle) in [true, false].into_iter().enumerate() {
        let mut load = Some(Load::start(&ensemble, 2 * round as u32, WRITERS));
        load.iter().for_each(|load| load.go_on(SOME));
        ensemble.servers[MOVED].kill();
        load.iter().for_each(|load| load.go_on(SOME));
        if is_idle {
            load.take().into_iter().for_each(|load| history.check(&mut ensemble, load));
        }
        let before = (diffs(&ensemble), snapshots(&ensemble));
        ensemble.servers[MOVED].restart();
        let load = load.unwrap_or_else(|| Load::start(&ensemble, 2 * round as u32 + 1, WRITERS));
        load.go_on(SOME);
        history.check(&mut ensemble, load);
        assert!(diffs(&ensemble) > before.0, "what it missed was sent some other way");
        assert_eq!(snapshots(&ensemble), before.1, "and no snapshot");
    }
    assert_no_mismatch(&ensemble.servers);
}

#[test]
fn ours_gets_a_difference_from_a_leader_of_apaches() {
    a_difference_is_sent(true, 3);
    a_difference_is_sent(true, 2);
}

#[test]
fn apaches_gets_a_difference_from_a_leader_of_ours() {
    a_difference_is_sent(false, 3);
    a_difference_is_sent(false, 2);
}

/// `word`: what is done to the member; the others are Apache's, or ours. `writes`: they write before it is back.
fn a_tail_goes(word: &str, others_are_java: bool, writes: bool) {
    let back = if word == "import" { "export" } else { "import" };
    let java: Vec<usize> =
        (0..3).filter(|at| if *at == MOVED { word == "import" } else { others_are_java }).collect();
    println!(
        "{word}, {} lead, writes meanwhile: {writes}",
        if others_are_java { "Apache's" } else { "ours" }
    );
    let mut ensemble = start(&java);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    leave_a_tail(&mut ensemble);
    let mut load = writes.then(|| Load::start_at(&ensemble, 1, WRITERS, &OTHERS));
    load.iter().for_each(|load| load.go_on(SOME));
    // Apache's follower that synchronises with a leader of its own kind under load may go on with a digest that is not its
    // tree's (behind a snapshot, which is fuzzy; 3.8.6 behind a DIFF, too). That is between the two of them.
    if word == "export" && others_are_java {
        load.take().into_iter().for_each(|load| history.check(&mut ensemble, load));
    }
    println!("{}", convert(&ensemble.servers[MOVED], word));
    become_kind(&mut ensemble.servers[MOVED], word);
    ensemble.servers[MOVED].restart();
    let load = load.unwrap_or_else(|| Load::start(&ensemble, 2, WRITERS));
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    assert_nobody_has_the_tail(&ensemble);

    // It lacks something: and goes back meanwhile.
    let mut load = Some(Load::start_at(&ensemble, 3, WRITERS, &OTHERS));
    ensemble.servers[MOVED].kill();
    load.iter().for_each(|load| load.go_on(SOME));
    if back == "export" && others_are_java {
        load.take().into_iter().for_each(|load| history.check(&mut ensemble, load));
    }
    println!("{}", convert(&ensemble.servers[MOVED], back));
    become_kind(&mut ensemble.servers[MOVED], back);
    let before = diffs(&ensemble);
    ensemble.servers[MOVED].restart();
    if others_are_java != (back == "export") {
        assert!(diffs(&ensemble) > before, "it lacks only what was written meanwhile");
    }
    let load = load.unwrap_or_else(|| Load::start(&ensemble, 4, WRITERS));
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    assert_no_mismatch(&ensemble.servers);
    // From its disk.
    ensemble.servers[MOVED].kill();
    ensemble.servers[MOVED].restart();
    history.check_again(&mut ensemble);
    assert_nobody_has_the_tail(&ensemble);
    // With transactions of a later epoch behind it no leader asks for a cut.
    let said = ensemble.servers[MOVED].output();
    let words = if word == "import" { "another one is asked for" } else { "Truncating log" };
    assert_eq!(said.contains(words), !writes, "{said}");
}

#[test]
fn what_an_imported_member_has_too_much_goes_under_a_leader_of_apaches() {
    a_tail_goes("import", true, false);
    a_tail_goes("import", true, true);
}

#[test]
fn what_an_imported_member_has_too_much_goes_under_a_leader_of_ours() {
    a_tail_goes("import", false, false);
    a_tail_goes("import", false, true);
}

#[test]
fn what_an_exported_member_has_too_much_goes_under_a_leader_of_apaches() {
    a_tail_goes("export", true, false);
    a_tail_goes("export", true, true);
}

#[test]
fn what_an_exported_member_has_too_much_goes_under_a_leader_of_ours() {
    a_tail_goes("export", false, false);
    a_tail_goes("export", false, true);
}
