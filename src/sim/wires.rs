//! The world's connections: what each end's bytes do on their way to the other.

use std::time::Duration;

use crate::base::ConnectionId;

use super::history::{Checked, violation};
use super::network::{Socket, Up};
use super::server::Arrival;
use super::world::{Event, Phase, Process, World};

impl World {
    pub(super) fn packet_delay(&mut self) -> Duration {
        let rough = self.plan.faults.slow && self.phase == Phase::Faults;
        Self::jitter(&mut self.network, self.shape.packet, rough)
    }

    pub(super) fn open_socket(&mut self, client: usize) -> u64 {
        let shard = self.network.below(self.plan.shards as u64) as usize;
        self.next_socket += 1;
        let socket = self.next_socket;
        let found = Socket::new(client, shard, self.life, self.shape.socket_bytes);
        self.sockets.insert(socket, found);
        self.actors[client].socket = Some(socket);
        let delay = self.packet_delay();
        self.after(delay, Event::Accept { socket });
        if let Some(found) = self.sockets.get_mut(&socket) {
            found.up_last_ns = self.now.instant.0 + delay.as_nanos() as u64;
        }
        socket
    }

    pub(super) fn on_accept(&mut self, socket: u64) {
        let life = self.life;
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        if found.life != life || !matches!(self.process, Process::Up(_)) {
            return self.end_on_server(socket); // refused
        }
        let shard = found.shard;
        let connection = self.slots[shard].take();
        found.connection = Some(connection);
        self.connections.insert((shard, connection), socket);
        self.trace.note("accept", &[socket, shard as u64, connection.slot.into()]);
        self.arrive(shard, Arrival::Accepted { connection });
    }

    fn arrive(&mut self, shard: usize, arrival: Arrival) {
        if let Some(server) = self.server() {
            server.arrive(shard, arrival);
        }
        let thread = if self.plan.shards == 1 { 0 } else { 1 + shard };
        self.wake(thread);
    }

    /// The client sends: cut into chunks, each with its delay.
    pub(super) fn send_up(&mut self, socket: u64, mut bytes: Vec<u8>) {
        while !bytes.is_empty() {
            let whole = self.network.chance(2, 3);
            let take = if whole { bytes.len() } else { 1 + self.network.below(bytes.len() as u64) as usize };
            let rest = bytes.split_off(take);
            self.send_one(socket, Up::Bytes(bytes));
            bytes = rest;
        }
    }

    pub(super) fn send_one(&mut self, socket: u64, up: Up) {
        let delay = self.packet_delay();
        let now = self.now_ns();
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        found.up.push_back(up);
        found.up_last_ns = (now + delay.as_nanos() as u64).max(found.up_last_ns);
        let at = found.up_last_ns;
        self.at(at, Event::Up { socket });
    }

    pub(super) fn on_up(&mut self, socket: u64) {
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        let Some(up) = found.up.pop_front() else { return };
        found.held.push_back(up);
        self.deliver_held(socket);
    }

    fn deliver_held(&mut self, socket: u64) {
        loop {
            let Some(found) = self.sockets.get_mut(&socket) else { return };
            let (Some(connection), false, true) = (found.connection, found.paused, found.server_open) else {
                return;
            };
            let shard = found.shard;
            match found.held.pop_front() {
                None => return,
                Some(Up::Bytes(bytes)) => {
                    self.trace.note("up", &[socket, bytes.len() as u64]);
                    self.arrive(shard, Arrival::Received { connection, bytes });
                }
                Some(Up::End) => self.arrive(shard, Arrival::Ended { connection }),
            }
        }
    }

    pub(super) fn set_paused(&mut self, shard: usize, connection: ConnectionId, paused: bool) {
        self.trace.note(if paused { "pause" } else { "resume" }, &[shard as u64, connection.slot.into()]);
        let Some(&socket) = self.connections.get(&(shard, connection)) else { return };
        if let Some(found) = self.sockets.get_mut(&socket) {
            found.paused = paused;
        }
        self.deliver_held(socket);
    }

    pub(super) fn on_send(&mut self, shard: usize, connection: ConnectionId, bytes: Vec<u8>) -> Checked {
        self.trace.note("send", &[shard as u64, connection.slot.into()]);
        self.trace.bytes(&bytes);
        let Some(&socket) = self.connections.get(&(shard, connection)) else { return Ok(()) };
        let promised = self.tap(socket, &bytes)?;
        self.history.promised = self.history.promised.max(promised);
        let Some(found) = self.sockets.get_mut(&socket) else { return Ok(()) };
        if found.sending.is_some() {
            return violation("one send at a time", format!("connection {connection:?}"));
        }
        found.sending = Some((bytes, 0));
        self.fill(socket);
        Ok(())
    }

    fn fill(&mut self, socket: u64) {
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        let (shard, connection) = (found.shard, found.connection);
        if let Some(buffer) = found.fill()
            && let Some(connection) = connection
        {
            let closing = found.close_asked;
            self.arrive(shard, Arrival::Sent { connection, buffer });
            if closing {
                self.end_on_server(socket);
            }
        }
        self.arrange_read(socket);
    }

    pub(super) fn arrange_read(&mut self, socket: u64) {
        let delay = self.packet_delay();
        let now = self.now_ns();
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        let something = !found.down.is_empty() || !found.server_open;
        if !something || !found.client_open || found.reading {
            return;
        }
        found.reading = true;
        let at = (now + delay.as_nanos() as u64).max(found.deaf_until_ns);
        self.at(at, Event::Read { socket });
    }

    pub(super) fn on_read(&mut self, socket: u64) -> Checked {
        let now = self.now_ns();
        let Some(found) = self.sockets.get_mut(&socket) else { return Ok(()) };
        found.reading = false;
        if !found.client_open {
            return Ok(());
        }
        if found.deaf_until_ns > now {
            self.arrange_read(socket);
            return Ok(());
        }
        let client = found.client;
        if found.down.is_empty() {
            if !found.server_open {
                self.trace.note("end", &[socket]);
                let for_room = found.for_room;
                self.sockets.remove(&socket);
                self.on_disconnected(client, socket, for_room)?;
            }
            return Ok(());
        }
        let whole = self.network.chance(2, 3);
        let take =
            if whole { found.down.len() } else { 1 + self.network.below(found.down.len() as u64) as usize };
        let bytes: Vec<u8> = found.down.drain(..take).collect();
        self.fill(socket);
        self.arrange_read(socket);
        self.on_received(client, &bytes)
    }

    pub(super) fn on_close(&mut self, shard: usize, connection: ConnectionId, at_once: bool, for_room: bool) {
        self.trace.note("close", &[shard as u64, connection.slot.into()]);
        let Some(&socket) = self.connections.get(&(shard, connection)) else { return };
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        found.for_room = for_room;
        if at_once || found.sending.is_none() {
            return self.end_on_server(socket);
        }
        found.close_asked = true;
        self.after(Duration::from_secs(2), Event::Linger { socket });
    }

    /// The server's side is closed, by whomever; the client reads what is left and then the end.
    pub(super) fn end_on_server(&mut self, socket: u64) {
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        let (shard, client_open) = (found.shard, found.client_open);
        found.server_open = false;
        found.sending = None;
        let watches_max = found.watches_max;
        if let Some(connection) = found.connection.take() {
            self.connections.remove(&(shard, connection));
            if let Some(server) = self.server() {
                server.leaving.insert((shard, connection), watches_max);
            }
            self.arrive(shard, Arrival::Closed { connection });
            if let Some(slots) = self.slots.get_mut(shard) {
                slots.give_back(connection);
            }
        }
        if client_open {
            self.arrange_read(socket);
        } else {
            self.sockets.remove(&socket);
        }
    }
}
