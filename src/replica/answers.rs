//! What clients are told of what they asked for.
//!
//! Called by the replica as it applies, and for what needs no transaction. Tested: replica_test.rs.

use crate::messages::{Answer, AnswerBody, Client, Notice};
use crate::tree::Outcome;
use crate::wire::txn::Txn;
use crate::wire::{ErrorCode, Opcode};

use super::{Output, Replica, ensemble, multi};

impl Replica {
    /// An answer without a transaction.
    pub(super) fn answer(&mut self, to: Client, xid: i32, body: AnswerBody, outputs: &mut Vec<Output>) {
        let answer = Some(Answer { to, xid, body });
        let notice = Notice { answer, ..Notice::empty() };
        self.defer(Some(to.shard), notice, outputs);
    }
}

/// What the client that asked is told; how its session came about excepted.
pub(super) fn answer_body(txn: &Txn<'_>, outcome: Outcome, opcode: Opcode) -> AnswerBody {
    match outcome {
        // The leader's word to a member whose client has gone to another one.
        Outcome::Error(ErrorCode::SessionMoved) => AnswerBody::SessionMoved,
        Outcome::Error(code) => AnswerBody::Error(code),
        Outcome::Created { path, .. } if opcode == Opcode::Create => AnswerBody::Created { path },
        Outcome::Created { path, stat } => AnswerBody::CreatedWithStat { path, stat },
        Outcome::Changed(stat) if opcode == Opcode::Reconfig => {
            AnswerBody::Raw(ensemble::reconfig_response(txn, stat))
        }
        Outcome::Changed(stat) => AnswerBody::Stat(stat),
        Outcome::Multi(outcomes) => AnswerBody::Raw(multi::results(txn, &outcomes)),
        Outcome::Deleted | Outcome::SessionCreated { .. } | Outcome::SessionClosed | Outcome::Nothing => {
            AnswerBody::Error(ErrorCode::Ok)
        }
    }
}
