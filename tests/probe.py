#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the tests can run here: probe.py IFPIN; exit status 0, or 1 and what is missing.

The first thing that is missing is said in words; the last question is whether a command can be
confined.
"""
import contextlib
import ctypes
import errno
import os
import platform
import re
import shutil
import subprocess
import sys

OLDEST = (6, 1)
CAPABILITIES = {"CAP_BPF": 39, "CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13,
                "CAP_SYS_PTRACE": 19, "CAP_SETPCAP": 8}
BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
UNSHARE = ("unshare", "--net", "--mount", "--propagation", "private")
SCRIPT = ("ip link add in0 type veth peer name in1 && ip link set in0 up && "
          'exec "$0" run --dns=system in0 -- true')
PATIENCE = 60
REFUSED = "nothing can be confined here"


def which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def read(path):
    with contextlib.suppress(OSError), open(path) as f:
        return f.read()
    return ""


def capabilities():
    return int(re.search(r"^CapEff:\s*(\w+)", read("/proc/self/status"), re.M).group(1), 16)


def place():
    """A container says what it is, or shows it by what root may not do there."""
    marks = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
    if any(os.path.exists(m) for m in marks) or not capabilities() >> 21 & 1:
        return "this container"
    return "this machine"


def without_root():
    return "you are not root" if os.geteuid() else None


def without_host():
    if read("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"]):
        return "root is root of a user namespace only"
    return None


def without_capabilities():
    have = capabilities()
    lost = [name for name, bit in CAPABILITIES.items() if not have >> bit & 1]
    if not lost:
        return None
    return f"{place()} has no {' and no '.join(lost[:2])}"


def without_kernel():
    release = platform.release()
    found = re.match(r"(\d+)\.(\d+)", release)
    if found and (int(found.group(1)), int(found.group(2))) < OLDEST:
        return f"Linux {release} is older than {OLDEST[0]}.{OLDEST[1]}"
    return None


def without_namespaces():
    p = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return f"{place()} makes no namespaces ({p.stderr.strip()})" if p.returncode else None


def without_cgroups():
    mounts = [line.split() for line in read("/proc/self/mounts").splitlines()]
    root = next((m[1] for m in mounts if m[2] == "cgroup2"), None)
    if not root:
        only = "only cgroup v1" if any(m[2] == "cgroup" for m in mounts) else "no cgroupfs"
        return f"{place()} has {only}"
    path = f"{root}/ifpin-probe-{os.getpid()}"
    try:
        os.mkdir(path)
        os.rmdir(path)
    except OSError as e:
        if not os.path.isfile(f"{root}/cgroup.controllers"):
            return f"cgroupfs is hidden in {place()}"
        if e.errno == errno.EROFS:
            return f"cgroupfs is read-only in {place()}"
        return f"{place()} makes no cgroups ({e.strerror})"
    return None


def without_bpf():
    """An unknown command is invalid to a kernel that would know what to do with a known one."""
    number = BPF.get(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    if number and libc.syscall(number, 0x7fff, None, 0) < 0:
        if ctypes.get_errno() == errno.ENOSYS:
            return f"the kernel of {place()} has no BPF"
        if ctypes.get_errno() != errno.EINVAL:
            return f"{place()} lets nobody use BPF ({os.strerror(ctypes.get_errno())})"
    p = subprocess.run([*UNSHARE, "mount", "-t", "bpf", "bpf", "/sys/fs/bpf"],
                       capture_output=True, text=True)
    return f"{place()} has no place for bpffs ({p.stderr.strip()})" if p.returncode else None


def without_confinement(ifpin):
    """A kernel that hangs at loading a program lets nobody end the process that asked."""
    p = subprocess.Popen([*UNSHARE, "sh", "-c", SCRIPT, ifpin], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         start_new_session=True)
    try:
        _, said = p.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        p.kill()
        p.returncode = 0  # not to be waited for: it may never end
        return "the kernel hangs at loading a BPF program"
    if not p.returncode:
        return None
    lines = said.strip().splitlines() or [f"exit status {p.returncode}"]
    return f"{REFUSED} ({lines[0]})"


def missing(ifpin):
    """What is missing first, or None."""
    for question in (without_root, without_host, without_capabilities, without_kernel,
                     without_namespaces, without_cgroups, without_bpf):
        said = question()
        if said:
            return said
    return without_confinement(ifpin)


def main():
    said = missing(sys.argv[1])
    if said:
        print(said)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
