//! The five stages between receive and transmit: functions of a frame and the tables.
//!
//! Each file here has a twin of the same name in the gateware; reading the two side by side must be enough to review
//! a change. A stage returns what the later ones need, or the verdict that ends the frame's way. The unit of work is
//! one frame. Nothing here counts, allocates or keeps state: that is [`crate::pipeline`], which lends select the flow
//! table.

pub mod classify;
pub mod flow_hash;
pub mod parse;
pub mod rewrite;
pub mod select;

/// The one's complement sum of 16-bit words in network order, carries folded back in until none is left.
///
/// An odd last byte counts as the high half of a word. A header whose checksum is right sums to 0xFFFF; all zeros
/// sum to 0, which is not the same.
///
/// # Source
/// RFC 1071, section 1.
#[must_use]
pub fn ones_complement_sum(bytes: &[u8]) -> u16 {
    // 2^32 / 2^16 words fit before the carries could be lost: far more than an IP packet has.
    let (words, rest) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
    if let [last] = rest {
        sum += u32::from(u16::from_be_bytes([*last, 0]));
    }
    // The first fold leaves at most 0x1FFFE, the second at most 0xFFFF.
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_of_rfc_1071_example_is_ddf2() {
        // RFC 1071, section 3.
        assert_eq!(ones_complement_sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn sum_of_zeros_is_zero_not_ffff() {
        assert_eq!(ones_complement_sum(&[0; 20]), 0);
    }

    #[test]
    fn sum_that_carries_twice_is_folded_twice() {
        // 0xFFFF + 0xFFFF + 0x0001 = 0x1FFFF; one fold gives 0x10000, the second 0x0001.
        assert_eq!(ones_complement_sum(&[0xff, 0xff, 0xff, 0xff, 0x00, 0x01]), 0x0001);
    }

    #[test]
    fn sum_of_an_odd_length_pads_with_zero() {
        assert_eq!(ones_complement_sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    }

    #[test]
    fn sum_of_the_longest_frame_loses_no_carry() {
        // n words of 0xFFFF sum to 0xFFFF for every n > 0.
        assert_eq!(ones_complement_sum(&[0xff; 65_534]), 0xffff);
    }
}
