# SPDX-License-Identifier: MIT
"""What is denied is told as it happens: ifpin watch."""
import glob
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
import unittest

from lab import CGROUPS, IFPIN, PACE, Lab, must, run

SLOTS = 8
PER_SECOND = 1000  # IFPIN_EVENTS_PER_SECOND
# Else nobody knows who sends a packet. Not on 6.12; those between were not measured.
KNOWS_SENDER = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 18)

# Does what it is told on its standard input, and says what came of it.
AGENT = """
import errno, os, select, socket, struct, sys, time
s = socket.socket(2, 2)
s6 = socket.socket(10, 2)
OUT = socket.if_nametoindex("out0")
def attempt(f, *a):
    try: return f(*a) and None
    except OSError as e: return errno.errorcode[e.errno]
def pktinfo(n=1):
    for _ in range(n):
        r = attempt(s.sendmsg, [b"x"], [(0, 8, struct.pack("iII", OUT, 0, 0))], 0, ("10.0.2.2", 9))
    return r
for line in sys.stdin:
    try: r = eval(line)
    except SyntaxError: r = exec(line)
    except OSError as e: r = errno.errorcode[e.errno]
    print(repr(r), flush=True)
"""


class Agent:
    def __init__(self, lab, cgroup):
        self.process = lab.service(cgroup, ["python3", "-c", AGENT], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())


class Watcher:
    """ifpin watch --json, and its lines as they come."""

    def __init__(self, lab, *argv):
        self.lab = lab
        self.process = lab.popen([IFPIN, "watch", "--json", *argv], stdout=subprocess.PIPE)
        self.buffer = b""
        lab.assertEqual(self.next()["type"], "watching")

    def next(self, timeout=20 * PACE):
        """The next line; None: nothing came in this time."""
        end = time.monotonic() + timeout
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(fd, 65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def denied(self, **wanted):
        """The next one, which is as wanted."""
        d = self.next()
        self.lab.assertIsNotNone(d, wanted)
        if not KNOWS_SENDER and d["reason"] == "other-device":
            wanted.update({k: None for k in ("pid", "process") if k in wanted})
        self.lab.assertEqual({k: d.get(k) for k in wanted}, wanted)
        return d

    def end(self, how=signal.SIGINT):
        """All that is left, the summary last."""
        self.process.send_signal(how)
        rest = []
        try:
            while True:
                rest.append(self.next())
        except EOFError:
            self.lab.assertEqual(self.process.wait(20), 0 if how != signal.SIGKILL else -how)
        return rest


class WatchLab(Lab):
    def setUp(self):
        super().setUp()
        self.bpffs()
        self.path = self.cgroup()
        self.agent = Agent(self, self.path)

    def attach(self, name="web", path=None, device="in0"):
        must(IFPIN, "attach", device, f"--cgroup={path or self.path}", f"--name={name}",
             "--existing=pin")

    def bits(self, name="web"):
        """Who is said to watch a confinement, as the programs see it."""
        host, = glob.glob("/sys/fs/bpf/ifpin/host_*/host")
        watching, *only = struct.unpack_from(f"Q{SLOTS}I", self.value(host))
        _, own = struct.unpack_from("II", self.value(
            f"/sys/fs/bpf/ifpin/pin_{name.replace('.', '+')}/meta"))
        return sum(1 << i for i in range(SLOTS) if watching >> i & 1 and only[i] in (0, own))

    @staticmethod
    def value(path):
        dump = json.loads(must("bpftool", "-j", "map", "dump", "pinned", path))
        return bytes(int(b, 16) for b in dump[0]["value"])

    def until_watched(self, name="web"):
        """Who watches all hears of a new one by the folder, and then begins to hear it."""
        deadline = time.monotonic() + 20
        while not self.bits(name):
            self.assertLess(time.monotonic(), deadline)

    def buffers(self):
        """How many slots have a buffer."""
        path, = glob.glob("/sys/fs/bpf/ifpin/host_*/watchers")
        dump = json.loads(must("bpftool", "-j", "map", "dump", "pinned", path))
        return sum(isinstance(e.get("value"), list) for e in dump)


class Told(WatchLab):
    def test_who_and_where(self):
        self.assertIsNone(self.agent.do("pktinfo()"))  # the leak that is to be denied
        self.attach()
        w = Watcher(self, "web")
        before = time.time_ns()
        self.assertEqual(self.agent.do("pktinfo()"), "EPERM")
        d = w.denied(type="denied", confinement="web", reason="other-device", process="python3",
                     pid=self.agent.pid, uid=0, device="out0", ifindex=self.out_index(),
                     protocol="udp", destination="10.0.2.2", destination_port=9, by_kernel=False)
        self.assertTrue(before <= d["time_ns"] <= time.time_ns())
        port = self.agent.do("s.getsockname()[1]")
        self.assertEqual(d["source_port"], port)

    def test_each_reason_in_words(self):
        self.attach()
        do = self.agent.do
        w = Watcher(self)
        do("s.connect(('10.0.1.2', 9))")
        bound = do("s.getsockopt(1, 62)")
        do("s.connect(('10.0.1.2', 9)); s2 = socket.socket(2, 2)")
        self.assertEqual(bound, socket.if_nametoindex("in0"))
        for line, answer, reason, what in (
                ("attempt(s.setsockopt, 1, 25, b'out0')", "EPERM", "rebind",
                 "SO_BINDTODEVICE named out0"),
                ("attempt(s.setsockopt, 1, 62, OUT)", "EPERM", "rebind",
                 "SO_BINDTOIFINDEX named out0"),
                ("attempt(s2.setsockopt, 0, 50, struct.pack('!I', OUT))", "EPERM", "rebind",
                 "IP_UNICAST_IF named out0"),
                ("attempt(s2.setsockopt, 0, 35, socket.inet_aton('224.1.1.1') +"
                 " struct.pack('ii', 0, OUT))", "ENODEV", "join", "joined 224.1.1.1 on out0"),
                ("attempt(s2.setsockopt, 0, 35, socket.inet_aton('224.1.1.1') +"
                 " socket.inet_aton('10.0.2.1'))", "ENODEV", "join",
                 "joined 224.1.1.1 on the device of 10.0.2.1"),
                ("attempt(s6.setsockopt, 41, 20, socket.inet_pton(10, 'ff05::5') +"
                 " struct.pack('i', OUT))", "ENODEV", "join", "joined ff05::5 on out0"),
                ("attempt(s6.setsockopt, 41, 42, struct.pack('IIHHI', OUT, 0, 10, 0, 0) +"
                 " socket.inet_pton(10, 'ff05::7') + bytes(104))", "ENODEV", "join",
                 "joined ff05::7 on out0"),
                ("attempt(s2.sendto, b'x', ('127.0.0.1', 53))", "EPERM", "resolver",
                 "asked the resolver at 127.0.0.1:53"),
                ("attempt(socket.socket, 2, 1, 132)", None, "protocol",
                 "asked for a socket of protocol 132"),
                ("attempt(open, '/proc/sys/net/ipv4/ip_forward', 'w') or"
                 " attempt(os.write, os.open('/proc/sys/net/ipv4/ip_forward', 1), b'0')", "EPERM",
                 "sysctl", None),
                ("attempt(os.open, '/dev/net/tun', 2)", "EPERM", "device-node", None),
                ("s2.setsockopt(1, 25, b'in0') or attempt(s2.sendmsg, [b'x'],"
                 " [(0, 8, struct.pack('iII', OUT, 0, 0))], 0, ('10.0.2.2', 9))", "EPERM",
                 "other-device", "IP_PKTINFO named out0")):
            with self.subTest(line):
                got = do(line)
                if reason == "protocol" and got == "EPROTONOSUPPORT":
                    continue  # the kernel has no SCTP
                if reason == "device-node" and got in ("ENOENT", "ENXIO"):
                    continue
                if answer:
                    self.assertEqual(got, answer, line)
                d = w.denied(reason=reason, pid=self.agent.pid)
                if what:
                    self.assertEqual(d["what"], what)
                if "out0" in (what or ""):
                    self.assertEqual(d["device"], "out0")
        self.assertEqual(w.next(0), None)

    def test_lines_for_people(self):
        self.attach()
        p = self.popen([IFPIN, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.stderr.readline(),
                         "ifpin: watching all confinements; interrupt to end\n")
        self.agent.do("pktinfo()")
        port = self.agent.do("s.getsockname()[1]")
        # Not at the end of a pipe's buffer, but at once.
        who = rf"python3\({self.agent.pid}\)" if KNOWS_SENDER else r"\?"
        self.assertRegex(
            p.stdout.readline(),
            rf"^\d\d:\d\d:\d\d\.\d{{6}} web {who} root out0 udp "
            rf"10\.0\.\d\.1:{port} > 10\.0\.2\.2:9: .*IP_PKTINFO named .* \(other-device\)\n$")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(20), 0)
        self.assertEqual(p.stderr.read(), "ifpin: 1 denied; 0 more were only counted, 0 lost\n")

    def test_a_process_with_a_hostile_name(self):
        self.attach()
        p = self.popen([IFPIN, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stderr.readline()
        self.agent.do(r"open('/proc/self/comm', 'w').write('a\033[2J\nb') and None")
        self.agent.do("attempt(s.setsockopt, 1, 25, b'out0')")
        self.assertIn(f"a?[2J?b({self.agent.pid})", p.stdout.readline())

    def test_what_comes_in(self):
        """Nobody in the confinement did it: said as such."""
        self.agent.do("s.bind(('0.0.0.0', 99))")
        self.attach()
        w = Watcher(self)
        peer = self.pout.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stack.callback(peer.close)
        peer.sendto(b"x", ("10.0.2.1", 99))
        d = w.denied(reason="ingress", what="came in from out0", pid=None, process=None,
                     source="10.0.2.2", destination_port=99)
        if KNOWS_SENDER:
            self.assertTrue(d["by_kernel"])


class Which(WatchLab):
    def test_of_one_only(self):
        other = self.cgroup()
        b = Agent(self, other)
        self.attach("a")
        self.attach("b", other)
        w = Watcher(self, "b")
        self.assertEqual(self.agent.do("pktinfo()"), "EPERM")
        self.assertEqual(b.do("pktinfo()"), "EPERM")
        w.denied(confinement="b", pid=b.pid)
        self.assertIsNone(w.next(0))

    def test_all_and_those_to_come(self):
        w = Watcher(self)
        self.attach("dotted.name")
        self.until_watched("dotted.name")
        self.assertEqual(self.agent.do("pktinfo()"), "EPERM")
        w.denied(confinement="dotted.name", pid=self.agent.pid)
        must(IFPIN, "detach", "dotted.name")
        self.attach("again")
        self.assertEqual(self.agent.do("pktinfo()"), "EPERM")
        w.denied(confinement="again")
        self.assertEqual(w.end()[-1]["told"], 2)

    def test_one_that_is_made_anew(self):
        self.attach()
        w = Watcher(self, "web")
        must(IFPIN, "detach", "web")
        self.assertIsNone(self.agent.do("pktinfo()"))
        self.attach()
        self.until_watched()
        self.assertEqual(self.agent.do("pktinfo()"), "EPERM")
        w.denied(confinement="web")

    def test_none_of_this_name(self):
        p = run(IFPIN, "watch", "nobody")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn('no confinement is called "nobody"', p.stderr)
        p = run(IFPIN, "watch", "../x")
        self.assertEqual(p.returncode, 125)

    def test_of_another_version(self):
        """It cannot be watched, and is named; all others are."""
        self.attach()
        other = self.cgroup()
        self.attach("old", other)
        path = "/sys/fs/bpf/ifpin/pin_old/meta"
        os.unlink(path)
        must("bpftool", "map", "create", path, "type", "array", "key", "4", "value", "8",
             "entries", "1", "name", "other")
        p = run(IFPIN, "watch", "old")
        self.assertEqual(p.returncode, 125)
        self.assertIn("another version", p.stderr)
        p = self.popen([IFPIN, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("watching", p.stderr.readline())
        self.assertIn('cannot watch "old", which another version', p.stderr.readline())
        self.agent.do("pktinfo()")
        self.assertIn(" web ", p.stdout.readline())


class Commands(WatchLab):
    """Of ifpin run: nothing is pinned, and all is found by the cgroup."""

    def start(self, *options):
        p = self.popen([IFPIN, "run", "--dns=system", *options, "in0", "python3", "-c", AGENT],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.agent = Agent.__new__(Agent)
        self.agent.process = p
        self.assertEqual(self.agent.do("1"), 1)
        return self.agent

    def test_one_with_a_name(self):
        agent = self.start("--name=job")
        for name in ("job",), ():
            w = Watcher(self, *name)
            self.assertEqual(agent.do("pktinfo()"), "EPERM")
            w.denied(confinement="job", reason="other-device", process="python3", device="out0")
            w.end()
        # A killed one leaves a slot, which the next one has again.
        Watcher(self).end(signal.SIGKILL)
        w = Watcher(self, "job")
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        w.denied(confinement="job", reason="other-device")
        must(IFPIN, "gc")
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        w.denied(confinement="job", reason="other-device")

    def programs(self, cgroup):
        """What is attached to a cgroup: hook and flags, name, and the kernel's hash; the ids."""
        tree = [p for p in json.loads(must("bpftool", "-j", "cgroup", "show", cgroup))
                if "lsm" not in p["attach_type"]]
        return sorted((p["attach_type"], p["attach_flags"], p["name"], json.loads(must(
            "bpftool", "-j", "prog", "show", "id", str(p["id"])))["tag"]) for p in tree), {
                p["id"] for p in tree}

    def test_one_without(self):
        """Its programs load quicker, for they tell nothing: until somebody watches."""
        agent = self.start()
        path, = glob.glob(f"{CGROUPS}/**/ifpin.{agent.process.pid}", recursive=True)
        before, ids = self.programs(path)
        for _ in range(2):
            watchers = [Watcher(self) for _ in range(2)]
            self.assertEqual(agent.do("pktinfo()"), "EPERM")
            for w in watchers:
                w.denied(confinement=str(agent.process.pid), reason="other-device",
                         process="python3", device="out0")
                w.end()
        # Each in the place of the same one.
        after, now = self.programs(path)
        self.assertEqual(after, before)
        self.assertEqual(len(before), 13)
        self.assertFalse(ids & now)
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        agent.process.stdin.close()
        self.assertEqual(agent.process.wait(20), 0)

    def test_nothing_passes_meanwhile(self):
        """Programs are replaced while packets are denied."""
        agent = self.start()
        agent.process.stdin.write(
            "[pktinfo(100) for _ in iter(lambda: bool(select.select([0], [], [], 0)[0]), True)] and 0\n")
        agent.process.stdin.flush()
        for how in (signal.SIGKILL, signal.SIGINT):
            Watcher(self).end(how)
        self.assertEqual(agent.do("1"), 0)
        self.assertEqual(self.leaked(b"x"), 0)

    def test_those_that_begin_later(self):
        w = Watcher(self)
        for options in ((), ("--name=job",)):
            agent = self.start(*options)
            self.assertEqual(agent.do("pktinfo()"), "EPERM")
            name = "job" if options else str(agent.process.pid)
            w.denied(confinement=name, reason="other-device", device="out0", destination="10.0.2.2")
            agent.process.stdin.close()
            agent.process.wait(20)
        self.assertEqual([e["type"] for e in w.end()], ["summary"])

    def test_one_that_has_ended(self):
        """All of it is told, also when it has ended before anybody looked."""
        w = Watcher(self)
        w.process.send_signal(signal.SIGSTOP)
        p = self.popen([IFPIN, "run", "--dns=system", "in0", "ping", "-c1", "-W1", "-I", "out0",
                        "10.0.2.2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertNotEqual(p.wait(20), 0)
        w.process.send_signal(signal.SIGCONT)
        w.denied(confinement=str(p.pid), process="ping")

    def test_parts_taken_away(self):
        """Named once, and all others are heard."""
        agent = self.start("--name=broken")
        path, = glob.glob(f"{CGROUPS}/**/ifpin.broken", recursive=True)
        tree = json.loads(must("bpftool", "-j", "cgroup", "show", path))
        sysctl, = (p["id"] for p in tree if "sysctl" in p["attach_type"])
        must("bpftool", "cgroup", "detach", path, "sysctl", "id", str(sysctl))
        p = run(IFPIN, "watch", "broken")
        self.assertEqual((p.returncode, p.stderr),
                         (125, 'ifpin: cannot watch "broken", of which parts are gone\n'))
        p = self.popen([IFPIN, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("watching", p.stderr.readline())
        self.assertIn('cannot watch "broken", of which', p.stderr.readline())
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        for _ in range(2):
            other = self.start()
            self.assertEqual(other.do("pktinfo()"), "EPERM")
            self.assertIn(f" {other.process.pid} ", p.stdout.readline())
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.stderr.read(), "ifpin: 2 denied; 0 more were only counted, 0 lost\n")

    def test_many_that_end(self):
        """They leave nothing with who watches."""
        w = Watcher(self)
        fds = None
        for i in range(12):
            agent = self.start()
            self.assertEqual(agent.do("pktinfo()"), "EPERM")
            w.denied(confinement=str(agent.process.pid))
            agent.process.stdin.close()
            agent.process.wait(20 * PACE)
            if i == 2:
                fds = len(os.listdir(f"/proc/{w.process.pid}/fd"))
        # It hears of the end of the last one when that is over.
        end = time.monotonic() + 20 * PACE
        while len(os.listdir(f"/proc/{w.process.pid}/fd")) > fds:
            self.assertLess(time.monotonic(), end)
            select.select([], [], [], 0.02)

    def test_burst_of_a_new_one(self):
        w = Watcher(self)
        agent = self.start()
        n = 3 * PER_SECOND
        self.assertEqual(agent.do(f"pktinfo({n})"), "EPERM")
        told = counted = 0
        while told + counted < n:
            line = w.next()
            told += line["type"] == "denied"
            counted += line.get("count", 0)
        self.assertEqual(told + counted, n)

    def test_without_bpffs(self):
        """Such a command sees nobody who watches; who begins to watch then hears it."""
        w = Watcher(self)
        agent = Agent.__new__(Agent)
        agent.process = self.popen(
            ["unshare", "--mount", "sh", "-c", "umount -l /sys/fs/bpf; exec \"$@\"", "-",
             os.path.abspath(IFPIN), "run", "--dns=system", "in0", "python3", "-c", AGENT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(agent.do("1"), 1)
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        later = Watcher(self)
        self.assertEqual(agent.do("pktinfo()"), "EPERM")
        later.denied(confinement=str(agent.process.pid), reason="other-device")
        w.end()


class Several(WatchLab):
    def test_each_hears_all(self):
        self.attach()
        watchers = [Watcher(self, *name) for name in (("web",), (), ("web",))]
        self.agent.do("pktinfo(5)")
        for w in watchers:
            for _ in range(5):
                w.denied(reason="other-device")
        watchers[0].end()
        self.agent.do("pktinfo()")
        self.assertEqual([w.end()[0]["reason"] for w in watchers[1:]], ["other-device"] * 2)
        self.assertEqual((self.bits(), self.buffers()), (0, 0))

    def test_no_more_than_eight(self):
        self.attach()
        starts = [self.popen([IFPIN, "watch", "--json"], stdout=subprocess.PIPE)
                  for _ in range(SLOTS)]  # all at once
        for p in starts:
            self.assertIn(b'"watching"', p.stdout.readline())
        self.assertEqual((self.bits(), self.buffers()), (255, SLOTS))
        p = run(IFPIN, "watch")
        self.assertEqual((p.returncode, p.stderr),
                         (125, "ifpin: 8 are watching already, and no more can\n"))
        starts[3].terminate()
        starts[3].wait()
        Watcher(self).end()

    def test_nobody_watches(self):
        self.attach()
        self.agent.do("pktinfo(10)")
        self.assertEqual((self.bits(), self.buffers()), (0, 0))
        w = Watcher(self)
        self.assertIsNone(w.next(1.5))


class Killed(WatchLab):
    def kill_all(self, n=SLOTS):
        watchers = [Watcher(self) for _ in range(n)]
        for w in watchers:
            w.end(signal.SIGKILL)

    def test_the_next_one_clears(self):
        self.attach()
        self.kill_all()
        self.assertEqual((self.bits(), self.buffers()), (255, SLOTS))
        w = Watcher(self)
        self.assertEqual((self.bits(), self.buffers()), (1, 1))
        self.agent.do("pktinfo()")
        w.denied(reason="other-device")
        w.end()
        self.assertEqual((self.bits(), self.buffers()), (0, 0))

    def test_gc_clears(self):
        self.attach()
        living = Watcher(self)
        self.kill_all(3)
        self.assertEqual((self.bits(), self.buffers()), (15, 4))
        must(IFPIN, "gc")
        self.assertEqual((self.bits(), self.buffers()), (1, 1))
        self.agent.do("pktinfo()")
        living.denied(reason="other-device")

    def test_one_who_does_not_watch_it_is_not_told(self):
        """A slot is taken over by one who watches another confinement only."""
        other = self.cgroup()
        self.attach()
        self.attach("other", other)
        self.kill_all(1)
        w = Watcher(self, "other")
        self.assertEqual((self.bits(), self.bits("other")), (0, 1))
        self.agent.do("pktinfo()")
        self.assertIsNone(w.next(0.5))

    def test_reader_ends(self):
        """`ifpin watch | head -1`"""
        self.attach()
        p = self.popen([IFPIN, "watch", "--json"], stdout=subprocess.PIPE)
        p.stdout.readline()
        p.stdout.close()
        self.assertEqual(p.wait(20), 0)
        self.assertEqual((self.bits(), self.buffers()), (0, 0))


class Bursts(WatchLab):
    def read_until(self, w, total):
        told = counted = lost = 0
        while told + counted + lost < total:
            d = w.next()
            self.assertIsNotNone(d, (told, counted, lost))
            if d["type"] == "denied":
                told += 1
            elif d["type"] == "counted":
                self.assertEqual(d["reason"], "other-device")
                counted += d["count"]
            else:
                self.assertEqual((d["type"], d["reason"]), ("lost", None))
                lost += d["count"]
        self.assertEqual(told + counted + lost, total)
        return told, counted, lost

    def test_none_is_forgotten(self):
        self.attach()
        w = [Watcher(self), Watcher(self, "web")]
        n = 50000
        self.agent.do(f"pktinfo({n})")
        for each in w:
            told, counted, lost = self.read_until(each, n)
            self.assertGreaterEqual(told, PER_SECOND)
            self.assertGreater(counted, 0)
            self.assertEqual(lost, 0)
        self.assertEqual([w.end()[-1] for w in w][0]["counted"], counted)

    def test_one_who_does_not_read(self):
        """It loses, is told how much, and the other one does not."""
        self.attach()
        slow, fast = Watcher(self), Watcher(self)
        slow.process.send_signal(signal.SIGSTOP)
        n, sums = PER_SECOND + 100, [0, 0, 0]
        # 1 MiB is full after some 7,000 events; a second has 1,000.
        for _ in range(9):
            self.agent.do(f"pktinfo({n}); time.sleep(1.05)")
            sums = [a + b for a, b in zip(sums, self.read_until(fast, n))]
        told, counted, lost = sums
        self.assertEqual(lost, 0)
        slow.process.send_signal(signal.SIGCONT)
        slow_told, slow_counted, lost = self.read_until(slow, 9 * n)
        self.assertEqual(slow_counted, counted)
        self.assertGreater(lost, 0)
        self.assertEqual(slow_told + lost, told)

    def test_in_words(self):
        self.attach()
        p = self.popen([IFPIN, "watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       text=True)
        self.until_watched()
        self.agent.do("pktinfo(14000)")
        line = ""
        while "more" not in line:
            line = p.stdout.readline()
        self.assertRegex(line, r" web … [\d,]+ more: a packet was routed to another device "
                               r"\(other-device\)\n$")


if __name__ == "__main__":
    unittest.main()
