//! How a session is opened, resumed, or refused.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringkeeper::base::{SessionId, Zxid};
use ringkeeper::wire::client::ConnectRequest;
use ringkeeper::wire::client::header::encode_frame;

use super::client::Client;
use super::server::Server;

/// What a connect request says; the builder of every session.
#[derive(Clone, Debug)]
pub struct Connect {
    pub protocol_version: i32,
    pub last_zxid_seen: i64,
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Option<Vec<u8>>,
    pub read_only: Option<bool>,
}

impl Default for Connect {
    fn default() -> Connect {
        Connect {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 10_000,
            session: 0,
            password: Some(vec![0; 16]),
            read_only: Some(false),
        }
    }
}

/// How a server refuses a connect request.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Closed without a byte.
    Closed,
    /// The rejection response, and then closed: "session expired".
    Rejected(Vec<u8>),
}

impl Connect {
    /// Asks for the session of `client` again, as a client does that was cut off.
    pub fn again(client: &Client) -> Connect {
        Connect { session: client.session, password: Some(client.password.clone()), ..Connect::default() }
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let request = ConnectRequest {
            protocol_version: self.protocol_version,
            last_zxid_seen: Zxid(self.last_zxid_seen),
            timeout_ms: self.timeout_ms,
            session_id: SessionId(self.session),
            password: self.password.as_deref(),
            read_only: self.read_only,
        };
        encode_frame(&mut out, &request);
        out
    }

    /// Panics if refused.
    pub fn open(&self, server: &Server) -> Client {
        self.try_open(server).unwrap_or_else(|refusal| panic!("{refusal:?} for {self:?}"))
    }

    pub fn try_open(&self, server: &Server) -> Result<Client, Refusal> {
        let mut client = Client::on(server.socket());
        client.send_bytes(&self.frame());
        client.shake_hands()?;
        client.is_apaches = server.is_apache();
        Ok(client)
    }

    /// As [`Connect::try_open`], to a server that may be gone or silent for longer than `bound`: that is [`Refusal::Closed`],
    /// too. What the client asks for later has the same bound.
    pub fn open_within(&self, server: SocketAddr, bound: Duration) -> Result<Client, Refusal> {
        let stream = TcpStream::connect_timeout(&server, bound).and_then(|stream| {
            stream.set_read_timeout(Some(bound))?;
            stream.set_write_timeout(Some(bound))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let Ok(stream) = stream else { return Err(Refusal::Closed) };
        let mut client = Client::on(stream);
        if !client.try_send_bytes(&self.frame()) {
            return Err(Refusal::Closed);
        }
        match client.read_frame() {
            Ok(Some(frame)) => client.take_handshake(frame)?,
            Ok(None) | Err(_) => return Err(Refusal::Closed),
        }
        Ok(client)
    }
}
