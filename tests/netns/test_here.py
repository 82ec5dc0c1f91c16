# SPDX-License-Identifier: MIT
"""The battery on a host as it is. The host is this namespace; its firewalls, routes and tunnels are
broken on purpose, and other programs talk all the while."""
import ctypes
import errno
import ipaddress
import os
import platform
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import frames
from lab import (CGROUPS, HAS_LSM, IFPIN, MARKER, PACE, Lab, Peer, Wire, libc, must, proof, run,
                 until_up)

DOCUMENTATION = [ipaddress.ip_network(n) for n in (
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "233.252.0.0/24", "2001:db8::/32",
    "ff02::db8:0:0/96", "ff05::db8:0:0/96")]
REPORTS = [ipaddress.ip_address(a) for a in ("224.0.0.22", "224.0.0.2", "ff02::16", "ff02::2")]
NOT_HELD = {"passed-socket", "cgroup-of-other"}  # the second before Linux 6.12
NEIGHBOURS = 133, 134, 135, 136

# Datagrams, groups and connections of somebody else's, on the device that it is told, for ever.
CHATTER = """
import itertools, socket, struct, sys, time
device, unicast, pace = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 25, device.encode())
for i in itertools.count():
    s.sendto(b"ifpin-test-marker", (unicast, 2000 + i % 60000))
    s.sendto(b"ifpin-test-marker", ("239.1.2.3", 9))
    if i % 20 == 0:
        j = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        j.setsockopt(0, 35, struct.pack("=4s4si", bytes([239, 2, i >> 8 & 255, i & 255]), b"", socket.if_nametoindex(device)))
        c = socket.socket()
        c.setblocking(False)
        c.setsockopt(socket.SOL_SOCKET, 25, device.encode())
        c.connect_ex((unicast, 20000 + i % 40000))
    if i == 20:
        print("going", flush=True)
    time.sleep(0.001 * int(pace))
"""

# A tunnel of a program: what is routed to it leaves in datagrams, as it is.
TUNNEL = """
import fcntl, os, socket, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"tun0", 0x1001))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("up", flush=True)
while True:
    s.sendto(os.read(tun, 4096), ("10.0.2.2", 9))
"""


def must_bytes(*argv):
    subprocess.run(argv, check=True, capture_output=True, timeout=60 * PACE)


def harmless(data):
    """Whether a frame may be one of the battery's, or of the kernel for it."""
    kind = data[12:14]
    if kind == b"\x08\x06" or kind == b"\x88\xb5":
        return True
    if kind == b"\x08\x00":
        dst, hops = ipaddress.ip_address(data[30:34]), data[22]
    elif kind == b"\x86\xdd":
        if data[20] == 58 and data[54] in NEIGHBOURS:
            return True
        dst, hops = ipaddress.ip_address(data[38:54]), data[21]
    else:
        return False
    return hops == 1 and (dst in REPORTS or any(dst in n for n in DOCUMENTATION
                                                if n.version == dst.version))


class HereLab(Lab):
    def setUp(self):
        super().setUp()
        self.wires = {"out0": self.wire, "in0": Wire(self.pin)}
        self.stack.callback(self.wires["in0"].close)
        for wire in self.wires.values():
            wire.sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE

    def chatter(self, device="out0", unicast="10.0.2.2"):
        p = self.popen([sys.executable, "-c", CHATTER, device, unicast, str(PACE)],
                       stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"going\n")

    def here(self, *argv, device="in0", status=0, **kw):
        """The report, and what was printed."""
        path = self.tempdir() + "/r.json"
        kw.setdefault("timeout", 100 * PACE)
        p = run(IFPIN, "prove", f"--here={device}", "--yes", f"--json={path}", *argv, **kw)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        report = proof(path)
        self.assertEqual(report["here"]["device"], device)
        return report, p.stdout

    def leaks(self, *argv, **kw):
        """Attempts that leaked, by device; without those that nothing holds on this kernel."""
        report, _ = self.here(*argv, **kw)
        not_held = {a["name"] for a in report["attempts"]
                    if any(r["outcome"] == "not held" for r in a["results"].values())}
        self.assertLessEqual(not_held, NOT_HELD)
        found = {}
        for leak in report["here"]["leaks"]:
            if leak["attempt"] not in not_held:
                found.setdefault(leak["device"], set()).add(leak["attempt"])
        return found

    def refused(self, *argv, word=""):
        p = run(IFPIN, "prove", *argv, timeout=60 * PACE, stdin=subprocess.DEVNULL)
        self.assertEqual(p.returncode, 125, p.stdout + p.stderr)
        self.assertIn(word, p.stderr)
        return p

    def sent(self, device="out0"):
        """Frames that reached a peer and are not those of the chatter."""
        found = []

        def keep(data):
            if MARKER not in data:
                found.append(data)
        self.wires[device].frames(device, keep)
        # PACKET_STATISTICS: how many came, and how many there was no room for.
        statistics = self.wires[device].sock.getsockopt(263, 6, 8)
        self.assertEqual(struct.unpack("II", statistics)[1], 0)
        return found

    def of_chatter(self, data):
        """Its groups and its connections have no payload."""
        if data[12:14] != b"\x08\x00":
            return False
        return (data[23] == 6 and data[30:34] in (socket.inet_aton("10.0.2.2"), ) or
                data[23] == 2 and b"\xef\x02" in data[34:])

    def assert_harmless(self):
        for device in self.wires:
            for data in self.sent(device):
                self.assertTrue(harmless(data) or self.of_chatter(data), (device, data.hex()))


class Here(HereLab):
    def test_nothing_leaks(self):
        """The host has the default route by the other device; others use that all the while."""
        self.chatter()
        report, text = self.here()
        outcomes = {a["name"]: a["results"]["ifpin run"]["outcome"] for a in report["attempts"]}
        tried = {n for n, o in outcomes.items() if o != "not tried"}
        self.assertGreaterEqual(len(tried), 85)
        loose = {n for n in tried if outcomes[n] != "held"}
        self.assertEqual(loose & {n for n in outcomes if outcomes[n] == "not held"}, loose)
        self.assertLessEqual(loose, NOT_HELD)
        # Only BPF LSM holds this one.
        self.assertEqual({"attempt": "passed-socket", "device": "out0", "frames": 1} in
                         report["here"]["leaks"], not HAS_LSM)
        # What is not tried is said, with a reason for each.
        self.assertEqual(set(report["here"]["not_tried"]), set(outcomes) - tried)
        self.assertTrue(all(report["here"]["not_tried"].values()))
        self.assertIn("Not tried here", text)
        self.assertIsNone(report["here"]["pin"])
        self.assertEqual(report["here"]["watched"], ["out0"])
        self.assertGreater(report["here"]["own_frames"], 5)
        self.assert_harmless()

    def test_control(self):
        """The same attempts, loose: nearly all of them leak, are seen, and stop at the next router."""
        self.chatter()
        report, _ = self.here("--control")
        none = {a["name"]: a["results"]["none"] for a in report["attempts"]}
        quiet = {n for n, r in none.items() if r["outcome"] == "held"}
        # No documentation address is on a link.
        self.assertLessEqual(quiet, {"dontroute", "udplite4", "udplite6", "pktinfo4-udplite"})
        self.assertGreaterEqual(sum(r["outcome"] == "leaked" for r in none.values()), 80)
        self.assertLessEqual({a["name"] for a in report["attempts"]
                              if a["results"]["ifpin run"]["frames"]}, NOT_HELD)
        self.assert_harmless()

    def test_loopback(self):
        p = run(IFPIN, "prove", "--here=lo", "--yes")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("lo leads nowhere", p.stderr)

    def test_joins_where_routers_are_old(self):
        """With IGMPv2 who leaves a group at once takes the report away: that would be no attempt."""
        for igmp, mld in ("2", "0"), ("1", "1"):
            for path, version in ("ipv4/conf/all/force_igmp_version", igmp), \
                    ("ipv6/conf/all/force_mld_version", mld):
                with open("/proc/sys/net/" + path, "w") as f:
                    f.write(version)
            with self.subTest(igmp=igmp, mld=mld):
                report, _ = self.here("--control", "--only=join")
                self.assertEqual({a["results"]["none"]["outcome"] for a in report["attempts"]},
                                 {"leaked"})
                self.assertEqual({a["results"]["ifpin run"]["outcome"] for a in report["attempts"]},
                                 {"held"})
                self.assert_harmless()

    def test_counts_are_those_of_the_wire(self):
        """Each datagram that was counted as a leak has reached the other side, and no other."""
        report, _ = self.here("--against=env", "--only=udp4-sendmmsg", status=1)
        self.assertEqual(report["here"]["leaks"],
                         [{"attempt": "udp4-sendmmsg", "device": "out0", "frames": 2}])
        found = [d for d in self.sent() if d[12:14] == b"\x08\x00" and d[23] == 17]
        self.assertEqual(len(found), 2)
        self.assertTrue(all(harmless(d) for d in found))

    def test_words_of_the_command(self):
        """What stands for the device and its namespace is replaced."""
        index = socket.if_nametoindex("in0")
        words = "sh -c 'test {device}.{ifindex} = in0.%d && exec \"$@\"' sh" % index
        report, _ = self.here("--only=udp4-sendto", f"--against=x={words}", status=1)
        self.assertIn(f"test in0.{index} = ", report["here"]["against"])

    def test_every_other_device(self):
        """Each one is named, and what leaks is found where it does."""
        more = Peer()
        self.stack.callback(more.close)
        for i in range(12):
            must("ip", "link", "add", f"more{i}", "type", "veth", "peer", "name", f"eth{i}",
                 "netns", f"/proc/{more.pid}/ns/net")
            self.stack.callback(run, "ip", "link", "del", f"more{i}")
            must("ip", "link", "set", f"more{i}", "up")
            must(*more.cmd("ip", "link", "set", f"eth{i}", "up"))
        must("ip", "link", "set", "more0", "down")
        self.chatter()
        self.assertEqual(self.leaks("--only=pktinfo"), {})
        found = self.leaks("--only=pktinfo", "--against=env", status=1)
        self.assertEqual(set(found), {"out0"} | {f"more{i}" for i in range(1, 12)})
        self.assertTrue(all("pktinfo4" in names for names in found.values()))
        _, text = self.here("--only=udp4-sendto")
        self.assertIn("Switched off: more0", text)

    def test_asks_first(self):
        p = self.refused("--here=in0", word="no terminal")
        self.assertIn("198.51.100.0/24", p.stdout)
        self.assertIn("out0", p.stdout)
        self.assertFalse([d for d in self.sent() + self.sent("in0") if d[12:14] == b"\x08\x00"])
        for answer, status in (("n", 125), ("", 125), ("y", 0)):
            ours, theirs = pty.openpty()
            p = self.popen([IFPIN, "prove", "--here=in0", "--only=udp4-connected"], stdin=theirs,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            os.write(ours, answer.encode() + b"\n")
            text, _ = p.communicate(timeout=60 * PACE)
            os.close(ours)
            os.close(theirs)
            self.assertEqual(p.returncode, status, text)
            self.assertIn("Send this?", text)
            frames_sent = [d for d in self.sent("in0") if d[12:14] in (b"\x08\x00", b"\x08\x06")]
            self.assertEqual(bool(frames_sent), not status, text)

    def test_refusals(self):
        self.refused("--yes", word="--yes needs --here")
        self.refused("--name=x", word="--name needs --here")
        self.refused("--here=nosuch", "--yes", word="nosuch")
        self.refused("--here=in0", "--yes", "--name=x", "--against=env", word="not both")
        self.refused("--here=in0", "--yes", "--against=a=env", "--against=b=env", word="at a time")
        self.refused("--here=in0", "--yes", "--against=ip vrf exec {vrf}", word="name the VRF")
        self.refused("--here=in0", "--yes", "--name=nosuch", word='no pin "nosuch"')
        self.refused("--here=in0", "--yes", "--only=xdp", word="none of these")
        self.refused("--here=in0", "--yes", "--only=mark", word="no rule of this host")
        self.refused("--here=in0", "--yes", "--against=false", word="did not start")
        self.refused("--here=in0", "--yes", "--against=</dev/null env", word="had ended")
        self.refused("--here=in0", "--yes", "--with=--user=nosuch", word="does not start")
        must("ip", "link", "set", "in0", "down")
        self.refused("--here=in0", "--yes", word="switched off")
        must("ip", "link", "set", "in0", "up")
        must("ip", "addr", "add", "192.0.2.1/24", "dev", "out0")
        self.refused("--here=in0", "--yes", word="192.0.2.1")
        self.assertFalse([d for d in self.sent() if d[12:14] == b"\x08\x00"])

    def settled(self):
        """The state, once the kernel has noticed that the devices are switched on at both ends."""
        for _ in range(100 * PACE):
            if "NO-CARRIER" not in run("ip", "link").stdout and \
                    run("ip", "-6", "-o", "addr", "show", "scope", "link").stdout.count("fe80") == 2:
                return self.state()
            select.select([], [], [], 0.05)
        raise RuntimeError("a device has no carrier")

    def state(self):
        return run("sh", "-c", "ip -o link; ip addr; ip route show table all; ip -6 route show table "
                   "all; ip rule; nft list ruleset; cat /proc/mounts; tc qdisc; "
                   f"find /sys/fs/cgroup -name 'ifpin.{self.name()}'").stdout

    @staticmethod
    def name():
        """Of the confinement: there are others on this machine."""
        return f"here-{os.getpid()}"

    def test_nothing_is_changed(self):
        before = self.settled()
        self.here("--control", f"--with=--name={self.name()}")
        self.assertEqual(self.state(), before)

    def test_killed(self):
        """However it ends: no process, no cgroup."""
        before = self.settled()
        self.chatter()
        for after in (0.02, 0.1, 0.3, 0.6):
            p = self.popen([IFPIN, "prove", "--here=in0", "--yes", "--control",
                            f"--with=--name={self.name()}"],
                           stdout=subprocess.DEVNULL, start_new_session=True)
            select.select([], [], [], after)
            p.send_signal(signal.SIGKILL)
            p.wait()
            # Its children end by themselves; the session is empty when they have.
            for _ in range(int(200 * PACE)):
                if not run("pgrep", "-s", str(p.pid)).stdout:
                    break
                select.select([], [], [], 0.05)
            else:
                self.fail(run("pgrep", "-as", str(p.pid)).stdout)
        self.assertEqual(self.state(), before)

    def test_too_many_frames(self):
        """What nobody could look at proves nothing."""
        # The command stops who listens, until there is no room any more.
        stop = "sh -c 'kill -STOP $PPID; exec \"$@\"' sh"
        p = self.popen([IFPIN, "prove", "--here=in0", "--yes", "--only=udp4-sendto",
                        f"--against={stop}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.waitpid(p.pid, os.WUNTRACED)
        self.refused("--here=in0", "--yes", word="another proof")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(60000):
                s.sendto(MARKER, ("10.0.2.2", 9))
        p.send_signal(signal.SIGCONT)
        _, error = p.communicate(timeout=60 * PACE)
        self.assertEqual(p.returncode, 125)
        self.assertIn("too fast to be looked at", error)

    def test_kernel_without_such_sockets(self):
        """An attempt for which no socket can be opened was not made. A filter plays that kernel."""
        # socket(AF_INET6, ...) is EAFNOSUPPORT, socket(..., IPPROTO_UDPLITE) EPROTONOSUPPORT.
        call = 41 if platform.machine() == "x86_64" else 198
        code = b"".join(struct.pack("=HBBI", *i) for i in (
            (0x20, 0, 0, 0), (0x15, 0, 6, call), (0x20, 0, 0, 16), (0x15, 0, 1, socket.AF_INET6),
            (6, 0, 0, 0x50000 | errno.EAFNOSUPPORT), (0x20, 0, 0, 32), (0x15, 0, 1, 136),
            (6, 0, 0, 0x50000 | errno.EPROTONOSUPPORT), (6, 0, 0, 0x7fff0000)))

        def filtered():
            text = ctypes.create_string_buffer(code)
            program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(text))
            if libc.prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
                raise OSError(ctypes.get_errno(), "seccomp")
        report, text = self.here("--only=route", preexec_fn=filtered)
        reasons = report["here"]["not_tried"]
        for name in "udp6-sendto", "tcp6", "udp-mapped", "udplite4":
            self.assertEqual(reasons[name], "the kernel has no such sockets")
        self.assertFalse({"udp4-sendto", "raw4", "tcp4"} & set(reasons))
        self.assertIn("the kernel has no such sockets: ", text)

    def test_helper_without_privileges(self):
        """It plays any user's process, which others of that user may trace: it has nothing of ours."""
        stop = "sh -c 'kill -STOP $PPID; exec \"$@\"' sh"
        p = self.popen([IFPIN, "prove", "--here=in0", "--yes", "--only=udp4-sendto",
                        f"--against={stop}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=os.environ | {"SECRET": "of root"})
        os.waitpid(p.pid, os.WUNTRACED)
        poor = [int(pid) for pid in run("pgrep", "-P", p.pid, "-u", 65534).stdout.split()]
        self.assertEqual(len(poor), 1)
        at = f"/proc/{poor[0]}"
        self.assertEqual({os.readlink(f"{at}/fd/{n}") for n in os.listdir(f"{at}/fd")}, {"/dev/null"})
        with open(f"{at}/environ") as f:
            self.assertEqual(f.read(), "")
        self.assertEqual(os.getsid(poor[0]), poor[0])
        # Still as an ordinary process is: the attempt has to be able to look for it.
        must("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", f"{at}/root/proc/self")
        p.send_signal(signal.SIGKILL)
        p.send_signal(signal.SIGCONT)
        p.wait()
        for _ in range(int(200 * PACE)):
            if not os.path.exists(at):
                return
            select.select([], [], [], 0.05)
        self.fail("it is still there")

    def test_command_that_stays(self):
        """It is ended."""
        stay = "sh -c '\"$@\"; exec sleep 1000' sh"
        began = time.monotonic()
        report, _ = self.here("--only=udp4-sendto", f"--against={stay}", status=1)
        self.assertEqual(len(report["here"]["leaks"]), 1)
        self.assertLess(time.monotonic() - began, 60 * PACE)

    def test_silent_gateway(self):
        """What leaks to a gateway that is not there leaves no frame; it is said that this is so."""
        must("ip", "route", "replace", "default", "via", "10.0.2.77")
        self.stack.callback(run, "ip", "route", "replace", "default", "via", "10.0.2.2")
        report, text = self.here("--against=env", "--only=udp4-sendto")
        self.assertEqual(report["here"]["unsure"], ["out0"])
        self.assertIn("Not seen: what leaks by out0", text)
        report, text = self.here("--only=udp4-sendto")
        self.assertIn("unsure", report["here"])


    def test_devices_that_send_nothing(self):
        """What a device drops before anybody who listens is no proof that nothing leaked by it."""
        self.assertEqual(self.here("--only=udp4-connected")[0]["here"]["unsure"], [])
        must(*self.pout.cmd("ip", "link", "set", "eth0", "down"))
        for _ in range(100 * PACE):  # the kernel makes it known by a work item
            if "NO-CARRIER" in run("ip", "link", "show", "out0").stdout:
                break
            select.select([], [], [], 0.05)
        report, text = self.here("--against=env", "--only=pktinfo")
        self.assertEqual(report["here"]["unsure"], ["out0"])
        self.assertIn("Not seen: what leaks by out0, which has no carrier.", text)
        must(*self.pout.cmd("ip", "link", "set", "eth0", "up"))
        until_up("out0", self.pout)
        for line, why in (("link set out0 down", "was switched off meanwhile"),
                          ("link del out0", "is gone by now")):
            with self.subTest(line=line):
                first = f"sh -c 'ip {line}; exec \"$@\"' sh"
                report, text = self.here(f"--against={first}", "--only=pktinfo")
                self.assertEqual(report["here"]["unsure"], ["out0"])
                self.assertIn(f"Not seen: what leaks by out0, which {why}.", text)
                run("ip", "link", "set", "out0", "up")

    def test_odd_names(self):
        """Devices and files may be called anything but what is JSON, or good for a terminal."""
        name = b"a\xff<b>\x1b[31m"
        must_bytes(b"ip", b"link", b"add", name, b"type", b"veth", b"peer", b"name", b"odd1")
        self.stack.callback(run, "ip", "link", "del", "odd1")
        for device in name, b"odd1":
            must_bytes(b"ip", b"link", b"set", device, b"up")
        old = os.fsencode(self.tempdir()) + b"/\xfe.json"
        for more in [], [b"--compare=" + old]:
            path = self.tempdir() + "/r.json"
            p = subprocess.run([IFPIN, "prove", "--here=in0", "--yes", "--only=pktinfo4",
                                f"--json={path}", b"--against=env X=\xff", *more],
                               capture_output=True, timeout=60 * PACE)
            self.assertEqual(p.returncode, 1, p.stderr)
            self.assertNotIn(b"\x1b", p.stdout)
            self.assertIn("a?<b>\x1b[31m", proof(path)["here"]["watched"])
            os.rename(path, old)

    def test_nobody_reads(self):
        """A report that could not be written is none."""
        with open("/dev/full", "w") as full:
            p = subprocess.run([IFPIN, "prove", "--here=in0", "--yes", "--only=udp4-sendto"],
                               stdout=full, stderr=subprocess.PIPE, text=True, timeout=60 * PACE)
        self.assertEqual(p.returncode, 125)
        self.assertIn("cannot write the report", p.stderr)

    def test_device_is_gone(self):
        """What could not leave by it shows nothing."""
        for line in "link set in0 down", "link del in0":
            self.refused("--here=in0", "--yes", "--only=pktinfo",
                         f"--against=sh -c 'ip {line}; exec \"$@\"' sh", word="nothing is proved")
            run("ip", "link", "set", "in0", "up")


class Pins(HereLab):
    def setUp(self):
        super().setUp()
        self.bpffs()

    def attach(self, device, name):
        cgroup = self.cgroup()
        self.service(cgroup, ["sleep", "1000"])
        must(IFPIN, "attach", f"--cgroup={cgroup[len(CGROUPS):]}", f"--name={name}",
             "--dns=system", device)
        return cgroup

    def test_existing(self):
        """All is held that the cgroup programs hold; the rest is said to need more."""
        cgroup = self.attach("in0", "svc")
        self.chatter()
        with open(cgroup + "/cgroup.procs") as f:
            before = f.read()
        report, text = self.here("--name=svc")
        outcomes = {a["name"]: a["results"]["pin"]["outcome"] for a in report["attempts"]}
        self.assertNotIn("leaked", outcomes.values())
        self.assertNotIn("broken", outcomes.values())
        not_held = {n for n, o in outcomes.items() if o == "not held"}
        self.assertLessEqual({"packet-raw", "cgroup-procs"}, not_held)
        self.assertFalse(not_held & {"udp4-sendto", "pktinfo4", "join4-index", "rebind-name"})
        self.assertIn("takes no privileges", text)
        self.assertEqual(report["here"]["pin"], "svc")
        with open(cgroup + "/cgroup.procs") as f:
            self.assertEqual(f.read(), before)
        self.assert_harmless()

    def test_too_wide(self):
        """A pin to another device than the one that is meant."""
        self.attach("out0", "wide")
        report, _ = self.here("--name=wide", status=1)
        found = {leak["attempt"] for leak in report["here"]["leaks"] if leak["device"] == "out0"}
        self.assertLessEqual({"udp4-sendto", "tcp6", "join4-index", "pktinfo4"}, found)


class Broken(HereLab):
    """Hosts on which frames go astray."""

    def nft(self, text):
        run("nft", "delete table inet broken")
        run("nft", "delete table netdev broken")
        run("nft", "delete table ip broken")
        must("nft", text)
        self.stack.callback(run, "nft", "flush ruleset")

    def test_rules_that_copy(self):
        self.chatter()
        self.nft("table netdev broken { chain c { type filter hook egress device \"in0\" priority 0\n"
                 "dup to \"out0\"\n}\n}")
        found = self.leaks(status=1)
        self.assertEqual(set(found), {"out0"})
        self.assertGreaterEqual(len(found["out0"]), 10)
        must("nft", "flush ruleset")
        must("tc", "qdisc", "add", "dev", "in0", "clsact")
        must("tc", "filter", "add", "dev", "in0", "egress", "protocol", "all", "u32", "match", "u32",
             "0", "0", "action", "mirred", "egress", "mirror", "dev", "out0")
        self.assertEqual(set(self.leaks(status=1)), {"out0"})

    def test_rules_that_rewrite(self):
        """By what is in a payload it is known again, whatever addresses it has got; confined, it stays."""
        self.chatter()
        for rules in ("table ip broken { chain c { type nat hook output priority -100; "
                      "ip daddr 198.51.100.0/24 dnat to 10.0.2.2\n}\n}",
                      "table ip broken { chain c { type nat hook postrouting priority 100; "
                      "oifname \"out0\" snat to 10.0.9.9\n}\n}",
                      "table netdev broken { chain c { type filter hook egress device \"out0\" "
                      "priority 0; ip daddr 198.51.100.0/24 ip daddr set 10.0.2.2\n}\n}"):
            self.nft(rules)
            with self.subTest(rules=rules):
                self.assertEqual(self.leaks("--only=route"), {})
                found = self.leaks("--only=route", "--against=env", status=1)
                self.assertLessEqual({"udp4-sendto", "udp4-corked", "ping4-raw"}, found["out0"])

    def test_rules_that_change_the_hop_limit(self):
        """The first packet that could go further is the last."""
        self.nft("table inet broken { chain c { type filter hook postrouting priority 0; ip ttl set 64"
                 "\n}\n}")
        p = self.refused("--here=in0", "--yes", "--against=env", word="another hop limit")
        self.assertIn("udp4-sendto", p.stderr)
        far = [d for d in self.sent() + self.sent("in0") if not harmless(d)]
        self.assertEqual([d[22] for d in far], [64])

    def test_rules_that_drop(self):
        """What a firewall has kept back is no leak, and nothing to be proud of."""
        self.nft("table inet broken { chain c { type filter hook output priority 0\n"
                 "ip daddr 192.0.2.0-203.0.113.255 drop; ip6 daddr 2001:db8::/32 drop\n}\n}")
        self.assertEqual(self.leaks("--only=udp4-sendto", "--against=env"), {})
        report, text = self.here("--only=udp4-sendto")
        self.assertEqual(report["here"]["own_frames"], 0)
        self.assertIn("this shows little", text)

    def test_policy_routes(self):
        for line in ("rule add to 198.51.100.0/24 lookup 100 pref 10",
                     "rule add fwmark 0x77 lookup 100 pref 11",
                     "rule add uidrange 65534-65534 lookup 100 pref 12",
                     "route add default via 10.0.2.2 table 100",
                     "route replace default via 10.0.1.2"):
            must("ip", *line.split())
        self.stack.callback(run, "sh", "-c", "for p in 10 11 12; do ip rule del pref $p; done; "
                            "ip route flush table 100")
        self.chatter()
        self.assertEqual(self.leaks(), {})
        report, _ = self.here("--only=mark")
        self.assertEqual(report["here"]["not_tried"], {})
        found = self.leaks("--against=env", status=1)["out0"]
        self.assertLessEqual({"udp4-sendto", "mark", "tcp4"}, found)
        self.assertNotIn("udp4-default-route", found)

    def test_many_marks(self):
        """Each mark that a rule selects by is tried, also the last."""
        marks = range(0x100, 0x114)
        for mark in marks:
            must("ip", "rule", "add", "fwmark", mark, "lookup", "101" if mark < marks[-1] else "100")
        must("ip", "route", "add", "default", "via", "10.0.2.2", "table", "100")
        must("ip", "route", "replace", "default", "via", "10.0.1.2")
        report, _ = self.here("--only=mark", "--against=env", status=1)
        self.assertEqual(report["here"]["made"], len(marks))
        self.assertEqual(report["here"]["leaks"],
                         [{"attempt": "mark", "device": "out0", "frames": 1}])

    def test_tunnel(self):
        """DEVICE is a tunnel: what it sends leaves by another one, wrapped, as it should."""
        if not os.path.exists("/dev/net/tun") and run("modprobe", "tun").returncode:
            self.skipTest("this kernel has no tun")
        p = self.popen([sys.executable, "-c", TUNNEL], stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"up\n")
        for line in ("addr add 10.0.7.1/24 dev tun0", "link set tun0 up"):
            must("ip", *line.split())
        self.chatter()
        found = self.leaks(device="tun0", status=0)
        self.assertEqual(found, {})
        # The marker did leave by out0, in datagrams of the tunnel.
        wrapped = [d for d in self.sent() if d[12:14] == b"\x08\x00" and d[23] == 17 and
                   d[30:34] == socket.inet_aton("10.0.2.2")]
        self.assertGreaterEqual(len(wrapped), 10)
        found = self.leaks("--against=env", "--only=route", device="tun0", status=1)
        self.assertIn("udp4-sendto", found["out0"])
        # A tunnel that takes what is to stay on in0.
        must("ip", "route", "add", "198.51.100.0/24", "dev", "tun0")
        self.assertEqual(self.leaks("--only=route"), {})
        self.assertIn("udp4-sendto",
                      self.leaks("--against=env", "--only=route", status=1)["tun0"])

    def test_tunnel_of_the_kernel(self):
        """Those that this kernel has."""
        self.chatter()
        kinds = ["ipip", "gre", "sit"]
        for kind in kinds[:]:
            if run("ip", "link", "add", "t0", "type", kind, "remote", "10.0.2.2", "local",
                   "10.0.2.1").returncode:
                kinds.remove(kind)
                continue
            with self.subTest(kind=kind):
                must("ip", "addr", "add", "fd00:7::1/64" if kind == "sit" else "10.0.7.1/24",
                     "dev", "t0")
                must("ip", "link", "set", "t0", "up")
                self.assertEqual(self.leaks(device="t0"), {})
                found = self.leaks("--against=env", device="t0", status=1)
                self.assertLessEqual({"pktinfo4", "tcp4"}, found["out0"])
                must("ip", "link", "del", "t0")
        if not kinds:
            self.skipTest("this kernel has no ipip, gre or sit")

    def test_vrf(self):
        """`ip vrf exec`, where the kernel has VRFs: traffic stays, but for what names its device."""
        if run("ip", "link", "add", "red", "type", "vrf", "table", "10").returncode:
            self.skipTest("this kernel has no VRF")
        self.stack.callback(run, "ip", "link", "del", "red")
        for line in ("link set red up", "link set in0 master red",
                     "route add default via 10.0.1.2 table 10"):
            must("ip", *line.split())
        self.chatter()
        for device in "in0", "red":
            found = self.leaks("--against=ip vrf exec red", device=device, status=1)
            self.assertEqual(set(found), {"out0"})
            self.assertLessEqual({"pktinfo4", "join4-index"}, found["out0"])
            self.assertFalse(found["out0"] & {"udp4-sendto", "tcp4", "tcp4-default-route"})

    def test_devices_on_top(self):
        """A macvlan sends by what it stands on; what is sent there directly is a leak nevertheless."""
        must("ip", "link", "add", "mv0", "link", "out0", "type", "macvlan", "mode", "bridge")
        self.stack.callback(run, "ip", "link", "del", "mv0")
        must("ip", "addr", "add", "10.0.8.1/24", "dev", "mv0")
        must("ip", "link", "set", "mv0", "up")
        self.chatter()
        self.assertEqual(self.leaks(device="mv0"), {})
        found = self.leaks("--against=env", device="mv0", status=1)["out0"]
        self.assertLessEqual({"udp4-sendto", "tcp4", "join4-index", "pktinfo4"}, found)
        # And the other way round: what stands on in0 is another device.
        must("ip", "link", "add", "mv1", "link", "in0", "type", "macvlan", "mode", "bridge")
        self.stack.callback(run, "ip", "link", "del", "mv1")
        must("ip", "link", "set", "mv1", "up")
        self.assertNotIn("mv1", self.leaks())
        self.assertIn("mv1", self.leaks("--against=env", status=1))

    def test_vlan(self):
        """The same with a tag, where the kernel has VLANs."""
        if run("ip", "link", "add", "v7", "link", "out0", "type", "vlan", "id", "7").returncode:
            self.skipTest("this kernel has no VLAN")
        self.stack.callback(run, "ip", "link", "del", "v7")
        must("ip", "addr", "add", "10.0.8.1/24", "dev", "v7")
        must("ip", "link", "set", "v7", "up")
        self.chatter()
        self.assertEqual(self.leaks(device="v7"), {})
        found = self.leaks("--against=env", device="v7", status=1)["out0"]
        self.assertLessEqual({"udp4-sendto", "tcp4", "join4-index", "pktinfo4"}, found)

    def test_bridge(self):
        """A port of a bridge; and the bridge itself, whose frames leave by its ports."""
        must("ip", "link", "add", "br0", "type", "bridge")
        self.stack.callback(run, "ip", "link", "del", "br0")
        must("ip", "link", "set", "in0", "master", "br0")
        must("ip", "link", "set", "br0", "up")
        must("ip", "addr", "add", "10.0.6.1/24", "dev", "br0")
        self.chatter()
        self.assertEqual(self.leaks(device="br0"), {})
        found = self.leaks("--against=env", device="br0", status=1)
        self.assertIn("pktinfo4", found["in0"])
        self.assertIn("pktinfo4", found["out0"])


class Facts(HereLab):
    """Where frames are watched: what is later than a packet socket, and what is not."""

    def setUp(self):
        super().setUp()
        self.tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.stack.callback(self.tap.close)
        self.tap.setblocking(False)

    def tapped(self):
        n = 0
        while True:
            try:
                data, addr = self.tap.recvfrom(65536)
            except BlockingIOError:
                return n
            n += addr[2] == socket.PACKET_OUTGOING and addr[0] == "out0" and MARKER in data

    def arrived(self):
        """A frame past the queue is behind all others, and nothing drops it."""
        n = 0
        self.frame(b"sentinel", bypass=True)
        while True:
            data, addr = self.wire.sock.recvfrom(65536)
            if b"sentinel" in data:
                return n
            n += MARKER in data and addr[2] != socket.PACKET_OUTGOING

    def frame(self, payload=MARKER, bypass=False):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("out0", 0x800))
            s.setsockopt(263, 20, int(bypass))  # PACKET_QDISC_BYPASS
            try:
                s.send(frames.ether(b"\2\0\0\0\2\2", 0x800, frames.ipv4(
                    "10.0.2.1", "10.0.2.2", 17, frames.udp(9, 9, payload)), frames.HOST_OUT))
            except OSError:
                pass  # that is how a drop past the queue is told

    def datagram(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.sendto(MARKER, ("10.0.2.2", 9))
            except OSError:
                pass

    def both(self, send):
        self.tapped()
        send()
        return self.arrived(), self.tapped()

    def test_taps_are_last(self):
        self.assertEqual(self.both(self.datagram), (1, 1))
        self.assertEqual(self.both(self.frame), (1, 1))
        # Past the queueing discipline, and past every packet socket.
        self.assertEqual(self.both(lambda: self.frame(bypass=True)), (1, 0))

    def test_behind_rules_and_programs(self):
        must("nft", "table netdev x { chain c { type filter hook egress device \"out0\" priority 0\n"
             "ip daddr 10.0.2.2 udp dport 9 @th,64,8 0x69 drop\n}\n}")
        self.stack.callback(run, "nft", "flush ruleset")
        self.assertEqual(self.both(self.datagram), (0, 0))
        must("nft", "flush ruleset")
        try:
            prog = frames.load(frames.SCHED_CLS, frames.mov(0, 2) + frames.EXIT, 47)
            fd = frames.link(prog, socket.if_nametoindex("out0"), 47)
        except OSError:
            return  # before Linux 6.6
        self.stack.callback(frames.close, fd, prog)
        # A program of traffic control drops what a packet socket then does not see; but not all.
        self.assertEqual(self.both(self.datagram), (0, 0))
        self.assertEqual(self.both(lambda: self.frame(bypass=True)), (1, 0))
