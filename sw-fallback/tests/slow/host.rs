//! A host as `maglane run` makes one, and what its frames are made of and read with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use etherparse::defrag::IpDefragPool;
use etherparse::{IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, NetSlice, SlicedPacket};
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Egress, TableImage, Verdict};
use maglane_sw::fast::{Datapath, HEADROOM, LOOK, Packet, Worker};
use maglane_sw::slow::{Fate, HostCounters, Outbox, SlowPath, divert};

/// A worker with its slow path.
pub(crate) struct Host {
    pub(crate) datapath: Arc<Datapath>,
    worker: Worker,
    slow: Arc<Mutex<SlowPath>>,
    outbox: Outbox,
    /// Whether what leaves is not sent.
    pub(crate) is_stuck: bool,
    /// Frames that the slow path has looked at.
    looked_at: Arc<AtomicU64>,
}

impl Host {
    pub(crate) fn new(image: TableImage) -> Self {
        let datapath = Arc::new(Datapath::new(image.geometry).unwrap());
        datapath.load(Arc::new(image)).unwrap();
        Self {
            worker: Worker::new(Arc::clone(&datapath)),
            slow: Arc::new(Mutex::new(SlowPath::new(Arc::clone(&datapath)))),
            datapath,
            outbox: Outbox::new(),
            is_stuck: false,
            looked_at: Arc::default(),
        }
    }

    /// Another worker of the same host.
    pub(crate) fn another(&self) -> Self {
        Self {
            datapath: Arc::clone(&self.datapath),
            worker: Worker::new(Arc::clone(&self.datapath)),
            slow: Arc::clone(&self.slow),
            outbox: Outbox::new(),
            is_stuck: false,
            looked_at: Arc::clone(&self.looked_at),
        }
    }

    /// What a frame becomes: where it goes itself, and what the host sends because of it.
    pub(crate) fn take(&mut self, time_ns: u64, frame: &[u8]) -> (Egress, Vec<Vec<u8>>) {
        let mut buffer = [&[0; HEADROOM][..], frame, &[0; LOOK]].concat();
        let mut packets = [Packet::new(&mut buffer, HEADROOM, frame.len()).unwrap()];
        let mut egresses = [Egress::Host];
        let found = self.worker.process(time_ns, &mut packets);
        let verdict = self.worker.trace(0).verdict;
        assert_eq!(found.of(0), verdict.egress());
        self.looked_at.fetch_add(u64::from(SlowPath::wants(verdict)), Ordering::Relaxed);
        let unsent = self.outbox.frames().count();
        divert(&self.slow, time_ns, &packets, &self.worker, found, &mut egresses, &mut self.outbox);
        let sent: Vec<Vec<u8>> = self.outbox.frames().skip(unsent).map(<[u8]>::to_vec).collect();
        if !self.is_stuck {
            self.outbox.clear();
        }
        (egresses[0], sent)
    }

    /// The same of a frame that goes nowhere itself.
    pub(crate) fn sends(&mut self, time_ns: u64, frame: &[u8]) -> Vec<Vec<u8>> {
        let (egress, sent) = self.take(time_ns, frame);
        assert_eq!(egress, Egress::Nowhere, "{frame:02x?}");
        sent
    }

    /// That a frame is the kernel's.
    pub(crate) fn passes(&mut self, time_ns: u64, frame: &[u8]) {
        assert_eq!(self.take(time_ns, frame), (Egress::Host, vec![]), "{frame:02x?}");
    }

    pub(crate) fn expire(&self, time_ns: u64) {
        self.slow.lock().unwrap().expire(time_ns);
    }

    /// Counters, of which every frame that was looked at is in one, unless it still waits.
    pub(crate) fn counters(&self) -> HostCounters {
        let counters = self.slow.lock().unwrap().counters();
        let fates: u64 = counters.fates().map(|(_, frames)| frames).sum();
        assert_eq!(fates + counters.kept.pieces as u64, self.looked_at.load(Ordering::Relaxed), "{counters:?}");
        counters
    }

    /// The fates that there were.
    pub(crate) fn fates(&self) -> BTreeMap<Fate, u64> {
        self.counters().fates().filter(|&(_, frames)| frames > 0).collect()
    }

    /// Frames that the pipeline has counted, by verdict.
    pub(crate) fn verdict(&self, verdict: Verdict) -> u64 {
        let PacketsBytes { packets, .. } = self.datapath.counters().verdicts[usize::from(verdict.code())];
        packets
    }
}

/// Where the packet of a frame starts.
pub(crate) fn ip_offset(frame: &[u8]) -> usize {
    if frame[12..14] == [0x81, 0] { 18 } else { 14 }
}

/// The frames of a frame's packet in pieces of so many bytes each, the last of what is left; made by `etherparse`.
pub(crate) fn pieces(frame: &[u8], identification: u32, lens: &[usize]) -> Vec<Vec<u8>> {
    let at = ip_offset(frame);
    let (link, ip) = frame.split_at(at);
    let (mut out, mut offset) = (Vec::new(), 0);
    let payload_at = if ip[0] >> 4 == 6 { 40 } else { 20 };
    let payload = &ip[payload_at..];
    let mut lens = lens.iter();
    while offset < payload.len() {
        let len = lens.next().copied().unwrap_or(usize::MAX).min(payload.len() - offset);
        let (piece, more) = (&payload[offset..offset + len], offset + len < payload.len());
        out.push([link, &header(ip, identification, offset, more, len), piece].concat());
        offset += len;
    }
    out
}

/// The headers of a piece of a packet.
pub(crate) fn header(ip: &[u8], identification: u32, offset: usize, more: bool, len: usize) -> Vec<u8> {
    let units = u16::try_from(offset / 8).unwrap().try_into().unwrap();
    let mut out = Vec::new();
    if ip[0] >> 4 == 6 {
        let (mut header, _) = Ipv6Header::from_slice(ip).unwrap();
        let fragment = Ipv6FragmentHeader::new(header.next_header, units, more, identification);
        header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
        header.payload_length = u16::try_from(len + 8).unwrap();
        header.write(&mut out).unwrap();
        fragment.write(&mut out).unwrap();
    } else {
        let (mut header, _) = Ipv4Header::from_slice(ip).unwrap();
        header.identification = u16::try_from(identification).unwrap();
        (header.dont_fragment, header.more_fragments, header.fragment_offset) = (false, more, units);
        header.total_len = u16::try_from(20 + len).unwrap();
        header.header_checksum = header.calc_header_checksum();
        header.write(&mut out).unwrap();
    }
    out
}

/// A frame in a tunnel: its outer headers, and the packet.
pub(crate) struct Tunnelled {
    /// Ethernet, tag, IP and GRE, with lengths and IPv4's checksum set to zero when they are right.
    pub(crate) outer: Vec<u8>,
    /// Bytes of the outer IP packet.
    pub(crate) outer_len: usize,
    /// The inner packet in a frame of its own.
    pub(crate) inner: Vec<u8>,
}

/// Takes a frame out of its tunnel.
pub(crate) fn tunnelled(frame: &[u8]) -> Tunnelled {
    let at = ip_offset(frame);
    let mut outer = frame.to_vec();
    let gre_at = match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Ipv4(ip) => {
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            assert_eq!(usize::from(ip.header().total_len()), frame.len() - at);
            outer[at + 2..at + 4].fill(0);
            outer[at + 10..at + 12].fill(0);
            at + 20
        }
        NetSlice::Ipv6(ip) => {
            assert_eq!(usize::from(ip.header().payload_length()), frame.len() - at - 40);
            outer[at + 4..at + 6].fill(0);
            at + 40
        }
        NetSlice::Arp(_) => panic!("a tunnel of ARP"),
    };
    let inner_at = gre_at + if frame[gre_at] & 0x20 != 0 { 8 } else { 4 };
    outer.truncate(inner_at);
    let inner = [&[0; 12], &frame[gre_at + 2..gre_at + 4], &frame[inner_at..]].concat();
    Tunnelled { outer, outer_len: frame.len() - at, inner }
}

/// What `etherparse` puts together of the pieces in tunnels: the payload of the whole packet.
pub(crate) fn reassembled(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for frame in frames {
        let inner = tunnelled(frame).inner;
        let sliced = SlicedPacket::from_ethernet(&inner).unwrap();
        if let Some(NetSlice::Ipv4(ip)) = &sliced.net {
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
        }
        let done = pool.process_sliced_packet(&sliced, (), ()).unwrap();
        assert!(done.is_none() || whole.is_none(), "put together twice");
        whole = whole.or(done);
    }
    whole.expect("all pieces are there").payload
}
