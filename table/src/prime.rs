//! Primes among table sizes. Trial division: the numbers are below 2^16.

use maglane_spec::limit::TABLE_SIZE_MAX;

/// Whether a number is prime.
#[must_use]
pub fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

/// The greatest prime below a number and the least above it, as far as they are table sizes.
#[must_use]
pub fn neighbours(number: u32) -> (Option<u32>, Option<u32>) {
    let below = (2..number.min(TABLE_SIZE_MAX + 1)).rev().find(|&candidate| is_prime(candidate));
    let above = (number.saturating_add(1)..=TABLE_SIZE_MAX).find(|&candidate| is_prime(candidate));
    (below, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_table_size_is_prime() {
        assert!(is_prime(TABLE_SIZE_MAX));
        assert_eq!(neighbours(65_520), (Some(65_519), Some(65_521)));
        assert_eq!(neighbours(65_530), (Some(65_521), None));
        assert_eq!(neighbours(0), (None, Some(2)));
        assert_eq!(neighbours(2), (None, Some(3)));
        assert!(!is_prime(1) && is_prime(2) && !is_prime(65_519 - 1) && !is_prime(251 * 251));
    }
}
