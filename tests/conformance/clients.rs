//! Unchanged ZooKeeper clients against the server: kazoo (Python).
//!
//! `tests/run` installs them below `tests/.clients`. A client that isn't there is a failure, never a skip.
