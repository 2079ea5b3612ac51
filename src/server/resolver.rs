//! Host names to addresses, off the event loop: the system's resolver blocks, for many seconds where a name server is gone.
//!
//! Called by `peers.rs`, on the loop's thread. Each name in question has a thread of its own, so that none waits behind
//! another; who asks for a name in question already gets the same answer. The answer rings the loop's bell.
//! Limits: as many threads as there are different names asked for at once, at most [`NAMES_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::base::Instant;
use crate::io::Waker;

use super::spawn;

/// Names in question at once. Beyond: the name counts as unknown.
const NAMES_MAX: usize = 256;

/// A name that stays unknown is spoken of so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What turns a name into addresses; blocks.
pub type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

pub struct Resolver {
    resolve: Resolve,
    bell: Waker,
    /// Names whose threads have not answered.
    asked: BTreeSet<String>,
    answers_in: Sender<Answer>,
    answers: Receiver<Answer>,
}

#[derive(Debug)]
pub struct Answer {
    pub host: String,
    /// Not empty, or why there is none.
    pub addresses: Result<Vec<IpAddr>, String>,
}

impl Resolver {
    pub fn new(resolve: Resolve, bell: Waker) -> Resolver {
        let (answers_in, answers) = unbounded();
        Resolver { resolve, bell, asked: BTreeSet::new(), answers_in, answers }
    }

    /// [`Resolver::next`] has the answer later.
    pub fn ask(&mut self, host: &str) {
        if self.asked.contains(host) {
            return;
        }
        let unanswerable = |why: String| Answer { host: host.to_owned(), addresses: Err(why) };
        if self.asked.len() >= NAMES_MAX {
            return self.answer_here(unanswerable(format!("{NAMES_MAX} names are being looked up already")));
        }
        let (resolve, bell, to) = (self.resolve, self.bell.clone(), self.answers_in.clone());
        let name = host.to_owned();
        let started = spawn("resolver", move || {
            let addresses = match resolve(&name) {
                Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
                Ok(addresses) => Ok(addresses),
                Err(error) => Err(error.to_string()),
            };
            // Nobody listens where the server ends.
            let _ = to.send(Answer { host: name, addresses });
            bell.wake();
        });
        match started {
            Ok(_) => {
                self.asked.insert(host.to_owned());
            }
            Err(fatal) => self.answer_here(unanswerable(fatal.to_string())),
        }
    }

    pub fn next(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        self.asked.remove(&answer.host);
        Some(answer)
    }

    /// No name is in question.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    fn answer_here(&self, answer: Answer) {
        let _ = self.answers_in.send(answer);
        self.bell.wake();
    }
}

/// Names without an address. A dial asks twice a second, for as long as a host is away: of each name it is told when that
/// begins, every so often while it lasts, and when it ends.
#[derive(Debug, Default)]
pub struct Unknown(BTreeMap<String, Instant>);

impl Unknown {
    /// Whether to tell that `host` has no address.
    pub fn is_news(&mut self, host: &str, now: Instant) -> bool {
        if self.0.get(host).is_some_and(|told| now.since(*told) < TOLD_EVERY) {
            return false;
        }
        self.0.insert(host.to_owned(), now);
        true
    }

    /// Whether to tell that `host` has one: it had none before.
    pub fn is_found(&mut self, host: &str) -> bool {
        self.0.remove(host).is_some()
    }
}

/// The system's resolver; IPv4 before IPv6, as Java has it.
pub fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stays_unknown_is_told_of_once_a_minute() {
        let mut unknown = Unknown::default();
        let begin = crate::io::Clock::instant();
        let told = |unknown: &mut Unknown, millis: u64| {
            unknown.is_news("zk-2", begin + Duration::from_millis(millis))
        };
        let times: Vec<u64> = (0..300_u64).map(|n| n * 500).filter(|at| told(&mut unknown, *at)).collect();
        assert_eq!(times, [0, 60_000, 120_000]);
        assert!(unknown.is_news("zk-3", begin), "another one");
        assert!(unknown.is_found("zk-2") && !unknown.is_found("zk-2"));
        assert!(told(&mut unknown, 150_000), "it is lost anew");
    }
}
