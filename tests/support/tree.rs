//! All that clients can see of a tree.

use std::collections::BTreeMap;

use ringkeeper::wire::client::{GetAclRequest, GetAclResponse};
use ringkeeper::wire::{Opcode, OwnedAcl, Stat};

use super::client::Client;

/// Data, ACL, stat.
pub type Znode = (Option<Vec<u8>>, Vec<OwnedAcl>, Stat);

/// By path.
pub type Tree = BTreeMap<String, Znode>;

/// Nothing of it may change meanwhile.
pub fn tree(client: &mut Client) -> Tree {
    let mut tree = Tree::new();
    let mut ahead = vec!["/".to_owned()];
    while let Some(path) = ahead.pop() {
        let (data, stat) = client.get_data(&path, false).expect("readable");
        let reply = client.call(Opcode::GetAcl, &GetAclRequest { path: path.as_str().into() });
        let acl = reply.record::<GetAclResponse<'_>>().acl;
        let acl = acl.iter().map(|entry| entry.to_owned().expect("text")).collect();
        for child in client.children(&path, false).expect("there") {
            ahead.push(format!("{}/{child}", path.trim_end_matches('/')));
        }
        tree.insert(path, (data, acl, stat));
    }
    tree
}
