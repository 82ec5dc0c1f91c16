#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether a command can be confined here: probe.py IFPIN; exit status 0 or 1, and 1 says why.

A kernel that hangs at loading a program lets nobody end the process that asked: it is not waited
for longer than a minute.
"""
import subprocess
import sys

SCRIPT = ("ip link add in0 type veth peer name in1 && ip link set in0 up && "
          'exec "$0" run --dns=system in0 -- true')


def main():
    p = subprocess.Popen(["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT,
                          sys.argv[1]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, said = p.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        p.kill()
        p.returncode = 0  # not to be waited for: it may never end
        print("the kernel hangs at loading a BPF program")
        return 1
    if p.returncode:
        print(said.strip() or f"exit status {p.returncode}")
    return 1 if p.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
