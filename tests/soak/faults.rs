//! What is done to the servers, drawn from the seed.

use std::time::Duration;

use ringkeeper::base::Prng;

use crate::members::{GUEST, Members, OBSERVER, VOTERS};

/// Longer than a silent server is waited for.
const LONG_MS: u64 = 8_000;
const BRIEF_MS: u64 = 1_500;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillFollower,
    KillLeader,
    KillTwice,
    KillAll,
    Terminate,
    StandStillBriefly,
    StandStillLong,
    WipeObserver,
    WipeVoter,
    JoinOrLeave,
}

/// With their weights.
const FAULTS: [(Fault, u64); 10] = [
    (Fault::KillFollower, 4),
    (Fault::KillLeader, 4),
    (Fault::KillTwice, 3),
    (Fault::KillAll, 1),
    (Fault::Terminate, 2),
    (Fault::StandStillBriefly, 2),
    (Fault::StandStillLong, 2),
    (Fault::WipeObserver, 2),
    (Fault::WipeVoter, 2),
    (Fault::JoinOrLeave, 3),
];

fn draw(random: &mut Prng) -> Fault {
    let mut number = random.below(FAULTS.iter().map(|(_, weight)| weight).sum());
    for (fault, weight) in FAULTS {
        if number < weight {
            return fault;
        }
        number -= weight;
    }
    unreachable!("the weights are their sum")
}

fn one_of(random: &mut Prng, places: &[usize]) -> usize {
    places[random.below(places.len() as u64) as usize]
}

fn linger(members: &Members, random: &mut Prng, longest_ms: u64) {
    members.gate.linger(Duration::from_millis(random.below(longest_ms)));
}

/// One of them, from the first moment until all serve again.
pub fn strike(members: &mut Members, random: &mut Prng) {
    let leader = members.settle();
    let fault = draw(random);
    let note = |members: &Members, what: &str, at: usize| {
        let role = if at == leader {
            "leader"
        } else if at < VOTERS {
            "follower"
        } else {
            "observer"
        };
        let kind = members.kinds[at].name();
        members.tally.count(&format!("fault {what} {role} {kind}"));
        members.tally.note(&format!("{what}: {} ({role})", members.name(at)));
    };
    match fault {
        Fault::KillFollower => {
            let others: Vec<usize> = members.running().into_iter().filter(|at| *at != leader).collect();
            let at = one_of(random, &others);
            note(members, "kill", at);
            kill_and_restart(members, random, at);
        }
        Fault::KillLeader => {
            note(members, "kill", leader);
            kill_and_restart(members, random, leader);
        }
        Fault::KillTwice => {
            let ours: Vec<usize> =
                members.running().into_iter().filter(|at| !members.is_apache(*at) && *at != leader).collect();
            let at = one_of(random, &ours);
            note(members, "kill while it synchronises", at);
            members.kill(at);
            linger(members, random, 2_000);
            members.cluster.servers[at].spawn();
            linger(members, random, 1_000);
            members.kill(at);
            members.rejoin(at);
        }
        Fault::KillAll => {
            members.tally.note("kill all");
            kill_all(members, random);
        }
        Fault::Terminate => {
            let at = one_of(random, &members.running());
            note(members, "terminate", at);
            members.cluster.servers[at].signal("TERM");
            members.cluster.servers[at].wait_for_exit();
            members.kill(at);
            linger(members, random, 2_000);
            members.rejoin(at);
        }
        Fault::StandStillBriefly => {
            let at = one_of(random, &members.running());
            note(members, "stand still briefly", at);
            members.cluster.servers[at].signal("STOP");
            linger(members, random, BRIEF_MS);
            members.cluster.servers[at].signal("CONT");
            members.settle();
        }
        Fault::StandStillLong => {
            let at = one_of(random, &members.running());
            note(members, "stand still long", at);
            stand_still(members, random, at);
        }
        Fault::WipeObserver => {
            let observers: Vec<usize> =
                [OBSERVER, GUEST].into_iter().filter(|at| members.is_running(*at)).collect();
            let at = one_of(random, &observers);
            note(members, "wipe", at);
            wipe(members, at);
        }
        Fault::WipeVoter => {
            // All others serve, and nothing is done to them until it follows.
            let followers: Vec<usize> = (0..VOTERS).filter(|at| *at != leader).collect();
            let at = one_of(random, &followers);
            note(members, "wipe", at);
            wipe(members, at);
        }
        Fault::JoinOrLeave => {
            let asked = one_of(random, &[0, 1, 2, OBSERVER]) + 1;
            if members.is_running(GUEST) {
                note(members, "leave", GUEST);
                members.dismiss(asked);
            } else {
                members.invite(asked, random);
                note(members, "join", GUEST);
            }
        }
    }
}

/// Nobody has a leader for a while, and all that is known is on disks.
pub fn kill_all(members: &mut Members, random: &mut Prng) {
    members.tally.count("fault kill all");
    if (0..VOTERS).filter(|at| members.is_apache(*at)).count() > 1 {
        members.tally.count("pauses for Apache's");
        members.gate.close();
    }
    let running = members.running();
    running.iter().for_each(|at| members.kill(*at));
    linger(members, random, 2_000);
    running.iter().for_each(|at| members.cluster.servers[*at].spawn());
    members.settle();
    members.gate.open();
}

/// The others go on without it for a while, under another leader if it led.
fn kill_and_restart(members: &mut Members, random: &mut Prng, at: usize) {
    members.kill(at);
    if random.chance(3, 4) {
        members.settle();
        linger(members, random, 3_000);
    }
    members.rejoin(at);
}

/// Not until all others serve: whoever has elected it waits for it as long as initLimit, and its clients wait, too.
fn stand_still(members: &mut Members, random: &mut Prng, at: usize) {
    members.cluster.servers[at].signal("STOP");
    members.gate.linger(Duration::from_millis(LONG_MS));
    linger(members, random, 2_000);
    members.look_who_leads();
    members.carefully(at, |members| members.cluster.servers[at].signal("CONT"));
}

fn wipe(members: &mut Members, at: usize) {
    members.kill(at);
    members.cluster.wipe(at);
    members.rejoin(at);
}
