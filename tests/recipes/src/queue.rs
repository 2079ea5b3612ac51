//! A queue, first in, first out: any number of producers and consumers.
//!
//! Znodes: `/queues/NAME/items/item-ID-0000000007` with the item as data, and `/queues/NAME/claims/…` of the same name,
//! ephemeral, of the consumer that works on it. An item is deleted when it is done, together with the claim. If its consumer
//! dies, the claim goes with the session, and the item is taken again, before all that came after it.
//!
//! So each item is worked on at least once. A consumer for which twice is too often remembers the ids of what it has done: an
//! item has one for good, even if its producer put it twice as it didn't hear of the first time.

use std::collections::BTreeSet;

use uuid::Uuid;
use zookeeper_client::{Client, Error};

use crate::session::{
    Held, PERSISTENT_SEQUENTIAL, Result, claim, create_sequential, is_loss, make_directory, number, retry,
};

#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    items: String,
    claims: String,
}

impl Queue {
    pub async fn open(client: &Client, name: &str) -> Result<Queue> {
        let (items, claims) = (format!("/queues/{name}/items"), format!("/queues/{name}/claims"));
        make_directory(client, &items).await?;
        make_directory(client, &claims).await?;
        Ok(Queue { client: client.clone(), items, claims })
    }

    /// Puts an item at the end. Its number.
    pub async fn put(&self, data: &[u8]) -> Result<i64> {
        let options = &PERSISTENT_SEQUENTIAL;
        Ok(create_sequential(&self.client, &self.items, "item", data, options).await?.number)
    }

    /// Takes the first item that nobody works on; waits for one.
    pub async fn take(&self) -> Result<Item> {
        let client = &self.client;
        loop {
            let (items, come) = retry(|| client.list_and_watch_children(&self.items)).await?;
            let (claims, freed) = retry(|| client.list_and_watch_children(&self.claims)).await?;
            let claims: BTreeSet<String> = claims.into_iter().collect();
            let mut free: Vec<&String> = items.iter().filter(|name| !claims.contains(*name)).collect();
            free.sort_by_key(|name| number(name));
            for name in free {
                if let Some(item) = self.claim(name).await? {
                    return Ok(item);
                }
            }
            // Who waits for an item is woken by each that comes. With many consumers and few items let them stand in a line
            // (`line.rs`), and only the first one take.
            tokio::select! {
                _ = come.changed() => {}
                _ = freed.changed() => {}
            }
        }
    }

    async fn claim(&self, name: &str) -> Result<Option<Item>> {
        let id = Uuid::new_v4();
        let claimed = claim(&self.client, &format!("{}/{name}", self.claims), id.as_bytes()).await?;
        let Some(claim) = claimed else { return Ok(None) };
        let path = format!("{}/{name}", self.items);
        // From now on only we delete it. But it may have been done before we claimed it.
        match retry(|| self.client.get_data(&path)).await {
            Ok((data, _)) => {
                let id = name.rsplit('-').nth(1).unwrap_or_default().to_owned();
                Ok(Some(Item { data, number: number(name).unwrap_or_default(), id, path, claim }))
            }
            Err(Error::NoNode) => claim.release().await.map(|()| None),
            Err(error) => Err(error),
        }
    }
}

/// An item that we work on. Dropped, it goes back to where it was.
#[derive(Debug)]
pub struct Item {
    pub data: Vec<u8>,
    /// Its place in the queue.
    pub number: i64,
    /// The same whenever it comes.
    pub id: String,
    path: String,
    claim: Held,
}

impl Item {
    /// Takes it out of the queue. `NoNode`: our claim was gone; somebody else works on it, or has done it.
    pub async fn done(self) -> Result<()> {
        let mut in_doubt = false;
        loop {
            let mut writer = self.claim.client().new_multi_writer();
            writer.add_delete(self.claim.path(), None)?;
            writer.add_delete(&self.path, None)?;
            match writer.commit().await.map_err(Error::from) {
                Ok(_) => break,
                // By our first try, of which we didn't hear.
                Err(Error::NoNode) if in_doubt => break,
                Err(error) if is_loss(&error) => in_doubt = true,
                Err(error) => return Err(error),
            }
        }
        self.claim.forget();
        Ok(())
    }
}
