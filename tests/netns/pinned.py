# SPDX-License-Identifier: MIT
"""Drives tests/tools/pinned.c, a program that uses libifpin as it is told."""
import errno
import os
import socket
import subprocess

from lab import IFPIN, Lab, must

BUILD = os.path.dirname(IFPIN)
PINNED = os.path.join(BUILD, "pinned")


class Refused(Exception):
    """The library said no."""

    def __init__(self, code, text):
        super().__init__(f"{os.strerror(code)}: {text}")
        self.code, self.text = code, text


class LibLab(Lab):
    """A chassis, and a program in it with device 0 looked up as in0 and device 1 as out0."""
    prefix = ()

    def setUp(self):
        super().setUp()
        self.start()

    def start(self):
        self.program = self.popen([*self.prefix, PINNED], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, bufsize=1)
        self.assertEqual(self.program.stdout.readline(), "ok ready\n")
        self.do("resolve in0 dev=0")
        self.do("resolve out0 dev=1")

    def do(self, line):
        """The answer without its "ok"; Refused where the library refused."""
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()
        answer = self.program.stdout.readline().rstrip("\n")
        if not answer:
            raise RuntimeError(f"{line}: the program has ended: {self.program.wait()}")
        if not answer.startswith("ok"):
            _, code, text = answer.split(" ", 2)
            raise Refused(int(code), text)
        return answer[3:]

    def refused(self, code, line, word=""):
        with self.assertRaises(Refused) as caught:
            self.do(line)
        self.assertEqual(os.strerror(caught.exception.code), os.strerror(code),
                         caught.exception.text)
        self.assertIn(word, caught.exception.text)

    def needs_netns_cookie(self):
        """Before Linux 5.14 the library cannot tell whose network namespace a socket is of."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.getsockopt(socket.SOL_SOCKET, 71, 8)
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOPROTOOPT)
                self.skipTest("this kernel has no SO_NETNS_COOKIE")

    def remake(self, mac="02:00:00:00:01:01", name="in0"):
        """in0 is deleted and made again, with another index."""
        must("ip", "link", "del", "in0")
        must("ip", "link", "add", name, "address", mac, "type", "veth", "peer", "name", "eth0",
             "netns", f"/proc/{self.pin.pid}/ns/net")
        must("ip", "link", "set", name, "up")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", name)
        must("ip", "addr", "add", "fd00:1::1/64", "dev", name, "nodad")
        for line in ("link set eth0 up", "addr add 10.0.1.2/24 dev eth0",
                     "addr add fd00:1::2/64 dev eth0 nodad"):
            must(*self.pin.cmd("ip", *line.split()))
