//! The floor: what no server can undercut by much. Not a ZooKeeper: it knows no znode.
//!
//! One epoll thread answers every frame with a canned reply of the right shape, and for writes appends what came in
//! during one turn to a preallocated file and syncs it once before it answers them. So it pays for the sockets, the
//! framing and the disk, and for nothing else. Connections without a write in this turn are answered before the sync.
//! Limits: the file is reused from its start when it is full. Tested: `tests.rs` (with the generator against it).

use crate::bench::protocol::{self, Front};
use rustix::event::epoll;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const READ_BYTES: usize = 256 << 10;
const LISTENER: u64 = u64::MAX;

pub struct Options {
    pub address: SocketAddr,
    pub file: PathBuf,
    pub file_bytes: u64,
    /// Of every znode, as far as a reader can tell.
    pub data_bytes: usize,
}

/// A preallocated file: zeros written and synced, and dropped from the cache, so that a small append dirties one page.
struct Log {
    file: File,
    at: u64,
    bytes: u64,
}

impl Log {
    fn create(options: &Options) -> io::Result<Log> {
        let mut file =
            File::options().create(true).truncate(true).read(true).write(true).open(&options.file)?;
        let zeros = vec![0; 1 << 20];
        let mut left = options.file_bytes;
        while left > 0 {
            let n = left.min(zeros.len() as u64);
            file.write_all(&zeros[..n as usize])?;
            left -= n;
        }
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(Log { file, at: 0, bytes: options.file_bytes })
    }

    fn append_and_sync(&mut self, batch: &[u8]) -> io::Result<()> {
        let batch = &batch[..batch.len().min(self.bytes as usize)];
        if self.at + batch.len() as u64 > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at)?;
        self.at += batch.len() as u64;
        self.file.sync_data()
    }
}

struct Client {
    stream: TcpStream,
    connected: bool,
    partial: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// The socket took less than there is: it is waited for.
    blocked: bool,
    /// Has a reply that must not leave before the sync.
    wrote: bool,
    closing: bool,
}

struct Floor {
    data_reply: Vec<u8>,
    log: Log,
    zxid: i64,
    batch: Vec<u8>,
    epoll: rustix::fd::OwnedFd,
    /// By the id which epoll echoes. Ids aren't used twice: a benchmark opens few connections.
    clients: Vec<Option<Client>>,
}

/// Serves until it is killed. `ready` is called with the bound address.
pub fn serve(options: &Options, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let log = Log::create(options)?;
    let listener = TcpListener::bind(options.address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut data_reply = Vec::new();
    data_reply.extend_from_slice(&(options.data_bytes as i32).to_be_bytes());
    data_reply.resize(4 + options.data_bytes + protocol::STAT_BYTES, 0);
    let mut floor = Floor { data_reply, log, zxid: 0, batch: Vec::new(), epoll, clients: Vec::new() };
    ready(listener.local_addr()?);
    floor.run(&listener)
}

impl Floor {
    fn run(&mut self, listener: &TcpListener) -> io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 256];
        let mut input = vec![0; READ_BYTES];
        let mut touched = Vec::new();
        loop {
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for event in &events[..ready] {
                match event.data.u64() {
                    LISTENER => self.accept(listener)?,
                    id => {
                        let id = id as usize;
                        self.on_ready(id, &mut input);
                        touched.push(id);
                    }
                }
            }
            if !self.batch.is_empty() {
                let (writers, readers): (Vec<usize>, Vec<usize>) =
                    touched.drain(..).partition(|id| self.clients[*id].as_ref().is_some_and(|c| c.wrote));
                self.flush(&readers);
                self.log.append_and_sync(&self.batch)?;
                self.batch.clear();
                touched = writers;
            }
            self.flush(&touched);
            touched.clear();
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let id = self.clients.len() as u64;
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?;
            let client = Client {
                stream,
                connected: false,
                partial: Vec::new(),
                output: Vec::new(),
                sent: 0,
                blocked: false,
                wrote: false,
                closing: false,
            };
            self.clients.push(Some(client));
        }
    }

    fn on_ready(&mut self, id: usize, input: &mut [u8]) {
        let Some(mut client) = self.clients[id].take() else { return };
        let keep = match (&client.stream).read(input) {
            Ok(0) => false,
            Ok(n) if client.partial.is_empty() => match self.answer(&mut client, id, &input[..n]) {
                Some(used) => {
                    client.partial.extend_from_slice(&input[used..n]);
                    true
                }
                None => false,
            },
            Ok(n) => {
                let mut joined = std::mem::take(&mut client.partial);
                joined.extend_from_slice(&input[..n]);
                match self.answer(&mut client, id, &joined) {
                    Some(used) => {
                        joined.drain(..used);
                        client.partial = joined;
                        true
                    }
                    None => false,
                }
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if keep {
            self.clients[id] = Some(client);
        }
    }

    /// Writes the replies to all whole frames of `bytes` into the client's output. Returns how many bytes those were;
    /// nothing where the client must be dropped.
    fn answer(&mut self, client: &mut Client, id: usize, bytes: &[u8]) -> Option<usize> {
        let mut used = 0;
        loop {
            let frame = match protocol::front(&bytes[used..]) {
                Front::Partial => return Some(used),
                Front::BadLength(_) => return None,
                Front::Frame(frame) => frame,
            };
            used += 4 + frame.len();
            let out = &mut client.output;
            if !client.connected {
                client.connected = true;
                let answer_bytes: i32 = if frame.len() >= 45 { 37 } else { 36 };
                out.extend_from_slice(&answer_bytes.to_be_bytes());
                out.extend_from_slice(&0i32.to_be_bytes());
                out.extend_from_slice(&protocol::int_at(frame, 12)?.to_be_bytes());
                out.extend_from_slice(&(id as i64 + 1).to_be_bytes());
                out.extend_from_slice(&16i32.to_be_bytes());
                out.resize(out.len() + answer_bytes as usize - 20, 0);
                continue;
            }
            let (xid, op) = (protocol::int_at(frame, 0)?, protocol::int_at(frame, 4)?);
            let path_bytes = || protocol::int_at(frame, 8).and_then(|n| usize::try_from(n).ok());
            let body = match op {
                protocol::OP_GET_DATA => &self.data_reply[..],
                protocol::OP_SET_DATA | protocol::OP_EXISTS => {
                    &self.data_reply[self.data_reply.len() - protocol::STAT_BYTES..]
                }
                // Nobody has any.
                protocol::OP_GET_CHILDREN => &[0; 4],
                protocol::OP_CREATE => frame.get(8..12 + path_bytes()?)?,
                _ => &[],
            };
            if matches!(op, protocol::OP_SET_DATA | protocol::OP_CREATE | protocol::OP_DELETE) {
                self.zxid += 1;
                self.batch.extend_from_slice(frame);
                client.wrote = true;
            }
            client.closing |= op == protocol::OP_CLOSE_SESSION;
            let length = (protocol::REPLY_HEADER_BYTES + body.len()) as i32;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&xid.to_be_bytes());
            out.extend_from_slice(&self.zxid.to_be_bytes());
            out.extend_from_slice(&0i32.to_be_bytes());
            out.extend_from_slice(body);
        }
    }

    fn flush(&mut self, ids: &[usize]) {
        for &id in ids {
            let Some(client) = &mut self.clients[id] else { continue };
            client.wrote = false;
            let keep = client.flush(&self.epoll, id).is_ok() && !(client.closing && client.output.is_empty());
            if !keep {
                self.clients[id] = None;
            }
        }
    }
}

impl Client {
    fn flush(&mut self, epoll: &rustix::fd::OwnedFd, id: usize) -> io::Result<()> {
        while self.sent < self.output.len() {
            match (&self.stream).write(&self.output[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let blocked = self.sent < self.output.len();
        if !blocked {
            self.output.clear();
            self.sent = 0;
        }
        if blocked != self.blocked {
            self.blocked = blocked;
            let out = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            epoll::modify(
                epoll,
                &self.stream,
                epoll::EventData::new_u64(id as u64),
                epoll::EventFlags::IN | out,
            )?;
        }
        Ok(())
    }
}
