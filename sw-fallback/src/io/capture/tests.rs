//! Captures made by hand, byte for byte, in both formats and byte orders, then cut and damaged.

use proptest::prelude::*;

use super::*;

const ETHERNET: u32 = 1;
const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;

/// Numbers in a file's byte order.
#[derive(Clone, Copy)]
struct Order {
    little: bool,
}

const BIG: Order = Order { little: false };
const LITTLE: Order = Order { little: true };

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u32s(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    fn classic(self, magic: u32, link: u32) -> Vec<u8> {
        [self.u32(magic).to_vec(), self.u16(2).to_vec(), self.u16(4).to_vec(), self.u32s(&[0, 0, 65_535, link])]
            .concat()
    }

    fn classic_packet(self, seconds: u32, fraction: u32, bytes: &[u8]) -> Vec<u8> {
        let len = u32::try_from(bytes.len()).unwrap();
        [&self.u32s(&[seconds, fraction, len, len]), bytes].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let len = self.u32(u32::try_from(body.len() + padding + 12).unwrap());
        [&self.u32(kind), &len, body, &[0; 3][..padding], &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u32(0x1a2b_3c4d), [self.u16(1), self.u16(0)].concat().try_into().unwrap()].concat();
        self.block(0x0a0d_0d0a, &[version, vec![0xff; 8]].concat())
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = value.len().next_multiple_of(4) - value.len();
        [&self.u16(code), &self.u16(u16::try_from(value.len()).unwrap()), value, &[0; 3][..padding]].concat()
    }

    fn interface(self, link: u16, options: &[Vec<u8>]) -> Vec<u8> {
        let fixed = [self.u16(link).to_vec(), vec![0; 2], self.u32(0).to_vec()].concat();
        self.block(1, &[fixed, options.concat()].concat())
    }

    fn enhanced(self, interface: u32, time: u64, bytes: &[u8]) -> Vec<u8> {
        let len = u32::try_from(bytes.len()).unwrap();
        let [high, low] = [u32::try_from(time >> 32).unwrap(), u32::try_from(time & 0xffff_ffff).unwrap()];
        self.block(6, &[&self.u32s(&[interface, high, low, len, len]), bytes].concat())
    }
}

fn frames(file: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, CaptureError> {
    let capture = Capture::from_slice("test.pcap", file)?;
    capture.frames().map(|frame| frame.map(|frame| (frame.time_ns, frame.bytes.to_vec()))).collect()
}

fn error(file: &[u8]) -> CaptureError {
    frames(file).expect_err("the capture is broken")
}

#[test]
fn classic_in_both_orders_and_resolutions_has_times_in_nanoseconds() {
    for order in [BIG, LITTLE] {
        for (magic, unit) in [(MICRO, 1_000), (NANO, 1)] {
            let file = [
                order.classic(magic, ETHERNET),
                order.classic_packet(3, 999_999, &[1, 2, 3]),
                order.classic_packet(u32::MAX, 0, &[]),
            ];
            let expected = vec![(3_000_000_000 + 999_999 * unit, vec![1, 2, 3]), (4_294_967_295_000_000_000, vec![])];
            assert_eq!(frames(&file.concat()).unwrap(), expected);
        }
    }
}

#[test]
fn captured_bytes_are_the_frame_whatever_the_original_length() {
    let packet = LITTLE.u32s(&[0, 0, 4, 1_500]);
    let file = [LITTLE.classic(MICRO, ETHERNET), packet, vec![9; 4]].concat();
    assert_eq!(frames(&file).unwrap(), [(0, vec![9; 4])]);
}

#[test]
fn frames_are_borrowed_from_the_capture() {
    let file = [LITTLE.classic(MICRO, ETHERNET), LITTLE.classic_packet(0, 0, &[7; 60])].concat();
    let capture = Capture::from_slice("memory", &file).unwrap();
    let frame = capture.frames().next().unwrap().unwrap();
    assert!(file.as_ptr_range().contains(&frame.bytes.as_ptr()));
}

#[test]
fn capture_without_packets_is_valid() {
    assert_eq!(frames(&LITTLE.classic(NANO, ETHERNET)).unwrap(), []);
    assert_eq!(frames(&BIG.section()).unwrap(), []);
    assert_eq!(frames(&[BIG.section(), BIG.interface(1, &[])].concat()).unwrap(), []);
}

#[test]
fn pcapng_interfaces_have_their_own_resolutions_and_offsets() {
    for order in [BIG, LITTLE] {
        let nano = order.option(9, &[9]);
        let binary = order.option(9, &[0x80 | 10]);
        let offset = order.option(14, &if order.little { 100_u64.to_le_bytes() } else { 100_u64.to_be_bytes() });
        let file = [
            order.section(),
            order.interface(1, &[]),
            order.interface(1, &[nano]),
            order.interface(1, &[binary, offset]),
            order.enhanced(0, 5_000_001, &[1]),
            order.enhanced(1, 5_000_000_001, &[2, 2]),
            order.enhanced(2, 5 << 10 | 512, &[3, 3, 3]),
            order.block(3, &[order.u32(2).to_vec(), vec![4, 4]].concat()),
        ];
        let expected =
            [(5_000_001_000, vec![1]), (5_000_000_001, vec![2; 2]), (105_500_000_000, vec![3; 3]), (0, vec![4; 2])];
        assert_eq!(frames(&file.concat()).unwrap(), expected);
    }
}

#[test]
fn pcapng_sections_start_with_new_interfaces_and_byte_order() {
    let file = [
        LITTLE.section(),
        LITTLE.interface(1, &[]),
        LITTLE.enhanced(0, 1, &[1]),
        BIG.section(),
        BIG.interface(1, &[BIG.option(9, &[9])]),
        // A block that is none of ours, and one whose kind nobody knows.
        BIG.block(4, &[0; 4]),
        BIG.block(0x8000_0001, &[1, 2, 3]),
        BIG.enhanced(0, 1, &[2]),
    ];
    assert_eq!(frames(&file.concat()).unwrap(), [(1_000, vec![1]), (1, vec![2])]);
}

#[test]
fn pcapng_other_link_type_is_an_error_only_where_a_packet_has_it() {
    let head = [LITTLE.section(), LITTLE.interface(113, &[]), LITTLE.interface(1, &[])].concat();
    let good = LITTLE.enhanced(1, 0, &[1]);
    assert_eq!(frames(&[head.clone(), good.clone()].concat()).unwrap().len(), 1);
    let error = error(&[head, good, LITTLE.enhanced(0, 0, &[1])].concat());
    assert_eq!(error.packet, Some(2));
    assert!(error.to_string().starts_with("test.pcap: packet 2: the link type is LINUX_SLL (113), not Ethernet"));
}

#[test]
fn pcapng_packet_of_an_unknown_interface_is_damage() {
    let error = error(&[LITTLE.section(), LITTLE.enhanced(0, 0, &[1])].concat());
    assert!(matches!(error, CaptureError { packet: Some(1), fault: CaptureFault::Damaged { .. }, .. }), "{error}");
}

#[test]
fn classic_other_link_type_is_named() {
    for (link, name) in [(101, "RAW (101)"), (113, "LINUX_SLL (113)"), (4_242, "unknown (4242)")] {
        let error = error(&BIG.classic(MICRO, link));
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.packet, None);
    }
}

#[test]
fn frame_check_sequence_is_refused() {
    // Link type field: FCS length 2 words, given.
    let error_classic = error(&LITTLE.classic(MICRO, 2 << 28 | 1 << 26 | ETHERNET));
    assert!(matches!(error_classic.fault, CaptureFault::Fcs { bytes: 4 }), "{error_classic}");
    assert!(frames(&LITTLE.classic(MICRO, 1 << 26 | ETHERNET)).is_ok());
    let interface = LITTLE.interface(1, &[LITTLE.option(13, &[32])]);
    let error = error(&[LITTLE.section(), interface, LITTLE.enhanced(0, 0, &[1])].concat());
    assert!(matches!(error.fault, CaptureFault::Fcs { bytes: 4 }), "{error}");
}

#[test]
fn file_that_is_no_capture_is_told_apart() {
    assert!(matches!(error(&[]).fault, CaptureFault::Empty));
    assert!(matches!(error(&[0xa1]).fault, CaptureFault::NotCapture { .. }));
    assert!(matches!(error(b"[datapath]\n").fault, CaptureFault::NotCapture { .. }));
    assert!(error(&[0x1f, 0x8b, 8, 0]).to_string().contains("decompress"));
}

#[test]
fn cut_file_tells_where() {
    let file =
        [LITTLE.classic(MICRO, ETHERNET), LITTLE.classic_packet(0, 0, &[1; 10]), LITTLE.classic_packet(0, 0, &[2; 10])]
            .concat();
    for len in 4..24 {
        assert!(matches!(error(&file[..len]).fault, CaptureFault::HeaderCut), "{len}");
    }
    for len in 25..file.len() {
        match len {
            50 => assert_eq!(frames(&file[..len]).unwrap().len(), 1),
            _ => {
                let error = error(&file[..len]);
                assert!(matches!(error.fault, CaptureFault::PacketCut), "{len}: {error}");
                assert_eq!(error.packet, Some(if len < 50 { 1 } else { 2 }), "{len}");
            }
        }
    }
}

#[test]
fn cut_pcapng_tells_where() {
    let head = [BIG.section(), BIG.interface(1, &[])].concat();
    let file = [head.clone(), BIG.enhanced(0, 0, &[1; 10]), BIG.enhanced(0, 0, &[2; 10])].concat();
    for len in 4..28 {
        assert!(matches!(error(&file[..len]).fault, CaptureFault::HeaderCut), "{len}");
    }
    let second = head.len() + (file.len() - head.len()) / 2;
    for len in second + 1..file.len() {
        let error = error(&file[..len]);
        assert!(matches!(error.fault, CaptureFault::PacketCut), "{len}: {error}");
        assert_eq!(error.packet, Some(2));
    }
}

#[test]
fn longest_packet_has_65535_bytes() {
    let file = |len| [LITTLE.classic(MICRO, ETHERNET), LITTLE.classic_packet(0, 0, &vec![0; len])].concat();
    assert_eq!(frames(&file(65_535)).unwrap()[0].1.len(), 65_535);
    let too_long = error(&file(65_536));
    assert!(matches!(too_long, CaptureError { packet: Some(1), fault: CaptureFault::TooLong { bytes: 65_536 }, .. }));
    // A length that the file does not hold is told as what it is, and nothing is allocated for it.
    let damaged = [LITTLE.classic(MICRO, ETHERNET), LITTLE.u32s(&[0, 0, u32::MAX, u32::MAX])].concat();
    assert!(matches!(error(&damaged).fault, CaptureFault::TooLong { bytes: 0xffff_ffff }));
    let pcapng = [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.enhanced(0, 0, &vec![0; 65_536])].concat();
    assert!(matches!(error(&pcapng).fault, CaptureFault::TooLong { bytes: 65_536 }));
}

#[test]
fn time_beyond_nanoseconds_is_an_error() {
    let seconds = LITTLE.interface(1, &[LITTLE.option(9, &[0])]);
    let error = error(&[LITTLE.section(), seconds, LITTLE.enhanced(0, u64::MAX, &[1])].concat());
    assert!(matches!(error, CaptureError { packet: Some(1), fault: CaptureFault::Time, .. }), "{error}");
}

#[test]
fn iterator_ends_after_an_error() {
    let file = [LITTLE.classic(MICRO, ETHERNET), vec![0; 5]].concat();
    let capture = Capture::from_slice("cut", &file).unwrap();
    assert_eq!(capture.frames().map(|frame| frame.is_err()).collect::<Vec<_>>(), [true]);
}

#[test]
fn open_maps_a_file_and_names_it_in_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.pcap");
    let file = [LITTLE.classic(NANO, ETHERNET), LITTLE.classic_packet(1, 2, &[5; 60])].concat();
    std::fs::write(&path, &file).unwrap();
    let capture = Capture::open(&path).unwrap();
    let frames: Vec<_> = capture.frames().map(Result::unwrap).collect();
    assert_eq!(frames, [crate::engine::Frame { time_ns: 1_000_000_002, bytes: &[5; 60] }]);

    std::fs::write(&path, []).unwrap();
    let empty = Capture::open(&path).unwrap_err();
    assert!(matches!(empty.fault, CaptureFault::Empty));
    assert!(empty.to_string().contains("two.pcap: the file is empty"), "{empty}");
    let missing = Capture::open(&directory.path().join("none")).unwrap_err();
    assert!(matches!(missing.fault, CaptureFault::Io { action: "open", .. }));
    assert!(matches!(Capture::open(directory.path()).unwrap_err().fault, CaptureFault::NotRegular));
}

fn valid_files() -> [Vec<u8>; 2] {
    let classic =
        [LITTLE.classic(MICRO, ETHERNET), LITTLE.classic_packet(1, 1, &[1; 60]), LITTLE.classic_packet(2, 2, &[2; 61])];
    let pcapng = [
        BIG.section(),
        BIG.interface(1, &[BIG.option(9, &[9]), BIG.option(2, b"eth0")]),
        BIG.enhanced(0, 1, &[1; 60]),
        BIG.block(2, &[BIG.u32s(&[0, 0, 1, 3, 3]), vec![1, 2, 3, 0]].concat()),
        BIG.block(3, &[BIG.u32(4).to_vec(), vec![4; 4]].concat()),
    ];
    [classic.concat(), pcapng.concat()]
}

#[test]
fn valid_files_of_the_mutation_test_are_valid() {
    assert_eq!(valid_files().map(|file| frames(&file).unwrap().len()), [2, 3]);
}

proptest! {
    #[test]
    fn no_bytes_panic(start in 0_usize..6, mut file in proptest::collection::vec(any::<u8>(), 0..400)) {
        let magics = [
            LITTLE.u32(MICRO).to_vec(), BIG.u32(NANO).to_vec(), BIG.section(), LITTLE.section(), vec![],
            [LITTLE.section(), LITTLE.interface(1, &[])].concat(),
        ];
        file.splice(..0, magics[start].iter().copied());
        let _ = frames(&file);
    }

    #[test]
    fn no_mutation_of_a_valid_file_panics(
        which in 0_usize..2, changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..5),
        cut: proptest::sample::Index,
    ) {
        let mut file = valid_files()[which].clone();
        for (index, value) in changes {
            let index = index.index(file.len());
            file[index] = value;
        }
        let _ = frames(&file);
        file.truncate(cut.index(file.len() + 1));
        let _ = frames(&file);
    }
}
