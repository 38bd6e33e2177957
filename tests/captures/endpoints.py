"""A server and clients for what nginx, curl, dig and ping cannot do: bulk UDP and connections that are reset.

sink   binds UDP ports 5000-5015 on both UDP VIPs and swallows what comes: a server that never answers
send   sends datagrams of given sizes over many flows
abort  opens TCP connections, asks, and resets them
"""

import argparse
import ipaddress
import selectors
import socket
import struct
import sys
import time

SINK_ADDRESSES = ("192.0.2.20", "2001:db8::20")
SINK_PORTS = range(5000, 5016)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def sink():
    selector = selectors.DefaultSelector()
    for address in SINK_ADDRESSES:
        for port in SINK_PORTS:
            server = socket.socket(family_of(address), socket.SOCK_DGRAM)
            server.bind((address, port))
            selector.register(server, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            key.fileobj.recv(65536)


def send(options):
    """Takes the flows in turns, so that their datagrams mix as on a wire."""
    first = ipaddress.ip_address(options.source)
    flows = []
    for flow in range(options.flows):
        source = str(first + flow % options.sources)
        client = socket.socket(family_of(source), socket.SOCK_DGRAM)
        client.bind((source, options.source_port))
        tos = options.tos[flow % len(options.tos)]
        if family_of(source) == socket.AF_INET6:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, options.ttl)
        else:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, options.ttl)
        flows.append((client, options.port + flow % options.ports))
    # One datagram for each size at least, so that a list of sizes means all of them.
    rounds = max(options.datagrams, -(-len(options.sizes) // len(flows)))
    count = 0
    for turn in range(rounds):
        for flow, (client, port) in enumerate(flows):
            size = options.sizes[count % len(options.sizes)]
            text = b"flow %d datagram %d " % (flow, turn)
            payload = (text * (size // len(text) + 1))[:size]
            try:
                client.sendto(payload, (options.to, port))
            except OSError:
                # The error that an earlier datagram met is reported here and dropped; this datagram was not sent.
                client.sendto(payload, (options.to, port))
            count += 1
            # A pause keeps the capture's buffer from overflowing and mixes this load with the other clients.
            time.sleep(0.001)


def abort(options):
    for _ in range(options.count):
        client = socket.socket(family_of(options.source), socket.SOCK_STREAM)
        client.settimeout(5)
        client.bind((options.source, 0))
        client.connect((options.to, options.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n")
        client.recv(4096)
        # Lingering for zero seconds turns close into a reset.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def numbers(text):
    return [int(word, 0) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("sink")
    sender = modes.add_parser("send")
    sender.add_argument("--source", required=True, help="the first source address")
    sender.add_argument("--sources", type=int, default=1, help="how many addresses, counted up from the first")
    sender.add_argument("--source-port", type=int, default=0, help="0: the kernel chooses")
    sender.add_argument("--to", required=True)
    sender.add_argument("--port", type=int, required=True, help="the first destination port")
    sender.add_argument("--ports", type=int, default=1, help="how many ports, counted up from the first")
    sender.add_argument("--flows", type=int, default=1)
    sender.add_argument("--datagrams", type=int, default=1, help="a flow's datagrams")
    sender.add_argument("--sizes", type=numbers, default=[64], help="payload bytes, taken in turns")
    sender.add_argument("--tos", type=numbers, default=[0], help="DSCP and ECN, one byte a flow, taken in turns")
    sender.add_argument("--ttl", type=int, default=64)
    aborter = modes.add_parser("abort")
    aborter.add_argument("--source", required=True)
    aborter.add_argument("--to", required=True)
    aborter.add_argument("--port", type=int, required=True)
    aborter.add_argument("--count", type=int, default=1)
    options = parser.parse_args()
    if options.mode == "sink":
        sink()
    elif options.mode == "send":
        send(options)
    else:
        abort(options)


if __name__ == "__main__":
    sys.exit(main())
