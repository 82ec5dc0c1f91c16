# SPDX-License-Identifier: MIT
"""libifpin: sockets, what a packet can name, multicast, inspection."""
import errno
import os
import re
import socket
import struct
import threading
import unittest

from lab import MARKER, Wire, must, run
from pinned import BUILD, LibLab, Refused

ON_LINK, ONE_HOP, GTSM, FOREIGN = 1, 2, 4, 8
IP_PKTINFO, IPV6_PKTINFO = 8, 50


class Sockets(LibLab):
    def leaks(self, line):
        try:
            self.do(line)
        except Exception:
            pass
        return self.leaked()

    def test_pinned(self):
        """What bind() and SO_BINDTODEVICE let out, one after the other, and then not."""
        for family, near, far in (("inet", "10.0.1.2", "10.0.2.2"),
                                  ("inet6", "fd00:1::2", "fd00:2::2")):
            with self.subTest(family):
                plain = self.do(f"plain {family}")
                self.assertGreater(self.leaks(f"send plain fd={plain} to={far} port=9"), 0)
                fd = self.do(f"socket {family} dev=0")
                self.assertEqual(self.leaks(f"send fd={fd} dev=0 to={far} port=9"), 0)
                # The kernel forgets the device; the library does not.
                self.do(f"connect plain fd={fd} to={near} port=9")
                self.do(f"connect plain fd={fd}")
                self.assertIn("tied to no device", self.do(f"inspect fd={fd}"))
                self.assertEqual(self.leaks(f"send plain fd={fd} to={far} port=9"), 0)
                fd = self.do(f"socket {family} dev=0")
                self.do(f"connect fd={fd} dev=0 to={near} port=9")
                if family == "inet":
                    self.do(f"connect fd={fd} dev=0")
                else:
                    self.refused(errno.EOPNOTSUPP, f"connect fd={fd} dev=0")
                self.assertTrue(self.do(f"inspect fd={fd} dev=0").startswith("pinned "))

    def test_dual_stack_after_disconnect(self):
        fd = self.do("socket inet6 dev=0")
        self.do(f"connect plain fd={fd} to=::ffff:10.0.1.2 port=9")
        self.do(f"connect plain fd={fd}")
        self.assertEqual(self.leaks(f"send plain fd={fd} to=::ffff:10.0.2.2 port=9"), 0)
        self.assertEqual(self.leaks(f"send plain fd={fd} to=::ffff:239.1.2.3 port=9"), 0)

    def test_multicast_interface(self):
        plain = self.do("plain")
        self.assertGreater(self.leaks(f"send plain fd={plain} to=239.9.9.9 port=9"), 0)
        fd = self.do("socket dev=0")
        wire = Wire(self.pin)
        self.do(f"send fd={fd} dev=0 to=239.9.9.9 port=9")
        self.assertEqual(wire.frames("in0"), 1)
        wire.close()
        self.assertEqual(self.leaked(), 0)

    def test_close_on_exec(self):
        for flags, expected in ((0, "1"), (64, "0")):
            fd = self.do(f"socket dev=0 flags={flags}")
            with open(f"/proc/{self.program.pid}/fdinfo/{fd}") as f:
                text = f.read()
            cloexec = int(re.search(r"flags:\s+(\d+)", text).group(1), 8) & os.O_CLOEXEC
            self.assertEqual("1" if cloexec else "0", expected)

    def test_refused_kinds(self):
        self.refused(errno.EPROTONOSUPPORT, "socket stream protocol=262 dev=0", "multipath")
        self.refused(errno.EPROTONOSUPPORT, "socket stream protocol=132 dev=0")
        self.refused(errno.EAFNOSUPPORT, "socket unix dev=0")
        fd = self.do("plain unix")
        self.refused(errno.EAFNOSUPPORT, f"pin fd={fd} dev=0")
        try:
            fd = self.do("plain stream protocol=262")
        except Refused as e:
            self.assertEqual(e.code, errno.EPROTONOSUPPORT)
            self.skipTest("this kernel has no MPTCP, of which a socket could be pinned")
        self.refused(errno.EPROTONOSUPPORT, f"pin fd={fd} dev=0", "multipath")

    def test_options_are_checked(self):
        self.do("socket defaults dev=0")
        for bad in ("size=0", "size=4", "flags=0x80", f"flags={GTSM | ONE_HOP}",
                    "source=nonsense"):
            self.refused(errno.EINVAL, f"socket dev=0 {bad}")
        self.refused(errno.E2BIG, "socket dev=0 size=5000")
        self.refused(errno.EINVAL, f"socket inet6 dev=0 flags={GTSM | ON_LINK}")
        self.refused(errno.EINVAL, "socket inet6 dev=0 source=10.0.1.1", "family")

    def test_source(self):
        fd = self.do("socket dev=0 source=device port=4000")
        self.assertIn("local 10.0.1.1:4000 is in0's", self.do(f"inspect fd={fd}"))
        fd = self.do("socket inet6 dev=0 source=device port=4000")
        self.assertIn("local [fd00:1::1]:4000 is in0's", self.do(f"inspect fd={fd}"))
        fd = self.do("socket dev=0 source=10.0.1.1 port=4001")
        self.assertIn("local 10.0.1.1:4001", self.do(f"inspect fd={fd}"))
        fd = self.do("socket dev=0 port=4002")
        self.refused(errno.EADDRINUSE, "socket dev=0 port=4002")
        self.refused(errno.EADDRNOTAVAIL, "socket dev=0 source=10.0.2.1",
                     "an address of out0, not of in0")
        self.refused(errno.EADDRNOTAVAIL, "socket dev=0 source=192.0.2.1", "not an address of in0")
        self.refused(errno.EADDRNOTAVAIL, "socket inet6 dev=0 source=fd00:2::1", "IFPIN_FOREIGN")
        for family, address, far in (("inet", "10.0.2.1", "10.0.1.2"),
                                     ("inet6", "fd00:2::1", "fd00:1::2")):
            fd = self.do(f"socket {family} dev=0 flags={FOREIGN} source={address}")
            self.assertIn("is not in0's", self.do(f"inspect fd={fd} dev=0"))
            wire = Wire(self.pin)
            self.do(f"send fd={fd} dev=0 to={far} port=9")
            self.assertEqual(wire.frames("in0"), 1)
            wire.close()
        self.assertEqual(self.leaked(), 0)

    def test_no_address(self):
        must("ip", "addr", "flush", "dev", "in0")
        self.refused(errno.EADDRNOTAVAIL, "socket dev=0 source=device", "no usable IPv4")

    def test_link_local_source(self):
        address = next(line.split()[3].split("/")[0] for line in
                       must("ip", "-6", "-o", "addr", "show", "dev", "in0", "scope",
                            "link").splitlines())
        fd = self.do(f"socket inet6 dev=0 source={address} port=4000")
        self.assertIn("is in0's", self.do(f"inspect fd={fd}"))

    def test_device_that_is_gone(self):
        must("ip", "link", "del", "in0")
        self.refused(errno.ENODEV, "socket dev=0", "gone")
        self.refused(errno.ENODEV, "socket stream dev=0", "gone")
        self.refused(errno.ENODEV, "socket inet6 dev=0", "gone")

    def test_device_that_was_renamed(self):
        must("ip", "link", "set", "in0", "down")
        must("ip", "link", "set", "in0", "name", "ctl0")
        self.do("socket stream dev=0")
        must("ip", "link", "set", "ctl0", "name", "in0")

    def test_name_of_another(self):
        self.remake("02:00:00:00:01:99")
        self.refused(errno.ESTALE, "socket dev=0", "another device")
        self.refused(errno.ESTALE, "socket stream dev=0", "another device")
        self.remake()
        self.refused(errno.ESTALE, "socket dev=0", "is back with index")

    def test_other_namespace(self):
        self.needs_netns_cookie()
        self.do("netns")
        self.refused(errno.EXDEV, "monitor dev=0", "namespace")
        self.refused(errno.EXDEV, "socket stream dev=0", "namespace")
        self.do("resolve lo dev=2")
        fd = self.do("plain")
        self.refused(errno.EXDEV, f"inspect fd={fd} dev=0", "namespace")

    def test_pin_existing(self):
        fd = self.do("plain")
        self.assertIn("tied to no device", self.do(f"inspect fd={fd}"))
        self.do(f"pin fd={fd} dev=0")
        self.assertTrue(self.do(f"inspect fd={fd} dev=0").startswith("pinned "))
        self.do(f"pin fd={fd} dev=0")
        # Bound to the address of the other device before.
        fd = self.do("plain")
        self.do(f"bind fd={fd} to=10.0.2.1 port=5000")
        self.refused(errno.EADDRNOTAVAIL, f"pin fd={fd} dev=0", "out0")
        self.refused(errno.EBADF, f"inspect fd={fd}")

    def test_pin_what_is_tied_elsewhere(self):
        """With privilege it is untied, and nothing of the former device is left."""
        fd = self.do("socket dev=1")
        self.do(f"pin fd={fd} dev=0")
        self.assertTrue(self.do(f"inspect fd={fd} dev=0").startswith("pinned "))
        self.do(f"connect plain fd={fd} to=10.0.1.2 port=9")
        self.do(f"connect plain fd={fd}")
        self.assertEqual(self.leaks(f"send plain fd={fd} to=10.0.2.2 port=9"), 0)

    def test_source_route_is_cleared(self):
        fd = self.do("plain")
        s = socket.socket(fileno=os.dup(self.steal(fd)))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([131, 7, 4, 10, 0, 2, 2, 0]))
        self.do(f"pin fd={fd} dev=0")
        self.assertEqual(s.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40), b"")
        s.close()

    def steal(self, fd):
        """A descriptor of the program, which pidfd_getfd(2) gives."""
        pidfd = os.pidfd_open(self.program.pid)
        self.addCleanup(os.close, pidfd)
        import ctypes
        got = ctypes.CDLL(None).syscall(438, pidfd, int(fd), 0)
        self.assertGreaterEqual(got, 0)
        self.addCleanup(os.close, got)
        return got


class Flood:
    """Datagrams that come by the other device, as many as there is time for."""

    def __init__(self, sock, to):
        self.sock, self.to, self.over = sock, to, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            self.sock.sendto(b"outside", self.to)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.sock.close()


class Queue(LibLab):
    """Nothing of another device gets into a queue while a socket is not tied."""

    def flood(self, port):
        s = self.pout.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return Flood(s, ("10.0.2.1", port))

    def test_dissolved(self):
        plain = self.do("plain")
        self.do(f"bind fd={plain} to=0.0.0.0 port=5001")
        fd = self.do("socket dev=0 port=5000")
        with self.flood(5001):
            self.assertEqual(self.do(f"receive fd={plain}"), "outside")
        with self.flood(5000):
            for _ in range(50):
                self.do(f"connect fd={fd} dev=0 to=10.0.1.2 port=9")
                self.do(f"connect fd={fd} dev=0")
        self.refused(errno.ETIMEDOUT, f"receive fd={fd} timeout=50")

    def test_rebound(self):
        fd = self.do("socket dev=0 port=5000")
        with self.flood(5000):
            for _ in range(3):
                self.remake()
                self.do("resolve in0 dev=0")
                self.do(f"repin fd={fd} dev=0")
        self.refused(errno.ETIMEDOUT, f"receive fd={fd} timeout=50")

    def test_tied_to_another_before(self):
        fd = self.do("socket dev=1 port=5000")
        self.do(f"pin fd={fd} dev=0")
        with self.flood(5000):
            for _ in range(20):
                self.do(f"pin fd={fd} dev=0")
        self.refused(errno.ETIMEDOUT, f"receive fd={fd} timeout=50")

    def test_filter_is_kept(self):
        """What the socket did not accept before, it does not accept after."""
        fd = self.do(f"socket dev=0 port=5000 flags={GTSM}")
        self.do(f"connect fd={fd} dev=0 to=10.0.1.2 port=9")
        self.do(f"connect fd={fd} dev=0")
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for hops, text in ((64, b"far"), (255, b"near")):
                s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
                s.sendto(text, ("10.0.1.1", 5000))
        self.assertEqual(self.do(f"receive fd={fd}"), "near")


class FormerLife(LibLab):
    def test_corked_data(self):
        """It has its route already, by whichever device that was."""
        for family, far in (("inet", "10.0.2.2"), ("inet6", "fd00:2::2")):
            for last in ("plain", "dev=0"):
                fd = self.do(f"plain {family}")
                self.do(f"send more plain fd={fd} to={far} port=9 text=early")
                if last == "dev=0":
                    self.do(f"pin fd={fd} dev=0")
                try:
                    self.do(f"send {last} fd={fd} to={far} port=9")
                except Refused:
                    pass
                n = self.leaked()
                self.assertEqual(n > 0, last == "plain", (family, last, n))

    def test_listener(self):
        fd = self.do("plain stream")
        self.do(f"bind fd={fd} to=0.0.0.0 port=6003")
        self.do(f"listen fd={fd}")
        self.refused(errno.EINVAL, f"pin fd={fd} dev=0", "before listen")

    def test_of_another_namespace(self):
        self.needs_netns_cookie()
        fd, tcp = self.do("plain"), self.do("plain stream")
        self.do("netns")
        self.do("resolve lo dev=2")
        for it in (fd, tcp):
            self.refused(errno.EXDEV, f"pin fd={it} dev=2", "namespace")


class Raw(LibLab):
    def test_hears_nothing_of_others(self):
        """Packets that come by the other device while the socket is opened."""
        s = self.pout.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        with Flood(s, ("10.0.2.1", 0)):
            plain = self.do("plain raw protocol=253")
            self.assertIn("outside", self.do(f"receive fd={plain}"))
            for _ in range(100):
                fd = self.do("socket raw protocol=253 dev=0")
                self.refused(errno.ETIMEDOUT, f"receive fd={fd} timeout=1")
                self.do(f"close fd={fd}")
        fd = self.do("socket raw protocol=253 dev=0")
        with self.pin.socket(socket.AF_INET, socket.SOCK_RAW, 253) as s:
            s.sendto(b"inside", ("10.0.1.1", 0))
        self.assertIn("inside", self.do(f"receive fd={fd}"))

    def test_gtsm(self):
        fd = self.do(f"socket raw protocol=253 dev=0 flags={GTSM}")
        with self.pin.socket(socket.AF_INET, socket.SOCK_RAW, 253) as s:
            s.sendto(b"far", ("10.0.1.1", 0))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            s.sendto(b"near", ("10.0.1.1", 0))
        self.assertIn("near", self.do(f"receive fd={fd}"))


class Tcp(LibLab):
    def test_client_and_server(self):
        listener = self.do("socket stream dev=0 source=device port=6000 flags=16")
        self.do(f"listen fd={listener}")
        with self.pin.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.connect(("10.0.1.1", 6000))
            fd = self.do(f"accept fd={listener}")
            text = self.do(f"inspect fd={fd} dev=0")
            self.assertTrue(text.startswith("pinned "), text)
            self.assertIn("lead there by in0", text)
            s.sendall(b"hello")
            self.assertEqual(self.do(f"receive fd={fd}"), "hello")
        server = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.bind(("10.0.1.2", 6001))
        server.listen()
        fd = self.do("socket stream dev=0")
        self.do(f"connect fd={fd} dev=0 to=10.0.1.2 port=6001")
        self.do(f"send fd={fd} dev=0 text=hello")
        peer, _ = server.accept()
        self.assertEqual(peer.recv(10), b"hello")
        peer.close()
        server.close()

    def test_not_outside(self):
        match = lambda data: struct.pack("!H", 6002) in data
        plain = self.do("plain stream")
        s = self.pout.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind(("10.0.2.2", 6002))
        s.listen()
        self.do(f"connect plain fd={plain} to=10.0.2.2 port=6002")
        self.assertGreater(self.leaked(match), 0)
        self.do(f"close fd={plain}")
        self.leaked(match)
        fd = self.do("socket stream nonblock dev=0")
        self.refused(errno.EINPROGRESS, f"connect fd={fd} dev=0 to=10.0.2.2 port=6002")
        self.assertEqual(self.leaked(match), 0)
        s.close()


class Guard(LibLab):
    def setUp(self):
        super().setUp()
        self.out, self.inside = (socket.if_nametoindex(d) for d in ("out0", "in0"))

    def both(self, fd, rest, leaks=True):
        """What leaves by sendmsg(2), and not by the library."""
        self.do(f"send plain fd={fd} {rest}")
        self.assertGreater(self.leaked(), 0)
        self.refused(errno.EXDEV, f"send fd={fd} dev=0 {rest}", "another interface")
        self.refused(errno.EXDEV, f"send two fd={fd} dev=0 {rest}")
        self.assertEqual(self.leaked(), 0)

    def test_pktinfo(self):
        info = struct.pack("=I4s4s", self.out, b"\0" * 4, b"\0" * 4).hex()
        fd = self.do("socket dev=0")
        self.both(fd, f"to=10.0.2.2 port=9 cmsg=0:{IP_PKTINFO}:{info}")
        fd = self.do("socket inet6 dev=0")
        self.both(fd, f"to=::ffff:10.0.2.2 port=9 cmsg=0:{IP_PKTINFO}:{info}")
        info6 = struct.pack("=16sI", b"\0" * 16, self.out).hex()
        for kind in (IPV6_PKTINFO, 2):
            self.refused(errno.EXDEV,
                         f"send fd={fd} dev=0 to=fd00:2::2 port=9 cmsg=41:{kind}:{info6}")

    def test_pktinfo_of_the_device(self):
        info = struct.pack("=I4s4s", self.inside, b"\0" * 4, b"\0" * 4).hex()
        wire = Wire(self.pin)
        fd = self.do("socket dev=0")
        self.do(f"send fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:{IP_PKTINFO}:{info}")
        self.do(f"send two fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:{IP_PKTINFO}:{info}")
        none = struct.pack("=I4s4s", 0, b"\0" * 4, b"\0" * 4).hex()
        self.do(f"send fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:{IP_PKTINFO}:{none}")
        self.assertEqual(wire.frames("in0"), 4)
        wire.close()

    def test_scope(self):
        fd = self.do("socket inet6 dev=0")
        self.both(fd, f"to=ff02::1 port=9 scope={self.out}")
        wire = Wire(self.pin)
        self.do(f"send fd={fd} dev=0 to=ff02::1 port=9 scope={self.inside}")
        self.do(f"send fd={fd} dev=0 to=ff02::1 port=9")
        self.assertEqual(wire.frames("in0"), 2)
        wire.close()
        self.refused(errno.EXDEV, f"connect fd={fd} dev=0 to=fe80::2 port=9 scope={self.out}")
        self.refused(errno.EXDEV, f"connect fd={fd} dev=1 to=10.0.2.2 port=9")

    def test_scope_without_a_family(self):
        """To a raw socket a family of 0 is IPv6 too; sent as raw bytes, for Python has no such."""
        fd = self.do("socket inet6 raw protocol=253 dev=0")
        self.both(fd, f"nofamily to=ff02::1 port=0 scope={self.out}")

    def test_source_routes(self):
        fd = self.do("socket dev=0")
        self.refused(errno.EPERM, f"send fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:7:830704")
        fd = self.do("socket inet6 dev=0")
        for kind in (57, 5):
            self.refused(errno.EPERM, f"send fd={fd} dev=0 to=fd00:1::2 port=9 cmsg=41:{kind}:00")

    def test_malformed(self):
        """What the kernel calls invalid, and what it would read where CMSG_NXTHDR stops."""
        fd = self.do("socket dev=0")
        for rest in ("cmsg=0:8:00", "cmsg=0:8:00 lie=-8", "cmsg=0:8:00 lie=100",
                     "cmsg=41:50:0000"):
            self.refused(errno.EINVAL, f"send fd={fd} dev=0 to=10.0.1.2 port=9 {rest}")
        self.do(f"send fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:2:40000000")  # IP_TTL


class Reach(LibLab):
    def test_gtsm(self):
        """Accepted with 255 hops left, not with one less."""
        for family, here, there, level, option in (
                ("inet", "10.0.1.1", "10.0.1.2", socket.IPPROTO_IP, socket.IP_TTL),
                ("inet6", "fd00:1::1", "fd00:1::2", socket.IPPROTO_IPV6,
                 socket.IPV6_UNICAST_HOPS),
                ("inet6", "10.0.1.1", "10.0.1.2", socket.IPPROTO_IP, socket.IP_TTL)):
            with self.subTest(family=family, here=here):
                af = socket.AF_INET if "." in here else socket.AF_INET6
                fd = self.do(f"socket {family} dev=0 port=7000 flags={GTSM}")
                with self.pin.socket(af, socket.SOCK_DGRAM) as s:
                    for hops, text in ((254, b"far"), (64, b"far"), (255, b"near")):
                        s.setsockopt(level, option, hops)
                        s.sendto(text, (here, 7000))
                    self.assertEqual(self.do(f"receive fd={fd}"), "near")
                self.refused(errno.ETIMEDOUT, f"receive fd={fd} timeout=50")
                self.assertEqual(self.hops(fd, there), 255)
                self.do(f"close fd={fd}")

    def hops(self, fd, to):
        """The hop limit of a packet at the peer."""
        seen = []

        def look(data):
            if MARKER in data:
                seen.append(data[22] if data[12:14] == b"\x08\x00" else data[21])
            return MARKER in data
        wire = Wire(self.pin)
        mapped = "::ffff:" if self.is_six(fd) and "." in to else ""
        self.do(f"send fd={fd} dev=0 to={mapped}{to} port=9")
        wire.frames("in0", look)
        wire.close()
        return seen[0]

    def is_six(self, fd):
        return self.do(f"inspect fd={fd}").find("IPv6") > 0

    def test_gtsm_tcp(self):
        listener = self.do(f"socket stream dev=0 port=7001 flags={GTSM}")
        self.do(f"listen fd={listener}")
        with self.pin.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.settimeout(0.3)
            with self.assertRaises(OSError):
                s.connect(("10.0.1.1", 7001))
        with self.pin.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            s.settimeout(5)
            s.connect(("10.0.1.1", 7001))

    def test_one_hop(self):
        for family, there in (("inet", "10.0.1.2"), ("inet6", "fd00:1::2"),
                              ("inet6", "10.0.1.2")):
            fd = self.do(f"socket {family} dev=0 flags={ONE_HOP}")
            self.assertEqual(self.hops(fd, there), 1)

    def test_on_link(self):
        """No packet for a gateway to forward: IPv4 asks on the link, IPv6 has one hop."""
        must("ip", "route", "add", "198.51.100.0/24", "via", "10.0.1.2", "dev", "in0")
        wire = Wire(self.pin)
        fd = self.do("socket dev=0")
        self.do(f"send fd={fd} dev=0 to=198.51.100.9 port=9")
        self.assertEqual(wire.frames("in0"), 1)
        fd = self.do(f"socket dev=0 flags={ON_LINK}")
        self.do(f"send fd={fd} dev=0 to=198.51.100.9 port=9")
        self.assertEqual(wire.frames("in0"), 0)
        self.do(f"send fd={fd} dev=0 to=10.0.1.2 port=9")
        self.assertEqual(wire.frames("in0"), 1)
        wire.close()
        fd = self.do(f"socket inet6 dev=0 flags={ON_LINK}")
        self.assertEqual(self.hops(fd, "fd00:1::2"), 1)


class Multicast(LibLab):
    def test_join(self):
        for family, group, source, level in (
                ("inet", "239.1.2.3", "10.0.1.2", socket.IPPROTO_IP),
                ("inet6", "ff15::1:2:3", "fd00:1::2", socket.IPPROTO_IPV6)):
            af = socket.AF_INET if family == "inet" else socket.AF_INET6
            for asked in ("", f"source={source}"):
                with self.subTest(group=group, asked=asked):
                    fd = self.do(f"socket {family} dev=0 port=8000 flags=16")
                    self.do(f"join fd={fd} dev=0 group={group} {asked}")
                    self.refused(errno.EADDRINUSE, f"join fd={fd} dev=0 group={group} {asked}")
                    with self.pin.socket(af, socket.SOCK_DGRAM) as s:
                        if family == "inet6":
                            s.bind((source, 0))
                            s.setsockopt(level, socket.IPV6_MULTICAST_IF, self.peer_index())
                        else:
                            s.setsockopt(level, socket.IP_MULTICAST_IF, socket.inet_aton(source))
                        s.sendto(b"beat", (group, 8000))
                        self.assertEqual(self.do(f"receive fd={fd}"), "beat")
                    self.do(f"leave fd={fd} dev=0 group={group} {asked}")
                    self.refused(errno.EADDRNOTAVAIL,
                                 f"leave fd={fd} dev=0 group={group} {asked}")
                    self.do(f"close fd={fd}")

    def peer_index(self):
        return int(must(*self.pin.cmd("ip", "-o", "link", "show", "eth0")).split(":")[0])

    def test_bound_to_the_group(self):
        fd = self.do("socket dev=0 source=239.1.2.3 port=8000")
        self.do(f"join fd={fd} dev=0 group=239.1.2.3")
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.1.2"))
            s.sendto(b"other", ("10.0.1.1", 8000))
            s.sendto(b"beat", ("239.1.2.3", 8000))
        self.assertEqual(self.do(f"receive fd={fd}"), "beat")

    def test_leave_what_is_gone(self):
        for asked in ("", "source=10.0.1.2"):
            self.do("resolve in0 dev=0")
            fd = self.do("socket dev=0")
            self.do(f"join fd={fd} dev=0 group=239.1.2.3 {asked}")
            self.remake()
            self.do(f"leave fd={fd} dev=0 group=239.1.2.3 {asked}")
            self.refused(errno.EADDRNOTAVAIL, f"leave fd={fd} dev=0 group=239.1.2.3")

    def test_refused(self):
        fd = self.do("socket dev=0")
        self.refused(errno.EXDEV, f"join fd={fd} dev=1 group=239.1.2.3", "pin it")
        self.refused(errno.EINVAL, f"join fd={fd} dev=0 group=10.0.0.1", "10.0.0.1 is no multicast")
        self.refused(errno.EINVAL, f"join fd={fd} dev=0 group=239.1.2.3 source=fd00::1")
        plain = self.do("plain")
        self.refused(errno.EXDEV, f"join fd={plain} dev=0 group=239.1.2.3")


class Inspect(LibLab):
    def test_sentences(self):
        fd = self.do("plain")
        self.assertTrue(self.do(f"inspect fd={fd}").startswith("unpinned "))
        bound = self.do("plain")
        self.do(f"option fd={bound} level=1 option=62 value={socket.if_nametoindex('in0')}")
        text = self.do(f"inspect fd={bound} dev=0")
        self.assertTrue(text.startswith("incomplete "), text)
        self.assertIn("AF_UNSPEC", text)
        fd = self.do("socket dev=0")
        self.assertTrue(self.do(f"inspect fd={fd} dev=1").startswith("elsewhere "))
        self.do(f"connect fd={fd} dev=0 to=198.51.100.9 port=9")
        text = self.do(f"inspect fd={fd} dev=0")
        self.assertIn("IPv4 UDP socket, tied to in0", text)
        self.assertIn("lead there by another device than in0", text)
        must("ip", "link", "del", "in0")
        self.assertTrue(self.do(f"inspect fd={fd} dev=0").startswith("dead "))
        self.refused(errno.EAFNOSUPPORT, f"inspect fd={self.do('plain unix')}")
        self.refused(errno.EBADF, "inspect fd=99")

    def test_other_namespace(self):
        self.needs_netns_cookie()
        fd = self.do("plain")
        self.do("netns")
        self.refused(errno.EXDEV, f"inspect fd={fd}", "namespace")


class Unprivileged(Sockets):
    """All that a socket can be without root, by nobody."""
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

    def test_pin_what_is_tied_elsewhere(self):
        fd = self.do("socket dev=1")
        self.refused(errno.EPERM, f"pin fd={fd} dev=0", "CAP_NET_RAW")
        self.refused(errno.EPERM, "socket raw protocol=253 dev=0")

    def test_other_namespace(self):
        self.needs_netns_cookie()
        self.refused(errno.EPERM, "netns")


class Valgrind(LibLab):
    """One round through the library without a wrong byte. A sanitizer looks by itself."""
    prefix = () if "sanitize" in BUILD else (
        "valgrind", "-q", "--error-exitcode=99", "--leak-check=full")

    def test_round(self):
        for line in ("list x", "resolve mac:02:00:00:00:01:01 dev=2", "check dev=0",
                     "socket inet6 dev=0 flags=4 port=9000", "monitor dev=0", "next",
                     "nameservers dev=0", "resolve nothing dev=3"):
            try:
                self.do(line)
            except Exception as e:
                self.assertIn(line.split()[0], ("nameservers", "resolve"), e)
        fd = self.do("socket dev=0 source=device")
        info = struct.pack("=I4s4s", 0, b"\0" * 4, b"\0" * 4).hex()
        self.do(f"send two fd={fd} dev=0 to=10.0.1.2 port=9 cmsg=0:8:{info}")
        self.do(f"inspect fd={fd} dev=0")
        self.remake()
        while "back" not in self.do("next timeout=20000"):
            pass
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), "rebound")
        self.program.stdin.close()
        self.assertEqual(self.program.wait(60), 0)


if __name__ == "__main__":
    unittest.main()
