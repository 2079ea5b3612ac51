//! What a run does: everything that its seed decides up front, and the bug that is put in to see whether it is found.

use super::*;

/// A bug of the harness's making. The servers' code doesn't know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// "Durable" is reported when the sync begins.
    AckBeforeDurable,
    /// Leaders hear acknowledgements that nobody has sent.
    CommitWithoutQuorum,
    /// A voter loses its log and keeps its epochs: it doesn't know that it was wiped.
    WipedVoterVotes,
    /// A crash takes the epochs that no transaction in the log speaks of.
    EpochForgotten,
    /// Leaders hear acknowledgements of those who were no voters in the beginning before they are sent.
    NewVotersWithoutQuorum,
    /// A sync of the log has failed, and the server goes on as if it had not.
    FailedSyncIgnored,
}

impl Canary {
    pub const ALL: [Canary; 6] = [
        Canary::AckBeforeDurable,
        Canary::CommitWithoutQuorum,
        Canary::WipedVoterVotes,
        Canary::EpochForgotten,
        Canary::NewVotersWithoutQuorum,
        Canary::FailedSyncIgnored,
    ];

    pub fn parse(text: &str) -> Option<Canary> {
        Canary::ALL.into_iter().find(|canary| format!("{canary:?}") == text)
    }
}

/// Families of faults. Each run has some of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Processes die, hosts lose their power.
    pub crash: bool,
    /// Networks are cut, one way too; single connections break.
    pub cut: bool,
    /// Packets and disks lag, processes stand still.
    pub slow: bool,
    pub disk: DiskFaults,
    /// There is no room on a disk for a while.
    pub full: bool,
    /// A minority of the voters, and observers, lose what their disks held, or a part of it.
    pub wipe: bool,
    /// Clients leave their sessions alone until they expire, and come back to other servers.
    pub leave: bool,
    /// Clients ask for reconfigurations.
    pub reconfigure: bool,
}

impl Faults {
    const ALL: Faults = Faults {
        crash: true,
        cut: true,
        slow: true,
        disk: DiskFaults { log: true, epochs: true, snapshots: true, reading: true },
        full: true,
        wipe: true,
        leave: true,
        reconfigure: true,
    };
}

/// What goes wrong with disks that have room (`disk_faults.rs`).
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// Writes and syncs of the log fail, some of them torn.
    pub log: bool,
    /// The same of the record of epochs.
    pub epochs: bool,
    /// Snapshots can't be written, or named.
    pub snapshots: bool,
    /// What is there can't be read for a while.
    pub reading: bool,
}

impl DiskFaults {
    /// Most of them.
    fn draw(seed: u64) -> DiskFaults {
        let mut prng = Prng::salted(seed, "disk faults");
        let mut draw = || prng.chance(3, 4);
        DiskFaults { log: draw(), epochs: draw(), snapshots: draw(), reading: draw() }
    }
}

/// What of a server's files is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub log: bool,
    pub snapshots: bool,
    pub epochs: bool,
}

impl Lost {
    pub const ALL: Lost = Lost { log: true, snapshots: true, epochs: true };
    /// And not those without which it does not start: a log without the snapshots below it is refused.
    pub const SOME: [Lost; 4] = [
        Lost { epochs: false, ..Lost::ALL },
        // The disk of the log, with and without its record.
        Lost { snapshots: false, ..Lost::ALL },
        Lost { log: true, snapshots: false, epochs: false },
        Lost { log: false, snapshots: false, epochs: true },
    ];

    pub fn draw(prng: &mut Prng) -> Lost {
        if prng.chance(1, 2) { Lost::ALL } else { Lost::SOME[prng.below(4) as usize] }
    }
}

/// One group to three; some voters count for more than others, some for nothing.
fn draw_hierarchy(prng: &mut Prng, voters: usize) -> String {
    let groups = 1 + prng.below(3) as usize;
    let mut lines = vec![];
    for group in 0..groups {
        let ids: Vec<String> = (group..voters).step_by(groups).map(|at| (at + 1).to_string()).collect();
        lines.push(format!("group.{}={}", group + 1, ids.join(":")));
    }
    for at in 0..voters {
        // The first of each group has some: a group without weight does not count.
        let weight = if at < groups { 1 + prng.below(2) } else { [0, 1, 1, 1, 2][prng.below(5) as usize] };
        lines.push(format!("weight.{}={weight}", at + 1));
    }
    lines.join("\n") + "\n"
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub voters: usize,
    pub observers: usize,
    /// Servers that run and are in no configuration in the beginning.
    pub joiners: usize,
    pub history_count: usize,
    pub clients: usize,
    pub faults: Faults,
    /// How often a fault comes: one in so many events.
    pub rarity: u64,
    /// Clocks run between 90 and 110 % of true time.
    pub skewed: bool,
    pub canary: Option<Canary>,
    /// False: all that is done to give a canary its chance, and no bug.
    pub is_buggy: bool,
    /// Groups and weights of the first configuration, as it has them; empty where all voters are equal.
    pub hierarchy: String,
    /// `leaderServes`.
    pub leader_serves: bool,
    /// Of the servers' own snapshots, in bytes per second; 0 is as fast as they can.
    pub snapshot_pace: u64,
    /// [`Plan::of_all`] was asked for, and not drawn.
    pub is_forced: bool,
    /// Whether what goes over the wires is held against the disks. Off for canaries, whose harm must be seen without it.
    pub taps: bool,
}

impl Plan {
    /// One run in eight has everything at once.
    pub fn draw(seed: u64) -> Plan {
        if seed % 8 == 5 { Plan::of_all(seed) } else { Plan::of_some(seed) }
    }

    /// Five or seven voters with observers, everybody's clock of its own speed, and all that can go wrong.
    pub fn of_all(seed: u64) -> Plan {
        let mut plan = Plan::of_some(seed);
        let mut prng = Prng::salted(seed, "all");
        plan.voters = [5, 7][(seed / 8 % 2) as usize];
        plan.observers = 1 + prng.below(2) as usize;
        plan.skewed = true;
        plan.faults = Faults::ALL;
        (plan.hierarchy, plan.joiners) = (String::new(), prng.below(3) as usize);
        if prng.chance(1, 4) {
            plan.hierarchy = draw_hierarchy(&mut prng, plan.voters);
            plan.faults.reconfigure = false;
            plan.joiners = 0;
        }
        plan
    }

    fn of_some(seed: u64) -> Plan {
        let mut prng = Prng::salted(seed, "cluster");
        let voters = [1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7][prng.below(11) as usize];
        let observers = [0, 0, 1, 2][prng.below(4) as usize];
        let calm = prng.chance(1, 5);
        let mut draw = || if calm { prng.chance(1, 4) } else { prng.chance(3, 4) };
        let faults = Faults {
            crash: draw(),
            cut: draw(),
            slow: draw(),
            disk: if draw() { DiskFaults::draw(seed) } else { DiskFaults::default() },
            full: draw(),
            wipe: draw(),
            leave: draw(),
            reconfigure: false,
        };
        let mut plan = Plan {
            seed,
            voters,
            observers,
            joiners: 0,
            history_count: [3, 500][prng.below(2) as usize],
            clients: 3 + prng.below(3) as usize,
            faults,
            rarity: [300, 600, 1500][prng.below(3) as usize],
            skewed: prng.chance(1, 2),
            canary: None,
            is_buggy: true,
            hierarchy: String::new(),
            leader_serves: true,
            snapshot_pace: 0,
            is_forced: false,
            taps: true,
        };
        if prng.chance(1, 2) {
            plan.faults.reconfigure = true;
            plan.joiners = [0, 1, 1, 2][prng.below(4) as usize];
        }
        // Of a stream of its own: the other runs stay what they were.
        let mut prng = Prng::salted(seed, "hierarchy");
        if voters >= 3 && prng.chance(1, 4) {
            plan.hierarchy = draw_hierarchy(&mut prng, voters);
            // Who joins would have to be in a group.
            plan.faults.reconfigure = false;
            plan.joiners = 0;
        }
        plan
    }

    /// A run in which this bug has every chance to do harm.
    pub fn of_canary(seed: u64, canary: Canary) -> Plan {
        let mut plan = Plan::of_some(seed);
        plan.voters = 3;
        plan.observers = 0;
        plan.joiners = 0;
        plan.hierarchy.clear();
        plan.history_count = 500;
        plan.skewed = false;
        plan.taps = false;
        plan.rarity = 200;
        plan.canary = Some(canary);
        let wipe = canary == Canary::WipedVoterVotes;
        plan.faults = Faults { crash: !wipe, cut: !wipe, wipe, ..Faults::default() };
        if canary == Canary::NewVotersWithoutQuorum {
            // What is held against the disks is whether the quorums are those of the right configuration.
            plan.taps = true;
            plan.joiners = 2;
            plan.faults = Faults { reconfigure: true, ..Faults::default() };
        }
        plan.faults.disk.log = canary == Canary::FailedSyncIgnored;
        plan
    }

    /// The same run with servers that are as they should be.
    pub fn without_bug(self) -> Plan {
        Plan { is_buggy: false, ..self }
    }

    pub fn has_bug(&self, canary: Canary) -> bool {
        self.is_buggy && self.canary == Some(canary)
    }

    /// Nothing happens but what a test does.
    pub fn quiet(voters: usize, observers: usize) -> Plan {
        Plan {
            seed: 1,
            voters,
            observers,
            joiners: 0,
            history_count: 500,
            clients: 0,
            faults: Faults::default(),
            rarity: u64::MAX,
            skewed: false,
            canary: None,
            is_buggy: true,
            hierarchy: String::new(),
            leader_serves: true,
            snapshot_pace: 0,
            is_forced: false,
            taps: true,
        }
    }

    pub fn replay(&self) -> String {
        let mut canary = self.canary.map_or(String::new(), |canary| format!("CLUSTER_CANARY={canary:?} "));
        if self.is_forced {
            canary += "CLUSTER_ALL=1 ";
        }
        if !self.is_buggy {
            canary += "CLUSTER_BUG=0 ";
        }
        format!("{canary}CLUSTER_SEED={} cargo test --lib ensemble::cluster_test::members", self.seed)
    }

    pub fn node_count(&self) -> usize {
        self.voters + self.observers + self.joiners
    }

    /// In the first configuration.
    pub fn is_member(&self, node: usize) -> bool {
        node < self.voters + self.observers
    }

    /// In the first configuration.
    pub fn is_voter(&self, node: usize) -> bool {
        node < self.voters
    }
}
