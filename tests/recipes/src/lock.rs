//! Locks: exclusive (write) and shared (read), with and without the herd effect.
//!
//! Znodes: `/locks/NAME/HOST-write-ID-0000000007`. A reader goes when no writer is before it, a writer when nobody is. Nobody
//! overtakes: readers that come behind a waiting writer wait, too, so that it gets its turn.

use zookeeper_client::Client;

use crate::line::{Place, Waiting};
use crate::session::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared: many at once.
    Read,
    /// Exclusive.
    Write,
}

#[derive(Clone, Debug)]
pub struct Lock {
    client: Client,
    directory: String,
    host: String,
    waiting: Waiting,
}

impl Lock {
    /// `host`: whose znode it is, for people who look at the line.
    pub fn new(client: &Client, name: &str, host: &str) -> Lock {
        let directory = format!("/locks/{name}");
        Lock { client: client.clone(), directory, host: host.to_owned(), waiting: Waiting::ForTheOneBefore }
    }

    /// For comparison: everybody is woken by everybody.
    pub fn with_herd(self) -> Lock {
        Lock { waiting: Waiting::ForTheLine, ..self }
    }

    /// Waits until the lock is ours. Who gives up waiting drops the future, and leaves the line by it.
    pub async fn acquire(&self, kind: Kind) -> Result<Guard> {
        let (word, counts): (_, fn(&str) -> bool) = match kind {
            Kind::Read => ("read", is_write),
            Kind::Write => ("write", |_| true),
        };
        let label = format!("{}-{word}", self.host);
        let place = Place::take(&self.client, &self.directory, &label, b"").await?;
        let wakeups = place.wait(self.waiting, counts).await?;
        Ok(Guard { place, wakeups })
    }
}

/// The host may have dashes itself.
fn is_write(name: &str) -> bool {
    name.rsplit('-').nth(2) == Some("write")
}

/// The lock, held: until it is released or dropped, or the session ends.
#[derive(Debug)]
pub struct Guard {
    place: Place,
    wakeups: u32,
}

impl Guard {
    /// For whatever the lock protects, if it lies outside of ZooKeeper: send it along with each write, and let it refuse
    /// tokens smaller than the largest it has seen. A holder that slept through the end of its session is refused then.
    pub fn token(&self) -> i64 {
        self.place.token()
    }

    /// For writes within ZooKeeper: [`crate::session::set_if`] with this znode as its guard.
    pub fn path(&self) -> &str {
        self.place.path()
    }

    /// How often it was woken while it waited.
    pub fn wakeups(&self) -> u32 {
        self.wakeups
    }

    /// Ends when the lock may be somebody else's soon: stop what is done under it.
    pub async fn in_doubt(&self) {
        self.place.in_doubt().await;
    }

    pub async fn release(self) -> Result<()> {
        self.place.leave().await
    }
}
