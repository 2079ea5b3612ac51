//! `ringkeeper cli` as its users see it: the tutorials' sessions and whatever can be typed wrong, against a real server.
//!
//! Expected texts are those of Apache's shell 3.9; `shell_of_java.rs` holds the same dialogues against Apache's shell and
//! server. `shell/*.txt` are dialogues, in the form that `clients/transcript.rs` describes.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "shell/dialogue.rs"]
mod dialogue;
#[path = "shell/faults.rs"]
mod faults;
#[path = "shell/own.rs"]
mod own;
#[path = "shell/single.rs"]
mod single;
#[path = "clients/transcript.rs"]
mod transcript;
#[path = "shell/tutorials.rs"]
mod tutorials;
