# SPDX-License-Identifier: MIT
"""SYN cookies of a wildcard listener: sent by nobody's socket, they pass no program at egress, and
go wherever the host's routes lead."""
import os
import socket
import struct
import subprocess
import time

from lab import IFPIN, Lab, any_ip, enter, must

FOLLOWER = os.path.join(os.path.dirname(IFPIN), "follower")
FAR4, FAR6 = "10.99.0.1", "2001:db8:99::1"
IN4, OUT4 = "via 10.0.1.2 dev in0", "via 10.0.2.2 dev out0"
IN6, OUT6 = "via fd00:1::2 dev in0", "via fd00:2::2 dev out0"
BY_IN = f"route replace default {IN4}"

# What is set by ip(8), whom the connection seems to come from, and the address that it is for
# (None: the device's).
WAYS = {
    "of_several_next_hops": (
        [f"route add 10.99.0.0/16 nexthop {IN4} nexthop {OUT4} weight 250"],
        FAR4, "10.0.2.1"),
    "of_a_next_hop_object": (
        [BY_IN, f"nexthop add id 7 {OUT4}", "route add 10.99.0.0/16 nhid 7"], FAR4, None),
    "of_a_rule_by_destination": (
        [BY_IN, f"route add default {OUT4} table 77", "rule add to 10.99.0.0/16 lookup 77"],
        FAR4, None),
    "of_a_rule_for_all_but_a_destination": (
        [f"route add default {IN4} table 78", "rule add not to 10.99.0.0/16 lookup 78"],
        FAR4, None),
    "of_a_route_back_to_the_rules": (
        [f"route add default {IN4} table 78", "route add throw 10.99.0.0/16 table 78",
         "rule add lookup 78 priority 100"], FAR4, None),
    "of_a_route_beside_a_narrow_one": (
        [f"route add 10.99.0.0/16 {IN4} metric 200", f"route add 10.99.0.0/16 {OUT4} metric 100",
         f"route add 10.99.0.0/24 {IN4}"], "10.99.5.1", None),
    "of_a_default_route_beside_a_narrow_one": (
        ["route del default", f"route add default {IN4} metric 200",
         f"route add default {OUT4} metric 100", f"route add 198.51.100.0/24 {IN4}"], FAR4, None),
    "of_the_other_family": ([f"-6 route replace default {IN6}"], FAR4, None),
    "of_an_address_for_the_link": (
        [BY_IN, f"route add default {OUT4} table 77", "addr add 10.0.1.200/32 dev in0 scope link",
         "rule add from 10.0.1.200 lookup 77"], FAR4, "10.0.1.200"),
    "of_a_network_that_is_local": (
        [BY_IN, f"route add default {OUT4} table 77", "route add local 10.7.0.0/16 dev lo",
         "rule add from 10.7.0.0/16 lookup 77"], FAR4, "10.7.0.5"),
    "of_the_table_of_local_routes": (
        [BY_IN, f"route add 10.99.0.0/16 {OUT4} table local"], FAR4, None),
    "of_a_route_for_some_sources": (
        ["-6 route del default", f"-6 route add default {IN6}",
         f"-6 route add default from fd00:1::/64 {OUT6}"], FAR6, None),
    "of_a_gateway_that_is_gone": (
        ["-6 route del default", "-6 route add default via fd00:1::9 dev in0 metric 100",
         f"-6 route add default {OUT6} metric 500",
         "-6 neigh replace fd00:1::9 dev in0 nud failed"], FAR6, None),
}


TOGGLER = """
import ctypes, os, socket, sys
s = socket.socket(10)
s.bind(('::', 7777))
s.listen(1)
s.setsockopt(1, 36, 5)
print('ready', flush=True)
if not os.fork():
    ctypes.CDLL(None).prctl(1, 9)
    while True:
        for mark in (5, 0) * 500:
            s.setsockopt(1, 36, mark)
sys.stdin.read()
os._exit(0)
"""


def is_answer(f):
    """Of port 7777."""
    if f[12:14] == b"\x08\x00":
        return f[23] == 6 and f[34:36] == b"\x1e\x61"
    return any_ip(f) and f[20] == 6 and f[54:56] == b"\x1e\x61"


class Cookies(Lab):
    port = 1024

    def test_can_be_reached(self):
        """Nothing is refused where the device's routes lead to, and nobody else's."""
        must("ip", *BY_IN.split())
        must("ip", "addr", "add", "10.5.0.2/24", "dev", "in0")  # whom a look-up would be for
        must("ip", "rule", "add", "iif", "out0", "ipproto", "tcp", "lookup", "77")
        must("ip", "rule", "add", "oif", "out0", "ipproto", "tcp", "lookup", "77")
        must("ip", "rule", "add", "fwmark", "9", "ipproto", "tcp", "lookup", "77")
        self.listen([IFPIN, "run", "--dns=system", "in0", "--"])
        must("ip", "neigh", "add", "10.5.0.7", "lladdr", "02:00:00:00:01:02", "dev", "in0")
        for source in (FAR4, "10.0.1.2", "10.5.0.7"):
            self.assertTrue(self.has_come(source), source)

    def test_encapsulated(self):
        """What has been put into another packet has another destination."""
        must("ip", *BY_IN.split())
        must("ip", "-6", "route", "add", "fd00:55::/64", *OUT6.split())
        must("ip", "route", "add", "10.99.0.0/16", "encap", "seg6", "mode", "encap", "segs",
             "fd00:55::1", "dev", "in0")
        self.cookies_leave(FAR4, match=lambda f: f[12:14] == b"\x86\xdd" and f[20] == 43)

    def test_a_mark_that_changes(self):
        """The kernel looks at it once more when the packet has been judged."""
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "default", *OUT4.split(), "table", "77")
        must("ip", "rule", "add", "fwmark", "5", "lookup", "77")
        for prefix, leaks in (([], True), ([IFPIN, "run", "--dns=system", "in0", "--"], False)):
            p = self.popen(prefix + ["python3", "-c", TOGGLER], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
            self.assertEqual(p.stdout.readline(), "ready\n")
            answers = sum(self.cookies(FAR4, n=100) for _ in range(10))
            self.assertEqual(answers > 0, leaks, answers)
            p.stdin.close()
            p.wait()

    def test_a_wider_route_of_later(self):
        """Of a table that is asked first."""
        must("ip", "route", "add", "10.99.0.0/16", *IN4.split())
        must("ip", "rule", "add", "lookup", "100", "priority", "100")
        self.listen([IFPIN, "run", "--dns=system", "in0", "--"])
        self.assertTrue(self.has_come(FAR4))
        must("ip", "route", "add", "10.96.0.0/12", *OUT4.split(), "table", "100")
        self.until_none(FAR4)

    def until_none(self, source):
        """It has been heard."""
        deadline = time.monotonic() + 10
        while self.cookies(source) or self.has_come(source):
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.cookies(source), 0)

    def test_syn_cookies(self):
        """A SYN cookie is sent by nobody's socket, to whatever source the SYN came from."""
        self.cookies_leave("10.0.2.2")
        self.cookies_leave("fd00:2::2")

    def test_syn_cookies_by_a_route(self):
        """The device has the default route, another one a network out of it."""
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "10.99.0.0/16", *OUT4.split())
        self.cookies_leave(FAR4)
        must("ip", "-6", "route", "del", "default")
        must("ip", "-6", "route", "add", "default", *IN6.split())
        must("ip", "-6", "route", "add", "2001:db8:99::/48", *OUT6.split())
        self.cookies_leave(FAR6)

    def test_syn_cookies_by_a_service_class(self):
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "default", "tos", "0x10", *OUT4.split())
        self.cookies_leave(FAR4, option="setsockopt(0,1,16)", answered=False)

    def test_syn_cookies_by_a_rule(self):
        """It asks for the source of the answer; or for the port, which no look-up of ours has."""
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "default", *OUT4.split(), "table", "77")
        for rule, to, answered in ((["from", "10.0.1.1"], "10.0.1.1", False),
                                   (["from", "10.0.2.1"], "10.0.2.1", True),
                                   (["ipproto", "tcp", "sport", "7777"], "10.0.1.1", False)):
            must("ip", "rule", "add", *rule, "lookup", "77")
            self.cookies_leave(FAR4, to, answered=answered)
            must("ip", "rule", "del", *rule, "lookup", "77")

    def test_listener_of_a_host_with_two_uplinks(self):
        """The default route is out0's, and a rule has answers of in0's address leave by in0."""
        p = self.listen([IFPIN, "run", "--dns=system", "in0", "--"])
        self.assertFalse(self.has_come("192.0.2.55"))
        must("ip", "route", "add", "default", *IN4.split(), "table", "78")
        must("ip", "rule", "add", "from", "10.0.1.1", "lookup", "78")
        deadline = time.monotonic() + 10
        while not self.has_come("192.0.2.55"):
            self.assertLess(time.monotonic(), deadline)
        p.stdin.close()

    def test_syn_cookies_by_a_mark(self):
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "default", *OUT4.split(), "table", "77")
        must("ip", "rule", "add", "fwmark", "5", "lookup", "77")
        self.cookies_leave(FAR4, option="setsockopt(1,36,5)", answered=False)
        # The mark of what is answered.
        must("sysctl", "-qw", "net.ipv4.tcp_fwmark_accept=1")
        must("nft", "table inet t {\nchain c {\ntype filter hook prerouting priority 0; "
             "ip saddr 10.99.0.0/16 meta mark set 5\n}\n}")
        self.cookies_leave(FAR4, answered=False)

    def test_syn_cookies_by_a_route_of_later(self):
        must("ip", *BY_IN.split())
        p = self.listen([IFPIN, "run", "--dns=system", "in0", "--"])
        self.assertTrue(self.has_come(FAR4))
        must("ip", "route", "add", "10.99.0.0/16", *OUT4.split())
        self.until_none(FAR4)
        deadline = time.monotonic() + 10
        must("ip", "route", "del", "10.99.0.0/16")
        while not self.has_come(FAR4):
            self.assertLess(time.monotonic(), deadline)
        p.stdin.close()

    def test_syn_cookies_of_an_attached_service(self):
        """What is there when it is attached, and what comes while somebody follows."""
        self.bpffs()
        group = self.cgroup()
        must("ip", *BY_IN.split())
        must("ip", "route", "add", "10.99.0.0/16", *OUT4.split())
        self.listen([], preexec_fn=enter(group))
        self.assertGreater(self.cookies(FAR4), 0)
        must(IFPIN, "attach", f"--cgroup={group}", "--name=listener", "in0")
        self.assertEqual(self.cookies(FAR4), 0)
        self.popen([FOLLOWER], stdout=subprocess.DEVNULL)
        self.assertTrue(self.has_come("10.98.0.1"))
        must("ip", "route", "add", "10.98.0.0/16", *OUT4.split())
        self.until_none("10.98.0.1")

    def has_come(self, source):
        """What is answered by in0 is seen there."""
        with self.pin.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as s:
            s.bind(("eth0", 0x0800))
            s.settimeout(0.2)
            self.syns(source, "10.0.1.1", 1)
            try:
                while True:
                    f = s.recv(200)
                    if f[9] == 6 and f[16:20] == socket.inet_aton(source):
                        return True
            except TimeoutError:
                return False

    def listen(self, prefix, option=None, **kw):
        listener = ("import socket,sys;s=socket.socket(10);" + (f"s.{option};" if option else "") +
                    "s.bind(('::',7777));s.listen(1);print('ready',flush=True);sys.stdin.read()")
        p = self.popen(prefix + ["python3", "-c", listener], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True, **kw)
        self.assertEqual(p.stdout.readline(), "ready\n")
        return p

    def syns(self, source, to, n):
        """A SYN each from behind in0, with that source address."""
        with self.pin.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as s:
            for _ in range(n):
                Cookies.port = (Cookies.port + 1) % 60000 + 1024
                self.syn(s, source, to, Cookies.port)

    def cookies(self, source, to=None, n=4, match=None):
        """Answers that came out by out0."""
        to = to or ("fd00:1::1" if ":" in source else "10.0.1.1")
        # More than the listener has room for, so that what follows has no room.
        near = "fd00:1::1%02x" if ":" in source else "10.0.1.1%02d"
        for i in range(8):
            self.syns(near % i, "fd00:1::1" if ":" in source else "10.0.1.1", 1)
        self.syns(source, to, n)
        return self.leaked(match or is_answer)

    def cookies_leave(self, source, to=None, option=None, answered=True, match=None):
        """Unconfined, and not confined."""
        for prefix, leaks in (([], True),
                              ([IFPIN, "run", "--dns=system", "in0", "--"], False)):
            p = self.listen(prefix, option)
            answers = self.cookies(source, to, match=match)
            self.assertEqual(answers > 0, leaks, (source, to, answers))
            # Who is really there is answered.
            if answered:
                with self.pin.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                    s.settimeout(10)
                    s.connect(("10.0.1.1", 7777))
            p.stdin.close()
            p.wait()

    def syn(self, sock, source, to, port):
        """From behind in0, with any source address."""
        def checksum(data):
            total = sum(struct.unpack(f"!{len(data) // 2}H", data))
            total = (total >> 16) + (total & 0xffff)
            return ~(total + (total >> 16)) & 0xffff
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        ends = socket.inet_pton(family, source) + socket.inet_pton(family, to)
        tcp = struct.pack("!HHIIBBHHHI", port, 7777, 1, 0, 0x60, 2, 64000, 0, 0, 0x020405b4)
        sum_ = checksum(ends + struct.pack("!HH", 6, len(tcp)) + tcp)
        tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
        if family == socket.AF_INET6:
            ip, kind = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + ends, 0x86dd
        else:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + ends
            ip, kind = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:], 0x0800
        sock.sendto(ip + tcp, ("eth0", kind, 0, 0, bytes.fromhex("020000000101")))


def by_way(commands, source, to):
    def test(self):
        must("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0")
        for command in commands:
            must("ip", *command.split())
        self.cookies_leave(source, to, answered=False)
    return test


for way, args in WAYS.items():
    setattr(Cookies, f"test_{way}", by_way(*args))

del Lab
