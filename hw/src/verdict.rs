//! Verdict codes as hardware constants.

use maglane_spec::Verdict;
use rust_hdl::prelude::*;

/// The code of a verdict as a hardware constant.
#[must_use]
pub fn code(verdict: Verdict) -> Constant<Bits<5>> {
    Constant::new(u64::from(verdict.code()).into())
}
