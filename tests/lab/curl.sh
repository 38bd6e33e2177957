#!/usr/bin/env bash
# curl through simulated gateware: a client asks for a page at a virtual address, the card picks a web server for each
# connection and tunnels its packets there, and the server answers the client directly.
#
#   sudo tests/lab/curl.sh [FOLDER]     FOLDER has `maglane` and `decapsulate`, by default target/debug
#
#   client ------+         +------ web-1      decapsulate, the virtual addresses on lo, an HTTP server
#                | bridge  |                  that says its name
#                +----+----+------ web-2
#                     |
#                   wire                      a TAP device: the card's only port
#              maglane card serve
#                   host                      a TAP device: what the card passes, ARP and ping
#
# Each of the four is a network namespace; nothing outside of them is changed. The card's namespace has the bridge, the
# card and both TAP devices. GRE is taken off by a program, since not every kernel has a module for it. Exits with 0 when
# all went well, 1 when something did not, 77 when this machine lacks what it takes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")
programs=${1:-${CARGO_TARGET_DIR:-$root/target}/debug}
# The process id keeps two runs on one machine apart.
namespace() { echo "curl-$1-$$"; }
client=$(namespace client)
card=$(namespace card)
backends=(web-1 web-2)
config=$root/examples/curl.toml
vip4=192.0.2.10
vip6=2001:db8::10
requests=24
# Longer than any healthy run: what the clean-up missed ends by itself. To build the model takes most of it, the first time.
server_seconds=300
# The outer headers have at most 48 bytes; without this, full segments of the client would not fit the backends' link.
advmss=1400

die() {
    echo "curl.sh: $*" >&2
    exit 1
}

require() {
    local missing=() entry
    [[ $(uname) == Linux ]] || lacks "Linux, for network namespaces"
    for entry in ip:iproute2 curl:curl busybox:busybox timeout:coreutils; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    [[ ${#missing[@]} == 0 ]] || lacks "Debian packages: apt-get install ${missing[*]}"
    # Not by `grep -q`: it ends at the first match, and what writes into its pipe then fails.
    [[ $(busybox --list) == *httpd* ]] || lacks "a busybox with httpd: apt-get install busybox-static"
    [[ $(id -u) == 0 ]] || lacks "root, for network namespaces: run it with sudo"
    [[ -c /dev/net/tun ]] || lacks "/dev/net/tun: modprobe tun, or in a container --device /dev/net/tun"
    ip netns add "$card" 2>/dev/null || lacks "network namespaces: in a container --privileged"
    for entry in maglane decapsulate; do
        [[ -x $programs/$entry ]] || die "$programs/$entry is not there: cargo build --bin maglane --bin decapsulate"
    done
}

lacks() {
    echo "this machine lacks $*"
    exit 77
}

# Every process in the namespaces is ours, because the namespaces are.
cleanup() {
    local name space pid
    for name in client card "${backends[@]}"; do
        space=$(namespace "$name")
        [[ -e /run/netns/$space ]] || continue
        for pid in $(ip netns pids "$space"); do
            kill "$pid" 2>/dev/null || true
        done
        ip netns delete "$space"
    done
    [[ -z ${scratch:-} ]] || rm -rf "$scratch"
}

# await SECONDS COMMAND...
await() {
    local deadline=$((SECONDS + $1))
    shift
    while ((SECONDS < deadline)); do
        if timeout 5 "$@" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    tail -n 5 "$scratch"/*.log >&2 || true
    die "gave up waiting for: $*"
}

# start LOG NAMESPACE COMMAND...: a program in the background, $! its id.
start() {
    local log=$scratch/$1.log namespace=$2
    shift 2
    timeout "$server_seconds" ip netns exec "$namespace" "$@" >"$log" 2>&1 &
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

# add_namespace NAMESPACE: without duplicate address detection addresses work at once; packets out of a tunnel come from
# where no route leads back.
add_namespace() {
    [[ -e /run/netns/$1 ]] || ip netns add "$1"
    set_sysctl "$1" ipv6/conf/{all,default}/accept_dad=0 ipv6/conf/{all,default}/accept_ra=0 \
        ipv4/conf/{all,default}/rp_filter=0
    ip -n "$1" link set lo up
}

# add_host NAMESPACE PORT NUMBER: a machine on the bridge, whose last byte of MAC and addresses is NUMBER.
add_host() {
    ip -n "$card" link add name "$2" type veth peer name wire address "02:00:00:00:00:$3" netns "$1"
    ip -n "$card" link set "$2" master bridge up
    ip -n "$1" address add "198.51.100.$3/24" dev wire
    ip -n "$1" address add "2001:db8:1::$3/64" dev wire
    ip -n "$1" link set wire up
}

make_topology() {
    local number=11 name space
    add_namespace "$card"
    ip -n "$card" link add name bridge type bridge mcast_snooping 0
    ip -n "$card" link set bridge up
    add_namespace "$client"
    add_host "$client" client 10
    for name in "${backends[@]}"; do
        space=$(namespace "$name")
        add_namespace "$space"
        add_host "$space" "$name" "$number"
        ip -n "$space" address add "$vip4/32" dev lo
        ip -n "$space" address add "$vip6/128" dev lo
        ip -n "$space" route replace 198.51.100.0/24 dev wire advmss "$advmss"
        ip -n "$space" -6 route replace 2001:db8:1::/64 dev wire advmss "$advmss"
        number=$((number + 1))
    done
    # The client's router to the virtual addresses is the card: the host behind it has the address and the card's MAC.
    ip -n "$client" route add "$vip4/32" via 198.51.100.254
    ip -n "$client" -6 route add "$vip6/128" via 2001:db8:1::fe
}

# The card takes the TAP devices when it starts; the bridge and the host have them then.
start_card() {
    start card "$card" "$programs/maglane" card serve --socket "$socket" --tap wire --host-tap host
    card_pid=$!
    await "$server_seconds" test -S "$socket"
    ip -n "$card" link set wire master bridge up
    ip -n "$card" link set host address 02:00:00:00:00:01
    ip -n "$card" address add 198.51.100.254/24 dev host
    ip -n "$card" address add 2001:db8:1::fe/64 dev host
    ip -n "$card" link set host up
}

start_backends() {
    local name space page
    for name in "${backends[@]}"; do
        space=$(namespace "$name")
        page=$scratch/$name
        mkdir -p "$page/cgi-bin"
        echo "$name" >"$page/index.html"
        # A page that is not complete before somebody makes the file `release`. Its last line comes later than the one
        # before it, so that the client has acknowledged that: another backend would have answered with a reset.
        cat >"$page/cgi-bin/slow" <<END
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n$name begins\n'
for i in \$(seq 600); do
    [ ! -e '$scratch/release' ] || break
    sleep 0.05
done
echo '$name goes on'
sleep 0.5
echo '$name ends'
END
        chmod +x "$page/cgi-bin/slow"
        start "decapsulate-$name" "$space" "$programs/decapsulate" tunnel
        start "httpd-$name" "$space" busybox httpd -f -p '[::]:80' -h "$page"
        await 20 grep -q ready "$scratch/decapsulate-$name.log"
        ip -n "$space" link set tunnel up
        await 20 ip netns exec "$space" curl --silent --max-time 2 http://127.0.0.1/
    done
}

maglane() { timeout 120 ip netns exec "$card" "$programs/maglane" card "$@" --device "vfio-user:$socket"; }

# ask URL: one connection, whose answer is passed on as it comes.
ask() { timeout 20 ip netns exec "$client" curl --silent --show-error --fail \
        --no-buffer --globoff --max-time 15 "$1"; }

# ask_often URL: as many connections as there are requests, and who answered them.
ask_often() {
    local i answer answers
    answers=$(mktemp -p "$scratch")
    for ((i = 0; i < requests; i++)); do
        answer=$(ask "$1") || die "$1: request $((i + 1)) got no answer"
        echo "$answer" >>"$answers"
    done
    printf '%-22s %s answers: ' "$1" "$requests"
    sort "$answers" | uniq -c | awk '{ printf "%s%s from %s", (NR > 1 ? ", " : ""), $1, $2 } END { print "" }'
}

# What the client's kernel has sent over TCP, sent again included; it talks to nobody but the virtual addresses.
sent() {
    # shellcheck disable=SC2016 # expanded by awk
    timeout 20 ip netns exec "$client" awk '
        $1 == "Tcp:" && !seen { for (i = 2; i <= NF; i++) column[$i] = i; seen = 1; next }
        $1 == "Tcp:" { print $column["OutSegs"] + $column["RetransSegs"] }' /proc/net/snmp
}

forwarded() { maglane counters | awk '$1 == "forward" { gsub(",", "", $2); print $2 }'; }

# What came out of a backend's tunnel, as its kernel counts it.
tunnelled() {
    # shellcheck disable=SC2016 # expanded by awk
    timeout 20 ip netns exec "$(namespace "$1")" awk '$1 == "tunnel:" { print $3 }' /proc/net/dev
}

# The last acknowledgements may be under way when the clients have ended.
compare_counts() {
    local i out=0 through=0 first=0 second=0
    for ((i = 0; i < 20; i++)); do
        out=$(sent) through=$(forwarded) first=$(tunnelled web-1) second=$(tunnelled web-2)
        if ((out == through && through == first + second)); then break; fi
        sleep 0.1
    done
    echo "the client sent $out segments; the card forwarded $through: web-1 got $first, web-2 got $second"
    ((out == through && through == first + second)) || die "these numbers should agree"
}

# A connection that is open while its backend is drained, and stays with it; new ones go elsewhere.
drain() {
    local slow_pid during_pid name
    ask "http://$vip4/cgi-bin/slow" >"$scratch/slow" &
    slow_pid=$!
    await 10 grep -q begins "$scratch/slow"
    name=$(cut -d ' ' -f 1 "$scratch/slow")
    sed "/^name = \"$name\"/a state = \"draining\"" "$config" >"$scratch/drained.toml"
    echo "a connection to $name is open; $name is drained while others come"
    ask_often "http://$vip4/" >"$scratch/during" &
    during_pid=$!
    maglane load --config "$scratch/drained.toml" >"$scratch/load.log" || die "load: $(cat "$scratch/load.log")"
    wait "$during_pid" || die "a request failed while the tables were loaded"
    ask_often "http://$vip4/"
    ask_often "http://[$vip6]/"
    touch "$scratch/release"
    wait "$slow_pid" || die "the open connection broke"
    echo "the open connection: $(paste -s -d ',' "$scratch/slow" | sed 's/,/, /g')"
}

scratch=
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
require
scratch=$(mktemp -d)
socket=$scratch/socket
make_topology
start_card
start_backends
maglane load --config "$config" --serve
timeout 20 ip netns exec "$client" ping -c 1 -W 5 198.51.100.254 >/dev/null || die "the host behind the card does not answer"
ask_often "http://$vip4/"
ask_often "http://[$vip6]/"
drain
compare_counts
maglane counters
# TERM as from a service manager; the card tells what has passed it.
kill -TERM "$card_pid"
wait "$card_pid" || die "the card: $(cat "$scratch/card.log")"
tail -n +2 "$scratch/card.log"
