//! The recording of the registers.

use maglane_hw::registers::{Registers, Straps};
use maglane_sim::module::{Recording, record};
use maglane_spec::{Geometry, register};

/// Accesses of all kinds, most of them to something, with pauses on both sides; the core's port answers some clocks later.
pub(crate) fn registers() -> Recording {
    let mut owed = 0_u32;
    record(
        "registers",
        || Registers::new(&Geometry::ECP5),
        |b| &mut b.clock,
        |b, clock, r| {
            let mut offset = || match r.below(8) {
                0 => r.below(1 << 16),
                1..=3 => 1 << 15 | r.below(1 << 7) << 2,
                4 => 4 * r.below(0x50) + r.below(8) / 6,
                _ => 0x100 * r.below(3) + 4 * r.below(10),
            };
            let [write, read] = [offset(), offset()];
            b.reset.next = clock < 2;
            if b.s_axil.awready.val() || clock < 4 {
                let write = if r.chance(3) { register::TABLE_PAGE.into() } else { write };
                b.s_axil.awaddr.next = write.into();
                b.s_axil.awvalid.next = r.chance(10);
            }
            if b.s_axil.wready.val() || clock < 4 {
                let page = r.below(16) << 15 | (if r.chance(4) { r.below(16) << 11 } else { 0 }) | (r.below(3) / 2);
                b.s_axil.wdata.next = if r.chance(10) { page.into() } else { r.bits() };
                b.s_axil.wstrb.next = if r.chance(14) { 15_u64.into() } else { r.bits() };
                b.s_axil.wvalid.next = r.chance(10);
            }
            if b.s_axil.arready.val() || clock < 4 {
                b.s_axil.araddr.next = read.into();
                b.s_axil.arvalid.next = r.chance(12);
            }
            b.s_axil.bready.next = r.chance(10);
            b.s_axil.rready.next = r.chance(10);
            b.straps.next = Straps {
                wrapper: 1_u64.into(),
                clock_khz: 2_u64.into(),
                build_time: 3_u64.into(),
                git_hash_0: 4_u64.into(),
                git_hash_1: 5_u64.into(),
                git_hash_2: 6_u64.into(),
                git_hash_3: 7_u64.into(),
                git_hash_4: 8_u64.into(),
            };
            owed += u32::from(b.read_enable.val() && b.read_ready.val());
            b.read_ready.next = r.chance(12);
            let answers = owed > 0 && r.chance(8);
            owed -= u32::from(answers);
            b.read_valid.next = answers;
            b.read_data.next = r.bits();
            b.lost_held.next = r.chance(1);
            b.lost_busy.next = r.chance(1);
        },
    )
}
