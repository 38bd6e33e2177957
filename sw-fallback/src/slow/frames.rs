//! Frames one after the other in memory, up to a number and a sum of bytes.

/// Frames, in order.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    frames_max: usize,
    bytes_max: usize,
}

impl Frames {
    /// None, with room for a number of frames and of bytes.
    #[must_use]
    pub const fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), frames_max, bytes_max }
    }

    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| self.bytes.get(start..end))
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The sum of their lengths, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes all frames out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a frame that is written behind the bytes of the others.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Adds frames, all or, when there is no room for them, none. How many is returned.
    pub(super) fn push_with(&mut self, add: impl FnOnce(&mut Self)) -> Option<usize> {
        let (bytes, frames) = (self.bytes(), self.len());
        // Full already: not even written, so that memory stays within the bound and a frame.
        if frames < self.frames_max && bytes < self.bytes_max {
            add(self);
            if self.len() <= self.frames_max && self.bytes() <= self.bytes_max {
                return Some(self.len().saturating_sub(frames));
            }
        }
        self.bytes.truncate(bytes);
        self.ends.truncate(frames);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(frames: &mut Frames, all: &[&[u8]]) -> Option<usize> {
        frames.push_with(|frames| {
            for frame in all {
                frames.add(|out| out.extend_from_slice(frame));
            }
        })
    }

    #[test]
    fn frames_come_back_in_order_and_what_has_no_room_leaves_nothing() {
        let mut frames = Frames::new(3, 8);
        assert_eq!(push(&mut frames, &[b"ab", b""]), Some(2));
        // Nine bytes; four frames.
        assert_eq!(push(&mut frames, &[b"1234567"]), None);
        assert_eq!(push(&mut frames, &[b"1", b"2"]), None);
        assert_eq!(push(&mut frames, &[b"cdefgh"]), Some(1));
        assert_eq!(push(&mut frames, &[b""]), None);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [&b"ab"[..], b"", b"cdefgh"]);
        assert_eq!((frames.len(), frames.bytes(), frames.is_empty()), (3, 8, false));
        frames.clear();
        assert_eq!((frames.len(), frames.bytes(), frames.iter().count()), (0, 0, 0));
    }
}
