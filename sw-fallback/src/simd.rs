//! What plain Rust cannot say about a processor: which vector instructions it has, and a line of its cache to be fetched.
//!
//! The only module besides [`crate::io`] with unsafe code. It knows nothing of frames or flows: it runs what it is given
//! at the best [`Level`] that the processor has. Its unit of work is one call.

#![allow(unsafe_code)]
// What a kernel calls is always inlined: what is not is compiled without the kernel's instructions.
#![allow(clippy::inline_always)]

use std::sync::atomic::{AtomicU64, Ordering};

/// Instructions that a program may be compiled for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Those that every processor of the target has.
    Portable,
    /// x86-64 with AVX2, BMI1 and BMI2 (Intel since 2013, AMD since 2015): x86-64-v3.
    Avx2,
    /// AVX-512 F, BW, DQ and VL on top (x86-64-v4).
    Avx512,
}

impl Level {
    /// All levels, the best one last.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Portable => true,
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("lzcnt")
            }
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Self::Portable;
    }

    /// All levels that this processor has, the best one last.
    pub fn available() -> impl Iterator<Item = Self> + Clone {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// The best level that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Portable)
    }

    /// The level's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Something to be compiled once for each level.
pub(crate) trait Kernel {
    /// Runs it. Implementations are `#[inline(always)]`, and so is all that they call: what is not inlined is compiled for
    /// [`Level::Portable`].
    fn run<V: Vectors>(self);
}

/// Words that a vector has, however many registers that takes.
pub const LANES: usize = 8;

/// What a hash is made of, for a word or for several at once.
pub(crate) trait Arithmetic {
    /// The words.
    type Words: Copy;

    /// The same word everywhere.
    fn splat(word: u64) -> Self::Words;
    /// Sums, modulo 2^64.
    fn add(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Exclusive or.
    fn xor(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Rotates every word to the left; `RIGHT` is 64 - `LEFT`.
    fn rotate<const LEFT: i32, const RIGHT: i32>(words: Self::Words) -> Self::Words;
}

/// One word.
pub(crate) struct Single;

impl Arithmetic for Single {
    type Words = u64;

    #[inline(always)]
    fn splat(word: u64) -> u64 {
        word
    }

    #[inline(always)]
    fn add(a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    #[inline(always)]
    fn xor(a: u64, b: u64) -> u64 {
        a ^ b
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(word: u64) -> u64 {
        word.rotate_left(LEFT.cast_unsigned())
    }
}

/// The operations on [`LANES`] words that have to be written anew for a level: of everything else the compiler makes what
/// it can.
pub(crate) trait Vectors: Arithmetic {
    /// One word a lane.
    fn load(words: &[u64; LANES]) -> Self::Words;
    /// The other way round.
    fn store(words: Self::Words) -> [u64; LANES];
    /// Differences, modulo 2^64.
    fn sub(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Bits of both.
    fn and(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Bits of either.
    fn or(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Shifts every word to the left, zeros coming in.
    fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words;
    /// Shifts every word to the right, zeros coming in.
    fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words;

    /// Bit i says whether word i is zero.
    fn zeros(words: Self::Words) -> u8;
    /// The words where those of `a` and `b` are equal; zero elsewhere.
    fn where_equal(a: Self::Words, b: Self::Words, words: Self::Words) -> Self::Words;
    /// Word i of every block, block by block, for each i; the first byte of a word is its lowest.
    fn columns(blocks: &[&[u8; 8 * LANES]; LANES]) -> [Self::Words; LANES];

    /// Bit i says whether the high bits of word i, from `SHIFT` on, are those of `h`.
    ///
    /// Other threads may write meanwhile; a bit is right for some value that the word had during the call.
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8;
}

/// Runs a kernel at a level; at [`Level::Portable`] when the processor does not have it.
pub(crate) fn run<K: Kernel>(level: Level, kernel: K) {
    #[cfg(target_arch = "x86_64")]
    match level {
        // SAFETY: `is_available` has found all features that `avx512` is compiled for.
        Level::Avx512 if level.is_available() => return unsafe { x86::avx512(kernel) },
        // SAFETY: `is_available` has found all features that `avx2` is compiled for.
        Level::Avx2 if level.is_available() => return unsafe { x86::avx2(kernel) },
        _ => {}
    }
    let _ = level;
    kernel.run::<Portable>();
}

/// Asks for the line of the cache in which an item of a slice begins; there need not be so many.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect that a program could see, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

/// [`Level::Portable`].
pub(crate) struct Portable;

impl Arithmetic for Portable {
    type Words = [u64; LANES];

    #[inline(always)]
    fn splat(word: u64) -> Self::Words {
        [word; LANES]
    }

    #[inline(always)]
    fn add(a: Self::Words, b: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn xor(a: Self::Words, b: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| a[lane] ^ b[lane])
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(words: Self::Words) -> Self::Words {
        words.map(|word| word.rotate_left(LEFT.cast_unsigned()))
    }
}

impl Vectors for Portable {
    #[inline(always)]
    fn load(words: &[u64; LANES]) -> Self::Words {
        *words
    }

    #[inline(always)]
    fn store(words: Self::Words) -> [u64; LANES] {
        words
    }

    #[inline(always)]
    fn sub(a: Self::Words, b: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| a[lane].wrapping_sub(b[lane]))
    }

    #[inline(always)]
    fn and(a: Self::Words, b: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn or(a: Self::Words, b: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| a[lane] | b[lane])
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words {
        words.map(|word| word << BITS)
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words {
        words.map(|word| word >> BITS)
    }

    #[inline(always)]
    fn zeros(words: Self::Words) -> u8 {
        words.into_iter().enumerate().fold(0, |mask, (lane, word)| mask | u8::from(word == 0) << lane)
    }

    #[inline(always)]
    fn where_equal(a: Self::Words, b: Self::Words, words: Self::Words) -> Self::Words {
        std::array::from_fn(|lane| if a[lane] == b[lane] { words[lane] } else { 0 })
    }

    #[inline(always)]
    fn columns(blocks: &[&[u8; 8 * LANES]; LANES]) -> [Self::Words; LANES] {
        std::array::from_fn(|word| blocks.map(|block| u64::from_le_bytes(block.as_chunks().0[word])))
    }

    #[inline(always)]
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
        let mut mask = 0;
        for (way, entry) in set.iter().enumerate() {
            mask |= u8::from((entry.load(Ordering::Relaxed) ^ h) >> SHIFT == 0) << way;
        }
        mask
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    struct EqualTags<'a> {
        set: &'a [AtomicU64; 8],
        h: u64,
        mask: &'a mut u8,
    }

    impl Kernel for EqualTags<'_> {
        #[inline(always)]
        fn run<V: Vectors>(self) {
            *self.mask = V::equal_tags::<24>(self.set, self.h);
        }
    }

    #[test]
    fn tags_are_compared_way_by_way_at_every_level() {
        let h = 0x0123_4567_89ab_cdef;
        for level in Level::available() {
            for expected in 0..=255_u8 {
                // Entries that are not equal differ in the lowest or the highest bit of the tag; the rest never matters.
                let set = std::array::from_fn(|way| {
                    let differing = if expected >> way & 1 == 1 { 0 } else { [1 << 24, 1 << 63][way % 2] };
                    AtomicU64::new(h ^ differing ^ ((way as u64 * 0x12_3457) & 0xff_ffff))
                });
                let mut mask = 0;
                run(level, EqualTags { set: &set, h, mask: &mut mask });
                assert_eq!(mask, expected, "{level:?}");
            }
        }
    }

    struct Arithmetic<'a> {
        words: [[u64; LANES]; 2],
        results: &'a mut [[u64; LANES]; 15],
    }

    impl Kernel for Arithmetic<'_> {
        #[inline(always)]
        fn run<V: Vectors>(self) {
            let [a, b] = [V::load(&self.words[0]), V::load(&self.words[1])];
            let results = [
                V::splat(self.words[0][3]),
                V::add(a, b),
                V::xor(a, b),
                V::rotate::<13, 51>(a),
                V::rotate::<16, 48>(a),
                V::rotate::<17, 47>(a),
                V::rotate::<21, 43>(a),
                V::rotate::<32, 32>(a),
                V::sub(a, b),
                V::and(a, b),
                V::or(a, b),
                V::shift_left::<5>(a),
                V::shift_right::<63>(a),
                V::shift_right::<7>(b),
                V::where_equal(a, V::or(a, V::splat(1)), b),
            ];
            *self.results = results.map(V::store);
        }
    }

    #[test]
    fn words_are_computed_lane_by_lane_at_every_level() {
        let words: [[u64; LANES]; 2] = std::array::from_fn(|row| {
            std::array::from_fn(|lane| ((row * LANES + lane + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        let [a, b] = words;
        let rotated = |by| a.map(|word: u64| word.rotate_left(by));
        let expected = [
            [a[3]; LANES],
            std::array::from_fn(|lane| a[lane].wrapping_add(b[lane])),
            std::array::from_fn(|lane| a[lane] ^ b[lane]),
            rotated(13),
            rotated(16),
            rotated(17),
            rotated(21),
            rotated(32),
            std::array::from_fn(|lane| a[lane].wrapping_sub(b[lane])),
            std::array::from_fn(|lane| a[lane] & b[lane]),
            std::array::from_fn(|lane| a[lane] | b[lane]),
            a.map(|word| word << 5),
            a.map(|word| word >> 63),
            b.map(|word| word >> 7),
            std::array::from_fn(|lane| if a[lane] & 1 == 1 { b[lane] } else { 0 }),
        ];
        assert!(a.iter().any(|word| word & 1 == 0) && a.iter().any(|word| word & 1 == 1));
        for level in Level::available() {
            let mut results = [[0; LANES]; 15];
            run(level, Arithmetic { words, results: &mut results });
            assert_eq!(results, expected, "{level:?}");
        }
    }

    struct Blocks<'a> {
        blocks: [&'a [u8; 64]; LANES],
        columns: &'a mut [[u64; LANES]; LANES],
        zeros: &'a mut [u8; LANES],
    }

    impl Kernel for Blocks<'_> {
        #[inline(always)]
        fn run<V: Vectors>(self) {
            let columns = V::columns(&self.blocks);
            *self.zeros = columns.map(V::zeros);
            *self.columns = columns.map(V::store);
        }
    }

    #[test]
    fn blocks_become_columns_and_zeros_are_told_at_every_level() {
        // Wherever word and block have a bit in common there is a zero; all other bytes differ.
        let block = |block: usize| {
            let differing = |byte: usize| u8::try_from(64 * (block % 4) + byte).unwrap().max(1);
            std::array::from_fn(|byte| if block & (byte / 8) == 0 { differing(byte) } else { 0 })
        };
        let blocks: [[u8; 64]; LANES] = std::array::from_fn(block);
        let expected: [[u64; LANES]; LANES] = std::array::from_fn(|word| {
            std::array::from_fn(|lane| u64::from_le_bytes(*blocks[lane][8 * word..].first_chunk().unwrap()))
        });
        for level in Level::available() {
            let (mut columns, mut zeros) = ([[0; LANES]; LANES], [0; LANES]);
            run(level, Blocks { blocks: blocks.each_ref(), columns: &mut columns, zeros: &mut zeros });
            assert_eq!(columns, expected, "{level:?}");
            for (word, zeros) in zeros.into_iter().enumerate() {
                let lanes = (0..LANES).filter(|lane| lane & word != 0).fold(0, |mask, lane| mask | 1 << lane);
                assert_eq!(zeros, lanes, "{level:?} word {word}");
            }
        }
    }

    #[test]
    fn a_level_that_the_processor_lacks_runs_as_portable() {
        assert_eq!(Level::available().next(), Some(Level::Portable));
        let set = std::array::from_fn(|_| AtomicU64::new(0));
        for level in Level::ALL {
            let mut mask = 0;
            run(level, EqualTags { set: &set, h: 0xff_ffff, mask: &mut mask });
            assert_eq!(mask, 0xff);
        }
    }
}
