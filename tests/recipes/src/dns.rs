//! DNS: a service's name stands for the addresses of those who provide it, with a table of how they are.
//!
//! Znodes: `/dns/SERVICE/providers/HOST:PORT`, ephemeral: a provider that dies is gone with its session. And
//! `/dns/SERVICE/status`: written by a collector that asks each provider. It knows of a provider that hangs, whose session lives,
//! and what it says of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use zookeeper_client::{Client, Error, OneshotWatcher};

use crate::session::{Held, PERSISTENT, Result, claim, make_directory, remove, retry};

/// The word with which the status of a provider begins that shouldn't be asked.
const DOWN: &str = "down";

/// Registers an address. It is taken out when what this gives is released or dropped, or when the session expires.
///
/// After a quick restart the znode of our former life may still be there; as the address is ours, so is that. It would go away
/// under us when the former session expires, so it is replaced by one of the new session.
pub async fn provide(client: &Client, service: &str, address: &str) -> Result<Held> {
    let directory = providers(service);
    make_directory(client, &directory).await?;
    let path = format!("{directory}/{address}");
    loop {
        if let Some(held) = claim(client, &path, b"").await? {
            return Ok(held);
        }
        remove(client, &path).await?;
    }
}

/// What the collector found out of each provider: `up …` or `down …`.
pub type Status = BTreeMap<String, String>;

/// Asks every provider and writes the table, if it has changed. To be called at intervals, by one collector (an
/// [election](crate::election) finds it; of two the last one wins, which does no harm).
pub async fn collect<F: Future<Output = std::result::Result<String, String>>>(
    client: &Client,
    service: &str,
    ask: impl Fn(String) -> F,
) -> Result<Status> {
    let directory = providers(service);
    make_directory(client, &directory).await?;
    let mut found = Status::new();
    for address in retry(|| client.list_children(&directory)).await? {
        let status = match ask(address.clone()).await {
            Ok(status) => format!("up {status}"),
            Err(why) => format!("{DOWN} {why}"),
        };
        found.insert(address, status);
    }
    let (path, table) = (status_path(service), write_table(&found));
    match retry(|| client.get_data(&path)).await {
        Ok((old, _)) if old == table.as_bytes() => {}
        Ok(_) => retry(|| client.set_data(&path, table.as_bytes(), None)).await.map(|_| ())?,
        Err(Error::NoNode) => match retry(|| client.create(&path, table.as_bytes(), &PERSISTENT)).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// Keeps the addresses of a service at hand, and follows their changes.
#[derive(Debug)]
pub struct Resolver {
    client: Client,
    service: String,
    addresses: Vec<String>,
    /// Of the providers and of the table, as they were read last.
    watchers: Option<(OneshotWatcher, OneshotWatcher)>,
    turn: AtomicUsize,
}

impl Resolver {
    pub async fn new(client: &Client, service: &str) -> Result<Resolver> {
        make_directory(client, &providers(service)).await?;
        let (client, service) = (client.clone(), service.to_owned());
        let mut resolver =
            Resolver { client, service, addresses: vec![], watchers: None, turn: AtomicUsize::new(0) };
        resolver.read().await?;
        Ok(resolver)
    }

    /// Everybody who provides the service and isn't known to be down.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The next one, each in turn: a balance of the load. An address is a hint: whoever finds nobody there takes the next one.
    pub fn pick(&self) -> Option<&str> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.addresses.get(turn % self.addresses.len().max(1)).map(String::as_str)
    }

    /// Waits for a change of providers or status.
    pub async fn changed(&mut self) -> Result<()> {
        if let Some((providers, status)) = self.watchers.take() {
            // The one that didn't fire is dropped, which takes its watch back.
            tokio::select! {
                _ = providers.changed() => {}
                _ = status.changed() => {}
            }
        }
        self.read().await
    }

    async fn read(&mut self) -> Result<()> {
        let (client, directory) = (&self.client, providers(&self.service));
        let (path, listed) =
            (status_path(&self.service), retry(|| client.list_and_watch_children(&directory)));
        let (mut addresses, providers) = listed.await?;
        // Watched first, and read then: a change between the two fires.
        let (stat, watcher) = retry(|| client.check_and_watch_stat(&path)).await?;
        let status = match stat {
            Some(_) => read_table(&retry(|| client.get_data(&path)).await?.0),
            None => Status::new(),
        };
        addresses.retain(|address| !status.get(address).is_some_and(|status| status.starts_with(DOWN)));
        addresses.sort();
        self.addresses = addresses;
        self.watchers = Some((providers, watcher));
        Ok(())
    }
}

fn providers(service: &str) -> String {
    format!("/dns/{service}/providers")
}

fn status_path(service: &str) -> String {
    format!("/dns/{service}/status")
}

fn write_table(status: &Status) -> String {
    status.iter().map(|(address, status)| format!("{address} {}\n", status.replace('\n', " "))).collect()
}

fn read_table(table: &[u8]) -> Status {
    let text = String::from_utf8_lossy(table);
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    rows.map(|(address, status)| (address.to_owned(), status.to_owned())).collect()
}
