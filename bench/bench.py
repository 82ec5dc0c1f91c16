#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a pin costs: each measurement in pairs against the same work without it, median of ratios.

bench.py BUILD [--json FILE] [--pairs N]; in namespaces of its own.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "netns"))
from lab import Chassis, Peer, must, run  # noqa: E402

SECONDS = "0.25"
PARTS = ("start", "sockets", "lib", "fence", "many")


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
        self.lib_rates = os.path.join(build, "lib_rates")
        self.pairs = pairs
        self.rows = []
        self.server = None
        self.chassis = Chassis()
        self.chassis.build()

    def row(self, what, against, wanted, ratios, lower_is_better=False, note="", unit="ratio"):
        """With another unit they are differences in it."""
        ratios = sorted(ratios)
        median = statistics.median(ratios)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        ok = median <= wanted if lower_is_better else median >= wanted
        self.rows.append({"what": what, "against": against, unit: round(median, 3),
                          "quartiles": [round(low, 3), round(high, 3)], "pairs": len(ratios),
                          "wanted": ("<= " if lower_is_better else ">= ") + str(wanted) +
                          ("" if unit == "ratio" else " " + unit),
                          "reached": ok, "note": note})
        print(f"{what:34} {against:34} {median:6.3f} [{low:.3f} {high:.3f}]  "
              f"{self.rows[-1]['wanted']:9} {'yes' if ok else 'NO':4} {note}", flush=True)

    def rate(self, mode, device="-", prefix=(), address="10.0.1.2"):
        return float(must(*prefix, self.rates, mode, device, address, SECONDS))

    def confined(self, mode):
        return self.rate(mode, prefix=(self.ifpin, "run", "--dns=system", "in0", "--"))

    def serve(self):
        if self.server:
            return
        self.server = self.chassis.popen(
            self.chassis.pin.cmd(self.rates, "serve", "10.0.1.2"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.server.stdout.readline()

    def sockets(self):
        self.serve()
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

    # ---- the fence: datagrams a second of processor time, which other processes disturb less ----

    def put_up(self, networks):
        began = time.perf_counter()
        must(self.ifpin, "fence", "apply", "in0", "--name=bench",
             *(f"--prefix=11.{2 * i >> 8}.{2 * i & 255}.0/24" for i in range(networks)))
        return time.perf_counter() - began

    def per_cpu(self, prefix, networks):
        run(self.ifpin, "fence", "remove", "--name=bench")
        if networks:
            self.put_up(networks)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        n = self.rate("udp-to", prefix=prefix, address="10.0.2.2")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return n / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def fence(self, devices=64):
        sink = self.chassis.popen(self.chassis.pout.cmd(self.rates, "serve", "10.0.2.2"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        sink.stdout.readline()
        source = Peer()
        self.chassis.stack.callback(source.close)
        few = sorted(self.put_up(10000) for _ in range(5))
        must(self.ifpin, "fence", "remove", "--name=bench")
        self.row("apply with 10,000 networks", "2 interfaces", 1.0, few, True, unit="s")
        must("ip", "-batch", "-", input="".join(
            f"link add fenced{i} group 9 type ifb\n" for i in range(devices - 2)))
        for line in (f"link add fwd0 type veth peer name eth0 netns /proc/{source.pid}/ns/net",
                     "link set fwd0 up", "addr add 10.0.3.1/24 dev fwd0"):
            must("ip", *line.split())
        self.chassis.stack.callback(run, "ip", "link", "del", "fwd0")
        for line in ("link set eth0 up", "addr add 10.0.3.2/24 dev eth0",
                     "route add default via 10.0.3.1"):
            must(*source.cmd("ip", *line.split()))
        with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write("1")
        must(*self.chassis.pout.cmd("ip", "route", "add", "10.0.3.0/24", "via", "10.0.2.1"))
        for what, prefix in (("UDP sendto() of 64 bytes", ()), ("UDP forwarded", source.cmd())):
            for more, less, wanted, note in ((16, 0, 0.95, ""), (10000, 16, 0.91, "")):
                self.row(f"{what}, {more} networks", f"{less} networks" if less else "no fence",
                         wanted, paired(lambda: self.per_cpu(prefix, more),
                                        lambda: self.per_cpu(prefix, less), self.pairs),
                         note=f"{devices} interfaces")
        many = [self.put_up(10000) for _ in range(3)]
        self.row("apply again, 10,000 networks", f"{devices} interfaces", 1.0, many, True, unit="s")
        must(self.ifpin, "fence", "remove", "--name=bench")
        must("ip", "link", "del", "group", "9")

    # ---- the socket ring; both sides of a pair in one process ----

    def asker(self, device, prefix=()):
        p = self.chassis.popen([*prefix, self.lib_rates, device, "10.0.1.2", "0.1"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(what):
            p.stdin.write(what + "\n")
            p.stdin.flush()
            answer = p.stdout.readline().split()
            if not answer or answer == ["lost"]:
                raise RuntimeError(f"{what}: {answer or 'ended'}")
            return [float(n) for n in answer]
        ask.pid = p.pid
        return ask

    def rates_of(self, ask, mode):
        """Of the plain calls against the library's: the ratio of the times of one operation."""
        seen = []

        def plain():
            return ask(mode + "-bare")[0]

        def ours():
            seen.append(ask(mode)[0])
            return seen[-1]
        ratios = paired(plain, ours, self.pairs)
        return ratios, f"{1e6 / statistics.median(seen):.1f} µs"

    def lib(self):
        self.serve()
        ask = self.asker("in0")
        for mode, what in (("send", "ifpin_sendmsg() of 64 bytes"),
                           ("info", "ifpin_sendmsg() with IP_PKTINFO")):
            times, note = self.rates_of(ask, mode)
            self.row(what, "sendmsg() on the same socket", 0.98, [1 / t for t in times],
                     note=note)
        for mode, what in (("udp", "UDP IPv4"), ("tcp", "TCP IPv4"), ("udp6", "UDP IPv6")):
            times, note = self.rates_of(ask, mode)
            self.row(f"ifpin_socket(), close(): {what}", "socket, SO_BINDTODEVICE, close", 1.3,
                     times, True, note)
        self.among_many()

    def among_many(self, count=10000, part=500):
        """In a namespace with as many devices of a kind that is quick to make and to delete."""
        began = time.perf_counter()
        host = Peer()
        self.chassis.stack.callback(host.close)
        host.run("ip", "link", "set", "lo", "up")
        kind = next(k for k in ("dummy", "ifb", "veth")
                    if not host.run("ip", "link", "add", "followed", "type", k).returncode)

        def add(name, n):
            must(*host.cmd("ip", "-batch", "-"), input="".join(
                f"link add {name}{i} group 7 type {kind}\n" for i in range(n)))

        def remove():
            must(*host.cmd("ip", "link", "del", "group", "7"))
        add("many", count)
        made = time.perf_counter() - began
        ask = self.asker("followed", host.cmd())
        times, note = self.rates_of(ask, "resolve")
        began = time.perf_counter()
        remove()
        self.row(f"ifpin_device_resolve() of {count}", "if_nametoindex, RTM_GETLINK", 1.5, times,
                 True, f"{note}; {kind}, made in {made:.1f} s, "
                       f"deleted in {time.perf_counter() - began:.1f} s")

        def memory():
            with open(f"/proc/{ask.pid}/status") as f:
                fields = dict(line.split(":", 1) for line in f)
            return [int(fields[k].split()[0]) for k in ("VmRSS", "VmHWM")]
        messages = 0

        def rounds():
            """The one that reads last frees what both have shared, so each is the last once."""
            nonlocal messages
            took = {"monitor": 0, "reader": 0}
            read = 0
            for order in (("monitor", "reader"), ("reader", "monitor")):
                add("event", part)
                remove()
                for who in order:
                    answer = ask(who)
                    took[who] += answer[0]
                    read += int(sum(answer[1:]))
            messages += read
            return (took["monitor"] - took["reader"]) / read
        ask("monitor")
        ask("reader")
        rounds()
        before = memory()
        messages = 0
        extra = [rounds() for _ in range(count // part // 2)]
        self.row(f"monitor of {count} added, removed", "libmnl alone", 1.0, extra, True,
                 f"{messages} messages, none lost; resident, peak KiB: {before} before, "
                 f"{memory()} after", "µs each")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build")
    p.add_argument("--json")
    p.add_argument("--pairs", type=int, default=15)
    p.add_argument("--only", choices=PARTS)
    a = p.parse_args()
    b = Bench(os.path.abspath(a.build), a.pairs)
    print(f"{'WHAT':34} {'AGAINST':34} {'RATIO':6} [QUARTILES]    WANTED    REACHED")
    with b.chassis.stack:
        for part in PARTS:
            if a.only in (None, part):
                getattr(b, part)()
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"kernel": platform.release(), "machine": platform.machine(),
                       "processors": os.cpu_count(), "rows": b.rows}, f, indent=1)


if __name__ == "__main__":
    main()
