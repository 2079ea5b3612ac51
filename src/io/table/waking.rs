//! The eventfd by which other threads wake a loop.

use super::super::operation::{Completion, Kind, Submission, Token};
use super::{Flight, Outcome, Table};

impl Table {
    pub(super) fn arm_wake(&mut self) {
        self.wake = Flight::Armed;
        self.in_flight += 1;
        self.submissions
            .push_back(Submission::Wake { token: Token::new(Kind::Wake, 0, 0), fd: self.wake_fd });
    }

    pub(super) fn on_wake(&mut self, completion: Completion) -> Option<Outcome> {
        assert!(self.wake != Flight::Idle);
        if !completion.more {
            self.wake = Flight::Idle;
            if !self.stopping {
                self.arm_wake();
            }
        }
        (completion.result > 0).then_some(Outcome::Woken)
    }

    pub(super) fn cancel_wake(&mut self) {
        if self.wake == Flight::Armed {
            self.wake = Flight::Cancelling;
            self.wake_cancels += 1;
            self.cancel(Kind::CancelWake, Kind::Wake, 0, 0, self.wake_fd);
        }
    }

    pub(super) fn on_wake_cancelled(&mut self) {
        assert!(self.wake_cancels > 0);
        self.wake_cancels -= 1;
    }
}
