# SPDX-License-Identifier: MIT
"""An ifpind of a test's own: folders, cgroups, bpffs and sockets."""
import contextlib
import grp
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

from lab import IFPIN, KEEPER, Lab, die_with_parent, must, run

BUILD = os.path.dirname(IFPIN)
IFPIND = os.path.join(BUILD, "ifpind")
EXPORTER = os.path.join(BUILD, "ifpin-exporter")
GROUP = "games"  # every Debian has it, and nobody is in it
GID = grp.getgrnam(GROUP).gr_gid
NOBODY = 65534
PYTHON = "/usr/bin/python3"  # one that every user may start
FOLDER = "/sys/fs/bpf/ifpin"


def cgroup_root():
    for line in open("/proc/self/mountinfo"):
        if " - cgroup2 " in line and line.split()[3] == "/":
            return line.split()[4]
    raise RuntimeError("no cgroup v2")


def has_ended(pid):
    """Buried or not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def become(groups=(), uid=NOBODY, inside=None):
    """For preexec_fn: another user, or another cgroup."""
    def fn():
        if inside:
            with open(f"{inside}/cgroup.procs", "w") as f:
                f.write("0")
        if uid:
            os.setgroups(list(groups))
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(uid, uid, uid)
        die_with_parent()  # which a change of user would undo
    return fn


class DaemonLab(Lab):
    def setUp(self):
        super().setUp()
        must("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        self.stack.callback(must, "umount", "-l", "/sys/fs/bpf")
        self.dir = self.tempdir()
        self.conf, self.runtime = f"{self.dir}/pins.d", f"{self.dir}/run"
        os.mkdir(self.conf)
        self.root = cgroup_root()
        self.own = f"ifpintest{os.getpid()}"
        self.keep_cgroups()
        self.daemon = self.log = None
        with open("/proc/sys/net/unix/max_dgram_qlen", "w") as f:
            f.write("512")  # nobody reads while a test waits for something else
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(f"{self.dir}/notify")
        self.notify.settimeout(60)
        self.stack.callback(self.notify.close)
        self.lines, self.history = [], []

    def keep_cgroups(self):
        """Gone when the test ends or is killed: its own, the daemon's and those of units."""
        for kind in "", "d", ".slice":
            keeper = subprocess.Popen(
                [sys.executable, "-ISc", KEEPER, f"{self.root}/{self.own}{kind}"],
                stdin=subprocess.PIPE, start_new_session=True)

            def end(keeper=keeper):
                keeper.stdin.close()
                keeper.wait()
            self.stack.callback(end)

    # ---- files and cgroups ----

    def write(self, name, text=None, mode=0o644, **keys):
        """The file of a pin: text, or keys of section [Pin]."""
        if text is None:
            text = "[Pin]\n" + "".join(f"{k}={v}\n" for k, v in keys.items())
        path = f"{self.conf}/{name}.conf"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def cgroup(self, name):
        """Makes one; its path from the root of cgroup v2."""
        os.makedirs(f"{self.root}/{self.own}/{name}", exist_ok=True)
        return f"/{self.own}/{name}"

    def popen_in(self, cgroup, *argv, **kw):
        inside = self.root + cgroup
        p = self.popen_raw(argv, preexec_fn=become(uid=0, inside=inside), **kw)
        return p

    def popen_raw(self, argv, **kw):
        p = subprocess.Popen([str(a) for a in argv], **kw)

        def end():
            p.kill()
            p.wait()
            for f in (p.stdin, p.stdout, p.stderr):
                with contextlib.suppress(BrokenPipeError):
                    if f:
                        f.close()
        self.stack.callback(end)
        return p

    def pins(self):
        try:
            return sorted(n[4:] for n in os.listdir(FOLDER) if n.startswith("pin_"))
        except FileNotFoundError:
            return []

    # ---- the daemon ----

    def command(self, *options):
        return [IFPIND, "--config", self.conf, "--runtime", self.runtime, "--group", GROUP,
                "--cgroup", f"{self.own}d", "--exporter", EXPORTER, "--bpffs", FOLDER, *options]

    def start(self, *options, wait=True, env=(), prefix=(), **kw):
        if self.log:
            self.log.close()
        # What one that was killed has told before is not news of this one.
        while select.select([self.notify], [], [], 0)[0]:
            self.notify.recv(4096)
        self.daemon = self.popen_raw(
            [*prefix, *self.command(*options)], preexec_fn=die_with_parent, stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": f"{self.dir}/notify", **dict(env)}, **kw)
        self.log = self.daemon.stderr
        os.set_blocking(self.log.fileno(), False)
        self.rest = b""
        if wait:
            self.until_notified("READY=1")
        return self.daemon

    def until_notified(self, what, seconds=60):
        """Reads the log meanwhile, for who writes it would wait for that."""
        end = time.monotonic() + seconds
        sources = [self.notify, self.log]
        while True:
            left = end - time.monotonic()
            if left <= 0 or self.notify not in sources:
                self.fail("\n".join([f"{what} was not told:", *self.history[-12:]]))
            ready = select.select(sources, [], [], left)[0]
            self.read_log()
            if self.notify in ready:
                data = self.notify.recv(4096).decode()
                if what in data:
                    return data
            elif self.daemon.poll() is not None:
                sources.remove(self.log if self.log in sources else self.notify)

    def read_log(self):
        while True:
            try:
                data = self.log.read()
            except ValueError:
                return
            if not data:
                return
            *whole, self.rest = (self.rest + data).split(b"\n")
            self.lines += [line.decode() for line in whole]
            self.history += [line.decode() for line in whole]

    def until_said(self, pattern, seconds=60):
        """A line of the log from here on; events say when to look."""
        end = time.monotonic() + seconds
        while True:
            self.read_log()
            while self.lines:
                line = self.lines.pop(0)
                if re.search(pattern, line):
                    return line
            left = end - time.monotonic()
            if left <= 0 or (self.daemon.poll() is not None and not self.rest):
                self.fail("\n".join([f"ifpind did not say {pattern!r}:", *self.history[-12:]]))
            select.select([self.log], [], [], left)

    def reload(self):
        """Returns what was said meanwhile."""
        self.read_log()
        self.lines.clear()
        self.daemon.send_signal(signal.SIGHUP)
        self.until_notified("RELOADING=1")
        self.until_notified("READY=1")
        self.read_log()
        return self.lines[:]

    def kill9(self):
        self.daemon.kill()
        self.daemon.wait()

    def stop(self):
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(60), 0)

    def until(self, condition, seconds=60):
        """For what no event tells; asks fifty times a second."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come about")
            select.select([], [], [], 0.02)

    # ---- users ----

    @property
    def control(self):
        return f"{self.runtime}/control.sock"

    def user_run(self, pin, *argv, groups=(GID,), uid=NOBODY, options=(), **kw):
        return run(IFPIN, "run", f"--control={self.control}", *options, pin, "--", *argv,
                   preexec_fn=become(groups, uid), **kw)

    def user_popen(self, pin, *argv, groups=(GID,), uid=NOBODY, options=(), **kw):
        return self.popen_raw([IFPIN, "run", f"--control={self.control}", *options, pin, "--",
                               *argv], preexec_fn=become(groups, uid), **kw)

    def scrape(self, path="/metrics"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(f"{self.runtime}/metrics.sock")
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while chunk := s.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        return head.decode(), body.decode()
