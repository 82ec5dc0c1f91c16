# SPDX-License-Identifier: MIT
"""Devices made and deleted by rtnetlink: starting ip(8) takes longer than the kernel does."""
import os
import socket
import struct

RTM_NEWLINK, RTM_DELLINK = 16, 17
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_GROUP, IFLA_INFO_KIND = 1, 3, 18, 27, 1
IFF_UP = 1


def attribute(kind, data):
    length = 4 + len(data)
    return struct.pack("HH", length, kind) + data + b"\0" * (-length % 4)


class Links:
    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def ask(self, kind, flags, body):
        self.sock.send(struct.pack("IHHII", 16 + len(body), kind,
                                   flags | NLM_F_REQUEST | NLM_F_ACK, 0, 0) + body)
        error = -struct.unpack_from("i", self.sock.recv(65536), 16)[0]
        if error:
            raise OSError(error, os.strerror(error))

    def make(self, name, mac, kind="veth", group=0):
        self.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
                 struct.pack("BxHiII", 0, 0, 0, IFF_UP, IFF_UP) +
                 attribute(IFLA_IFNAME, name.encode() + b"\0") +
                 attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))) +
                 attribute(IFLA_GROUP, struct.pack("I", group)) +
                 attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind.encode())))

    def delete(self, name):
        self.ask(RTM_DELLINK, 0, struct.pack("BxHiII", 0, 0, 0, 0, 0) +
                 attribute(IFLA_IFNAME, name.encode() + b"\0"))

    def close(self):
        self.sock.close()
