# SPDX-License-Identifier: MIT
"""Programs of their own that `ifpin audit` finds: their mend is to end them.

What a program does when it is told is in told().
"""

MULTICAST4 = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
s.setsockopt(0, 200, 1)
for i, dev in enumerate(("in0", "out0")):
    s.setsockopt(0, 202, struct.pack("HBBIii", i, 8, 1, 0, socket.if_nametoindex(dev), 0))
s.setsockopt(0, 204, socket.inet_aton("10.0.1.2") + socket.inet_aton("239.1.2.3") +
             struct.pack("H32s2xIIIi", 0, b"\\0\\1" + b"\\0" * 30, 0, 0, 0, 0))
"""

MULTICAST6 = """
import socket, struct, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(41, 200, 1)
for i, dev in enumerate(("in0", "out0")):
    s.setsockopt(41, 202, struct.pack("HBBHxxI", i, 0, 1, socket.if_nametoindex(dev), 0))
def address(text):
    return struct.pack("HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, text), 0)
s.setsockopt(41, 204, address("fd00:1::2") + address("ff0e::123") +
             struct.pack("Hxx8I", 0, 2, *[0] * 7))
"""

LISTEN = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(1, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 7777))
s.listen()
"""

ECHO = """
import socket, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
def echo():
    while True:
        data, peer = s.recvfrom(1000)
        s.sendto(data, peer)
threading.Thread(target=echo, daemon=True).start()
"""

TALK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.0.1.2", 9))
def told():
    s.send(b"ifpin-test-marker")
"""

PACKET = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("in0", 3))
def told():
    s.send(b"\\xff" * 6 + b"\\2" * 6 + b"\\x88\\xb6" + b"ifpin-test-marker")
"""

RAW = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 99)
def told():
    s.sendto(b"ifpin-test-marker", ("10.0.2.2", 0))
"""

GONE = """
import socket, subprocess
subprocess.run("ip link add gone0 index 777 type veth peer name gone1".split(), check=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(1, socket.SO_BROADCAST, 1)
s.setsockopt(1, 25, b"gone0\\0")
s.bind(("0.0.0.0", 7778))
subprocess.run("ip link del gone0".split(), check=True)
def told():
    s.sendto(b"ifpin-test-marker", ("255.255.255.255", 9))
"""
