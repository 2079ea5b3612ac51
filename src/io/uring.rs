//! The kernel's ring: submissions in, completions out, one `io_uring_enter` per turn of the loop.
//!
//! Belongs to the thread that made it (SINGLE_ISSUER). Deferred task work: completions are made only while we are in the
//! kernel anyway, never by interrupting us. Refused setup (old kernel, seccomp, sysctl, memory) is an error the loop
//! falls back from.

use std::io;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use super::buffers::{Buffers, GROUP};
use super::error::Error;
use super::operation::{BufferId, Completion, Kind, Submission, Token};

/// Submission slots; when they are full the ring is entered early.
const SUBMISSIONS: u32 = 1024;
/// Completion slots. More at once (a burst of accepts) overflow into the kernel's list and come with the next enter.
const COMPLETIONS: u32 = 8192;

pub(super) struct Uring {
    /// Dropped first: the kernel lets go of the buffers before they go.
    ring: IoUring,
    buffers: Buffers,
}

impl Uring {
    pub(super) fn new() -> Result<Uring, Error> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(|e| Error::new("set up io_uring", e))?;
        if !ring.params().is_feature_nodrop() || !ring.params().is_feature_ext_arg() {
            return Err(Error::of_code("set up io_uring", libc::ENOSYS));
        }
        let mut buffers = Buffers::new()?;
        buffers.register(&ring.submitter())?;
        Ok(Uring { ring, buffers })
    }

    /// False where the ring is full and the kernel takes nothing just now: reap first, then come again.
    pub(super) fn submit(&mut self, submission: Submission) -> bool {
        let entry = entry(submission);
        for _ in 0..2 {
            // SAFETY: the memory an entry names (bytes of a send, address of a connect, buffer of a file) belongs to
            // the table, which keeps it until the completion with this token. Other operations name only the provided buffers.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return true;
            }
            // Full: pass on what there is. An error is seen again by the `enter` that follows.
            let _ = self.ring.submit();
        }
        false
    }

    /// Enters the kernel once: submits, and waits for so many completions or the timeout.
    pub(super) fn enter(&mut self, completions: usize, timeout: Option<Duration>) -> Result<(), Error> {
        let result = match timeout {
            Some(Duration::ZERO) => {
                let queued = self.ring.submission().len() as u32;
                let flags = EnterFlags::GETEVENTS.bits();
                // SAFETY: no argument is passed, and `queued` entries are in the submission ring.
                unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, flags, None) }
            }
            Some(timeout) => {
                let time = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(completions, &SubmitArgs::new().timespec(&time))
            }
            None => self.ring.submit_and_wait(completions),
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(Error::new("enter io_uring", error)),
        }
    }

    pub(super) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let token = Token(entry.user_data());
        if entry.result() == -libc::ENOBUFS && token.kind() == Kind::Receive {
            self.buffers.grow();
        }
        Some(Completion {
            token,
            result: entry.result(),
            more: cqueue::more(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()).map(BufferId),
        })
    }

    pub(super) fn filled(&self, id: BufferId, count: usize) -> &[u8] {
        self.buffers.filled(id, count)
    }

    pub(super) fn give_back(&mut self, id: BufferId) {
        self.buffers.give_back(id);
    }

    /// Where operations couldn't be ended in time: what the kernel may still write to stays mapped for good.
    pub(super) fn leak(self) {
        std::mem::forget(self.buffers);
    }
}

fn entry(submission: Submission) -> squeue::Entry {
    let (token, entry) = match submission {
        Submission::Accept { token, fd } => {
            (token, opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC).build())
        }
        Submission::Receive { token, fd } => (token, opcode::RecvMulti::new(Fd(fd), GROUP).build()),
        Submission::Send { token, fd, bytes, length } => {
            // WAITALL: the kernel continues a short send by itself where it can.
            let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
            let length = u32::try_from(length).unwrap_or(1 << 30).min(1 << 30);
            (token, opcode::Send::new(Fd(fd), bytes, length).flags(flags).build())
        }
        Submission::Wake { token, fd } => {
            (token, opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build())
        }
        Submission::Connect { token, fd, address, length } => {
            (token, opcode::Connect::new(Fd(fd), address.cast(), length).build())
        }
        Submission::Persist { token, fd, bytes, length, offset } => {
            let length = u32::try_from(length).expect("a piece of a log segment");
            (token, opcode::Write::new(Fd(fd), bytes, length).offset(offset).build())
        }
        Submission::Cancel { token, target, .. } => (token, opcode::AsyncCancel::new(target.0).build()),
    };
    entry.user_data(token.0)
}

/// The timeout passed, a signal came, or the kernel wants its completions reaped or is short of memory: go on, come again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}
