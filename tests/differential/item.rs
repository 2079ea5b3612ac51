//! What a stream consists of: items that both servers are given, in order.
//!
//! An item is bytes as far as it can be: what differs between two servers (session ids, passwords, zxids) is named, and
//! filled in by the player. Paths begin with [`ROOT`], in whose place the player puts a znode of its own, equally long.

use std::fmt;

use ringkeeper::wire::client::Request;
use ringkeeper::wire::{Class, Opcode, Reader};

/// Stands in requests for the znode below which an episode takes place.
pub const ROOT: &str = "/~root~";

/// Opcodes that the generator and the player speak of by name.
pub const AUTH: i32 = Opcode::Auth.code();
pub const CLOSE_SESSION: i32 = Opcode::CloseSession.code();
pub const PING: i32 = Opcode::Ping.code();
pub const SASL: i32 = Opcode::Sasl.code();

/// Which zxid is put into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Zero,
    /// That of so many replies ago, on whatever connection.
    RepliesAgo(usize),
    /// Far ahead of the server.
    Future,
}

/// What a connect request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    New,
    /// The slot's own session; a new one if there is none.
    Own {
        /// The old connection is still open when the new one arrives.
        old_stays: bool,
    },
    /// The slot's own session with a password of so many bytes that is not its password; null for `None`.
    WrongPassword(Option<u8>),
    /// A session that nobody has, with a password of zeros.
    Unknown(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub wanted: Wanted,
    pub protocol_version: i32,
    pub timeout_ms: i32,
    pub last_zxid_seen: Moment,
    pub read_only: Option<bool>,
    pub trailing: u8,
}

impl Connect {
    pub fn new(wanted: Wanted) -> Connect {
        Connect {
            wanted,
            protocol_version: 0,
            timeout_ms: 40_000_000,
            last_zxid_seen: Moment::Zero,
            read_only: Some(false),
            trailing: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Connect(Connect),
    Request {
        xid: i32,
        opcode: i32,
        body: Vec<u8>,
        /// Where in the body a zxid of the server's goes.
        zxid_at: Option<(usize, Moment)>,
    },
    /// Bytes that are no request, length included; the server is expected to close.
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which of the clients acts.
    pub slot: usize,
    pub action: Action,
    /// Sent together with the next item, if that is the same client's.
    pub joined: bool,
}

impl Item {
    pub fn opcode(&self) -> Option<i32> {
        match self.action {
            Action::Request { opcode, .. } => Some(opcode),
            _ => None,
        }
    }

    /// Whether it may have company in front of it: auth and sasl overtake what waits, and so their place is not fixed.
    fn may_follow(&self) -> bool {
        !matches!(self.opcode(), None | Some(AUTH | SASL))
    }

    /// Whether something may be sent right behind it. What is sent behind a request that closes the connection may or may
    /// not be read; requests behind a setACL may be checked against the list from before; while a createContainer with an
    /// ephemeral's flags is undecided, ZooKeeper refuses children of the container as if it were an ephemeral.
    fn may_lead(&self) -> bool {
        match &self.action {
            Action::Connect(_) => true,
            Action::Bytes(_) => false,
            Action::Request { opcode, .. } => {
                *opcode != Opcode::SetAcl.code()
                    && *opcode != Opcode::CreateContainer.code()
                    && *opcode != CLOSE_SESSION
                    && *opcode != AUTH
                    && *opcode != SASL
                    && Opcode::from_i32(*opcode).is_some_and(|opcode| opcode.class() != Class::Internal)
            }
        }
    }

    /// Whether the two go out together.
    pub fn joins(&self, next: &Item) -> bool {
        self.joined && self.slot == next.slot && self.may_lead() && next.may_follow()
    }
}

/// The beginning of bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 400;
    let mut text = hex_of_all(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() > SHOWN {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

pub fn hex_of_all(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Long debug output (a path of a megabyte) is cut.
fn shortened(text: String) -> String {
    const SHOWN: usize = 700;
    if text.chars().count() <= SHOWN {
        return text;
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head}… ({} characters)", text.chars().count())
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}{} ", self.slot, if self.joined { " (joined with the next)" } else { "" })?;
        match &self.action {
            Action::Connect(connect) => write!(f, "{connect:?}"),
            Action::Bytes(bytes) => write!(f, "sends {}", hex(bytes)),
            Action::Request { xid, opcode, body, zxid_at } => {
                let name = Opcode::from_i32(*opcode).map_or("unknown opcode", Opcode::name);
                write!(f, "{name} ({opcode}) xid {xid} ")?;
                let mut reader = Reader::new(body);
                let decoded = Opcode::from_i32(*opcode).map(|opcode| Request::decode(opcode, &mut reader));
                match decoded {
                    Some(Ok(request)) => {
                        write!(f, "{}", shortened(format!("{request:?}")))?;
                        if !reader.is_empty() {
                            write!(f, " and {} more bytes", reader.rest().len())?;
                        }
                    }
                    Some(Err(error)) => write!(f, "{} ({error})", hex(body))?,
                    None => write!(f, "{}", hex(body))?,
                }
                if let Some((at, moment)) = zxid_at {
                    write!(f, " with the zxid {moment:?} at byte {at}")?;
                }
                Ok(())
            }
        }
    }
}
