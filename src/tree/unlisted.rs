//! ACL lists that a snapshot of Apache's names and doesn't hold.
//!
//! ZooKeeper writes its lists first and then the nodes, while transactions are applied. A node that was given a list it had
//! never met before names an id that isn't in the file. The transaction that gave it is behind the snapshot, in the log or in
//! what a leader sends next, and gives it once more (`DataTree.createNode` on a node that exists, `setACL`). Until then the node
//! has a list in its place that grants nothing to anybody, of a scheme that no client can set.
//!
//! Tested: java_snapshot_test.rs, cli/apache/recovery_test.rs, tests/java_files/fuzzy.rs and places.rs.

use crate::messages::AclRef;
use crate::wire::OwnedAcl;

use super::node::acl_ref;
use super::store::Store;

/// Of no provider: `setACL` refuses it, and it matches nobody.
const SCHEME: &str = "unlisted";

/// Stands for the list with this id until the transaction comes.
pub fn in_place_of(id: i64) -> AclRef {
    acl_ref(vec![OwnedAcl::new(0, SCHEME, &id.to_string())])
}

/// A node that still waits for its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    pub path: String,
    /// The list's id in the snapshot.
    pub id: String,
}

impl Store {
    /// The first such node in the order of the arena. Goes through all of it.
    pub fn unlisted(&self) -> Option<Unlisted> {
        self.nodes().find_map(|node| match node.acl()?.as_ref() {
            [only] if only.scheme == SCHEME => {
                let path = String::from_utf8_lossy(node.path.bytes()).into_owned();
                Some(Unlisted { path, id: only.id.clone() })
            }
            _ => None,
        })
    }
}
