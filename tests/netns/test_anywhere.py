# SPDX-License-Identifier: MIT
"""`make demo` and `make check` where something is missing: what is said, and what is run instead."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from lab import IFPIN, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import anywhere  # noqa: E402

PROBE = ("python3", f"{ROOT}/tests/probe.py", os.path.abspath(IFPIN))
CONTAINER = ("python3", f"{ROOT}/tests/netns/container.py")
USER = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
# As it is started by the Makefile, but that the tests take the demonstration's kernel: one to fetch.
ANYWHERE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import anywhere
anywhere.KERNEL["check"] = anywhere.KERNEL["demo"]
sys.exit(anywhere.main())
"""
# With nothing but cgroup v2, as an engine wants it; the storage is in memory, and goes with it.
ENGINE = """
mount -t tmpfs tmpfs /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
mount -t tmpfs tmpfs /mnt && exec podman --root /mnt/root --runroot /mnt/run --storage-driver vfs \
--cgroup-manager cgroupfs --runtime crun run --rm --network none --cgroups disabled \
--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --rootfs /:O "$@"
"""


def with_mounts(script, *argv):
    """A command after changes to a mount namespace of its own."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script + '\nexec "$@"',
            "sh", *argv]


def vm_run():
    """tests/vm/run as a module."""
    loader = importlib.machinery.SourceFileLoader("vm_run", f"{ROOT}/tests/vm/run")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_run", loader))
    with mock.patch.object(sys, "dont_write_bytecode", True):
        loader.exec_module(module)
    return module


class Reasons(unittest.TestCase):
    """What the probe says, in each situation."""

    def says(self, *argv):
        p = run(*argv)
        self.assertEqual((p.returncode, p.stderr), (1, ""), p.stdout)
        return p.stdout.strip()

    def after(self, script):
        return self.says(*with_mounts(script, *PROBE))

    def test_nothing_is_missing(self):
        p = run(*PROBE)
        self.assertEqual((p.returncode, p.stdout), (0, ""), p.stderr)

    def test_container(self):
        self.assertEqual(self.says(*CONTAINER, *PROBE),
                         "this container has no CAP_BPF and no CAP_SYS_ADMIN")

    @unittest.skipUnless(shutil.which("podman"), "no podman")
    def test_container_of_an_engine(self):
        p = run("unshare", "--mount", "--propagation", "private", "sh", "-euc", ENGINE, "sh",
                *PROBE)
        self.assertEqual((p.returncode, p.stdout.strip()),
                         (1, "this container has no CAP_BPF and no CAP_SYS_ADMIN"), p.stderr)

    def test_user(self):
        self.assertEqual(self.says(*USER, *PROBE), "you are not root")

    def test_root_of_a_user_namespace(self):
        self.assertEqual(self.says("unshare", "--user", "--map-root-user", *PROBE),
                         "root is root of a user namespace only")

    def test_one_capability(self):
        self.assertEqual(self.says("setpriv", "--bounding-set=-bpf", *PROBE),
                         "this container has no CAP_BPF" if os.path.exists("/.dockerenv") else
                         "this machine has no CAP_BPF")

    def test_old_kernel(self):
        self.assertRegex(self.says("setarch", "--uname-2.6", *PROBE), "^Linux 2.6.* is older than 6.1$")

    def test_hidden_cgroups(self):
        self.assertRegex(self.after("mount -t tmpfs tmpfs /sys/fs/cgroup"),
                         "^cgroupfs is hidden in this ")

    def test_hidden_cgroups_and_bpffs(self):
        self.assertRegex(self.after("mount -t tmpfs -o ro tmpfs /sys/fs"),
                         "^cgroupfs is hidden in this ")

    def test_hidden_bpffs(self):
        self.assertRegex(self.after(
            "c=$(mktemp -d); mount --rbind /sys/fs/cgroup $c; mount -t tmpfs tmpfs /sys/fs; "
            "mkdir /sys/fs/cgroup; mount --rbind $c /sys/fs/cgroup; umount -l $c; rmdir $c"),
            r"has no place for bpffs \(mount: /sys/fs/bpf: ")

    def test_first_version_of_cgroups_only(self):
        self.assertRegex(self.after(
            "umount -R -l /sys/fs/cgroup; mount -t tmpfs tmpfs /sys/fs/cgroup; "
            "mkdir /sys/fs/cgroup/x; mount -t cgroup -o none,name=ifpin-test v1 /sys/fs/cgroup/x"),
            "^this (machine|container) has only cgroup v1$")

    def test_read_only_cgroups(self):
        self.assertRegex(self.after(
            "for m in $(awk '$3 == \"cgroup2\" {print $2}' /proc/self/mounts); do "
            "mount -o remount,bind,ro $m; done"), "^cgroupfs is read-only in this ")

    def test_filters(self):
        """Privileges that a system call filter makes worthless."""
        for call, error, said in (("unshare", 1, "makes no namespaces"),
                                  ("bpf", 1, "lets nobody use BPF"), ("bpf", 38, "has no BPF")):
            script = ("import os, sys; sys.path.insert(0, sys.argv[1]); import container as c\n"
                      "c.REFUSED = ()\nc.NEW_NAMESPACES = 0\nold = c.refuse\n"
                      "c.refuse = lambda l, x, n, e: old(l, x, sys.argv[2], int(sys.argv[3]))\n"
                      "c.set_filter()\nos.execvp(sys.argv[4], sys.argv[4:])")
            self.assertIn(said, self.says("python3", "-c", script, f"{ROOT}/tests/netns", call,
                                          error, *PROBE))

    def test_kernel_that_confines_nothing(self):
        self.assertEqual(self.says(*PROBE[:2], "/bin/false"),
                         "nothing can be confined here (exit status 1)")

    def test_kernel_that_hangs(self):
        with mock.patch.object(anywhere.probe, "PATIENCE", 0.5), \
                mock.patch.object(anywhere.probe, "SCRIPT", "exec sleep 60"):
            self.assertEqual(anywhere.probe.without_confinement(IFPIN),
                             "the kernel hangs at loading a BPF program")

    def test_run_refuses(self):
        """Only the demonstration and the tests go elsewhere."""
        p = run(*CONTAINER, IFPIN, "run", "lo", "--", "echo", "unconfined")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertIn("not privileged: missing cap_sys_admin", p.stderr)


class Instead(unittest.TestCase):
    """How the virtual machine is asked for, with one that does nothing."""

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def machine(self, script):
        path = f"{self.dir}/run"
        with open(path, "w") as f:
            f.write(f"#!/bin/sh\nd={self.dir}\n{script}\n")
        os.chmod(path, 0o755)
        self.enterContext(mock.patch.object(anywhere, "VM", path))

    def ask(self, what, tests=()):
        """Exit status, the line that was said, and the arguments of each try."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            status = anywhere.in_machine(what, "this container has no CAP_BPF", tests)
        tries = []
        if os.path.exists(f"{self.dir}/asked"):
            with open(f"{self.dir}/asked") as f:
                tries = f.read().splitlines()
        return status, said.getvalue(), tries

    def test_line(self):
        self.machine('[ "$1" != --tell ] || { echo kvm; exit; }')
        status, said, _ = self.ask("demo")
        self.assertEqual((status, said), (0, "this container has no CAP_BPF: using a virtual "
                                          "machine with Linux 6.1, about 20 s\n"))
        self.machine('[ "$1" != --tell ] || { echo emulated; exit; }')
        self.assertIn("Linux 6.1, about 90 s\n", self.ask("demo")[1])
        said = self.ask("check")[1]
        self.assertIn("Linux 7.2, about 30 minutes; of the tests the core (test_facts ", said)
        self.assertEqual(said.count("\n"), 1)
        self.assertNotIn("core", self.ask("check", ["test_list"])[1])
        self.machine('[ "$1" != --tell ] || { echo absent; exit; }')
        self.assertIn("which is fetched first (70 MB), about 20 s, or 90 s without KVM\n",
                      self.ask("demo")[1])

    def test_exit_status_and_arguments(self):
        self.machine('[ "$1" != --tell ] || exit\necho "$*" >>$d/asked; exit 7')
        with mock.patch.object(anywhere, "say"):
            status, _, tries = self.ask("check", ["test_list", "test_cli.Run"])
        self.assertEqual((status, len(tries)), (7, 1))
        self.assertTrue(tries[0].endswith("7.2 unshare --net --mount --propagation private python3 "
                                          "tests/run.py test_list test_cli.Run"), tries)

    def test_machine_that_breaks(self):
        self.machine('echo >>$d/asked; exit 125')
        with mock.patch.object(anywhere, "say"):
            self.assertEqual(self.ask("demo")[::2], (125, [""] * anywhere.TRIES))

    def test_in_ci(self):
        """Where all is there and ifpin refuses, there is no other machine that makes it good."""
        self.machine('echo "$*" >>$d/asked')
        for ci, why, status in (("1", f"{anywhere.probe.REFUSED} (no reason)", 1),
                                ("1", "you are not root", 0),
                                (None, f"{anywhere.probe.REFUSED} (no reason)", 0)):
            environment = {n: v for n, v in os.environ.items() if n not in ("CI", "IFPIN_VM")}
            environment |= {"CI": ci} if ci else {}
            with self.subTest(ci=ci, why=why), mock.patch.dict(os.environ, environment, clear=True), \
                    mock.patch.object(anywhere.probe, "missing", lambda ifpin: why), \
                    mock.patch.object(anywhere, "as_root"), \
                    mock.patch.object(anywhere, "fetch_programs"), \
                    mock.patch.object(sys, "argv", ["anywhere.py", "demo"]), \
                    contextlib.redirect_stderr(io.StringIO()) as said:
                self.assertEqual(anywhere.main(), status)
            self.assertEqual("in CI that is a failure" in said.getvalue(), bool(status))

    def test_acceleration_that_hangs(self):
        """There are machines that have KVM, and never get anywhere with it."""
        with open(f"{self.dir}/qemu-system-x86_64", "w") as f:
            f.write("#!/bin/sh\nexec $QEMU\n")
        os.chmod(f"{self.dir}/qemu-system-x86_64", 0o755)
        path = f"{self.dir}:{os.environ['PATH']}"
        for program, works in (("true", True), ("false", False), ("sleep 60", False)):
            with mock.patch.dict(os.environ, QEMU=program, PATH=path):
                self.assertEqual(vm_run().starts("kvm", "kernel", 1), works, program)


@unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu")
class Machine(unittest.TestCase):
    """The demonstration and a test in a real one, by somebody who has no privilege."""

    def start(self, *argv, timeout):
        folder = tempfile.mkdtemp(dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        build = os.environ.get("BUILD", "build")
        # Where this checkout is, others may not be allowed to look.
        for part in ("tests", build):
            shutil.copytree(os.path.join(ROOT, part), os.path.join(folder, part), symlinks=True,
                            ignore=shutil.ignore_patterns("node_modules"))
        home = os.path.join(folder, "home")
        os.mkdir(home)
        os.chown(home, 12345, 12345)
        environment = {"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "BUILD": build,
                       "XDG_CACHE_HOME": self.cache}
        return subprocess.run([*USER, "python3", "-c", ANYWHERE, f"{folder}/tests", *argv],
                              capture_output=True, text=True, env=environment, timeout=timeout)

    @classmethod
    def setUpClass(cls):
        """From here nothing can be fetched; the Makefile has done so before."""
        fetched = vm_run().folder(anywhere.KERNEL["demo"])
        if not os.path.isdir(fetched):
            raise unittest.SkipTest(f"{fetched} is not there (make check fetches it)")
        cls.cache = tempfile.mkdtemp(dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.cache)
        os.chmod(cls.cache, 0o755)
        into = os.path.join(cls.cache, "ifpin", "kernels", os.path.basename(fetched))
        shutil.copytree(fetched, into, symlinks=True)
        for path in (os.path.dirname(os.path.dirname(into)), os.path.dirname(into)):
            os.chown(path, 12345, 12345)

    def test_demo(self):
        p = self.start("demo", timeout=900)
        self.assertEqual(p.returncode, 0, p.stdout[-2000:] + p.stderr)
        self.assertRegex(p.stderr, r"\Ayou are not root: using a virtual machine with Linux 6\.1, "
                         r"about (20|90) s\n\Z")
        self.assertNotIn("\033", p.stdout)
        self.assertTrue(p.stdout.startswith("# every known leak"), p.stdout[:200])
        self.assertEqual(p.stdout.splitlines()[-1],
                         "For your own use: sudo ifpin run DEVICE -- COMMAND")

    def test_check(self):
        """The last line counts the unit tests, too."""
        p = self.start("check", "test_works.Works.test_curl", "test_works.Works.test_ping",
                       timeout=900)
        self.assertEqual(p.returncode, 0, p.stdout[-2000:] + p.stderr)
        self.assertRegex(p.stderr, r"\Ayou are not root: using a virtual machine with Linux 6\.1, "
                         r"about (10|30) minutes\n\Z")
        self.assertIn("Ran 2 tests", p.stdout)
        self.assertRegex(p.stdout.splitlines()[-1], r"\A\d+ passed, 0 failed\Z")

    def test_check_that_fails(self):
        p = self.start("check", "test_works.Works.test_that_is_not_there", timeout=900)
        self.assertEqual(p.returncode, 1, p.stdout[-2000:] + p.stderr)
        self.assertRegex(p.stdout.splitlines()[-1], r"\A\d+ passed, 1 failed\Z")


if __name__ == "__main__":
    unittest.main()
