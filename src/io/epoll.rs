//! A ring made of readiness: takes the same submissions as `uring` and gives the same completions, where io_uring is
//! refused.
//!
//! Sends are tried at once when submitted and again when the socket is writable; receives and accepts are carried out
//! as completions are taken. One receive buffer serves the whole loop, as only one event is out at a time.
//! Invariant: a descriptor is in the epoll set if and only if an operation on it waits; so when the table closes it, no
//! registration is left behind.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::error::Error;
use super::operation::{BufferId, Completion, Kind, Submission, Token};
use super::socket;

const EVENTS: usize = 1024;
const BUFFER_BYTES: usize = 64 << 10;
const BUFFER: BufferId = BufferId(0);

/// Operations that wait on one descriptor. Accept, receive and wake exclude each other.
#[derive(Clone, Copy, Default)]
struct Watch {
    accept: Option<Token>,
    receive: Option<Token>,
    wake: Option<Token>,
    connect: Option<Token>,
    send: Option<Unsent>,
    /// What the epoll set knows; zero when not in it.
    interest: u32,
}

#[derive(Clone, Copy)]
struct Unsent {
    token: Token,
    /// The table's bytes: valid until this token completes.
    bytes: *const u8,
    length: usize,
    done: usize,
}

pub(super) struct Epoll {
    epoll: OwnedFd,
    /// By descriptor: small, dense numbers.
    watches: Vec<Watch>,
    /// Made without waiting: finished sends, cancels.
    completions: VecDeque<Completion>,
    /// What the last wait returned, from `next_event` on not looked at yet.
    events: Vec<libc::epoll_event>,
    next_event: usize,
    buffer: Box<[u8]>,
}

impl Epoll {
    pub(super) fn new() -> Result<Epoll, Error> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last("make an epoll set"));
        }
        Ok(Epoll {
            epoll: socket::own(fd),
            watches: Vec::new(),
            completions: VecDeque::new(),
            events: Vec::with_capacity(EVENTS),
            next_event: 0,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        })
    }

    pub(super) fn submit(&mut self, submission: Submission) {
        match submission {
            Submission::Accept { token, fd } => {
                set_nonblocking(fd);
                self.watch(fd).accept = Some(token);
                self.refresh(fd);
            }
            Submission::Receive { token, fd } => {
                self.watch(fd).receive = Some(token);
                self.refresh(fd);
            }
            Submission::Wake { token, fd } => {
                self.watch(fd).wake = Some(token);
                self.refresh(fd);
            }
            Submission::Send { token, fd, bytes, length } => {
                self.watch(fd).send = Some(Unsent { token, bytes, length, done: 0 });
                self.continue_send(fd);
            }
            Submission::Connect { token, fd, address, length } => self.connect(token, fd, address, length),
            Submission::Persist { token, fd, bytes, length, offset } => {
                // SAFETY: the table keeps the bytes until this token completes.
                let count = unsafe { libc::pwrite(fd, bytes.cast(), length, offset as i64) };
                let result = if count < 0 { -errno() } else { count as i32 };
                self.completions.push_back(Completion { token, result, more: false, buffer: None });
            }
            Submission::Cancel { token, target, fd } => self.cancel(token, target, fd),
        }
    }

    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        if self.next_event < self.events.len() {
            return Ok(()); // the driver hasn't looked at all of the last turn's
        }
        let timeout = if self.completions.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.next_event = 0;
        self.events.clear();
        let room = self.events.spare_capacity_mut();
        let count = wait(self.epoll.as_raw_fd(), room, timeout);
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINTR) {
                Ok(())
            } else {
                Err(Error::new("wait for sockets", error))
            };
        }
        // SAFETY: the kernel has just filled `count` entries.
        unsafe { self.events.set_len(count as usize) };
        Ok(())
    }

    pub(super) fn has_completions(&self) -> bool {
        !self.completions.is_empty() || self.next_event < self.events.len()
    }

    /// Out of order.
    pub(super) fn next_persist(&mut self) -> Option<Completion> {
        let at = self.completions.iter().position(|completion| completion.token.kind() == Kind::Persist)?;
        self.completions.remove(at)
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        loop {
            if let Some(completion) = self.completions.pop_front() {
                return Some(completion);
            }
            let event = *self.events.get(self.next_event)?;
            let fd = event.u64 as RawFd;
            let watch = *self.watch(fd);
            // Errors and hang-ups concern whoever waits: let the call itself say what happened.
            let readable = event.events & !(libc::EPOLLOUT as u32) != 0;
            let writable = event.events & !(libc::EPOLLIN as u32) != 0;
            if let (Some(token), true) = (watch.accept, readable) {
                match self.accept(token, fd) {
                    Some(completion) => return Some(completion), // and look again: there may be more
                    None => self.next_event += 1,
                }
                continue;
            }
            self.next_event += 1;
            if writable && watch.connect.is_some() {
                self.finish_connect(fd);
            }
            if writable && watch.send.is_some() {
                self.continue_send(fd);
            }
            if let Some(token) = watch.wake {
                self.completions.push_back(Completion { token, result: 1, more: true, buffer: None });
            }
            if let (Some(token), true) = (watch.receive, readable)
                && let Some(completion) = self.receive(token, fd)
            {
                return Some(completion);
            }
        }
    }

    pub(super) fn filled(&self, id: BufferId, count: usize) -> &[u8] {
        assert!(id == BUFFER);
        &self.buffer[..count]
    }

    fn accept(&mut self, token: Token, fd: RawFd) -> Option<Completion> {
        // SAFETY: null address and length mean that the peer's address isn't asked for.
        let result =
            unsafe { libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
        let result = if result < 0 { -errno() } else { result };
        if result == -libc::EAGAIN {
            return None;
        }
        let more = result >= 0;
        if !more {
            self.watch(fd).accept = None;
            self.refresh(fd);
        }
        Some(Completion { token, result, more, buffer: None })
    }

    fn receive(&mut self, token: Token, fd: RawFd) -> Option<Completion> {
        // SAFETY: the buffer is ours, writable, and of that size. Nobody reads it: its last loan has ended, or the
        // driver couldn't have called us (`Event` borrows the loop).
        let count =
            unsafe { libc::recv(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len(), libc::MSG_DONTWAIT) };
        let result = if count < 0 { -errno() } else { count as i32 };
        if result == -libc::EAGAIN || result == -libc::EINTR {
            return None;
        }
        let more = result > 0;
        if !more {
            self.watch(fd).receive = None;
            self.refresh(fd);
        }
        Some(Completion { token, result, more, buffer: more.then_some(BUFFER) })
    }

    fn continue_send(&mut self, fd: RawFd) {
        let Some(mut send) = self.watch(fd).send else { return };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let result = loop {
            // SAFETY: `done <= length`, and the table keeps `bytes..bytes + length` until this token completes.
            let count =
                unsafe { libc::send(fd, send.bytes.add(send.done).cast(), send.length - send.done, flags) };
            match if count < 0 { -errno() as isize } else { count } {
                count @ 0.. => {
                    send.done += count as usize;
                    if send.done == send.length {
                        break i32::try_from(send.done).unwrap_or(i32::MAX);
                    }
                }
                code if code == -libc::EINTR as isize => {}
                code if code == -libc::EAGAIN as isize => {
                    self.watch(fd).send = Some(send);
                    return self.refresh(fd);
                }
                code => break code as i32,
            }
        };
        self.watch(fd).send = None;
        self.completions.push_back(Completion { token: send.token, result, more: false, buffer: None });
        self.refresh(fd);
    }

    fn connect(&mut self, token: Token, fd: RawFd, address: *const libc::sockaddr_storage, length: u32) {
        set_nonblocking(fd);
        // SAFETY: the table keeps the address until this token completes.
        let result = match unsafe { libc::connect(fd, address.cast(), length) } {
            0 => 0,
            _ => -errno(),
        };
        if result == -libc::EINPROGRESS || result == -libc::EINTR {
            self.watch(fd).connect = Some(token);
            return self.refresh(fd);
        }
        self.completions.push_back(Completion { token, result, more: false, buffer: None });
    }

    fn finish_connect(&mut self, fd: RawFd) {
        let Some(token) = self.watch(fd).connect.take() else { return };
        let (mut code, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
        // SAFETY: both out-parameters are ours and of the size given.
        let result = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut code).cast(), &mut length)
        };
        let result = if result < 0 { -errno() } else { -code };
        self.completions.push_back(Completion { token, result, more: false, buffer: None });
        self.refresh(fd);
    }

    fn cancel(&mut self, token: Token, target: Token, fd: RawFd) {
        let watch = self.watch(fd);
        let mut found = 0;
        for slot in [&mut watch.accept, &mut watch.receive, &mut watch.wake, &mut watch.connect] {
            if *slot == Some(target) {
                *slot = None;
                found = 1;
            }
        }
        let mut result = -libc::ECANCELED;
        if watch.send.is_some_and(|send| send.token == target) {
            let send = watch.send.take().expect("just seen");
            found = 1;
            if send.done > 0 {
                result = i32::try_from(send.done).unwrap_or(i32::MAX);
            }
        }
        if found > 0 {
            self.completions.push_back(Completion { token: target, result, more: false, buffer: None });
            self.refresh(fd);
        }
        let result = if found > 0 { 0 } else { -libc::ENOENT };
        self.completions.push_back(Completion { token, result, more: false, buffer: None });
    }

    fn watch(&mut self, fd: RawFd) -> &mut Watch {
        let index = fd as usize;
        if index >= self.watches.len() {
            self.watches.resize(index + 1, Watch::default());
        }
        &mut self.watches[index]
    }

    /// Tells the epoll set what the watch waits for, if that has changed.
    fn refresh(&mut self, fd: RawFd) {
        let epoll = self.epoll.as_raw_fd();
        let watch = self.watch(fd);
        let mut interest = 0;
        if watch.accept.is_some() || watch.receive.is_some() {
            interest |= libc::EPOLLIN as u32;
        }
        if watch.send.is_some() || watch.connect.is_some() {
            interest |= libc::EPOLLOUT as u32;
        }
        if watch.wake.is_some() {
            interest |= (libc::EPOLLIN | libc::EPOLLET) as u32;
        }
        let before = mem::replace(&mut watch.interest, interest);
        let operation = match (before, interest) {
            (before, now) if before == now => return,
            (0, _) => libc::EPOLL_CTL_ADD,
            (_, 0) => libc::EPOLL_CTL_DEL,
            _ => libc::EPOLL_CTL_MOD,
        };
        let mut event = libc::epoll_event { events: interest, u64: fd as u64 };
        // SAFETY: `event` is ours and lives through the call.
        let result = unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) };
        if result < 0 {
            let code = errno();
            // Only ADD allocates; what can't be watched fails as the operations themselves would have.
            assert!(operation == libc::EPOLL_CTL_ADD, "the descriptor is in the set and open: errno {code}");
            let watch = self.watch(fd);
            let waiting = mem::take(watch);
            let tokens = [waiting.accept, waiting.receive, waiting.wake, waiting.connect];
            let send = waiting.send.map(|send| send.token);
            for token in tokens.into_iter().chain([send]).flatten() {
                self.completions.push_back(Completion { token, result: -code, more: false, buffer: None });
            }
        }
    }
}

/// Waits for events to the nanosecond, or, before Linux 5.11, to the millisecond: rounded up, as a deadline is never met
/// early. The count of events, or -1.
fn wait(epoll: RawFd, room: &mut [mem::MaybeUninit<libc::epoll_event>], timeout: Option<Duration>) -> i32 {
    let events = i32::try_from(room.len()).unwrap_or(i32::MAX);
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), |time| &raw const *time);
    // SAFETY: `room` is writable for `events` entries; `time` is null or points to a time that lives to the end.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll,
            room.as_mut_ptr(),
            events,
            time,
            std::ptr::null::<u8>(),
            0,
        )
    };
    if count >= 0 || !matches!(errno(), libc::ENOSYS | libc::EPERM) {
        return count as i32;
    }
    let millis = timeout
        .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    // SAFETY: `room` is writable for `events` entries.
    unsafe { libc::epoll_wait(epoll, room.as_mut_ptr().cast(), events, millis) }
}

fn set_nonblocking(fd: RawFd) {
    // SAFETY: takes no pointers; the table keeps the descriptor open while it submits for it.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
