#!/usr/bin/env bash
# Checks captures against what README.md says of them. Needs tcpdump, no root.
#
#   tests/captures/check.sh            the committed files, and their numbers in README.md
#   tests/captures/check.sh DIRECTORY  files in another directory; README.md is left aside
#   tests/captures/check.sh --counts   prints name, frames and bytes of the committed files
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$here
names=(web tcp udp dns fragments ipv6 vlan icmp)
# The captures are embedded or committed: small is a feature.
web_bytes_max=450000
total_bytes_max=1500000
# 1,500 bytes of packet, 14 of Ethernet header, 4 of tag: more would be a super-frame that no wire carries.
frame_bytes_max=1518

die() {
    echo "check.sh: $*" >&2
    exit 1
}

# tcpdump says on stderr which file it reads; a reader that fails must not look like an empty capture.
frames() { tcpdump -n -r "$directory/$1.pcap" "${2:-}" 2>/dev/null | wc -l; }
bytes() { stat --format=%s "$directory/$1.pcap"; }

at_least() {
    local count
    count=$(frames "$2" "$3")
    [[ $count -ge $1 ]] || die "$2.pcap: $count frames match '$3', at least $1 expected"
}

none() {
    local count
    count=$(frames "$1" "$2")
    [[ $count == 0 ]] || die "$1.pcap: $count frames match '$2', none expected"
}

check_file() {
    local name=$1 least=50 most=400 count bad
    [[ -r $directory/$name.pcap ]] || die "$name.pcap is missing"
    # Classic pcap with nanoseconds, written on a little-endian machine.
    [[ $(od -An -tx1 -N4 "$directory/$name.pcap") == " 4d 3c b2 a1" ]] || die "$name.pcap: not a nanosecond pcap file"
    if [[ $name == web ]]; then least=1000 most=2500; fi
    count=$(frames "$name")
    [[ $count -ge $least && $count -le $most ]] || die "$name.pcap: $count frames, $least to $most expected"
    none "$name" "greater $((frame_bytes_max + 1))"
    # With offloads on, the sender's checksums would be unfinished.
    bad=$(tcpdump -n -vv -r "$directory/$name.pcap" 2>/dev/null | grep -c -E 'bad (udp )?cksum|\(incorrect' || true)
    [[ $bad == 0 ]] || die "$name.pcap: $bad wrong checksums"
}

check_content() {
    local fragment='ip[6:2] & 0x3fff != 0'
    at_least 50 web 'udp and dst host 192.0.2.20'
    at_least 50 web 'tcp and dst host 192.0.2.10 and dst port 443'
    at_least 50 web 'ip6 and tcp'
    at_least 6 web "$fragment"
    at_least 20 web 'port 53'
    at_least 10 web 'tcp and port 53'
    at_least 10 web 'arp'
    at_least 5 web 'src port 8001 or src port 8002 or src port 8003 or src port 8004 or src port 8005'
    at_least 3 web 'dst host 192.0.2.98 or dst host 192.0.2.99'
    # Replies would not pass the load balancer; they are here because a wire shows both, and must not dominate.
    [[ $(frames web 'ether dst 02:00:00:00:00:01') -gt $(frames web 'ether src 02:00:00:00:00:01') ]] ||
        die "web.pcap: more replies than requests"
    # A filter sees what follows `vlan` behind the tag, so these come last in their expressions.
    at_least 30 web 'vlan 100 and dst host 192.0.2.10'
    at_least 1 web 'vlan 100 and ip and ether src 02:00:00:00:00:01'

    local name
    for name in "${names[@]:1}"; do
        none "$name" 'ether src 02:00:00:00:00:01'
    done
    at_least 100 tcp 'tcp dst port 80'
    at_least 100 tcp 'tcp dst port 443'
    at_least 4 tcp 'tcp[tcpflags] & tcp-rst != 0'
    at_least 5 udp 'ip and udp[4:2] == 8'
    at_least 5 udp 'ip and udp[4:2] > 1408'
    at_least 10 dns 'udp dst port 53'
    at_least 10 dns 'tcp dst port 53'
    none fragments "not ($fragment or ip6[6] == 44)"
    none ipv6 'not ip6'
    none vlan 'not vlan 100'
    # Types 3 and 11 of ICMP, 1 to 3 of ICMPv6; code 4 of type 3 is fragmentation needed.
    at_least 5 icmp 'icmp[icmptype] == 3 and icmp[icmpcode] == 3'
    at_least 2 icmp 'icmp[icmptype] == 3 and icmp[icmpcode] == 4'
    at_least 2 icmp 'icmp[icmptype] == 11'
    at_least 5 icmp 'icmp6 and ip6[40] == 1'
    at_least 2 icmp 'icmp6 and ip6[40] == 2'
    at_least 2 icmp 'icmp6 and ip6[40] == 3'
}

if [[ ${1:-} == --counts ]]; then
    for name in "${names[@]}"; do
        echo "$name.pcap $(frames "$name") $(bytes "$name")"
    done
    exit
fi
directory=${1:-$here}
total=0
for name in "${names[@]}"; do
    check_file "$name"
    total=$((total + $(bytes "$name")))
    if [[ $# == 0 ]]; then
        grep -qF "| \`$name.pcap\` | $(frames "$name") | $(bytes "$name") |" "$here/README.md" ||
            die "README.md: frames or bytes of $name.pcap are not those of the file"
    fi
done
check_content
[[ $(bytes web) -le $web_bytes_max ]] || die "web.pcap: $(bytes web) bytes, at most $web_bytes_max expected"
[[ $total -le $total_bytes_max ]] || die "$total bytes in all, at most $total_bytes_max expected"
echo "check.sh: ${#names[@]} captures, $total bytes, as expected"
