//! Goal: where Katran and we both forward, the packet inside is the same, byte for byte; where the verdicts differ,
//! the difference is one of those that `docs/wire-contract.md` lists with their reasons.
//!
//! Method: the frames of Katran's own tests (`katran/lib/testing/fixtures`, sets base and GUE), as hexadecimal text
//! in a file beside the repository. Without that file there is nothing to compare: this is an extra, and says so.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_spec::Verdict;
use maglane_spec::verdict::Egress;

use crate::bench;

const TABLES: &str = r#"
[datapath]
hash_key = "000102030405060708090a0b0c0d0e0f"
mac = "02:00:00:00:00:00"
next_hop_mac = "00:00:de:ad:be:af"
tunnel_source_v4 = "10.0.13.37"
tunnel_source_v6 = "100::64"
check_mac = false
"#;

/// Katran's virtual IPs, its "any port" ones without a port.
const VIPS: [(&str, &str, Option<u16>); 9] = [
    ("10.200.1.1", "tcp", Some(80)),
    ("10.200.1.1", "udp", Some(80)),
    ("10.200.1.2", "tcp", None),
    ("10.200.1.3", "tcp", Some(80)),
    ("10.200.1.4", "tcp", None),
    ("10.200.1.5", "udp", Some(443)),
    ("10.200.1.6", "udp", Some(80)),
    ("fc00:1::1", "tcp", Some(80)),
    ("fc00:1::2", "udp", Some(443)),
];

/// Frames of which we say something else than Katran: set, number, our verdict.
const DIFFERENT: [(&str, u64, Verdict); 13] = [
    ("base_ipip", 8, Verdict::PassIcmp),
    ("base_ipip", 9, Verdict::PassIcmp),
    ("base_ipip", 12, Verdict::PassIpv4Options),
    ("base_ipip", 13, Verdict::PassFragment),
    ("base_ipip", 14, Verdict::PassFragment),
    ("base_ipip", 33, Verdict::PassTooBig),
    ("gue", 6, Verdict::PassIcmp),
    ("gue", 7, Verdict::PassIcmp),
    ("gue", 10, Verdict::PassIpv4Options),
    ("gue", 11, Verdict::PassFragment),
    ("gue", 12, Verdict::PassFragment),
    ("gue", 35, Verdict::PassNoService),
    ("gue", 36, Verdict::PassNoService),
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap()).collect()
}

#[test]
fn katran_frames_carry_the_same_packet() {
    let path = bench::root().join("../shared/vectors/katran_fixtures.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("extra, not run: Katran's frames are not there");
        return;
    };
    let fixtures: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let fixtures: Vec<_> = fixtures.iter().filter(|each| each["set"] == "base_ipip" || each["set"] == "gue").collect();
    assert_eq!(fixtures.len(), 72);
    let mut tables = TABLES.to_owned();
    for (index, (address, protocol, port)) in VIPS.iter().enumerate() {
        let port = port.map_or_else(String::new, |port| format!("port = {port}\n"));
        // A backend of the VIP's family and one of the other.
        tables += &format!(
            "[[service]]\nname = \"vip-{index}\"\naddress = \"{address}\"\nprotocol = \"{protocol}\"\n{port}\
             table_size = 251\n[[service.backend]]\naddress = \"10.0.0.1\"\n[[service.backend]]\naddress = \"fc00::1\"\n"
        );
    }
    let frames: Vec<Vec<u8>> = fixtures.iter().map(|each| hex(each["in"].as_str().unwrap())).collect();
    let engines = bench::lineup(&[Kind::Verilog], Profile::Lab, Stimulus::SMOOTH);
    let (outcomes, _) = bench::crosscheck(engines, &bench::tables(&tables), &frames).unwrap_or_else(|difference| {
        panic!("{difference}");
    });
    let (mut same_packets, mut different) = (0, Vec::new());
    for (each, outcome) in fixtures.iter().zip(&outcomes) {
        let (set, number) = (each["set"].as_str().unwrap(), each["n"].as_u64().unwrap());
        let theirs = match each["action"].as_str().unwrap() {
            "XDP_TX" => Egress::Wire,
            "XDP_PASS" => Egress::Host,
            "XDP_DROP" => Egress::Nowhere,
            other => panic!("unknown action {other}"),
        };
        if outcome.verdict.egress() != theirs {
            different.push((set, number, outcome.verdict));
        } else if theirs == Egress::Wire {
            let their_frame = hex(each["out"].as_str().unwrap());
            // Outer IPv4 or IPv6, then nothing (IP in IP) or UDP (GUE).
            let outer = if their_frame[12..14] == [8, 0] { 20 } else { 40 };
            let inner = 14 + outer + if set == "gue" { 8 } else { 0 };
            let our_outer = if outcome.output[12..14] == [8, 0] { 20 } else { 40 };
            assert_eq!(outcome.output[14 + our_outer + 4..], their_frame[inner..], "{set} {number}");
            same_packets += 1;
        }
    }
    assert_eq!(different, DIFFERENT);
    assert_eq!(same_packets, 47);
}
