//! Room `log`: see the map in `lib.rs`.
