# SPDX-License-Identifier: MIT
"""ifpind: what its files say is in force, and stays so whatever becomes of it."""
import contextlib
import json
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import time

from daemon import (BUILD, EXPORTER, FOLDER, GID, IFPIND, NOBODY, PYTHON, DaemonLab, become,
                    has_ended)
from lab import IFPIN, MARKER, any_ip, must, run

# Sends to the far end of out0, and says what became of each datagram that it is asked for.
SENDER = """
import socket, sys
for line in sys.stdin:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.sendto(b"ifpin-test-marker", (line.split()[0], 9))
        print("sent", flush=True)
    except OSError as e:
        print(e.errno, flush=True)
    s.close()
"""
STREAM = """
import socket, time
while True:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.sendto(b"ifpin-test-marker", ("10.0.2.2", 9))
    except OSError:
        pass
    s.close()
"""

DIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dist", "systemd")


class Sends:
    """A process in a cgroup that sends when it is told to."""

    def __init__(self, test, cgroup):
        self.p = test.popen_in(cgroup, PYTHON, "-c", SENDER, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def send(self, to="10.0.2.2"):
        self.p.stdin.write(to + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()


class Pins(DaemonLab):
    def leaks(self, sender):
        self.leaked()
        sender.send()
        return self.leaked()

    def test_a_file_comes_changes_and_goes(self):
        cgroup = self.cgroup("a")
        sender = Sends(self, cgroup)
        self.assertEqual(self.leaks(sender), 1)
        self.start()
        self.assertEqual(self.leaks(sender), 1)
        self.write("a", Device="in0", Cgroup=cgroup)
        said = self.reload()
        self.assertTrue(any('pin "a": in force' in line for line in said), said)
        self.assertEqual(self.leaks(sender), 0)
        # A change of options is no gap, and no second confinement.
        self.write("a", Device="in0", Cgroup=cgroup, Loopback="deny", Dns="system")
        self.reload()
        self.assertEqual(self.pins(), ["a"])
        self.assertEqual(self.leaks(sender), 0)
        self.assertEqual(self.reload(), [], "nothing new, and so nothing to say")
        os.unlink(f"{self.conf}/a.conf")
        said = self.reload()
        self.assertTrue(any("ended, for it has no file" in line for line in said), said)
        self.assertEqual(self.pins(), [])
        self.assertEqual(self.leaks(sender), 1)

    def test_what_others_attached_is_not_ended(self):
        must(IFPIN, "attach", f"--cgroup={self.cgroup('b')}", "--name=theirs", "in0")
        self.start()
        self.reload()
        self.assertEqual(self.pins(), ["theirs"])
        must(IFPIN, "detach", "theirs")

    def test_a_bad_file_disables_nothing(self):
        one, two = self.cgroup("one"), self.cgroup("two")
        self.write("one", Device="in0", Cgroup=one)
        path = self.write("two", Device="in0", Cgroup=two)
        self.start()
        sender = Sends(self, two)
        for text, error in (
                ("[Pin]\nDevice=in0\nCgroup=%s\nColour=red\n" % two, ":4: no key \"Colour\""),
                ("[Pin]\nDevice=in0\nCgroup=%s\nDns=\n" % two, ":4: Dns= has no value"),
                ("", ": section [Pin] or [Fence] is missing"),
                ("[Pin]\nDevice=in0\nCgroup=%s\0\n" % two, ":3: byte"),
                ("[Pin]\nDevice=in0\nCgroup=%s\n[Run]\nAllowUser=nosuch\n" % two,
                 ":5: no user \"nosuch\"")):
            with self.subTest(error):
                self.write("two", text)
                said = self.reload()
                self.assertTrue(any(line.startswith(f"ifpind: {path}{error}") for line in said),
                                said)
                self.assertTrue(any("it stays as it is" in line for line in said), said)
                self.assertEqual(self.pins(), ["one", "two"])
                self.assertEqual(self.leaks(sender), 0)
        # The others are applied all the same, and errors are said on every reload.
        os.unlink(f"{self.conf}/one.conf")
        said = self.reload()
        self.assertTrue(any("no user" in line for line in said), said)
        self.assertEqual(self.pins(), ["two"])
        # A new daemon leaves it as it is as well.
        self.stop()
        self.start()
        self.assertEqual(self.pins(), ["two"])

    def test_permissions(self):
        cgroup = self.cgroup("a")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.start()
        os.chmod(f"{self.conf}/a.conf", 0o666)
        self.assertIn("others than its owner may write it", "".join(self.reload()))
        self.assertEqual(self.pins(), ["a"])
        os.chmod(f"{self.conf}/a.conf", 0o644)
        os.chown(f"{self.conf}/a.conf", NOBODY, 0)
        self.assertIn("its owner is neither root nor the caller", "".join(self.reload()))
        os.chown(f"{self.conf}/a.conf", 0, 0)
        os.chmod(self.conf, 0o777)
        self.assertIn("all pins stay as they are", "".join(self.reload()))
        os.chmod(self.conf, 0o755)
        # The folder itself is gone: that is no wish to end all pins.
        os.rename(self.conf, self.conf + ".away")
        self.assertIn("all pins stay as they are", "".join(self.reload()))
        self.assertEqual(self.pins(), ["a"])
        os.rename(self.conf + ".away", self.conf)
        os.unlink(f"{self.conf}/a.conf")
        os.mkfifo(f"{self.conf}/a.conf", 0o600)
        self.assertIn("not a regular file", "".join(self.reload()))
        self.assertEqual(self.pins(), ["a"])

    def test_another_device(self):
        cgroup = self.cgroup("a")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.start()
        sender = Sends(self, cgroup)
        self.assertEqual(self.leaks(sender), 0)
        self.write("a", Device="out0", Cgroup=cgroup)
        self.reload()
        self.assertEqual(self.pins(), ["a"])
        self.assertEqual(self.leaks(sender), 1)
        # One that there is not: the old one stays in force, closed or not.
        self.write("a", Device="in7", Cgroup=cgroup)
        self.assertIn("waits for its device", "".join(self.reload()))
        self.assertEqual(self.pins(), ["a"])

    def test_somebody_ends_it(self):
        cgroup = self.cgroup("a")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.start()
        must(IFPIN, "detach", "a")
        self.until_said("somebody ended it")
        self.until_said("in force", 20)
        self.assertEqual(self.pins(), ["a"])
        # Parts of it.
        os.unlink(f"{FOLDER}/pin_a/link3")
        self.until_said("parts of it were taken away")
        self.until_said('pin "a": in force')
        self.assertTrue(os.path.exists(f"{FOLDER}/pin_a/link3"))
        self.assertEqual(self.leaks(Sends(self, cgroup)), 0)

    def test_a_second_one(self):
        self.start()
        p = run(*self.command())
        self.assertEqual(p.returncode, 1)
        self.assertIn("another ifpind is running", p.stderr)

    def test_arguments(self):
        for argv, message in ((["--metrics=10.0.1.1:99"], "must be 127.0.0.1:PORT"),
                              (["--metrics=127.0.0.1"], "must be 127.0.0.1:PORT"),
                              (["--metrics=127.0.0.1:99999"], "must be 127.0.0.1:PORT"),
                              (["--cgroup=a/b"], "must be the name of a folder"),
                              (["x"], 'unexpected argument "x"'),
                              (["--nonsense"], "unrecognized option")):
            p = run(*self.command(*argv))
            self.assertEqual((p.returncode, message in p.stderr), (1, True), p.stderr)
        p = run(*self.command(), preexec_fn=become())
        self.assertEqual((p.returncode, "not privileged" in p.stderr), (1, True), p.stderr)
        self.assertEqual(run(IFPIND, "--help").returncode, 0)
        self.assertEqual(run(IFPIND, "--version").stdout, run(IFPIN, "--version").stdout.replace(
            "ifpin", "ifpind"))

    def test_validate(self):
        good = self.write("good", Device="in0", Cgroup="/a")
        p = run(IFPIN, "validate", good)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        bad = self.write("bad", "[Pin]\nDevice=index:1\nFoo=1\nCgroup=/a\n")
        p = run(IFPIN, "validate", bad)
        self.assertEqual(p.returncode, 1)
        self.assertEqual(p.stderr.splitlines(), [
            f"{bad}:2: Device=index:1: an index is no identity: give a name, an alternative name "
            "or mac:", f'{bad}:3: no key "Foo" in section [Pin]'])
        p = run(IFPIN, "validate", self.conf)
        self.assertEqual((p.returncode, len(p.stderr.splitlines())), (1, 2))
        p = run(IFPIN, "validate", "--json", bad)
        said = json.loads(p.stdout)
        self.assertEqual((p.returncode, p.stderr, said["valid"]), (1, "", False))
        self.assertEqual(said["errors"][1], {
            "file": bad, "line": 3, "error": 'no key "Foo" in section [Pin]'})
        self.assertEqual(json.loads(must(IFPIN, "validate", "--json", good)),
                         {"valid": True, "errors": []})
        self.assertEqual(run(IFPIN, "validate").returncode, 125)
        for path in "/no/pins.d", "/no/such.conf":
            p = run(IFPIN, "validate", path)
            self.assertEqual((p.returncode, p.stderr),
                             (1, f"{path}: No such file or directory\n"))


class Waiting(DaemonLab):
    def test_a_cgroup_that_comes_goes_and_comes(self):
        self.write("a", Device="in0", Cgroup=f"/{self.own}/deep/down/a")
        self.start()
        self.until_said("waits for the cgroup")
        for _ in range(3):
            self.cgroup("deep/down/a")
            self.until_said('pin "a": in force')
            sender = Sends(self, f"/{self.own}/deep/down/a")
            self.leaked()
            sender.send()
            self.assertEqual(self.leaked(), 0)
            sender.p.kill()
            sender.p.wait()
            self.until_empty(f"{self.root}/{self.own}/deep/down/a")
            os.rmdir(f"{self.root}/{self.own}/deep/down/a")
            self.until_said("waits for the cgroup")
            os.rmdir(f"{self.root}/{self.own}/deep/down")
            os.rmdir(f"{self.root}/{self.own}/deep")

    def test_the_window(self):
        """How long the first process of a cgroup may run before the pin is in force."""
        self.cgroup("x")
        for i in range(20):
            self.write(f"w{i}", Device="in0", Cgroup=f"/{self.own}/w{i}")
        self.start()
        took = []
        for i in range(20):
            began = time.monotonic()
            self.cgroup(f"w{i}")
            self.until_said(f'pin "w{i}": in force')
            took.append((time.monotonic() - began) * 1000)
        took.sort()
        print(f"window between mkdir and in force: median {took[10]:.1f} ms, longest {took[-1]:.1f} ms")
        self.assertLess(took[10], 2000)

    def test_a_unit(self):
        self.write("u", Device="in0", Unit="ifpin-test-unit.service")
        self.start()
        self.until_said("waits for the cgroup of ifpin-test-unit.service")
        slice_ = f"{self.own}.slice"
        os.makedirs(f"{self.root}/{slice_}/{self.own}-x.slice")
        # Elsewhere somebody else may have made it.
        self.cgroup("ifpin-test-unit.service")
        os.mkdir(f"{self.root}/{slice_}/{self.own}-x.slice/ifpin-test-unit.service")
        line = self.until_said('pin "u": in force')
        self.assertIn(f"/{slice_}/{self.own}-x.slice/ifpin-test-unit.service ", line)
        os.rmdir(f"{self.root}/{slice_}/{self.own}-x.slice/ifpin-test-unit.service")
        self.until_said("waits for the cgroup")
        os.mkdir(f"{self.root}/{slice_}/ifpin-test-unit.service")
        self.until_said('pin "u": in force')

    def test_a_device(self):
        self.write("late", Device="late0", Cgroup=self.cgroup("a"))
        self.start()
        self.until_said("NOT in force, waits for its device")
        must("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
        self.stack.callback(run, "ip", "link", "del", "other0")
        self.assertEqual(self.pins(), [])
        must("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        self.stack.callback(run, "ip", "link", "del", "late0")
        self.until_said('pin "late": in force')
        self.assertEqual(self.pins(), ["late"])

    def test_a_device_that_goes_and_comes_back(self):
        cgroup = self.cgroup("a")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.start()
        sender = Sends(self, cgroup)
        must("ip", "link", "del", "in0")
        self.until_said('pin "a"')
        self.leaked()
        sender.send()
        self.assertEqual(self.leaked(), 0)
        self.assertNotIn("waits", "".join(self.reload()))
        must("ip", "link", "add", "in0", "address", "02:00:00:00:01:01", "type", "veth", "peer",
             "name", "in1")
        must("ip", "link", "set", "in0", "up")
        self.until_said('pin "a"')
        sender.send()
        self.assertEqual(self.leaked(), 0)
        self.assertEqual(self.pins(), ["a"])

    def test_strict_by_exec_start_pre(self):
        """What the drop-in does: attach comes first, and its failure is that of the service."""
        cgroup = self.cgroup("svc")
        inside = self.root + cgroup
        p = run("sh", "-c", f"{IFPIN} attach --cgroup={cgroup} in0 && exec echo started",
                preexec_fn=become(uid=0, inside=inside))
        self.assertEqual((p.returncode, p.stdout), (0, "started\n"), p.stderr)
        self.write("svc", Device="in0", Cgroup=cgroup)
        self.start()
        self.assertEqual(self.pins(), ["svc"])
        must(IFPIN, "detach", "svc")
        p = run("sh", "-c", f"{IFPIN} attach --cgroup={cgroup} in9 && exec echo started",
                preexec_fn=become(uid=0, inside=inside))
        self.assertEqual((p.returncode, p.stdout), (125, ""))


class Death(DaemonLab):
    def test_killed_at_random_moments(self):
        random.seed(7)
        names = [f"k{i}" for i in range(4)]
        for name in names:
            self.write(name, Device="in0", Cgroup=self.cgroup(name))
        self.start()
        self.assertEqual(self.pins(), names)
        senders = [self.popen_in(f"/{self.own}/{n}", PYTHON, "-c", STREAM) for n in names]
        self.leaked()
        self.kill9()
        for i in range(40):
            self.start(wait=False)
            time.sleep(random.uniform(0, 0.06))  # the moment, not an event
            if i % 4 == 0:
                self.write("k1", Device="in0", Cgroup=f"/{self.own}/k1",
                           Loopback=random.choice(["allow", "deny"]))
                self.daemon.send_signal(signal.SIGHUP)
                time.sleep(random.uniform(0, 0.06))
            self.kill9()
            self.assertTrue(set(self.pins()) >= set(names) - {"k1"}, self.pins())
        self.assertEqual(self.leaked(), 0)
        # A new one takes over, and what was half done is finished.
        self.start()
        self.until(lambda: self.pins() == names)
        self.assertEqual([n for n in os.listdir(FOLDER) if n.startswith(("new_", "old_"))], [])
        self.assertEqual(self.leaked(), 0)
        for p in senders:
            self.assertIsNone(p.poll())

    def test_a_change_of_device_killed_at_random_moments(self):
        """Neither the old nor the new device lets out what both do not."""
        random.seed(8)
        cgroup = self.cgroup("a")
        must("ip", "link", "add", "third0", "type", "veth", "peer", "name", "third1")
        self.stack.callback(run, "ip", "link", "del", "third0")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.start()
        self.popen_in(cgroup, PYTHON, "-c", STREAM)
        self.leaked()
        for i in range(30):
            self.write("a", Device="third0" if i % 2 else "in0", Cgroup=cgroup)
            self.daemon.send_signal(signal.SIGHUP)
            time.sleep(random.uniform(0, 0.12))
            self.kill9()
            self.start(wait=False)
        self.kill9()
        self.assertEqual(self.leaked(), 0)
        self.start()
        self.assertEqual(self.pins(), ["a"])
        self.assertEqual(self.leaked(), 0)

    def test_killed_between_two_devices_and_the_new_one_is_gone(self):
        """What held on the way goes on holding until the pin is in force."""
        cgroup = self.cgroup("a")
        self.write("a", Device="gone0", Cgroup=cgroup)
        must(IFPIN, "attach", "in0", f"--cgroup={cgroup}", "--name=run.swap")
        self.start()
        sender = self.popen_in(cgroup, PYTHON, "-c", STREAM)
        self.assertEqual(self.pins(), ["run+swap"])
        self.reload()
        self.assertEqual(self.pins(), ["run+swap"])
        self.assertEqual(self.leaked(), 0)
        self.write("a", Device="in0", Cgroup=cgroup)
        self.reload()
        self.assertEqual(self.pins(), ["a"])
        self.assertEqual(self.leaked(), 0)
        self.assertIsNone(sender.poll())
        # Nobody asks for it.
        other = self.cgroup("b")
        must(IFPIN, "attach", "in0", f"--cgroup={other}", "--name=run.swap")
        self.reload()
        self.assertEqual(self.pins(), ["a"])

    def test_taken_over_as_it_is(self):
        self.write("a", Device="in0", Cgroup=self.cgroup("a"))
        self.start()
        before = os.stat(f"{FOLDER}/pin_a").st_ino
        self.kill9()
        self.assertEqual(self.pins(), ["a"])
        self.start()
        self.assertEqual(os.stat(f"{FOLDER}/pin_a").st_ino, before)
        self.kill9()
        # Gone from the files while nobody looked.
        os.unlink(f"{self.conf}/a.conf")
        self.start()
        self.assertEqual(self.pins(), [])


class Shortage(DaemonLab):
    def limit(self, soft):
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (soft, self.hard))

    def test_no_descriptors_left(self):
        self.write("a", Device="in0", Cgroup=self.cgroup("a"))
        self.start()
        self.hard = resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE)[1]
        self.limit(max(int(n) for n in os.listdir(f"/proc/{self.daemon.pid}/fd")) + 1)
        self.write("b", Device="in0", Cgroup=self.cgroup("b"))
        said = "".join(self.reload())
        self.assertRegex(said, "Too many open files|No file descriptors available")
        self.assertEqual(self.pins(), ["a"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(self.control)
            try:
                self.assertEqual(s.recv(10), b"")
            except ConnectionResetError:
                pass
        self.limit(1024)
        # Tried again by itself after a while, or told to.
        self.reload()
        self.until(lambda: self.pins() == ["a", "b"])

    def test_read_only_cgroupfs(self):
        self.write("a", Device="in0", Cgroup=self.cgroup("a"))
        must("mount", "-o", "remount,bind,ro", self.root)
        self.stack.callback(must, "mount", "-o", "remount,bind,rw", self.root)
        self.write("u", f"[Pin]\nDevice=in0\n[Run]\nAllowUser={NOBODY}\n")
        self.start()
        self.until_said('pin "u": cannot make its cgroup: Read-only file system')
        self.assertNotIn("u", self.pins())
        must("mount", "-o", "remount,bind,rw", self.root)
        self.until(lambda: "u" in self.pins())

    def test_many_pins_little_memory_and_no_wake_ups(self):
        n = int(os.environ.get("IFPIN_TEST_PINS", "1000"))
        for i in range(n):
            self.write(f"m{i}", Device="in0", Cgroup=self.cgroup(f"m{i}"))
        self.start(wait=False)
        self.until_notified("READY=1", 900)
        self.assertEqual(len(self.pins()), n)

        def status(key):
            return int(re.search(rf"^{key}:\s+(\d+)", open(
                f"/proc/{self.daemon.pid}/status").read(), re.M)[1])
        self.reload()
        self.until(lambda: not self.busy())
        switches = status("voluntary_ctxt_switches")
        time.sleep(5)  # the thing that is measured
        self.assertEqual(status("voluntary_ctxt_switches"), switches)
        print(f"{n} pins: {status('VmRSS')} KiB resident, at most {status('VmHWM')} KiB")
        if "sanitize" not in BUILD:
            self.assertLessEqual(status("VmRSS"), 6 * 1024)

    def busy(self):
        """Whether it does anything within three seconds: retries and drift are over then."""
        def look():
            return open(f"/proc/{self.daemon.pid}/status").read().split("voluntary")[1]
        before = look()
        time.sleep(3)
        return look() != before


class Service(DaemonLab):
    def test_notifications(self):
        self.write("a", Device="in0", Cgroup=self.cgroup("a"))
        self.write("b", "rubbish\n")
        self.start(env={"WATCHDOG_USEC": "200000"})
        status = self.until_notified("STATUS=")
        self.assertIn("1 pins in force, 0 waiting for a cgroup or device, 0 failed, 1 files with "
                      "errors", status)
        for _ in range(3):
            self.until_notified("WATCHDOG=1", 5)
        self.daemon.terminate()
        self.until_notified("STOPPING=1")
        self.assertEqual(self.daemon.wait(10), 0)
        self.assertEqual(self.pins(), ["a"])
        # For the journal with priorities.
        self.start(env={"JOURNAL_STREAM": "1:2"})
        self.until_said(r"^<3>.*b\.conf:1: neither")

    def test_metrics(self):
        cgroup = self.cgroup("a")
        self.write("a", Device="in0", Cgroup=cgroup)
        self.write("bad", "rubbish\n")
        self.write("late", Device="late0", Cgroup=self.cgroup("b"))
        self.start("--metrics=127.0.0.1:0")
        port = int(re.search(r"port (\d+)", self.until_said("metrics at port"))[1])
        p = self.popen_in(cgroup, "sleep", "60")
        head, body = self.scrape()
        self.assertIn("200 OK", head)
        self.assertIn("application/openmetrics-text; version=1.0.0", head)
        for line in ('ifpin_pin_state{pin="a",ifpin_pin_state="held"} 1',
                     'ifpin_processes{pin="a"} 1', 'ifpin_configured{pin="late"} 1',
                     "ifpin_config_errors 1"):
            self.assertIn(line + "\n", body)
        self.assertIn(f'ifpin_pin_info{{pin="a",cgroup="{cgroup}",device="in0"', body)
        self.assertTrue(body.endswith("# EOF\n"))
        self.check_format(body)
        self.assertIn("404", self.scrape("/nothing")[0])
        out = must("curl", "-s", f"http://127.0.0.1:{port}/metrics")
        self.assertEqual(out, self.scrape()[1])
        p.kill()
        self.check_exporter()

    def check_format(self, body):
        """A family is in one piece, below its type; no line twice."""
        lines = body.splitlines()
        families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        self.assertEqual(len(families), len(set(families)))
        samples = [line for line in lines if not line.startswith("#")]
        self.assertEqual(len(samples), len({s.rsplit(" ", 1)[0] for s in samples}))
        current = None
        for line in lines:
            if line.startswith("# TYPE"):
                current = line.split()[2]
            elif not line.startswith("#"):
                self.assertTrue(line.startswith(current), (current, line))

    def exporters(self):
        return [int(pid) for pid in run(
            "pgrep", "-P", str(self.daemon.pid)).stdout.split()]

    def answers(self):
        """Who asks in the moment in which the exporter ends is reset."""
        with contextlib.suppress(ConnectionResetError):
            return "200 OK" in self.scrape()[0]
        return False

    def check_exporter(self):
        """What speaks HTTP is nobody; its end, however it comes, is the daemon's to mend."""
        [reader] = self.exporters()
        [speaker] = [int(p) for p in run("pgrep", "-P", str(reader)).stdout.split()]
        self.assertEqual(os.stat(f"/proc/{speaker}/status").st_uid, 0)  # not dumpable
        status = open(f"/proc/{speaker}/status").read()
        self.assertIn(f"Uid:\t{NOBODY}\t{NOBODY}", status)
        self.assertIn("CapEff:\t0000000000000000", status)
        for of in (lambda: speaker, lambda: self.exporters()[0]):
            os.kill(of(), signal.SIGKILL)
            self.until_said("the exporter of metrics has failed")
            self.until(self.answers)

    def test_no_exporter(self):
        self.start("--exporter=/nonexistent")
        with self.assertRaises((ConnectionError, AssertionError)):
            self.assertIn("200", self.scrape()[0])
        self.until_said("cannot start /nonexistent")
        self.assertIsNone(self.daemon.poll())

    def test_with_the_capabilities_of_its_unit(self):
        with open(os.path.join(DIST, "ifpind.service")) as f:
            caps = re.findall(r"^CapabilityBoundingSet=(.*)", f.read(), re.M)
        caps = ",".join("+" + c[4:].lower() for c in " ".join(caps).split())
        self.write("a", Device="in0", Cgroup=self.cgroup("a"))
        self.write("vpn", f"[Pin]\nDevice=in0\n[Run]\nAllowUser={NOBODY}\n")
        self.popen_in(f"/{self.own}/a", "sleep", "100")
        self.start(prefix=["setpriv", "--no-new-privs", "--inh-caps=-all",
                           f"--bounding-set=-all,{caps}"])
        self.read_log()
        self.assertEqual(self.pins(), ["a", "vpn"], self.history)
        self.assertEqual(self.user_run("vpn", "echo", "in", options=["--loopback=deny"]).stdout,
                         "in\n")
        self.assertIn('ifpin_processes{pin="a"} 1', self.scrape()[1])
        os.unlink(f"{self.conf}/a.conf")
        self.reload()
        self.assertEqual(self.pins(), ["vpn"])

    def test_unit_files(self):
        dist = DIST

        def copied(name, to):
            """With our own paths; manual pages are not installed here."""
            with open(os.path.join(dist, name)) as f:
                text = f.read().replace("/usr/sbin/ifpind", IFPIND).replace(
                    "/usr/sbin/ifpin ", IFPIN + " ")
            with open(f"{self.dir}/{to}", "w") as f:
                f.write(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
            return f"{self.dir}/{to}"
        service = copied("ifpind.service", "ifpind.service")
        p = run("systemd-analyze", "verify", "--man=no", service)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        p = run("systemd-analyze", "security", "--offline=yes", "--threshold=50", service)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        # The drop-in, upon a service that has nothing but a command.
        pinned = f"{self.dir}/pinned.service"
        with open(pinned, "w") as f:
            f.write("[Service]\nExecStart=/bin/true\n")
        os.mkdir(pinned + ".d")
        copied("ifpin-pinned.conf", "pinned.service.d/ifpin.conf")
        p = run("systemd-analyze", "verify", "--man=no", pinned)
        self.assertEqual((p.returncode, p.stderr), (0, ""))


class Users(DaemonLab):
    def setUp(self):
        super().setUp()
        self.write("vpn", f"[Pin]\nDevice=in0\nDns=system\n[Run]\nAllowGroup={GID}\n"
                          "MaxPerUser=3\n")
        self.start()

    def inside(self):
        path = f"{self.root}/{self.own}d/vpn"
        return [n for n in os.listdir(path) if n.startswith("run.")]

    def test_a_command(self):
        send = ("import socket; s = socket.socket(2, 2)\ntry:\n"
                "  s.sendto(b'ifpin-test-marker', ('10.0.2.2', 9)); print('sent')\n"
                "except OSError as e: print(e.errno)")
        run(PYTHON, "-c", send, preexec_fn=become((GID,)))
        self.assertEqual(self.leaked(), 1)
        p = self.user_run("vpn", PYTHON, "-c", send)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.leaked(), 0)
        p = self.user_run("vpn", "sh", "-c", "cat /proc/self/cgroup /proc/self/status; id -u; id -G")
        self.assertRegex(p.stdout, rf"0::/{self.own}d/vpn/run\.\d+\n")
        self.assertIn("NoNewPrivs:\t1", p.stdout)
        self.assertIn("Seccomp:\t2", p.stdout)
        self.assertTrue(p.stdout.endswith(f"{NOBODY}\n{NOBODY} {GID}\n"), p.stdout)
        self.until(lambda: not self.inside())
        # The status is the command's.
        self.assertEqual(self.user_run("vpn", "sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.user_run("vpn", "/nonexistent").returncode, 127)
        self.assertEqual(self.user_run("vpn", "/etc/passwd").returncode, 126)
        # It cannot leave: neither by writing its pid elsewhere, nor by another family.
        p = self.user_run("vpn", "sh", "-c", f"echo 0 > {self.root}/cgroup.procs")
        self.assertNotEqual(p.returncode, 0)
        p = self.user_run("vpn", PYTHON, "-c", "import socket; socket.socket(17, 3, 0)")
        self.assertIn("Address family not supported", p.stderr)

    def test_loopback_can_be_denied(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.stack.callback(listener.close)
        code = f"import socket; socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))"
        p = self.user_run("vpn", PYTHON, "-c", code)
        self.assertEqual(p.returncode, 0, p.stderr)
        p = self.user_run("vpn", PYTHON, "-c", code, options=["--loopback=deny"])
        self.assertEqual(p.returncode, 1, p.stderr)
        self.assertIn("PermissionError", p.stderr)
        self.until(lambda: not self.inside() and self.pins() == ["vpn"])

    def test_loopback_denied_by_the_file(self):
        self.write("vpn", f"[Pin]\nDevice=in0\n[Run]\nAllowUser={NOBODY}\nLoopback=deny\n")
        self.reload()
        listener = socket.create_server(("127.0.0.1", 0))
        self.stack.callback(listener.close)
        code = f"import socket; socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))"
        for options in ([], ["--loopback=allow"]):
            p = self.user_run("vpn", PYTHON, "-c", code, options=options)
            self.assertIn("PermissionError", p.stderr)

    def test_who_may(self):
        # The socket is for its group; behind it, the rules of the pin decide.
        p = self.user_run("vpn", "true", groups=())
        self.assertEqual(p.returncode, 125)
        self.assertIn("is not for this user", p.stderr)
        self.write("vpn", f"[Pin]\nDevice=in0\n[Run]\nAllowUser=4242\n")
        self.reload()
        p = self.user_run("vpn", "true")
        self.assertEqual(p.returncode, 125)
        self.assertIn('no pin "vpn" that this user may use', p.stderr)
        self.assertIn(p.stderr.splitlines()[-1].replace("vpn", "x"),
                      self.user_run("x", "true").stderr)
        self.assertEqual(self.user_run("vpn", "true", uid=4242).returncode, 0)
        self.write("svc", Device="in0", Cgroup=self.cgroup("svc"))
        self.reload()
        self.assertIn("that this user may use", self.user_run("svc", "true").stderr)

    def test_only_narrower(self):
        for option, said in (("--user=root", "--user"), ("--keep-cap=net_admin", "--keep-cap"),
                             ("--allow-family=vsock", "--allow-family"), ("--dns=system", "--dns"),
                             ("--inherit=pin", "--inherit=pin"), ("--name=x", "--name"),
                             ("--isolate", "--isolate")):
            p = self.user_run("vpn", "true", options=[option])
            self.assertEqual(p.returncode, 125)
            self.assertIn(f"{said} needs privileges", p.stderr)
        r, w = os.pipe()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        os.close(r)
        os.close(w)
        p = self.user_run("vpn", "true", pass_fds=[s.fileno()])
        self.assertEqual(p.returncode, 125)
        self.assertIn("UDP socket", p.stderr)
        p = self.user_run("vpn", "true", pass_fds=[s.fileno()], options=["--inherit=close"])
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_who_is_confined_already_stays_where_it_is(self):
        """Root inside ifpin run, a pinned service, and a command in the pin itself."""
        self.write("other", f"[Pin]\nDevice=out0\n[Run]\nAllowUser={NOBODY}\n")
        self.reload()
        inner = [IFPIN, "run", f"--control={self.control}", "other", "--", "echo", "out"]
        p = self.ifpin(*inner)
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("confined by BPF programs already", p.stderr)
        p = self.user_run("vpn", *inner)
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("confined by BPF programs already", p.stderr)
        must(IFPIN, "attach", f"--cgroup={self.cgroup('svc')}", "in0")
        p = run(*inner, preexec_fn=become((GID,), inside=f"{self.root}/{self.own}/svc"))
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("confined by BPF programs already", p.stderr)
        must(IFPIN, "detach", "svc")
        p = self.user_run("other", "echo", "out")
        self.assertEqual(p.stdout, "out\n", p.stderr)

    def test_other_namespaces(self):
        p = run("unshare", "--net", IFPIN, "run", f"--control={self.control}", "vpn", "true")
        self.assertEqual(p.returncode, 125)
        self.assertIn("another network namespace", p.stderr)

    def test_what_it_leaves_behind_is_killed(self):
        p = self.user_popen("vpn", "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!",
                            stdout=subprocess.PIPE, text=True)
        left = int(p.stdout.readline())
        p.wait()
        self.until(lambda: not self.inside())
        self.until(lambda: has_ended(left))

    def test_how_many(self):
        running = [self.user_popen("vpn", "sh", "-c", "echo x; exec cat", stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE) for _ in range(3)]
        for p in running:
            self.assertEqual(p.stdout.readline(), b"x\n")
        p = self.user_run("vpn", "true")
        self.assertEqual(p.returncode, 125)
        self.assertIn("has 3 commands in pin", p.stderr)
        running[0].stdin.close()
        running[0].wait()
        self.until(lambda: len(self.inside()) == 2)
        self.assertEqual(self.user_run("vpn", "true").returncode, 0)

    def test_the_daemon_dies_and_another_takes_over(self):
        p = self.user_popen("vpn", PYTHON, "-c", SENDER, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)

        def send():
            p.stdin.write("10.0.2.2\n")
            p.stdin.flush()
            return p.stdout.readline()
        send()
        self.kill9()
        send()
        self.assertEqual(self.leaked(), 0)
        self.start()
        send()
        self.assertEqual(self.leaked(), 0)
        self.assertEqual(len(self.inside()), 1)
        # The file goes: the command is not set free.
        os.unlink(f"{self.conf}/vpn.conf")
        self.reload()
        send()
        self.assertEqual((self.leaked(), self.pins()), (0, ["vpn"]))
        p.stdin.close()
        p.wait()
        self.until(lambda: self.pins() == [])

    def test_ended_while_nobody_looked(self):
        p = self.user_popen("vpn", "sh", "-c", "sleep 1000 & echo $!; exec cat", text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        left = int(p.stdout.readline())
        self.kill9()
        p.stdin.close()
        p.wait()
        self.assertFalse(has_ended(left))
        self.start()
        self.until(lambda: not self.inside())
        self.until(lambda: has_ended(left))

    def test_the_device_is_gone(self):
        must("ip", "link", "del", "in0")
        p = self.user_run("vpn", "true")
        self.assertEqual(p.returncode, 125)
        self.assertRegex(p.stderr, "its device is gone")


def request(step, name=b"vpn", flags=0, magic=0x6e706669, version=1):
    return struct.pack("<IIII64s", magic, version, step, flags, name)


class Protocol(DaemonLab):
    def setUp(self):
        super().setUp()
        self.write("vpn", f"[Pin]\nDevice=in0\n[Run]\nAllowGroup={GID}\nAllowUser=0\n")
        self.start()

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(self.control)
        s.settimeout(20)
        self.stack.callback(s.close)
        return s

    def ask(self, s, data):
        """Code and text of the answer; None: hung up."""
        s.send(data)
        try:
            reply = s.recv(4096)
        except ConnectionResetError:
            return None
        if not reply:
            return None
        _, _, code, ifindex, device, text = struct.unpack("<IIiI16s512s", reply)
        return code, text.rstrip(b"\0").decode()

    def alive(self):
        self.assertIsNone(self.daemon.poll())
        p = self.user_run("vpn", "echo", "in")
        self.assertEqual(p.stdout, "in\n", p.stderr)

    def test_malformed(self):
        for data in (b"x", request(1)[:-1], request(1) + b"x", request(1, magic=1),
                     request(1, version=2), request(3), request(1, flags=2), request(1, b""),
                     request(1, b"../vpn"), request(1, b"x" * 64), request(1, b"vpn\0x"),
                     request(2), b"\0" * 80, b"\xff" * 80, b"A" * 60000):
            code, text = self.ask(self.connect(), data)
            self.assertLess(code, 0)
            self.assertTrue(text)
        s = self.connect()
        self.assertEqual(self.ask(s, request(1))[0], 0)
        self.assertLess(self.ask(s, request(2, b"other"))[0], 0)
        s = self.connect()
        self.assertEqual(self.ask(s, request(1))[0], 0)
        self.assertLess(self.ask(s, request(2, flags=1))[0], 0)
        s = self.connect()
        self.assertEqual(self.ask(s, request(1))[0], 0)
        self.assertLess(self.ask(s, request(1))[0], 0)
        self.alive()

    def test_random(self):
        random.seed(3)
        for i in range(300):
            s = self.connect()
            data = bytearray(request(random.choice((1, 2))))
            for _ in range(random.randrange(4)):
                data[random.randrange(len(data))] = random.randrange(256)
            if i % 5 == 0:
                data = random.randbytes(random.randrange(1, 300))
            try:
                s.send(data)
                if i % 3:
                    s.recv(4096)
            except OSError:
                pass
            s.close()
        self.alive()

    def test_descriptors_are_not_taken(self):
        """Neither the daemon nor a message that waits at it keeps the file open."""
        ours, theirs = os.pipe()
        with self.connect() as s:
            socket.send_fds(s, [request(1)], [theirs] * 3)
            os.close(theirs)
            self.assertEqual(s.recv(4096), b"")
        poll = select.poll()
        poll.register(ours, 0)  # a hang-up when the other end is held by nobody
        self.assertEqual(poll.poll(10000), [(ours, select.POLLHUP)])
        os.close(ours)
        self.alive()

    def test_another_process_enters(self):
        """The connection is handed to a child: the one who asked is not moved, nor is the other."""
        code = ("import os, socket, struct, sys\n"
                "q = lambda step: struct.pack('<IIII64s', 0x6e706669, 1, step, 0, b'vpn')\n"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])\n"
                "s.send(q(1)); s.recv(4096)\n"
                "if not os.fork():\n"
                "  s.send(q(2)); r = s.recv(4096)\n"
                "  print(struct.unpack_from('<i', r, 8)[0], r[32:].rstrip(b'\\0').decode())\n"
                "  sys.stdout.flush(); os._exit(0)\n"
                "os.wait()\n"
                "print(open('/proc/self/cgroup').read())")
        p = run(PYTHON, "-c", code, self.control, preexec_fn=become((GID,)))
        self.assertIn("-1 another process has asked before", p.stdout)
        self.assertNotIn(f"{self.own}d", p.stdout)

    def test_a_pid_that_lies(self):
        """Root may claim to be another process; that one is not moved."""
        victim = self.popen_raw(["sleep", "100"])
        s = self.connect()
        self.assertEqual(self.ask(s, request(1))[0], 0)
        creds = struct.pack("iII", victim.pid, 0, 0)
        s.sendmsg([request(2)], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, creds)])
        self.assertLess(struct.unpack_from("<i", s.recv(4096), 8)[0], 0)
        self.assertNotIn(self.own, open(f"/proc/{victim.pid}/cgroup").read())

    def test_gone_before_it_is_moved(self):
        for _ in range(50):
            p = self.popen_raw([PYTHON, "-c",
                                "import ctypes, socket, struct, sys\n"
                                "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"  # no_new_privs
                                "q = lambda n: struct.pack('<IIII64s', 0x6e706669, 1, n, 0, b'vpn')\n"
                                "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                                "s.connect(sys.argv[1]); s.send(q(1)); s.recv(4096); s.send(q(2))",
                                self.control], preexec_fn=become((GID,)))
            p.wait()
        self.until(lambda: not [n for n in os.listdir(f"{self.root}/{self.own}d/vpn")
                                if n.startswith("run.")])
        self.alive()

    def test_silent_and_many(self):
        """Who says nothing is sent away, and nobody takes all places."""
        silent = [self.connect() for _ in range(80)]
        self.alive_soon()
        for s in silent:
            s.settimeout(10)
            try:
                self.assertEqual(s.recv(10), b"")
            except ConnectionResetError:
                pass
        self.alive()

    def alive_soon(self):
        # Root took them all; a user gets one when the first are dropped.
        self.until(lambda: self.user_run("vpn", "true").returncode == 0, 15)


del DaemonLab
