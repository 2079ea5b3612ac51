//! What is too long for a learner of Apache's with its default settings: our leader makes no such transaction.

use ringkeeper::wire::acl::perms;
use ringkeeper::wire::client::{AuthPacket, CreateRequest, MultiOp};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl};

use crate::mixed::{assert_no_mismatch, prepare};
use crate::mixed_znodes::results;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Connect, Ensemble, until};

/// It leads, as the largest number does where all logs are equal.
const OURS: usize = 2;
/// A connection has one identity more, its address.
const IDENTITIES: usize = 63;
const USER_BYTES: usize = 4_000;
/// Of `jute.maxbuffer`, twice: `BinaryInputArchive.java`.
const READ_BYTES_MAX: usize = 2 * 0xf_ffff;
/// Each of their operations is logged with all identities.
const FITTING: usize = READ_BYTES_MAX / (IDENTITIES * (USER_BYTES + 60));
const TOO_MANY: usize = READ_BYTES_MAX / (IDENTITIES * USER_BYTES) + 1;

fn show_identities(client: &mut Client, count: usize) {
    for number in 0..count {
        let auth = format!("{number:0>USER_BYTES$}:secret");
        let packet = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(auth.as_bytes()) };
        let mut body = vec![];
        packet.encode(&mut body);
        client.send_raw(-4, Opcode::Auth.code(), &body);
        assert_eq!(client.next_reply().code(), ErrorCode::Ok);
    }
}

/// So many creates, all for those who have shown what this client has.
fn create_for_all(client: &mut Client, base: &str, count: usize) -> Vec<Result<Option<String>, ErrorCode>> {
    let mut bytes = vec![];
    // Anybody may look, so that the trees can be compared.
    let all = [OwnedAcl::new(perms::ALL, "auth", ""), OwnedAcl::new(perms::READ, "world", "anyone")];
    encode_vector(&mut bytes, all);
    let acl = AclList::parse(&bytes).expect("a list");
    let paths: Vec<String> = (0..count).map(|number| format!("{base}/{number}")).collect();
    let mut ops = vec![];
    for path in &paths {
        let (path, data) = (path.as_str().into(), Some(&b""[..]));
        ops.push(MultiOp::Create(CreateRequest { path, data, acl: Some(acl), flags: PERSISTENT }));
    }
    results(client, &ops)
}

fn assert_all_read_on(ensemble: &mut Ensemble) {
    assert_eq!(ensemble.settle(), OURS);
    ensemble.assert_equal();
    for server in &ensemble.servers {
        let output = server.output();
        assert!(!output.contains("Unreasonable length"), "{output}");
    }
}

fn start() -> Ensemble {
    let mut ensemble = prepare(3, 0, &[1, 2]);
    ensemble.launch_all();
    assert_eq!(ensemble.settle(), OURS);
    ensemble
}

#[test]
fn a_multi_that_grows_beyond_what_apaches_read_is_refused() {
    let mut ensemble = start();
    for at in [OURS, 0] {
        let mut client = Client::connect(&ensemble.servers[at]);
        show_identities(&mut client, IDENTITIES);
        let base = client.create(&format!("/by-{at}"), b"", PERSISTENT);
        let made = create_for_all(&mut client, &base, FITTING);
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let refused = create_for_all(&mut client, &format!("{base}/0"), TOO_MANY);
        assert_eq!(refused.len(), TOO_MANY);
        assert!(refused.contains(&Err(ErrorCode::InvalidACL)), "{refused:?}");
        assert_eq!(client.children(&format!("{base}/0"), false), Ok(vec![]));
        // On the same connection: nobody has left.
        client.set_data(&base, b"goes on", -1).expect("it is there");
        client.close();
    }
    assert_all_read_on(&mut ensemble);
    // What they have logged, they read at their next start.
    for at in [0, 1] {
        ensemble.servers[at].kill();
        ensemble.servers[at].restart();
    }
    assert_all_read_on(&mut ensemble);
    assert_no_mismatch(&ensemble.servers);
}

/// The paths of its ephemerals don't go into one packet.
#[test]
fn a_session_with_more_ephemerals_than_a_packet_holds_is_closed_everywhere() {
    const EPHEMERALS: usize = 24_000;
    let name = "e".repeat(100);
    let mut ensemble = start();
    for at in [OURS, 0] {
        let mut client = Client::connect(&ensemble.servers[at]);
        for number in 0..EPHEMERALS {
            let path = format!("/{name}{at}-{number}");
            let acl = Some(AclList::OPEN);
            let request = CreateRequest { path: path.as_str().into(), data: None, acl, flags: EPHEMERAL };
            client.send(Opcode::Create, &request);
            if number % 500 == 499 {
                for _ in 0..500 {
                    assert_eq!(client.next_reply().code(), ErrorCode::Ok);
                }
            }
        }
        client.close();
        for server in &ensemble.servers {
            let mut witness = Connect::default().open(server);
            until("all of them to be gone", || {
                witness.catch_up();
                (witness.stat("/").num_children == 1).then_some(())
            });
            witness.close();
        }
    }
    assert_all_read_on(&mut ensemble);
    assert_no_mismatch(&ensemble.servers);
}

/// A server of Apache's takes any number of them, and sends them along with each write. It isn't cut off for that.
#[test]
fn a_client_with_more_identities_than_are_read_is_refused_and_harms_nobody() {
    const MANY: usize = 400;
    let mut ensemble = start();
    let mut neighbour = Client::connect(&ensemble.servers[0]);
    let held = neighbour.create("/held", b"", EPHEMERAL);
    let mut client = Client::connect(&ensemble.servers[0]);
    client.create("/made-before", b"", EPHEMERAL);
    show_identities(&mut client, MANY);
    for _ in 0..3 {
        assert_eq!(client.try_create("/refused", b"", PERSISTENT), Err(ErrorCode::AuthFailed));
        client.sync("/");
        neighbour.set_data(&held, b"goes on", -1).expect("its connection is the same");
    }
    assert_eq!(neighbour.exists("/refused", false), Err(ErrorCode::NoNode));
    // It can still end.
    client.close();
    neighbour.catch_up();
    assert_eq!(neighbour.exists("/made-before", false), Err(ErrorCode::NoNode));
    assert_all_read_on(&mut ensemble);
    let output = ensemble.servers[OURS].output();
    assert!(!output.contains("connection to a learner closed"), "{output}");
    assert_no_mismatch(&ensemble.servers);
}
