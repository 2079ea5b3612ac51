//! Room `sim`: see the map in `lib.rs`.
