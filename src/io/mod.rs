//! Room `io`: see the map in `lib.rs`.
