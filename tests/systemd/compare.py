#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proof beside what others offer, in a machine of systemd's; writes docs/comparison.md.

tests/systemd/compare.py --build DIR [--suite SUITE] [--write]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import check

DOC = os.path.join(check.ROOT, "docs/comparison.md")
# The number that the first device of a network namespace gets, as the laboratory's.
INDEX = 2
MANAGER = "systemd-run --wait --pipe --quiet -p NetworkNamespacePath={netns} -p BindNetworkInterface={device} "
STRICT = MANAGER + "-p RestrictNetworkInterfaces={device} -p 'RestrictAddressFamilies=AF_INET AF_INET6'"
COMMANDS = {
    "vrf": "ip vrf exec {vrf}",
    "local": MANAGER + "-p 'RestrictNetworkInterfaces={device} lo' "
             "-p 'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK'",
    "systemd": STRICT,
    "hardened": STRICT + " -p CapabilityBoundingSet= -p NoNewPrivileges=yes -p ProtectControlGroups=yes "
                "-p RestrictNamespaces=yes -p ProtectProc=invisible -p SystemCallFilter=@system-service "
                "-p SystemCallErrorNumber=EPERM",
}
SHOWN = ("none", "SO_BINDTODEVICE", *(f"against {c}" for c in COMMANDS), "ifpin run")
TITLES = {"none": "without protection", "against vrf": "`ip vrf exec`", "against systemd": "systemd, nothing local",
          "against local": "systemd", "against hardened": "systemd, nothing local, hardened",
          "ifpin run": "`ifpin run`"}
HEAD = """# Beside others

Written by `make comparison`, not by hand: the proof (ifpin-prove(8)) with `--against=`, in a machine that systemd has
started. The same attempts are made behind each command, in a laboratory each, and the frames at the far end of the
other interface are counted. A datagram by the interface itself gets through behind all of them.

"""
NOTES = """
* **Fair to systemd.** It resolves names of interfaces in its own network namespace, and goes on without an interface that
  is not there. So there is an `in0` with the number of the laboratory's.
* **What keeps working.** Under "systemd" the service has 127.0.0.1, name service, log and the list of its interfaces, as
  under `ifpin run`. With "nothing local" it has none of these: `RestrictNetworkInterfaces=in0` takes the first, and
  `RestrictAddressFamilies=AF_INET AF_INET6` the others. "Hardened" takes root's privileges as well; `ifpin run` is as it
  is without options.
* **Not compared:** what the class *host* has, which no confinement of a program is for, and how hard each is to use.
"""


def inside():
    """The script in the machine."""
    against = " ".join(f"--against=\"{label}=$(words_{label})\"" for label in COMMANDS)
    functions = "\n".join(f"words_{label}() {{ cat <<'end'\n{words}\nend\n}}" for label, words in COMMANDS.items())
    return (f"{functions}\nip link add in0 index {INDEX} type dummy && ip link set in0 up || exit 1\n"
            "systemctl --version | head -1; ip -V\n"
            f"ifpin prove --json=/run/r.json {against} >/run/out 2>&1; "
            "cat /run/r.json 2>/dev/null || cat /run/out")


def measure(suite, build, timeout):
    """Versions, and the report."""
    root = subprocess.run([f"{check.ROOT}/tests/vm/root", suite], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="ifpin-compare-") as stage:
        check.installed(build, stage, enabled=())
        p = subprocess.run(
            [f"{check.ROOT}/tests/vm/run", f"--timeout={timeout}", f"--root={root}", f"--layer={stage}",
             check.KERNELS[suite], "sh", "-c", inside()], cwd=check.ROOT, stdout=subprocess.PIPE, text=True)
    systemd, _, rest = p.stdout.partition("\n")
    iproute, _, text = rest.partition("\n")
    try:
        return systemd, iproute, json.loads(text)
    except json.JSONDecodeError:
        print(p.stdout[-2000:], file=sys.stderr)
        sys.exit(1)


def document(systemd, iproute, report):
    attempts = [a for a in report["attempts"] if a["class"] != "host"]
    columns = [c for c in SHOWN if c in report["protections"]]
    text = HEAD + f"Linux {report['kernel']}, {' '.join(systemd.split()[:2])}, " \
        f"iproute2 {iproute.rpartition('iproute2-')[2].split(',')[0]}, ifpin {report['versions']['ifpin']}.\n\n"
    text += "Attempts that leaked:\n\n| class | made | " + " | ".join(TITLES.get(c, c) for c in columns)
    text += " |\n|---|---|" + "---|" * len(columns) + "\n"

    def row(name, some):
        made = [a for a in some if a["results"]["none"]["outcome"] == "leaked"]
        leaks = (sum(a["results"][c]["outcome"] in ("leaked", "not held") for a in made) for c in columns)
        return f"| {name} | {len(made)} | " + " | ".join(str(n) for n in leaks) + " |\n"

    for name in dict.fromkeys(a["class"] for a in attempts):
        text += row(name, [a for a in attempts if a["class"] == name])
    text += row("all", attempts) + "\nThe commands:\n\n"
    for column, words in report["against"].items():
        text += f"* {TITLES[column]}: `{words}`\n"
    for column in columns:
        if column.startswith("against ") or column == "ifpin run":
            for outcome, what in ((("leaked", "not held"), "What leaks"), (("broken",), "What could not be made")):
                names = [a["name"] for a in attempts if a["results"][column]["outcome"] in outcome]
                if names:
                    text += f"\n{what} under {TITLES[column]}: {', '.join(names)}.\n"
            why = {a["results"][column].get("why") for a in attempts
                   if a["results"][column]["outcome"] == "unavailable" and
                   a["results"]["none"]["outcome"] != "unavailable"}
            for reason in why - {None}:
                text += f"\nNothing was tried under {TITLES[column]}: {reason}.\n"
    return text + NOTES


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", required=True, help="configured with --prefix=/usr")
    p.add_argument("--suite", default="sid")
    p.add_argument("--timeout", type=int, default=1500)
    p.add_argument("--write", action="store_true", help="write docs/comparison.md")
    a = p.parse_args()
    text = document(*measure(a.suite, a.build, a.timeout))
    print(text)
    if a.write:
        with open(DOC, "w") as f:
            f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
