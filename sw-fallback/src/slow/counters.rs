//! What becomes of frames on the slow path. Each ends in exactly one fate, and every fate is counted.

macro_rules! fates {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What became of a frame that the slow path looked at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fate { $($(#[$doc])* $variant,)* }

        impl Fate {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in reports and `--json`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fates! {
    /// Not taken: the kernel's.
    Passed = "passed";
    /// A piece that went to its datagram's backend, cut into smaller ones where it had to be.
    FragmentForwarded = "fragment_forwarded";
    /// A piece that no datagram has: empty, past the longest packet, or not the last and no multiple of eight bytes long.
    FragmentMalformed = "fragment_malformed";
    /// A first piece without the whole transport header, or a later one that lies over it.
    FragmentTiny = "fragment_tiny";
    /// A first piece with other ports than the one before it.
    FragmentConflict = "fragment_conflict";
    /// A piece that waited for one that no service takes.
    FragmentUnwanted = "fragment_unwanted";
    /// A piece for a service that takes no frames.
    FragmentServiceDisabled = "fragment_service_disabled";
    /// A piece for a service without backends, or for a backend that has gone.
    FragmentNoBackend = "fragment_no_backend";
    /// A piece that waited in vain.
    FragmentLate = "fragment_late";
    /// A piece that waited, and made room for others.
    FragmentEvicted = "fragment_evicted";
    /// A piece for which there was no room among those of its datagram that wait.
    FragmentOverfull = "fragment_overfull";
    /// A packet, or a piece, whose source was told which size fits.
    TooBigAnswered = "too_big_answered";
    /// The same, but too many were told already.
    TooBigLimited = "too_big_limited";
    /// A whole packet that went to its backend in pieces; in one if tables that have come since have room for it.
    TooBigFragmented = "too_big_fragmented";
    /// A packet, or a piece, that does not fit, and about which nothing may be said or nothing would help.
    TooBigLost = "too_big_lost";
    /// An echo request that was answered.
    EchoAnswered = "echo_answered";
    /// One that was not, because too many were.
    EchoLimited = "echo_limited";
    /// What there was to send had no room in the outbox.
    Unsent = "unsent";
}

/// Counters of the slow path, since it began.
///
/// # Shape
/// The fates and the pieces that wait now sum up to the frames that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Frames by fate.
    fates: [u64; Fate::ALL.len()],
    /// Frames that were put into an outbox.
    pub sent: u64,
    /// Pieces that had to wait, whatever became of them.
    pub held: u64,
    /// Datagrams whose backend was forgotten to make room for others.
    pub forgotten: u64,
    /// What is kept now.
    pub kept: Kept,
}

/// How much of datagrams is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Datagrams that are known.
    pub datagrams: usize,
    /// Pieces that wait.
    pub pieces: usize,
    /// Bytes of the frames that wait.
    pub bytes: usize,
}

impl HostCounters {
    /// Frames that had a fate.
    #[must_use]
    pub const fn of(&self, fate: Fate) -> u64 {
        self.fates[fate as usize]
    }

    /// All fates with their frames.
    pub fn fates(&self) -> impl Iterator<Item = (Fate, u64)> {
        Fate::ALL.iter().copied().zip(self.fates)
    }

    /// Counts a frame.
    pub(super) fn count(&mut self, fate: Fate) {
        self.count_all(fate, 1);
    }

    /// Counts frames.
    pub(super) fn count_all(&mut self, fate: Fate, frames: usize) {
        let counter = &mut self.fates[fate as usize];
        *counter = counter.wrapping_add(frames as u64);
    }
}
