//! The thread that writes the log: stores into the mapped segment, one `fdatasync` per group, one answer.
//!
//! A loop that syncs by itself while nobody else is there was tried: it saves two wake-ups a write and gained nothing that
//! could be measured, alone or in an ensemble.
//! Started by `disk.rs`. Tested: tests/crash, and with it by every test that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, TryRecvError};

use crate::io::{Clock, Error, SegmentFile};
use crate::log::{Command, SegmentId};
use crate::zab::Epochs;

use super::disk::{Done, Report, SPACE_RETRY, Settings};
use super::epochs::EpochFile;
use super::segments;

/// In the order in which they are to be carried out.
pub(super) enum Order {
    Commands(Vec<Command>),
    Epochs(Epochs),
}

pub(super) struct LogThread {
    pub settings: Settings,
    pub active: SegmentFile,
    /// From the first record on.
    pub epochs: Option<EpochFile>,
    pub orders: Sender<segments::Order>,
    pub spares: Receiver<SegmentFile>,
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
                Order::Commands(batch) => batch.into_iter().try_for_each(|command| self.carry_out(command)),
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

    fn carry_out(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Create { segment, header, bytes } => self.create(segment, &header, bytes),
            Command::Append { offset, bytes, .. } => {
                self.active.write_at(offset, &bytes);
                Ok(())
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
        file.write_at(0, header);
        self.active = file;
        Ok(())
    }

    /// The spare, which the replica knew of before it accepted what comes now; or a file for a transaction that is
    /// larger than a segment, waiting for room if there is none: nothing is acknowledged meanwhile.
    fn prepared(&mut self, name: &str, bytes: u64) -> Result<SegmentFile, Error> {
        let directory = &self.settings.log_directory;
        if bytes == self.settings.segment_bytes {
            let mut spare = self.spares.recv().expect("the preparer lives until this thread ends");
            spare.rename(directory, name)?;
            let _ = self.orders.send(segments::Order::Prepare);
            return Ok(spare);
        }
        let mut low = false;
        loop {
            match SegmentFile::create(&directory.path_of(name), bytes) {
                Ok(file) => {
                    if low {
                        self.report.has_room_again();
                    }
                    return Ok(file);
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
        if !self.settings.force_sync {
            return Ok(());
        }
        let started = Clock::instant();
        self.active.persist()?;
        let took = Clock::instant().since(started);
        let micros = took.as_micros() as u64;
        let times = &self.settings.sync_times;
        if times.count.fetch_add(1, Ordering::Relaxed) == 0 {
            times.micros_min.store(micros, Ordering::Relaxed);
        }
        times.micros_min.fetch_min(micros, Ordering::Relaxed);
        times.micros_sum.fetch_add(micros, Ordering::Relaxed);
        times.micros_max.fetch_max(micros, Ordering::Relaxed);
        times.spread(micros);
        if took > self.settings.sync_warning {
            times.over_threshold.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                took_ms = took.as_millis() as u64,
                file = %self.active.path().display(),
                "syncing the transaction log took long: write latency and sessions suffer; is the disk shared or failing?"
            );
        }
        Ok(())
    }
}
