//! A device that several hold at once: the server that answers for it, and whoever gives it frames meanwhile.
//!
//! Each access has the device for itself. Its unit of work is the access.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use maglane_driver::bar::{BarError, BarIo};

use crate::pci::Device;

/// One of several handles of a device.
#[derive(Debug)]
pub struct Shared<D>(Arc<Mutex<D>>);

impl<D> Shared<D> {
    /// A first handle.
    pub fn new(device: D) -> Self {
        Self(Arc::new(Mutex::new(device)))
    }

    /// The device, which nobody else can access until this is dropped.
    pub fn lock(&self) -> MutexGuard<'_, D> {
        // Whoever panicked with it was in the midst of nothing that the device itself would not notice.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Clone for Shared<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: BarIo> BarIo for Shared<D> {
    fn bytes(&self) -> u32 {
        self.lock().bytes()
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        self.lock().read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.lock().write(offset, word)
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        self.lock().write_all(writes)
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        self.lock().read_all(offsets, out)
    }
}

impl<D: Device> Device for Shared<D> {
    fn reset(&mut self) -> Result<(), BarError> {
        self.lock().reset()
    }
}
