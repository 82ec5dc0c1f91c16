#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proof and the core tests on other kernels; writes docs/kernels.md.

tests/vm/kernels.py [--tests MODULE,...] [--write] [KERNEL...]
"""
import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, "tests/vm/run")
KERNELS = ("5.10", "6.1", "6.12", "7.2")
CORE = "test_facts,test_lib,test_lib_follow"
HEAD = """# Kernels

Written by `make check-kernels`, not by hand: the proof (`ifpin prove`) and the core of the tests on
Debian's kernels, in an emulated machine. Held and leaked are numbers of attempts; "not held" is what
this kernel gives no means for, "unavailable" what it cannot even attempt.

"""


def inside(kernel, timeout, *command, build):
    p = subprocess.run([RUN, f"--timeout={timeout}", f"--env=BUILD={build}", kernel, *command],
                       cwd=ROOT, capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def prove(kernel, build):
    """What the report says: per protection, how many attempts came to which end."""
    script = (f"uname -r; {build}/ifpin run --dns=system lo -- true 2>&1 | tail -1 | tr -d '\\n'; "
              f"echo; {build}/ifpin prove --json=/tmp/r.json >/tmp/out 2>&1; "
              "cat /tmp/r.json || cat /tmp/out")
    code, out, err = inside(kernel, 900, "sh", "-c", script, build=build)
    release, _, rest = out.partition("\n")
    refusal, _, text = rest.partition("\n")
    try:
        return release, refusal, json.loads(text), None
    except json.JSONDecodeError:
        return release, refusal, None, (text or err).strip()[-600:]


def counts(report):
    table = {}
    for a in report["attempts"]:
        for protection, r in a["results"].items():
            row = table.setdefault(protection, {})
            row.setdefault(r["outcome"], []).append(a["name"])
    return table


def tests(kernel, build, modules):
    code, out, err = inside(kernel, 1500, "tests/run.sh", *modules, build=build)
    line = re.findall(r"^\d+ passed, \d+ failed.*$", out, re.M)
    bad = re.findall(r"^(?:FAILED|ERROR)\s+(\S+)", out, re.M)
    return (line[-1] if line else f"did not end ({code})"), bad


def section(kernel, release, refusal, report, why, result, bad):
    text = f"## Linux {kernel} ({release})\n\n"
    if not report:
        return text + f"The proof did not run:\n\n```\n{why}\n```\n\n"
    text += "| protection | held | leaked | not held | unavailable | broken | out of reach |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for protection, row in counts(report).items():
        if protection == "ifpin run" and refusal:
            text += "| ifpin run | refuses | | | | | |\n"
            continue
        text += f"| {protection} | " + " | ".join(
            str(len(row.get(o, ()))) for o in ("held", "leaked", "not held", "unavailable",
                                               "broken", "out of reach")) + " |\n"
    if refusal:
        text += f"\n`ifpin run` does not start: {refusal.removeprefix('ifpin: ')}.\n"
    row = {} if refusal else counts(report)["ifpin run"]
    for outcome in ("leaked", "not held", "unavailable", "broken"):
        if row.get(outcome):
            text += f"\n{outcome.capitalize()} under `ifpin run`: {', '.join(row[outcome])}.\n"
    text += f"\nTests: {result}"
    return text + (f" ({', '.join(bad)}).\n\n" if bad else ".\n\n")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--tests", default=CORE)
    p.add_argument("--write", action="store_true", help="write docs/kernels.md")
    p.add_argument("kernels", nargs="*", default=KERNELS)
    a = p.parse_args()
    text, failed = HEAD, 0
    for kernel in a.kernels:
        release, refusal, report, why = prove(kernel, a.build)
        result, bad = tests(kernel, a.build, a.tests.split(",")) if report else ("", [])
        part = section(kernel, release, refusal, report, why, result, bad)
        print(part, flush=True)
        text += part
        failed += not report or (not refusal and (bool(bad) or report["failures"] > 0))
    if a.write:
        with open(os.path.join(ROOT, "docs/kernels.md"), "w") as f:
            f.write(text.rstrip() + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
