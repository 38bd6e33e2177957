//! Shrinks a run that differs to a few frames that still do.
//!
//! # Source
//! Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE Transactions on Software Engineering
//! 28(2), 2002, section 3: ddmin, here over complements alone, because a part of a run seldom differs by itself.

/// The fewest of `items`, in their order, that still fail: none of what is left can be taken out alone. Items that do not
/// fail at the start come back as they are.
pub fn shrink<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    let mut parts = 2;
    while left.len() > 1 {
        let part_len = left.len().div_ceil(parts);
        let without_a_part = (0..left.len()).step_by(part_len).find_map(|start| {
            let end = (start + part_len).min(left.len());
            let rest = [&left[..start], &left[end..]].concat();
            fails(&rest).then_some(rest)
        });
        match without_a_part {
            Some(rest) => {
                left = rest;
                parts = (parts - 1).max(2);
            }
            None if part_len == 1 => break,
            None => parts = (parts * 2).min(left.len()),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_needed_and_in_order() {
        let items: Vec<u32> = (0..1_000).collect();
        for needed in [&[500][..], &[0, 999], &[3, 4, 5], &[1, 333, 700, 998]] {
            let mut runs = 0;
            let left = shrink(&items, |items| {
                runs += 1;
                needed.iter().all(|item| items.contains(item))
            });
            assert_eq!(left, needed);
            assert!(runs < 300, "{runs} runs");
        }
    }

    #[test]
    fn what_fails_by_number_is_left_with_that_many() {
        assert_eq!(shrink(&[7; 100], |items| items.len() >= 13).len(), 13);
        assert_eq!(shrink(&[7; 100], |_| false).len(), 100);
        assert_eq!(shrink(&[7; 100], |_| true).len(), 1);
        assert!(shrink(&[] as &[u8], |_| true).is_empty());
    }
}
