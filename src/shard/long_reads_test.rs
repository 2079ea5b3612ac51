//! Long reads: exact, in order, one at a time, beside others.

use crate::base::limits;
use crate::messages::Request;
use crate::shard::Input;
use crate::shard::testing::{Bench, Told};
use crate::wire::client::header::encode_request;
use crate::wire::client::{
    AuthPacket, ExistsRequest, GetAllChildrenNumberRequest, GetChildrenRequest, GetChildrenResponse,
    GetDataRequest, SetDataRequest,
};
use crate::wire::{Decode, Opcode, OwnedAcl};

const MANY: usize = 3 * limits::TURN_BUDGET;

/// `/many` with [`MANY`] children, of which the first has one.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.world.create("/many", b"");
    for child in 0..MANY {
        bench.world.create(&format!("/many/{child}"), b"");
    }
    bench.write(None, |world| world.create("/many/0/below", b""));
    bench
}

fn list(watch: bool) -> GetChildrenRequest<'static> {
    GetChildrenRequest { path: "/many".into(), watch }
}

fn count() -> GetAllChildrenNumberRequest<'static> {
    GetAllChildrenNumberRequest { path: "/many".into() }
}

/// Turns until nothing is left to go on with.
fn turns(bench: &mut Bench) -> usize {
    let mut turns = 0;
    while bench.shard.state.has_long_work() {
        assert_eq!(
            bench.shard.next_wakeup(),
            Some(bench.now.instant),
            "the driver is asked to come back at once"
        );
        bench.step(Input::Wakeup);
        bench.end_turn();
        turns += 1;
        assert!(turns < 1000, "it comes to an end");
    }
    turns
}

fn names(told: &Told) -> Vec<String> {
    let Told::Reply { body, err: 0, .. } = told else { panic!("no list: {told:?}") };
    let response = GetChildrenResponse::parse(body).expect("a list");
    response.children.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_long_list_takes_turns_and_others_are_served_meanwhile() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.send(one, 1, Opcode::GetChildren, &list(false));
    assert_eq!(bench.xids(one), Vec::<i32>::new());
    bench.send(two, 1, Opcode::GetData, &GetDataRequest { path: "/many".into(), watch: false });
    assert_eq!(bench.xids(two), [1]);
    assert!(turns(&mut bench) >= 3);
    let told = bench.told(one);
    assert_eq!((told.len(), names(&told[0]).len()), (1, MANY));
}

/// What happens while it takes its turns is told behind it: events, answers, later reads, in their order.
#[test]
fn nothing_overtakes_a_long_list_and_it_shows_its_version() {
    let mut bench = bench();
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetData, &GetDataRequest { path: "/many/1".into(), watch: true });
    bench.send(client, 2, Opcode::GetChildren, &list(true));
    let at = bench.world.zxid.0;
    bench.send(
        client,
        3,
        Opcode::SetData,
        &SetDataRequest { path: "/many/1".into(), data: None, version: -1 },
    );
    bench.send(client, 4, Opcode::GetData, &GetDataRequest { path: "/many/1".into(), watch: false });
    bench.step(Input::Wakeup);
    bench.write(None, |world| world.create("/many/new", b""));
    bench.write(Some((client, 3)), |world| world.set_data("/many/1", b"new"));
    bench.write(None, |world| world.delete("/many/5"));
    assert_eq!(bench.xids(client), [1]);
    bench.send(client, 5, Opcode::GetChildren, &list(false));
    bench.step(Input::Wakeup);
    assert_eq!(bench.xids(client), Vec::<i32>::new());
    turns(&mut bench);
    let told = bench.told(client);
    let order: Vec<i32> = told
        .iter()
        .map(|told| match told {
            Told::Reply { xid, .. } => *xid,
            Told::Event(kind, _) => -*kind,
        })
        .collect();
    assert_eq!(order, [2, -4, -3, 3, 4, 5]);
    let Told::Reply { zxid, .. } = &told[0] else { panic!("it is the list") };
    assert_eq!(*zxid, at);
    let first = names(&told[0]);
    assert!(first.len() == MANY && !first.contains(&"new".to_owned()) && first.contains(&"5".to_owned()));
    let last = names(&told[5]);
    assert!(last.len() == MANY && last.contains(&"new".to_owned()) && !last.contains(&"5".to_owned()));
}

#[test]
fn one_after_another_and_each_counts_its_own_version() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.send(one, 1, Opcode::GetAllChildrenNumber, &count());
    bench.send(two, 1, Opcode::GetAllChildrenNumber, &count());
    bench.step(Input::Wakeup);
    bench.write(None, |world| world.create("/many/0/below/deeper", b""));
    turns(&mut bench);
    let mut total = |client| {
        let told = bench.told(client);
        let [Told::Reply { body, .. }] = &told[..] else { panic!("one reply: {told:?}") };
        i32::from_be_bytes(body[..].try_into().expect("an int"))
    };
    assert_eq!((total(one), total(two)), (MANY as i32 + 1, MANY as i32 + 2));
}

/// A write behind a list that waits for its turn would have it made at once, when its own answer comes: it isn't taken.
#[test]
fn a_write_behind_a_waiting_list_waits_too() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    let set = SetDataRequest { path: "/many".into(), data: None, version: -1 };
    bench.send(one, 1, Opcode::GetChildren, &list(false));
    bench.send(two, 1, Opcode::GetChildren, &list(false));
    bench.send(two, 2, Opcode::SetData, &set);
    assert!(bench.requests.is_empty(), "{:?}", bench.requests);
    turns(&mut bench);
    assert_eq!(bench.requests.len(), 1);
    bench.write(Some((two, 2)), |world| world.create("/many/new", b""));
    let told = bench.told(two);
    assert_eq!(names(&told[0]).len(), MANY);
    assert!(matches!(told[1], Told::Reply { xid: 2, .. }));
    assert_eq!(bench.xids(one), [1]);
}

/// The same behind a write that is not answered: what waits there is made before the next write's answer, all at once.
#[test]
fn what_a_write_would_have_made_at_once_is_bounded() {
    let mut bench = bench();
    let client = bench.connect();
    let set = SetDataRequest { path: "/many/1".into(), data: None, version: -1 };
    let short = GetChildrenRequest { path: "/many/0".into(), watch: false };
    bench.send(client, 1, Opcode::SetData, &set);
    bench.send(client, 2, Opcode::GetChildren, &short);
    bench.send(client, 3, Opcode::SetData, &set);
    assert_eq!(bench.requests.len(), 2, "a short list holds nothing up");
    for (xid, opcode) in [(4, Opcode::GetChildren), (5, Opcode::GetChildren2), (6, Opcode::GetChildren)] {
        bench.send(client, xid, opcode, &list(false));
    }
    bench.send(client, 7, Opcode::SetData, &set);
    assert_eq!(bench.requests.len(), 2, "the long ones do");
    bench.write(Some((client, 1)), |world| world.set_data("/many/1", b"new"));
    bench.write(Some((client, 3)), |world| world.set_data("/many/1", b"new"));
    turns(&mut bench);
    assert_eq!(bench.xids(client), [1, 2, 3, 4, 5, 6]);
    assert_eq!(bench.requests.len(), 3);
    bench.write(Some((client, 7)), |world| world.set_data("/many/1", b"new"));
    assert_eq!(bench.xids(client), [7]);
}

/// Each list is short enough for a turn, and all of them together are not: from many connections, or from one.
#[test]
fn reads_share_the_turn_and_trifles_are_free() {
    const LISTS: usize = 40;
    for clients in [1, 8] {
        let mut bench = Bench::new();
        bench.world.create("/half", b"");
        for child in 0..limits::TURN_BUDGET / 2 {
            bench.world.create(&format!("/half/{child}"), b"");
        }
        bench.write(None, |world| world.create("/small", b"data"));
        let clients: Vec<usize> = (0..clients).map(|_| bench.connect()).collect();
        let small = bench.connect();
        let half = GetChildrenRequest { path: "/half".into(), watch: false };
        for number in 0..LISTS {
            let client = clients[number % clients.len()];
            bench.send(client, number as i32, Opcode::GetChildren, &half);
        }
        let mut received = 0;
        let mut turns = 0;
        while received < LISTS {
            let get = GetDataRequest { path: "/small".into(), watch: false };
            bench.send(small, turns, Opcode::GetData, &get);
            assert_eq!(bench.xids(small), [turns], "answered in whatever turn");
            let now: usize = clients.iter().map(|&client| bench.xids(client).len()).sum();
            assert!(now <= 2 * 3, "{now} lists in one turn");
            received += now;
            bench.step(Input::Wakeup);
            turns += 1;
            assert!(turns < 1000, "it comes to an end");
        }
        assert!(!bench.shard.state.has_long_work());
        assert!(turns as usize >= LISTS / 6, "{turns} turns");
    }
}

/// Nobody is passed over for those who ask more often.
#[test]
fn whoever_waits_longest_is_served_first() {
    let mut bench = Bench::new();
    bench.world.create("/most", b"");
    for child in 0..limits::TURN_BUDGET {
        bench.world.create(&format!("/most/{child}"), b"");
    }
    bench.write(None, |world| world.create("/last", b""));
    let clients: Vec<usize> = (0..6).map(|_| bench.connect()).collect();
    let most = GetChildrenRequest { path: "/most".into(), watch: false };
    let greedy = clients[0];
    let mut order = vec![];
    for turn in 0..20 {
        for xid in 0..5 {
            bench.send(greedy, turn * 5 + xid, Opcode::GetChildren, &most);
        }
        if turn == 0 {
            for &client in &clients[1..] {
                bench.send(client, 0, Opcode::GetChildren, &most);
            }
        }
        for &client in &clients {
            order.extend(bench.xids(client).iter().map(|_| client));
        }
        bench.step(Input::Wakeup);
    }
    let others: Vec<usize> = order.iter().copied().filter(|client| *client != greedy).collect();
    assert_eq!(others, clients[1..], "in the order in which they came: {order:?}");
    let last = order.iter().rposition(|client| *client != greedy).expect("they were served");
    assert!(last <= 2 * clients.len(), "{order:?}");
}

#[test]
fn a_connection_that_goes_takes_its_long_read_with_it() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.send(one, 1, Opcode::GetChildren, &list(true));
    bench.send(two, 1, Opcode::GetChildren, &list(false));
    bench.step(Input::Wakeup);
    bench.step(Input::Closed { connection: Bench::id(one) });
    turns(&mut bench);
    assert_eq!(bench.xids(two), [1]);
    assert_eq!(bench.shard.facts().watches, 0);
    bench.write(None, |world| world.delete("/many/7"));
}

/// closeSession behind a long list: the list, its answer, and then the end.
#[test]
fn a_connection_is_closed_behind_its_long_read() {
    let mut bench = bench();
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetChildren, &list(false));
    bench.send(client, 2, Opcode::CloseSession, &());
    bench.write(Some((client, 2)), |world| world.close(1, &[]));
    bench.end_turn();
    assert!(!bench.is_closed(client));
    turns(&mut bench);
    assert_eq!(bench.xids(client), [1, 2]);
    assert!(bench.is_closed(client));
}

/// The lists and what is compared with them are the clients' to make long.
#[test]
fn checks_of_long_acls_wait_for_a_turn_that_has_room() {
    let mut bench = Bench::new();
    let entries: Vec<OwnedAcl> =
        (0..limits::ACL_ENTRIES_MAX).map(|at| OwnedAcl::new(31, "digest", &format!("u{at}:h"))).collect();
    bench.world.create("/guarded", b"");
    bench.world.create("/open", b"");
    bench.write(None, |world| world.set_acl("/guarded", &entries));
    let (one, two) = (bench.connect(), bench.connect());
    let mut frames = vec![];
    for xid in 1..=100 {
        encode_request(
            &mut frames,
            xid,
            Opcode::Exists,
            &ExistsRequest { path: "/guarded".into(), watch: false },
        );
    }
    bench.receive(one, &frames);
    let request = GetDataRequest { path: "/open".into(), watch: false };
    bench.send(two, 1, Opcode::GetData, &request);
    let first = bench.xids(one).len();
    assert!((1..30).contains(&first), "{first} checks of {} entries in one turn", entries.len());
    assert_eq!(bench.xids(two), [1]);
    assert!(turns(&mut bench) >= 4);
    assert_eq!(bench.xids(one).len(), 100 - first);
}

/// The replica compares each write's path with all that its client has shown.
#[test]
fn writes_of_who_has_shown_much_take_turns() {
    const WRITES: i32 = 200;
    let mut bench = Bench::new();
    let client = bench.connect();
    for name in 0..limits::IDENTITIES_MAX - 1 {
        let auth = format!("u{name}:p");
        let packet = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(auth.as_bytes()) };
        bench.send(client, -4, Opcode::Auth, &packet);
    }
    bench.told(client);
    let mut frames = vec![];
    for xid in 1..=WRITES {
        let request = SetDataRequest { path: "/".into(), data: None, version: -1 };
        encode_request(&mut frames, xid, Opcode::SetData, &request);
    }
    bench.receive(client, &frames);
    let first = bench.requests.len();
    assert!((1..32).contains(&first), "{first} in one turn");
    assert!(bench.shard.state.has_long_work());
    bench.end_turn();
    assert!(turns(&mut bench) >= 4);
    let xids = bench.requests.iter().map(|request| match request {
        Request::Write { xid, .. } => *xid,
        _ => panic!("only writes were sent"),
    });
    assert!(xids.eq(1..=WRITES), "all of them, in their order");
}

/// A megabyte is copied into memory that the kernel must find first: to others that is a long time.
#[test]
fn one_large_node_is_read_a_turn() {
    let mut bench = Bench::new();
    bench.world.create("/large", &vec![7; 1_000_000]);
    bench.write(None, |world| world.create("/small", b""));
    let clients = [bench.connect(), bench.connect(), bench.connect()];
    for client in clients {
        bench.send(client, 1, Opcode::GetData, &GetDataRequest { path: "/large".into(), watch: false });
    }
    let other = bench.connect();
    bench.send(other, 1, Opcode::GetData, &GetDataRequest { path: "/small".into(), watch: false });
    bench.end_turn();
    let mut counts = vec![];
    for turn in 0..3 {
        if turn > 0 {
            bench.step(Input::Wakeup);
            bench.end_turn();
        }
        counts.push(clients.map(|client| bench.is_sent(client)).iter().filter(|sent| **sent).count());
    }
    assert_eq!(counts, [1, 2, 3]);
    assert_eq!(bench.xids(other), [1]);
}
