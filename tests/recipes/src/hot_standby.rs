//! Hot standby on a replication bus: several replicators register for a task, one runs, the others stand by.
//!
//! Znodes: `/replication/TASK/replicators/HOST-ID-0000000002` with `RUNNING` or `STANDBY` as data, and
//! `/replication/TASK/position`: how far the task has come. The one with the smallest number runs. When its znode goes, the next
//! one goes on from the position.

use zookeeper_client::{Client, Error};

use crate::line::{Place, Waiting};
use crate::session::{PERSISTENT, Result, make_directory, number, retry, set_if};

const STANDBY: &[u8] = b"STANDBY";
const RUNNING: &[u8] = b"RUNNING";

/// One that stands by.
#[derive(Debug)]
pub struct Replicator {
    place: Place,
    position: String,
}

impl Replicator {
    pub async fn register(client: &Client, task: &str, host: &str) -> Result<Replicator> {
        let directory = format!("/replication/{task}");
        make_directory(client, &directory).await?;
        let position = format!("{directory}/position");
        match retry(|| client.create(&position, b"0", &PERSISTENT)).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        }
        let place = Place::take(client, &format!("{directory}/replicators"), host, STANDBY).await?;
        Ok(Replicator { place, position })
    }

    /// Waits until it is our turn.
    pub async fn run(self) -> Result<Running> {
        self.place.wait(Waiting::ForTheOneBefore, |_| true).await?;
        let client = self.place.client().clone();
        retry(|| client.set_data(self.place.path(), RUNNING, None)).await?;
        // The server may not have seen yet how far the one before us came.
        let read = retry(|| async {
            client.sync(&self.position).await?;
            client.get_data(&self.position).await
        });
        let (data, stat) = read.await?;
        let position = std::str::from_utf8(&data).ok().and_then(|text| text.parse().ok());
        let position = position.ok_or_else(|| {
            Error::UnexpectedError(format!("{} holds no number; set it to the next row", self.position))
        })?;
        Ok(Running { standby: self, version: stat.version, position })
    }
}

/// The one that runs.
#[derive(Debug)]
pub struct Running {
    standby: Replicator,
    position: u64,
    /// Of the position's znode.
    version: i32,
}

impl Running {
    /// The next row to replicate.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Says that everything before `position` is replicated. One transaction with a look at our own znode: who doesn't run any more
    /// moves nothing.
    ///
    /// A replicator that dies between its copy of a row and this call leaves a row that the next one copies again. So the
    /// target takes a row twice under the same position, or its own transaction keeps the position, too.
    pub async fn advance(&mut self, position: u64) -> Result<()> {
        let (place, text) = (&self.standby.place, position.to_string());
        let guard = Some(place.path());
        self.version =
            set_if(place.client(), &self.standby.position, text.as_bytes(), self.version, guard).await?;
        self.position = position;
        Ok(())
    }

    /// Larger than that of everybody who ran before: the target refuses rows with a smaller one.
    pub fn token(&self) -> i64 {
        self.standby.place.token()
    }

    pub async fn stop(self) -> Result<()> {
        self.standby.place.leave().await
    }
}

/// Who is registered, in the order of their turns, with what each says of itself.
pub async fn replicators(client: &Client, task: &str) -> Result<Vec<(String, String)>> {
    let directory = format!("/replication/{task}/replicators");
    let mut names = retry(|| client.list_children(&directory)).await?;
    names.sort_by_key(|name| number(name));
    let mut found = vec![];
    for name in names {
        let path = format!("{directory}/{name}");
        match retry(|| client.get_data(&path)).await {
            Ok((state, _)) => {
                let host = name.rsplitn(3, '-').last().unwrap_or_default();
                found.push((host.to_owned(), String::from_utf8_lossy(&state).into_owned()));
            }
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
