"""An 802.1Q sub-interface in user space: vlan_port.py WIRE TAP VLAN_ID

Frames that the kernel sends on the tap device leave the wire with a tag; tagged frames of that VLAN that arrive on the
wire reach the tap device without it. All else on the wire is left to the kernel, which ignores the tagged frames.
"""

import fcntl
import os
import selectors
import socket
import struct
import sys

TPID = 0x8100
# A priority other than zero makes the tag's other bits visible: the load balancer copies all 16.
PRIORITY = 3
# From linux/if_tun.h, linux/if_ether.h and linux/if_packet.h.
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 0x10
AUXDATA = struct.Struct("=IIIHHHH")


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def open_wire(name):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.bind((name, ETH_P_ALL))
    return wire


def receive(wire):
    """Returns a frame without its tag, and the tag's VLAN; None for a frame without a tag or one that we sent."""
    frame, ancillary, _, address = wire.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
    if address[2] == PACKET_OUTGOING:
        return frame, None
    # The kernel takes the tag out of the frame before sockets see it, and hands it over beside the frame.
    for _, _, data in ancillary:
        fields = AUXDATA.unpack(data[: AUXDATA.size])
        if fields[0] & TP_STATUS_VLAN_VALID:
            return frame, fields[5] & 0x0FFF
    return frame, None


def main():
    wire_name, tap_name, vlan_id = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tap = open_tap(tap_name)
    wire = open_wire(wire_name)
    tag = struct.pack("!HH", TPID, PRIORITY << 13 | vlan_id)
    selector = selectors.DefaultSelector()
    selector.register(tap, selectors.EVENT_READ)
    selector.register(wire, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is tap:
                frame = os.read(tap, 65536)
                wire.send(frame[:12] + tag + frame[12:])
            else:
                frame, vlan = receive(wire)
                if vlan == vlan_id:
                    os.write(tap, frame)


if __name__ == "__main__":
    main()
