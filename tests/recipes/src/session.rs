//! What every recipe stands on: a session, calls that outlive a lost connection, znodes that are found again.

use std::time::Duration;

use tokio::runtime::Handle;
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionState};

pub type Result<T> = std::result::Result<T, Error>;

/// Open to all, as the recipes are about other things. In earnest: `Acls::creator_all()` and `Connector::with_auth`.
pub const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
pub const PERSISTENT_SEQUENTIAL: CreateOptions<'static> =
    CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
pub const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
pub const EPHEMERAL_SEQUENTIAL: CreateOptions<'static> =
    CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

/// After so long a silence a client counts as dead. Shorter: others take over sooner, and a busy host loses its session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

/// `servers`: `host:port,host:port`, with a path behind them for a root of one's own.
pub async fn connect(servers: &str) -> Result<Client> {
    Client::connector().with_session_timeout(SESSION_TIMEOUT).connect(servers).await
}

/// Ends the session, and with it all that is ephemeral in it; without that the server waits until it has expired. `client` is to
/// be the last of its clones.
pub async fn close(client: Client) {
    let mut states = client.state_watcher();
    drop(client);
    let closed = async {
        while !states.peek_state().is_terminated() {
            states.changed().await;
        }
    };
    // Without a server it expires by itself.
    tokio::time::timeout(SESSION_TIMEOUT, closed).await.ok();
}

/// The connection was lost under the call: it may have been carried out, or not. The client says so by either error.
pub fn is_loss(error: &Error) -> bool {
    matches!(error, Error::ConnectionLoss | Error::Custom(_))
}

/// Calls again until a connection lasts for as long as the call. Only for what may be done twice.
///
/// It waits for a connection, and doesn't spin: the client keeps a call until it has one, or fails it when the session is over.
pub async fn retry<T, F: Future<Output = Result<T>>>(mut call: impl FnMut() -> F) -> Result<T> {
    loop {
        match call().await {
            Err(error) if is_loss(&error) => {}
            result => return result,
        }
    }
}

/// What we held is lost, and may be tried anew with a new session: the old one is over or in doubt, somebody has taken our
/// place, or no server was there.
pub fn is_over(error: &Error) -> bool {
    is_loss(error)
        || matches!(error, Error::SessionExpired | Error::NoNode | Error::BadVersion | Error::Timeout)
}

/// Ends when the client can't know any more that its session lives: it is disconnected, if only for a moment.
pub async fn interrupted(client: &Client) {
    let mut states = client.state_watcher();
    if states.peek_state() == SessionState::SyncConnected {
        states.changed().await;
    }
}

/// Makes a directory of znodes. They stay.
pub async fn make_directory(client: &Client, path: &str) -> Result<()> {
    retry(|| client.mkdir(path, &PERSISTENT)).await
}

/// Deletes a znode. That it is gone already is as good: a first try may have done it.
pub async fn remove(client: &Client, path: &str) -> Result<()> {
    match retry(|| client.delete(path, None)).await {
        Err(Error::NoNode) => Ok(()),
        result => result,
    }
}

/// A sequential znode.
#[derive(Clone, Debug)]
pub struct Node {
    pub path: String,
    /// What the server appended to its name: grows with each one below the same parent.
    pub number: i64,
    /// The transaction that created it: grows with each znode of the ensemble, even if the parent is deleted and made anew.
    pub czxid: i64,
}

/// Creates a sequential znode `DIRECTORY/LABEL-ID-NUMBER`, once.
///
/// If the connection is lost under the create, nobody has told us the number. A second create could leave two znodes, and
/// one of them would stand in a line for as long as the session lasts, with nobody behind it. So the name has an id which is
/// drawn once, by which the znode is found if there is one.
pub async fn create_sequential(
    client: &Client,
    directory: &str,
    label: &str,
    data: &[u8],
    options: &CreateOptions<'_>,
) -> Result<Node> {
    let name = format!("{label}-{}-", Uuid::new_v4().simple());
    let prefix = format!("{directory}/{name}");
    loop {
        match client.create(&prefix, data, options).await {
            Ok((stat, sequence)) => {
                let path = format!("{prefix}{sequence}");
                return Ok(Node { path, number: sequence.into_i64(), czxid: stat.czxid });
            }
            Err(Error::NoNode) => make_directory(client, directory).await?,
            Err(error) if is_loss(&error) => {
                if let Some(node) = find(client, directory, &name).await? {
                    return Ok(node);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn find(client: &Client, directory: &str, name: &str) -> Result<Option<Node>> {
    // The server of the new connection may be behind the one that took the create.
    let children = retry(|| async move {
        client.sync(directory).await?;
        client.list_children(directory).await
    });
    let children = match children.await {
        Err(Error::NoNode) => return Ok(None),
        children => children?,
    };
    let Some(child) = children.into_iter().find(|child| child.starts_with(name)) else { return Ok(None) };
    let (path, number) = (format!("{directory}/{child}"), number(&child));
    let stat = retry(|| client.check_stat(&path)).await?;
    Ok(stat.zip(number).map(|(stat, number)| Node { path, number, czxid: stat.czxid }))
}

/// The number at the end of a sequential znode's name.
pub fn number(name: &str) -> Option<i64> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// Creates an ephemeral znode that only one client can have at a time. None: somebody else has it. `data` tells two claims of
/// one session apart.
pub async fn claim(client: &Client, path: &str, data: &[u8]) -> Result<Option<Held>> {
    let mut in_doubt = false;
    loop {
        match client.create(path, data, &EPHEMERAL).await {
            Ok(_) => return Ok(Some(Held::new(client, path))),
            Err(error) if is_loss(&error) => in_doubt = true,
            Err(Error::NodeExists) if in_doubt => match retry(|| client.get_data(path)).await {
                Ok((found, stat)) => {
                    let is_ours = stat.ephemeral_owner == client.session_id().0 && found == data;
                    return Ok(is_ours.then(|| Held::new(client, path)));
                }
                // It has just gone.
                Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            },
            Err(Error::NodeExists) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// As [`claim`], and waits while somebody else has it: maybe this very process in a former life, until that session has expired.
pub async fn claim_in_turn(client: &Client, path: &str, data: &[u8]) -> Result<Held> {
    loop {
        if let Some(held) = claim(client, path, data).await? {
            return Ok(held);
        }
        let (stat, watcher) = retry(|| client.check_and_watch_stat(path)).await?;
        if stat.is_some() {
            watcher.changed().await;
        }
    }
}

/// Sets `data` if nobody has set anything since `version`, and, if a `guard` is named, while that znode is there: one
/// transaction, so there is no moment between the look and the write. The new version.
///
/// `BadVersion`: somebody was faster. `NoNode`: the guard is gone (or the znode).
pub async fn set_if(
    client: &Client,
    path: &str,
    data: &[u8],
    version: i32,
    guard: Option<&str>,
) -> Result<i32> {
    let mut in_doubt = false;
    loop {
        let mut writer = client.new_multi_writer();
        if let Some(guard) = guard {
            writer.add_check_version(guard, -1)?;
        }
        writer.add_set_data(path, data, Some(version))?;
        match writer.commit().await.map_err(Error::from) {
            Ok(_) => return Ok(version + 1),
            Err(error) if is_loss(&error) => in_doubt = true,
            // It may have been our own first try that was faster.
            Err(Error::BadVersion) if in_doubt => {
                let (found, stat) = retry(|| client.get_data(path)).await?;
                let is_ours = stat.version == version + 1 && found == data;
                return if is_ours { Ok(stat.version) } else { Err(Error::BadVersion) };
            }
            Err(error) => return Err(error),
        }
    }
}

/// A znode of ours that is to go when we are through with it, at the latest when this is dropped: it may be that somebody waits
/// for it. Of a process that dies the server deletes it, if it is ephemeral, when the session has expired.
#[derive(Debug)]
pub struct Held {
    client: Client,
    path: String,
    is_held: bool,
}

impl Held {
    pub fn new(client: &Client, path: &str) -> Held {
        Held { client: client.clone(), path: path.to_owned(), is_held: true }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Deletes it, and waits until that is done.
    pub async fn release(mut self) -> Result<()> {
        remove(&self.client, &self.path).await?;
        self.is_held = false;
        Ok(())
    }

    /// Somebody else has deleted it, or will.
    pub fn forget(mut self) {
        self.is_held = false;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a runtime the program is at its end, and so is the session.
        if let (true, Ok(runtime)) = (self.is_held, Handle::try_current()) {
            let (client, path) = (self.client.clone(), std::mem::take(&mut self.path));
            // Nobody is there to be told of an error; a session that is over has deleted it already.
            runtime.spawn(async move { remove(&client, &path).await.ok() });
        }
    }
}
