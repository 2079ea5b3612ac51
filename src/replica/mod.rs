//! Room `replica`: see the map in `lib.rs`.
