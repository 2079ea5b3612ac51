//! The reply to a multi: each operation's result, as ZooKeeper encodes them (client-protocol.md §10.2).

use bytes::Bytes;

use crate::tree::Outcome;
use crate::wire::client::MultiResult;
use crate::wire::client::multi::encode_list;
use crate::wire::txn::Txn;
use crate::wire::{ErrorCode, Text};

/// `txn` is the multi, and `outcomes` what applying it came to.
pub fn results(txn: &Txn<'_>, outcomes: &[Outcome]) -> Bytes {
    let Txn::Multi(ops) = txn else { panic!("the outcomes of a multi are a multi's") };
    let results = ops.iter().zip(outcomes).map(|(op, outcome)| match (op.0, outcome) {
        (_, Outcome::Error(code)) => MultiResult::Error(*code),
        (Txn::Create(_), Outcome::Created { path, .. }) => {
            MultiResult::Create { path: Text::from_bytes(path.bytes()) }
        }
        (_, Outcome::Created { path, stat }) => {
            MultiResult::Create2 { path: Text::from_bytes(path.bytes()), stat: *stat }
        }
        (_, Outcome::Deleted) => MultiResult::Delete,
        (_, Outcome::Changed(stat)) => MultiResult::SetData { stat: *stat },
        (Txn::Check(_), _) => MultiResult::Check,
        // What prep has decided can't come to nothing, and nothing else is an operation of a multi.
        (
            _,
            Outcome::Nothing | Outcome::Multi(_) | Outcome::SessionCreated { .. } | Outcome::SessionClosed,
        ) => MultiResult::Error(ErrorCode::RuntimeInconsistency),
    });
    let mut bytes = vec![];
    encode_list(&mut bytes, results);
    bytes.into()
}
