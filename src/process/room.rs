//! A bound for what waits between two threads.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Room for a number of bytes on the way from one thread to another: a sender with more bytes waits.
#[derive(Clone)]
pub struct Room(Arc<Space>);

struct Space {
    size: usize,
    free: Mutex<usize>,
    more: Condvar,
}

/// A part of the room that is taken until this is dropped.
pub struct Taken {
    room: Room,
    bytes: usize,
}

impl Room {
    /// Makes room for `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self(Arc::new(Space {
            size,
            free: Mutex::new(size),
            more: Condvar::new(),
        }))
    }

    /// Takes room for `bytes`, after waiting until that much is free. A piece that is larger than the whole room takes
    /// all of it.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Taken {
        let bytes = bytes.min(self.0.size);
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.0.more.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Taken {
            room: self.clone(),
            bytes,
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.0.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.0.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn who_has_more_waits_and_what_is_too_large_passes_alone() {
        let room = Room::new(10);
        let (first, second) = (room.take(6), room.take(4));
        let (sender, receiver) = channel();
        let other = room.clone();
        let thread = thread::spawn(move || sender.send(other.take(1000)).unwrap());
        drop(first);
        assert!(receiver.try_recv().is_err());
        drop(second);
        let all = receiver.recv().unwrap();
        thread.join().unwrap();
        assert_eq!(*room.0.free.lock().unwrap(), 0);
        drop(all);
        assert_eq!(*room.0.free.lock().unwrap(), 10);
    }
}
