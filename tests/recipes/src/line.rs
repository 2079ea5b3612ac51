//! A line that clients stand in: an ephemeral sequential znode each, and whoever has the smallest number is first.
//!
//! The lock, the election and the hot standby are lines. Nobody has to keep order: the server gives out the numbers, and deletes
//! the znode of a client that dies.

use zookeeper_client::{Client, Error};

use crate::session::{
    EPHEMERAL_SEQUENTIAL, Held, Node, Result, create_sequential, interrupted, number, retry,
};

/// A place in the line. Dropped, it is given up.
#[derive(Debug)]
pub struct Place {
    held: Held,
    directory: String,
    number: i64,
    token: i64,
}

/// Whom a client that waits watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The whole line: each change of it wakes everybody who waits, and all but one have to wait on. With n clients waiting
    /// that is n events and n reads of the line per change: the herd effect.
    ForTheLine,
    /// Only the last one of those who have to go first: its end wakes one client.
    ForTheOneBefore,
}

impl Place {
    /// Takes a place at the end. `label` is a part of the znode's name, for [`Place::wait`] and for people.
    pub async fn take(client: &Client, directory: &str, label: &str, data: &[u8]) -> Result<Place> {
        let (client, directory) = (client.clone(), directory.to_owned());
        let (label, data) = (label.to_owned(), data.to_vec());
        let create = async move {
            let node = create_sequential(&client, &directory, &label, &data, &EPHEMERAL_SEQUENTIAL).await?;
            let Node { path, number, czxid } = node;
            Ok(Place { held: Held::new(&client, &path), directory, number, token: czxid })
        };
        // A task of its own: who gives up in the middle of the create leaves a place behind, which the task drops.
        tokio::spawn(create).await.expect("nothing in it panics, and nobody aborts it")
    }

    /// Waits until nobody is before us whose name `counts`. How often it was woken for that.
    pub async fn wait(&self, waiting: Waiting, counts: fn(&str) -> bool) -> Result<u32> {
        let client = self.held.client();
        let mut wakeups = 0;
        loop {
            let watcher = match waiting {
                Waiting::ForTheLine => {
                    let listed = retry(|| client.list_and_watch_children(&self.directory)).await?;
                    let (names, watcher) = listed;
                    if self.last_before(&names, counts)?.is_none() {
                        return Ok(wakeups);
                    }
                    watcher
                }
                Waiting::ForTheOneBefore => {
                    let names = retry(|| client.list_children(&self.directory)).await?;
                    let Some(name) = self.last_before(&names, counts)? else { return Ok(wakeups) };
                    let path = format!("{}/{name}", self.directory);
                    // Not `exists`: of a znode that is gone that would leave a watch which nothing ever fires.
                    match retry(|| client.get_and_watch_data(&path)).await {
                        Ok((_, _, watcher)) => watcher,
                        Err(Error::NoNode) => continue,
                        Err(error) => return Err(error),
                    }
                }
            };
            // When the session ends it is woken, too, and the next call says so.
            watcher.changed().await;
            wakeups += 1;
            // Round again: the one before may have given up its place, with others still before it.
        }
    }

    /// The last one before us that counts. `NoNode`: our own place is gone; somebody has deleted it.
    fn last_before(&self, names: &[String], counts: fn(&str) -> bool) -> Result<Option<String>> {
        let numbered = || names.iter().filter_map(|name| Some((number(name)?, name)));
        if !numbered().any(|(number, _)| number == self.number) {
            return Err(Error::NoNode);
        }
        let before = numbered().filter(|(number, name)| *number < self.number && counts(name));
        Ok(before.max().map(|(_, name)| name.clone()))
    }

    /// Grows with each place that is taken anywhere in the ensemble: a resource that has seen a token refuses smaller ones, and
    /// so whoever comes too late. It is the czxid and not the number in the name, which begins at 0 again if the directory is
    /// deleted.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// The znode.
    pub fn path(&self) -> &str {
        self.held.path()
    }

    pub fn client(&self) -> &Client {
        self.held.client()
    }

    /// Ends when it isn't known any more that the place is still ours.
    pub async fn in_doubt(&self) {
        interrupted(self.held.client()).await;
    }

    /// Gives it up.
    pub async fn leave(self) -> Result<()> {
        self.held.release().await
    }
}
