//! follow, unfollow: a subtree's changes as lines, one each.

use std::sync::Arc;

use super::super::super::client::Event;
use super::super::console::Console;

/// The subtrees that are followed; shared with the connection's thread, which prints.
#[derive(Clone, Default)]
pub struct Follows(Arc<()>);

impl Follows {
    /// Whether an event is a followed subtree's, and so printed already.
    pub fn take(&self, _event: &Event, _console: &Console) -> bool {
        false
    }
}
