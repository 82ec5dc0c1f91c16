# SPDX-License-Identifier: MIT
"""BPF LSM: sockets that come from outside, other families, and questions about routes."""
import array
import glob
import json
import os
import signal
import socket
import subprocess
import time
import unittest

from lab import HAS_LSM, IFPIN, MARKER, PACE, Lab, must, run
from test_attach import AGENT, Agent, AttachLab
from test_watch import Watcher

ROUTE = ("s[9].sendto(struct.pack('IHHIIBBBBBBBBIHH16s', 48, 26, {flags}, 0, 0, 10, 128, 0, 0, 0, 0, 0, 0, "
         "0, 20, 1, socket.inet_pton(10, '2001:db8::1')), (0, 0))")
RECEIVE = "s.update(got=socket.recv_fds(s['giver'], 1, 1)[1:3]) or s['got']"
PASS_ON = """
import socket
a, b = socket.socketpair()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.send_fds(a, [b'x'], [s.fileno()])
print(len(socket.recv_fds(b, 1, 1)[1]))
"""


class Lsm:
    """What is tried, in a command and in a service."""

    def give(self, *fds):
        """By a unix socket that the agent connects to."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        name = f"ifpin-lsm-{os.getpid()}-{id(listener)}"
        listener.bind("\0" + name)
        listener.listen(1)
        self.do("s.update(giver=socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))")
        self.assertEqual(self.do(f"s['giver'].connect(chr(0) + {name!r})"), "None")
        c = listener.accept()[0]
        self.addCleanup(c.close)
        c.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        return self.do(RECEIVE)

    def foreign(self, *args):
        s = socket.socket(*args)
        self.addCleanup(s.close)
        return s

    def test_received_sockets(self):
        """MSG_CTRUNC and nothing received, whatever it is that somebody outside has made."""
        self.begin(False)
        u = self.foreign(socket.AF_INET, socket.SOCK_DGRAM)
        self.assertRegex(self.give(u.fileno()), r"^\(\[\d+\], ")
        self.do("[os.close(f) for f in s['got'][0]]")
        self.begin(True)
        for args in ((socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_STREAM),
                     (socket.AF_INET6, socket.SOCK_DGRAM), (socket.AF_PACKET, socket.SOCK_RAW),
                     (socket.AF_NETLINK, socket.SOCK_RAW)):
            with self.subTest(args):
                f = self.foreign(*args)
                self.assertEqual(self.give(f.fileno()), f"([], {int(socket.MSG_CTRUNC)})")
        self.assertRegex(self.give(self.foreign(socket.AF_UNIX, socket.SOCK_DGRAM).fileno()),
                         r"^\(\[\d+\], ")
        with open("/dev/null") as f:
            self.assertRegex(self.give(f.fileno()), r"^\(\[\d+\], ")

    def test_own_sockets(self):
        """What processes inside pass on to each other."""
        self.begin(True)
        self.assertEqual(self.do("__import__('subprocess').run(['python3', '-c', %r], "
                                 "capture_output=True).stdout" % PASS_ON), "b'1\\n'")
        # A socket of a cgroup below belongs here as well.
        self.assertEqual(self.do("s.update(z=socket.socket(2, 2))"), "None")
        self.assertEqual(self.do("s['z'].connect(('10.0.1.2', 9))"), "None")
        self.assertEqual(self.do(f"s['z'].send({MARKER!r})"), str(len(MARKER)))

    def test_routes(self):
        self.begin(True)
        self.do("s.update({9: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)})")
        self.assertEqual(self.do(ROUTE.format(flags=1)), "!EPERM")
        self.assertEqual(self.do(ROUTE.format(flags=1 | 0x300)), "48")
        # Behind another question in the same datagram.
        links = "struct.pack('IHHIIBxHiII', 32, 18, 0x301, 0, 0, 0, 0, 0, 0, 0)"
        self.assertEqual(self.do(ROUTE.format(flags=1).replace("sendto(", f"sendto({links} + ")),
                         "!EPERM")

    def test_modules(self):
        """A protocol of netlink that nobody has is looked for among the modules, by modprobe."""
        self.begin(True)
        self.room_to_watch()
        w = Watcher(self, self.confinement())
        self.assertEqual(self.do("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 30)"),
                         "!EPROTONOSUPPORT")
        w.denied(type="denied", reason="kernel-module", process="python3",
                 what="a module was wanted, which a program outside would load")

    def test_watched(self):
        """All that is refused is told, to each who watches."""
        self.begin(True)
        self.room_to_watch()  # behind the start: then these programs are in no bpffs
        watchers = [Watcher(self, *args) for args in ((), (self.confinement(),))]
        u = self.foreign(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("10.0.1.1", 0))
        u.connect(("10.0.1.2", 9))
        p = self.foreign(socket.AF_PACKET, socket.SOCK_RAW)
        self.assertEqual(self.give(u.fileno()), f"([], {int(socket.MSG_CTRUNC)})")
        self.assertEqual(self.give(p.fileno()), f"([], {int(socket.MSG_CTRUNC)})")
        self.do("s.update({9: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)})")
        self.assertEqual(self.do(ROUTE.format(flags=1)), "!EPERM")
        for w in watchers:
            who = {"type": "denied", "confinement": self.confinement(), "process": "python3",
                   "by_kernel": False, "uid": 0, "pid": int(self.do("os.getpid()"))}
            w.denied(reason="foreign-socket", protocol="udp", source="10.0.1.1",
                     source_port=u.getsockname()[1], destination="10.0.1.2", destination_port=9,
                     what="was handed a socket of the family inet that was made outside", **who)
            w.denied(reason="foreign-socket", protocol=None, source=None, destination=None,
                     what="was handed a socket of the family packet that was made outside", **who)
            w.denied(reason="route-lookup", destination="2001:db8::1",
                     what="asked for the route to 2001:db8::1, whose gateway would be looked for",
                     **who)

    def test_watched_burst(self):
        """More than is told in a second is counted; nothing is lost on the way."""
        self.room_to_watch()
        self.begin(True)
        self.do("s.update({9: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)})")
        w = Watcher(self, self.confinement())
        n = 3000
        self.do("s.update(ask=lambda: %s)" % ROUTE.format(flags=1))
        self.do(f"s.update(n=sum(refused(s['ask']) for _ in range({n})))")
        self.assertEqual(self.do("s['n']"), str(n))
        told = counted = 0
        while told + counted < n:
            line = w.next()
            self.assertIn(line["type"], ("denied", "counted"))
            self.assertEqual(line["reason"], "route-lookup")
            told += line["type"] == "denied"
            counted += line.get("count", 0)
        self.assertEqual(told + counted, n)
        self.assertEqual(w.end()[-1]["lost"], 0)

    def test_ended(self):
        """With ifpin killed nothing opens."""
        self.begin(True)
        self.end_supervisor()
        u = self.foreign(socket.AF_INET, socket.SOCK_DGRAM)
        self.assertEqual(self.give(u.fileno()), f"([], {int(socket.MSG_CTRUNC)})")


@unittest.skipUnless(HAS_LSM, "this kernel has no BPF LSM, or it is not active")
class Run(Lsm, Lab):
    def begin(self, confined):
        argv = ["python3", "-c", AGENT]
        if confined:
            argv = [IFPIN, "run", "--dns=system", "in0", "--", *argv]
        self.process = self.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.do("0")

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def confinement(self):
        return str(self.process.pid)

    def room_to_watch(self):
        self.bpffs()

    def end_supervisor(self):
        self.process.send_signal(signal.SIGKILL)

    def test_counted(self):
        p = self.ifpin("ip", "-6", "route", "get", "fd00:1::2", options=("--dns=system", "--verbose"))
        self.assertIn("(route-lookup): 1", p.stderr)

    def test_nothing_runs(self):
        """Where it is active and cannot be put in force, no command starts."""
        self.bpffs()
        self.assertEqual(self.ifpin("true").returncode, 0)
        kept = next(f.path for f in os.scandir("/sys/fs/bpf/ifpin") if f.name.startswith("lsm_"))
        os.rename(f"{kept}/create", f"{kept}/aside")
        must("bpftool", "prog", "pin", "pinned", f"{kept}/receive", f"{kept}/create")
        p = self.ifpin("echo", "ran")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("BPF LSM", p.stderr)
        # What is missing is made anew, and not taken for a kernel without it.
        os.unlink(f"{kept}/create")
        p = self.ifpin("ip", "-6", "route", "get", "fd00:1::2")
        self.assertEqual(p.returncode, 2, p.stderr)

    def test_without_bpffs(self):
        """Nobody has mounted one: then the programs are loaded anew."""
        must("mount", "-t", "tmpfs", "none", "/sys/fs/bpf")
        self.addCleanup(must, "umount", "/sys/fs/bpf")
        self.test_received_sockets()


@unittest.skipUnless(HAS_LSM, "this kernel has no BPF LSM, or it is not active")
class Attached(Lsm, AttachLab):
    def begin(self, confined):
        if confined:
            self.attached()

    def do(self, line):
        return self.agent.do(line)

    def confinement(self):
        return self.name

    def room_to_watch(self):
        pass  # there is a bpffs

    def end_supervisor(self):
        pass  # there is none

    def test_families(self):
        """Of a service, no system call filter does that."""
        packet = "socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()"
        self.assertEqual(self.do(packet), "None")
        p = self.attached()
        self.assertNotIn("packet sockets", p.stderr)
        w = Watcher(self)
        self.assertEqual(self.do(packet), "!EPERM")
        w.denied(reason="family", confinement=self.name, pid=self.agent.pid,
                 what="asked for a socket of the family packet")
        self.assertEqual(self.do("socket.socket(socket.AF_UNIX).close()"), "None")
        self.assertIn("family", run(IFPIN, "status", self.name).stdout)

    def test_below(self):
        """A socket made in a cgroup below is the confinement's own."""
        self.attached()
        below = self.path + "/below"
        os.mkdir(below)
        other = Agent(self, below)
        self.do("s.update(l=socket.socket(socket.AF_UNIX))")
        self.do("s['l'].bind(chr(0) + 'ifpin-lsm-below')")
        self.do("s['l'].listen()")
        other.do("s.update(c=socket.socket(socket.AF_UNIX))")
        other.do("s['c'].connect(chr(0) + 'ifpin-lsm-below')")
        other.do("s.update(u=socket.socket(2, 2))")
        self.assertEqual(other.do("socket.send_fds(s['c'], [b'x'], [s['u'].fileno()])"), "1")
        self.do("s.update(giver=s['l'].accept()[0])")
        self.assertRegex(self.do(RECEIVE), r"^\(\[\d+\], ")

    def test_watched_before(self):
        """Who watched before there was any program of BPF LSM hears of those, too."""
        self.assertFalse([f for f in os.listdir("/sys/fs/bpf") if f == "ifpin"])
        w = Watcher(self)
        self.attached()
        self.until_heard(w)
        self.assertEqual(w.end()[-1]["told"], 1)
        # What it had in the kernel is gone.
        kept = json.loads(must("bpftool", "-j", "prog", "show", "pinned",
                               glob.glob("/sys/fs/bpf/ifpin/lsm_*/receive")[0]))
        maps = [json.loads(must("bpftool", "-j", "map", "show", "id", str(i)))
                for i in kept["map_ids"]]
        watchers, = (m["id"] for m in maps if m["type"] == "array_of_maps")
        dump = json.loads(must("bpftool", "-j", "map", "dump", "id", str(watchers)))
        self.assertFalse(any(isinstance(e.get("value"), list) for e in dump))

    def until_heard(self, w):
        """The first that is told. What was denied before that was counted."""
        deadline = time.monotonic() + 20 * PACE
        while time.monotonic() < deadline:
            self.assertEqual(
                self.do("socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)"), "!EPERM")
            line = w.next(0.1)
            if line and line["type"] == "denied":
                self.assertEqual(line["reason"], "family")
                return
        self.fail("nothing was told")

    def test_detached(self):
        self.attached()
        must(IFPIN, "detach", self.name)
        u = self.foreign(socket.AF_INET, socket.SOCK_DGRAM)
        self.assertRegex(self.give(u.fileno()), r"^\(\[\d+\], ")

    def test_part_taken_away(self):
        self.attached()
        must("bpftool", "link", "detach", "pinned", f"/sys/fs/bpf/ifpin/pin_{self.name}/lsm1")
        self.assertIn("broken", run(IFPIN, "status", self.name).stdout)

    def test_part_removed(self):
        self.attached()
        os.unlink(f"/sys/fs/bpf/ifpin/pin_{self.name}/lsm0")
        self.assertIn("broken", run(IFPIN, "status", self.name).stdout)

    def test_kept_programs(self):
        """Those that are not whole are made anew; those of another version go with gc."""
        self.attached()
        kept, = glob.glob("/sys/fs/bpf/ifpin/lsm_*")
        files = sorted(os.listdir(kept))
        os.unlink(kept + "/receive")
        must(IFPIN, "detach", self.name)
        self.attached()
        self.assertEqual(glob.glob("/sys/fs/bpf/ifpin/lsm_*"), [kept])
        self.assertEqual(sorted(os.listdir(kept)), files)
        os.rename(kept, "/sys/fs/bpf/ifpin/lsm_0123456789abcdef")
        must(IFPIN, "gc")
        self.assertEqual(glob.glob("/sys/fs/bpf/ifpin/lsm_*"), [])
        self.assertIn("held", run(IFPIN, "status", self.name).stdout)
        u = self.foreign(socket.AF_INET, socket.SOCK_DGRAM)
        self.assertEqual(self.give(u.fileno()), f"([], {int(socket.MSG_CTRUNC)})")
