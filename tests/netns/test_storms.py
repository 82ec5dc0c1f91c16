# SPDX-License-Identifier: MIT
"""Attached confinements under hard conditions: storms of processes, kills at random moments, many
at once, commands that race, and hosts on which they cannot work."""
import contextlib
import ctypes
import fcntl
import glob
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time

from lab import IFPIN, LEAKER, Lab, any_ip, enter, libc, must, run
from links import Links

FOLLOWER = os.path.join(os.path.dirname(IFPIN), "follower")
STORM = os.path.join(os.path.dirname(IFPIN), "storm")
FOLDER = "/sys/fs/bpf/ifpin"
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SYS_BPF = 22, 2, 321
BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_LINK_CREATE = 0, 2, 5, 6, 28


class Attached(Lab):
    def setUp(self):
        super().setUp()
        self.bpffs()
        self.group = self.cgroup("ifpin-test-storm")

    def below(self, name):
        path = f"{self.group}/{name}"
        os.mkdir(path)
        return path

    def attach(self, path, *options, device="in0", name="storm", **kw):
        return run(IFPIN, "attach", f"--cgroup={path}", f"--name={name}", *options, device, **kw)

    def ok(self, p):
        self.assertEqual(p.returncode, 0, p.stderr)
        return p

    def storm(self, path, *options, pause_us=20000, workers=3):
        """Which has sent something by the other device already."""
        p = self.popen([STORM, path, self.out_index(), workers, pause_us, *options],
                       stdout=subprocess.PIPE)
        self.rounds(p, 2 * workers)
        self.assertGreater(self.leaked(), 0)
        return p

    def rounds(self, storm, n):
        """Waits for n more rounds of a storm's workers."""
        fd = storm.stdout.fileno()
        while select.select([fd], [], [], 0)[0]:
            if not os.read(fd, 65536):
                self.fail("the storm is over")
        while n > 0:
            n -= len(os.read(fd, n))

    def end_of(self, path, storm=None):
        with open(f"{path}/cgroup.kill", "w") as f:
            f.write("1")
        self.until_empty(path)
        if storm:
            storm.wait()
            storm.stdout.close()

    def drain(self, match=any_ip):
        """What was sent up to now may wait at each processor; frames of one stay in order."""
        mine = os.sched_getaffinity(0)
        for cpu in mine:
            os.sched_setaffinity(0, {cpu})
            self.leaked(match)
        os.sched_setaffinity(0, mine)

    def folders(self):
        """Of confinements, whatever state they are in."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(n for n in os.listdir(FOLDER) if n[:4] in ("pin_", "new_", "old_"))
        return []


class Storms(Attached):
    def test_fork_storm(self):
        """A hundred rounds: whatever was opened before, while and after, nothing leaves."""
        for i in range(100):
            path = self.below(f"round-{i}")
            storm = self.storm(path, *["pass"] * (i % 2), pause_us=1000)
            select.select([], [], [], random.random() * 0.01)
            p = self.ok(self.attach(path, "--existing=kill"))
            self.drain()
            self.rounds(storm, 12)
            self.assertEqual(self.leaked(any_ip), 0, (i, p.stderr))
            self.end_of(path, storm)
            must(IFPIN, "detach", "storm")
            os.rmdir(path)

    def test_sockets_on_their_way(self):
        """Made outside, and nowhere but in messages of unix sockets, one of these in another's."""
        code = """if 1:
            import os, socket, sys
            kind = getattr(socket, sys.argv[1])
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            a, b = socket.socketpair(socket.AF_UNIX, kind)
            c, d = socket.socketpair(socket.AF_UNIX, kind)
            open(sys.argv[2] + "/cgroup.procs", "w").write("0")
            a.send(b"first")
            socket.send_fds(a, [b"x"], [udp.fileno(), 0])
            socket.send_fds(a, [b"y"], [b.fileno()])
            socket.send_fds(c, [b"z"], [a.fileno(), b.fileno()])
            for s in udp, a, b: s.close()
            print("ready", flush=True)
            sys.stdin.readline()
            b = socket.socket(fileno=socket.recv_fds(d, 1, 2)[1][1])
            left = b"firstxy"
            while left:
                data, fds, flags, address = socket.recv_fds(b, 5, 2)
                left = left[len(data):]
                for fd in fds:
                    try: socket.socket(fileno=fd).sendto(b"ifpin-test-marker", ("10.0.2.2", 9))
                    except Exception as e: print(type(e).__name__, end=" ")
            print("end")"""
        for kind in "SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET":
            for confined in False, True:
                path = self.below(f"{kind}-{confined}")
                p = self.popen(["python3", "-c", code, kind, path], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
                self.assertEqual(p.stdout.readline(), "ready\n")
                if confined:
                    refused = self.attach(path, "--existing=pin")
                    self.assertEqual(refused.returncode, 125)
                    self.assertIn("was made outside of the cgroup", refused.stderr)
                    self.ok(self.attach(path, "--existing=kill"))
                p.stdin.write("\n")
                p.stdin.flush()
                out = p.stdout.readline()
                self.assertTrue(out.endswith("end\n"), out)
                self.assertEqual("BrokenPipeError" in out, confined, (kind, out))
                self.assertEqual(self.leaked(), 0 if confined else 1)
                p.wait(10)
            must(IFPIN, "detach", "storm")

    def test_sockets_in_connections(self):
        """Which nobody has accepted: there is no way to look into them."""
        code = """if 1:
            import socket, sys
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            open(sys.argv[1] + "/cgroup.procs", "w").write("0")
            l, c = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
            l.bind("\\0ifpin-test")
            l.listen()
            c.connect(l.getsockname())
            socket.send_fds(c, [b"x"], [udp.fileno()])
            udp.close()
            print("ready", flush=True)
            sys.stdin.readline()
            a = l.accept()[0]
            print("accepted", flush=True)
            sys.stdin.readline()"""
        p = self.popen(["python3", "-c", code, self.group], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        refused = self.attach(self.group, "--existing=kill")
        self.assertEqual(refused.returncode, 125)
        self.assertIn("that it has not accepted; try again", refused.stderr)
        self.assertEqual(self.folders(), [])
        p.stdin.write("\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), "accepted\n")
        self.ok(self.attach(self.group, "--existing=kill"))

    def test_parts_taken_away(self):
        """What is whole is taken over as it is; what is not is made anew."""
        storm = self.storm(self.group)
        self.ok(self.attach(self.group, "--existing=kill"))
        before = os.stat(f"{FOLDER}/pin_storm/meta").st_ino
        self.ok(self.attach(self.group, "--existing=kill"))
        self.assertEqual(os.stat(f"{FOLDER}/pin_storm/meta").st_ino, before)
        names = sorted(os.listdir(f"{FOLDER}/pin_storm"))
        for file in "pin_storm/link0", "pin_storm/meta", "host_*/set_*/pins", "host_*/set_*/prog*":
            os.unlink(sorted(glob.glob(f"{FOLDER}/{file}"))[0])
            self.ok(self.attach(self.group, "--existing=kill"))
            self.assertEqual(sorted(os.listdir(f"{FOLDER}/pin_storm")), names)
            self.drain()
            self.rounds(storm, 12)
            self.assertEqual(self.leaked(any_ip), 0, file)
        self.assertEqual(self.folders(), ["pin_storm"])


class Kills(Attached):
    kills = int(os.environ.get('KILLS', 200))

    def until_thawed(self, path):
        """Whoever stopped it has a guard, which lets it go on and then lets go of the folder."""
        folder = os.open(FOLDER, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        os.close(folder)
        with open(f"{path}/cgroup.freeze") as f:
            self.assertEqual(f.read(), "0\n")
        events = select.poll()
        end = time.monotonic() + 10
        with open(f"{path}/cgroup.events") as f:
            events.register(f, select.POLLPRI)
            while "frozen 1" in f.read():
                self.assertLess(time.monotonic(), end, "it stands still")
                events.poll(1000)
                f.seek(0)

    def killed(self, after, *argv):
        """Whether it was killed before it was done."""
        p = subprocess.Popen([IFPIN, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pidfd = os.pidfd_open(p.pid)
        select.select([pidfd], [], [], after)
        p.send_signal(signal.SIGKILL)
        os.close(pidfd)
        return p.wait() == -signal.SIGKILL

    def usual(self, *argv):
        began = time.monotonic()
        must(IFPIN, *argv)
        return time.monotonic() - began

    def test_two_hundred_kills(self):
        """Of attach and detach in turn, each at some moment of its usual time."""
        attach = ("attach", f"--cgroup={self.group}", "--name=storm", "--existing=kill", "in0")
        detach = ("detach", "storm")
        storm = self.storm(self.group)
        usual = {attach: self.usual(*attach), detach: self.usual(*detach)}
        done = 0
        for i in range(self.kills):
            argv = detach if i % 2 else attach
            after = random.random() * usual[argv] * 1.2
            done += not self.killed(after, *argv)
            with self.subTest(i=i, argv=argv[0], after=after):
                self.until_thawed(self.group)
                if argv is attach:
                    must(IFPIN, "gc")
                    self.assertFalse(os.path.exists(f"{self.group}/ifpin-probe"))
                    self.assertEqual(run(IFPIN, *attach).returncode, 0)
                    self.assertEqual(self.folders(), ["pin_storm"])
                    self.drain()
                    self.rounds(storm, 4)
                    self.assertEqual(self.leaked(any_ip), 0)
                else:
                    p = run(IFPIN, *detach)
                    if p.returncode:
                        self.assertIn("no confinement is called", p.stderr)
                    self.assertEqual(self.folders(), [])
                    self.rounds(storm, 2)
                    self.assertGreater(self.leaked(), 0)
        # Some were quicker than usual; most were not.
        self.assertLess(done, self.kills * 2 // 3)

    def test_kept_while_killed(self):
        """What is in force holds while commands that would replace it are killed."""
        storm = self.storm(self.group)
        argv = ["attach", f"--cgroup={self.group}", "--name=storm", "--existing=kill", "in0"]
        self.usual(*argv)
        usual = self.usual(*argv, "--loopback=deny")
        self.drain()
        for i in range(40):
            self.killed(random.random() * usual * 1.2, *argv,
                        f"--loopback={('allow', 'deny')[i % 2]}")
            self.until_thawed(self.group)
        self.rounds(storm, 12)
        self.assertEqual(self.leaked(any_ip), 0)
        must(IFPIN, *argv)
        self.assertEqual(self.folders(), ["pin_storm"])
        self.rounds(storm, 12)
        self.assertEqual(self.leaked(any_ip), 0)


class Together(Attached):
    def start(self, *argv):
        return self.popen([IFPIN, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)

    def test_two_commands_at_once(self):
        """One after the other, whichever comes first; what is left is one state or the other."""
        storm = self.storm(self.group)
        attach = ["attach", f"--cgroup={self.group}", "--name=storm", "--existing=kill", "in0"]
        for i in range(10):
            running = [self.start(*attach) for _ in range(4)]
            for p in running:
                self.assertEqual(p.wait(30), 0, p.stderr.read())
            self.assertEqual(self.folders(), ["pin_storm"])
            mixed = [self.start(*(["detach", "storm"] if n % 2 else attach)) for n in range(6)]
            for p in mixed:
                p.wait(30)
                message = p.stderr.read()
                if p.returncode:
                    self.assertIn("no confinement is called", message)
            self.assertIn(self.folders(), (["pin_storm"], []))
            held = self.folders() != []
            self.drain()
            self.rounds(storm, 6)
            self.assertEqual(self.leaked(any_ip) == 0, held)
            if held:
                must(IFPIN, "detach", "storm")

    def test_others_at_once(self):
        """Eight cgroups at a time, and their ends."""
        for i in range(3):
            paths = [self.below(f"{i}-{n}") for n in range(8)]
            running = [self.start("attach", f"--cgroup={path}", f"--name=pin{n}", "in0")
                       for n, path in enumerate(paths)]
            for p in running:
                self.assertEqual(p.wait(30), 0, p.stderr.read())
            self.assertEqual(self.folders(), [f"pin_pin{n}" for n in range(8)])
            running = [self.start("detach", f"pin{n}") for n in range(8)]
            for p in running:
                self.assertEqual(p.wait(30), 0, p.stderr.read())
            self.assertEqual(self.folders(), [])


def deny_bpf(command, errno):
    """For preexec_fn: bpf(2) fails with errno for one of its commands."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, SYS_BPF), (0x20, 0, 0, 16), (0x15, 0, 1, command),
            (0x06, 0, 0, 0x00050000 | errno), (0x06, 0, 0, 0x7fff0000)]
    raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    prog = ctypes.create_string_buffer(struct.pack("HP", len(code), ctypes.addressof(raw)))

    def install():
        if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    install.keep = raw
    return install


class Unfit(Attached):
    """Where it cannot work: a clear error, and everything as it was."""
    sockets = 40

    def setUp(self):
        super().setUp()
        self.other = self.below("other")
        self.path = self.below("service")
        code = ("import socket,sys;v=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) "
                f"for _ in range({self.sockets})];"
                "[s.connect(('10.0.1.2',9)) for s in v];print('ready',flush=True);"
                "sys.stdin.readline();"
                "socket.socket(2,2).sendto(b'ifpin-test-marker',('10.0.2.2',9));"
                "print([s.getsockopt(1,62) for s in v],flush=True);sys.stdin.readline()")
        self.service = self.popen(["python3", "-c", code], preexec_fn=enter(self.path), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(self.service.stdout.readline(), "ready\n")
        self.ok(self.attach(self.other, name="other"))

    def state(self):
        """All that a command could change: what is pinned, and what the service lives in."""
        found = []
        for path, below, files in os.walk(FOLDER):
            found += [(path, f, os.stat(f"{path}/{f}").st_ino) for f in files]
        for file in "cgroup.procs", "cgroup.freeze":
            with open(f"{self.path}/{file}") as f:
                found.append(f.read())
        groups = [path for path, below, files in os.walk(self.group)]
        return sorted(found, key=str), groups

    def refused(self, *message, option="--existing=pin", **kw):
        before = self.state()
        p = self.attach(self.path, option, name="service", **kw)
        self.assertEqual(p.returncode, 125, p.stderr)
        self.assertRegex(p.stderr, "|".join(message))
        self.assertEqual(self.state(), before, p.stderr)

    def untouched(self):
        self.service.stdin.write("\n")
        self.service.stdin.flush()
        self.assertEqual(self.service.stdout.readline(), f"{[0] * self.sockets}\n")
        self.assertEqual(self.leaked(), 1)

    def test_permissions(self):
        for cap in "cap_sys_admin", "cap_net_admin", "cap_bpf", "cap_sys_ptrace", "cap_net_raw":
            before = self.state()
            p = run("setpriv", f"--bounding-set=-{cap[4:]}", f"--inh-caps=-{cap[4:]}", IFPIN,
                    "attach", f"--cgroup={self.path}", "--name=service", "in0")
            self.assertEqual(p.returncode, 125, cap)
            self.assertIn(cap.upper(), p.stderr.upper())
            self.assertEqual(self.state(), before)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for argv in (["attach", f"--cgroup={self.path}", "in0"], ["detach", "other"]):
            before = self.state()
            p = run(*nobody, IFPIN, *argv)
            self.assertEqual(p.returncode, 125, argv)
            self.assertTrue(p.stderr)
            self.assertEqual(self.state(), before)
        self.untouched()

    def test_bpf_calls_that_fail(self):
        for command, errno, text in ((BPF_OBJ_PIN, 28, "No space left on device"),
                                     (BPF_LINK_CREATE, 12, "Cannot allocate memory"),
                                     (BPF_MAP_CREATE, 12, "."), (BPF_MAP_UPDATE_ELEM, 7, ".")):
            self.refused(text, preexec_fn=deny_bpf(command, errno))
        # Where there are no programs yet that could be shared.
        must(IFPIN, "detach", "other")
        for command, errno in (BPF_PROG_LOAD, 1), (BPF_LINK_CREATE, 12), (BPF_OBJ_PIN, 28):
            self.refused(".", preexec_fn=deny_bpf(command, errno))
            self.assertEqual(glob.glob(f"{FOLDER}/host_*/set_*"), [])
        self.untouched()

    def test_bpffs(self):
        must("mount", "-o", "remount,ro", "/sys/fs/bpf")
        before = self.state()
        self.refused("Read-only file system")
        p = run(IFPIN, "detach", "other")
        self.assertEqual(p.returncode, 125)
        self.assertIn("Read-only file system", p.stderr)
        self.assertEqual(self.state(), before)
        must("mount", "-o", "remount,rw", "/sys/fs/bpf")
        os.chown(FOLDER, 65534, 65534)
        self.refused("is not root's alone")
        os.chown(FOLDER, 0, 0)
        os.chmod(FOLDER, 0o777)
        self.refused("is not root's alone")
        os.chmod(FOLDER, 0o700)
        self.untouched()

    def test_read_only_cgroups(self):
        root = self.group.rsplit("/", 1)[0]
        must("mount", "--bind", root, root)
        try:
            must("mount", "-o", "remount,bind,ro", root)
            self.refused("Read-only file system")
        finally:
            must("umount", root)
        self.untouched()

    def test_exhausted_descriptors(self):
        """Each limit from 3 to 60: all of it, or nothing."""
        outcomes = set()
        for limit in range(3, 61):
            before = self.state()
            p = run("prlimit", f"--nofile={limit}:{limit}", IFPIN, "attach",
                    f"--cgroup={self.path}", "--name=service", "--existing=pin", "in0")
            outcomes.add(p.returncode)
            with self.subTest(limit):
                # Below that not even the dynamic linker can start a program.
                self.assertIn(p.returncode, (0, 125, 127), p.stderr)
                if p.returncode:
                    self.assertTrue(p.stderr)
                    self.assertEqual(self.state(), before)
                else:
                    self.assertEqual(self.folders(), ["pin_other", "pin_service"])
                    must(IFPIN, "detach", "service")
        self.assertEqual(outcomes - {127}, {0, 125})


class Flaps(Attached):
    """FLAPS sets how often: 10,000 take three minutes."""
    flaps = int(os.environ.get("FLAPS", "1000"))
    mac = "02:00:00:00:09:01"

    def setUp(self):
        super().setUp()
        self.links = Links()
        self.stack.callback(self.links.close)
        self.links.make("flap0", self.mac)
        self.stack.callback(run, "ip", "link", "del", "flap0")

    def holder(self):
        """A process that says which device its sockets are tied to."""
        code = ("import socket,sys\n"
                "v=[socket.socket(2,2) for _ in range(5)]\n"
                "for s in v: s.setsockopt(1,25,b'flap0')\n"
                "for line in iter(sys.stdin.readline,''):\n"
                " print([s.getsockopt(1,62) for s in v],flush=True)")
        p = self.popen(["python3", "-c", code], preexec_fn=enter(self.group), text=True,
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(self.asked(p), [socket.if_nametoindex("flap0")] * 5)
        return p

    def asked(self, holder):
        holder.stdin.write("\n")
        holder.stdin.flush()
        return json.loads(holder.stdout.readline())

    def follower(self):
        p = self.popen([FOLLOWER], stdout=subprocess.PIPE, text=True)
        while p.stdout.readline() != "ready\n":
            pass
        return p

    def flap(self):
        self.links.delete("flap0")
        self.links.make("flap0", self.mac)
        return socket.if_nametoindex("flap0")

    def until_back(self, follower, index):
        for line in iter(follower.stdout.readline, ""):
            if line.startswith("back storm ") and f"index {index};" in line:
                return
        self.fail("the follower has ended")

    def size(self, follower):
        """Resident KiB, and what it has open."""
        with open(f"/proc/{follower.pid}/status") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        return rss, sorted(os.readlink(f"/proc/{follower.pid}/fd/{fd}").split(":")[0]
                           for fd in os.listdir(f"/proc/{follower.pid}/fd"))

    def test_flaps(self):
        """Half of them as fast as it goes, half one by one; while a storm tries to get out."""
        holder = self.holder()
        storm = self.storm(self.group)
        self.ok(self.attach(self.group, "--existing=kill", device="flap0"))
        follower = self.follower()
        for _ in range(20):
            self.until_back(follower, self.flap())
        before = self.size(follower)
        self.drain()
        for burst in range(self.flaps // 100):
            for _ in range(50):
                index = self.flap()
            for _ in range(50):
                self.until_back(follower, index)
                index = self.flap()
            self.until_back(follower, index)
            self.rounds(storm, 1)
            self.assertEqual(self.leaked(any_ip), 0)
        self.assertEqual(self.asked(holder), [index] * 5)
        rss, files = self.size(follower)
        self.assertEqual(files, before[1])
        self.assertLess(rss, before[0] + 256)
        self.assertEqual(self.folders(), ["pin_storm"])

    def test_follower_killed(self):
        """At random moments of a flap: closed while nobody follows, and then open again."""
        holder = self.holder()
        storm = self.storm(self.group)
        self.ok(self.attach(self.group, "--existing=kill", device="flap0"))
        self.drain()
        for i in range(30):
            follower = self.follower()
            self.links.delete("flap0")
            if i % 2:
                select.select([], [], [], random.random() * 0.005)
            else:
                self.links.make("flap0", self.mac)
                select.select([], [], [], random.random() * 0.005)
            follower.kill()
            follower.wait()
            if i % 2:
                self.links.make("flap0", self.mac)
            index = socket.if_nametoindex("flap0")
            self.rounds(storm, 3)
            self.assertEqual(self.leaked(any_ip), 0)
            follower = self.follower()
            with self.subTest(i):
                self.assertEqual(self.asked(holder), [index] * 5)
            follower.kill()
            follower.wait()


class Many(Attached):
    count = int(os.environ.get("IFPIN_TEST_PINS", "1000"))
    devices = 1000

    def setUp(self):
        super().setUp()
        self.names = [f"many{n}" for n in range(self.count)]

    def attach_all(self, device):
        for name in self.names:
            self.ok(self.attach(self.below(name), name=name, device=device(name)))
        self.assertEqual(len(self.folders()), self.count)

    def leaks_from(self, name):
        """How many of its packets left by the other device."""
        p = run(LEAKER, self.out_index(), 2, preexec_fn=enter(f"{self.group}/{name}"))
        self.assertEqual(p.returncode, 0, p.stderr)
        return self.leaked()

    def some(self):
        return [self.names[0], self.names[-1], *random.sample(self.names[1:-1], 8)]

    def test_many_pins(self):
        """On a device that goes and comes back, and that all of them follow."""
        links = Links()
        self.stack.callback(links.close)
        links.make("flap0", "02:00:00:00:09:01")
        self.stack.callback(run, "ip", "link", "del", "flap0")
        some = self.some()
        os.mkdir(f"{self.group}/probe")
        self.assertEqual(self.leaks_from("probe"), 4)
        self.attach_all(lambda name: "flap0")
        for name in some:
            self.assertEqual(self.leaks_from(name), 0, name)
        follower = self.popen([FOLLOWER], stdout=subprocess.PIPE, text=True)
        self.assertEqual(follower.stdout.readline(), "ready\n")
        links.delete("flap0")
        links.make("flap0", "02:00:00:00:09:01")
        back = set()
        while len(back) < self.count:
            line = follower.stdout.readline()
            self.assertIn(line.split()[0], ("gone", "back"), line)
            if line.startswith("back "):
                back.add(line.split()[1])
        for name in some:
            self.assertEqual(self.leaks_from(name), 0, name)
        must(IFPIN, "detach", *self.names)
        self.assertEqual(self.folders(), [])
        self.assertEqual(self.leaks_from(some[0]), 4)

    def test_thousand_devices(self):
        """Each with a pin; all go in one burst, and come back."""
        links = Links()
        self.stack.callback(links.close)
        self.stack.callback(run, "ip", "link", "del", "group", "7")
        self.names = [f"many{n}" for n in range(self.devices)]
        for n, name in enumerate(self.names):
            links.make(name, f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}", "ifb", 7)
        some = self.some()
        for name in self.names:
            self.ok(self.attach(self.below(name), name=name, device=name))
        follower = self.popen([FOLLOWER], stdout=subprocess.PIPE, text=True)
        self.assertEqual(follower.stdout.readline(), "ready\n")
        must("ip", "link", "del", "group", "7")
        gone = {follower.stdout.readline().split()[1] for _ in self.names}
        self.assertEqual(gone, set(self.names))
        for n, name in enumerate(self.names):
            links.make(name, f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}", "ifb", 7)
        back = {follower.stdout.readline().split()[1] for _ in self.names}
        self.assertEqual(back, set(self.names))
        for name in some:
            self.assertEqual(self.leaks_from(name), 0, name)


del Lab
