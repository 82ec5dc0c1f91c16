#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A service that wants out: agent.py NAME. It tries at its first instruction and whenever asked.

A try is a datagram to the outside: plainly, by packet-info, and from the datagram socket that the
service manager has handed over. Answers over the socket /run/NAME.ask tell the errno of each, 0 for sent.
"""
import json
import os
import socket
import struct
import sys

OUTSIDE = ("10.0.2.2", 9)
LISTEN_FDS = 3
IP_PKTINFO = 8
HANDED = []


def attempt(function):
    try:
        function()
        return 0
    except OSError as e:
        return e.errno


def plainly():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(b"x", OUTSIDE)
        except InterruptedError:  # tied to its device just now, and asked to send again
            s.sendto(b"x", OUTSIDE)


def by_packet_info():
    info = struct.pack("=I4s4s", socket.if_nametoindex("out0"), b"\0" * 4, b"\0" * 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendmsg([b"x"], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, OUTSIDE)


def handed_over():
    for s in HANDED:
        if s.type == socket.SOCK_DGRAM:
            return attempt(lambda: s.sendto(b"x", OUTSIDE))
    return None


def tries():
    return {"plainly": attempt(plainly), "by packet-info": attempt(by_packet_info),
            "handed over": handed_over()}


def main():
    name = sys.argv[1]
    for i in range(int(os.environ.get("LISTEN_FDS", 0))):
        HANDED.append(socket.socket(fileno=LISTEN_FDS + i))
    first = tries()
    path = f"/run/{name}.ask"
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(path)
        s.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while True:
            c, _ = s.accept()
            with c:
                asked = c.recv(100).decode()
                c.sendall(json.dumps(first if asked == "first" else tries()).encode())


if __name__ == "__main__":
    main()
