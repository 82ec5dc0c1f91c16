#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demonstration or the tests, wherever they are typed: anywhere.py demo | check [TEST...]

Here, in namespaces of their own; or, where something that they need is missing, in a virtual
machine, after one line that says what is missing. Output and exit status are the same. Only these
two do so: `ifpin run` confines or refuses.
"""
import os
import subprocess
import sys

import probe

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BUILD", "build")
VM = os.path.join(ROOT, "tests/vm/run")
# What shows most, in the time that an emulated machine has.
CORE = ("test_facts", "test_attach", "test_attack", "test_list", "test_holds.Prove.test_all",
        "test_holds.Devices")
NEEDS = ("qemu-system-x86_64", "busybox", "cpio", "depmod", "zstd", "dpkg-deb")
# 6.1 is the oldest that is supported, and the fastest to start; the tests want all of what is new.
KERNEL = {"demo": "6.1", "check": "7.2"}
DURATION = {"demo": ("20 s", "90 s"), "check": ("10 minutes", "30 minutes")}  # with KVM, without
LIMIT = {"demo": 600, "check": 3000}
TRIES = 3
BROKE = 125  # the machine, not the command


def command(what, tests):
    program = ["tests/demo.py"] if what == "demo" else ["tests/run.py", *tests]
    return ["unshare", "--net", "--mount", "--propagation", "private", "python3", *program]


def environment():
    build = os.path.join(ROOT, BUILD)
    return {"BUILD": BUILD, "IFPIN": f"{build}/ifpin", "LEAKER": f"{build}/leaker"}


def say(what, why, tests):
    kernel = KERNEL[what]
    how = subprocess.run([VM, "--tell", kernel], stdout=subprocess.PIPE, text=True).stdout.strip()
    line = f"{why}: using a virtual machine with Linux {kernel}"
    kvm, emulated = DURATION[what]
    if how == "absent":
        line += f", which is fetched first (70 MB), about {kvm}, or {emulated} without KVM"
    else:
        line += f", about {kvm if how == 'kvm' else emulated}"
    if tests == CORE:
        line += f"; of the tests the core ({' '.join(CORE)})"
    print(line, file=sys.stderr, flush=True)


def in_machine(what, why, tests):
    if what == "check":
        tests = tests or CORE
    say(what, why, tests)
    settings = environment() | {n: os.environ[n] for n in ("CI", "NO_COLOR") if n in os.environ}
    # An emulated machine with two processors panics now and then while the kernel patches itself,
    # and is slower than one with one where the host is busy.
    argv = [VM, f"--timeout={LIMIT[what]}", "--cpus=1",
            *(f"--env={n}={v}" for n, v in settings.items()), KERNEL[what], *command(what, tests)]
    for _ in range(TRIES):
        r = subprocess.run(argv, cwd=ROOT).returncode
        if r != BROKE:
            break
    return r


def fetch_programs():
    """What a virtual machine needs; who may not install it is told the command."""
    if not all(probe.which(p) for p in NEEDS):
        if subprocess.run([os.path.join(ROOT, "dist/install-packages"), "vm"]).returncode:
            sys.exit(1)


def as_root():
    """Again by sudo, where that asks for no password."""
    if os.geteuid() and probe.which("sudo") and \
            subprocess.run(["sudo", "-n", "true"], stdin=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL).returncode == 0:
        kept = [f"{n}={os.environ[n]}" for n in ("BUILD", "CI", "JUNIT", "NO_COLOR", "PATH")
                if n in os.environ]
        os.execvp("sudo", ["sudo", "-n", "env", *kept, sys.executable, *sys.argv])


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in KERNEL:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    what, tests = sys.argv[1], sys.argv[2:]
    as_root()
    # In such a machine there is no other one.
    why = None if "IFPIN_VM" in os.environ else probe.missing(os.path.join(ROOT, BUILD, "ifpin"))
    # That may be a fault of ours, which elsewhere nobody would see.
    if why and why.startswith(probe.REFUSED) and "CI" in os.environ:
        print(f"{why}: in CI that is a failure", file=sys.stderr)
        return 1
    if why:
        fetch_programs()
        return in_machine(what, why, tests)
    os.chdir(ROOT)
    os.environ.update(environment())
    sys.stdout.flush()
    argv = command(what, tests)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    sys.exit(main())
