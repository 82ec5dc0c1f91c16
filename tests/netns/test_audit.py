# SPDX-License-Identifier: MIT
"""Each check of `ifpin audit`: what it looks for is made, seen, mended by the command it printed, gone.

Where a check says that frames leak, they are counted before and after. The rows are in
audit_rows.py. Devices that this kernel has not got are judged in tests/unit/test_audit.c.
"""
import json
import os
import socket
import subprocess
import sys

from audit_rows import ROWS
from lab import CLONE_NEWNET, IFPIN, MARKER, Lab, Wire, libc, must, run

# Judged by messages made by hand, in tests/unit/test_audit.c: this kernel has no such devices, or
# no such action.
BY_HAND = {"bond-port", "team-port", "vrf-port", "other-port", "vlan-on", "l3mdev-accept", "tc-rewrite",
           "offload"}
# Settings of the whole machine, which are not touched.
OF_THE_MACHINE = {"user-namespaces", "unprivileged-bpf"}
LISTENS = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin:\n    told()\n    print('done', flush=True)\n"


class AuditLab(Lab):
    """The chassis, with words for the rows."""

    def setUp(self):
        """In a namespace of its own: settings and rules end with it."""
        before = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.addCleanup(os.close, before)
        if libc.unshare(CLONE_NEWNET):
            raise OSError("unshare")
        self.addCleanup(libc.setns, before, CLONE_NEWNET)
        super().setUp()
        self.serial = 0
        self.process = None
        self.wires = {"out": self.wire, "in": Wire(self.pin)}
        self.stack.callback(self.wires["in"].close)

    def peer(self, side):
        return {"in": self.pin, "out": self.pout}[side]

    def lines(self, text, check=True):
        """Lines of commands; those that begin with pin or pout are run there."""
        if not isinstance(text, str):
            return must(*text)
        for line in filter(None, (t.strip() for t in text.split(";"))):
            words = line.replace("HOST", f"/proc/{os.getpid()}/ns/net").replace("@", ";").split(" ")
            words = [w for w in words if w]
            if words[0] in ("pin", "pout"):
                words = getattr(self, words[0]).cmd(*words[1:])
            (must if check else run)(*words)
        return None

    def count(self, side, match=MARKER):
        return self.wires[side].frames(f"{side}0", match)

    def heard_on(self, device, send):
        """Frames with the marker that come in by a device of the host."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
            s.bind((device, 3))
            s.settimeout(10)
            send()
            with self.pin.socket(socket.AF_PACKET, socket.SOCK_RAW) as last:
                last.bind(("eth0", 0))
                last.send(b"\xff" * 6 + b"\2" * 6 + b"\x88\xb5" + b"last" * 10)
            n = 0
            while b"last" not in (data := s.recv(2000)):
                n += MARKER in data
            return n

    def child(self, script):
        """A program of its own, for its mend may be to end it."""
        self.process = self.popen([sys.executable, "-c", script + LISTENS], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(self.process.stdout.readline(), "ready\n")

    def tell(self):
        """Lets it send, if it still is there."""
        try:
            os.write(self.process.stdin.fileno(), b"\n")
            self.process.stdout.readline()
        except BrokenPipeError:
            pass

    def bpffs(self):
        path = self.tempdir()
        must("mount", "-t", "bpf", "bpf", path)
        self.stack.callback(run, "umount", path)
        return path

    def cgroup(self):
        path = f"/sys/fs/cgroup/unified/audit-test-{os.getpid()}"
        if not os.path.exists(path):
            os.mkdir(path)
            self.stack.callback(os.rmdir, path)
        return path

    def hold(self, *fds):
        for fd in fds:
            self.stack.callback(os.close, fd)

    def audit(self, *argv, codes=(0, 1)):
        p = run(IFPIN, "audit", "--json", *argv)
        self.assertIn(p.returncode, codes, p.stderr)
        report = json.loads(p.stdout)
        self.assertEqual(p.returncode, int(any(not f["accepted"] for f in report["findings"])))
        return report

    def found(self, row):
        findings = self.audit(f"--only={row.check}", row.device)["findings"]
        part = row.contains(self) if callable(row.contains) else row.contains
        return [f for f in findings if part in f["evidence"]]

    def mend(self, findings):
        for f in findings:
            p = run("sh", "-c", f["mend"])
            self.assertEqual(p.returncode, 0, (f["mend"], p.stderr))
        if self.process and f"kill {self.process.pid}" in findings[0]["mend"]:
            self.process.wait(10)

    def check(self, row):
        self.lines(row.before)
        if not row.default:
            self.assertEqual(self.existing(row), [], "found before it was made")
            row.make(self) if callable(row.make) else self.lines(row.make)
        findings = self.found(row)
        self.assertTrue(findings, "not found")
        for f in findings:
            self.assertEqual(f["id"], row.check)
            self.assertTrue(f["why"] and f["mend"] and f["evidence"])
        if row.leak:
            self.assertGreater(row.leak(self), 0, "there is no leak to be mended")
        self.mend(findings)
        self.assertEqual(self.existing(row), [], "still found")
        if row.leak:
            self.assertEqual(row.leak(self), 0, "it leaks although it was mended")

    def existing(self, row):
        return self.found(row) if row.device in dict(socket.if_nameindex()).values() else []


def test_of(row):
    def test(self):
        self.check(row)
    return test


class Checks(AuditLab):
    def test_all_are_tested(self):
        listed = {line.split("|")[1].strip() for line in must(IFPIN, "audit", "--list").splitlines()[2:]}
        self.assertGreaterEqual(len(listed), 40)
        self.assertEqual({r.check for r in ROWS} | BY_HAND | OF_THE_MACHINE, listed)


for _row in ROWS:
    setattr(Checks, "test_" + (_row.name or _row.check).replace("-", "_"), test_of(_row))


del AuditLab, Lab
