//! Log collectors: the hosts whose logs are collected are shared out among the collectors, and anew when either change.
//!
//! Znodes: `/logs/collectors/NAME` (ephemeral) and `/logs/sources/HOST`, with what each says of itself as data, and
//! `/logs/owners/HOST`: ephemeral, of the collector that collects from that host.
//!
//! Nobody assigns: everybody works out the same shares from the same two lists. As one may see a list later than another, a share
//! is only a wish. The owner's znode decides: there is one per host, whoever gives up a host deletes it first, and whoever is
//! to take it over waits for that. So no host has two collectors, not for a moment.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use zookeeper_client::{Client, Error};

use crate::session::{Held, PERSISTENT, Result, claim, claim_in_turn, make_directory, retry};

const COLLECTORS: &str = "/logs/collectors";
const SOURCES: &str = "/logs/sources";
const OWNERS: &str = "/logs/owners";

/// Registers a host whose logs are to be collected, or sets its status.
pub async fn report_source(client: &Client, host: &str, status: &str) -> Result<()> {
    make_directory(client, SOURCES).await?;
    let path = format!("{SOURCES}/{host}");
    match retry(|| client.create(&path, status.as_bytes(), &PERSISTENT)).await {
        Ok(_) => Ok(()),
        Err(Error::NodeExists) => retry(|| client.set_data(&path, status.as_bytes(), None)).await.map(|_| ()),
        Err(error) => Err(error),
    }
}

/// Who collects from which host now.
pub async fn owners(client: &Client) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let hosts = match retry(|| client.list_children(OWNERS)).await {
        // No collector has ever been there.
        Err(Error::NoNode) => return Ok(found),
        hosts => hosts?,
    };
    for host in hosts {
        match retry(|| client.get_data(&format!("{OWNERS}/{host}"))).await {
            Ok((owner, _)) => {
                let owner = String::from_utf8_lossy(&owner);
                found.insert(host, owner.split(' ').next().unwrap_or_default().to_owned());
            }
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[derive(Debug)]
pub struct Collector {
    client: Client,
    name: String,
    registration: Held,
    /// What is written into the owners' znodes: the name, and an id of this life.
    mark: String,
    owned: BTreeMap<String, Held>,
}

impl Collector {
    /// Waits while somebody has that name, which may be this process in a former life.
    pub async fn join(client: &Client, name: &str) -> Result<Collector> {
        for directory in [COLLECTORS, SOURCES, OWNERS] {
            make_directory(client, directory).await?;
        }
        let path = format!("{COLLECTORS}/{name}");
        let registration = claim_in_turn(client, &path, b"started").await?;
        let mark = format!("{name} {}", Uuid::new_v4());
        let (client, name) = (client.clone(), name.to_owned());
        Ok(Collector { client, name, registration, mark, owned: BTreeMap::new() })
    }

    /// What it collects from now.
    pub fn hosts(&self) -> BTreeSet<&str> {
        self.owned.keys().map(String::as_str).collect()
    }

    /// For those who watch over the collectors: bytes collected, processor, memory.
    pub async fn report(&self, status: &str) -> Result<()> {
        retry(|| self.client.set_data(self.registration.path(), status.as_bytes(), None)).await.map(|_| ())
    }

    /// Takes part in sharing out until a share has changed. `stop` is called before a host is given up: nothing may be collected
    /// from it when that returns. From new hosts of [`Collector::hosts`] it is collected when this returns.
    pub async fn rebalance(&mut self, mut stop: impl FnMut(&str)) -> Result<()> {
        let before: Vec<String> = self.owned.keys().cloned().collect();
        loop {
            let client = &self.client;
            let (collectors, others) = retry(|| client.list_and_watch_children(COLLECTORS)).await?;
            let (sources, hosts) = retry(|| client.list_and_watch_children(SOURCES)).await?;
            let (_, owners) = retry(|| client.list_and_watch_children(OWNERS)).await?;
            let share = share(collectors, sources, &self.name).ok_or(Error::NoNode)?;
            let owned = std::mem::take(&mut self.owned).into_iter();
            let (kept, given_up): (BTreeMap<_, _>, BTreeMap<_, _>) =
                owned.partition(|(host, _)| share.contains(host));
            self.owned = kept;
            // Before the first wait: whoever is dropped or fails in the middle of giving up gives up the rest by that.
            given_up.keys().for_each(|host| stop(host));
            for owner in given_up.into_values() {
                owner.release().await?;
            }
            for host in share {
                if !self.owned.contains_key(&host) {
                    let path = format!("{OWNERS}/{host}");
                    // Whoever has it gives it up, or dies: the watch on the owners tells.
                    if let Some(owner) = claim(client, &path, self.mark.as_bytes()).await? {
                        self.owned.insert(host, owner);
                    }
                }
            }
            if !self.owned.keys().eq(before.iter()) {
                return Ok(());
            }
            tokio::select! {
                _ = others.changed() => {}
                _ = hosts.changed() => {}
                _ = owners.changed() => {}
            }
        }
    }
}

/// Every n-th host in the order of their names: shares differ by one at most. None: we aren't among the collectors.
fn share(mut collectors: Vec<String>, mut sources: Vec<String>, me: &str) -> Option<BTreeSet<String>> {
    collectors.sort();
    sources.sort();
    let rank = collectors.iter().position(|name| name == me)?;
    Some(sources.into_iter().skip(rank).step_by(collectors.len()).collect())
}
