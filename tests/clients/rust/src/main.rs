//! zookeeper-client of crates.io, unchanged, against a server: `ringkeeper-client-rust HOST:PORT`. A check that doesn't hold
//! panics, which ends the program with 101.

use std::time::{Duration, Instant};

use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, AuthUser, Client, CreateMode, CreateOptions, Error, EventType,
    LockOptions, LockPrefix, MultiReadResult, MultiWriteError, Permission, PersistentWatcher,
};

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

/// No wait is longer than this.
const BOUND: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(BOUND, future).await;
    result.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

async fn connect(server: &str) -> Client {
    let client = within(
        "a session",
        Client::connector().with_session_timeout(Duration::from_secs(10)).connect(server),
    );
    client.await.expect("a session")
}

async fn nodes(server: &str) {
    let client = connect(server).await;
    let (stat, sequence) = client.create("/rust", b"one", &PERSISTENT).await.expect("created");
    assert_eq!((stat.version, stat.data_length, sequence.into_i64()), (0, 3, -1));
    assert_eq!(client.create("/rust", b"", &PERSISTENT).await.map(|_| ()), Err(Error::NodeExists));
    assert_eq!(client.create("/none/x", b"", &PERSISTENT).await.map(|_| ()), Err(Error::NoNode));
    let sequential = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let (stat, sequence) = client.create("/rust/s-", b"", &sequential).await.expect("created");
    assert_eq!((stat.ephemeral_owner, sequence.to_string().as_str()), (client.session_id().0, "0000000000"));
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    client.create("/rust/box", b"", &container).await.expect("created");
    let ttl = CreateMode::Persistent.with_acls(Acls::anyone_all()).with_ttl(BOUND);
    client.create("/rust/ttl", b"", &ttl).await.expect("created");
    client.mkdir("/rust/deep/er/still", &PERSISTENT).await.expect("made");
    let stat = client.set_data("/rust", b"three", Some(0)).await.expect("set");
    assert_eq!((stat.version, stat.data_length), (1, 5));
    assert_eq!(client.set_data("/rust", b"", Some(0)).await.map(|_| ()), Err(Error::BadVersion));
    let (data, stat) = client.get_data("/rust").await.expect("read");
    assert_eq!((data.as_slice(), stat.num_children), (&b"three"[..], 4));
    let mut names = client.list_children("/rust").await.expect("listed");
    names.sort();
    assert_eq!(names, ["box", "deep", "s-0000000000", "ttl"]);
    assert_eq!(client.count_descendants_number("/rust").await, Ok(6));
    assert_eq!(client.list_ephemerals("/rust").await, Ok(vec!["/rust/s-0000000000".to_owned()]));
    assert_eq!(client.delete("/rust/deep", None).await, Err(Error::NotEmpty));
    assert_eq!(client.delete("/rust/deep/er/still", Some(3)).await, Err(Error::BadVersion));
    assert_eq!(client.delete("/rust/deep/er/still", Some(0)).await, Ok(()));
    client.sync("/rust").await.expect("synced");
    assert_eq!(client.check_stat("/rust/deep/er/still").await, Ok(None));
    assert_eq!(client.get_config().await.map(|(data, _)| data), Ok(Vec::new()));
    // A client may take another root.
    let rooted = client.chroot("/rust/deep").expect("a path");
    rooted.create("/in", b"", &PERSISTENT).await.expect("created");
    assert_eq!(rooted.list_children("/").await.map(|names| names.len()), Ok(2));
}

async fn expect(watcher: &mut PersistentWatcher, kind: EventType, path: &str) {
    let event = within(path, watcher.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (kind, path));
}

async fn watches(server: &str) {
    let (watcher, writer) = (connect(server).await, connect(server).await);
    let (stat, created) = watcher.check_and_watch_stat("/watched").await.expect("looked");
    assert_eq!(stat, None);
    writer.create("/watched", b"", &PERSISTENT).await.expect("created");
    let event = within("a creation", created.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/watched"));
    let (_, _, changed) = watcher.get_and_watch_data("/watched").await.expect("read");
    let (_, _, children) = watcher.get_and_watch_children("/watched").await.expect("listed");
    writer.set_data("/watched", b"x", None).await.expect("set");
    assert_eq!(within("a change", changed.changed()).await.event_type, EventType::NodeDataChanged);
    writer.create("/watched/e", b"", &EPHEMERAL).await.expect("created");
    assert_eq!(within("a child", children.changed()).await.event_type, EventType::NodeChildrenChanged);
    let (_, _, unheard) = watcher.get_and_watch_data("/watched").await.expect("read");
    drop(unheard); // which takes the watch away

    let mut recursive = watcher.watch("/watched", AddWatchMode::PersistentRecursive).await.expect("watched");
    let mut flat = watcher.watch("/watched", AddWatchMode::Persistent).await.expect("watched");
    writer.create("/watched/a", b"", &PERSISTENT).await.expect("created");
    writer.set_data("/watched/a", b"1", None).await.expect("set");
    writer.set_data("/watched/a", b"2", None).await.expect("set");
    drop(writer); // which ends its session, and deletes /watched/e
    expect(&mut recursive, EventType::NodeCreated, "/watched/a").await;
    expect(&mut recursive, EventType::NodeDataChanged, "/watched/a").await;
    expect(&mut recursive, EventType::NodeDataChanged, "/watched/a").await;
    expect(&mut recursive, EventType::NodeDeleted, "/watched/e").await;
    expect(&mut flat, EventType::NodeChildrenChanged, "/watched").await;
    expect(&mut flat, EventType::NodeChildrenChanged, "/watched").await;
    drop(recursive);
    watcher.set_data("/watched", b"", None).await.expect("set");
    expect(&mut flat, EventType::NodeDataChanged, "/watched").await;
}

async fn multi(server: &str) {
    let client = connect(server).await;
    let mut writer = client.new_multi_writer();
    writer.add_create("/multi", b"0", &PERSISTENT).expect("added");
    writer.add_set_data("/multi", b"1", Some(0)).expect("added");
    writer.add_check_version("/multi", 1).expect("added");
    writer.add_create("/multi/c", b"c", &PERSISTENT).expect("added");
    assert_eq!(writer.commit().await.expect("committed").len(), 4);
    writer.add_set_data("/multi", b"lost", None).expect("added");
    writer.add_delete("/multi/none", None).expect("added");
    let failed = writer.commit().await.expect_err("a part fails");
    assert_eq!(failed, MultiWriteError::OperationFailed { index: 1, source: Error::NoNode });
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/multi").expect("added");
    reader.add_get_children("/multi").expect("added");
    reader.add_get_data("/multi/none").expect("added");
    let read = reader.commit().await.expect("read");
    let [
        MultiReadResult::Data { data, .. },
        MultiReadResult::Children { children },
        MultiReadResult::Error { err },
    ] = &read[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!(
        (data.as_slice(), children.as_slice(), err),
        (&b"1"[..], &["c".to_owned()][..], &Error::NoNode)
    );
}

async fn acls(server: &str) {
    let (owner, stranger) = (connect(server).await, connect(server).await);
    owner.auth("digest", b"crab:secret").await.expect("taken");
    let users = owner.list_auth_users().await.expect("told");
    assert!(users.contains(&AuthUser::new("digest", "crab")), "{users:?}");
    owner.create("/own", b"", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.expect("created");
    assert_eq!(stranger.get_data("/own").await.map(|_| ()), Err(Error::NoAuth));
    let (list, _) = owner.get_acl("/own").await.expect("told");
    assert_eq!((list.len(), list[0].scheme()), (1, "digest"));
    let opened = [list[0].clone(), Acl::new(Permission::READ, AuthId::anyone())];
    let stat = owner.set_acl("/own", &opened, Some(0)).await.expect("set");
    assert_eq!(stat.aversion, 1);
    stranger.get_data("/own").await.expect("readable");
    assert_eq!(stranger.set_data("/own", b"", None).await.map(|_| ()), Err(Error::NoAuth));
    let nobody = CreateMode::Persistent.with_acls(Acls::creator_all());
    assert_eq!(stranger.create("/nobody", b"", &nobody).await.map(|_| ()), Err(Error::InvalidAcl));
}

async fn locks(server: &str) {
    let (first, second) = (connect(server).await, connect(server).await);
    let prefix = || LockPrefix::new_curator("/locks", "l-").expect("a path");
    let options = || LockOptions::new(Acls::anyone_all()).with_ancestor_options(PERSISTENT).expect("options");
    let held = within("the lock", first.lock(prefix(), b"", options())).await.expect("locked");
    // What is done under the lock is done only while it is held.
    held.create("/locked", b"1", &PERSISTENT).await.expect("created");
    let waiting =
        tokio::time::timeout(Duration::from_millis(100), second.lock(prefix(), b"", options())).await;
    assert!(waiting.is_err(), "the lock was held twice");
    drop(held);
    let held = within("the lock", second.lock(prefix(), b"", options())).await.expect("locked");
    held.set_data("/locked", b"2", Some(0)).await.expect("set");
}

/// A session outlives the client that began it, if that one doesn't end it.
async fn sessions(server: &str) {
    let first =
        within("a session", Client::connector().with_detached().connect(server)).await.expect("a session");
    first.create("/session", b"", &EPHEMERAL).await.expect("created");
    let session = first.into_session();
    let id = session.id();
    let again = within("the session", Client::connector().with_session(session).connect(server));
    let again = again.await.expect("the same session");
    assert_eq!(again.session_id(), id);
    let owner = again.check_stat("/session").await.expect("looked").map(|stat| stat.ephemeral_owner);
    assert_eq!(owner, Some(id.0));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = std::env::args().nth(1).expect("usage: ringkeeper-client-rust HOST:PORT");
    macro_rules! run {
        ($($check:ident),*) => {
            $(
                let start = Instant::now();
                println!("{} ...", stringify!($check));
                $check(&server).await;
                println!("ok {}, {} ms", stringify!($check), start.elapsed().as_millis());
            )*
        };
    }
    run!(nodes, watches, multi, acls, locks, sessions);
}
