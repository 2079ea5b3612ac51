//! Room `lockfree`: see the map in `lib.rs`.
