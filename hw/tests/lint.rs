//! Goal: every rule of the lint finds what it is there for, and the gateware breaks none.

use maglane_hw::lint::{block, profile};
use maglane_hw::profile::Profile;
use rust_hdl::prelude::*;

/// A block that breaks every rule once.
#[derive(LogicBlock, Default)]
struct Sinner {
    a: Signal<In, Bits<16>>,
    b: Signal<In, Bits<16>>,
    byte: Signal<Out, Bit>,
    compare: Signal<Out, Bit>,
    shift: Signal<Out, Bits<16>>,
    cast: Signal<Out, Bits<17>>,
    invert: Signal<Out, Bits<32>>,
}

impl Logic for Sinner {
    #[hdl_gen]
    fn update(&mut self) {
        self.byte.next = self.a.val() & self.b.val() == 1;
        self.compare.next = (self.a.val() + 1) == self.b.val();
        self.shift.next = (self.a.val() + self.b.val()) >> 1;
        self.cast.next = bit_cast::<17, 16>(self.a.val() + self.b.val());
        self.invert.next = bit_cast::<32, 16>(!self.a.val());
    }
}

#[test]
fn every_rule_finds_its_sin() {
    let findings = block(Box::new(Sinner::default()));
    let count = |rule| findings.iter().filter(|finding| finding.rule == rule).count();
    assert_eq!(
        [count("precedence"), count("compare"), count("shift"), count("cast"), count("keyword")],
        [1, 1, 1, 2, 1],
        "{findings:#?}"
    );
}

#[test]
fn gateware_is_free_of_findings() {
    for each in Profile::ALL {
        assert_eq!(profile(each), [], "{}", each.name());
    }
}
