# SPDX-License-Identifier: MIT
"""Sections [Fence]: what files ask for is in force, whatever others do, and whoever dies."""
import os
import random
import socket
import subprocess

from daemon import DaemonLab
from lab import IFPIN, must, run
from test_fence import FenceLab, programs, ruleset

NETS = "10.0.1.0/24 fd00:1::/64"


class Files(DaemonLab, FenceLab):
    """Waits for what the daemon says, and looks at what the kernel has."""

    def fence_file(self, name="chassis", pin="", **keys):
        keys = {"Device": "in0", "Prefix": NETS, **keys}
        return self.write(name, pin + "[Fence]\n" + "".join(
            f"{k}={v}\n" for k, v in keys.items() if v))

    def names(self):
        return [f["name"] for f in self.show()]

    def open_to(self, to="10.0.2.2"):
        self.send("10.0.1.1", to)
        return self.leaked()

    def test_a_file_comes_changes_and_goes(self):
        self.apply("--prefix=192.0.2.0/24", "--name=theirs")
        before = ruleset()
        self.start()
        self.assertEqual(self.open_to(), 1)
        self.fence_file()
        self.assertTrue(any('fence "chassis": in force' in s for s in self.reload()))
        self.assertEqual((self.open_to(), self.names()), (0, ["theirs", "chassis"]))
        self.assertEqual(self.reload(), [], "nothing new, and so nothing to say")
        self.fence_file(Prefix="10.0.1.0/25 10.0.1.0/24", Ethertype="0x88b7", Name="other")
        self.reload()
        self.assertEqual((self.open_to(), self.names()), (0, ["theirs", "other"]))
        fence = self.show()[1]
        self.assertEqual((fence["prefixes"], fence["ethertypes"], fence["configured"]),
                         (["10.0.1.0/24"], [0x88b7], "chassis"))
        # In the file of a pin, whose device it takes.
        self.fence_file(pin=f"[Pin]\nDevice=in0\nCgroup={self.cgroup('a')}\n", Device=None)
        self.reload()
        self.assertEqual((self.names(), self.pins()), (["theirs", "chassis"], ["chassis"]))
        os.unlink(f"{self.conf}/chassis.conf")
        self.assertTrue(any("no file asks for it" in s for s in self.reload()))
        self.assertEqual((self.open_to(), self.names(), self.pins()), (1, ["theirs"], []))
        self.assertEqual(ruleset(), before)

    def test_a_bad_file_disables_nothing(self):
        path = self.fence_file()
        self.start()
        for text, error in (
                ("[Fence]\nDevice=in0\nPrefix=10.0.1.1/24\n", ":3: Prefix=: 10.0.1.1/24 has bits"),
                ("[Fence]\nPrefix=10.0.1.0/24\n", ":1: Device= is missing"),
                ("[Fence]\nDevice=in0\n", ":1: nothing is to be fenced"),
                ("[Fence]\nDevice=in0\nEthertype=7\n", ":3: Ethertype=: a number"),
                ("[Fence]\nDevice=in0\nPrefix=10.0.1.0/24\nNat=no\n", ":4: Nat=no: must be"),
                ("[Fence]\nDevice=in0\nPrefix=10.0.1.0/24\nName=a.b\n", ":4: Name=a.b: a fence's")):
            with self.subTest(error):
                self.write("chassis", text)
                self.assertTrue(any(s.startswith(f"ifpind: {path}{error}") for s in self.reload()))
                self.assertEqual(run(IFPIN, "validate", path).returncode, 1)
                self.assertEqual((self.open_to(), self.names()), (0, ["chassis"]))
        # New devices are followed meanwhile, and a new daemon leaves it as it is as well.
        must("ip", "link", "add", "new0", "type", "ifb")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)
        self.stop()
        self.start()
        self.assertEqual(self.names(), ["chassis"])
        must("ip", "link", "del", "new0")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)

    def test_metrics(self):
        self.fence_file()
        self.start()
        self.assertEqual(self.open_to(), 0)
        body = self.scrape()[1]
        for line in ('ifpin_fence_info{fence="chassis",device="in0",configured="yes"} 1',
                     'ifpin_fence_dropped_packets_total{fence="chassis",reason="out-source"} 1',
                     'ifpin_fence_configured{fence="chassis"} 1'):
            self.assertIn(line + "\n", body)

    def test_two_files_for_one_name(self):
        self.fence_file("a", Name="same")
        self.fence_file("b", Name="same", Prefix="192.0.2.0/24")
        p = run(IFPIN, "validate", self.conf)
        self.assertIn("b.conf: its fence's name is that of a.conf already", p.stderr)

    def test_what_others_do(self):
        self.fence_file()
        self.start()
        self.assertIn("holds", self.check())
        for command in ("flush ruleset", "delete table ip ifpin_chassis",
                        "flush chain netdev ifpin_chassis out_wire_12",
                        "flush set ip ifpin_chassis covered"):
            with self.subTest(command):
                must("nft", command)
                self.until_said("putting it up anew")
                self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)
                self.assertEqual(self.open_to(), 0)
        must(IFPIN, "fence", "remove")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)
        # Rules that translate come later: then addresses before that are looked at, too.
        must("nft", "add table ip nat; add chain ip nat p { type nat hook postrouting priority 100; }")
        self.until(lambda: self.show()[0]["nat"])

    def test_by_hand(self):
        """What somebody has put up under this name stays."""
        self.apply("--prefix=192.0.2.0/24", "--name=chassis")
        self.fence_file()
        self.start()
        self.until_said("by hand")
        self.assertEqual(self.show()[0]["prefixes"], ["192.0.2.0/24"])
        os.unlink(f"{self.conf}/chassis.conf")
        self.reload()
        self.assertEqual(self.names(), ["chassis"])
        must(IFPIN, "fence", "remove")

    def test_devices(self):
        self.fence_file()
        must("ip", "link", "set", "in0", "down")
        must("ip", "link", "set", "in0", "name", "later0")
        self.start()
        self.until_said("NOT in force, waits for its device")
        must("ip", "link", "set", "later0", "name", "in0")
        self.until_said("in force: what is fenced uses in0 only")
        must("ip", "link", "add", "new0", "type", "ifb")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)
        self.assertEqual(len(programs("new0")), 1)
        must("ip", "link", "del", "in0")
        self.until_said("closed until its device comes back")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "lo")
        self.assertEqual(self.open_to(), 0)
        must("nft", "flush", "table", "ip", "ifpin_chassis")
        self.until_said("putting it up anew")
        self.until_said("closed until its device comes back")
        self.assertEqual(self.open_to(), 0)
        must("ip", "link", "add", "in0", "address", "02:00:00:00:01:01", "type", "veth", "peer",
             "name", "eth0", "netns", f"/proc/{self.pin.pid}/ns/net")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)
        must("ip", "link", "del", "new0")

    def test_impostor(self):
        """Another device with DEVICE's name and index is covered, also by a daemon that comes later."""
        must("ip", "link", "set", "in0", "group", "7")
        self.fence_file()
        self.start()
        self.until_said("in force: what is fenced uses in0 only")
        self.until(lambda: run(IFPIN, "fence", "check").returncode == 0)

        def replace():
            index = str(socket.if_nametoindex("in0"))
            must("ip", "link", "del", "in0")
            must("ip", "link", "add", "in0", "index", index, "address", "02:00:00:00:07:01",
                 "group", "7", "type", "veth", "peer", "name", "in0p")
        replace()
        self.until(lambda: socket.if_nametoindex("in0") in self.show()[0]["covered"])
        self.until_said("closed: another device has the name or index of its device")
        self.assertIn("that is shut out", run(IFPIN, "fence", "check").stdout)
        must("ip", "link", "del", "in0")
        self.until(lambda: "in0 is gone; the" in run(IFPIN, "fence", "check").stdout)
        self.stop()
        must("ip", "link", "add", "in0", "index", str(self.show()[0]["ifindex"]), "address",
             "02:00:00:00:07:01", "group", "7", "type", "veth", "peer", "name", "in0p")
        self.assertIn("shut out but for frames", run(IFPIN, "fence", "check").stdout)
        self.start()
        self.until(lambda: socket.if_nametoindex("in0") in self.show()[0]["covered"])
        self.assertIn("that is shut out", run(IFPIN, "fence", "check").stdout)
        must("ip", "link", "del", "in0")

    def test_death(self):
        """Killed at any moment it opens nothing, and the next one takes over as it is."""
        self.fence_file()
        self.start()
        rng = random.Random(5)
        for i in range(8):
            self.kill9()
            self.assertEqual(self.open_to(), 0)
            self.fence_file(Prefix=NETS + (" 192.0.2.0/24" if i % 2 else ""))
            self.start(wait=False)
            try:
                self.daemon.wait(rng.uniform(0, 0.3))
            except subprocess.TimeoutExpired:
                pass
            self.assertEqual(self.open_to(), 0)
        self.kill9()
        self.start()
        self.assertIn("holds", self.check())
        once = ruleset()
        self.stop()
        self.start()
        self.assertEqual(ruleset(), once)


def load_tests(loader, standard, pattern):
    """Only its own: not those of the classes that it builds upon."""
    return loader.loadTestsFromTestCase(Files)
