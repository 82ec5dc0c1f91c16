# SPDX-License-Identifier: MIT
"""The places of a fence's programs in traffic control, beside those of others, when it is applied again."""
import socket

from frames import EXIT, SCHED_CLS, mov
from test_fence import FenceLab, programs

BEFORE = 1 << 3
MORE = ("--prefix=10.0.1.0/24", "--prefix=192.0.2.0/24", "--ethertype=0x88b5")
LESS = ("--prefix=10.0.1.0/24",)
OTHER = ("--prefix=10.0.1.0/25", "--prefix=198.51.100.0/24")


class Places(FenceLab):
    def setUp(self):
        super().setUp()
        if not self.has_tcx():
            self.skipTest("this kernel has no tcx")

    def others(self, flags=0):
        """A program that leaves each frame to the next one."""
        self.program(SCHED_CLS, mov(0, -1) + EXIT, socket.if_nametoindex("out0"), 47, flags)

    def test_in_the_place_of_the_former_one(self):
        self.apply(*LESS)
        self.others()
        former, other = programs("out0")
        for more in (LESS, MORE, MORE):
            self.apply(*more)
            ours, behind = programs("out0")
            self.assertEqual(behind, other)
            self.assertNotEqual(ours, former)
            self.assertIn("holds", self.check())
            former = ours

    def test_less_than_before(self):
        """It comes before the former one, which goes: and with it what only that one held."""
        self.apply(*MORE)
        self.others()
        for nets in (OTHER, LESS, MORE, OTHER):
            self.apply(*nets)
            self.assertEqual(len(programs("out0")), 2)
            self.assertIn("holds", self.check())
        self.raw("out0", self.frame("192.0.2.1"))
        self.assertEqual(self.leaked(), 1)
        self.raw("out0", self.frame("198.51.100.1"))
        self.assertEqual(self.leaked(), 0)

    def test_overtaken(self):
        self.apply(*LESS)
        self.others(BEFORE)
        other = programs("out0")[0]
        self.assertIn("comes before the fence's at out0 on the way out", self.check(1))
        self.apply(*LESS)
        self.assertEqual(programs("out0")[1:], [other])
        self.assertIn("holds", self.check())


del FenceLab
