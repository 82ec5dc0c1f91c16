# SPDX-License-Identifier: MIT
"""Hosts of other shapes: one family only, several addresses and ways, large frames, and frames that
the kernel cuts or puts together later."""
import select
import socket
import subprocess

from lab import MARKER, Lab, must
from test_devices_real import SEND

# Answers datagrams and connections of a family; of the latter, when all has come, with how much.
ANSWER = """
import socket, sys, threading
family, to = (socket.AF_INET6, "::") if sys.argv[1] == "6" else (socket.AF_INET, "")
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((to, 7))
l = socket.socket(family)
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind((to, 7))
l.listen()
def serve():
    while True:
        c = l.accept()[0]
        n = 0
        while data := c.recv(1 << 16):
            n += len(data)
        c.send(str(n).encode())
        c.close()
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
while True:
    data, to = u.recvfrom(1 << 16)
    u.sendto(str(len(data)).encode(), to)
"""

# Sends a datagram of a size (cut into such of another), and a stream; says what has arrived.
ASK = """
import socket, sys
to, size, cut, stream = sys.argv[1], *map(int, sys.argv[2:5])
family = socket.AF_INET6 if ":" in to else socket.AF_INET
u = socket.socket(family, socket.SOCK_DGRAM)
u.settimeout(30)
if cut:
    u.setsockopt(socket.IPPROTO_UDP, 103, cut)  # UDP_SEGMENT
for _ in range(2):
    try:
        u.sendto(b"ifpin-test-marker".ljust(size, b"."), (to, 7))
        break
    except InterruptedError:
        pass
print([int(u.recv(64)) for _ in range(-(-size // (cut or size)))])
t = socket.socket(family)
t.settimeout(60)
t.connect((to, 7))
t.sendall(b"ifpin-test-marker" + b"." * (stream - 17))
t.shutdown(socket.SHUT_WR)
print(t.recv(64).decode())
"""


class Hosts(Lab):
    def answer(self, family):
        for peer in (self.pin, self.pout):
            p = self.popen(peer.cmd("python3", "-c", ANSWER, family), stdout=subprocess.PIPE)
            self.assertTrue(select.select([p.stdout], [], [], 60)[0])
            self.assertEqual(p.stdout.readline(), b"ready\n")

    def ip(self, *lines):
        for line in lines:
            must("ip", *line.split())

    def asks(self, to, size=100, cut=0, stream=100, device="in0"):
        p = self.ifpin("python3", "-c", ASK, to, size, cut, stream, device=device)
        self.assertEqual(p.returncode, 0, p.stderr)
        parts = [cut] * (size // cut) + [size % cut] * bool(size % cut) if cut else [size]
        self.assertEqual(p.stdout, f"{parts}\n{stream}\n")

    def closed(self, *to, device="in0"):
        must("python3", "-c", SEND.replace("AF_INET", "AF_INET6") if ":" in to[0] else SEND, *to)
        self.assertGreater(self.leaked(), 0)
        p = self.ifpin("python3", "-c", SEND.replace("AF_INET", "AF_INET6") if ":" in to[0] else SEND, *to,
                       device=device)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.leaked(), 0)

    def test_ipv6_only(self):
        for device in ("in0", "out0"):
            self.ip(f"-4 addr flush dev {device}")
        self.answer("6")
        self.asks("fd00:1::2")
        self.closed("fd00:2::2")
        # Nor is there a 127.0.0.1.
        self.ip("-4 addr flush dev lo")
        self.asks("fd00:1::2")

    def test_ipv4_only(self):
        for name in ("all", "default"):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as f:
                f.write("1")
        self.addCleanup(self.enable_ipv6)
        self.answer("4")
        self.asks("10.0.1.2")
        self.closed("10.0.2.2")

    @staticmethod
    def enable_ipv6():
        for name in ("all", "default"):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as f:
                f.write("0")

    def test_multi_homed(self):
        """Both devices in one network, several addresses each, and default routes by both."""
        for n, (device, peer) in enumerate((("in0", self.pin), ("out0", self.pout)), 1):
            self.ip(f"addr add 10.0.3.{n}/24 dev {device}", f"addr add 10.0.{n}.11/24 dev {device}",
                    f"route add default via 10.0.{n}.2 dev {device} metric {300 - n}",
                    f"-6 addr add fd00:3::{n}/64 dev {device} nodad")
            must(*peer.cmd("ip", "addr", "add", "10.0.3.9/24", "dev", "eth0"))
            must(*peer.cmd("ip", "-6", "addr", "add", "fd00:3::9/64", "dev", "eth0", "nodad"))
            must(*peer.cmd("ip", "addr", "add", "192.0.2.9/32", "dev", "lo"))
        # The host's own choice is the other device.
        self.ip("route del 10.0.3.0/24 dev in0", "route add 10.0.3.0/24 dev in0 metric 900")
        self.answer("4")
        for to in ("10.0.1.2", "10.0.3.9", "192.0.2.9"):
            self.asks(to)
            self.assertEqual(self.leaked(), 0)
        self.closed("10.0.3.9", device="in0")

    def large(self, mtu):
        for device, peer in (("in0", self.pin), ("out0", self.pout)):
            self.ip(f"link set {device} mtu {mtu}")
            must(*peer.cmd("ip", "link", "set", "eth0", "mtu", mtu))

    def test_large_frames(self):
        self.large(9000)
        self.answer("6")
        for to in ("10.0.1.2", "fd00:1::2"):
            self.asks(to, size=8900, stream=4000000)
        self.closed("10.0.2.2")
        self.assertEqual(self.leaked(), 0)

    def test_cut_later(self):
        """One packet for the programs, many on the wire; and many that are put together again."""
        for device, peer in (("in0", self.pin), ("out0", self.pout)):
            must("ethtool", "-K", device, "tso", "on", "gso", "on", "gro", "on")
            must(*peer.cmd("ethtool", "-K", "eth0", "tso", "on", "gso", "on", "gro", "on"))
        self.answer("6")
        for to in ("10.0.1.2", "fd00:1::2"):
            self.asks(to, size=40000, cut=1200, stream=4000000)
        self.assertEqual(self.leaked(), 0)
        must("python3", "-c", SEND, "10.0.2.2")
        self.assertGreater(self.leaked(), 0)
        p = self.ifpin("python3", "-c", f"""
import socket, struct
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3):
    try:
        u.sendmsg([{MARKER!r} * 1000], [(socket.IPPROTO_UDP, 103, struct.pack('H', 1200)),
                  (0, 8, struct.pack('iII', {self.out_index()}, 0, 0))], 0, ('10.0.2.2', 7))
    except OSError as e:
        print(e.errno)
""")
        self.assertEqual(p.stdout.splitlines()[-1], "1", p.stderr)
        self.assertEqual(self.leaked(), 0)
