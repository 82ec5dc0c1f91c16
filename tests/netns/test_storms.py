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
            storm = self.storm(path)
            select.select([], [], [], random.random() * 0.01)
            p = self.ok(self.attach(path, "--existing=kill"))
            self.drain()
            self.rounds(storm, 12)
            self.assertEqual(self.leaked(any_ip), 0, (i, p.stderr))
            self.end_of(path, storm)
            must(IFPIN, "detach", "storm")
            os.rmdir(path)


