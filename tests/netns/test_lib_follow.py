# SPDX-License-Identifier: MIT
"""libifpin: following a device, and sockets after its return."""
import errno
import re
import socket
import unittest

from lab import Wire, must, run
from pinned import LibLab, Refused


class Follow(LibLab):
    def events(self, until, timeout=5000):
        """Words of the events up to one, with the rest of that one."""
        seen = []
        while True:
            word, _, rest = self.do(f"next timeout={timeout}").partition(" ")
            self.assertNotEqual(word, "none", f"{seen}, and no {until}")
            seen.append(word)
            if word == until:
                return seen, rest

    def follow(self, dev=0):
        """A monitor that has told what is so."""
        self.do(f"monitor dev={dev}")
        while self.do("next timeout=0") != "none":
            pass


class Monitor(Follow):
    def test_what_is_so(self):
        self.do("monitor dev=0")
        told = []
        while True:
            answer = self.do("next timeout=0")
            if answer == "none":
                break
            told.append(answer.split(" ", 2)[2])
        self.assertIn("in0 has 10.0.1.1/24", told)
        self.assertIn("in0 has fd00:1::1/64", told)

    def test_gone_and_back(self):
        self.follow()
        old = socket.if_nametoindex("in0")
        self.remake()
        _, rest = self.events("gone")
        self.assertIn(f"in0 (index {old}) is gone", rest)
        new = socket.if_nametoindex("in0")
        seen, rest = self.events("back")
        self.assertEqual(rest.split()[0], str(new))
        self.assertNotIn("replaced", seen)
        self.events("address-added")

    def test_changes(self):
        self.follow()
        must("ip", "addr", "add", "10.0.7.1/24", "dev", "in0")
        _, rest = self.events("address-added")
        self.assertIn("10.0.7.1/24", rest)
        must("ip", "addr", "del", "10.0.7.1/24", "dev", "in0")
        _, rest = self.events("address-removed")
        self.assertIn("10.0.7.1/24", rest)
        must(*self.pin.cmd("ip", "link", "set", "eth0", "down"))
        self.events("no-carrier")
        must(*self.pin.cmd("ip", "link", "set", "eth0", "up"))
        self.events("carrier")
        must("ip", "link", "set", "in0", "down")
        self.events("down")
        must("ip", "link", "set", "in0", "name", "ctl0")
        _, rest = self.events("renamed")
        self.assertIn("in0 is called ctl0 now", rest)
        must("ip", "link", "set", "ctl0", "address", "02:00:00:00:01:77")
        self.events("mac")
        must("ip", "link", "set", "ctl0", "name", "in0")
        self.events("renamed")
        must("ip", "link", "set", "in0", "up")
        self.events("up")

    def test_replaced(self):
        """Another device of the name is reported, and never accepted; then the right one is."""
        self.follow()
        self.remake("02:00:00:00:01:99")
        seen, rest = self.events("replaced")
        self.assertNotIn("back", seen)
        self.assertIn("MAC address 02:00:00:00:01:99, was 02:00:00:00:01:01", rest)
        self.assertIn("not accepted", rest)
        self.assertEqual(self.do("next timeout=100"), "none")
        self.remake()
        seen, rest = self.events("back")
        self.assertEqual(rest.split()[0], str(socket.if_nametoindex("in0")))

    def test_back_by_its_alternative_name(self):
        """Made as another name, and then given one of its names: only then it is the device."""
        must("ip", "link", "property", "add", "dev", "in0", "altname", "slot3")
        self.do("resolve in0 dev=0")
        self.follow()
        self.remake(name="ctl0")
        self.addCleanup(run, "ip", "link", "del", "ctl0")
        self.events("gone")
        self.assertEqual(self.do("next timeout=100"), "none")
        must("ip", "link", "property", "add", "dev", "ctl0", "altname", "slot3")
        _, rest = self.events("back")
        self.assertIn("ctl0 is back", rest)

    def test_two_swap_names(self):
        self.follow()
        index = socket.if_nametoindex("in0")
        for a, b in (("in0", "tmp0"), ("out0", "in0"), ("tmp0", "out0")):
            must("ip", "link", "set", a, "down")
            must("ip", "link", "set", a, "name", b)
        seen, rest = self.events("renamed")
        seen2, rest = self.events("renamed")
        self.assertEqual(rest.split()[0], str(index))
        self.assertIn("called out0 now", rest)
        self.assertNotIn("gone", seen + seen2)
        for a, b in (("in0", "tmp0"), ("out0", "in0"), ("tmp0", "out0")):
            must("ip", "link", "set", a, "name", b)

    def test_moved_to_another_namespace_and_back(self):
        self.follow()
        must("ip", "link", "set", "in0", "netns", f"/proc/{self.pin.pid}/ns/net")
        self.events("gone")
        must(*self.pin.cmd("ip", "link", "set", "in0", "netns", "/proc/%d/ns/net" %
                           self.program.pid))
        self.events("back")

    def test_a_port_that_leaves_its_bridge_is_there(self):
        must("ip", "link", "add", "br0", "type", "bridge")
        self.addCleanup(run, "ip", "link", "del", "br0")
        must("ip", "link", "set", "in0", "master", "br0")
        self.follow()
        must("ip", "link", "set", "in0", "nomaster")
        must("ip", "addr", "add", "10.0.7.1/24", "dev", "in0")
        seen, _ = self.events("address-added")
        self.assertNotIn("gone", seen)

    def test_lost_messages(self):
        """ENOBUFS: the state is read anew, and what was missed is told."""
        self.follow()
        self.do("shrink")
        must("ip", "-batch", "-", input="".join(
            f"link add lose{i} type bridge\nlink del lose{i}\n" for i in range(50)))
        self.remake()
        seen, _ = self.events("resynced")
        seen, rest = self.events("back")
        self.assertIn("gone", seen)
        self.assertEqual(rest.split()[0], str(socket.if_nametoindex("in0")))
        self.follow(dev=9)
        self.do("shrink")
        must("ip", "-batch", "-", input="".join(
            f"link add lose{i} type bridge\nlink del lose{i}\n" for i in range(50)))
        must("ip", "addr", "add", "10.0.7.1/24", "dev", "in0")
        must("ip", "addr", "del", "fd00:1::1/64", "dev", "in0")
        told = set()
        self.events("resynced")
        while len(told) < 2:
            answer = self.do("next timeout=5000")
            self.assertNotEqual(answer, "none")
            told.add(answer.split(" ", 2)[2])
        self.assertEqual(told, {"in0 has 10.0.7.1/24", "in0 has lost fd00:1::1/64"})

    def test_replaced_while_nobody_looked(self):
        """A device is made with the index of one that is gone, and the messages are lost."""
        index = socket.if_nametoindex("in0")
        self.follow()
        self.do("shrink")
        must("ip", "-batch", "-", input="".join(
            f"link add lose{i} type bridge\nlink del lose{i}\n" for i in range(50)))
        must("ip", "link", "del", "in0")
        must("ip", "link", "add", "in0", "index", index, "type", "bridge")
        seen, rest = self.events("replaced")
        self.assertIn("gone", seen)
        self.assertNotIn("back", seen)

    def test_addresses_that_came_before_the_name(self):
        """A device that is made, configured, and only then given its MAC address."""
        self.follow()
        self.remake("02:00:00:00:01:99")
        self.events("replaced")
        must("ip", "link", "set", "in0", "address", "02:00:00:00:01:01")
        self.events("back")
        told = {self.do("next timeout=5000").split(" ", 2)[2] for _ in range(2)}
        self.assertLessEqual({"in0 has 10.0.1.1/24", "in0 has fd00:1::1/64"},
                             told | {self.do("next timeout=100").split(" ", 2)[-1]})

    def test_tentative_addresses(self):
        """Told when it can be bound, not before."""
        for path in ("in0/accept_dad", "all/accept_dad"):
            with open(f"/proc/sys/net/ipv6/conf/{path}", "w") as f:
                f.write("1")
        self.follow()
        must("ip", "addr", "add", "fd00:7::1/64", "dev", "in0")
        _, rest = self.events("address-added")
        self.assertIn("fd00:7::1/64", rest)
        self.do("socket inet6 dev=0 source=fd00:7::1")

    def test_one_address_for_two_peers(self):
        self.follow()
        for peer in ("10.9.9.1", "10.9.9.2"):
            must("ip", "addr", "add", "10.6.0.1", "peer", peer, "dev", "in0")
        self.events("address-added")
        must("ip", "addr", "del", "10.6.0.1", "peer", "10.9.9.1", "dev", "in0")
        self.assertEqual(self.do("next timeout=100"), "none")
        must("ip", "addr", "del", "10.6.0.1", "peer", "10.9.9.2", "dev", "in0")
        _, rest = self.events("address-removed")
        self.assertIn("10.6.0.1/32", rest)

    def test_caller_in_another_namespace(self):
        """The monitor stays where it was opened, also when it reads all devices anew."""
        self.follow()
        self.do("netns")
        must("nsenter", f"--net=/proc/{self.program.pid}/ns/net", "ip", "link", "add", "in0",
             "address", "02:00:00:00:01:01", "type", "bridge")
        self.do("shrink")
        must("ip", "-batch", "-", input="".join(
            f"link add lose{i} type bridge\nlink del lose{i}\n" for i in range(50)))
        must("ip", "link", "del", "in0")
        seen, _ = self.events("gone")
        self.assertEqual(self.do("next timeout=200"), "none")

    def test_already_gone(self):
        must("ip", "link", "del", "in0")
        self.do("monitor dev=0")
        self.assertTrue(self.do("next timeout=0").startswith("gone "))
        self.assertEqual(self.do("next timeout=0"), "none")

    def test_flaps(self):
        """Many returns: each is told, none twice, and the memory stays."""
        self.follow()
        size = self.memory()
        add = "link add in0 address 02:00:00:00:01:01 type veth peer name flap1\n"
        for part in range(4):
            must("ip", "-batch", "-", input=f"link del in0\n{add}" * 20)
            for _ in range(20):
                seen, _ = self.events("gone")
                self.assertEqual(seen.count("back"), 0)
                seen, _ = self.events("back")
            if not part:
                size = self.memory()
        self.assertLess(self.memory(), size + 300)

    def memory(self):
        with open(f"/proc/{self.program.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


class Repin(Follow):
    how = "rebound"

    def again(self):
        """in0 goes and comes back; device 9 is what it is now."""
        self.follow()
        self.remake()
        self.events("back")

    def arrives(self, fd, options="to=10.0.1.2"):
        wire = Wire(self.pin)
        self.do(f"send fd={fd} dev=9 {options} port=9")
        n = wire.frames("in0")
        wire.close()
        return n

    def test_kept(self):
        fd = self.do("socket dev=0")
        self.assertEqual(self.do(f"repin fd={fd} dev=0"), "kept")

    def test_udp(self):
        for family, peer in (("inet", "10.0.1.2"), ("inet6", "fd00:1::2")):
            with self.subTest(family):
                self.do("resolve in0 dev=0")
                fd = self.do(f"socket {family} dev=0 source=device port=4000")
                self.do(f"option fd={fd} level=1 option=6 value=1")  # SO_BROADCAST
                self.again()
                with self.assertRaises(Refused):
                    self.do(f"send plain fd={fd} to={peer} port=9")
                self.assertTrue(self.do(f"inspect fd={fd}").startswith("dead "))
                self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
                text = self.do(f"inspect fd={fd} dev=9")
                self.assertTrue(text.startswith("pinned "), text)
                self.assertRegex(text, r"local \S+:4000\b.* is in0's")
                self.assertEqual(self.do(f"option get fd={fd} level=1 option=6"), "1")
                self.assertEqual(self.arrives(fd, f"to={peer}"), 1)
                # The kernel forgets the tie; the library does not.
                self.do(f"connect fd={fd} dev=9 to={peer} port=9")
                if family == "inet":
                    self.do(f"connect fd={fd} dev=9")
                far = "10.0.2.2" if family == "inet" else "fd00:2::2"
                try:
                    self.do(f"send plain fd={fd} to={far} port=9")
                except Refused:
                    pass
                self.assertEqual(self.leaked(), 0)
                self.do(f"close fd={fd}")

    def test_unicast_interface_has_the_new_index(self):
        """What holds after connect(AF_UNSPEC) behind the library's back."""
        for family, peer, far in (("inet", "10.0.1.2", "10.0.2.2"),
                                  ("inet6", "fd00:1::2", "fd00:2::2")):
            with self.subTest(family):
                self.do("resolve in0 dev=0")
                fd = self.do(f"socket {family} dev=0")
                self.again()
                self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
                self.do(f"connect plain fd={fd} to={peer} port=9")
                self.do(f"connect plain fd={fd}")
                text = self.do(f"inspect fd={fd}")
                self.assertIn(f"bound=0 unicast={socket.if_nametoindex('in0')}", text)
                try:
                    self.do(f"send plain fd={fd} to={far} port=9")
                except Refused:
                    pass
                self.assertEqual(self.leaked(), 0)

    def test_connected_udp(self):
        fd = self.do("socket dev=0")
        self.do(f"connect fd={fd} dev=0 to=10.0.1.2 port=9")
        self.again()
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
        self.assertEqual(self.arrives(fd, ""), 1)

    def test_listening(self):
        fd = self.do("socket stream dev=0 port=4001")
        self.do(f"listen fd={fd}")
        self.again()
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
        with self.pin.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(("10.0.1.1", 4001))
            self.do(f"accept fd={fd}")

    def connection(self):
        server = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.bind(("10.0.1.2", 6001))
        server.listen()
        fd = self.do("socket stream dev=0")
        self.do(f"connect fd={fd} dev=0 to=10.0.1.2 port=6001")
        peer, _ = server.accept()
        peer.settimeout(10)
        self.addCleanup(peer.close)
        server.close()
        self.again()
        return fd, peer

    def test_connection(self):
        fd, peer = self.connection()
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), "rebound")
        self.do(f"send fd={fd} dev=9 text=on")
        self.assertEqual(peer.recv(10), b"on")

    def test_group(self):
        fd = self.do("socket dev=0 port=8000")
        self.do(f"join fd={fd} dev=0 group=239.1.2.3")
        self.again()
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
        if self.how == "rebound":
            self.do(f"leave fd={fd} dev=0 group=239.1.2.3")
        self.do(f"join fd={fd} dev=9 group=239.1.2.3")
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                         socket.inet_aton("10.0.1.2"))
            s.sendto(b"beat", ("239.1.2.3", 8000))
            self.assertEqual(self.do(f"receive fd={fd}"), "beat")

    def test_replaced(self):
        """A device of the name that is another one is no place to go."""
        fd = self.do("socket dev=0")
        self.remake("02:00:00:00:01:99")
        with self.assertRaises(Refused) as caught:
            self.do(f"repin fd={fd} dev=0")
        self.assertEqual(caught.exception.code, errno.ESTALE)
        self.assertTrue(self.do(f"inspect fd={fd}").startswith("dead "))

    def test_what_it_accepts(self):
        """A filter and a hop limit go along, also for who forgets to say so again."""
        fd = self.do("socket dev=0 port=7000 flags=4")  # IFPIN_GTSM
        self.again()
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), self.how)
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for hops, text in ((64, b"far"), (255, b"near")):
                s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
                s.sendto(text, ("10.0.1.1", 7000))
        self.assertEqual(self.do(f"receive fd={fd}"), "near")

    def test_its_device_is_there(self):
        """A return is followed; a living socket is not led to another device."""
        fd = self.do("socket dev=0")
        self.refused(errno.EXDEV, f"repin fd={fd} dev=1", "which is there")
        self.assertTrue(self.do(f"inspect fd={fd} dev=0").startswith("pinned "))

    def test_gone_again(self):
        """What fails leaves the socket tied to what is not there."""
        fd = self.do("socket dev=0")
        self.again()
        must("ip", "link", "del", "in0")
        for dev in (9, 5):
            with self.assertRaises(Refused):
                self.do(f"repin fd={fd} dev={dev}")
            self.assertTrue(self.do(f"inspect fd={fd}").startswith("dead "))

    def test_address_of_another_device_now(self):
        fd = self.do("socket dev=0 source=device port=4000")
        self.again()
        must("ip", "addr", "del", "10.0.1.1/24", "dev", "in0")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "out0")
        self.refused(errno.EADDRNOTAVAIL, f"repin fd={fd} dev=9", "out0")
        self.assertTrue(self.do(f"inspect fd={fd}").startswith("dead "))


class RepinUnprivileged(Repin):
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    how = "reopened"

    def test_connection(self):
        fd, _ = self.connection()
        self.refused(errno.ENOTCONN, f"repin fd={fd} dev=9", "CAP_NET_RAW")

    def test_address_not_there_yet(self):
        fd = self.do("socket dev=0 source=device port=4000")
        self.again()
        must("ip", "addr", "flush", "dev", "in0")
        self.refused(errno.EADDRNOTAVAIL, f"repin fd={fd} dev=9", "in0")
        self.assertTrue(self.do(f"inspect fd={fd}").startswith("dead "))
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "in0")
        self.assertEqual(self.do(f"repin fd={fd} dev=9"), "reopened")


if __name__ == "__main__":
    unittest.main()
