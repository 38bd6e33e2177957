//! The levels of x86-64.
//!
//! All functions here that use instructions beyond the target's are called from kernels that [`super::run`] has started at
//! a level that has them, and from nowhere else: that is the invariant of every `unsafe` below.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, __m512i, _mm_cvtsi64_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_castsi256_pd, _mm256_cmpeq_epi64,
    _mm256_loadu_si256, _mm256_movemask_pd, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set_epi8,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_sll_epi64,
    _mm256_slli_epi64, _mm256_srl_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi64,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm256_xor_si256, _mm512_add_epi64, _mm512_and_si512,
    _mm512_cmpeq_epi64_mask, _mm512_loadu_si512, _mm512_maskz_mov_epi64, _mm512_or_si512, _mm512_rol_epi64,
    _mm512_set1_epi64, _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_sub_epi64, _mm512_testn_epi64_mask, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use std::sync::atomic::AtomicU64;

use super::{Arithmetic, Kernel, LANES, Vectors};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn avx2<K: Kernel>(kernel: K) {
    kernel.run::<Avx2>();
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512<K: Kernel>(kernel: K) {
    kernel.run::<Avx512>();
}

/// Two registers of four words.
struct Avx2;

impl Arithmetic for Avx2 {
    type Words = [__m256i; 2];

    #[inline(always)]
    fn splat(word: u64) -> Self::Words {
        // SAFETY: AVX2 is there, see the head of this file.
        unsafe { [_mm256_set1_epi64x(word.cast_signed()); 2] }
    }

    #[inline(always)]
    fn add([a, b]: Self::Words, [c, d]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe { [_mm256_add_epi64(a, c), _mm256_add_epi64(b, d)] }
    }

    #[inline(always)]
    fn xor([a, b]: Self::Words, [c, d]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe { [_mm256_xor_si256(a, c), _mm256_xor_si256(b, d)] }
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(words: Self::Words) -> Self::Words {
        // By whole halves and bytes a shuffle is one instruction in place of three.
        // SAFETY: AVX2 is there.
        words.map(|words| unsafe {
            match LEFT {
                32 => _mm256_shuffle_epi32::<0b10_11_00_01>(words),
                16 => _mm256_shuffle_epi8(words, rotate_16()),
                _ => _mm256_or_si256(_mm256_slli_epi64::<LEFT>(words), _mm256_srli_epi64::<RIGHT>(words)),
            }
        })
    }
}

impl Vectors for Avx2 {
    #[inline(always)]
    fn load(words: &[u64; LANES]) -> Self::Words {
        let words: *const __m256i = words.as_ptr().cast();
        // SAFETY: AVX2 is there; both loads are within the 64 bytes of the array, and take any alignment.
        unsafe { [_mm256_loadu_si256(words), _mm256_loadu_si256(words.add(1))] }
    }

    #[inline(always)]
    fn store([low, high]: Self::Words) -> [u64; LANES] {
        let mut words = [0; LANES];
        let to: *mut __m256i = words.as_mut_ptr().cast();
        // SAFETY: AVX2 is there; both stores are within the 64 bytes of the array, and take any alignment.
        unsafe {
            _mm256_storeu_si256(to, low);
            _mm256_storeu_si256(to.add(1), high);
        }
        words
    }

    #[inline(always)]
    fn sub([a, b]: Self::Words, [c, d]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe { [_mm256_sub_epi64(a, c), _mm256_sub_epi64(b, d)] }
    }

    #[inline(always)]
    fn and([a, b]: Self::Words, [c, d]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe { [_mm256_and_si256(a, c), _mm256_and_si256(b, d)] }
    }

    #[inline(always)]
    fn or([a, b]: Self::Words, [c, d]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe { [_mm256_or_si256(a, c), _mm256_or_si256(b, d)] }
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        words.map(|words| unsafe { _mm256_sll_epi64(words, _mm_cvtsi64_si128(i64::from(BITS))) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        words.map(|words| unsafe { _mm256_srl_epi64(words, _mm_cvtsi64_si128(i64::from(BITS))) })
    }

    #[inline(always)]
    fn zeros(words: Self::Words) -> u8 {
        // SAFETY: AVX2 is there.
        let [low, high] = words.map(|words| unsafe {
            let zero = _mm256_cmpeq_epi64(words, _mm256_setzero_si256());
            _mm256_movemask_pd(_mm256_castsi256_pd(zero)).cast_unsigned()
        });
        ((low | high << (LANES / 2)) & 0xff) as u8
    }

    #[inline(always)]
    fn where_equal([a, b]: Self::Words, [c, d]: Self::Words, [low, high]: Self::Words) -> Self::Words {
        // SAFETY: AVX2 is there.
        unsafe {
            let (low_equal, high_equal) = (_mm256_cmpeq_epi64(a, c), _mm256_cmpeq_epi64(b, d));
            [_mm256_and_si256(low_equal, low), _mm256_and_si256(high_equal, high)]
        }
    }

    #[inline(always)]
    fn columns(blocks: &[&[u8; 8 * LANES]; LANES]) -> [Self::Words; LANES] {
        // Written out: a closure that is given to the standard library is not always inlined.
        // SAFETY: AVX2 is there.
        let ([a, b, c, d], [e, f, g, h]) = unsafe { (quarter(blocks, 0, 0), quarter(blocks, 1, 0)) };
        // SAFETY: AVX2 is there.
        let ([i, j, k, l], [m, n, o, p]) = unsafe { (quarter(blocks, 0, LANES / 2), quarter(blocks, 1, LANES / 2)) };
        [[a, i], [b, j], [c, k], [d, l], [e, m], [f, n], [g, o], [h, p]]
    }

    #[inline(always)]
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
        // SAFETY: AVX2 is there.
        unsafe { equal_tags::<SHIFT>(set, h) }
    }
}

/// Four columns of four blocks, from a lane on: those of the blocks' first or second half.
///
/// # Safety
/// AVX2 must be there. It has not got it as a feature, because then it could not always be inlined.
#[inline(always)]
unsafe fn quarter(blocks: &[&[u8; 8 * LANES]; LANES], half: usize, lane: usize) -> [__m256i; 4] {
    let row = |at: usize| {
        let halves: &[[u8; 32]] = blocks[lane + at].as_chunks().0;
        // SAFETY: AVX2 is there; the load is of the 32 bytes of a half, and takes any alignment.
        unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) }
    };
    let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
    // SAFETY: AVX2 is there.
    unsafe { columns_of_four(a, b, c, d) }
}

/// Column i of four rows of four words as row i.
#[inline]
#[target_feature(enable = "avx2")]
fn columns_of_four(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> [__m256i; 4] {
    // Words 0 and 2 of two rows side by side, and words 1 and 3.
    let (ab_even, ab_odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (cd_even, cd_odd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256::<0x20>(ab_even, cd_even),
        _mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd),
        _mm256_permute2x128_si256::<0x31>(ab_even, cd_even),
        _mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd),
    ]
}

/// One register of eight words.
struct Avx512;

impl Arithmetic for Avx512 {
    type Words = __m512i;

    #[inline(always)]
    fn splat(word: u64) -> Self::Words {
        // SAFETY: AVX-512 F is there, see the head of this file.
        unsafe { _mm512_set1_epi64(word.cast_signed()) }
    }

    #[inline(always)]
    fn add(a: Self::Words, b: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_add_epi64(a, b) }
    }

    #[inline(always)]
    fn xor(a: Self::Words, b: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(words: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_rol_epi64::<LEFT>(words) }
    }
}

impl Vectors for Avx512 {
    #[inline(always)]
    fn load(words: &[u64; LANES]) -> Self::Words {
        // SAFETY: AVX-512 F is there; the array is the 64 bytes that are read, and any alignment will do.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(of: Self::Words) -> [u64; LANES] {
        let mut words = [0; LANES];
        // SAFETY: AVX-512 F is there; the array is the 64 bytes that are written, and any alignment will do.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), of) };
        words
    }

    #[inline(always)]
    fn sub(a: Self::Words, b: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_sub_epi64(a, b) }
    }

    #[inline(always)]
    fn and(a: Self::Words, b: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn or(a: Self::Words, b: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_slli_epi64::<BITS>(words) }
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_srli_epi64::<BITS>(words) }
    }

    #[inline(always)]
    fn zeros(words: Self::Words) -> u8 {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_testn_epi64_mask(words, words) }
    }

    #[inline(always)]
    fn where_equal(a: Self::Words, b: Self::Words, words: Self::Words) -> Self::Words {
        // SAFETY: AVX-512 F is there.
        unsafe { _mm512_maskz_mov_epi64(_mm512_cmpeq_epi64_mask(a, b), words) }
    }

    #[inline(always)]
    fn columns(blocks: &[&[u8; 8 * LANES]; LANES]) -> [Self::Words; LANES] {
        // SAFETY: AVX-512 F is there; each load is of the 64 bytes of a block, and takes any alignment.
        let rows = blocks.map(|block| unsafe { _mm512_loadu_si512(block.as_ptr().cast()) });
        // SAFETY: AVX-512 F is there.
        unsafe { transposed(rows) }
    }

    #[inline(always)]
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
        // SAFETY: AVX-512 F is there.
        unsafe { equal_tags_512::<SHIFT>(set, h) }
    }
}

/// Column i of rows as row i.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed([a, b, c, d, e, f, g, h]: [__m512i; LANES]) -> [__m512i; LANES] {
    // By pairs of words, then by pairs of 128 bits, then by halves.
    let pairs = |a, b| [_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)];
    let [ab, cd, ef, gh] = [pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h)];
    let quads = |odd: usize| {
        let even_of = |a, b| _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
        let odd_of = |a, b| _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
        // Of the rows a to d and e to h: words `odd` and 4 + `odd`, then 2 + `odd` and 6 + `odd`.
        let (low, high) = (even_of(ab[odd], cd[odd]), even_of(ef[odd], gh[odd]));
        let (low_2, high_2) = (odd_of(ab[odd], cd[odd]), odd_of(ef[odd], gh[odd]));
        [even_of(low, high), even_of(low_2, high_2), odd_of(low, high), odd_of(low_2, high_2)]
    };
    let [[c0, c2, c4, c6], [c1, c3, c5, c7]] = [quads(0), quads(1)];
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn equal_tags_512<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
    let words: __m512i;
    // SAFETY: the load is of the array, which is 64 bytes; why it is in assembly, `equal_tags` says.
    unsafe {
        asm!(
            "vmovdqu64 {words}, [{set}]",
            set = in(reg) set.as_ptr(),
            words = lateout(zmm_reg) words,
            options(nostack, preserves_flags, readonly)
        );
    }
    let differing = _mm512_xor_si512(words, _mm512_set1_epi64(h.cast_signed()));
    _mm512_testn_epi64_mask(differing, _mm512_set1_epi64(-1 << SHIFT))
}

/// Where the bytes of four words come from that are rotated by 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_16() -> __m256i {
    _mm256_set_epi8(
        13, 12, 11, 10, 9, 8, 15, 14, 5, 4, 3, 2, 1, 0, 7, 6, 13, 12, 11, 10, 9, 8, 15, 14, 5, 4, 3, 2, 1, 0, 7, 6,
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
    let (low, high): (__m256i, __m256i);
    // SAFETY: both loads are within the array, which is 64 bytes. They are in assembly because other threads may write to
    // it: the compiler must not take what it reads for a value that stays. The processor reads each aligned word whole.
    unsafe {
        asm!(
            "vmovdqu {low}, [{set}]",
            "vmovdqu {high}, [{set} + 32]",
            set = in(reg) set.as_ptr(),
            low = out(ymm_reg) low,
            high = lateout(ymm_reg) high,
            options(nostack, preserves_flags, readonly)
        );
    }
    let wanted = _mm256_set1_epi64x(h.cast_signed());
    let equal = |words| {
        let differing = _mm256_srli_epi64::<SHIFT>(_mm256_xor_si256(words, wanted));
        let equal = _mm256_cmpeq_epi64(differing, _mm256_setzero_si256());
        _mm256_movemask_pd(_mm256_castsi256_pd(equal))
    };
    ((equal(low) | equal(high) << 4) & 0xff) as u8
}
