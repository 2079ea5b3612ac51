//! DNS: a name stands for those who provide it and are well.

use std::collections::BTreeSet;

use recipes::dns::{Resolver, provide};

use crate::support::{Demo, connect, eventually, server, until, within};

/// The addresses that a resolver has printed last.
fn resolved(resolver: &Demo) -> BTreeSet<String> {
    let lines = resolver.lines();
    let last = lines.last().and_then(|line| line.strip_prefix("shop:"));
    last.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn until_resolved(resolver: &Demo, addresses: &[&str]) {
    let expected: BTreeSet<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
    until(&format!("{expected:?}"), || (resolved(resolver) == expected).then_some(()));
}

/// Processes: one provider hangs, and is left out while it does; one is killed, and is gone with its session.
#[test]
fn who_hangs_or_dies_is_not_found() {
    let server = server();
    let resolver = Demo::start(&server, "dns", &["resolve", "shop"]);
    let collector = Demo::start(&server, "dns", &["collect", "shop"]);
    let start = || {
        let demo = Demo::start(&server, "dns", &["provide", "shop"]);
        let line = demo.says(" provides shop");
        (demo, line.split(' ').next().unwrap_or_default().to_owned())
    };
    let ((hangs, first), (mut dies, second)) = (start(), start());
    until_resolved(&resolver, &[&first, &second]);
    hangs.signal("STOP");
    // Noticed by the collector, before its session expires.
    collector.says(&format!("{first} down"));
    until_resolved(&resolver, &[&second]);
    hangs.signal("CONT");
    until_resolved(&resolver, &[&first, &second]);
    dies.kill();
    until_resolved(&resolver, &[&first]);
}

/// Whoever takes connections and says nothing isn't well: its process may be coming up, or going down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closes_without_a_word_is_down() {
    let server = server();
    let client = connect(&server).await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let _registration = provide(&client, "shop", &address).await.expect("provided");
    let collector = Demo::start(&server, "dns", &["collect", "shop"]);
    let said = collector.says(&address);
    assert!(said.starts_with(&format!("{address} down")), "{said}");
}

/// Who restarts at its address is found by its new session's znode, and stays when the former session expires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_takes_over_the_address() {
    let server = server();
    let looker = connect(&server).await;
    let mut resolver = Resolver::new(&looker, "shop").await.expect("resolved");
    assert_eq!(resolver.pick(), None);
    // A life that ends without a word: its session goes on until it expires.
    let detached = zookeeper_client::Client::connector().with_detached();
    let former =
        within("a session", detached.connect(&server.address().to_string())).await.expect("a session");
    provide(&former, "shop", "h1:80").await.expect("provided").forget();
    let session = former.into_session().id();
    let client = connect(&server).await;
    let registration = provide(&client, "shop", "h1:80").await.expect("provided");
    let other = provide(&client, "shop", "h2:80").await.expect("provided");
    until("the former session to expire", || {
        (!server.word("dump").contains(&session.to_string())).then_some(())
    });
    while resolver.addresses().len() < 2 {
        within("a change", resolver.changed()).await.expect("resolved");
    }
    let picked: BTreeSet<String> = (0..2).filter_map(|_| resolver.pick().map(str::to_owned)).collect();
    assert_eq!(picked, BTreeSet::from(["h1:80".to_owned(), "h2:80".to_owned()]), "each in turn");
    other.release().await.expect("released");
    drop(registration);
    eventually("both to be gone", || async {
        looker.list_children("/dns/shop/providers").await == Ok(vec![])
    })
    .await;
    while !resolver.addresses().is_empty() {
        within("a change", resolver.changed()).await.expect("resolved");
    }
}
