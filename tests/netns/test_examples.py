# SPDX-License-Identifier: MIT
"""The examples do what they say over in0; their twins that only call bind() leak by out0."""
import os
import re
import select
import socket
import subprocess
import time
import unittest

from lab import IFPIN, MARKER, Lab, Peer, must, run

EXAMPLES = os.path.join(os.path.dirname(IFPIN) or "build", "examples")
PREFIX = {"root": (), "nobody": ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                 "--pdeathsig=KILL")}
HOW = {"root": "rebound", "nobody": "reopened"}
MAC = "02:00:00:00:01:01"
TEXT = MARKER.decode()


def example(name, naive=False):
    return os.path.join(EXAMPLES, name + ("-naive" if naive else ""))


class Lines:
    """What a program writes, a line at a time, and never longer awaited than a test may last."""

    def __init__(self, program):
        self.out = program.stdout.fileno()
        self.seen, self.rest = [], b""

    def until(self, pattern):
        """The first line from now on that matches."""
        end = time.monotonic() + 30
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                self.seen.append(line.decode())
                if re.search(pattern, self.seen[-1]):
                    return self.seen[-1]
            left = end - time.monotonic()
            if left < 0 or not select.select([self.out], [], [], left)[0]:
                raise AssertionError(f"no {pattern} after {self.seen}")
            data = os.read(self.out, 65536)
            if not data:
                raise AssertionError(f"the program ended before {pattern}: {self.seen}")
            self.rest += data


class Examples(Lab):
    def start(self, *argv):
        return Lines(self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))

    def remove(self):
        must("ip", "link", "del", "in0")

    def put_back(self):
        """The same device, for it has the same MAC address; what is behind it as before."""
        must("ip", "link", "add", "in0", "address", MAC, "type", "veth", "peer", "name", "eth0",
             "netns", f"/proc/{self.pin.pid}/ns/net")
        must(*self.pin.cmd("ip", "link", "set", "eth0", "up"))
        must("ip", "link", "set", "in0", "up")

    def give_addresses(self):
        for cmd, n in ((lambda *a: a, 1), (self.pin.cmd, 2)):
            dev = "in0" if n == 1 else "eth0"
            must(*cmd("ip", "addr", "add", f"10.0.1.{n}/24", "dev", dev))
            must(*cmd("ip", "addr", "add", f"fd00:1::{n}/64", "dev", dev, "nodad"))

    def nothing_leaked(self):
        self.assertEqual(self.leaked(), 0)


class Usage(unittest.TestCase):
    def test_wrong_arguments(self):
        for name, bad in (("request-client", ("in0", "10.0.1.2", "0", "load")),
                          ("request-daemon", ("in0",)), ("heartbeat", ("in0", "card1", "0")),
                          ("follow", ("in0", "collector", "514"))):
            for naive in (False, True):
                for argv in ((), bad):
                    p = run(example(name, naive), *argv)
                    self.assertEqual(p.returncode, 2, p)
                    self.assertIn(f"usage: {os.path.basename(example(name, naive))} DEVICE",
                                  p.stderr)

    def test_no_such_device(self):
        for name, rest in (("request-client", ("10.0.1.2", "7701", "load")),
                           ("request-daemon", ("7701",)), ("heartbeat", ("card1",)),
                           ("follow", ("10.0.1.2", "514"))):
            for naive in (False, True):
                p = run(example(name, naive), "nosuch0", *rest)
                self.assertEqual(p.returncode, 1, p)
                self.assertIn("nosuch0: cannot find ", p.stderr)


class Request(Examples):
    def ask(self, address, *requests, naive=False, user="root"):
        return run(*PREFIX[user], example("request-client", naive), "in0", address, "7701",
                   *requests)

    def serve(self, naive=False, user="root", card=(), port=7701):
        p = self.start(*card, *PREFIX[user], example("request-daemon", naive),
                       "eth0" if card else "in0", str(port))
        p.until("^ready$")
        return p

    def test_client(self):
        self.serve(card=self.pin.cmd())
        for user in PREFIX:
            p = self.ask("10.0.1.2", "load", TEXT, user=user)
            self.assertEqual(p.returncode, 0, p)
            self.assertRegex(p.stdout, rf"^load: \d+\.\d+\n{TEXT}: unknown request: {TEXT}\n$")
        self.nothing_leaked()

    def test_naive_client_works(self):
        """So that what it leaks below is not for want of a daemon."""
        self.serve(naive=True, card=self.pin.cmd())
        p = self.ask("10.0.1.2", "load", naive=True)
        self.assertEqual(p.returncode, 0, p)
        self.nothing_leaked()

    def leaks(self, address, why):
        """The naive one asks whoever is behind out0; ours asks nobody there, and says so."""
        p = self.ask(address, TEXT, naive=True)
        self.assertNotEqual(p.returncode, 0)
        self.assertGreater(self.leaked(), 0, p)
        for user in PREFIX:
            p = self.ask(address, TEXT, user=user)
            self.assertEqual(p.returncode, 1, p)
            self.assertRegex(p.stderr, f"^request-client: in0: .*({why})\n$")
            self.nothing_leaked()

    def test_card_that_the_default_route_leads_to(self):
        self.leaks("192.0.2.7", "Connection timed out|No route to host|Network is unreachable")

    def test_device_switched_off(self):
        """Its address stays, and its routes go."""
        self.serve(card=self.pin.cmd())
        must("ip", "link", "set", "in0", "down")
        self.leaks("10.0.1.2", "[Nn]etwork is (unreachable|down)")
        must("ip", "link", "set", "in0", "up")
        self.assertEqual(self.ask("10.0.1.2", "pid").returncode, 0)

    def request_from(self, peer, hops=255, port=7701):
        """A socket that has asked the daemon at in0's address."""
        s = peer.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.settimeout(10)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        s.connect(("10.0.1.1", port))
        s.send(b"%d %s" % (hops, MARKER))
        return s

    def test_daemon(self):
        """Asked by way of out0, the naive one answers to there; ours does not hear it."""
        self.serve(naive=True)
        s = self.request_from(self.pout)
        self.assertIn(b"unknown request: " + MARKER, s.recv(300))
        self.assertEqual(self.leaked(), 1)
        for user, port in (("root", 7702), ("nobody", 7703)):
            self.serve(user=user, port=port)
            s = self.request_from(self.pout, port=port)
            # The host itself says that nothing listens there for out0 (ICMP), not the daemon.
            with self.assertRaises(ConnectionRefusedError):
                s.recv(300)
            self.assertEqual(self.leaked(lambda f: MARKER in f and f[23] == socket.IPPROTO_UDP), 0)
            self.assertIn(MARKER, self.request_from(self.pin, port=port).recv(300))

    def test_daemon_hears_neighbours_only(self):
        self.serve()
        far, near = self.request_from(self.pin, 254), self.request_from(self.pin)
        self.assertTrue(near.recv(300).startswith(b"255 "))
        far.setblocking(False)
        with self.assertRaises(BlockingIOError):
            far.recv(300)


class Heartbeat(Examples):
    """This host is card 1; behind in0 is the backplane, a bridge that cards 2 and 3 are at."""

    def setUp(self):
        super().setUp()
        must(*self.pin.cmd("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"))
        must(*self.pin.cmd("ip", "link", "set", "br0", "up"))
        self.plug_in()
        self.others = []
        for n in (2, 3):
            card = Peer()
            self.stack.callback(card.close)
            must(*self.pin.cmd("ip", "link", "add", f"card{n}", "up", "master", "br0", "type",
                               "veth", "peer", "name", "in0", "netns",
                               f"/proc/{card.pid}/ns/net"))
            must(*card.cmd("ip", "link", "set", "in0", "up"))
            must(*card.cmd("ip", "addr", "add", f"fd00:1::1{n}/64", "dev", "in0", "nodad"))
            self.others.append(self.start(*card.cmd(example("heartbeat"), "in0", f"card{n}",
                                                    "200")))

    def plug_in(self):
        must(*self.pin.cmd("ip", "link", "set", "eth0", "master", "br0"))

    def all_hear(self, me):
        for lines in self.others:
            lines.until(f"^hears {TEXT}$")
        for n in (2, 3):
            self.assertTrue(any(line == f"hears card{n}" for line in me.seen) or
                            me.until(f"^hears card{n}$"))
        me.seen.clear()

    def removed(self, me, others_lost):
        """Card 1 is removed. When the others have lost it, it has missed several beats."""
        self.remove()
        for lines in self.others:
            lines.until(f"^lost {TEXT}$")
        for n in others_lost:
            self.assertTrue(any(line == f"lost card{n}" for line in me.seen) or
                            me.until(f"^lost card{n}$"))

    def test_naive(self):
        me = self.start(example("heartbeat", naive=True), "in0", TEXT, "200")
        self.all_hear(me)
        self.nothing_leaked()  # the device that was made first has the first multicast route
        self.removed(me, (2, 3))
        self.assertGreater(self.leaked(), 0)
        self.put_back()
        self.give_addresses()
        self.plug_in()
        self.until_leaked()  # the device is back, and the heartbeats go on by the other one

    def until_leaked(self):
        self.leaked()
        end = time.monotonic() + 20
        while MARKER not in self.wire.sock.recv(65536):
            self.assertLess(time.monotonic(), end)

    def survives(self, user):
        me = self.start(*PREFIX[user], example("heartbeat"), "in0", TEXT, "200")
        self.all_hear(me)
        for _ in range(2):
            me.seen.clear()
            self.removed(me, (2, 3))
            self.assertTrue(any(re.search(r"^in0 \(index \d+\) is gone$", line)
                                for line in me.seen), me.seen)
            self.assertTrue(any("heartbeat: in0: heartbeats are not sent" in line
                                for line in me.seen), me.seen)
            me.seen.clear()
            self.nothing_leaked()
            self.put_back()
            self.plug_in()
            me.until("^in0 is back with index")
            me.until(f"^socket {HOW[user]}$")
            self.all_hear(me)
            self.nothing_leaked()

    def test_root(self):
        self.survives("root")

    def test_nobody(self):
        self.survives("nobody")

    def test_another_card_in_the_slot(self):
        """A device of the same name that is another one is not used."""
        me = self.start(example("heartbeat"), "in0", TEXT, "200")
        self.all_hear(me)
        self.removed(me, (2, 3))
        must("ip", "link", "add", "in0", "type", "veth", "peer", "name", "eth0",
             "netns", f"/proc/{self.pin.pid}/ns/net")
        me.until("another device .* has the name in0 now")
        self.nothing_leaked()


class Follow(Examples):
    def setUp(self):
        super().setUp()
        self.listen()

    def listen(self):
        """The collector, which confirms every report."""
        self.collector = self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.collector.close)
        self.collector.settimeout(20)
        self.collector.bind(("0.0.0.0", 5140))

    def collect(self, until):
        while True:
            text, sender = self.collector.recvfrom(1000)
            if until in text.decode():
                self.assertEqual(sender[0], "10.0.1.1")
                self.collector.sendto(b"noted " + text, sender)
                return

    def follow(self, naive=False, user="root"):
        return self.start(*PREFIX[user], example("follow", naive), "in0", "10.0.1.2", "5140")

    def until_reports(self, lines, what, how="reported"):
        return lines.until(f"^{what}: {how}")

    def test_naive(self):
        lines = self.follow(naive=True)
        lines.until("^bound to an address of in0$")
        must("ip", "link", "set", "in0", "alias", "x")
        self.collect("in0 is switched on")
        lines.until("^collector: noted in0 is switched on")
        self.no_reports_leaked()
        must("ip", "link", "set", "in0", "down")
        # One more change when it is off for certain: the first messages come while it goes down.
        must("ip", "link", "set", "in0", "alias", "y")
        self.until_reports(lines, "in0 is switched off")
        self.until_leaked()

    def until_leaked(self):
        end = time.monotonic() + 20
        while b"in0 is switched off" not in self.wire.sock.recv(65536):
            self.assertLess(time.monotonic(), end)

    def no_reports_leaked(self):
        self.assertEqual(self.leaked(b"in0 "), 0)

    def goes_on(self, user):
        lines = self.follow(user=user)
        lines.until("tied to in0 ")
        self.collect("in0 has 10.0.1.1/24")
        lines.until("^collector: noted in0 has 10.0.1.1/24")
        must("ip", "link", "set", "in0", "down")
        must("ip", "link", "set", "in0", "up")
        self.until_reports(lines, "in0 is switched off", "(not )?reported")
        self.until_reports(lines, "in0 is switched on", "(not )?reported")
        self.no_reports_leaked()
        for _ in range(2):
            self.remove()
            self.until_reports(lines, r"in0 \(index \d+\) is gone", "not reported")
            self.no_reports_leaked()
            self.put_back()
            lines.until("^socket not pinned yet: ")
            self.until_reports(lines, r"in0 is back with index \d+", "not reported")
            self.give_addresses()
            lines.until(f"^socket {HOW[user]}$")
            self.assertIn("local 10.0.1.1:", lines.until("tied to in0 "))
            self.until_reports(lines, "in0 has 10.0.1.1/24")
            self.collect("in0 has 10.0.1.1/24")
            lines.until("^collector: noted in0 has 10.0.1.1/24")
            self.no_reports_leaked()

    def test_root(self):
        self.goes_on("root")

    def test_nobody(self):
        self.goes_on("nobody")


del Lab  # not a test by itself

if __name__ == "__main__":
    unittest.main()
