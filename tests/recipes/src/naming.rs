//! Naming: names that nobody else has, in the order in which they were given out.
//!
//! A sequential znode below `/names/KIND` has a number that the server counts up in the parent. The znode itself isn't needed any
//! longer then, and is deleted: the counter goes on. The parent must stay: with it the counter would begin anew, so it is
//! neither a container nor deleted by anybody.

use zookeeper_client::Client;

use crate::session::{PERSISTENT_SEQUENTIAL, Result, create_sequential, remove};

/// A name such as `order-0000000007`. Numbers grow, and may have gaps: one that was given to a process which died is not given
/// out again.
pub async fn new_name(client: &Client, kind: &str) -> Result<String> {
    let directory = format!("/names/{kind}");
    let node = create_sequential(client, &directory, kind, b"", &PERSISTENT_SEQUENTIAL).await?;
    remove(client, &node.path).await?;
    Ok(format!("{kind}-{:010}", node.number))
}
