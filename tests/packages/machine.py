# SPDX-License-Identifier: MIT
"""A release of Debian, booted in namespaces: its own files, processes, network and cgroups."""
import contextlib
import hashlib
import os
import select
import signal
import socket
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ifpin")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def call(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, **kw).stdout


def mirror():
    """Where this machine has Debian from."""
    for line in call("apt-get", "indextargets", "--format",
                     "$(ORIGIN)|$(REPO_URI)|$(CODENAME)").splitlines():
        origin, uri, codename = line.split("|")
        if origin == "Debian" and "-" not in codename:
            return uri
    raise RuntimeError("this machine's apt has no archive of Debian")


def tree(release, variant, packages):
    """The folder of a release with these packages, made when it is wanted first."""
    key = hashlib.sha256("\n".join([variant, *packages]).encode()).hexdigest()[:12]
    path = f"{CACHE}/chroots/{release}-{variant}-{key}"
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as work:
            # A mirror that is behind is no reason to have no tree: the signature is what counts.
            call("mmdebstrap", "--quiet", "--mode=root", f"--variant={variant}",
                 f"--keyring={KEYRING}", '--aptopt=Acquire::Check-Valid-Until "false"',
                 '--aptopt=APT::Install-Recommends "false"', f"--include={','.join(packages)}",
                 release, f"{work}/tree", mirror(), env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
            os.chmod(f"{work}/tree", 0o755)
            os.rename(f"{work}/tree", path)
    return path


def cgroup_root():
    for line in open("/proc/self/mountinfo"):
        if " - cgroup2 " in line and line.split()[3] == "/":
            return line.split()[4]
    raise RuntimeError("no cgroup v2")


class Machine:
    """To be used as a context; what is written in it goes with it, but for what is in out."""

    def __init__(self, folder, source, out, fetch=""):
        self.argv = [f"{HERE}/init", folder, source, out, fetch]
        self.out = out
        self.cgroup = f"{cgroup_root()}/ifpin-packages-{os.getpid()}"

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.remove_cgroups)
            for name in ("", "/machine", "/machine/check"):
                os.mkdir(self.cgroup + name)
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            ready.bind(f"{self.out}/notify")
            p = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation", "private",
                 "--uts", "--ipc", *self.argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.enter("machine"))
            stack.callback(p.wait)
            stack.callback(p.kill)  # and with it all that is inside
            # Only as long as it is read: who tells more than is read would wait.
            self.wait_until_up(p, ready, log)
            ready.close()
            os.unlink(f"{self.out}/notify")
            with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
                self.first = f.read().split()[0]
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def enter(self, name):
        def fn():
            with open(f"{self.cgroup}/{name}/cgroup.procs", "w") as f:
                f.write("0")
        return fn

    def remove_cgroups(self):
        """When all that was in them has ended."""
        with open(f"{self.cgroup}/cgroup.events") as f:
            events = select.poll()
            events.register(f, select.POLLPRI)
            while "populated 1" in f.read():
                events.poll()
                f.seek(0)
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(folder)

    @staticmethod
    def wait_until_up(p, ready, log, seconds=300):
        ended = os.pidfd_open(p.pid)
        try:
            while True:
                found = select.select([ready, ended], [], [], seconds)[0]
                if ready in found and b"READY=1" in ready.recv(4096):
                    return
                if ended in found or not found:
                    log.seek(0)
                    raise RuntimeError(f"the machine does not come up: {log.read()}")
        finally:
            os.close(ended)

    def run(self, script, timeout=600):
        """What a shell's commands print in it; they have to succeed."""
        p = subprocess.run(
            ["nsenter", f"--target={self.first}", "--mount", "--pid", "--net", "--uts", "--ipc",
             "--cgroup", "--root", "--wd", "env", "-i", "DEBIAN_FRONTEND=noninteractive",
             "LC_ALL=C.UTF-8", "HOME=/root", f"PATH={PATH}", "sh", "-euc", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=self.enter("machine/check"), timeout=timeout)
        if p.returncode:
            raise AssertionError(f"{script}\nexit status {p.returncode}\n{p.stdout}")
        return p.stdout
