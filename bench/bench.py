#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a pin costs: each measurement in pairs against the same work without it, median of ratios.

bench.py BUILD [--json FILE] [--pairs N]; in namespaces of its own.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "netns"))
from lab import Chassis, Peer, must, run  # noqa: E402

SECONDS = "0.25"


def paired(a, b, pairs):
    """Ratios a/b, each from two measurements next to each other, in changing order."""
    ratios = []
    for i in range(pairs):
        if i % 2:
            x = a()
            y = b()
        else:
            y = b()
            x = a()
        ratios.append(x / y)
    return ratios


class Bench:
    def __init__(self, build, pairs):
        self.ifpin = os.path.join(build, "ifpin")
        self.rates = os.path.join(build, "rates")
        self.pairs = pairs
        self.rows = []
        self.chassis = Chassis()
        self.chassis.build()

    def row(self, what, against, wanted, ratios, lower_is_better=False, note=""):
        ratios = sorted(ratios)
        median = statistics.median(ratios)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        ok = median <= wanted if lower_is_better else median >= wanted
        self.rows.append({"what": what, "against": against, "ratio": round(median, 3),
                          "quartiles": [round(low, 3), round(high, 3)], "pairs": len(ratios),
                          "wanted": ("<= " if lower_is_better else ">= ") + str(wanted),
                          "reached": ok, "note": note})
        print(f"{what:34} {against:34} {median:6.3f} [{low:.3f} {high:.3f}]  "
              f"{self.rows[-1]['wanted']:8} {'yes' if ok else 'NO':4} {note}", flush=True)

    def rate(self, mode, device="-", prefix=(), address="10.0.1.2"):
        return float(must(*prefix, self.rates, mode, device, address, SECONDS))

    def confined(self, mode):
        return self.rate(mode, prefix=(self.ifpin, "run", "--dns=system", "in0", "--"))

    def sockets(self):
        server = self.chassis.popen(self.chassis.pin.cmd(self.rates, "serve", "10.0.1.2"),
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        server.stdout.readline()
        for mode, what, wanted in (("udp", "UDP send() of 64 bytes", 0.95),
                                   ("udp-to", "UDP sendto() of 64 bytes", 0.95),
                                   ("tcp", "TCP bulk throughput", 0.98),
                                   ("request", "TCP connect, request, close", 0.95)):
            self.row(what, "SO_BINDTODEVICE only",  wanted,
                     paired(lambda: self.confined(mode), lambda: self.rate(mode, "in0"),
                            self.pairs))
        self.row("socket() and close()", "unconfined", 0.90,
                 paired(lambda: self.confined("socket"), lambda: self.rate("socket"), self.pairs))
        self.usual_alternative()

    def usual_alternative(self):
        """A namespace behind a veth, and the host masquerades for it."""
        inner = Peer()
        self.chassis.stack.callback(inner.close)
        for line in (f"link add vuplink type veth peer name eth0 netns /proc/{inner.pid}/ns/net",
                     "link set vuplink up", "addr add 10.0.9.1/24 dev vuplink"):
            must("ip", *line.split())
        self.chassis.stack.callback(run, "ip", "link", "del", "vuplink")
        for line in ("link set eth0 up", "addr add 10.0.9.2/24 dev eth0",
                     "route add default via 10.0.9.1"):
            must(*inner.cmd("ip", *line.split()))
        with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write("1")
        must("nft", "add table ip bench; add chain ip bench nat "
                    "{ type nat hook postrouting priority srcnat; }; "
                    "add rule ip bench nat oifname in0 masquerade")
        for mode, what in (("udp", "UDP send() of 64 bytes"),
                           ("udp-to", "UDP sendto() of 64 bytes")):
            self.row(what, "namespace, veth, masquerade", 1.3,
                     paired(lambda: self.confined(mode),
                            lambda: self.rate(mode, prefix=inner.cmd()), self.pairs))
        must("nft", "delete table ip bench")

    def start(self):
        must("ip", "netns", "add", "ifpin-bench")
        self.chassis.stack.callback(run, "ip", "netns", "del", "ifpin-bench")

        def timed(*argv):
            def once():
                began = time.perf_counter()
                subprocess.run(argv, check=True)
                return time.perf_counter() - began
            return once
        ratios = paired(timed(self.ifpin, "run", "--dns=system", "in0", "--", "true"),
                        timed("ip", "netns", "exec", "ifpin-bench", "true"), self.pairs * 5)
        p = self.chassis.popen([self.ifpin, "run", "--dns=system", "in0", "--", "cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(b"x")
        p.stdin.flush()
        p.stdout.read(1)
        with open(f"/proc/{p.pid}/status") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024
        p.stdin.close()
        self.row("start and end of true", "ip netns exec", 1.0, ratios, True,
                 f"peak memory {peak:.1f} MiB")

    def many(self, count=1000):
        def start():
            began = time.perf_counter()
            p = self.chassis.popen([self.ifpin, "run", "--dns=system", "in0", "--", "cat"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   close_fds=False)
            p.stdin.write(b"x")
            p.stdin.flush()
            p.stdout.read(1)
            return time.perf_counter() - began
        times = [start() for _ in range(count)]
        part = 30
        first = statistics.median(times[:part])
        self.row(f"start of confinement {count}", "the first", 1.2,
                 [t / first for t in times[-part:]], True,
                 f"first {first * 1e3:.1f} ms")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build")
    p.add_argument("--json")
    p.add_argument("--pairs", type=int, default=15)
    p.add_argument("--only", choices=("start", "sockets", "many"))
    a = p.parse_args()
    b = Bench(os.path.abspath(a.build), a.pairs)
    print(f"{'WHAT':34} {'AGAINST':34} {'RATIO':6} [QUARTILES]    WANTED   REACHED")
    with b.chassis.stack:
        for part in ("start", "sockets", "many"):
            if a.only in (None, part):
                getattr(b, part)()
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"kernel": platform.release(), "machine": platform.machine(),
                       "processors": os.cpu_count(), "rows": b.rows}, f, indent=1)


if __name__ == "__main__":
    main()
