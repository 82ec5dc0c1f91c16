#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proof and the core tests on other kernels; writes docs/kernels.md.

tests/vm/kernels.py [--tests MODULE,... | --proof] [--cpus N] [--write] [KERNEL...]

A kernel's section is written when it is done; those of others stay as they are. With --proof, what a
section says of tests stays, too.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, "tests/vm/run")
KERNELS = ("5.10", "6.1", "6.12", "7.2")
CORE = "test_facts,test_lib,test_lib_follow"
# Where ifpin run works.
CONFINED = "test_lsm,test_devices_real,test_attach,test_attack"
DEFAULT_CPUS = 2
DOC = os.path.join(ROOT, "docs/kernels.md")
HEAD = """# Kernels

Written by `make check-kernels`, not by hand: the proof (`ifpin prove`) and the core of the tests on
Debian's kernels, in an emulated machine. Held and leaked are numbers of attempts; "not held" is what
this kernel gives no means for, "unavailable" what it cannot even attempt. The proof is made more often
than the tests (`tests/vm/kernels.py --proof`).

"""


def inside(kernel, timeout, *command, args):
    """A machine that fails as such, as emulated ones do now and then, is started again."""
    for _ in range(3):
        p = subprocess.run([RUN, f"--timeout={timeout}", f"--env=BUILD={args.build}", "--env=IFPIN_VM=1",
                            "--env=PYTHONUNBUFFERED=1", f"--cpus={args.cpus}", kernel, *command],
                           cwd=ROOT, capture_output=True, text=True)
        if p.returncode != 125:
            break
    return p.returncode, p.stdout, p.stderr


# What there is of a kernel: its release; why ifpin run refuses there, and what the demonstration
# lacks, or ""; the report, or why there is none.
Proof = collections.namedtuple("Proof", "release refusal missing report why")


def prove(kernel, args):
    build = args.build
    script = (f"uname -r; {build}/ifpin run --dns=system lo -- true 2>&1 | tail -1 | tr -d '\\n'; "
              f"echo; python3 tests/probe.py {build}/ifpin | tr -d '\\n'; "
              f"echo; {build}/ifpin prove --json=/tmp/r.json >/tmp/out 2>&1; "
              "cat /tmp/r.json || cat /tmp/out")
    code, out, err = inside(kernel, 1500, "sh", "-c", script, args=args)
    release, _, rest = out.partition("\n")
    refusal, _, rest = rest.partition("\n")
    missing, _, text = rest.partition("\n")
    try:
        return Proof(release, refusal, missing, json.loads(text), None)
    except json.JSONDecodeError:
        return Proof(release, refusal, missing, None, (text or err).strip()[-600:])


def counts(report):
    table = {}
    for a in report["attempts"]:
        for protection, r in a["results"].items():
            row = table.setdefault(protection, {})
            row.setdefault(r["outcome"], []).append(a["name"])
    return table


def tests(kernel, args, modules):
    code, out, err = inside(kernel, 2400, "tests/run.sh", *modules, args=args)
    line = re.findall(r"^\d+ passed, \d+ failed.*$", out, re.M)
    bad = re.findall(r"^(?:FAILED|ERROR)\s+(\S+)", out, re.M)
    # Unit tests, and whatever else counts and is not called so above.
    if code and line and not bad:
        bad = [f"status {code}"]
    skipped = re.findall(r"^skipped (.*?): (.*)$", out, re.M)
    return (line[-1] if line else f"did not end ({code})"), bad, skipped


def title(kernel, args):
    processors = {1: ", one processor", DEFAULT_CPUS: ""}.get(args.cpus, f", {args.cpus} processors")
    return f"## Linux {kernel}{processors} ("


def of_proof(head, proof):
    text = f"{head}{proof.release})\n\n"
    if not proof.report:
        return text + f"The proof did not run:\n\n```\n{proof.why}\n```\n\n"
    text += "| protection | held | leaked | not held | unavailable | broken | out of reach |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for protection, row in counts(proof.report).items():
        if protection == "ifpin run" and proof.refusal:
            text += "| ifpin run | refuses | | | | | |\n"
            continue
        text += f"| {protection} | " + " | ".join(
            str(len(row.get(o, ()))) for o in ("held", "leaked", "not held", "unavailable",
                                               "broken", "out of reach")) + " |\n"
    if proof.refusal:
        text += f"\n`ifpin run` does not start: {proof.refusal.removeprefix('ifpin: ')}.\n"
    if proof.missing:
        text += f"\n`make demo` and `make check` use a virtual machine there: {proof.missing}.\n"
    row = {} if proof.refusal else counts(proof.report)["ifpin run"]
    for outcome in ("leaked", "not held", "unavailable", "broken"):
        if row.get(outcome):
            text += f"\n{outcome.capitalize()} under `ifpin run`: {', '.join(row[outcome])}.\n"
    return text + "\n"


def of_tests(modules, result, bad, skipped):
    text = f"Tests{' of ' + modules.replace(',', ', ') if modules else ''}: {result}"
    text += f" ({', '.join(bad)}).\n" if bad else ".\n"
    reasons = sorted({reason for _, reason in skipped})
    for reason in reasons:
        text += f"\nSkipped: {', '.join(test for test, why in skipped if why == reason)} ({reason}).\n"
    return text + "\n"


def sections():
    with open(DOC) as f:
        return re.split(r"^(?=## )", f.read(), flags=re.M)[1:]


def said_of_tests(head):
    """By the section that begins so."""
    for part in sections():
        if part.startswith(head) and "\nTests" in part:
            return part[part.index("\nTests") + 1:]
    return of_tests("", "not run", [], [])


def write(head, text):
    """In place of the section that begins so, or behind all others."""
    parts = sections()
    at = [i for i, p in enumerate(parts) if p.startswith(head)]
    parts[at[0] if at else len(parts):at[0] + 1 if at else None] = [text]
    with open(DOC, "w") as f:
        f.write((HEAD + "".join(p.rstrip() + "\n\n" for p in parts)).rstrip() + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--cpus", type=int, default=DEFAULT_CPUS)
    p.add_argument("--tests", help=f"default: {CORE}, and {CONFINED} where ifpin run works")
    p.add_argument("--proof", action="store_true", help="no tests: what is written of them stays")
    p.add_argument("--write", action="store_true", help="write docs/kernels.md")
    p.add_argument("kernels", nargs="*", default=KERNELS)
    a = p.parse_args()
    failed = 0
    for kernel in a.kernels:
        proof = prove(kernel, a)
        head = title(kernel, a)
        modules = a.tests
        if modules is None:
            modules = "" if a.proof else CORE if proof.refusal else f"{CORE},{CONFINED}"
        ran = ("not run", [], [])
        part = of_proof(head, proof)
        if a.write:  # should the tests not end
            write(head, part + (said_of_tests(head) if a.proof else of_tests(modules, *ran)))
        if proof.report and modules:
            ran = tests(kernel, a, modules.split(","))
            part += of_tests(modules, *ran)
            if a.write:
                write(head, part)
        print(part, flush=True)
        # Every kernel here on which ifpin run works has BPF LSM.
        without_lsm = any("test_lsm" in test for test, _ in ran[2])
        failed += (not proof.report or bool(ran[1]) or ran[0].startswith("did not") or
                   (not proof.refusal and bool(proof.missing or proof.report["failures"] or
                                               without_lsm)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
