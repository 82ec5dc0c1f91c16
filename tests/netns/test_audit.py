# SPDX-License-Identifier: MIT
"""Each check of `ifpin audit`: what it looks for is made, seen, mended by the command it printed, gone.

Where a check says that frames leak, they are counted before and after. The rows are in
audit_rows.py. Devices that this kernel has not got are judged in tests/unit/test_audit.c.
"""
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys

from audit_rows import ELSEWHERE, ROWS
from frames import SOCK_ADDR, close, connect_to, link, load
from lab import CLONE_NEWNET, IFPIN, MARKER, Lab, Wire, libc, must, run

# Judged by messages made by hand, in tests/unit/test_audit.c: this kernel has no such devices, or
# no such action.
BY_HAND = {"bond-port", "team-port", "vrf-port", "other-port", "vlan-on", "l3mdev-accept", "tc-rewrite",
           "offload"}
# Settings of the whole machine, which are not touched.
OF_THE_MACHINE = {"user-namespaces", "unprivileged-bpf"}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LISTENS = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    told()
    print("done", flush=True)
"""


def commands(text):
    """The words of each line; lines end with a semicolon, and quotes are as in a shell."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words = []
    for word in [*lexer, ";"]:
        if word != ";":
            words.append(word)
        elif words:
            yield words
            words = []


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
        for words in commands(text.replace("HOST", f"/proc/{os.getpid()}/ns/net")):
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
        root = must("findmnt", "-nro", "TARGET", "-t", "cgroup2").split()[0]
        path = f"{root}/audit-test-{os.getpid()}"
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


def kernel_has(probe):
    """In a namespace that ends with it."""
    argv = next(commands(probe))
    prepare = "ip link add probe type veth peer name other; tc qdisc add dev probe clsact;" \
        "nft add table inet probe"
    return not run("unshare", "--net", "sh", "-c", f'{prepare}; exec "$@"', "sh", *argv).returncode


# What the kernel of the machine has of these is made, too.
for _row in ROWS + [row for probe, row in ELSEWHERE if kernel_has(probe)]:
    setattr(Checks, "test_" + (_row.name or _row.check).replace("-", "_"), test_of(_row))


class Command(AuditLab):
    """Options, exit status, and what a host cannot be asked."""

    def command(self, *argv):
        return run(IFPIN, "audit", *argv)

    def test_severities_and_devices(self):
        self.lines("sysctl -qw net.ipv4.ip_forward=1")
        report = self.audit("--only=forward", "in0")
        self.assertEqual(report["device"], "in0")
        self.assertEqual({f["device"] for f in report["findings"]}, {"in0", "out0"})
        self.assertEqual({f["severity"] for f in report["findings"]}, {"critical"})
        self.assertEqual({f["class"] for f in report["findings"]}, {"forward"})
        p = self.command("--only=forward4", "in0")
        self.assertEqual(p.returncode, 1)
        for word in ("critical  forward4", "in0: net.ipv4.conf.in0.forwarding is 1",
                     "mend: sysctl -w net/ipv4/conf/in0/forwarding=0", "2 critical, 0 warning"):
            self.assertIn(word, p.stdout)

    def test_without_device(self):
        """Each device is judged; loopback is not."""
        devices = {f["device"] for f in self.audit()["findings"]}
        self.assertLessEqual({"in0", "out0"}, devices)
        self.assertNotIn("lo", devices)

    def test_alone(self):
        """With one device there is no other that anything could leak to."""
        self.lines("ip link set out0 down; ip link add spare0 type veth peer name spare1")
        found = {f["id"] for f in self.audit("--only=conf")["findings"]}
        self.assertEqual(found & {"rp-filter", "arp-ignore"}, set())

    def test_clean(self):
        p = self.command("--only=bridge-port", "in0")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("0 critical, 0 warning, 0 notice; 0 accepted", p.stdout)

    def test_accepted(self):
        path = self.tempdir() + "/accepted"
        with open(path, "w", encoding="utf-8") as f:
            f.write("# known\nrp-filter@out0  the link is ours\n")
        report = self.audit("--only=rp-filter", f"--ignore-file={path}", "in0")
        self.assertEqual([f["accepted"] for f in report["findings"]], ["the link is ours"])
        p = self.command("--only=rp-filter", f"--ignore-file={path}", "in0")
        self.assertEqual(p.returncode, 0)
        self.assertIn("accepted: the link is ours", p.stdout)
        self.assertEqual(self.command("--only=rp-filter", "--ignore=rp-filter", "in0").returncode, 0)
        self.assertEqual(self.command("--only=rp-filter", "--ignore=rp-filter@out0", "in0").returncode, 0)
        self.assertEqual(self.command("--only=rp-filter", "--ignore=rp-filter@in0", "in0").returncode, 1)
        p = self.command("--fix", "--only=rp-filter", f"--ignore-file={path}", "in0")
        self.assertNotIn("sysctl", p.stdout)

    def test_errors(self):
        path = self.tempdir() + "/accepted"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n\nrp-filter\n")
        for argv, words in ((["no-such-device"], "no interface"), (["--only=nothing"], "nothing"),
                            (["--ignore=nothing"], "nothing"), ([f"--ignore-file={path}"], "line 3"),
                            (["--ignore-file=/no/such/file"], "No such file"), (["in0", "out0"], "out0"),
                            (["--json", "--fix"], "go together"), (["--nonsense"], "nonsense")):
            p = self.command(*argv)
            self.assertEqual((p.returncode, p.stdout), (2, ""), argv)
            self.assertIn(words, p.stderr)

    def test_script(self):
        """It is printed, and changes nothing; run, it leaves of what it mends nothing."""
        self.lines("sysctl -qw net.ipv4.ip_forward=1; ip link add br0 type bridge;"
                   "ip link set in0 master br0")
        before = self.audit("in0")["findings"]
        p = self.command("--fix", "in0")
        self.assertEqual(p.returncode, 1)
        self.assertTrue(p.stdout.startswith("#!/bin/sh\n"))
        self.assertEqual(self.audit("in0")["findings"], before)
        # The machine's own settings are not touched, and this test's own processes live on.
        kept = [f for f in before if f["class"] not in ("privilege", "socket") and f["id"] != "cgroup-bpf"]
        self.assertGreater(len(kept), 9)
        ignored = [f"--ignore={f['id']}" for f in before if f not in kept]
        p = run("sh", "-e", input=self.command("--fix", *ignored, "in0").stdout)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        left = {f["id"] for f in self.audit("in0")["findings"]} & {f["id"] for f in kept}
        self.assertEqual(left, set())

    def test_names_that_a_shell_would_read(self):
        name = "a;touch${IFS}x"
        must("ip", "link", "add", "name", name, "type", "veth", "peer", "name", "e\033[2J")
        must("ip", "link", "add", "br0", "type", "bridge")
        must("ip", "link", "set", "dev", name, "master", "br0")
        findings = self.audit("--only=bridge-port", name)["findings"]
        self.assertEqual([f["device"] for f in findings], [name])
        self.mend(findings)
        self.assertEqual(self.audit("--only=bridge-port", name)["findings"], [])
        self.assertNotIn("\033", self.command(name).stdout)

    def test_settings_of_any_name(self):
        for name in ("in0.7", "a=b", "a;touch${IFS}x", "'"):
            must("ip", "link", "add", "name", name, "up", "type", "veth", "peer", "name", "other")
            with open(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "w", encoding="ascii") as f:
                f.write("1")
            findings = self.audit("--only=route-localnet", name)["findings"]
            self.assertEqual([f["device"] for f in findings], [name])
            self.mend(findings)
            self.assertEqual(self.audit("--only=route-localnet", name)["findings"], [])
            must("ip", "link", "del", "dev", name)

    def test_programs_of_confinements(self):
        """They are ifpin's own."""
        path = self.cgroup()
        cgroup = os.open(path, os.O_RDONLY)
        for name, more in ((b"ifpin_connect4", 0), (b"other_connect4", 1)):
            fd = load(SOCK_ADDR, connect_to("10.0.2.2"), 10, name)
            held = link(fd, cgroup, 10)
            number = str(os.stat(path).st_ino)
            found = [f for f in self.audit("--only=cgroup-bpf")["findings"] if number in f["evidence"]]
            self.assertEqual(len(found), more, name)
            close(fd, held)
        os.close(cgroup)

    def test_nexthop_objects(self):
        """Where a route names no device, that is said."""
        self.lines("ip nexthop add id 9 via 10.0.2.2 dev out0; ip route add 198.51.100.0/24 nhid 9")
        self.assertEqual(self.audit("in0")["not_inspected"], [])
        self.lines("sysctl -qw net.ipv4.nexthop_compat_mode=0")
        self.assertIn("routes by nexthop objects", [g["what"] for g in self.audit("in0")["not_inspected"]])

    def test_without_privilege(self):
        """What may not be read is said, and the rest is judged."""
        binary = self.tempdir() + "/ifpin"
        shutil.copy(IFPIN, binary)
        listener = socket.create_server(("0.0.0.0", 7777))
        self.addCleanup(listener.close)
        p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all", binary, "audit", "--json", "in0")
        self.assertEqual(p.returncode, 1, p.stderr)
        report = json.loads(p.stdout)
        self.assertLessEqual({"nftables", "owners of sockets"}, {g["what"] for g in report["not_inspected"]})
        self.assertLessEqual({"rp-filter", "wildcard"}, {f["id"] for f in report["findings"]})

    def test_settings_of_the_machine(self):
        """Files stand in for them, in this mount namespace."""
        for check, name, bad in (("unprivileged-bpf", "kernel/unprivileged_bpf_disabled", "0"),
                                 ("user-namespaces", "user/max_user_namespaces", "1000")):
            path = self.tempdir() + "/setting"
            with open(path, "w", encoding="ascii") as f:
                f.write(bad)
            must("mount", "--bind", path, f"/proc/sys/{name}")
            try:
                findings = self.audit(f"--only={check}")["findings"]
                self.assertEqual([f["id"] for f in findings], [check])
                self.mend(findings)
                self.assertEqual(self.audit(f"--only={check}")["findings"], [])
            finally:
                must("umount", f"/proc/sys/{name}")

    def test_documentation(self):
        with open(os.path.join(ROOT, "docs", "audit.md"), encoding="utf-8") as f:
            page = f.read()
        self.assertIn(must(IFPIN, "audit", "--list"), page, "make it anew by `ifpin audit --list`")
        with open(os.path.join(ROOT, "man", "ifpin-audit.8.scd"), encoding="utf-8") as f:
            manual = f.read()
        for option in re.findall(r"--[a-z-]+", must(IFPIN, "audit", "--help")):
            if option != "--help":
                self.assertIn(f"*{option}", manual)
            for shell in "ifpin.bash", "_ifpin", "ifpin.fish":
                with open(os.path.join(ROOT, "dist", "completions", shell), encoding="utf-8") as f:
                    self.assertIn(option.lstrip("-"), f.read(), (shell, option))

    def test_many_devices(self):
        """Of a thousand devices each is judged, and its own settings are read."""
        must("ip", "-batch", "-", input="".join(
            f"link add many{i} up type veth peer name other{i}\n" for i in range(500)))
        self.lines("sysctl -qw net.ipv4.conf.many499.route_localnet=1")
        findings = self.audit("--only=route-localnet", "in0")["findings"]
        self.assertEqual([f["device"] for f in findings], ["many499"])


del AuditLab, Lab
