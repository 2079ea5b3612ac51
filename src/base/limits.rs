//! Every bound of the server, one page, each with its reason and with what happens when it is reached.

/// `jute.maxbuffer`'s default: the largest request frame. A larger frame closes its connection. A run-time limit.
pub const FRAME_BYTES_DEFAULT: usize = 0xf_ffff;

/// Smallest and largest `jute.maxbuffer` accepted. Above this a group could not hold one request.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// One group of the log, unless one request alone is larger. Reached: the group is sealed and the next one collects.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// Transactions proposed and not yet applied, with the answers that wait for them. Reached: the replica takes no
/// request, shards stop reading sockets.
pub const PROPOSALS_MAX: usize = 65_536;

/// Bytes of sealed groups that are not applied yet: what waits for the disk, or for a shard whose ring is full. Reached: as
/// above.
pub const PROPOSED_BYTES_MAX: usize = 64 << 20;

/// Unanswered requests of one connection. Reached: its socket is not read until half of them are answered.
pub const CONNECTION_REQUESTS_MAX: usize = 4_096;

/// Bytes of one connection's reads that wait behind its own write. Reached: its socket is not read until half of them are
/// answered.
pub const CONNECTION_REQUEST_BYTES_MAX: usize = 4 << 20;

/// Bytes of replies and events that wait for a client which doesn't read. Soft: above it the socket is not read and
/// no queued read is executed.
pub const CONNECTION_OUTPUT_BYTES_SOFT: usize = 1 << 20;

/// Hard: above it (watch events come without being asked for) the connection is closed; the session lives on.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 << 20;

/// The same over all connections of an event loop. Above it nothing is taken from connections with anything unsent, the
/// others get small answers only, and whoever has taken nothing for a tick is cut off. From twice as much on, events and
/// reads that can't wait close the connection they are for.
pub const OUTPUT_BYTES_SOFT: usize = 128 << 20;

/// What the clients of an event loop have sent and isn't answered yet: parts of frames, requests that wait. Reached: no more
/// is read of connections that hold more than a little of it, and whose frame has been incomplete for a tick is cut off, the
/// longest first. From twice as much on, who brings more is cut off. Four of the largest frames if that is more.
pub const INPUT_BYTES_SOFT: usize = 128 << 20;

/// Emptied buffers kept for the next replies of their connections, all of an event loop together. Beyond, a connection keeps
/// a small one.
pub const SPARE_BYTES_MAX: usize = 16 << 20;

/// One reply. ZooKeeper has no such limit and dies of what doesn't fit in its memory. Reached (a getChildren of some ten
/// million children, a multiRead of thousands of large znodes): the connection is closed.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// Identities that one connection may show: each ACL check compares them with every entry. Reached: the next auth packet
/// fails.
pub const IDENTITIES_MAX: usize = 64;

/// One of them. Above: its auth packet fails.
pub const IDENTITY_BYTES_MAX: usize = 4 << 10;

/// Entries of one ACL list: each check of the znode looks at all of them. Above: InvalidACL.
pub const ACL_ENTRIES_MAX: usize = 1_024;

/// What the `auth` entries of one ACL list are replaced by: all that the connection has shown, once and a bit. A request of a
/// few bytes can ask for it, for each znode anew. Above, or above `jute.maxbuffer`: InvalidACL.
pub const ACL_BYTES_MAX: usize = 512 << 10;

/// The operations of one multi as logged: a short request can name the same long list often. Well below
/// `PROPOSED_BYTES_MAX`, so that one that waits for room on the disk doesn't make the replica full. Twice `jute.maxbuffer`, if
/// that is less: a learner of Apache's takes no more (`tree/rules.rs`). Above: InvalidACL.
pub const MULTI_BYTES_MAX: usize = 24 << 20;

/// Paths that a closeSession lists. Above, or above `jute.maxbuffer`, it lists none, as in logs before 3.6, and apply looks them up.
pub const CLOSE_SESSION_BYTES_MAX: usize = 1 << 20;

/// Connections of one server, whatever `maxCnxns` says: the slot table of the I/O room. Reached: close at accept.
pub const CONNECTIONS_MAX: usize = 1 << 20;

/// Slots of the ring of notices to one shard, a slot per transaction, by reference. Full: apply waits.
pub const NOTICES_MAX: usize = 16_384;

/// Slots of the ring of requests from one shard. Full: the shard stops reading its sockets.
pub const REQUESTS_MAX: usize = 16_384;

/// Text of addresses in the hello of an election connection: ZooKeeper's own bound. Above: the connection is closed.
pub const HELLO_ADDRESS_BYTES_MAX: usize = 2_048;

/// One notification of the election: ZooKeeper's own bound. Above: the connection is closed.
pub const NOTIFICATION_BYTES_MAX: usize = 512 << 10;

/// Text of a configuration of the ensemble: must fit in a notification. Above: the configuration is refused.
pub const ENSEMBLE_TEXT_BYTES_MAX: usize = NOTIFICATION_BYTES_MAX - 64;

/// Payload of those packets between leader and learner that carry a few integers and nothing of a client. Above: the
/// connection is closed, before a byte of it was waited for.
pub const PEER_PAYLOAD_SMALL_BYTES_MAX: usize = 1_024;

/// A client's identities in a forwarded request: four times what our own learners can send. Above: they are passed over, and
/// the request is refused (*AuthFailed*), unless it ends the session.
pub const AUTHINFO_BYTES_MAX: usize = 1 << 20;

/// Largest `myid`: the top byte of the session ids that a server makes. Above: refused at start.
pub const SERVER_ID_MAX: i64 = 255;

/// Units of divisible work (a child listed, a node walked for a snapshot) done in one turn of a loop.
pub const TURN_BUDGET: usize = 2_048;

/// Requests taken of one connection in a turn. What came beyond waits for the next ones.
pub const TURN_REQUESTS: usize = 128;

/// Requests taken in a turn of all connections that had to wait, in turn. Reached: the others wait for the next.
pub const TURN_REQUESTS_WAITING: usize = 1_024;

/// Unanswered writes of all connections of an event loop, which those who have more to hand over share evenly, and what each may
/// have all the same: more isn't taken from it until some are answered. Who comes with one write waits for about so many.
pub const WRITES_SOFT: usize = 2_048;
pub const WRITES_SHARE: usize = 32;

/// From so many connections on, those which an event reaches are sent it so many a turn, behind what else there is to send.
pub const TURN_NOTICES: usize = 64;

/// Of these units, what applying one transaction, or one operation of a multi, counts for. Reached: clients are listened to again
/// before more is applied.
pub const APPLY_UNITS: usize = 8;

/// Threads that may read one tree: one announcement each.
pub const SHARDS_MAX: usize = 64;

/// Znodes of one tree: a slot number is 31 bits wide.
pub const NODES_MAX: usize = 1 << 31;

const _: () = assert!(GROUP_BYTES_MAX >= FRAME_BYTES_DEFAULT, "a lone request must fit in a group");
const _: () =
    assert!(PROPOSED_BYTES_MAX >= 2 * GROUP_BYTES_MAX, "one group is synced while another collects");
const _: () = assert!(MULTI_BYTES_MAX + GROUP_BYTES_MAX < PROPOSED_BYTES_MAX);
const _: () = assert!(CONNECTION_OUTPUT_BYTES_SOFT < CONNECTION_OUTPUT_BYTES_MAX);
const _: () = assert!(NOTICES_MAX.is_power_of_two() && REQUESTS_MAX.is_power_of_two());
const _: () = assert!(AUTHINFO_BYTES_MAX >= 4 * IDENTITIES_MAX * IDENTITY_BYTES_MAX);
