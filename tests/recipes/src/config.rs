//! Configuration publishing: one publishes, all servers of a cluster follow.
//!
//! A znode holds the whole configuration. An event says that it has changed and not what it is now: it is read, and watched
//! again, in one call. So a follower may miss a version that was replaced at once, and never the last one. After a lost connection
//! the client sets its watches again, and the server fires those whose znode has changed meanwhile.
//!
//! What belongs together goes into one znode, up to 1 MB. Of two znodes a follower would see one new and the other one old.

use zookeeper_client::{Client, Error, OneshotWatcher};

use crate::session::{PERSISTENT, Result, make_directory, retry, set_if};

/// A configuration and its version, which counts its changes. Text, since this is an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub number: i32,
    pub text: String,
}

/// Replaces version `replaced`, or creates the znode if that is None. `BadVersion`, `NodeExists`: somebody else has published
/// meanwhile; read what, and decide anew.
pub async fn publish(client: &Client, path: &str, text: &str, replaced: Option<i32>) -> Result<i32> {
    if let Some(replaced) = replaced {
        return set_if(client, path, text.as_bytes(), replaced, None).await;
    }
    if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
        make_directory(client, parent).await?;
    }
    // If the connection is lost under it, a second try may say that the znode exists: then it isn't known whose it is, and
    // whoever publishes has to look.
    retry(|| client.create(path, text.as_bytes(), &PERSISTENT)).await.map(|(stat, _)| stat.version)
}

pub async fn current(client: &Client, path: &str) -> Result<Option<Version>> {
    match retry(|| client.get_data(path)).await {
        Ok((text, stat)) => Ok(Some(version(text, stat.version))),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Follows a configuration.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    path: String,
    /// Of what was given out last.
    watcher: Option<OneshotWatcher>,
}

impl Follower {
    pub fn new(client: &Client, path: &str) -> Follower {
        Follower { client: client.clone(), path: path.to_owned(), watcher: None }
    }

    /// What it is now, at the first call; then waits for each change. A znode that isn't there yet, or is deleted, is waited for:
    /// the last version stays in force.
    pub async fn next(&mut self) -> Result<Version> {
        loop {
            if let Some(watcher) = self.watcher.take() {
                watcher.changed().await;
            }
            let (client, path) = (&self.client, &self.path);
            match retry(|| client.get_and_watch_data(path)).await {
                Ok((text, stat, watcher)) => {
                    self.watcher = Some(watcher);
                    return Ok(version(text, stat.version));
                }
                Err(Error::NoNode) => {
                    let (stat, watcher) = retry(|| client.check_and_watch_stat(path)).await?;
                    // Otherwise it was created between the two calls, and nothing would fire for that.
                    if stat.is_none() {
                        self.watcher = Some(watcher);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn version(text: Vec<u8>, number: i32) -> Version {
    Version { number, text: String::from_utf8_lossy(&text).into_owned() }
}
