# SPDX-License-Identifier: MIT
"""libifpin: which device is meant, and whether it still is the same."""
import contextlib
import errno
import os
import re
import socket
import subprocess
import threading
import unittest

from lab import must, run
from pinned import LibLab


def field(answer, name):
    return re.search(rf"\b{name}=(\S*)", answer).group(1)


class Devices(LibLab):
    def test_resolve(self):
        must("ip", "link", "property", "add", "dev", "in0", "altname",
             "control-plane-of-the-chassis", "altname", "cp0")
        index = socket.if_nametoindex("in0")
        for spec in ("in0", "cp0", "control-plane-of-the-chassis", f"index:{index}",
                     "mac:02:00:00:00:01:01"):
            d = self.do(f"resolve {spec} dev=2")
            self.assertEqual(int(field(d, "index")), index)
            self.assertEqual(field(d, "name"), "in0")
            self.assertEqual(field(d, "kind"), "veth")
            self.assertEqual(field(d, "mac"), "02:00:00:00:01:01")
            self.assertEqual(field(d, "netns"), "1")
            self.assertIn("control-plane-of-the-chassis cp0", d)
        self.refused(errno.ENODEV, "resolve in1", "in0")
        self.refused(errno.ENODEV, "resolve no-such-alternative-name-here", "out0")
        self.refused(errno.ENODEV, "resolve index:999999")
        self.refused(errno.ENODEV, "resolve mac:02:00:00:00:77:01")
        must("ip", "link", "set", "out0", "address", "02:00:00:00:01:01")
        self.refused(errno.ENOTUNIQ, "resolve mac:02:00:00:00:01:01", "2 interfaces")

    def test_master(self):
        must("ip", "link", "add", "br0", "type", "bridge")
        self.addCleanup(run, "ip", "link", "del", "br0")
        must("ip", "link", "set", "in0", "master", "br0")
        self.assertEqual(int(field(self.do("resolve in0 dev=2"), "master")),
                         socket.if_nametoindex("br0"))

    def test_identity(self):
        self.assertTrue(self.do("check dev=0").startswith("same "))
        must("ip", "link", "set", "in0", "down")
        must("ip", "link", "set", "in0", "name", "ctl0")
        self.assertTrue(self.do("check dev=0").startswith("renamed "))
        must("ip", "link", "set", "ctl0", "name", "in0")
        old = socket.if_nametoindex("in0")
        self.remake()
        new = socket.if_nametoindex("in0")
        self.assertNotEqual(old, new)
        self.assertEqual(self.do("check dev=0"), f"back {new} in0")
        self.remake("02:00:00:00:01:99")
        self.assertEqual(self.do("check dev=0"), f"replaced {socket.if_nametoindex('in0')} in0")
        must("ip", "link", "del", "in0")
        self.assertEqual(self.do("check dev=0"), "gone 0 ")
        self.do("netns")
        self.assertTrue(self.do("check dev=0").startswith("other-netns"))

    def test_generated_addresses_count_with_an_altname(self):
        must("ip", "link", "property", "add", "dev", "in0", "altname", "slot3")
        self.do("resolve in0 dev=0")
        self.remake("02:00:00:00:01:99")
        self.assertTrue(self.do("check dev=0").startswith("replaced "))
        must("ip", "link", "property", "add", "dev", "in0", "altname", "slot3")
        self.assertTrue(self.do("check dev=0").startswith("back "))

    def test_twin_of_one_mac_address(self):
        """VLANs and ports of a switch share a MAC address; one is not the other come back."""
        must("ip", "link", "add", "twin0", "address", "02:00:00:00:01:01", "type", "veth", "peer",
             "name", "twin1")
        self.addCleanup(run, "ip", "link", "del", "twin0")
        self.do("monitor dev=0")
        must("ip", "link", "del", "in0")
        self.assertEqual(self.do("check dev=0"), "gone 0 ")
        seen = ""
        while "gone" not in seen:
            seen = self.do("next timeout=5000")
        must("ip", "link", "set", "twin0", "up")
        self.assertEqual(self.do("next timeout=100"), "none")

    def test_no_device(self):
        """What ifpin_device_check() gives for a device that is gone is no device at all."""
        for line in ("socket dev=5", "socket stream dev=5", "socket inet6 dev=5"):
            self.refused(errno.EINVAL, line, "no device")
        fd = self.do("plain")
        self.refused(errno.EXDEV, f"connect fd={fd} dev=5 to=10.0.2.2 port=9")
        self.refused(errno.EXDEV, f"join fd={fd} dev=5 group=239.1.2.3")
        self.refused(errno.EINVAL, f"pin fd={fd} dev=5", "no device")

    def test_index_of_another(self):
        """A device made with the index of one that is gone."""
        index = socket.if_nametoindex("in0")
        must("ip", "link", "del", "in0")
        must("ip", "link", "add", "br9", "index", index, "type", "bridge")
        self.addCleanup(run, "ip", "link", "del", "br9")
        self.assertEqual(self.do("check dev=0"), f"replaced {index} br9")
        self.refused(errno.ESTALE, "socket dev=0", "another device")

    def test_list_while_others_change(self):
        """Each device that stays is in every list, however fast others come and go."""
        stable = 400
        batch = "".join(f"link add stay{i} type bridge\n" for i in range(stable))
        self.stack.callback(run, "sh", "-c", "ip -br link | awk '/^(stay|go)/ { print \"link del\","
                            " $1 }' | ip -batch - -force")
        must("ip", "-batch", "-", input=batch)
        churn = self.popen(["ip", "-batch", "-", "-force"], stdin=subprocess.PIPE, bufsize=0,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines = "".join(f"link add go{i} type bridge\nlink set go{i} name gone{i}\n"
                        f"link set stay7 up\nlink set stay7 down\nlink del gone{i}\n"
                        for i in range(20)).encode()

        def feed():
            with contextlib.suppress(OSError, ValueError):
                while True:
                    churn.stdin.write(lines)
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        for _ in range(15):
            n, found = map(int, self.do("list stay").split())
            self.assertEqual(found, stable)
            self.assertGreaterEqual(n, stable)
            self.do("resolve mac:02:00:00:00:01:01 dev=2")
        self.assertIsNone(churn.poll())
        churn.kill()
        feeder.join()

    def test_nameservers(self):
        path = self.tempdir() + "/resolv.conf"
        with open(path, "w") as f:
            f.write("search example\nnameserver 127.0.0.53\nnameserver 10.0.1.1\n"
                    "nameserver 10.0.1.2\nnameserver fe80::2%in0\nnameserver fe80::3%out0\n"
                    "nameserver nonsense\n")
        must("mount", "--bind", path, "/etc/resolv.conf")
        self.addCleanup(run, "umount", "/etc/resolv.conf")
        self.assertEqual(self.do("nameservers dev=0"),
                         f"10.0.1.2 fe80::2%{socket.if_nametoindex('in0')}")
        with open(path, "w") as f:
            f.write("nameserver 127.0.0.53\n")
        self.refused(errno.ENODATA, "nameservers dev=0", "in0")
        # What systemd-networkd has for the link, and before it what systemd-resolved was told.
        must("mount", "-t", "tmpfs", "tmpfs", "/run")
        self.stack.callback(must, "umount", "/run")
        for directory, text in (("netif/links", "ADMIN_STATE=configured\nDNS=10.0.1.7 10.0.1.1\n"),
                                ("resolve/netif", "SERVERS=10.0.1.8\n")):
            os.makedirs(f"/run/systemd/{directory}")
            with open(f"/run/systemd/{directory}/{socket.if_nametoindex('in0')}", "w") as f:
                f.write(text)
            self.assertEqual(self.do("nameservers dev=0"), "10.0.1.7" if "links" in directory
                             else "10.0.1.8")


if __name__ == "__main__":
    unittest.main()
