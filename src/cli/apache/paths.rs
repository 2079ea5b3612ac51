//! The paths that a transaction names.
//!
//! No server logs a write to a path that no znode can have: to apply it, such a transaction is one to nothing, and passes unseen.
//! In a file it is damage that no checksum shows, as of a program that writes logs.
//!
//! Called by `recovery` and `log check`. Pure. Tested: recovery_test.rs.

use crate::tree::path;
use crate::wire::Text;
use crate::wire::txn::Txn;

/// What is wrong with the first path that no znode can have.
pub fn check_paths(txn: &Txn<'_>) -> Result<(), String> {
    match invalid(txn) {
        None => Ok(()),
        Some(path) => {
            let path = path.to_str_lossy();
            Err(format!("{:?} of `{}`, which is no znode's path", txn.kind(), path.escape_debug()))
        }
    }
}

fn invalid<'a>(txn: &Txn<'a>) -> Option<Text<'a>> {
    let path = match txn {
        Txn::Create(create) | Txn::Create2(create) => create.path,
        Txn::CreateContainer(create) => create.path,
        Txn::CreateTtl(create) => create.path,
        Txn::Delete(delete) | Txn::DeleteContainer(delete) => delete.path,
        Txn::SetData(set) | Txn::Reconfig(set) => set.path,
        Txn::SetAcl(set) => set.path,
        Txn::Check(check) => check.path,
        Txn::CloseSession(Some(paths)) => return paths.iter().find(|path| !is_valid(path)),
        Txn::Multi(ops) => return ops.iter().find_map(|op| invalid(&op.0)),
        Txn::CloseSession(None) | Txn::CreateSession(_) | Txn::Error(_) => return None,
    };
    (!is_valid(&path)).then_some(path)
}

fn is_valid(path: &Text<'_>) -> bool {
    path::is_valid(path.as_bytes())
}
