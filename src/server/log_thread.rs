//! The thread that writes the log: stores into the mapped segment, one `fdatasync` per group, one answer.
//!
//! Where the loop's ring writes the log (`ring_log.rs`), it makes the segments and the epoch record only: the loop lends it the
//! active segment where a new one begins.
//! Started by `disk.rs`. Tested: tests/crash, and with it by every test that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError};

use crate::io::{Clock, DirectFile, Error};
use crate::log::{Command, SegmentId};
use crate::zab::Epochs;

use super::disk::{Done, Report, SPACE_RETRY, Settings};
use super::epochs::EpochFile;
use super::segments::{self, Segment};

/// What it may take to give back what is removed anyway.
const ROOM_PATIENCE: Duration = Duration::from_millis(100);

/// In the order in which they are to be carried out.
pub(super) enum Order {
    /// `lent`: the active segment of a loop that writes by itself; the one that is active then goes back.
    Commands {
        lent: Option<Box<DirectFile>>,
        commands: Vec<Command>,
    },
    Epochs(Epochs),
}

pub(super) struct LogThread {
    pub settings: Settings,
    /// None while the loop has it.
    pub active: Option<Segment>,
    /// From the first record on.
    pub epochs: Option<EpochFile>,
    pub orders: Sender<segments::Order>,
    pub spares: Receiver<Segment>,
    pub report: Report,
    pub is_ending: Arc<AtomicBool>,
}

impl LogThread {
    /// Parks at once when there is nothing to do: the next order is a round trip away, and the channel's own waiting would
    /// first spin and yield, which where cores are few takes them from those who make the next order. Who orders unparks.
    pub fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match orders.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Empty) => {
                    std::thread::park();
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
            };
            let carried_out = match order {
                Order::Commands { lent, commands } => self.carry_out_all(lent, commands),
                Order::Epochs(epochs) => self.persist_epochs(epochs),
            };
            if let Err(error) = carried_out {
                self.report.send(Done::Failed { error });
                return;
            }
        }
    }

    /// Whatever `forceSync` says: what is promised can't be had back from the other members.
    fn persist_epochs(&mut self, epochs: Epochs) -> Result<(), Error> {
        match &mut self.epochs {
            Some(file) => file.change(epochs)?,
            None => self.epochs = Some(EpochFile::create(&self.settings.log_directory, epochs)?),
        }
        self.report.send(Done::EpochsDurable);
        Ok(())
    }

    fn carry_out_all(&mut self, lent: Option<Box<DirectFile>>, commands: Vec<Command>) -> Result<(), Error> {
        let is_lent = lent.is_some();
        if let Some(file) = lent {
            self.active = Some(Segment::Direct(file));
        }
        commands.into_iter().try_for_each(|command| self.carry_out(command))?;
        if is_lent && let Some(Segment::Direct(file)) = self.active.take() {
            self.report.send(Done::GivenBack { file });
        }
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Create { segment, header, bytes } => self.create(segment, &header, bytes),
            Command::Append { offset, bytes, .. } => {
                let active =
                    self.active.as_mut().expect("the loop lends it with what is to be written to it");
                active.write_at(offset, &bytes)
            }
            Command::Persist { ticket } => {
                self.sync_active()?;
                self.report.send(Done::Durable { ticket });
                Ok(())
            }
            Command::Remove { segment } => {
                let _ = self.orders.send(segments::Order::Discard(segment));
                Ok(())
            }
        }
    }

    fn create(&mut self, segment: SegmentId, header: &[u8], bytes: u64) -> Result<(), Error> {
        let name = segment.file_name();
        // What was stored in the old segment must be durable by the next persist, which will be the new one's.
        self.sync_active()?;
        let mut file = self.prepared(&name, bytes)?;
        file.write_at(0, header)?;
        self.active = Some(file);
        Ok(())
    }

    /// The spare, which the replica knew of before it accepted what comes now; or a file for a transaction that is
    /// larger than a segment, waiting for room if there is none: nothing is acknowledged meanwhile.
    fn prepared(&mut self, name: &str, bytes: u64) -> Result<Segment, Error> {
        let directory = &self.settings.log_directory;
        if bytes == self.settings.segment_bytes {
            let mut spare = self.spares.recv().expect("the preparer lives until this thread ends");
            spare.rename(directory, name)?;
            let _ = self.orders.send(segments::Order::Prepare);
            return Ok(spare);
        }
        let (mut has_asked, mut low) = (false, false);
        loop {
            match Segment::create(&self.settings, &directory.path_of(name), bytes) {
                Ok(file) => {
                    if low {
                        self.report.has_room_again();
                    }
                    return Ok(file);
                }
                Err(error) if error.is_space() && !std::mem::replace(&mut has_asked, true) => {
                    let _ = self.orders.send(segments::Order::MakeRoom);
                    std::thread::park_timeout(ROOM_PATIENCE);
                }
                Err(error) if error.is_space() && !self.is_ending.load(Ordering::Relaxed) => {
                    if !std::mem::replace(&mut low, true) {
                        tracing::error!(
                            %error,
                            bytes,
                            "the log waits for room on the disk for one large transaction; free space in the log directory"
                        );
                        self.report.lacks_room();
                    }
                    std::thread::park_timeout(SPACE_RETRY);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn sync_active(&mut self) -> Result<(), Error> {
        let settings = &self.settings;
        if !settings.force_sync {
            return Ok(());
        }
        let active = self.active.as_mut().expect("as for an append");
        let started = Clock::instant();
        active.persist()?;
        let took = Clock::instant().since(started);
        settings.sync_times.note(took, settings.sync_warning, active.path());
        Ok(())
    }
}
