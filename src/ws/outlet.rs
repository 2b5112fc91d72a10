//! The way out of a connection: a socket that several may write to, whole frames at a time. What one of them has begun
//! goes out before anything else does. It keeps what the kernel did not take, which is never more than its task gives
//! it in one go, or a part of one push: whoever pushes past the task is refused while anything waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::hub::{self, Pushed};
use crate::protocol::Wire;

#[derive(Debug)]
pub(super) struct Outlet {
    waiting: Mutex<Waiting>,
    stream: TcpStream,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What waits to be written. The front one may be the rest of something.
    frames: VecDeque<Wire>,
    /// Whether nobody but the task may write any more.
    shut: bool,
}

impl Outlet {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { waiting: Mutex::default(), stream }
    }

    /// The socket, to be read from.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Takes whole frames, and writes what the kernel takes at once. An error says that the peer is gone.
    pub(super) fn put(&self, frames: Wire) -> io::Result<()> {
        let mut waiting = self.lock();
        waiting.frames.push_back(frames);
        self.drain(&mut waiting.frames).map(drop)
    }

    /// Takes whole frames, unless others wait for the kernel.
    pub(super) fn put_if_free(&self, frames: &[u8]) -> io::Result<()> {
        let mut waiting = self.lock();
        if !self.drain(&mut waiting.frames)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        waiting.frames.push_back(Wire::copy_from_slice(frames));
        self.drain(&mut waiting.frames).map(drop)
    }

    /// Writes what the kernel takes at once. Returns whether that was all.
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        self.drain(&mut self.lock().frames)
    }

    /// Waits until everything is written.
    pub(super) async fn flush(&self) -> io::Result<()> {
        while !self.try_flush()? {
            self.stream.writable().await?;
        }
        Ok(())
    }

    /// Resolves once there may be something to read; for the task alone, as only the last who asks is woken. Unlike
    /// [`TcpStream::readable`] it takes no memory of its own.
    pub(super) fn readable(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|cx| self.stream.poll_read_ready(cx))
    }

    /// What the kernel did not take yet, in bytes.
    #[cfg(test)]
    pub(super) fn unwritten(&self) -> usize {
        self.lock().frames.iter().map(Wire::len).sum()
    }

    /// Writes what the kernel takes at once. Returns whether that was all.
    fn drain(&self, waiting: &mut VecDeque<Wire>) -> io::Result<bool> {
        while let Some(front) = waiting.front_mut() {
            match self.stream.try_write(front) {
                Ok(written) if written == front.len() => drop(waiting.pop_front()),
                Ok(written) => drop(front.split_to(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        // A burst is over; its list does not stay.
        *waiting = VecDeque::new();
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code here can panic while it holds the lock half way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hub::Outlet for Outlet {
    fn push(&self, frames: &Wire) -> Pushed {
        let mut waiting = self.lock();
        if waiting.shut || !waiting.frames.is_empty() {
            return Pushed::No;
        }
        // Past tokio, which keeps a note of its own of whether a socket takes more; the task finds out when it writes.
        match SockRef::from(&self.stream).send(frames) {
            Ok(written) if written == frames.len() => Pushed::Whole,
            Ok(written) => {
                waiting.frames.push_back(frames.slice(written..));
                Pushed::Part
            }
            // Full, or gone: the reader finds out which.
            Err(_) => Pushed::No,
        }
    }

    fn touch(&self) -> usize {
        usize::from(self.waiting.is_poisoned()) ^ usize::try_from(self.stream.as_raw_fd()).unwrap_or(0)
    }

    fn shut(&self) {
        self.lock().shut = true;
    }
}
