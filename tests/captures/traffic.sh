# shellcheck shell=bash
# shellcheck disable=SC2154 # here, scratch and gateway4 are assigned by make.sh
# The clients: each function is one kind of traffic. Sourced by make.sh, which provides in_client, in_director, in_far,
# die and its variables. Loops walk through client addresses, because flows that differ only in the port would meet
# one backend under client affinity.

# No configuration file and no proxy of the machine may leak in. Read by make.sh too.
curl_options=(-q --silent --show-error --fail --insecure --noproxy '*' --max-time 10 --output /dev/null)
dig_options=(-r +time=2 +tries=2)

# expect CODE COMMAND...: for commands whose failure is the point.
expect() {
    local want=$1 got=0
    shift
    "$@" || got=$?
    [[ $got == "$want" ]] || die "exit code $got instead of $want from: $*"
}

# fetch SOURCE OPTIONS-AND-URLS...; several URLs share one connection.
fetch() { in_client curl "${curl_options[@]}" --interface "$@" >/dev/null; }
lookup() { in_client dig "${dig_options[@]}" -b "$@" >/dev/null; }
# echo_request SOURCE OPTIONS-AND-DESTINATION...
echo_request() { in_client ping -n -q -i 0.02 -W 2 -I "$@" >/dev/null; }
send() { in_client python3 "$here/endpoints.py" send "$@"; }
send_from_vip() { in_director python3 "$here/endpoints.py" send "$@"; }

# ---- TCP

http_single() {
    local i
    for i in {1..26}; do
        fetch "198.51.100.$i" http://192.0.2.10/
    done
    # Here the server closes first, so the client's FIN is the answer and not the start.
    for i in {27..32}; do
        fetch "198.51.100.$i" --header 'Connection: close' http://192.0.2.10/
    done
}

http_keep_alive() {
    local i
    for i in {1..8}; do
        fetch "198.51.100.$i" http://192.0.2.10/{a,b,c,d,e}
    done
}

http_post() {
    local i body
    body=$(printf '%05000d' 0)
    # Client 40 is the one behind the narrow link.
    for i in 33 34 40; do
        fetch "198.51.100.$i" --data "$body" http://192.0.2.10/form
    done
}

# Clients that reset: their RST reaches the load balancer.
http_abort() {
    in_client python3 "$here/endpoints.py" abort --source 198.51.100.35 --to 192.0.2.10 --port 80 --count 6
}

https() {
    local i
    for i in {1..10}; do
        fetch "198.51.100.$i" https://192.0.2.10/
    done
    fetch 198.51.100.11 --tlsv1.2 --tls-max 1.2 https://192.0.2.10/ https://192.0.2.10/next
}

# Every client once: HTTP from half of them, HTTPS from the others.
tcp_clients() {
    local i
    for ((i = 1; i <= 40; i += 2)); do
        fetch "198.51.100.$i" http://192.0.2.10/
        fetch "198.51.100.$((i + 1))" https://192.0.2.10/
    done
}

closed_port() {
    local i
    for i in {1..5}; do
        # 7: curl could not connect.
        expect 7 fetch "198.51.100.$i" "http://192.0.2.10:$((8000 + i))/" 2>/dev/null
    done
}

# The director is no router: what it does not own is lost, and the client's SYN is retransmitted once.
not_a_vip() {
    # 28: curl ran out of time.
    expect 28 fetch 198.51.100.1 --max-time 1.5 http://192.0.2.99/ 2>/dev/null
    send --source 198.51.100.2 --to 192.0.2.98 --port 5000 --flows 4 --datagrams 2 --sizes 16,64
    echo_request 198.51.100.3 -c 2 "$gateway4"
}

# ---- UDP

# From nothing to a full frame. 1,472 bytes of payload make a packet of 1,500, which no tunnel of MTU 1,500 takes.
udp_load() {
    send --source 198.51.100.1 --sources 40 --to 192.0.2.20 --port 5000 --ports 16 --flows 60 --datagrams 5 \
        --sizes 0,1,17,18,64,100,200,33,2,48,512,72,1024,8,27,1440,160,12,1472,31 --tos 0,0,0xb8,0,0x02,0x28
}

udp_ipv6() {
    send --source 2001:db8:1::1 --sources 9 --to 2001:db8::20 --port 5000 --ports 16 --flows 12 --datagrams 3 \
        --sizes 0,1,48,300,1200,1452 --tos 0,0xb8,0x03
}

dns_udp() {
    local i
    for i in {1..10}; do
        lookup "198.51.100.$i" @192.0.2.53 web.test A www.test A
        lookup "198.51.100.$i" @192.0.2.53 web.test AAAA
    done
    lookup 198.51.100.11 @192.0.2.53 missing.test A
}

dns_tcp() {
    local i
    for i in {12..16}; do
        lookup "198.51.100.$i" +tcp @192.0.2.53 web.test A
    done
}

dns_truncated() {
    local i
    for i in {17..20}; do
        lookup "198.51.100.$i" +noedns @192.0.2.53 long.test TXT
    done
}

dns_ipv6() {
    local i
    for i in {1..8}; do
        lookup "2001:db8:1::$i" @2001:db8::53 web.test AAAA
    done
    lookup 2001:db8:1::9 +tcp @2001:db8::53 web.test AAAA
}

# ---- Fragments

ping_large() {
    echo_request 198.51.100.1 -c 2 -s 4000 192.0.2.10
    echo_request 198.51.100.2 -c 1 -s 2000 192.0.2.20
}
ping_narrow() { echo_request 198.51.100.40 -c 2 -s 2500 192.0.2.10; }
udp_large() {
    send --source 198.51.100.3 --sources 4 --to 192.0.2.20 --port 5000 --ports 4 \
        --flows 4 --datagrams 2 --sizes 1473,3000,4500
}
udp_narrow() {
    send --source 198.51.100.40 --to 192.0.2.20 --port 5000 --ports 4 --flows 4 --sizes 577,1200,2500
}
ipv6_large() {
    echo_request 2001:db8:1::1 -c 2 -s 3000 2001:db8::10
    send --source 2001:db8:1::2 --to 2001:db8::20 --port 5000 --flows 2 --sizes 1453,2500
}

# ---- IPv6

ipv6_http() {
    local i
    for i in {1..8}; do
        fetch "2001:db8:1::$i" 'http://[2001:db8::10]/'
    done
    fetch 2001:db8:1::9 'http://[2001:db8::10]/'{a,b,c}
    fetch 2001:db8:1::10 --data "$(printf '%03000d' 0)" 'http://[2001:db8::10]/form'
}

ipv6_https() {
    fetch 2001:db8:1::11 'https://[2001:db8::10]/'
    fetch 2001:db8:1::12 'https://[2001:db8::10]/'
}

ipv6_ping() { echo_request 2001:db8:1::13 -c 5 2001:db8::10; }

# ---- VLAN

vlan_http() {
    local i
    for i in {1..6}; do
        fetch "203.0.113.$i" http://192.0.2.10/
    done
    fetch 203.0.113.7 http://192.0.2.10/{a,b,c}
}
vlan_https() {
    local i
    for i in {8..10}; do
        fetch "203.0.113.$i" https://192.0.2.10/
    done
}
vlan_udp() {
    send --source 203.0.113.1 --sources 10 --to 192.0.2.20 --port 5000 --ports 4 --flows 10 --datagrams 2 \
        --sizes 0,18,100,1440,1472
}
vlan_ping() {
    echo_request 203.0.113.1 -c 3 192.0.2.10
    echo_request 203.0.113.2 -c 1 -s 2000 192.0.2.10
}
vlan_ipv6() {
    local i
    for i in {1..4}; do
        fetch "2001:db8:100::$i" 'http://[2001:db8::10]/'
    done
}

# ---- ICMP

ping_echo() {
    local i
    for i in {1..6}; do
        echo_request "198.51.100.$i" -c 3 192.0.2.10
    done
}

# Record route is an IPv4 option: the header is longer than 20 bytes.
ping_options() { echo_request 198.51.100.7 -c 2 -R 192.0.2.10; }

# The server answers a client that is gone: the client's kernel sends an error that quotes the VIP.
port_unreachable() {
    local i
    for i in {1..10}; do
        send_from_vip --source 192.0.2.20 --source-port "$((6000 + i))" --to "198.51.100.$i" --port 9 --sizes 40
        send_from_vip --source 2001:db8::20 --source-port "$((6000 + i))" --to "2001:db8:1::$i" --port 9 --sizes 40
    done
}

# Every host asks once, since the server remembers the path MTU of each.
path_mtu() {
    local i
    for _ in 1 2 3; do
        i=$(next_far_host)
        in_far curl "${curl_options[@]}" --interface "198.18.0.$i" http://192.0.2.10/large >/dev/null
        in_far curl "${curl_options[@]}" --interface "2001:db8:2::$i" 'http://[2001:db8::10]/large' >/dev/null
    done
}

# A counter in a file, because traffic functions run in subshells.
next_far_host() {
    local last=1
    [[ ! -e $scratch/far-host ]] || last=$(<"$scratch/far-host")
    [[ $last -lt 20 ]] || die "no far host is left; raise their number in make_far"
    echo "$((last + 1))" | tee "$scratch/far-host"
}

time_exceeded() {
    local i
    for i in {2..6}; do
        send_from_vip --source 192.0.2.20 --source-port "$((5100 + i))" --to "198.18.0.$i" --port 9 --sizes 40 --ttl 1
        send_from_vip --source 2001:db8::20 --source-port "$((5100 + i))" --to "2001:db8:2::$i" --port 9 \
            --sizes 40 --ttl 1
    done
}

# Nobody has these addresses, so neighbour resolution fails at the client, after three seconds.
host_unreachable() {
    send_from_vip --source 192.0.2.20 --source-port 5200 --to 198.18.0.99 --port 9 --datagrams 3 --sizes 40
    send_from_vip --source 2001:db8::20 --source-port 5200 --to 2001:db8:2::99 --port 9 --datagrams 3 --sizes 40
    sleep 4
}
