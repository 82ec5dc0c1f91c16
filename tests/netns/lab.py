# SPDX-License-Identifier: MIT
"""A chassis for tests: this process is the host, a peer namespace sits behind in0 and out0.

The peers are namespaces without a name, held by a `cat` that ends when our end of its pipe
closes. So nothing is left behind, however a test run ends.
"""
import contextlib
import ctypes
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

IFPIN = os.environ.get("IFPIN", "build/ifpin")
LEAKER = os.environ.get("LEAKER", "build/leaker")
MARKER = b"ifpin-test-marker"
CGROUPS = next(line.split()[1] for line in open("/proc/self/mounts") if line.split()[2] == "cgroup2")
serial = itertools.count()
PACE = 10 if os.environ.get("IFPIN_VM") else 1  # an emulated machine takes that much longer
try:
    with open("/sys/kernel/security/lsm") as _lsm:
        HAS_LSM = "bpf" in _lsm.read().strip().split(",")
except FileNotFoundError:
    HAS_LSM = False
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(*argv, **kw):
    kw.setdefault("timeout", 60 * PACE)
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)


def must(*argv, **kw):
    p = run(*argv, **kw)
    if p.returncode:
        raise RuntimeError(f"{argv}: {p.returncode}: {p.stdout}{p.stderr}")
    return p.stdout


def proof(path):
    """A report of `ifpin prove --json`; every one of them is what the schema says."""
    import jsonschema  # the demonstration reads no report, and runs where this is not installed
    with open(path) as f:
        report = json.load(f)
    with open(os.path.join(os.path.dirname(__file__), "../../docs/proof.schema.json")) as f:
        schema = json.load(f)
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)
    return report


class Peer:
    """A network namespace."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        # An echoed byte says that unshare is over and cat runs in the new namespace.
        self.holder.stdin.write(b"x")
        self.holder.stdin.flush()
        self.holder.stdout.read(1)
        self.pid = self.holder.pid

    def cmd(self, *argv):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"] + [str(a) for a in argv]

    def run(self, *argv, **kw):
        return run(*self.cmd(*argv), **kw)

    def socket(self, *args):
        """A socket of the peer's namespace in this process."""
        mine = os.open("/proc/self/ns/net", os.O_RDONLY)
        theirs = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(theirs, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            return socket.socket(*args)
        finally:
            libc.setns(mine, CLONE_NEWNET)
            os.close(mine)
            os.close(theirs)

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


def ip_batch(lines, prefix=()):
    """ip(8) once for all of them: where processes are slow to start, most of a test's time."""
    must(*prefix, "ip", "-batch", "-", input="".join(line + "\n" for line in lines))


def until_up(device, peer):
    """Until a frame passes a veth device."""
    with peer.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)) as there, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as here:
        here.bind((device, 0x88b5))
        there.settimeout(0.01)
        for _ in range(1000 * PACE):
            with contextlib.suppress(OSError):
                here.send(b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + b"\0" * 46)
                there.recv(64)
                return
    raise RuntimeError(f"nothing passes {device}")


class Wire:
    """Counts frames that reach a peer."""
    serial = 0

    def __init__(self, peer):
        self.sock = peer.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.sock.settimeout(10)

    def frames(self, sentinel_device, match=MARKER):
        """All frames with a marker until now: a sentinel sent behind them says when to stop."""
        Wire.serial += 1
        sentinel = b"sentinel-%d-%d" % (os.getpid(), Wire.serial)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((sentinel_device, 0x88b5))
            s.send(b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + sentinel + b"\0" * 40)
        n = 0
        while True:
            data, addr = self.sock.recvfrom(65536)
            if addr[2] == socket.PACKET_OUTGOING:
                continue
            if sentinel in data:
                return n
            n += match in data if isinstance(match, bytes) else bool(match(data))

    def close(self):
        self.sock.close()


# Holds a pipe; at its end, however that comes, everything in the cgroup ends, and it too.
KEEPER = """
import os, select, sys
path = sys.argv[1]
sys.stdin.read()
if not os.path.isdir(path):
    sys.exit()
with open(path + "/cgroup.kill", "w") as f:
    f.write("1")
with open(path + "/cgroup.events") as f:
    events = select.poll()
    events.register(f, select.POLLPRI)
    while "populated 1" in f.read():
        events.poll()
        f.seek(0)
for dir, below, files in os.walk(path, topdown=False):
    os.rmdir(dir)
"""


def enter(cgroup):
    """For preexec_fn: a process of this cgroup that ends with the test."""
    def call():
        die_with_parent()
        with open(cgroup + "/cgroup.procs", "w") as f:
            f.write("0")
    return call


def any_ip(data):
    """A frame of any program: IP, and neither neighbour nor router discovery nor MLD."""
    if data[12:14] == b"\x08\x00":
        return True
    return data[12:14] == b"\x86\xdd" and data[20] not in (0, 58)


class Chassis:
    """The host's two devices and what is behind them."""
    default_by = "out0"

    def build(self):
        """In a network namespace that is new: nothing of the test before is there."""
        self.stack = contextlib.ExitStack()
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        # Processes of a test that failed end with the host's devices, not before.
        self.pin, self.pout = Peer(), Peer()
        self.stack.callback(self.pin.close)
        self.stack.callback(self.pout.close)
        for path, value in (("ipv6/conf/default/accept_dad", "0"), ("ipv6/conf/all/accept_dad", "0"),
                            ("ipv4/ping_group_range", "0 2147483647")):
            with open("/proc/sys/net/" + path, "w") as f:
                f.write(value)
        self.make_devices()
        self.wire = Wire(self.pout)
        self.stack.callback(self.wire.close)

    def make_devices(self):
        script = []
        for dev, peer, n in (("in0", self.pin, 1), ("out0", self.pout, 2)):
            script += [f"link add {dev} address 02:00:00:00:{n:02}:01 type veth peer name eth0 "
                       f"netns /proc/{peer.pid}/ns/net",
                       f"link set {dev} up", f"addr add 10.0.{n}.1/24 dev {dev}",
                       f"addr add fd00:{n}::1/64 dev {dev} nodad"]
        script += ["link set lo up", f"route replace default via 10.0.{self.gateway()}.2",
                   f"route replace ::/0 via fd00:{self.gateway()}::2"]
        ip_batch(script)
        self.stack.callback(run, "ip", "link", "del", "in0")
        self.stack.callback(run, "ip", "link", "del", "out0")
        for peer, n in ((self.pin, 1), (self.pout, 2)):
            ip_batch(["link set lo up", "link set eth0 up", f"addr add 10.0.{n}.2/24 dev eth0",
                      f"addr add fd00:{n}::2/64 dev eth0 nodad", f"route add default via 10.0.{n}.1"],
                     peer.cmd())
        # A carrier that comes is made known by a work item; until then what is sent is dropped.
        for dev, peer in (("in0", self.pin), ("out0", self.pout)):
            until_up(dev, peer)

    def gateway(self):
        return 2 if self.default_by == "out0" else 1

    def ifpin(self, *argv, options=("--dns=system",), device="in0", **kw):
        return run(IFPIN, "run", *options, device, "--", *argv, **kw)

    def popen(self, argv, **kw):
        """A process that ends with the test."""
        kw.setdefault("preexec_fn", die_with_parent)
        p = subprocess.Popen([str(a) for a in argv], **kw)

        def end():
            if p.poll() is None:
                p.terminate()
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            for f in (p.stdin, p.stdout, p.stderr):
                if f:
                    f.close()
        self.stack.callback(end)
        return p

    def living(self, name, options=()):
        """A confinement that lives until its standard input is closed."""
        p = self.popen([IFPIN, "run", "--dns=system", f"--name={name}", *options, "in0",
                        "cat"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(b"x")
        p.stdin.flush()
        if p.stdout.read(1) != b"x":
            raise RuntimeError("the confinement did not start")
        return p

    def bpffs(self):
        """A bpffs of this run's own, in its private mount namespace; empty."""
        must("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        self.stack.callback(must, "umount", "-l", "/sys/fs/bpf")
        self.stack.callback(self.end_pins)

    @staticmethod
    def end_pins():
        """One after the other: an umount would free all of their programs at once."""
        with contextlib.suppress(FileNotFoundError):
            names = [f[4:].replace("+", ".") for f in os.listdir("/sys/fs/bpf/ifpin")
                     if f.startswith("pin_")]
            if names:
                run(IFPIN, "detach", *names, timeout=600)

    def cgroup(self, name="ifpin-test"):
        """A cgroup that is gone, with what lives in it, when the test ends or is killed."""
        path = f"{CGROUPS}/{name}-{os.getpid()}-{next(serial)}"
        os.mkdir(path)
        keeper = subprocess.Popen([sys.executable, "-ISc", KEEPER, path], stdin=subprocess.PIPE,
                                  start_new_session=True)

        def end():
            keeper.stdin.close()
            keeper.wait()
        self.stack.callback(end)
        return path

    def service(self, cgroup, argv, **kw):
        """A process that is born in a cgroup, and ends with the test."""
        return self.popen(argv, preexec_fn=enter(cgroup), **kw)

    def tempdir(self):
        """A directory that every user may enter; not in /tmp, which --isolate hides."""
        path = tempfile.mkdtemp(prefix="ifpin-test-", dir="/var/tmp")
        os.chmod(path, 0o755)
        self.stack.callback(shutil.rmtree, path)
        return path

    def plain_root(self):
        """For sshd: a folder in /run, and a root whose shell knows nothing of this host's: what that
        one's files start may wait for others on the host. In this run's private mounts."""
        users = os.path.join(self.tempdir(), "passwd")
        with open(users, "w") as f:
            f.write(f"root:x:0:0:root:{os.path.dirname(users)}:/bin/sh\n"
                    "sshd:x:65534:65534:sshd:/run/sshd:/usr/sbin/nologin\n")
        for where, *how in (("/run", "-t", "tmpfs", "tmpfs"), ("/etc/passwd", "--bind", users)):
            must("mount", *how, where)
            self.stack.callback(must, "umount", "-l", where)
        os.mkdir("/run/sshd", 0o755)

    def out_index(self):
        return socket.if_nametoindex("out0")

    def leaked(self, match=MARKER):
        return self.wire.frames("out0", match)

    def wait_port(self, argv_prefix, port, family=4):
        """Until a TCP port listens in a namespace; an event would need the program's help."""
        deadline = time.monotonic() + 15 * PACE
        while time.monotonic() < deadline:
            out = run(*argv_prefix, "ss", f"-{family}Hltn", f"sport = :{port}").stdout
            if out.strip():
                return
            select.select([], [], [], 0.02)
        raise RuntimeError(f"nothing listens on port {port}")


    def until_closed(self, address):
        """Until no connection to an address can cause a frame any more: the last ones are answered
        when the program that had them is gone already."""
        deadline = time.monotonic() + 15 * PACE
        while time.monotonic() < deadline:
            if not must("ss", "-Htn", "state", "connected", "exclude", "time-wait", "dst", address).strip():
                return
            select.select([], [], [], 0.02)
        raise RuntimeError(f"connections to {address} stay")


class Lab(Chassis, unittest.TestCase):
    """Every test starts the chassis anew, for tests break devices."""

    def setUp(self):
        self.addCleanup(lambda: self.stack.close())
        self.build()

    def until_empty(self, path):
        """The end of its output comes before a process has left its cgroup."""
        events = select.poll()
        end = time.monotonic() + 20
        with open(f"{path}/cgroup.events") as f:
            events.register(f, select.POLLPRI)
            while "populated 1" in f.read():
                self.assertLess(time.monotonic(), end)
                events.poll(1000)
                f.seek(0)
