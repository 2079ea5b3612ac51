//! A server of the virtual cluster: replica and shard in one loop, as `server/one_loop.rs` runs them.

use super::*;
use crate::shard::{self, Shard};

pub struct Member {
    pub replica: Replica,
    pub shard: Shard,
    pub from_replica: Vec<Output>,
    pub from_shard: Vec<shard::Output>,
    /// What clients sent while no requests were taken.
    stash: VecDeque<(ConnectionId, Vec<u8>)>,
    paused: BTreeSet<ConnectionId>,
}

pub struct Booted {
    pub replica: Replica,
    pub reader: Reader,
    pub history: History,
    pub epochs: EpochRecord,
}

pub struct Node {
    pub member: Option<Member>,
    pub disk: Disk,
    /// Of the process, and of the threads of its disk.
    pub life: u64,
    pub disk_life: u64,
    /// Connections that came in, of peers and of clients.
    pub accepted: u64,
    pub slots: u32,
    /// Who speaks through which connection: client and its turn.
    pub clients: BTreeMap<ConnectionId, (usize, u64)>,
    /// Local nanoseconds per 1000 of true time.
    pub rate: u64,
    /// Its disk and its packets take so many times longer.
    pub slow: u64,
    pub stalled_until: u64,
    pub serves: bool,
    /// Wiped, and without the history ever since.
    pub is_wiped: bool,
    /// It has had all of the history once since its disk was empty.
    pub has_history: bool,
    /// All that its tree and its log are made of, and the same of a snapshot that is sent to it.
    pub log: BTreeMap<Zxid, Bytes>,
    pub coming: BTreeMap<Zxid, Bytes>,
    /// What of it is durable; which epochs are.
    pub durable: Zxid,
    pub epochs: Epochs,
    pub applied: Zxid,
    /// What it has begun with: a snapshot, or nothing.
    pub began_with: Zxid,
    /// Its snapshots, and what was applied while each walked through the tree.
    pub overlaps: Vec<(Zxid, Zxid)>,
    /// The committed configuration, if it is not the first one. Written at once, and no crash takes it.
    pub members: Option<Arc<Config>>,
    has_turn: bool,
}

impl Node {
    pub fn new(rate: u64) -> Node {
        Node {
            member: None,
            disk: Disk::default(),
            life: 0,
            disk_life: 0,
            accepted: 0,
            slots: 0,
            clients: BTreeMap::new(),
            rate,
            slow: 1,
            stalled_until: 0,
            serves: false,
            is_wiped: false,
            has_history: false,
            log: BTreeMap::new(),
            coming: BTreeMap::new(),
            durable: Zxid::ZERO,
            epochs: Epochs::default(),
            applied: Zxid::ZERO,
            began_with: Zxid::ZERO,
            overlaps: vec![],
            members: None,
            has_turn: false,
        }
    }

    pub fn replica(&self) -> Option<&Replica> {
        self.member.as_ref().map(|member| &member.replica)
    }

    fn role(&self) -> Option<&Role> {
        self.replica()?.ensemble.as_deref().map(|ensemble| &ensemble.role)
    }

    /// Of its role.
    pub fn epoch(&self) -> Epoch {
        match self.role() {
            Some(Role::Leading(leading)) => leading.epoch(),
            Some(Role::Learning(learning)) => learning.learner.epoch(),
            _ => Epoch(0),
        }
    }

    pub fn is_settling(&self) -> bool {
        matches!(self.role(), Some(Role::Settling))
    }

    pub fn leads(&self) -> bool {
        matches!(self.role(), Some(Role::Leading(_)))
    }

    pub fn is_due(&self, now: Now) -> bool {
        let Some(Member { replica, shard, .. }) = &self.member else { return false };
        let wakeups = [replica.next_wakeup(), shard.next_wakeup()];
        let is_due = replica.has_work() || replica.has_open_group();
        is_due || wakeups.into_iter().flatten().any(|at| now.instant >= at)
    }
}

fn shard_settings() -> shard::Settings {
    shard::Settings {
        super_digest: None,
        tick: TICK,
        frame_bytes_max: 1 << 20,
        sessionless_timeout: Duration::from_secs(10),
        slow_request: Duration::MAX,
        skip_acl: false,
        turn_budget: limits::TURN_BUDGET,
        bounds: shard::Bounds::default(),
        large_requests: shard::LargeRequests::default(),
        hash_key: HashKey(1, 2),
        is_serving: false,
    }
}

impl World {
    pub fn instant(&self, node: usize) -> Now {
        let local = BEGIN + (self.now - BEGIN) / 1000 * self.nodes[node].rate;
        Now { instant: Instant(local), wall: WallMillis((self.now / 1_000_000) as i64) }
    }

    fn span(&self, node: usize) -> tracing::span::EnteredSpan {
        tracing::info_span!("server", id = node + 1, ms = (self.now - BEGIN) / 1_000_000).entered()
    }

    pub fn start(&mut self, node: usize) {
        let _span = self.span(node);
        if self.nodes[node].member.is_some() {
            return;
        }
        let mishap = self.draw_mishap(node);
        let Some(booted) = self.boot(node, None, mishap) else {
            let delay = self.prng.below(100_000_000);
            return self.at(delay, Event::Start { node });
        };
        let Booted { mut replica, reader, history, epochs } = booted;
        let members = self.members_told(node);
        let me = ServerId(node as i64 + 1);
        let settings = Settings {
            me,
            participant: members.member(me).is_some_and(zab::Member::is_voter),
            members,
            tick: TICK,
            init_limit: INIT_LIMIT,
            sync_limit: SYNC_LIMIT,
            payload_bytes_max: 1 << 20,
            reconfig_enabled: true,
            standalone_enabled: false,
            next: None,
            leader_serves: self.plan.leader_serves,
            read_only_mode: false,
            local_sessions: false,
            local_sessions_upgrading: false,
            history: HistoryLimits { count: self.plan.history_count, bytes: 1 << 20 },
            epochs,
        };
        let now = self.instant(node);
        let mut outputs = vec![];
        replica.join(now, settings, history, &mut outputs);
        let shard = Shard::new(ShardId(0), shard_settings(), reader, now);
        let found = &mut self.nodes[node];
        found.applied = replica.applied();
        found.member = Some(Member {
            replica,
            shard,
            from_replica: outputs,
            from_shard: vec![],
            stash: VecDeque::new(),
            paused: BTreeSet::new(),
        });
        found.life += 1;
        found.disk_life += 1;
        found.slots = 0;
        found.has_turn = false;
        self.want_segment(node);
        self.carry_out(node);
        self.turn(node);
    }

    /// `power`: with all that the kernel had not written.
    pub fn crash(&mut self, node: usize, power: bool) {
        let found = &mut self.nodes[node];
        if found.member.take().is_none() {
            return;
        }
        self.hash.add(&[1, node as u64, self.now]);
        found.serves = false;
        found.disk_life += 1;
        found.disk.crash(power, &mut self.prng);
        if self.plan.has_bug(Canary::EpochForgotten) {
            found.disk.recall_epochs(found.durable.epoch());
        }
        // A host without power says nothing for a while.
        let silence = if power && self.prng.chance(1, 3) { self.prng.below(3_000_000_000) } else { 0 };
        self.close_all(node, silence);
        for (client, turn) in std::mem::take(&mut self.nodes[node].clients).into_values() {
            let delay = 100_000 + self.prng.below(300_000_000);
            self.at(delay, Event::ClientGone { client, turn });
        }
    }

    /// All that was on the disk is gone.
    pub fn wipe(&mut self, node: usize) {
        self.lose(node, Lost::ALL);
    }

    /// Of what was on the disk this is gone.
    pub fn lose(&mut self, node: usize, what: Lost) {
        self.crash(node, true);
        let found = &mut self.nodes[node];
        found.disk.lose(what);
        if what.log {
            let kept = found.disk.snapshot_names().last().copied().unwrap_or(Zxid::ZERO);
            found.log.retain(|zxid, _| *zxid <= kept);
            found.durable = Zxid::ZERO;
        }
        if what.snapshots {
            found.coming.clear();
        }
        // Without a log the record is of no use.
        if what.epochs || what.log {
            found.epochs = Epochs::default();
        }
        // The configuration files are elsewhere; without reconfigurations there is nothing in them that is needed.
        if !self.plan.faults.reconfigure {
            found.members = None;
        }
        found.is_wiped |= what.log;
        found.has_history = false;
    }

    pub fn peer(&mut self, node: usize, input: PeerInput<'_>) {
        let _span = self.span(node);
        let now = self.instant(node);
        let Some(Member { replica, from_replica, .. }) = &mut self.nodes[node].member else { return };
        replica.peer(now, input, from_replica);
        self.carry_out(node);
        self.plan_turn(node);
    }

    pub fn tell(&mut self, node: usize, input: Input) {
        let _span = self.span(node);
        let now = self.instant(node);
        let Some(Member { replica, from_replica, .. }) = &mut self.nodes[node].member else { return };
        replica.step(now, input, from_replica);
        self.carry_out(node);
        self.plan_turn(node);
    }

    /// Of one of its clients, or about one.
    pub fn hear(&mut self, node: usize, input: shard::Input<'_>) {
        let _span = self.span(node);
        let now = self.instant(node);
        let Some(Member { replica, shard, from_shard, stash, paused, .. }) = &mut self.nodes[node].member
        else {
            return;
        };
        if let shard::Input::Received { connection, bytes } = input
            && (!replica.takes_requests() || !stash.is_empty() || paused.contains(&connection))
        {
            return stash.push_back((connection, bytes.to_vec()));
        }
        shard.step(now, input, from_shard);
        self.carry_out(node);
        self.plan_turn(node);
    }

    /// Now, or when more has come together.
    fn plan_turn(&mut self, node: usize) {
        if self.prng.chance(1, 2) {
            return self.turn(node);
        }
        if !std::mem::replace(&mut self.nodes[node].has_turn, true) {
            let (life, slow) = (self.nodes[node].life, self.nodes[node].slow);
            let delay = self.prng.below(100_000) * slow;
            self.at(delay, Event::Turn { node, life });
        }
    }

    pub fn turn(&mut self, node: usize) {
        let _span = self.span(node);
        self.nodes[node].has_turn = false;
        let now = self.instant(node);
        while let Some(Member { replica, from_replica, .. }) = &mut self.nodes[node].member {
            let more = replica.apply_next(from_replica);
            self.carry_out(node);
            if !more {
                break;
            }
        }
        self.take_stash(node);
        for part in 0..3 {
            let Some(member) = &mut self.nodes[node].member else { return };
            let Member { replica, shard, from_replica, from_shard, .. } = member;
            match part {
                0 => shard.step(now, shard::Input::TurnEnd, from_shard),
                1 => {
                    if replica.next_wakeup().is_some_and(|at| now.instant >= at) {
                        replica.step(now, Input::Wakeup, from_replica);
                    }
                    if shard.next_wakeup().is_some_and(|at| now.instant >= at) {
                        shard.step(now, shard::Input::Wakeup, from_shard);
                    }
                }
                _ => {
                    replica.step(now, Input::TurnEnd, from_replica);
                }
            }
            self.carry_out(node);
        }
        let Some(Member { shard, from_shard, .. }) = &mut self.nodes[node].member else { return };
        shard.step(now, shard::Input::TurnEnd, from_shard);
        self.carry_out(node);
    }

    fn take_stash(&mut self, node: usize) {
        let now = self.instant(node);
        let Some(member) = &mut self.nodes[node].member else { return };
        if !member.replica.takes_requests() {
            member.shard.step(now, shard::Input::Deaf, &mut member.from_shard);
            return self.carry_out(node);
        }
        for (connection, bytes) in std::mem::take(&mut member.stash) {
            self.hear_again(node, now, connection, &bytes);
        }
    }

    fn hear_again(&mut self, node: usize, now: Now, connection: ConnectionId, bytes: &[u8]) {
        if !self.nodes[node].clients.contains_key(&connection) {
            return;
        }
        let Some(member) = &mut self.nodes[node].member else { return };
        if !member.replica.takes_requests() || member.paused.contains(&connection) {
            return member.stash.push_back((connection, bytes.to_vec()));
        }
        member.shard.step(now, shard::Input::Received { connection, bytes }, &mut member.from_shard);
        self.carry_out(node);
    }

    pub fn carry_out(&mut self, node: usize) {
        while let Some(member) = &mut self.nodes[node].member {
            if !member.from_shard.is_empty() {
                for output in std::mem::take(&mut member.from_shard) {
                    self.carry_out_shard(node, output);
                }
            } else if !member.from_replica.is_empty() {
                let outputs = std::mem::take(&mut member.from_replica);
                self.carry_out_replica(node, outputs);
            } else {
                return;
            }
        }
    }

    fn carry_out_replica(&mut self, node: usize, outputs: Vec<Output>) {
        let now = self.instant(node);
        let (mut reload, mut notices) = (None, false);
        for output in outputs {
            let Some(member) = &mut self.nodes[node].member else { return };
            let Member { replica, shard, from_shard, .. } = member;
            match output {
                Output::Log(command) => self.log_command(node, command),
                Output::Snapshot(command) => self.snapshot_command(node, command),
                Output::Notify { notice, .. } => {
                    shard.step(now, shard::Input::Notice(notice), from_shard);
                    notices = true;
                }
                Output::Publish { zxid } => {
                    replica.publish(zxid);
                    notices = true;
                    let digest = replica.store().digest();
                    self.on_applied(node, zxid, digest);
                }
                Output::Serve(service) => {
                    let serves = service == crate::messages::Service::All;
                    shard.step(now, shard::Input::Serve(service), from_shard);
                    self.nodes[node].serves = serves;
                    notices = true;
                    if serves {
                        self.on_serving(node);
                    }
                }
                Output::Peer(PeerOutput::PersistEpochs(epochs)) => self.persist_epochs(node, epochs),
                Output::Peer(PeerOutput::Reload { to }) => reload = Some(to),
                Output::Peer(PeerOutput::Configured(config)) => self.nodes[node].members = Some(config),
                Output::Peer(output) => self.carry_out_peer(node, output),
            }
        }
        if let Some(to) = reload {
            self.reload(node, to);
        }
        let Some(Member { shard, from_shard, .. }) = &mut self.nodes[node].member else { return };
        if notices {
            let zxid = shard.published();
            shard.step(now, shard::Input::Published { zxid }, from_shard);
        }
    }

    fn carry_out_shard(&mut self, node: usize, output: shard::Output) {
        let now = self.instant(node);
        let life = self.nodes[node].life;
        let Some(Member { replica, from_replica, paused, .. }) = &mut self.nodes[node].member else { return };
        match output {
            shard::Output::Request(request) => replica.step(now, Input::Request(request), from_replica),
            shard::Output::Send { connection, bytes } => {
                self.send_to_client(node, connection, &bytes);
                self.at(10_000, Event::ClientSent { node, life, connection, buffer: bytes });
            }
            shard::Output::Pause { connection } => {
                paused.insert(connection);
            }
            shard::Output::Resume { connection } => {
                paused.remove(&connection);
            }
            shard::Output::Close { connection } | shard::Output::Abort { connection } => {
                // Behind what is being sent.
                self.at(20_000, Event::ServerClosed { node, life, connection });
            }
            shard::Output::Slow(_) => unreachable!("none is slow enough"),
            shard::Output::Word { .. } => unreachable!("nobody sends words"),
        }
    }
}
