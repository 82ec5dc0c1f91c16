# SPDX-License-Identifier: MIT
"""Attached confinements under hard conditions: storms of processes, kills at random moments, many
at once, commands that race, and hosts on which they cannot work."""
import contextlib
import os
import random
import select
import signal
import subprocess
import time

from lab import IFPIN, Lab, any_ip, must, run

STORM = os.path.join(os.path.dirname(IFPIN), "storm")
FOLDER = "/sys/fs/bpf/ifpin"


class Attached(Lab):
    def setUp(self):
        super().setUp()
        self.bpffs()
        self.group = self.cgroup("storm")

    def below(self, name):
        path = f"{self.group}/{name}"
        os.mkdir(path)
        return path

    def attach(self, path, *options, device="in0", name="storm", **kw):
        return run(IFPIN, "attach", f"--cgroup={path}", f"--name={name}", *options, device, **kw)

    def ok(self, p):
        self.assertEqual(p.returncode, 0, p.stderr)
        return p

    def storm(self, path, workers=3, *options):
        """Which has sent something by the other device already."""
        p = self.popen([STORM, path, self.out_index(), workers, *options], stdout=subprocess.PIPE)
        self.rounds(p, 4 * workers)
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
            return sorted(n for n in os.listdir(FOLDER) if not n.startswith("host_"))
        return []


class Storms(Attached):
    def test_fork_storm(self):
        """A hundred rounds: whatever was opened before, while and after, nothing leaves."""
        for i in range(100):
            path = self.below(f"round-{i}")
            storm = self.storm(path, 3, *["pass"] * (i % 2))
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
        for file in "link_0", "state", "meta":
            names = os.listdir(f"{FOLDER}/pin_storm")
            file = next(n for n in sorted(names) if n.startswith(file.split("_")[0]))
            os.unlink(f"{FOLDER}/pin_storm/{file}")
            self.ok(self.attach(self.group, "--existing=kill"))
            self.assertEqual(sorted(os.listdir(f"{FOLDER}/pin_storm")), sorted(names))
            self.drain()
            self.rounds(storm, 12)
            self.assertEqual(self.leaked(any_ip), 0, file)
        self.assertEqual(self.folders(), ["pin_storm"])


del Lab
