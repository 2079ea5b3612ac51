//! Room `shard`: see the map in `lib.rs`.
