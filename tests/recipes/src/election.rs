//! Election of a master: the first in a line leads, and the next one takes over when its znode goes.
//!
//! Znodes: `/election/NAME/candidate-ID-0000000003`, with the candidate's name as data.

use zookeeper_client::{Client, Error};

use crate::line::{Place, Waiting};
use crate::session::{Result, number, retry};

#[derive(Debug)]
pub struct Candidate {
    place: Place,
}

impl Candidate {
    /// `name` is what the others see of us: an address, mostly.
    pub async fn stand(client: &Client, election: &str, name: &str) -> Result<Candidate> {
        let place = Place::take(client, &directory(election), "candidate", name.as_bytes()).await?;
        Ok(Candidate { place })
    }

    /// Waits until nobody is before us.
    pub async fn elected(&self) -> Result<()> {
        self.place.wait(Waiting::ForTheOneBefore, |_| true).await.map(|_| ())
    }

    /// Does `work` while we lead for certain. None: the connection was lost, and the work was dropped where it stood.
    ///
    /// That is before the session can expire, if this process gets to run at all. A master that stood still for longer than its
    /// session goes on from where it stopped, for a moment: its writes bear [`Candidate::token`], and are refused.
    pub async fn lead<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.place.in_doubt() => None,
            done = work => Some(done),
        }
    }

    /// Larger than each earlier master's.
    pub fn token(&self) -> i64 {
        self.place.token()
    }

    pub async fn resign(self) -> Result<()> {
        self.place.leave().await
    }
}

/// Who leads, as the server we are connected with knows it: it may be a moment old.
pub async fn leader(client: &Client, election: &str) -> Result<Option<String>> {
    let directory = directory(election);
    loop {
        let names = match retry(|| client.list_children(&directory)).await {
            Err(Error::NoNode) => return Ok(None),
            names => names?,
        };
        let first = names.iter().filter_map(|name| Some((number(name)?, name))).min();
        let Some((_, first)) = first else { return Ok(None) };
        let path = format!("{directory}/{first}");
        match retry(|| client.get_data(&path)).await {
            Ok((name, _)) => return Ok(Some(String::from_utf8_lossy(&name).into_owned())),
            // It has just gone: there is another one.
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
}

fn directory(election: &str) -> String {
    format!("/election/{election}")
}
