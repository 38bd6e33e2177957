//! The levels of x86-64.
//!
//! All functions here that use instructions beyond the target's are called from kernels that [`super::run`] has started at
//! a level that has them, and from nowhere else: that is the invariant of every `unsafe` below.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi64, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_loadu_si256,
    _mm256_movemask_pd, _mm256_or_si256, _mm256_set_epi8, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_add_epi64, _mm512_loadu_si512, _mm512_rol_epi64, _mm512_set1_epi64, _mm512_storeu_si512,
    _mm512_xor_si512,
};
use std::sync::atomic::AtomicU64;

use super::{Kernel, LANES, Vectors};

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

impl Vectors for Avx2 {
    type Words = [__m256i; 2];

    #[inline(always)]
    fn splat(word: u64) -> Self::Words {
        // SAFETY: AVX2 is there, see the head of this file.
        unsafe { [_mm256_set1_epi64x(word.cast_signed()); 2] }
    }

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

    #[inline(always)]
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
        // SAFETY: AVX2 is there.
        unsafe { equal_tags::<SHIFT>(set, h) }
    }
}

/// One register of eight words.
struct Avx512;

impl Vectors for Avx512 {
    type Words = __m512i;

    #[inline(always)]
    fn splat(word: u64) -> Self::Words {
        // SAFETY: AVX-512 F is there, see the head of this file.
        unsafe { _mm512_set1_epi64(word.cast_signed()) }
    }

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

    /// With AVX2: a set is two of its registers, and what is compared is not worth another way of doing it.
    #[inline(always)]
    fn equal_tags<const SHIFT: i32>(set: &[AtomicU64; LANES], h: u64) -> u8 {
        // SAFETY: a level with AVX-512 has AVX2.
        unsafe { equal_tags::<SHIFT>(set, h) }
    }
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
