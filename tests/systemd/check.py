#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Services under real systemd, in virtual machines; writes docs/systemd.md.

tests/systemd/check.py --build DIR [--write] [SUITE...]
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests/systemd")
# With the kernel of each.
KERNELS = {"bookworm": "6.1", "trixie": "6.12", "sid": "7.2"}
SYSTEM = "etc/systemd/system"
DEVICE_PART = ("After=sys-subsystem-net-devices-in0.device\n"
               "BindsTo=sys-subsystem-net-devices-in0.device\n")
# What is started at boot.
ENABLED = ("ifpind", "devices-out", "devices-in", "boot", "daemon")
PINNED = ("boot", "missing", "restricted", "dropsock", "postsock", "refusedsock")
HEAD = """# Services under systemd

Written by `make check-systemd`, not by hand: what holds for a service of systemd's, in machines that systemd has
started. The service sends to the outside, plainly and by packet-info, and the frames on the other interface are
counted; unpinned it leaks, which is shown first.

* **The drop-in** `ifpin-pinned.conf` pins a service before its first instruction, at every start. Where that cannot
  be done, the service does not start.
* **`ifpin attach --unit`** pins what runs now. A restart makes a new cgroup, which nothing holds.
* **`ifpind`** pins again after each start, some milliseconds later than the service begins.
* **Socket activation.** What the manager hands over was made outside of the cgroup, and the programs there do not judge
  it. The line `ExecStartPost=` of the drop-in ties listeners of TCP as soon as the service has them, and ends the start if
  there are others. Until then, they are as the manager made them: `BindToDevice=` in the socket unit ties them from the
  beginning. A connection attempt from elsewhere is answered with a reset by the kernel itself.

"""


def installed(build, stage, enabled=ENABLED):
    """What the machine gets above its file system: ifpin as installed, and the tests' units."""
    subprocess.run(["meson", "install", "-C", build, "--quiet", "--no-rebuild"], check=True,
                   env=os.environ | {"DESTDIR": stage}, stdout=subprocess.DEVNULL)
    shutil.copytree(f"{HERE}/files", stage, dirs_exist_ok=True)
    os.makedirs(f"{stage}/opt")
    for name in ("agent.py", "devices"):
        shutil.copy(f"{HERE}/{name}", f"{stage}/opt/{name}")
    wants = f"{stage}/{SYSTEM}/multi-user.target.wants"
    os.makedirs(wants)
    for name in enabled:
        folder = "/usr/lib/systemd/system" if name == "ifpind" else f"/{SYSTEM}"
        os.symlink(f"{folder}/{name}.service", f"{wants}/{name}.service")
    with open(f"{stage}/usr/share/doc/ifpin/ifpin-pinned.conf") as f:
        dropin = f.read().replace("eth1", "in0").replace("--unit=%n", "--unit=%n --dns=system")
    for name in PINNED:
        os.makedirs(f"{stage}/{SYSTEM}/{name}.service.d")
        text = dropin
        if name in ("postsock", "refusedsock"):
            text = text.replace("#ExecStartPost=", "ExecStartPost=")
        if name == "missing":
            text = text.replace(DEVICE_PART, "").replace(" in0", " none0")
        with open(f"{stage}/{SYSTEM}/{name}.service.d/ifpin.conf", "w") as f:
            f.write(text)
    # bpffs and the daemon's folder are for root alone, as an installation leaves them.
    for path in (stage, f"{stage}/etc", f"{stage}/opt"):
        os.chmod(path, 0o755)


def check(suite, build, timeout):
    """The version of systemd, and what came of each test."""
    root = subprocess.run([f"{ROOT}/tests/vm/root", suite], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="ifpin-systemd-") as stage:
        installed(build, stage)
        p = subprocess.run(
            [f"{ROOT}/tests/vm/run", f"--timeout={timeout}", "--cpus=1", f"--root={root}",
             f"--layer={stage}", KERNELS[suite], "sh", "-c",
             "systemctl --version | head -1; python3 tests/systemd/inside.py"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True)
    results, rest = [], []
    for line in p.stdout.splitlines():
        if line.startswith('{"result"'):
            results.append(json.loads(line))
        else:
            rest.append(line)
    if p.returncode:
        print("\n".join(rest))
    version = rest[0].split()[1] if rest and rest[0].startswith("systemd ") else "none"
    return version, results


def present(build):
    """What the last run of each release came to."""
    for suite in KERNELS:
        path = os.path.join(build, f"{suite}.json")
        if os.path.exists(path):
            with open(path) as f:
                yield (suite, *json.load(f))


def document(columns):
    """A row for each sentence, in the order of the tests."""
    columns = list(columns)
    rows = list(dict.fromkeys(text for _, _, results in columns for text in results))
    text = HEAD + "| situation | " + " | ".join(
        f"systemd {version} ({suite}, Linux {KERNELS[suite]})" for suite, version, _ in columns)
    text += " |\n|---|" + "---|" * len(columns) + "\n"
    for row in rows:
        text += f"| {row} | " + " | ".join(
            results.get(row, "not run") for _, _, results in columns) + " |\n"
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", required=True, help="configured with --prefix=/usr")
    p.add_argument("--timeout", type=int, default=900)
    p.add_argument("--write", action="store_true", help="write docs/systemd.md")
    p.add_argument("suites", nargs="*", default=list(KERNELS))
    a = p.parse_args()
    passed = failed = 0
    for suite in a.suites:
        version, results = check(suite, a.build, a.timeout)
        for r in results:
            print(f"{r['result']:<7} systemd {version}: {r['text']}", flush=True)
        ok = sum(r["result"] == "ok" for r in results)
        passed += ok
        failed += len(results) - ok + (not results)
        with open(os.path.join(a.build, f"{suite}.json"), "w") as f:
            json.dump([version, {r["text"]: r["outcome"] if r["result"] == "ok" else "**no**"
                                 for r in results}], f)
        if a.write:
            with open(os.path.join(ROOT, "docs/systemd.md"), "w") as f:
                f.write(document(present(a.build)))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
