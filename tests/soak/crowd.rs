//! The users of one round, and what is held against them in its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringkeeper::base::Prng;

use crate::holders::{EPHEMERALS, Holder, Reaped};
use crate::members::{Members, SESSION_MS};
use crate::multis::{Multis, Watcher};
use crate::registers::{self, REGISTERS, Registrar};
use crate::support::ensemble::Znode;
use crate::support::{Client, within};
use crate::users::{Field, Traveller, set_out};

const REGISTRARS: usize = 3;
const HOLDERS: usize = 2;
/// The longest session that was left alone has expired, and all is reaped.
const REAPED: Duration = Duration::from_secs(120);

pub struct Crowd {
    field: Arc<Field>,
    registrars: Vec<JoinHandle<Registrar>>,
    holders: Vec<JoinHandle<Holder>>,
    reaped: JoinHandle<Reaped>,
    multis: JoinHandle<Multis>,
    watcher: JoinHandle<Watcher>,
}

/// Of a round: what they have seen.
pub struct Findings {
    field: Arc<Field>,
    registrars: Vec<Registrar>,
    reaped: Reaped,
    multis: Multis,
    watcher: Watcher,
}

impl Crowd {
    pub fn set_out(members: &Members, round: u32, random: &mut Prng) -> Crowd {
        let field = Field::prepare(members, round);
        let running = members.running();
        let mut begun = 0;
        // Spread over all servers.
        let mut next = || {
            begun += 1;
            let traveller = Traveller::open(&field, running[begun % running.len()], SESSION_MS);
            (traveller, Prng::new(random.next()))
        };
        let multis = next();
        let multis = Multis::new(multis.0, multis.1);
        let watcher = next();
        let watcher = Watcher::new(watcher.0, watcher.1);
        let reaped = next();
        let reaped = Reaped::new(reaped.0, reaped.1);
        let registrars = (0..REGISTRARS).map(|me| {
            let (traveller, random) = next();
            Registrar::new(me, traveller, random)
        });
        let registrars: Vec<Registrar> = registrars.collect();
        let holders = (0..HOLDERS).map(|me| {
            let (traveller, random) = next();
            Holder::new(me, traveller, random)
        });
        let holders: Vec<Holder> = holders.collect();
        Crowd {
            registrars: registrars.into_iter().map(set_out).collect(),
            holders: holders.into_iter().map(set_out).collect(),
            reaped: set_out(reaped),
            multis: set_out(multis),
            watcher: set_out(watcher),
            field,
        }
    }

    /// Nobody has ended before the round.
    pub fn assert_under_way(&self) {
        let has_ended = self.registrars.iter().any(JoinHandle::is_finished)
            || self.holders.iter().any(JoinHandle::is_finished)
            || self.reaped.is_finished()
            || self.multis.is_finished()
            || self.watcher.is_finished();
        assert!(!has_ended, "a client has ended: its own check failed");
    }

    /// All serve, and go on serving.
    pub fn stop(self) -> Findings {
        const SOUND: &str = "a client's own checks hold";
        self.field.stop();
        for holder in self.holders {
            holder.join().expect(SOUND).finish();
        }
        Findings {
            registrars: self.registrars.into_iter().map(|registrar| registrar.join().expect(SOUND)).collect(),
            reaped: self.reaped.join().expect(SOUND),
            multis: self.multis.join().expect(SOUND),
            watcher: self.watcher.join().expect(SOUND),
            field: self.field,
        }
    }
}

impl Findings {
    /// Waits until what has to go by itself is gone.
    pub fn await_reaping(&self, members: &Members) {
        let server = &members.cluster.servers[0];
        let ephemerals = EPHEMERALS.trim_start_matches('/');
        within(REAPED, &format!("reaping below {}", self.field.base), || {
            let mut client = Client::connect(server);
            let names = client.children(&self.field.base, false).expect("there");
            client.close();
            let has_to_go = |name: &&String| {
                name.starts_with(ephemerals)
                    || self.reaped.goes.contains(&format!("{}/{name}", self.field.base))
            };
            (!names.iter().any(|name| has_to_go(&name))).then_some(())
        });
    }

    /// Against the tree that all servers have.
    pub fn judge(&self, tree: &BTreeMap<String, Znode>) -> Result<(), String> {
        let tally = &self.field.tally;
        if let Some(lost) = self.reaped.stays.iter().find(|path| !tree.contains_key(*path)) {
            return Err(format!("{lost} is gone, and has to stay"));
        }
        tally.add("reaped", self.reaped.goes.len() as u64);
        self.multis.judge(tree)?;
        tally.add("history entries", self.multis.fates.len() as u64);
        let told = self.watcher.judge(tree)?;
        tally.add("events judged", told);
        let (mut seen, mut unknown) = (vec![], vec![]);
        for registrar in &self.registrars {
            seen.extend(registrar.seen.iter().cloned());
            unknown.extend(registrar.unknown.iter().cloned());
        }
        let last = |register| {
            let znode = &tree[&registers::path(&self.field.base, register)];
            let value = String::from_utf8_lossy(znode.data.as_deref().unwrap_or_default()).into_owned();
            (znode.stat[5] as i32, value)
        };
        let last: Vec<(i32, String)> = (0..REGISTERS).map(last).collect();
        let stale = registers::judge(&seen, &unknown, &last)?;
        tally.add("history entries", (seen.len() + unknown.len()) as u64);
        if stale > 0 {
            tally.add("difference read behind a sync that was behind a write", stale);
        }
        Ok(())
    }
}

/// Nothing else is there: what was taken away in earlier rounds stays away.
pub fn assert_known(tree: &BTreeMap<String, Znode>, round: u32) {
    let tops = [format!("/r{round}w"), format!("/s{round}")];
    let is_known = |path: &String| path == "/" || tops.iter().any(|top| path.starts_with(top.as_str()));
    if let Some(path) = tree.keys().find(|path| !is_known(path)) {
        panic!("{path} is of an earlier round, and was deleted");
    }
}
