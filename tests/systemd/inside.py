#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What holds under a service manager; started in a machine of systemd's by tests/systemd/check.py.

Each test's first line is a sentence of docs/systemd.md. What leaves by out0 is counted by the
kernel, and it is shown first that the same service sends there when it is not pinned.
"""
import json
import os
import select
import socket
import subprocess
import sys
import time
import unittest

DEADLINE = 120


def call(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE * 2)


def must(*argv):
    p = call(*argv)
    if p.returncode:
        raise RuntimeError(f"{argv}: {p.stdout}{p.stderr}")
    return p.stdout


def sent():
    """Frames that left by out0 until now."""
    with open("/sys/class/net/out0/statistics/tx_packets") as f:
        return int(f.read())


AT_BOOT = sent()


def ask(unit, what="now"):
    """The agent's answer, and the frames that it cost."""
    before = sent()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(DEADLINE)
        s.connect(f"/run/{unit}.ask")
        s.sendall(what.encode())
        answer = json.loads(s.recv(1000))
    return answer, sent() - before


def show(unit, name):
    return must("systemctl", "show", "--value", "-p", name, unit).strip()


def main_pid(unit):
    return int(show(unit, "MainPID"))


class Services(unittest.TestCase):
    outcome = "yes"  # what the document says where a test passes

    def held(self, unit):
        answer, frames = ask(unit)
        self.assertEqual(frames, 0, answer)

    def until_held(self, unit):
        """A pin by ifpind comes some time after the service."""
        end = time.monotonic() + DEADLINE
        while ask(unit)[1]:
            self.assertLess(time.monotonic(), end, must("ifpin", "list"))
            select.select([], [], [], 0.05)

    def leaks(self, unit):
        answer, frames = ask(unit)
        self.assertGreaterEqual(frames, 2, answer)

    def started(self, unit):
        must("systemctl", "start", unit)
        self.addCleanup(call, "systemctl", "stop", unit)

    def managed(self, unit, look):
        """What a service manager does to a pinned service."""
        look(unit)
        for what in ("daemon-reload", "daemon-reexec"):
            pid = main_pid(unit)
            must("systemctl", what)
            self.assertEqual(main_pid(unit), pid)
            self.held(unit)

    def again(self, unit, look):
        pid = main_pid(unit)
        must("systemctl", "restart", unit)
        self.assertNotEqual(main_pid(unit), pid)
        look(unit)
        pid = main_pid(unit)
        must("systemctl", "kill", "-s", "KILL", unit)
        end = time.monotonic() + DEADLINE
        while show(unit, "ActiveState") != "active" or main_pid(unit) in (0, pid):
            self.assertLess(time.monotonic(), end)
            select.select([], [], [], 0.05)
        look(unit)

    def test_00_unpinned(self):
        """Without a pin the service sends by the other interface."""
        self.started("plain")
        self.leaks("plain")

    def test_01_boot_order(self):
        """Drop-in: at boot the service waits for its interface and its pin; not a frame before."""
        self.assertEqual(AT_BOOT, 0)
        self.assertEqual(show("boot", "ActiveState"), "active")
        self.assertLess(int(show("devices-in", "ExecMainExitTimestampMonotonic")),
                        int(show("boot", "ExecMainStartTimestampMonotonic")))
        self.assertEqual(ask("boot", "first")[0]["handed over"], None)

    def test_02_drop_in(self):
        """Drop-in: the pin stays after daemon-reload and daemon-reexec."""
        self.managed("boot", self.held)

    def test_03_drop_in_restart(self):
        """Drop-in: restarted, or killed and started again, the service is pinned from its start."""
        before = sent()
        self.again("boot", self.held)
        self.assertEqual(sent(), before)

    def test_04_drop_in_fails(self):
        """Drop-in: a service that cannot be pinned does not start."""
        p = call("systemctl", "start", "missing")
        self.assertNotEqual(p.returncode, 0)
        self.assertFalse(os.path.exists("/run/missing.ask"))

    def test_05_attach(self):
        """`ifpin attach --unit`: the pin stays after daemon-reload and daemon-reexec."""
        self.started("plain")
        self.leaks("plain")
        must("ifpin", "attach", "--unit=plain.service", "--dns=system", "in0")
        self.managed("plain", self.held)

    def test_06_attach_restart(self):
        """`ifpin attach --unit`: restarted, the service is not pinned any more, and leaks."""
        self.started("plain")
        must("ifpin", "attach", "--unit=plain.service", "--dns=system", "in0")
        self.held("plain")
        must("systemctl", "restart", "plain")
        self.leaks("plain")

    def test_07_daemon(self):
        """ifpind: the pin stays after daemon-reload and daemon-reexec."""
        self.assertEqual(show("ifpind", "ActiveState"), "active")
        self.managed("daemon", self.until_held)

    def test_08_daemon_restart(self):
        """ifpind: restarted, or killed and started again, the service is pinned anew."""
        self.again("daemon", self.until_held)

    def test_09_daemon_itself(self):
        """ifpind: stopped, killed or started again, it opens nothing."""
        self.until_held("daemon")
        for what in (("reload",), ("stop",), ("start",), ("restart",), ("kill", "-s", "KILL"),
                     ("start",)):
            must("systemctl", *what, "ifpind")
            self.held("daemon")

    def test_10_manager_of_packets(self):
        """Beside IPAddressDeny=, IPAccounting= and RestrictNetworkInterfaces= of the manager."""
        self.started("restricted")
        self.held("restricted")
        for what in ("daemon-reload", "daemon-reexec"):
            must("systemctl", what)
            self.held("restricted")

    def knock(self, port):
        """A connection from the outside: whether it stands, and the frames of the answers."""
        before = sent()
        script = (f"import socket; s = socket.create_connection(('10.0.2.1', {port}), 2); "
                  "print(s.getsockname())")
        p = call("ip", "netns", "exec", "outside", "python3", "-c", script)
        return p.returncode == 0, sent() - before

    def activated(self, unit):
        must("systemctl", "start", f"{unit}.socket")
        self.addCleanup(call, "systemctl", "stop", f"{unit}.socket", unit)
        return call("systemctl", "start", unit)

    def not_answered(self):
        """From the outside there is no listener. That the kernel says itself, with one reset."""
        stands, frames = self.knock(5001)
        self.assertFalse(stands)
        self.assertLessEqual(frames, 1)

    def until_only_handed(self, unit):
        """Until nothing leaves but by the socket that was handed over; and whether that does."""
        end = time.monotonic() + DEADLINE
        while True:
            answer, frames = ask(unit)
            if frames <= (answer["handed over"] == 0):
                self.outcome = "not held" if frames else "held"
                return
            self.assertLess(time.monotonic(), end, must("ifpin", "list"))
            select.select([], [], [], 0.05)

    def test_11_sockets_drop_in(self):
        """Socket activation, drop-in alone: the service's own sockets are held; those that are handed
        over are"""
        self.assertEqual(self.activated("dropsock").returncode, 0)
        self.until_only_handed("dropsock")

    def test_12_sockets_daemon(self):
        """Socket activation, ifpind alone: the service's own sockets are held; those that are handed
        over are (without BPF LSM only if the service has them before the pin)"""
        self.assertEqual(self.activated("daemonsock").returncode, 0)
        self.until_only_handed("daemonsock")

    def test_13_sockets_post(self):
        """Socket activation, drop-in with its line ExecStartPost=: a TCP listener is tied, and held."""
        p = self.activated("postsock")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.held("postsock")
        self.not_answered()

    def test_14_sockets_post_refused(self):
        """Socket activation, drop-in with its line ExecStartPost=: with a datagram socket the service
        does not start."""
        self.assertNotEqual(self.activated("refusedsock").returncode, 0)
        self.assertNotEqual(show("refusedsock", "ActiveState"), "active")

    def test_15_sockets_attach(self):
        """Socket activation, `ifpin attach --unit --existing=kill` later: listeners are tied,
        datagram sockets shut down."""
        self.assertEqual(self.activated("plainsock").returncode, 0)
        self.assertEqual(ask("plainsock")[0]["handed over"], 0)
        must("ifpin", "attach", "--unit=plainsock.service", "--dns=system", "--existing=kill",
             "in0")
        answer, frames = ask("plainsock")
        self.assertNotEqual(answer["handed over"], 0)
        self.assertEqual(frames, 0)
        self.not_answered()

    def test_16_interface_goes(self):
        """Drop-in: the service stops when its interface goes, and no frame leaves."""
        before = sent()
        must("ip", "link", "del", "in0")
        end = time.monotonic() + DEADLINE
        while show("boot", "ActiveState") not in ("inactive", "failed"):
            self.assertLess(time.monotonic(), end)
            select.select([], [], [], 0.05)
        self.assertEqual(sent(), before)


class Result(unittest.TextTestResult):
    def line(self, word, test):
        text = " ".join(test._testMethodDoc.split())
        print(json.dumps({"result": word, "text": text, "outcome": test.outcome}), flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("FAILED", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.line("FAILED", test)


def main():
    r = unittest.TextTestRunner(resultclass=Result, stream=sys.stderr, verbosity=0).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    if not r.wasSuccessful():
        print(call("journalctl", "-b", "--no-pager", "-n", "80", "-o", "short-monotonic").stdout,
              file=sys.stderr)
    return 0 if r.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
