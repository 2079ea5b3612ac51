//! Clients beside the history's writers: what all kinds of them have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::base::Prng;
use ringkeeper::wire::{Encode, Opcode};

use crate::gate::Gate;
use crate::members::Members;
use crate::registers::{self, REGISTERS};
use crate::support::client::PERSISTENT;
use crate::support::{Client, Connect, Refusal, Reply, within};
use crate::tally::Tally;

/// Longer than any server here stands still: who is neither answered nor cut off has lost a reply.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// Who looks for a server waits so long for a handshake.
const GLANCE: Duration = Duration::from_millis(1_500);
/// A session that finds no server for so long would be lost anyway.
const LOST: Duration = Duration::from_secs(120);
/// Between two steps of a user.
const PAUSE: Duration = Duration::from_millis(30);

/// What the users of a round share.
#[derive(Debug)]
pub struct Field {
    /// Below this znode they are.
    pub base: String,
    servers: Vec<SocketAddr>,
    kinds: Vec<String>,
    gate: Arc<Gate>,
    pub tally: Arc<Tally>,
    stops: AtomicBool,
}

impl Field {
    pub fn prepare(members: &Members, round: u32) -> Arc<Field> {
        let base = format!("/s{round}");
        let mut client = Client::connect(&members.cluster.servers[0]);
        client.create(&base, b"", PERSISTENT);
        for register in 0..REGISTERS {
            client.create(&registers::path(&base, register), b"", PERSISTENT);
        }
        client.close();
        Arc::new(Field {
            base,
            servers: members.cluster.servers.iter().map(|server| server.address()).collect(),
            kinds: members.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            gate: Arc::clone(&members.gate),
            tally: Arc::clone(&members.tally),
            stops: AtomicBool::new(false),
        })
    }

    pub fn stop(&self) {
        self.stops.store(true, Ordering::SeqCst);
    }
}

/// A session that goes from server to server.
#[derive(Debug)]
pub struct Traveller {
    pub field: Arc<Field>,
    pub client: Client,
    at: usize,
    is_lost: bool,
}

impl Traveller {
    /// A new session at this server, or at the next that gives one.
    pub fn open(field: &Arc<Field>, at: usize, timeout_ms: i32) -> Traveller {
        let mut at = at % field.servers.len();
        let connect = Connect { timeout_ms, ..Connect::default() };
        let client = within(LOST, "a server that gives a session", || {
            match connect.open_within(field.servers[at], GLANCE) {
                Ok(client) => Some(client),
                Err(Refusal::Closed) => {
                    at = (at + 1) % field.servers.len();
                    None
                }
                Err(refusal) => panic!("a new session is refused: {refusal:?}"),
            }
        });
        client.be_patient(PATIENCE);
        field.tally.count("op createSession");
        Traveller { field: Arc::clone(field), client, at, is_lost: false }
    }

    /// None: the connection is lost, and nobody knows what became of the request.
    pub fn call(&mut self, name: &str, opcode: Opcode, body: &impl Encode) -> Option<Reply> {
        let before = self.client.zxid;
        let began = Instant::now();
        let Some(reply) = self.client.try_call(opcode, body) else {
            let at = self.field.servers[self.at];
            assert!(
                began.elapsed() < PATIENCE,
                "{name} at {at}: neither an answer nor the end in {PATIENCE:?}"
            );
            self.is_lost = true;
            return None;
        };
        let seen = reply.zxid;
        assert!(
            seen >= before,
            "{name}: 0x{seen:x} after 0x{before:x} in session 0x{:x}",
            self.client.session
        );
        self.field.tally.count(&format!("op {name}"));
        Some(reply)
    }

    /// To the next server that takes the session.
    fn recover(&mut self) {
        self.field.tally.count("connections lost");
        self.go_to((self.at + 1) % self.field.servers.len());
    }

    /// Leaves a connection that is well for another server.
    pub fn hop(&mut self, random: &mut Prng) {
        let to = random.below(self.field.servers.len() as u64) as usize;
        let from = self.at;
        self.go_to(to);
        let kinds = &self.field.kinds;
        self.field.tally.count(&format!("move {} to {}", kinds[from], kinds[self.at]));
    }

    fn go_to(&mut self, first: usize) {
        let seen = self.client.zxid;
        let again = Connect {
            timeout_ms: self.client.timeout_ms,
            last_zxid_seen: seen,
            ..Connect::again(&self.client)
        };
        self.at = first;
        let what = format!("a server that takes session 0x{:x}", again.session);
        let mut client =
            within(LOST, &what, || match again.open_within(self.field.servers[self.at], GLANCE) {
                Ok(client) => Some(client),
                Err(Refusal::Closed) => {
                    self.at = (self.at + 1) % self.field.servers.len();
                    None
                }
                Err(refusal) => panic!("session 0x{:x} is lost: {refusal:?}", again.session),
            });
        client.be_patient(PATIENCE);
        client.zxid = seen;
        // What was told on the old connection was told.
        client.events = std::mem::take(&mut self.client.events);
        self.client = client;
        self.is_lost = false;
    }

    /// Ends the session. None: nobody knows whether it has ended.
    pub fn close(mut self) -> Option<()> {
        self.call("closeSession", Opcode::CloseSession, &()).map(drop)
    }
}

/// What a kind of client does, step by step. A step ends with None where the connection is lost.
pub trait User: Send + 'static {
    fn traveller(&mut self) -> &mut Traveller;
    fn step(&mut self) -> Option<()>;
    /// On a new connection of the session.
    fn come_back(&mut self) -> Option<()> {
        Some(())
    }
}

/// Steps until the round ends.
pub fn set_out<U: User>(mut user: U) -> JoinHandle<U> {
    thread::spawn(move || {
        let field = Arc::clone(&user.traveller().field);
        loop {
            let inside = field.gate.enter();
            let step = match &inside {
                Some(_) if field.stops.load(Ordering::SeqCst) => return user,
                Some(_) => user.step(),
                None => user.traveller().client.try_ping().then_some(()),
            };
            drop(inside);
            if step.is_none() {
                user.traveller().recover();
                while user.come_back().is_none() {
                    user.traveller().recover();
                }
            }
            field.gate.linger(PAUSE);
        }
    })
}
