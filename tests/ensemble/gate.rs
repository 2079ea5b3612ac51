//! What clients pass with each step of theirs, so that all of them can be held back for a moment.
#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Who waits at a closed gate looks up so often: a session wants its pings.
const WAIT: Duration = Duration::from_secs(1);

/// Who is inside for longer waits for a server that stands still.
const LEAVING: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    inside: usize,
}

#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// Until it is dropped its owner is inside.
#[derive(Debug)]
pub struct Inside<'a>(&'a Gate);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// None if it stays closed for a second.
    pub fn enter(&self) -> Option<Inside<'_>> {
        let wait = self.changed.wait_timeout_while(self.state(), WAIT, |state| state.closed);
        let (mut state, _) = wait.expect("nobody panics with it");
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// When this returns nobody comes in, and nobody is inside but who waits for a server that stands still.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let wait = self.changed.wait_timeout_while(state, LEAVING, |state| state.inside > 0);
        drop(wait.expect("nobody panics with it"));
    }

    pub fn open(&self) {
        self.state().closed = false;
        self.changed.notify_all();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Waits for so long, whatever the gate does.
    pub fn linger(&self, time: Duration) {
        let wait = self.changed.wait_timeout_while(self.state(), time, |_| true);
        drop(wait.expect("nobody panics with it"));
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.changed.notify_all();
    }
}
