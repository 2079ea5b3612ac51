//! A barrier: nobody goes on before all are there, and nobody goes home before all are through.
//!
//! Znodes: `/barriers/NAME/members/MEMBER`, ephemeral, and `/barriers/NAME/ready`, which whoever finds the number complete
//! creates. All wait for `ready` alone: a member that comes wakes nobody. A barrier is passed once; the next round has another name.

use zookeeper_client::{Client, Error};

use crate::session::{Held, PERSISTENT, Result, claim_in_turn, make_directory, retry};

#[derive(Clone, Debug)]
pub struct Barrier {
    client: Client,
    directory: String,
    size: usize,
}

impl Barrier {
    /// `size`: how many have to be there.
    pub fn new(client: &Client, name: &str, size: usize) -> Barrier {
        Barrier { client: client.clone(), directory: format!("/barriers/{name}"), size }
    }

    /// Says that `member` is there, and waits until all are. Their names differ; a former life of this process is waited for,
    /// until its session has expired.
    ///
    /// Who dies while it waits is there no longer: the others wait for somebody in its place.
    pub async fn enter(&self, member: &str) -> Result<Inside> {
        let (client, ready) = (&self.client, format!("{}/ready", self.directory));
        let members = format!("{}/members", self.directory);
        make_directory(client, &members).await?;
        let held = claim_in_turn(client, &format!("{members}/{member}"), b"").await?;
        loop {
            // Watched before it is counted: whoever completes the number after our count creates `ready` after it.
            let (stat, watcher) = retry(|| client.check_and_watch_stat(&ready)).await?;
            if stat.is_some() {
                return Ok(Inside { held, members });
            }
            if retry(|| client.list_children(&members)).await?.len() >= self.size {
                match retry(|| client.create(&ready, b"", &PERSISTENT)).await {
                    Ok(_) | Err(Error::NodeExists) => continue,
                    Err(error) => return Err(error),
                }
            }
            watcher.changed().await;
        }
    }
}

/// A member that has passed the barrier.
#[derive(Debug)]
pub struct Inside {
    held: Held,
    members: String,
}

impl Inside {
    /// Says that we are through, and waits until all are, or have died.
    pub async fn leave(self) -> Result<()> {
        let Inside { held, members } = self;
        let client = held.client().clone();
        held.release().await?;
        loop {
            let left = retry(|| client.list_children(&members)).await?;
            // The last one by name: all watch the same one, and are woken once by it, not by each.
            let Some(last) = left.into_iter().max() else { return Ok(()) };
            match retry(|| client.get_and_watch_data(&format!("{members}/{last}"))).await {
                Ok((_, _, watcher)) => {
                    watcher.changed().await;
                }
                Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
