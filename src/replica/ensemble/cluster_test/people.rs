//! The clients of the virtual cluster: each creates one node after the other, and comes back when it is cut off.

use super::*;

pub struct Person {
    pub node: usize,
    pub turn: u64,
    pub session: SessionId,
    pub connected: bool,
    pub xid: i32,
    pub asked: Option<String>,
    pub count: u64,
}

impl World {
    pub fn drop_people(&mut self, node: usize) {
        for at in 0..self.people.len() {
            if self.people[at].node == node {
                self.people[at].connected = false;
                self.people[at].asked = None;
                self.people[at].turn += 1;
            }
        }
    }

    pub fn on_answer(&mut self, node: usize, to: Client, body: &AnswerBody) {
        let (client, turn) = (to.connection.slot as usize, u64::from(to.connection.generation));
        let Some(person) = self.people.get_mut(client) else { return };
        if person.node != node || person.turn != turn {
            return;
        }
        match body {
            AnswerBody::Session { session, .. } => {
                person.session = *session;
                person.connected = true;
            }
            AnswerBody::SessionRefused => person.session = SessionId::NONE,
            AnswerBody::Created { path } => {
                let asked = person.asked.take().expect("it asked");
                assert_eq!(path.to_string(), asked);
                self.acked.insert(asked);
            }
            AnswerBody::Error(ErrorCode::SessionExpired) => {
                person.session = SessionId::NONE;
                person.connected = false;
                person.asked = None;
            }
            AnswerBody::Error(ErrorCode::Ok) => {}
            other => panic!("{other:?}"),
        }
        let delay = self.prng.below(3_000_000);
        self.at(delay, Event::Ask { client, turn });
    }

    pub fn ask(&mut self, client: usize, turn: u64, is_quiet: bool) {
        let person = &mut self.people[client];
        if person.turn != turn {
            return;
        }
        let (node, session) = (person.node, person.session);
        let connection = ConnectionId { slot: client as u32, generation: turn as u32 };
        let from = Client { shard: ShardId(0), connection };
        let request = if !person.connected {
            let password = (session != SessionId::NONE).then(|| tree::password::of(session));
            Request::Connect { from, session, password, timeout_ms: 4000 }
        } else if is_quiet {
            return;
        } else {
            person.count += 1;
            person.xid += 1;
            let path = format!("/c{client}-{}", person.count);
            let acl = Some(AclList::OPEN);
            let request = CreateRequest { path: path.as_str().into(), data: Some(b"data"), acl, flags: 0 };
            let body = encoded(&request).into();
            let (xid, opcode, identities) = (person.xid, Opcode::Create, Arc::from([]));
            person.asked = Some(path.clone());
            Request::Write { from, session, xid, opcode, body, identities }
        };
        self.input(node, Input::Request(request));
    }

    /// Who is not connected tries it, where somebody serves.
    pub fn look_after_people(&mut self) {
        for client in 0..self.people.len() {
            let person = &self.people[client];
            if person.connected || !self.prng.chance(1, 20) {
                continue;
            }
            self.people[client].turn += 1;
            if self.prng.chance(1, 3) {
                self.people[client].node = self.prng.below(self.nodes.len() as u64) as usize;
            }
            if self.nodes[self.people[client].node].serves {
                let turn = self.people[client].turn;
                self.ask(client, turn, false);
            }
        }
    }
}
