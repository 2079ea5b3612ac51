//! The log written by the ring of the loop that owns it: no other thread is woken for a group, nor wakes the loop when it is
//! durable.
//!
//! Part of `disk.rs`. Commands wait here in order; one persist is in the kernel's hands at a time, and what is logged
//! meanwhile joins the next. What takes longer than a write goes to the log thread, which gets the active segment lent with
//! it: a new segment (renamed, its directory synced), the epoch record. Nothing overtakes anything.
//! Tested: tests/crash, recovery_test.rs, and by every test that writes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Instant, Ticket};
use crate::io::{Clock, DirectFile, Error, Loop};
use crate::log::Command;
use crate::zab::Epochs;

use super::Fatal;
use super::disk::{Disk, Done};
use super::log_thread::Order;

/// How long the end waits for the disk at a time.
const PATIENCE: Duration = Duration::from_secs(1);

enum Step {
    Log(Command),
    Epochs(Epochs),
}

enum Doing {
    Nothing,
    /// In the kernel's hands.
    Persist {
        /// None: nobody waits for it.
        ticket: Option<Ticket>,
        since: Instant,
    },
    /// The log thread's, with the active segment.
    Lent,
    /// The log thread's.
    Epochs,
    /// The log can't be trusted any more.
    Failed,
}

pub(super) struct RingLog {
    steps: VecDeque<Step>,
    doing: Doing,
    /// None while the kernel or the log thread has it.
    active: Option<Box<DirectFile>>,
}

impl RingLog {
    pub fn new(active: DirectFile) -> RingLog {
        RingLog { steps: VecDeque::new(), doing: Doing::Nothing, active: Some(Box::new(active)) }
    }

    pub fn log(&mut self, commands: &mut Vec<Command>) {
        self.steps.extend(commands.drain(..).map(Step::Log));
    }

    pub fn persist_epochs(&mut self, epochs: Epochs) {
        self.steps.push_back(Step::Epochs(epochs));
    }

    fn is_done(&self) -> bool {
        self.steps.is_empty() && matches!(self.doing, Doing::Nothing) || matches!(self.doing, Doing::Failed)
    }

    /// Does what can be done here; what comes next for the log thread.
    fn next_order(&mut self, io: &mut Loop) -> Result<Option<Order>, Error> {
        while let Doing::Nothing = self.doing {
            let active = self.active.as_mut().expect("whoever does nothing with it has given it back");
            let Some(step) = self.steps.pop_front() else {
                if active.is_dirty() {
                    // The mark of an idle log, which only has to be there some day.
                    self.persist(None, io);
                }
                break;
            };
            match step {
                Step::Log(Command::Append { offset, bytes, .. }) => active.write_at(offset, &bytes)?,
                Step::Log(Command::Persist { ticket }) => {
                    self.persist(Some(ticket), io);
                }
                Step::Log(create @ Command::Create { .. }) => {
                    self.steps.push_front(Step::Log(create));
                    self.doing = Doing::Lent;
                    let commands = self.take_roll();
                    return Ok(Some(Order::Commands { lent: self.active.take(), commands }));
                }
                Step::Log(remove @ Command::Remove { .. }) => {
                    return Ok(Some(Order::Commands { lent: None, commands: vec![remove] }));
                }
                Step::Epochs(epochs) => {
                    self.doing = Doing::Epochs;
                    return Ok(Some(Order::Epochs(epochs)));
                }
            }
        }
        Ok(None)
    }

    fn persist(&mut self, ticket: Option<Ticket>, io: &mut Loop) {
        self.doing = Doing::Persist { ticket, since: Clock::instant() };
        io.persist(self.active.take().expect("whoever does nothing with it has given it back"));
    }

    /// From a new segment on, up to the persist that covers it.
    fn take_roll(&mut self) -> Vec<Command> {
        let mut commands = vec![];
        while let Some(Step::Log(command)) = self.steps.pop_front_if(|step| matches!(step, Step::Log(_))) {
            let is_last = matches!(command, Command::Persist { .. });
            commands.push(command);
            if is_last {
                break;
            }
        }
        commands
    }
}

impl Disk {
    /// Begins what can be begun.
    pub(super) fn advance(&mut self, io: &mut Loop) {
        while let Some(ring) = &mut self.ring {
            match ring.next_order(io) {
                Ok(Some(order)) => self.order(order),
                Ok(None) => return,
                Err(error) => {
                    ring.doing = Doing::Failed;
                    self.waited.push_back(Done::Failed { error });
                }
            }
        }
    }

    /// What the kernel has made durable.
    pub(super) fn next_persisted(&mut self, io: &mut Loop) -> Option<Done> {
        let (file, result) = io.take_persisted()?;
        let ring = self.ring.as_mut()?;
        let Doing::Persist { ticket, since } = std::mem::replace(&mut ring.doing, Doing::Nothing) else {
            unreachable!("the loop persists what it was given here");
        };
        if let Err(error) = result {
            ring.doing = Doing::Failed;
            return Some(Done::Failed { error });
        }
        let (times, warning) = (&self.settings.sync_times, self.settings.sync_warning);
        times.note(Clock::instant().since(since), warning, file.path());
        ring.active = Some(file);
        self.advance(io);
        ticket.map(|ticket| Done::Durable { ticket })
    }

    /// What a thread reports, as it is to be told.
    pub(super) fn on_done(&mut self, io: &mut Loop, done: Done) -> Option<Done> {
        let ring = self.ring.as_mut()?;
        let told = match done {
            Done::GivenBack { file } => {
                ring.active = Some(file);
                ring.doing = Doing::Nothing;
                None
            }
            Done::EpochsDurable => {
                ring.doing = Doing::Nothing;
                Some(Done::EpochsDurable)
            }
            Done::Failed { error } => {
                ring.doing = Doing::Failed;
                Some(Done::Failed { error })
            }
            other => return Some(other),
        };
        self.advance(io);
        told
    }

    /// All that was handed over is carried out; what there is to tell of it waits.
    pub(super) fn drain(&mut self, io: &mut Loop) -> Result<(), Fatal> {
        let mut told = VecDeque::new();
        while self.ring.as_ref().is_some_and(|ring| !ring.is_done()) {
            self.wait_done(io, PATIENCE)?;
            while let Some(done) = self.next_done(io) {
                told.push_back(done);
            }
        }
        self.waited.extend(told);
        Ok(())
    }
}
