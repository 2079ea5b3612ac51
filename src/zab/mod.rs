//! Room `zab`: see the map in `lib.rs`.
