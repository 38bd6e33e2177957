#!/usr/bin/env bash
# Makes the captures in this folder from real programs: curl, nginx, dnsmasq, dig, ping and small Python clients talk
# through a veth pair between network namespaces, and tcpdump listens where the load balancer would stand.
#
#   sudo tests/captures/make.sh
#
#   far ---- (MTU 1300) ---- client ---- wire ---- director
#   198.18.0.2..20           198.51.100.1..40      owns the VIPs; its MAC is the datapath's `mac`
#                            203.0.113.1..10 on VLAN 100
#
# Nothing outside these three namespaces is changed. New files replace the old ones only after check.sh accepts them,
# so a run that fails leaves the committed captures alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The process id keeps two runs on one machine apart.
client=captures-client-$$
director=captures-director-$$
far=captures-far-$$
gateway4=198.51.100.254
gateway6=2001:db8:1::fe
vlan_gateway4=203.0.113.254
vlan_gateway6=2001:db8:100::fe
vlan_id=100
# Longer than any healthy run (about half a minute): a server that the clean-up missed ends by itself.
server_seconds=300
# A backend behind a GRE tunnel advertises a segment size that leaves room for the outer headers (at most 40 bytes of
# IPv6 and 8 of GRE with a key), so that full segments of the clients are forwarded instead of being too big.
advmss4=1400
advmss6=1380

die() {
    echo "make.sh: $*" >&2
    exit 1
}

require_tools() {
    local missing=() entry
    for entry in tcpdump:tcpdump nginx:nginx-light curl:curl ip:iproute2 ethtool:ethtool ping:iputils-ping \
        dnsmasq:dnsmasq-base dig:bind9-dnsutils python3:python3 openssl:openssl timeout:coreutils; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    [[ ${#missing[@]} == 0 ]] || die "missing Debian packages; apt-get install ${missing[*]}"
    [[ $(id -u) == 0 ]] || die "needs root, for network namespaces; run it with sudo"
    [[ -c /dev/net/tun ]] || die "needs /dev/net/tun, for the VLAN sub-interfaces"
}

# Every process in the namespaces is ours, because the namespaces are, so asking the kernel for their ids also finds
# what a server forked.
cleanup() {
    local namespace pid
    for namespace in "$client" "$director" "$far"; do
        [[ -e /run/netns/$namespace ]] || continue
        for pid in $(ip netns pids "$namespace"); do
            kill "$pid" 2>/dev/null || true
        done
        ip netns delete "$namespace"
    done
    [[ -z ${scratch:-} ]] || rm -rf "$scratch"
}

# Every foreground command is bounded: a wedged server must fail the run, not hang it.
in_client() { timeout 20 ip netns exec "$client" "$@"; }
in_director() { timeout 20 ip netns exec "$director" "$@"; }
in_far() { timeout 20 ip netns exec "$far" "$@"; }

await() {
    local deadline=$((SECONDS + 15))
    while ((SECONDS < deadline)); do
        if timeout 2 "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    tail -n 5 "$scratch"/*.log >&2 || true
    die "gave up waiting for: $*"
}

# /proc/sys/net shows the settings of the reader's namespace, so these stay inside it.
set_sysctl() {
    local namespace=$1 assignment
    shift
    for assignment; do
        # shellcheck disable=SC2016 # expanded by the inner shell
        timeout 20 ip netns exec "$namespace" sh -c 'echo "$2" >"/proc/sys/net/$1"' sh \
            "${assignment%%=*}" "${assignment##*=}"
    done
}

make_topology() {
    local namespace i
    for namespace in "$client" "$director" "$far"; do
        ip netns add "$namespace"
        # Without duplicate address detection addresses work at once; router solicitations would be noise.
        set_sysctl "$namespace" ipv6/conf/{all,default}/accept_dad=0 ipv6/conf/{all,default}/accept_ra=0 \
            ipv4/conf/{all,default}/rp_filter=0
        ip -n "$namespace" link set lo up
    done
    # Explicit congestion notification puts bits into the field that the rewrite stage copies to the outer header.
    set_sysctl "$client" ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 ipv4/tcp_ecn=1 \
        ipv4/icmp_ratelimit=0 ipv6/icmp/ratelimit=0
    set_sysctl "$director" ipv4/tcp_ecn=1

    # Both ends are born inside their namespaces; the machine's own namespace never sees them.
    ip -n "$director" link add name wire address 02:00:00:00:00:01 type veth \
        peer name wire address 02:00:00:00:00:02 netns "$client"
    ip -n "$client" link add name far address 02:00:00:00:00:03 type veth \
        peer name wire address 02:00:00:00:00:04 netns "$far"
    without_offloads "$director" wire
    without_offloads "$client" wire
    without_offloads "$client" far
    without_offloads "$far" wire

    ip -n "$director" address add "$gateway4/24" dev wire
    ip -n "$director" address add "$gateway6/64" dev wire
    for address in 192.0.2.10/32 192.0.2.20/32 192.0.2.53/32 2001:db8::10/128 2001:db8::20/128 2001:db8::53/128; do
        ip -n "$director" address add "$address" dev lo
    done
    for ((i = 1; i <= 40; i++)); do
        ip -n "$client" address add "198.51.100.$i/24" dev wire
        ip -n "$client" address add "2001:db8:1::$i/64" dev wire
    done
    ip -n "$director" link set wire up
    ip -n "$client" link set wire up
    ip -n "$director" route replace 198.51.100.0/24 dev wire src "$gateway4" advmss "$advmss4"
    ip -n "$director" -6 route replace 2001:db8:1::/64 dev wire advmss "$advmss6"
    ip -n "$director" route add default via 198.51.100.1 advmss "$advmss4"
    ip -n "$director" -6 route add default via 2001:db8:1::1 advmss "$advmss6"
    ip -n "$client" route add 192.0.2.0/24 via "$gateway4"
    ip -n "$client" -6 route add 2001:db8::/64 via "$gateway6"
    # Client 40 sits behind a narrow link: its datagrams come in small fragments, its TCP asks for small segments.
    ip -n "$client" rule add from 198.51.100.40 table 40
    ip -n "$client" route add default via "$gateway4" mtu lock 600 table 40

    make_far
    make_vlan
}

# The veth driver delivers super-frames and half-done checksums unless told not to; a wire carries neither.
without_offloads() {
    timeout 20 ip netns exec "$1" ethtool -K "$2" tx off rx off gso off tso off gro off rxvlan off txvlan off \
        >>"$scratch/ethtool.log" 2>&1 || die "ethtool: $(tail -n 1 "$scratch/ethtool.log")"
}

# A network behind the client's narrow link. Its hosts believe in 1,500 bytes, so their servers learn the path MTU the
# hard way: from ICMP errors that the client, as their router, sends back to the VIP.
make_far() {
    local i
    for ((i = 2; i <= 20; i++)); do
        ip -n "$far" address add "198.18.0.$i/24" dev wire
        ip -n "$far" address add "2001:db8:2::$i/64" dev wire
    done
    ip -n "$client" address add 198.18.0.1/24 dev far
    ip -n "$client" address add 2001:db8:2::1/64 dev far
    ip -n "$client" link set far mtu 1300 up
    ip -n "$far" link set wire up
    ip -n "$far" route add default via 198.18.0.1
    ip -n "$far" -6 route add default via 2001:db8:2::1
}

# VLAN sub-interfaces are tap devices that vlan_port.py joins to the wire: the same on every kernel, also on those
# without the 8021q module, and no driver can hide the tag in an offload.
make_vlan() {
    local namespace i
    for namespace in "$client" "$director"; do
        ip -n "$namespace" tuntap add dev tagged mode tap
    done
    # Up before a frame can come in: the kernel refuses frames for a tap device that is down.
    ip -n "$director" link set tagged address 02:00:00:00:00:01 up
    ip -n "$client" link set tagged address 02:00:00:00:00:02 up
    for namespace in "$client" "$director"; do
        start "vlan-$namespace" "$namespace" python3 "$here/vlan_port.py" wire tagged "$vlan_id"
        await grep -q ready "$scratch/vlan-$namespace.log"
    done
    ip -n "$director" address add "$vlan_gateway4/24" dev tagged
    ip -n "$director" address add "$vlan_gateway6/64" dev tagged
    ip -n "$director" route replace 203.0.113.0/24 dev tagged src "$vlan_gateway4" advmss "$advmss4"
    for ((i = 1; i <= 10; i++)); do
        ip -n "$client" address add "203.0.113.$i/24" dev tagged
        ip -n "$client" address add "2001:db8:100::$i/64" dev tagged
    done
    # The VIPs are the same ones as without a tag, so the client's source address decides which way a packet takes.
    ip -n "$client" rule add from 203.0.113.0/24 to 192.0.2.0/24 table "$vlan_id"
    ip -n "$client" route add 192.0.2.0/24 via "$vlan_gateway4" table "$vlan_id"
    ip -n "$client" -6 rule add from 2001:db8:100::/64 to 2001:db8::/64 table "$vlan_id"
    ip -n "$client" -6 route add 2001:db8::/64 via "$vlan_gateway6" table "$vlan_id"
}

# start NAME NAMESPACE COMMAND...: a server in the background; its log is $scratch/NAME.log.
start() {
    local name=$1 namespace=$2
    shift 2
    timeout "$server_seconds" ip netns exec "$namespace" "$@" >"$scratch/$name.log" 2>&1 &
}

start_servers() {
    # An elliptic-curve key makes small certificates, and so small captures.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=web.test \
        -keyout "$scratch/key.pem" -out "$scratch/certificate.pem" 2>/dev/null
    sed "s|@SCRATCH@|$scratch|" "$here/nginx.conf" >"$scratch/nginx.conf"
    mkdir "$scratch/pages"
    # Three full segments: enough to meet the narrow link.
    printf '%04000d\n' 0 >"$scratch/pages/large"
    # `-e stderr`: before it reads its configuration, nginx would open a log file outside of our directory.
    start nginx "$director" nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"

    # The text record does not fit 512 bytes: a client without EDNS sees a truncated answer and asks again over TCP.
    local words
    words=$(printf 'word%03d,' {1..90})
    start dnsmasq "$director" dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --no-resolv --no-hosts \
        --log-facility=- --bind-interfaces --listen-address=192.0.2.53,2001:db8::53 --local=/test/ \
        --host-record=web.test,192.0.2.10,2001:db8::10 --cname=www.test,web.test --txt-record="long.test,${words%,}"
    start sink "$director" python3 "$here/endpoints.py" sink

    await ip netns exec "$client" curl "${curl_options[@]}" --interface 198.51.100.1 https://192.0.2.10/
    await ip netns exec "$client" curl "${curl_options[@]}" --interface 2001:db8:1::1 'http://[2001:db8::10]/'
    await ip netns exec "$client" curl "${curl_options[@]}" --interface 203.0.113.1 http://192.0.2.10/
    await ip netns exec "$client" curl "${curl_options[@]}" --interface 2001:db8:100::1 'http://[2001:db8::10]/'
    await ip netns exec "$client" dig "${dig_options[@]}" @192.0.2.53 web.test
    await grep -q ready "$scratch/sink.log"
}

# capture NAME DIRECTION FILTER TRAFFIC...: runs the traffic functions of traffic.sh at the same time, as clients do,
# while tcpdump listens on the director's end.
capture() {
    local name=$1 direction=$2 filter=$3 log=$scratch/tcpdump-$1.log tcpdump_pid pids=() pid
    shift 3
    # Fresh neighbour tables, so that ARP and neighbour discovery are seen too.
    ip -n "$client" neighbour flush dev wire
    ip -n "$director" neighbour flush dev wire
    # `-Z root`: the scratch directory is root's, and tcpdump would open its file as another user.
    timeout "$server_seconds" ip netns exec "$director" tcpdump -i wire -Q "$direction" -n -s 0 -Z root \
        --time-stamp-precision=nano --immediate-mode -U -w "$scratch/$name.pcap" "$filter" 2>"$log" &
    tcpdump_pid=$!
    await grep -q 'listening on' "$log"
    for traffic; do
        "$traffic" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || die "$name: a client failed"
    done
    # The last acknowledgements are still under way when the clients have ended.
    sleep 0.5
    # TERM, because a shell starts background processes with INT ignored; tcpdump flushes and ends on either.
    kill -TERM "$tcpdump_pid"
    wait "$tcpdump_pid" || true
    grep -q '^0 packets dropped by kernel' "$log" || die "$name: tcpdump lost frames: $(tail -n 1 "$log")"
}

# The numbers in README.md are those of the files beside it; check.sh compares them.
update_readme() {
    local name frames bytes versions
    while read -r name frames bytes; do
        sed -i "s/^| \`$name\` |[^|]*|[^|]*|/| \`$name\` | $frames | $bytes |/" "$here/README.md"
    done
    # Each program words its version differently; the first number with a dot is it.
    versions=$(
        set +o pipefail # `head` ends before a talkative program does
        for program in 'tcpdump --version' 'nginx -v' 'curl --version' 'dnsmasq --version' 'dig -v' 'ping -V' \
            'openssl version' 'python3 --version' 'ip -V'; do
            # shellcheck disable=SC2086 # split into the program and its option
            printf '%s %s, ' "${program%% *}" "$($program 2>&1 | grep -o -E '[0-9]+(\.[0-9]+)+|s?[0-9]{8}' | head -n 1)"
        done
        echo "Linux $(uname -r | grep -o -E '^[0-9.]+[0-9]')"
    )
    sed -i "s|^Made with: .*|Made with: $versions.|" "$here/README.md"
}

require_tools
scratch=
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
scratch=$(mktemp -d)
# shellcheck source=traffic.sh
source "$here/traffic.sh"
make_topology
start_servers

capture web inout '' http_single http_keep_alive http_post http_abort https dns_udp dns_tcp udp_load ping_echo \
    ping_large udp_narrow ping_options ipv6_http ipv6_https ipv6_ping vlan_http vlan_udp vlan_ipv6 closed_port \
    not_a_vip port_unreachable path_mtu time_exceeded
capture tcp in 'tcp' tcp_clients http_post http_abort
capture udp in 'udp' udp_load udp_ipv6
capture dns in 'port 53' dns_udp dns_tcp dns_truncated dns_ipv6
# The fragment bits and offset of IPv4; the fragment header of IPv6.
capture fragments in 'ip[6:2] & 0x3fff != 0 or ip6[6] == 44' ping_large ping_narrow udp_large udp_narrow ipv6_large
capture ipv6 in 'ip6' ipv6_http ipv6_https ipv6_ping udp_ipv6 dns_ipv6
capture vlan in "vlan $vlan_id" vlan_http vlan_https vlan_udp vlan_ping vlan_ipv6
capture icmp in 'icmp or icmp6' ping_echo ping_options ipv6_ping port_unreachable path_mtu time_exceeded \
    host_unreachable

"$here/check.sh" "$scratch"
install --mode=644 "$scratch"/*.pcap "$here"
"$here/check.sh" --counts | update_readme
# Under sudo the files belong to whoever owns the checkout.
chown --reference="$here" "$here"/*.pcap "$here/README.md"
"$here/check.sh"
