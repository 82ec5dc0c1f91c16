# SPDX-License-Identifier: MIT
"""The fence: what it holds, whom it leaves alone, and what becomes of it."""
import contextlib
import ctypes
import errno
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import time

import frames
from frames import EXIT, SCHED_CLS, XDP, insn, link, load, mov, redirect_to
from lab import IFPIN, MARKER, Lab, Wire, libc, must, proof, run

FENCED = ("--prefix=10.0.1.0/24", "--prefix=fd00:1::/64")
FIRST, LAST = -2147483648, 2147483647


def ruleset(only_others=False):
    """All of it as text, without what counts; the order of tables is that of their making."""
    text = re.sub(r"packets \d+ bytes \d+", "", must("nft", "list", "ruleset"))
    if only_others:
        text = "".join(t for t in re.split(r"(?m)^(?=table )", text)
                       if not re.match(r"table \w+ ifpin_", t))
    return text


def programs(device):
    """Ids of the programs at the egress of a device (tcx)."""
    ids = (ctypes.c_uint32 * 64)()
    attr = bytearray(struct.pack("<IIIIQIIQQQQ", socket.if_nametoindex(device), 47, 0, 0,
                                 ctypes.addressof(ids), 64, 0, 0, 0, 0, 0))
    buf = (ctypes.c_char * len(attr)).from_buffer(attr)
    if libc.syscall(321, 16, buf, len(attr)):
        raise OSError(ctypes.get_errno(), "BPF_PROG_QUERY")
    return list(ids[:struct.unpack_from("<I", attr, 24)[0]])


class FenceLab(Lab):
    def build(self):
        must("nft", "flush", "ruleset")
        super().build()

    def apply(self, *options, device="in0", ok=True):
        p = run(IFPIN, "fence", "apply", device, *(options or FENCED))
        if ok:
            self.assertEqual((p.returncode, p.stderr), (0, ""))
        return p

    def check(self, code=0):
        p = run(IFPIN, "fence", "check")
        self.assertEqual(p.returncode, code, p.stdout + p.stderr)
        return p.stdout

    def show(self):
        return json.loads(must(IFPIN, "fence", "show", "--json"))

    def send(self, source, to, **kw):
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            if "device" in kw:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, kw["device"].encode())
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.bind((source, 0))
            try:
                s.sendto(MARKER, (to, 9))
            except PermissionError:
                pass  # a rule of the host's own says so

    def raw(self, device, frame):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((device, 0x88b6))
            try:
                s.send(frame)
            except OSError as e:
                self.assertEqual(e.errno, 105)

    def frame(self, source="10.0.1.1", to="10.0.2.2"):
        udp = struct.pack(">HHHH", 9, 9, 8 + len(MARKER), 0) + MARKER
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(to))
        return b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + ip + udp

    def program(self, kind, code, target, attach_type, flags=0):
        fd = load(kind, code)
        self.stack.callback(os.close, fd)
        held = link(fd, target, attach_type, flags)
        self.stack.callback(os.close, held)

    def has_tcx(self):
        try:
            programs("out0")
        except OSError as e:
            self.assertEqual(e.errno, errno.EINVAL)
            return False
        return True


class Applying(FenceLab):
    def test_bad_input(self):
        for argv, message in (
                ([], "apply, show, check or remove?"), (["frob"], 'no verb "frob"'),
                (["apply"], "no interface given"), (["apply", "in0"], "nothing to fence"),
                (["apply", "eth9", *FENCED], 'no interface "eth9"'),
                (["apply", "lo", *FENCED], "lo leads nowhere else"),
                (["apply", "in0", "out0", *FENCED], 'unexpected argument "out0"'),
                (["apply", "in0", "--prefix=10.0.1.1"], "is no network"),
                (["apply", "in0", "--prefix=10.0.1.1/24"], "the network is 10.0.1.0/24"),
                (["apply", "in0", "--prefix=10.0.1.0/33"], "must be 1 to 32"),
                (["apply", "in0", "--prefix=0.0.0.0/0"], "must be 1 to 32"),
                (["apply", "in0", "--prefix=::ffff:10.0.1.0/120"], "as an IPv4 network"),
                (["apply", "in0", "--prefix=x/24"], "not an IPv4 or IPv6 address"),
                (["apply", "in0", "--ethertype=0x88b55"], "a number from 0x0600"),
                (["apply", "in0", "--ethertype=64"], "a number from 0x0600"),
                (["apply", "in0", "--nat=maybe", *FENCED], "--nat must be"),
                (["apply", "in0", "--name=a b", *FENCED], "1 to 16 letters"),
                (["apply", "in0", "--name=" + "x" * 17, *FENCED], "1 to 16 letters"),
                (["show", "x"], 'unexpected argument "x"'),
                (["show", "--name=none"], 'no fence "none"'),
                (["check", "--follow"], "takes no options"),
                (["remove"], "there is no fence"), (["remove", "--name=none"], "no fence")):
            with self.subTest(argv):
                p = run(IFPIN, "fence", *argv)
                self.assertEqual((p.returncode, p.stdout), (125, ""), p.stderr)
                self.assertIn(message, p.stderr)
        self.assertEqual(ruleset(), "")

    def test_privileges(self):
        for verb in (["apply", "in0", *FENCED], ["show"], ["check"], ["remove"]):
            p = run("setpriv", "--reuid=65534", "--clear-groups", IFPIN, "fence", *verb)
            self.assertEqual(p.returncode, 125, p.stdout)
            self.assertIn("need cap_net_admin", p.stderr)

    def test_rest_of_the_ruleset(self):
        """Byte for byte what it was, with a fence, with another, and after it."""
        for line in ("add table inet filter", "add chain inet filter input { type filter hook input "
                     "priority filter; policy accept; }", "add rule inet filter input tcp dport 22 "
                     'accept comment "ifpin_ look-alike"', "add table ip nat",
                     "add chain ip nat post { type nat hook postrouting priority srcnat; }",
                     "add rule ip nat post oifname out0 masquerade", "add table netdev user",
                     'add chain netdev user e { type filter hook egress device "out0" priority 0; }',
                     "add set inet filter s { type ipv4_addr; flags interval; elements = { "
                     "10.0.1.0/25 } }"):
            must("nft", line)
        before = ruleset()
        self.apply()
        self.assertEqual(ruleset(only_others=True), before)
        self.assertNotEqual(ruleset(), before)
        self.apply("--prefix=10.0.1.0/24", "--ethertype=0x88b5")
        self.assertEqual(ruleset(only_others=True), before)
        self.assertTrue(programs("out0"))
        must(IFPIN, "fence", "remove")
        self.assertEqual(ruleset(), before)
        self.assertEqual(programs("out0"), [])

    def test_twice_is_once(self):
        self.apply()
        once, ids = ruleset(), len(programs("out0"))
        self.apply()
        self.assertEqual((ruleset(), len(programs("out0"))), (once, ids))
        self.assertEqual(ids, 1)

    def test_merged(self):
        self.apply("--prefix=10.0.1.0/24", "--prefix=10.0.1.128/25", "--prefix=10.0.2.0/24",
                   "--prefix=10.0.1.0/24", "--prefix=fd00:1::/64", "--prefix=fd00:1::7/128",
                   "--prefix=192.0.2.1/32", device="in0")
        self.assertEqual(self.show()[0]["prefixes"],
                         ["10.0.1.0/24", "10.0.2.0/24", "192.0.2.1/32", "fd00:1::/64"])
        self.assertIn("holds", self.check())

    def test_short_networks(self):
        """Networks that are shorter than the bytes that are looked at first."""
        for nets in (["--prefix=0.0.0.0/1"], ["--prefix=8.0.0.0/5", "--prefix=10.0.1.0/24"],
                     ["--prefix=10.0.0.0/9"], ["--prefix=fc00::/7"],
                     ["--prefix=fd00::/8", "--prefix=fd00:1::/64"]):
            self.apply(*nets, "--name=short")
            six = "fc00" in nets[0] or "fd00" in nets[0]
            self.send("fd00:1::1" if six else "10.0.1.1", "2001:db8::9" if six else "198.51.100.9")
            self.assertEqual(self.leaked(), 0, nets)
        must(IFPIN, "fence", "remove")
        self.send("10.0.1.1", "198.51.100.9")
        self.assertEqual(self.leaked(), 1)

    def test_failed_apply(self):
        """It leaves what was there: rules, programs, and what they hold."""
        self.apply()
        must("nft", "add table netdev user; add chain netdev user e { type filter hook egress "
                    f'device "out0" priority {LAST}; }}')
        before, ids = ruleset(), programs("out0")
        p = self.apply("--prefix=192.0.2.0/24", ok=False)
        self.assertEqual(p.returncode, 125)
        self.assertIn('chain "e" of table netdev "user" has the last priority', p.stderr)
        self.assertEqual((ruleset(), programs("out0")), (before, ids))
        must("nft", "delete table netdev user")
        self.each_call_fails()
        self.send("10.0.1.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)

    def each_call_fails(self):
        """The kernel refuses this call, and that one: all is as it was, or as it was to be."""
        refused = 0
        for call, which in (("sendmsg", range(1, 7)), ("bpf", range(1, 60, 8))):
            for i in which:
                self.apply()
                before, ids = ruleset(), programs("out0")
                p = run("strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                        f"inject={call}:error=ENOBUFS:when={i}", IFPIN, "fence", "apply", "in0",
                        *FENCED, "--prefix=192.0.2.0/24",
                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                self.assertEqual(len(programs("out0")), len(ids))
                if p.returncode:
                    refused += 1
                    self.assertEqual((ruleset(), programs("out0")), (before, ids), (call, i, p.stderr))
                else:
                    self.assertEqual(len(self.show()[0]["prefixes"]), 3)
                self.assertIn("holds", self.check())
        self.assertGreater(refused, 2)

    def test_table_of_somebody_else(self):
        must("nft", "add table inet ifpin_in0")
        p = self.apply(ok=False)
        self.assertEqual(p.returncode, 125)
        self.assertIn("is no fence", p.stderr)
        self.assertEqual(run(IFPIN, "fence", "remove", "--name=in0").returncode, 125)
        self.assertEqual(ruleset().split(), "table inet ifpin_in0 { }".split())

    def test_killed(self):
        """At any moment there is a whole fence, this one or that one, or none before the first."""
        rng = random.Random(7)
        nets = (["--prefix=10.0.1.0/24"], ["--prefix=10.0.1.0/24", "--prefix=192.0.2.0/24"],
                ["--prefix=10.0.1.0/25", "--prefix=198.51.100.0/24"])
        whole = {()}
        for n in nets:
            self.apply(*n)
            whole.add(tuple(self.show()[0]["prefixes"]))
        for i in range(60):
            p = self.popen([IFPIN, "fence", "apply", "in0", *nets[i % 3]])
            try:
                p.wait(rng.uniform(0, 0.12))
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            state = self.show()
            self.assertIn(tuple(state[0]["prefixes"]) if state else (), whole)
            self.assertIn("holds", self.check())
            for net in state[0]["prefixes"]:
                self.raw("out0", self.frame(net.split("/")[0]))
            self.assertEqual(self.leaked(), 0, state)
            # Of one that was killed there may be a second one, beside that which is in force.
            self.assertGreaterEqual(len(programs("out0")), 1)
        self.apply(*nets[0])
        self.assertEqual(len(programs("out0")), 1)
        must(IFPIN, "fence", "remove")
        self.assertEqual((ruleset(), programs("out0")), ("", []))

    def test_at_the_same_time(self):
        nets = [["--prefix=10.0.1.0/24", f"--prefix=192.0.{i}.0/24"] for i in range(8)]
        running = [self.popen([IFPIN, "fence", "apply", "in0", *n]) for n in nets]
        self.assertEqual({p.wait(60) for p in running}, {0})
        self.assertEqual(len(self.show()[0]["prefixes"]), 2)
        self.assertIn("holds", self.check())
        self.assertEqual(len(programs("out0")), 1)
        self.send("10.0.1.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)

    def test_two_fences(self):
        must("ip", "link", "add", "in1", "type", "veth", "peer", "name", "in1p")
        self.apply()
        self.apply("--prefix=192.0.2.0/24", "--name=two", device="in1")
        self.assertEqual([f["name"] for f in self.show()], ["in0", "two"])
        self.assertEqual(self.check().count("holds"), 2)
        p = run(IFPIN, "fence", "remove")
        self.assertIn("there are 2 fences", p.stderr)
        must(IFPIN, "fence", "remove", "--name=two")
        self.assertEqual([f["name"] for f in self.show()], ["in0"])
        self.assertEqual(len(programs("out0")), 1)
        must("ip", "link", "del", "in1")

    def test_dry_run(self):
        p = self.apply(*FENCED, "--dry-run")
        self.assertIn("table netdev ifpin_in0", p.stdout)
        self.assertEqual((ruleset(), programs("out0")), ("", []))
        must("nft", "-c", "-f", "-", input=p.stdout)

    def test_without_the_nft_command(self):
        p = run(IFPIN, "fence", "apply", "in0", *FENCED, env={"PATH": "/nonexistent"})
        self.assertEqual((p.returncode, p.stderr), (0, ""))

    def test_names_that_cannot_be_written(self):
        must("ip", "link", "set", "out0", "down")
        must("ip", "link", "set", "out0", "name", 'o"0')
        p = self.apply(ok=False)
        must("ip", "link", "set", 'o"0', "name", "out0")
        self.assertEqual(p.returncode, 125)
        self.assertIn("rename it", p.stderr)


class Checking(FenceLab):
    def test_what_others_did(self):
        for command in ("flush ruleset", "delete table netdev ifpin_in0", "delete table arp ifpin_in0",
                        "flush chain ip ifpin_in0 out", "flush table ip6 ifpin_in0",
                        "flush set netdev ifpin_in0 p4", "flush set ip ifpin_in0 covered",
                        "insert rule ip ifpin_in0 before accept",
                        "insert rule netdev ifpin_in0 out_wire_12 accept",
                        "add table ip ifpin_in0 { flags dormant; }",
                        'add chain ip ifpin_in0 x { type filter hook input priority 0; }'):
            with self.subTest(command):
                self.apply()
                self.assertIn("holds", self.check())
                must("nft", command)
                p = run(IFPIN, "fence", "check", "--name=in0")
                self.assertEqual(p.returncode, 1, p.stdout)
                self.assertIn("broken", p.stdout)
                run(IFPIN, "fence", "remove", "--name=in0")
                must("nft", "flush ruleset")

    def test_nothing_there(self):
        p = run(IFPIN, "fence", "check")
        self.assertEqual(p.returncode, 1)
        self.assertIn("there is no fence", p.stderr)
        self.assertEqual(must(IFPIN, "fence", "show"), "no fences\n")
        p = run(IFPIN, "fence", "remove")
        self.assertEqual((p.returncode, p.stderr),
                         (125, "ifpin: there is no fence in this network namespace\n"))

    def test_program_taken_off(self):
        self.apply()
        must(IFPIN, "fence", "apply", "in0", *FENCED)
        # An unknown device takes part in nothing; one that comes is said to be without cover.
        must("ip", "link", "add", "new0", "type", "ifb")
        self.assertIn("new0 is not covered on its way out", self.check(1))
        self.assertIn("traffic control is not at new0", self.check(1))
        must("ip", "link", "del", "new0")
        self.assertIn("holds", self.check())

    def test_nat_that_came_later(self):
        self.apply()
        must("nft", "add table ip nat; add chain ip nat p { type nat hook postrouting priority 100; }")
        self.assertIn("translates addresses now", self.check(1))
        self.apply()
        self.assertTrue(self.show()[0]["nat"])
        self.assertIn("holds", self.check())

    def test_addresses_of_other_devices(self):
        """A mistyped network is told by whom it cuts off."""
        must("ip", "addr", "add", "10.0.2.77/24", "dev", "out0", "label", "out0:1")
        self.apply("--prefix=10.0.1.0/24")
        self.assertNotIn("is fenced", self.check())
        self.apply("--prefix=10.0.2.0/24", "--prefix=fd00:2::/64")
        said = self.check()
        for address in "10.0.2.1", "10.0.2.77", "fd00:2::1":
            self.assertIn(f"note: out0 has the address {address}, which is fenced", said)
        self.assertNotIn("note: in0", said)

    def test_json(self):
        self.apply("--prefix=10.0.1.0/24", "--ethertype=0x88b5", "--name=cp")
        self.send("10.0.1.1", "10.0.2.2")
        f = self.show()[0]
        self.assertEqual((f["name"], f["device"], f["ifindex"], f["ethertypes"]),
                         ("cp", "in0", socket.if_nametoindex("in0"), [0x88b5]))
        self.assertEqual(f["dropped"]["out-source"]["packets"], 1)
        self.assertEqual(f["dropped"]["in-source"]["packets"], 0)
        findings = json.loads(must(IFPIN, "fence", "check", "--json"))
        self.assertNotIn("broken", [x["finding"] for x in findings])
        self.assertIn("note", [x["finding"] for x in findings])


class Beyond(FenceLab):
    """What no rule can stop is named, as far as this kernel can make it."""

    def test_packets_past_all_rules(self):
        self.apply()
        self.assertNotIn("AF_XDP sockets are open", self.check())
        with socket.socket(44, socket.SOCK_RAW, 0):
            self.assertIn("AF_XDP sockets are open here (1)", self.check())
        self.assertNotIn("AF_XDP sockets are open", self.check())

    def from_inside(self):
        """A frame from the peer behind in0."""
        with self.pin.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("eth0", 0x88b6))
            s.send(self.frame("10.0.1.2", "10.0.1.1"))

    def test_xdp_program(self):
        self.apply()
        self.from_inside()
        self.assertEqual(self.leaked(), 0)
        self.assertNotIn("XDP program", self.check())
        self.program(XDP, redirect_to(self.out_index()), socket.if_nametoindex("in0"), 37, 2)
        self.assertIn("in0 has an XDP program; what it redirects passes no rule", self.check())
        self.from_inside()
        self.assertEqual(self.leaked(), 1)

    def test_redirect_to_a_peer(self):
        """From the way in of in0 to what is behind out0, without out0."""
        if not self.has_tcx():
            self.skipTest("tcx needs Linux 6.6")
        self.apply()
        self.assertNotIn("bpf_redirect_peer", self.check())
        code = mov(1, self.out_index()) + mov(2, 0) + insn(0x85, imm=155) + EXIT
        self.program(SCHED_CLS, code, socket.if_nametoindex("in0"), 46)
        self.assertIn("in0 has a program of somebody else in traffic control", self.check())
        self.from_inside()
        self.assertEqual(self.leaked(), 1)

    def test_another_namespace(self):
        """A device that is moved there loses its rules and keeps its program, if it had one."""
        self.apply()
        guarded = self.has_tcx() and bool(programs("out0"))
        self.assertIn("one that is moved away takes its frames along", self.check())
        must("ip", "link", "set", "out0", "netns", f"/proc/{self.pin.pid}/ns/net")
        must(*self.pin.cmd("ip", "link", "set", "out0", "up"))
        with self.pin.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("out0", 0x88b6))
            if guarded:
                with self.assertRaisesRegex(OSError, "No buffer space"):
                    s.send(self.frame())
            s.setsockopt(263, 20, 1)
            s.send(self.frame())
        self.wire.sock.settimeout(10)
        while MARKER not in self.wire.sock.recv(2048):
            pass
        self.assertIn("are not seen", self.check(1))

    def loaded(self, module, name):
        if run("modprobe", module).returncode:
            self.skipTest(f"this kernel has no {module}")
        self.stack.callback(run, "modprobe", "-r", module)
        self.apply()
        self.assertIn(f"{name} is loaded; what it sends passes no rule", self.check())

    def test_pktgen(self):
        self.loaded("pktgen", "pktgen")

    def test_netconsole(self):
        self.loaded("netconsole", "netconsole")


class Flowtable(FenceLab):
    """A connection that is forwarded past the rules of IP, in software."""

    def build(self):
        super().build()
        must("sysctl", "-qw", "net.ipv4.ip_forward=1")
        must(*self.pin.cmd("ip", "route", "replace", "10.0.2.0/24", "via", "10.0.1.1"))
        must(*self.pout.cmd("ip", "route", "replace", "10.0.1.0/24", "via", "10.0.2.1"))

    def exchange(self, inside, outside):
        inside.sendto(MARKER, ("10.0.2.2", 7000))
        try:
            outside.recv(99)
        except TimeoutError:
            return False
        outside.sendto(b"back", ("10.0.1.2", 7000))
        return True

    def forwarded(self):
        chain = json.loads(must("nft", "-j", "list", "table", "inet", "ft"))["nftables"]
        return [e["counter"]["packets"] for c in chain for e in c.get("rule", {}).get("expr", [])
                if "counter" in e][0]

    def test_flow(self):
        rules = ("add table inet ft; add flowtable inet ft f { hook ingress priority 0; devices = { "
                 "in0, out0 }; }; add chain inet ft c { type filter hook forward priority 0; }; "
                 "add rule inet ft c counter; add rule inet ft c meta l4proto udp flow add @f")
        if run("nft", rules).returncode:
            self.skipTest("this kernel has no flowtables")
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside, \
                self.pout.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
            inside.bind(("10.0.1.2", 7000))
            outside.bind(("10.0.2.2", 7000))
            inside.settimeout(5)
            outside.settimeout(5)
            for _ in range(3):
                self.assertTrue(self.exchange(inside, outside))
                inside.recv(99)
            before = self.forwarded()
            self.assertTrue(self.exchange(inside, outside))
            inside.recv(99)
            self.assertEqual(self.forwarded(), before, "the flow is not in the flowtable")
            self.assertEqual(self.leaked(), 4)
            # It began before the fence.
            self.apply()
            outside.settimeout(0.3)
            self.assertFalse(self.exchange(inside, outside))
            self.assertEqual(self.leaked(), 0)
            # One that begins with it never gets there.
            must("nft", "delete", "table", "inet", "ft")
            must("nft", rules)
            inside.connect(("10.0.2.2", 7001))
            inside.send(MARKER)
            self.assertEqual(self.leaked(), 0)
        self.assertIn("holds", self.check())


class Holding(FenceLab):
    def rewriters(self):
        """Chains of others that write in0's address into the host's traffic."""
        priorities = (FIRST, -400, -300, -150, -100, 0, 100, 300, LAST)
        for i, priority in enumerate(priorities):
            for family, hook in (("ip", "output"), ("ip", "postrouting")):
                yield (f"table {family} u{i}{hook[0]} {{ chain c {{ type filter hook {hook} priority "
                       f"{priority}; ip daddr 10.0.2.2 ip saddr set 10.0.1.1; }}; }}")
            yield (f'table netdev u{i} {{ chain c {{ type filter hook egress device "out0" priority '
                   f"{priority}; ip daddr 10.0.2.2 ip saddr set 10.0.1.1; }}; }}")

    def test_rules_of_others(self):
        """At each priority, put up before the fence and after it."""
        all_rules = [r.replace("; }; }", "\n}\n}").replace("; ip daddr", ";\nip daddr")
                     for r in self.rewriters()]
        refused = all_rules.pop()  # the last priority at egress, see test_failed_apply
        must("nft", "-f", "-", input="\n".join(all_rules))
        self.send("10.0.2.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 1)
        self.apply()
        self.send("10.0.2.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)
        must("nft", "flush", "ruleset")
        self.apply()
        for rules in [*all_rules, refused]:
            with self.subTest(rules):
                must("nft", "-f", "-", input=rules)
                self.send("10.0.2.1", "10.0.2.2")
                self.assertEqual(self.leaked(), 0)
                must("nft", "delete", "table", *rules.split()[1:3])

    def test_everything_else_passes(self):
        self.apply()
        self.send("10.0.2.1", "10.0.2.2")
        self.send("fd00:2::1", "fd00:2::2")
        self.send("10.0.2.1", "198.51.100.9")
        self.assertEqual(self.leaked(), 3)
        must("ping", "-c1", "-W5", "10.0.1.2")
        must("ping", "-c1", "-W5", "fd00:1::2")
        must("ping", "-c1", "-W5", "10.0.1.1")
        self.assertEqual(sum(c["packets"] for c in self.show()[0]["dropped"].values()), 0)

    def forms(self, source):
        """A packet with this source in frames of unusual forms."""
        plain = self.frame(source)
        mac, ip = plain[:12], plain[14:]
        outer = frames.ipv4("10.0.2.1", "10.0.2.2", 4, ip)
        label = bytes.fromhex("00064040")
        return [mac + f for f in (
            struct.pack("!H", 8 + len(ip)) + b"\xaa\xaa\x03\0\0\0\x08\0" + ip,
            struct.pack("!H", 3 + len(ip)) + b"\6\6\3" + ip,
            b"\x92\0\0\7\x08\0" + ip,
            b"\x88\x64\x11\0\0\7\0\x20\x21" + ip,
            b"\x88\x47" + 5 * label + bytes.fromhex("00064140") + ip,
            b"\x08\0" + outer,
            b"\x08\0" + frames.ipv4("10.0.2.1", "10.0.2.2", 47, b"\0\0\x08\0" + ip))]

    def test_unusual_forms(self):
        """Without a fenced address they pass."""
        self.apply()
        harmless = self.forms("10.0.2.1")
        for f in harmless:
            self.raw("out0", f)
        self.assertEqual(self.leaked(), len(harmless))
        fenced = self.forms("10.0.1.1")
        for f in fenced:
            self.raw("out0", f)
        self.assertEqual(self.leaked(), 0)
        dropped = self.show()[0]["dropped"]
        self.assertEqual(dropped["out-source"]["packets"], len(fenced))

    def test_too_deep(self):
        label = bytes.fromhex("00064040")
        plain = self.frame("10.0.2.1")
        for labels, passes in ((12, 1), (16, 0)):
            f = plain[:12] + b"\x88\x47" + labels * label + bytes.fromhex("00064140") + plain[14:]
            self.apply()
            self.raw("out0", f)
            self.assertEqual(self.leaked(), passes)
        self.assertEqual(self.show()[0]["dropped"]["out-nested"]["packets"], 1)

    def test_tunnel_as_the_device(self):
        """Its packets leave by another device, inside of others; all else of the fence holds."""
        p = run("ip", "link", "add", "gre7", "type", "gre", "local", "10.0.2.1", "remote",
                "10.0.2.2")
        if "Unknown device type" in p.stderr:
            self.skipTest("this kernel has no gre devices")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.addCleanup(run, "ip", "link", "del", "gre7")
        must("ip", "link", "set", "gre7", "up")
        must("ip", "addr", "add", "10.0.7.1/24", "dev", "gre7")
        self.apply("--prefix=10.0.7.0/24", device="gre7")
        self.send("10.0.7.1", "10.0.7.2")
        self.assertEqual(self.leaked(), 1)
        self.raw("out0", self.frame("10.0.7.1"))
        self.assertEqual(self.leaked(), 0)
        must(IFPIN, "fence", "remove")
        # The same packet, where the fence is another device's.
        self.apply("--prefix=10.0.7.0/24")
        self.send("10.0.7.1", "10.0.7.2")
        self.assertEqual(self.leaked(), 0)

    def test_ethertype(self):
        frame = b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + MARKER + b"\0" * 40
        tagged = frame[:12] + b"\x81\x00\x00\x07" + frame[12:]
        for f in (frame, tagged):
            self.raw("out0", f)
        self.assertEqual(self.leaked(), 2)
        self.apply("--ethertype=0x88b5")
        for f in (frame, tagged):
            self.raw("out0", f)
        # The sentinel of leaked() has this type itself.
        must(IFPIN, "fence", "show")
        dropped = self.show()[0]["dropped"]["out-ethertype"]["packets"]
        self.assertEqual(dropped, 2)
        must(IFPIN, "fence", "remove")
        self.assertEqual(self.leaked(), 0)

    def test_packet_sockets(self):
        """Every way by which a packet socket sends, whatever it says that its frame is."""
        tagged = self.frame()
        tagged = tagged[:12] + b"\x81\x00\x00\x07" + tagged[12:]
        ways = [(bypass, protocol, frame) for bypass in (0, 1)
                for protocol in (0, 3, 0x0800, 0x8100, 0x88b6) for frame in (self.frame(), tagged)]

        def send(bypass, protocol, frame):
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
                s.setsockopt(263, 20, bypass)
                with contextlib.suppress(OSError):
                    s.sendto(frame, ("out0", protocol))
            return self.leaked()
        for way in ways:
            self.assertEqual(send(*way), 1, way)
        self.apply()
        for way in ways:
            with self.subTest(way):
                self.assertEqual(send(*way), 0, way)
        self.assertIn("holds", self.check())

    def test_incoming(self):
        """Spoofed sources, and the host's fenced addresses, on a device that is not theirs."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("0.0.0.0", 7777))
            s.settimeout(5)
            peer = self.pout.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.addCleanup(peer.close)
            peer.bind(("eth0", 0x88b6))

            def send(source, to, payload):
                f = bytearray(self.frame(source, to).replace(MARKER, payload.ljust(len(MARKER))))
                f[:6] = bytes.fromhex("020000000201")
                struct.pack_into(">H", f, 36, 7777)
                head = f[14:34]
                total = sum(struct.unpack(">10H", head))
                total = (total & 0xffff) + (total >> 16)
                struct.pack_into(">H", f, 24, ~(total + (total >> 16)) & 0xffff)
                peer.send(f)
            for path in ("all", "out0"):
                with open(f"/proc/sys/net/ipv4/conf/{path}/rp_filter", "w") as f:
                    f.write("0")
            send("10.0.1.9", "10.0.2.1", b"spoofed")
            self.assertEqual(s.recv(99).strip(), b"spoofed")
            send("10.0.2.2", "10.0.1.1", b"weak")
            self.assertEqual(s.recv(99).strip(), b"weak")
            self.apply()
            send("10.0.1.9", "10.0.2.1", b"spoofed")
            send("10.0.2.2", "10.0.1.1", b"weak")
            send("10.0.2.2", "10.0.2.1", b"honest")
            self.assertEqual(s.recv(99).strip(), b"honest")
        dropped = self.show()[0]["dropped"]
        self.assertEqual((dropped["in-source"]["packets"], dropped["in-destination"]["packets"]),
                         (1, 1))

    def test_bridge_as_the_device(self):
        """Its ports carry its frames; others are covered."""
        for line in ("link add br0 type bridge", "link set in0 master br0", "addr flush dev in0",
                     "link set br0 up", "addr add 10.0.1.1/24 dev br0"):
            must("ip", *line.split())
        self.addCleanup(run, "ip", "link", "del", "br0")
        self.apply(device="br0")
        f = self.show()[0]
        self.assertEqual(f["carriers"], [socket.if_nametoindex("in0")])
        # Kernels with tunnels give each namespace devices of their own accord.
        given = {i for i, name in socket.if_nameindex() if name not in ("lo", "br0", "in0")}
        self.assertEqual(set(f["covered"]), given)
        self.assertIn(socket.if_nametoindex("out0"), given)
        must("ping", "-c1", "-W5", "10.0.1.2")
        self.send("10.0.1.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)
        must("ip", "link", "set", "out0", "master", "br0")
        self.assertIn("other interfaces carry", self.check(1))


class Devices(FenceLab):
    def test_made_anew(self):
        """With its name and index, a covered device gets its rules back, and not its program."""
        index = socket.if_nametoindex("out0")
        self.apply()
        must("ip", "link", "del", "out0")
        must("ip", "link", "add", "out0", "index", str(index), "type", "veth", "peer", "name", "eth0",
             "netns", f"/proc/{self.pout.pid}/ns/net")
        must(*self.pout.cmd("ip", "link", "set", "eth0", "up"))
        must("ip", "link", "set", "out0", "up")
        self.wire.close()
        self.wire = Wire(self.pout)
        must("ip", "route", "add", "198.51.100.0/24", "dev", "out0")
        must("ip", "neigh", "add", "198.51.100.1", "lladdr", "02:00:00:00:00:09", "dev", "out0")
        self.send("10.0.1.1", "198.51.100.1")
        self.assertEqual(self.leaked(), 0)
        must(IFPIN, "fence", "remove")
        self.send("10.0.1.1", "198.51.100.1")
        self.assertEqual(self.leaked(), 1)

    def test_gone(self):
        """Closed when DEVICE is gone, also for what takes its name, or its number."""
        index = socket.if_nametoindex("in0")
        self.apply()
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "lo")
        self.stack.callback(must, "ip", "addr", "del", "10.0.1.1/24", "dev", "lo")
        must("ip", "link", "del", "in0")
        self.assertIn("is gone; the fence stays closed", self.check(1))
        self.send("10.0.1.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)
        for name, number in (("in0", ()), ("other0", ("index", str(index)))):
            must("ip", "link", "add", name, *number, "address", "02:00:00:00:07:01", "type", "veth",
                 "peer", "name", "eth7", "netns", f"/proc/{self.pout.pid}/ns/net")
            must(*self.pout.cmd("ip", "link", "set", "eth7", "up"))
            must("ip", "link", "set", name, "up")
            wire = self.pout.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            wire.bind(("eth7", 3))
            wire.settimeout(10)
            self.send("10.0.1.1", "255.255.255.255", device=name)
            self.raw(name, b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb6" + b"end" + b"\0" * 50)
            while True:
                data = wire.recv(2048)
                self.assertNotIn(MARKER, data, name)
                if b"end" in data:
                    break
            wire.close()
            self.assertIn("another interface has its name or index", self.check(1))
            must("ip", "link", "del", name)

    def follow(self, *options):
        p = self.popen([IFPIN, "fence", "apply", "in0", *(options or FENCED), "--follow"],
                       stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "applied; following\n")
        return p

    def until_held(self, timeout=10):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            p = run(IFPIN, "fence", "check")
            if p.returncode == 0:
                return p.stdout
            select.select([], [], [], 0.01)
        self.fail(p.stdout + p.stderr)

    def new_device(self, name):
        must("ip", "link", "add", name, "type", "veth", "peer", "name", name + "p", "netns",
             f"/proc/{self.pout.pid}/ns/net")
        must(*self.pout.cmd("ip", "link", "set", name + "p", "up"))
        wire = self.pout.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((name + "p", 3))
        wire.settimeout(10)
        must("ip", "link", "set", name, "up")
        return wire

    def heard(self, wire, name):
        self.raw(name, b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb6" + b"end" + b"\0" * 50)
        n = 0
        while True:
            data = wire.recv(2048)
            n += MARKER in data
            if b"end" in data:
                return n

    def test_new_devices(self):
        """IP from the first packet on, frames of packet sockets once it is heard of."""
        self.apply()
        wire = self.new_device("new0")
        self.send("10.0.1.1", "255.255.255.255", device="new0")
        self.assertEqual(self.heard(wire, "new0"), 0)
        self.raw("new0", self.frame())
        self.assertEqual(self.heard(wire, "new0"), 1)
        wire.close()
        must("ip", "link", "del", "new0")
        self.follow()
        wire = self.new_device("new1")
        self.until_held()
        self.raw("new1", self.frame())
        self.send("10.0.1.1", "255.255.255.255", device="new1")
        self.assertEqual(self.heard(wire, "new1"), 0)
        wire.close()
        must("ip", "link", "set", "new1", "down")
        must("ip", "link", "set", "new1", "name", "renamed1")
        self.until_held()
        must("ip", "link", "del", "renamed1")
        self.until_held()

    def test_gap(self):
        """How long frames of a packet socket leave by a device that is new; bounded, not promised."""
        self.follow()
        gaps = []
        for i in range(5):
            wire = self.new_device(f"gap{i}")
            began = time.monotonic()
            while True:
                self.raw(f"gap{i}", self.frame())
                if not self.heard(wire, f"gap{i}"):
                    break
            gaps.append(time.monotonic() - began)
            wire.close()
            must("ip", "link", "del", f"gap{i}")
        print("gap of a new device, ms:", " ".join(f"{1e3 * g:.1f}" for g in gaps))
        self.assertLess(max(gaps), 5)

    def make_in0(self):
        """As it was made first, under whatever index."""
        must("ip", "link", "add", "in0", "address", "02:00:00:00:01:01", "type", "veth", "peer",
             "name", "eth0", "netns", f"/proc/{self.pin.pid}/ns/net")
        must("ip", "link", "set", "in0", "up")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "in0")
        for line in ("link set eth0 up", "addr add 10.0.1.2/24 dev eth0"):
            must(*self.pin.cmd("ip", *line.split()))

    def group(self, name="in0"):
        return json.loads(must("ip", "-j", "link", "show", name))[0]["group"]

    def impostor(self, *options):
        """Another device with in0's name and index; its other end hears what leaves by it."""
        index = str(socket.if_nametoindex("in0"))
        must("ip", "link", "del", "in0")
        must("ip", "link", "add", "in0", "index", index, "address", "02:00:00:00:07:01", *options,
             "type", "veth", "peer", "name", "eth7", "netns", f"/proc/{self.pout.pid}/ns/net")
        must(*self.pout.cmd("ip", "link", "set", "eth7", "up"))
        wire = self.pout.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.addCleanup(wire.close)
        wire.bind(("eth7", 3))
        wire.settimeout(10)
        must("ip", "link", "set", "in0", "up")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "in0")
        must("ip", "neigh", "add", "10.0.1.2", "lladdr", "02:00:00:00:00:09", "dev", "in0")
        return wire

    def test_impostor(self):
        """One with DEVICE's name and index lacks its group: IP is closed, and check says so."""
        self.apply()
        wire = self.impostor()
        self.send("10.0.1.1", "10.0.1.2")
        self.assertEqual(self.heard(wire, "in0"), 0)
        self.assertRegex(self.check(1), "has its name and index; that is shut out but for frames")
        self.raw("in0", self.frame())
        self.assertEqual(self.heard(wire, "in0"), 1)
        must(IFPIN, "fence", "remove")
        self.send("10.0.1.1", "10.0.1.2")
        self.assertEqual(self.heard(wire, "in0"), 1)

    def test_impostor_of_another_fence(self):
        """It was fenced elsewhere, and has brought its group along."""
        self.apply()
        wire = self.impostor("group", str(0x69 << 24 | 1))
        self.send("10.0.1.1", "10.0.1.2")
        self.assertEqual(self.heard(wire, "in0"), 0)
        self.assertRegex(self.check(1), "has its name and index; that is shut out but for frames")

    def test_impostor_with_a_common_group(self):
        """The group was somebody else's choice, and the other device has it, too."""
        must("ip", "link", "set", "in0", "group", "7")
        self.apply()
        self.assertEqual(self.group(), "7")
        wire = self.impostor("group", "7")
        self.send("10.0.1.1", "10.0.1.2")
        self.assertEqual(self.heard(wire, "in0"), 1)
        self.assertIn("taken for it and NOT shut out", self.check(1))
        must(IFPIN, "fence", "remove")
        self.assertEqual(self.group(), "7")

    def test_impostor_followed(self):
        """It is covered as any other, and DEVICE is let in again when that comes back."""
        must("ip", "link", "set", "in0", "group", "7")
        self.follow()
        gaps = []
        for i in range(6):
            wire = self.impostor(*(("group", "7"), ())[i % 2])
            began = time.monotonic()
            while True:
                self.raw("in0", self.frame())
                if not self.heard(wire, "in0"):
                    break
            gaps.append(time.monotonic() - began)
            self.send("10.0.1.1", "10.0.1.2")
            self.assertEqual(self.heard(wire, "in0"), 0)
        print("gap of an impostor, ms:", " ".join(f"{1e3 * g:.1f}" for g in gaps))
        self.assertIn("another interface has its name or index; that is shut out", self.check(1))
        self.assertEqual(self.show()[0]["covered"],
                         sorted(socket.if_nametoindex(n) for n in ("in0", "out0")))
        must("ip", "link", "del", "in0")
        self.make_in0()
        self.until_held()
        must("ping", "-c1", "-W5", "10.0.1.2")

    def test_group(self):
        """Given, kept through a new address, taken back; a lost one closes, and is given again."""
        self.assertEqual(self.group(), "default")
        must(IFPIN, "fence", "apply", "in0", *FENCED, "--dry-run")
        self.assertEqual(self.group(), "default")
        must("nft", f"add table netdev u; add chain netdev u e {{ type filter hook egress device "
                    f'"out0" priority {LAST}; }}')
        self.apply(ok=False)
        self.assertEqual(self.group(), "default")
        must("nft", "delete table netdev u")
        self.apply()
        given = self.group()
        self.assertEqual(int(given) >> 24, 0x69)
        self.apply("--prefix=192.0.2.0/24", "--name=two")
        self.assertEqual(self.group(), given)
        must("ip", "link", "set", "in0", "address", "02:00:00:00:01:07")
        self.assertIn("holds", self.check())
        must("ip", "link", "set", "in0", "address", "02:00:00:00:01:01")
        must(IFPIN, "fence", "remove", "--name=two")
        self.assertEqual(self.group(), given)
        must("ping", "-c1", "-W5", "10.0.1.2")
        must("ip", "link", "set", "in0", "group", "9")
        self.assertIn("has not the group any more", self.check(1))
        self.assertEqual(run("ping", "-c1", "-W1", "10.0.1.2").returncode, 1)
        self.follow()
        self.until_held()
        must("ping", "-c1", "-W5", "10.0.1.2")
        must("ip", "link", "set", "in0", "group", "0")
        self.until_held()
        self.apply("--prefix=10.0.1.0/24", "--name=in0", device="out0")
        self.assertEqual(self.group(), "default")
        self.assertEqual(int(self.group("out0")) >> 24, 0x69)
        self.assertNotEqual(self.group("out0"), given)
        must(IFPIN, "fence", "remove")
        self.assertEqual(self.group("out0"), "default")

    def bypass(self, index):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
            s.setsockopt(263, 20, 1)
            with contextlib.suppress(OSError):  # ENOBUFS: dropped
                s.sendto(self.frame(), (socket.if_indextoname(index), 0x0800))
        return self.wire.frames(socket.if_indextoname(index))

    def test_gap_of_a_name(self):
        """How long frames past the queueing discipline leave by a covered device that is renamed."""
        index = socket.if_nametoindex("out0")
        self.follow()
        self.assertEqual(self.bypass(index), 0)
        gaps = []
        for name in ("one0", "two0", "three0", "four0", "out0"):
            must("ip", "link", "set", "dev", socket.if_indextoname(index), "name", name)
            began = time.monotonic()
            while self.bypass(index):
                self.assertLess(time.monotonic() - began, 10)
            gaps.append(time.monotonic() - began)
        print("gap of a name, ms:", " ".join(f"{1e3 * g:.1f}" for g in gaps))
        self.until_held()

    def test_back(self):
        """DEVICE itself comes back, with another index: the fence follows it, and no other."""
        p = self.follow()
        must("ip", "link", "del", "in0")
        must("ip", "link", "add", "pad0", "type", "ifb")
        self.make_in0()
        self.until_held()
        self.assertEqual(self.show()[0]["ifindex"], socket.if_nametoindex("in0"))
        must("ping", "-c1", "-W5", "10.0.1.2")
        self.send("10.0.1.1", "10.0.2.2")
        self.assertEqual(self.leaked(), 0)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(10), 0)
        self.assertIn("holds", self.check())
        must("ip", "link", "del", "pad0")

    def test_storm(self):
        """Devices that come and go while the fence is applied: it is, or says that they go too fast."""
        too_fast = (125, "ifpin: interfaces come and go too fast: try again\n")
        self.apply()
        storm = self.popen(["sh", "-c", "while :; do ip link add s0 type ifb; ip link del s0; done"],
                           stderr=subprocess.DEVNULL)
        for _ in range(10):
            p = self.apply(ok=False)
            self.assertIn((p.returncode, p.stderr), ((0, ""), too_fast))
            self.assertEqual(len(self.show()), 1)  # the one of before, or the new one
        storm.kill()
        storm.wait()
        run("ip", "link", "del", "s0")
        self.apply()
        self.assertIn("holds", self.check())


class Proof(FenceLab):
    def test_all(self):
        path = os.path.join(self.tempdir(), "r.json")
        p = run(IFPIN, "prove", "--only=host", f"--json={path}")
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        attempts = proof(path)["attempts"]
        self.assertGreaterEqual(len(attempts), 80)
        there = [a for a in attempts if a["results"]["none"]["outcome"] != "unavailable"]
        # What a kernel may be built without: routes that wrap up packets.
        self.assertLessEqual({a["name"] for a in attempts if a not in there},
                             {"host-route-seg6", "host-route-mpls"})
        for a in there:
            self.assertGreater(a["results"]["none"]["frames"], 0, a)
            self.assertEqual(a["results"]["fence"]["outcome"], "held", a)
            self.assertEqual(a["results"]["ifpin run"]["outcome"], "n/a", a)
