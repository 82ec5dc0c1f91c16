# SPDX-License-Identifier: MIT
"""libifpin-resolve: names asked for through one device, and the race of RFC 8305."""
import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import threading
import time
import unittest

from lab import any_ip, must, run
from pinned import BUILD, LibLab

A, AAAA = 1, 28


class NameServer(threading.Thread):
    """Answers what it is told to, after as many seconds; what it is not told, never."""

    def __init__(self, peer, answers, address="10.0.1.2"):
        super().__init__(daemon=True)
        self.answers, self.asked = answers, []
        self.sock = peer.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                                socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        self.end, self.ended = os.pipe()
        self.start()

    def run(self):
        while True:
            ready, _, _ = select.select([self.sock, self.end], [], [])
            if self.end in ready:
                return
            data, who = self.sock.recvfrom(512)
            kind = struct.unpack("!H", data[-4:-2] if data[10:12] == b"\0\0" else
                                 data[self.name_end(data):self.name_end(data) + 2])[0]
            self.asked.append(kind)
            if kind not in self.answers:
                continue
            delay, addresses = self.answers[kind]
            threading.Timer(delay, self.answer, (data, who, kind, addresses)).start()

    @staticmethod
    def name_end(data):
        at = 12
        while data[at]:
            at += data[at] + 1
        return at + 1

    def answer(self, data, who, kind, addresses):
        question = data[12:self.name_end(data) + 4]
        code = 3 if addresses is None else 0
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(packed)) + packed
            for packed in (socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, a)
                           for a in addresses or ()))
        with contextlib.suppress(OSError):  # the test may be over
            self.sock.sendto(data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1,
                                                    len(addresses or ()), 0, 0) +
                             question + records, who)

    def close(self):
        os.write(self.ended, b"x")
        self.join()
        self.sock.close()
        os.close(self.end)
        os.close(self.ended)


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "libifpin-resolve.so")),
                     "built without name resolution (-Dresolve)")
class Resolve(LibLab):
    def serve_names(self, answers, **kw):
        s = NameServer(kw.pop("peer", self.pin), answers, **kw)
        self.stack.callback(s.close)
        return s

    def serve(self, address, port=7100):
        s = self.pin.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                            socket.SOCK_STREAM)
        self.addCleanup(s.close)
        s.bind((address, port))
        s.listen()
        return s

    def host(self, name="card.test", rest="servers=10.0.1.2"):
        began = time.monotonic()
        fd = self.do(f"host {name} dev=0 port=7100 {rest}")
        self.took = time.monotonic() - began
        text = self.do(f"inspect fd={fd} dev=0")
        self.assertTrue(text.startswith("pinned "), text)
        self.do(f"close fd={fd}")
        return text

    def test_both_families(self):
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, ["fd00:1::2"])})
        self.serve("10.0.1.2")
        self.serve("fd00:1::2")
        self.assertIn("peer [fd00:1::2]:7100", self.host())
        self.assertIn("peer 10.0.1.2:7100", self.host(rest="inet servers=10.0.1.2"))
        self.assertEqual(self.leaked(any_ip), 0)

    def test_nothing_leaves_elsewhere(self):
        """The same name, asked of a server that only the other device leads to."""
        outside = self.serve_names({A: (0, ["10.0.2.2"]), AAAA: (0, [])}, peer=self.pout,
                                   address="10.0.2.2")
        self.assertIn("10.0.2.2", run("dig", "+short", "@10.0.2.2", "card.test").stdout)
        self.assertGreater(self.leaked(any_ip), 0)
        before = len(outside.asked)
        self.refused(errno.ETIMEDOUT, "host card.test dev=0 port=7100 servers=10.0.2.2 "
                     "timeout=1500")
        self.assertEqual(len(outside.asked), before)
        self.assertEqual(self.leaked(any_ip), 0)
        self.serve_names({A: (0, ["10.0.2.2"]), AAAA: (0, [])})
        self.refused(errno.ETIMEDOUT, "host card.test dev=0 port=7100 servers=10.0.1.2 "
                     "timeout=500")
        self.assertEqual(self.leaked(any_ip), 0)

    def test_next_address_when_one_is_silent(self):
        """The Connection Attempt Delay: a silent address costs that much, not a time-out."""
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, ["fd00:1::77"])})
        self.serve("10.0.1.2")
        self.assertIn("peer 10.0.1.2", self.host())
        self.assertGreater(self.took, 0.24)
        self.assertLess(self.took, 2)

    def test_port_of_ones_own(self):
        """Several attempts at a time have the same one."""
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, ["fd00:1::77"])})
        self.serve("10.0.1.2")
        self.assertIn("peer 10.0.1.2", self.host(rest="servers=10.0.1.2 own-port=3333"))
        self.serve_names({A: (0, ["10.0.1.77", "10.0.1.2"]), AAAA: (0, [])}, address="fd00:1::2")
        self.assertIn("peer 10.0.1.2", self.host(rest="servers=fd00:1::2 own-port=3333"))

    def test_next_address_when_one_refuses(self):
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, ["fd00:1::2"])})
        self.serve("10.0.1.2")
        self.assertIn("peer 10.0.1.2", self.host(rest="servers=10.0.1.2 delay=2000"))
        self.assertLess(self.took, 1.5)

    def test_aaaa_comes_late(self):
        """Within the Resolution Delay IPv6 is waited for, and no longer."""
        self.serve("10.0.1.2")
        self.serve("fd00:1::2")
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (3, ["fd00:1::2"])})
        self.assertIn("peer 10.0.1.2", self.host())
        self.assertLess(self.took, 2)

    def test_aaaa_comes_within_the_delay(self):
        self.serve("10.0.1.2")
        self.serve("fd00:1::2")
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0.01, ["fd00:1::2"])})
        self.assertIn("peer [fd00:1::2]", self.host())

    def test_no_such_name(self):
        self.serve_names({A: (0, None), AAAA: (0, None)})
        self.refused(errno.ENOENT, "host card.test dev=0 port=7100 servers=10.0.1.2", "card.test")

    def test_nobody_answers(self):
        self.refused(errno.ETIMEDOUT, "host card.test dev=0 port=7100 servers=10.0.1.77 "
                     "timeout=300", "300 ms")

    def test_nobody_listens(self):
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, [])})
        self.refused(errno.ECONNREFUSED, "host card.test dev=0 port=7100 servers=10.0.1.2",
                     "10.0.1.2")

    def test_cancel(self):
        began = time.monotonic()
        self.refused(errno.ECANCELED, "host card.test dev=0 port=7100 servers=10.0.1.77 "
                     "cancel=100")
        self.assertLess(time.monotonic() - began, 5)

    def test_numbers(self):
        self.serve("10.0.1.2")
        self.serve("fd00:1::2")
        self.assertIn("peer 10.0.1.2", self.host("10.0.1.2", ""))
        self.assertIn("peer [fd00:1::2]", self.host("fd00:1::2", ""))
        self.refused(errno.EXDEV, "host fe80::2%out0 dev=0 port=7100")
        self.refused(errno.EINVAL, "host 10.0.1.2 inet6 dev=0 port=7100")
        link_local = must(*self.pin.cmd("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope",
                                        "link")).split()[3].split("/")[0]
        s = self.pin.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("::", 7101))
        s.listen()
        for name in (link_local, f"{link_local}%in0"):
            fd = self.do(f"host {name} dev=0 port=7101")
            self.do(f"close fd={fd}")

    def test_bad_requests(self):
        self.refused(errno.EINVAL, f"host {'x' * 300} dev=0 port=1")
        self.refused(errno.EINVAL, "host card.test dev=0 port=1 delay=5")

    def test_only_a_resolver_on_the_host(self):
        path = self.tempdir() + "/resolv.conf"
        with open(path, "w") as f:
            f.write("nameserver 127.0.0.53\n")
        must("mount", "--bind", path, "/etc/resolv.conf")
        self.addCleanup(run, "umount", "/etc/resolv.conf")
        self.refused(errno.ENODATA, "host card.test dev=0 port=7100", "not on this host")
        with open(path, "w") as f:
            f.write("nameserver 10.0.1.2\n")
        self.serve_names({A: (0, ["10.0.1.2"]), AAAA: (0, [])})
        self.serve("10.0.1.2")
        self.assertIn("peer 10.0.1.2", self.host(rest=""))

    def test_device_is_gone(self):
        must("ip", "link", "del", "in0")
        self.refused(errno.ENODEV, "host card.test dev=0 port=7100 servers=10.0.1.2", "gone")
        self.refused(errno.ENODEV, "host 10.0.1.2 dev=0 port=7100", "gone")

    def test_a_real_server_and_an_answer_that_needs_tcp(self):
        many = [f"--host-record=card.test,10.0.1.{100 + i}" for i in range(60)]
        self.popen(self.pin.cmd("dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts",
                                "--bind-interfaces", "--listen-address=10.0.1.2", "-u", "root",
                                "--edns-packet-max=512", "--host-record=card.test,10.0.1.2",
                                *many, "--pid-file="), stderr=subprocess.DEVNULL)
        self.wait_port(self.pin.cmd(), 53)
        for i in range(60):
            must(*self.pin.cmd("ip", "addr", "add", f"10.0.1.{100 + i}/24", "dev", "eth0"))
        s = self.serve("0.0.0.0")
        self.assertIn("pinned", self.host())
        s.close()


class Unprivileged(Resolve):
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


if __name__ == "__main__":
    unittest.main()
