//! A ring that the kernel and we share: one side puts entries in, the other takes them out.
//!
//! Its two counters are words that wrap; each is written by one side. What the kernel is to see, or may write over, is told
//! to it once a burst.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A ring that we put entries into.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// Entries that were put in ever, those included that have not been published.
    next: u32,
    /// Entries that the kernel had taken out when it was looked last.
    taken: u32,
}

/// A ring that we take entries out of.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// Entries that were taken out ever, those included that have not been released.
    next: u32,
    /// Entries that the kernel had put in when it was looked last.
    put: u32,
}

/// Where a ring is, as the kernel tells it.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) ring: libc::xdp_ring_offset,
    /// Where it is in what a socket maps.
    pub(super) page: u64,
    /// Entries; a power of two.
    pub(super) entries: u32,
}

/// What rings have in them.
///
/// # Safety
/// Every bit pattern is a value of the type.
pub(super) unsafe trait Entry: Copy {}

// SAFETY: a number.
unsafe impl Entry for u64 {}
// SAFETY: three numbers.
unsafe impl Entry for libc::xdp_desc {}

impl<T: Entry> Producer<T> {
    pub(super) fn map(socket: &impl AsRawFd, layout: &Layout) -> io::Result<Self> {
        Ok(Self { ring: Ring::map(socket, layout)?, next: 0, taken: 0 })
    }

    /// Whether there is room for an entry.
    pub(super) fn has_room(&mut self) -> bool {
        if self.next.wrapping_sub(self.taken) == self.ring.entries {
            self.taken = self.ring.consumer().load(Ordering::Acquire);
        }
        self.next.wrapping_sub(self.taken) != self.ring.entries
    }

    /// Puts an entry in, if there is room; whether there was.
    pub(super) fn put(&mut self, entry: T) -> bool {
        if !self.has_room() {
            return false;
        }
        // SAFETY: the pointer is that of an entry, which the kernel has taken out and does not read before it is published.
        unsafe { self.ring.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Tells the kernel of what was put in.
    pub(super) fn publish(&self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Entries that the kernel has not taken out.
    pub(super) fn pending(&self) -> u32 {
        self.next.wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
    }

    /// Whether the kernel does not look by itself.
    pub(super) fn needs_wakeup(&self) -> bool {
        // After what was published: the kernel sets the flag before it looks a last time.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.ring.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

impl<T: Entry> Consumer<T> {
    pub(super) fn map(socket: &impl AsRawFd, layout: &Layout) -> io::Result<Self> {
        Ok(Self { ring: Ring::map(socket, layout)?, next: 0, put: 0 })
    }

    /// Whether there is an entry.
    pub(super) fn has_entries(&mut self) -> bool {
        if self.next == self.put {
            self.put = self.ring.producer().load(Ordering::Acquire);
        }
        self.next != self.put
    }

    /// Takes an entry out, if there is one.
    pub(super) fn take(&mut self) -> Option<T> {
        if !self.has_entries() {
            return None;
        }
        // SAFETY: the pointer is that of an entry, which the kernel has published and does not write before it is released.
        let entry = unsafe { self.ring.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Tells the kernel what was taken out.
    pub(super) fn release(&self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}

/// The shared memory of a ring.
#[derive(Debug)]
struct Ring<T> {
    map: MmapRaw,
    /// Where the words are: entries put in ever, entries taken out ever, and flags.
    producer: usize,
    consumer: usize,
    flags: usize,
    /// Where the first entry is.
    first: usize,
    entries: u32,
    of: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    fn map(socket: &impl AsRawFd, layout: &Layout) -> io::Result<Self> {
        let odd = |_| io::Error::from(io::ErrorKind::InvalidData);
        let at = |offset: u64| usize::try_from(offset).map_err(odd);
        let [producer, consumer] = [at(layout.ring.producer)?, at(layout.ring.consumer)?];
        let [flags, first] = [at(layout.ring.flags)?, at(layout.ring.desc)?];
        let entries = layout.entries;
        let len = first.saturating_add((entries as usize).saturating_mul(size_of::<T>()));
        let is_word = |at: usize| at.is_multiple_of(4) && at < len && len - at >= 4;
        let are_right = entries.is_power_of_two()
            && first.is_multiple_of(align_of::<T>())
            && [producer, consumer, flags].into_iter().all(is_word);
        if !are_right {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let map = MmapOptions::new().len(len).offset(layout.page).map_raw(socket.as_raw_fd())?;
        Ok(Self { map, producer, consumer, flags, first, entries, of: PhantomData })
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.consumer)
    }

    fn flags(&self) -> &AtomicU32 {
        self.word(self.flags)
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: an aligned word within the map, as was checked when it was mapped, which lives as long as `self`; the
        // kernel reads and writes it as a whole, and we nothing but so.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    /// Where the entry is that is the so-manieth ever.
    fn entry(&self, number: u32) -> *mut T {
        let index = (number & (self.entries - 1)) as usize;
        // SAFETY: the map is as long as so many entries behind where they begin, and the index is that of one.
        unsafe { self.map.as_mut_ptr().add(self.first).cast::<T>().add(index) }
    }
}
