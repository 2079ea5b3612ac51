//! multi in prep: several operations under one zxid, all or nothing (client-protocol.md §10).
//!
//! Each operation is decided against the tree as those before it leave it. The first that fails takes back what they left
//! in the overlay, and the transaction then says how each of them ended: Ok before it, RuntimeInconsistency behind it.
//! (A Java leader logs the operations before it as they are; to apply, both are the same refusal.)
//! Tested: multi_test.rs, overlay_test.rs, tests/conformance/multi.rs.

use crate::base::Zxid;
use crate::wire::client::{CreateMode, CreateRequest, CreateTtlRequest, MultiOp, MultiRequest};
use crate::wire::jute::VectorWriter;
use crate::wire::txn::{ErrorTxn, MultiTxn, SubTxn, Txn};
use crate::wire::{Decode, ErrorCode, Opcode};

use super::prep::{Creation, Scratch, View, Write, decode};

impl View<'_> {
    pub(super) fn multi<'a>(
        &mut self,
        zxid: Zxid,
        write: &Write<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Txn<'a>, ErrorCode> {
        let request: MultiRequest<'a> = decode(write.body)?;
        if !request.iter().all(|op| op.is_well_formed()) {
            return Err(ErrorCode::MarshallingError);
        }
        let Scratch { path, acl, ops, .. } = scratch;
        let bytes_max = self.rules.multi_bytes_max();
        ops.clear();
        let mut txns = VectorWriter::begin(ops);
        self.overlay.begin();
        for (at, op) in request.iter().enumerate() {
            let decided = self.decide_op(zxid, write, op, path, acl);
            let fitted = decided.and_then(|txn| {
                txns.push(ops, &SubTxn(txn));
                if ops.len() <= bytes_max { Ok(()) } else { Err(ErrorCode::InvalidACL) }
            });
            match fitted {
                Ok(()) => {}
                // Not this operation's fault alone: the connection is closed, or the request is none.
                Err(error @ (ErrorCode::SessionMoved | ErrorCode::MarshallingError)) => {
                    self.overlay.roll_back();
                    return Err(error);
                }
                Err(error) => {
                    self.overlay.roll_back();
                    ops.clear();
                    txns = VectorWriter::begin(ops);
                    for other in 0..request.len() {
                        let code = match other.cmp(&at) {
                            std::cmp::Ordering::Less => ErrorCode::Ok,
                            std::cmp::Ordering::Equal => error,
                            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
                        };
                        txns.push(ops, &SubTxn(Txn::Error(ErrorTxn { err: code.code() })));
                    }
                    break;
                }
            }
        }
        self.overlay.keep();
        txns.end(ops);
        Ok(Txn::Multi(MultiTxn::parse(ops).expect("encoded just now")))
    }

    fn decide_op<'t>(
        &mut self,
        zxid: Zxid,
        write: &Write<'_>,
        op: MultiOp<'t>,
        path: &'t mut Vec<u8>,
        acl: &'t mut Vec<u8>,
    ) -> Result<Txn<'t>, ErrorCode> {
        let (opcode, request) = match op {
            MultiOp::Create(request) => (Opcode::Create, request),
            MultiOp::Create2(request) => (Opcode::Create2, request),
            MultiOp::CreateContainer(request) => (Opcode::CreateContainer, request),
            MultiOp::CreateTtl(request) if is_ttl(request.flags) => {
                return self.create_node(zxid, write, Creation::with_ttl(request), path, acl);
            }
            // In a multi the flags say what is made: without theirs it is no TTL node.
            MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, .. }) => {
                (Opcode::Create, CreateRequest { path, data, acl, flags })
            }
            MultiOp::Delete(request) => return self.delete_node(zxid, write, request),
            MultiOp::SetData(request) => return self.set_data_of(zxid, write, request),
            MultiOp::Check(request) => return self.check(write, request),
        };
        let is_container = CreateMode::from_flags(request.flags) == Some(CreateMode::Container);
        let opcode = if is_container { Opcode::CreateContainer } else { opcode };
        self.create_node(zxid, write, Creation::new(opcode, request), path, acl)
    }
}

fn is_ttl(flags: i32) -> bool {
    CreateMode::from_flags(flags).is_some_and(CreateMode::is_ttl)
}

#[cfg(test)]
#[path = "multi_test.rs"]
mod tests;
