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
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "netns"))
from lab import Chassis, Peer, enter, must, run  # noqa: E402
from links import Links  # noqa: E402

SECONDS = "0.25"
PARTS = ("start", "sockets", "list", "lib", "many", "watch", "pins", "attached", "audit", "fence", "report",
         "here")


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


def cpu(pid):
    """Seconds of processor time that a process has had."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


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

    def rate(self, mode, device="-", prefix=(), address="10.0.1.2", seconds=SECONDS):
        return float(must(*prefix, self.rates, mode, device, address, seconds))

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

    # ---- confinements of services ----

    def attach(self, name):
        path = self.chassis.cgroup()
        must(self.ifpin, "attach", "in0", f"--cgroup={path}", f"--name={name}")
        return path

    def pins(self, count=1000):
        """All of them in one cgroup each, and one process to end these afterwards."""
        self.chassis.bpffs()
        top = self.chassis.cgroup()
        for i in range(count):
            os.mkdir(f"{top}/{i}")
            must(self.ifpin, "attach", "in0", f"--cgroup={top}/{i}", f"--name=pin{i}")

        spent = []

        def once():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            p = subprocess.run([self.ifpin, "list"], check=True, stdout=subprocess.PIPE)
            took = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            if p.stdout.count(b" held ") != count:
                raise RuntimeError("not all are held")
            return took * 1e3
        once()
        times = [once() for _ in range(self.pairs)]
        self.row(f"ifpin list of {count}", "nothing", 50.0, times, True,
                 f"{statistics.median(spent) * 1e3:.0f} ms of a processor", "ms")

    def cost(self, mode, inside, seconds="1"):
        """Processor time of one attempt, so that what others do on this machine does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        rate = self.rate(mode, "out0", inside, seconds=seconds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent / (rate * float(seconds))

    def watched(self, mode, inside, spent):
        """The same while two watch and are read; spent: what each watcher needs of a second."""
        watchers = [subprocess.Popen([self.ifpin, "watch", "--json"], stdout=subprocess.PIPE)
                    for _ in range(2)]
        for w in watchers:
            w.stdout.readline()
        readers = [subprocess.Popen(["cat"], stdin=w.stdout, stdout=subprocess.DEVNULL)
                   for w in watchers]
        before = [cpu(w.pid) for w in watchers]
        cost = self.cost(mode, inside)
        spent += [cpu(w.pid) - b for w, b in zip(watchers, before)]
        for w, r in zip(watchers, readers):
            w.terminate()
            w.wait()
            w.stdout.close()
            r.wait()
        return cost

    def watch(self):
        """A flood of denials: what two who watch cost the sender, and themselves."""
        self.chassis.bpffs()
        path = self.attach("flood")
        inside = ("sh", "-c", f'echo 0 >{path}/cgroup.procs && exec "$@"', "-")
        for mode, what in (("denied", "denied sendmsg(), IP_PKTINFO"),
                           ("refused", "denied setsockopt()")):
            costs, spent = [], []

            def alone():
                costs.append(self.cost(mode, inside))
                return costs[-1]
            ratios = paired(lambda: self.watched(mode, inside, spent), alone, self.pairs)
            self.row(f"{what}, 2 watch", "nobody watches", 1.25, ratios, True,
                     f"{statistics.median(costs) * 1e9:.0f} ns alone; each watcher "
                     f"{statistics.median(spent) * 100:.1f} % of a processor")

    def audit(self, devices=1000, routes=10000):
        host = Peer()
        self.chassis.stack.callback(host.close)
        must(*host.cmd("ip", "-batch", "-"), input="link set lo up\nlink add out0 up type veth peer name out1\n"
             "addr add 192.0.2.1/24 dev out0\nroute add default via 192.0.2.2\n" + "".join(
            f"link add a{i} up type veth peer name b{i}\n" for i in range(devices // 2)) + "".join(
            f"addr add 10.{i // 250}.{i % 250}.1/24 dev a{i}\n" for i in range(devices // 2)))
        must(*host.cmd("ip", "-batch", "-"), input="".join(
            f"route add 100.{64 + i // 65536}.{i // 256 % 256}.{i % 256}/32 via 10.0.0.2\n"
            for i in range(routes)))
        must(*host.cmd("nft", "-f", "-"), input="table inet t { chain c { type filter hook output "
             "priority 0; }; }\n" + "".join(f"add rule inet t c ip daddr 198.18.{i // 256}.{i % 256} "
                                            "tcp dport 22 counter accept\n" for i in range(1000)))
        for device, what in ("a0", "one device"), ("", "every device"):
            def once():
                argv = host.cmd(self.ifpin, "audit", "--json", *device.split())
                began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                p = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
                took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
                once.busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                if p.returncode != 1:
                    raise RuntimeError(f"audit: {p.returncode}")
                once.findings = len(json.loads(p.stdout)["findings"])
                return took * 1e3
            once.busy = []
            times = [once() for _ in range(self.pairs)]
            self.row(f"audit of {what}", f"{devices} devices, {routes} routes", 200, times, True,
                     f"{once.findings} findings, {statistics.median(once.busy) * 1e3:.0f} ms of a processor; "
                     "start of nsenter and 1000 rules of nftables are in it",
                     "ms")

    CROWD = """
import os, socket, sys
children, sockets = map(int, sys.argv[1:])
for i in range(children):
    if not os.fork():
        held = [socket.socket(socket.AF_INET, (socket.SOCK_STREAM, socket.SOCK_DGRAM)[k % 2])
                for k in range(sockets)]
        for s in held:
            s.bind((f"127.0.{i // 250 + 1}.{i % 250 + 1}", 0))
            if s.type == socket.SOCK_STREAM:
                s.listen()
        os.write(1, b"x")
        os.read(0, 1)
        os._exit(0)
os.read(0, 1)
"""

    def list(self, processes=1000, sockets=10):
        """All sockets of many processes, against what else tells of them."""
        p = self.chassis.popen([sys.executable, "-c", self.CROWD, processes, sockets],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdout.read(processes)
        took = []

        def timed(*argv):
            def once():
                began = time.perf_counter()
                lines = must(*argv).count("\n")
                took.append((argv[0], time.perf_counter() - began))
                if lines < processes * sockets:
                    raise RuntimeError(f"{argv[0]}: {lines} lines")
                return took[-1][1]
            return once
        ratios = paired(timed(self.ifpin, "sockets", "--all"), timed("ss", "-tuanp"), self.pairs)
        ours = statistics.median(t for name, t in took if name == self.ifpin)
        self.row(f"ifpin sockets, {processes * sockets} of them", "ss -tuanp", 1.0, ratios,
                 True, f"{ours * 1e3:.0f} ms")
        p.stdin.close()
        p.wait()

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

    # ---- confinements of what runs already ----

    def attach(self, path, name, device="in0"):
        began = time.perf_counter()
        must(self.ifpin, "attach", f"--cgroup={path}", f"--name={name}", "--existing=pin", device)
        return (time.perf_counter() - began) * 1e3

    def attach_to_sockets(self, group, other, count=100):
        """As many that are not tied yet, of a new process each time; other confinements in force."""
        code = (f"import socket,sys;v=[socket.socket(2,2) for _ in range({count})];"
                "[s.connect(('10.0.1.2',9)) for s in v];print('ready',flush=True);sys.stdin.read()")

        def once():
            p = self.chassis.popen([sys.executable, "-Sc", code], preexec_fn=enter(group),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            p.stdout.readline()
            took = self.attach(group, "sockets")
            must(self.ifpin, "detach", "sockets")
            p.kill()
            p.wait()
            return took
        once()
        alone = statistics.median(once() for _ in range(self.pairs))
        self.attach(other, "other")
        self.row(f"attach to {count} sockets", "nothing", 10, [once() for _ in range(2 * self.pairs)],
                 True, "the command from start to end; the first one of a host, which loads the "
                 f"programs, {alone:.1f} ms", "ms")
        must(self.ifpin, "detach", "other")

    def packets(self, group, pins):
        """Next to those of ifpin run."""
        prefix = ("sh", "-c", f'echo 0 >{group}/cgroup.procs; exec "$@"', "sh")
        for mode, what in (("udp", "UDP send()"), ("udp-to", "UDP sendto()")):
            self.row(f"{what} attached, {pins} pins", "ifpin run", 0.98,
                     paired(lambda: self.rate(mode, prefix=prefix), lambda: self.confined(mode),
                            self.pairs))

    def tied_sockets(self, cgroup, device, count=10):
        """Made by a process of the cgroup, which gives us copies."""
        ours, theirs = socket.socketpair()
        code = ("import socket,sys\n"
                f"v=[socket.socket(2,2) for _ in range({count})]\n"
                f"for s in v: s.setsockopt(1,25,b'{device}')\n"
                f"socket.send_fds(socket.socket(fileno={theirs.fileno()}),[b'x'],"
                "[s.fileno() for s in v])\nsys.stdin.read()")
        self.chassis.popen([sys.executable, "-Sc", code], preexec_fn=enter(cgroup),
                           stdin=subprocess.PIPE, pass_fds=[theirs.fileno()])
        fds = socket.recv_fds(ours, 1, count)[1]
        ours.close()
        theirs.close()
        return [socket.socket(fileno=fd) for fd in fds]

    def reactions(self, links, sockets, count):
        """Milliseconds from RTM_NEWLINK until all sockets are tied; they are looked at every 0.1 ms."""
        follower = self.chassis.popen([os.path.join(os.path.dirname(self.ifpin), "follower")],
                                      stdout=subprocess.PIPE, text=True)
        while follower.stdout.readline() != "ready\n":
            pass
        times = []
        for _ in range(count):
            links.delete("flap0")
            while not follower.stdout.readline().startswith("gone "):
                pass
            heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            heard.bind((0, 1))
            maker = threading.Thread(target=links.make, args=("flap0", "02:00:00:00:09:01"))
            maker.start()
            while True:
                data = heard.recv(65536)
                began = time.perf_counter()
                if struct.unpack_from("H", data, 4)[0] == 16 and b"flap0\0" in data:
                    break
            index = struct.unpack_from("i", data, 20)[0]
            for s in sockets:
                while s.getsockopt(socket.SOL_SOCKET, 62) != index:  # SO_BINDTOIFINDEX
                    time.sleep(0.0001)  # who spins takes the processor that the follower wants
            times.append((time.perf_counter() - began) * 1e3)
            while not follower.stdout.readline().startswith("back "):
                pass
            maker.join()
            heard.close()
        follower.kill()
        follower.wait()
        return times

    def attached(self, count=1000):
        self.serve()
        self.chassis.bpffs()
        group = self.chassis.cgroup("ifpin-test-bench")

        def below(name):
            os.mkdir(f"{group}/{name}")
            return f"{group}/{name}"
        self.attach_to_sockets(below("sockets"), below("other"))
        packets = below("packets")
        self.attach(packets, "packets")
        self.packets(packets, 1)
        links = Links()
        self.chassis.stack.callback(links.close)
        links.make("flap0", "02:00:00:00:09:01")
        self.chassis.stack.callback(run, "ip", "link", "del", "flap0")
        sockets = self.tied_sockets(below("flap"), "flap0")
        self.attach(f"{group}/flap", "flap", "flap0")
        first = self.reactions(links, sockets, 2 * self.pairs)
        times = [self.attach(below(f"many{n}"), f"many{n}") for n in range(count - 2)]
        part = 30
        self.row(f"attach of pin {count}", "the first", 1.2,
                 [t / statistics.median(times[:part]) for t in times[-part:]], True,
                 f"first {statistics.median(times[:part]):.1f} ms")
        self.packets(packets, count)
        self.row(f"device back, {count} pins, 10 sockets", "RTM_NEWLINK", 2,
                 self.reactions(links, sockets, 2 * self.pairs), True,
                 f"with 2 pins {statistics.median(first):.2f} ms", "ms")
        must(self.ifpin, "detach", *[f"many{n}" for n in range(count - 2)])

    def report(self, times=3):
        """What the reports of a whole proof cost beyond it; and that the capture lost nothing."""
        beyond, size, lost = [], [], []
        with tempfile.TemporaryDirectory() as d:
            for _ in range(times):
                began = time.perf_counter()
                p = run(self.ifpin, "prove", f"--html={d}/r.html", f"--json={d}/r.json",
                        f"--pcapng={d}/r.pcapng", timeout=240)
                took = time.perf_counter() - began
                lost.append("the capture lost" in p.stderr)
                if p.returncode:
                    continue
                with open(f"{d}/r.json") as f:
                    beyond.append(took - json.load(f)["seconds"])
                size.append(os.path.getsize(f"{d}/r.html") / 1024)
        self.row("reports of a proof", "the proof without them", 1.0, beyond, True, unit="s")
        self.row("page of a proof", "nothing", 600, size, True, unit="KiB")
        self.row("proofs whose capture lost frames", "all of them", 0, [sum(lost)], True, unit="proofs")


    def here(self, devices=100):
        """A host of its own with that many other devices, which something is said on all the while."""
        host = Peer()
        self.chassis.stack.callback(host.close)
        must(*host.cmd("ip", "-batch", "-"), input="link set lo up\n" + "".join(
            f"link add a{i} up type veth peer name b{i}\n"
            f"addr add 10.{i // 250}.{i % 250}.1/24 dev a{i}\nlink set b{i} up\n"
            for i in range(devices // 2 + 1)) + "link del b0\nlink add c0 up type veth peer name c1\n"
             "addr add 10.9.9.1/24 dev c0\nlink set c1 up\nroute add default via 10.0.1.2\n")
        path = self.chassis.tempdir() + "/here.json"
        talk = self.chassis.popen(host.cmd("ping", "-q", "-i", "0.002", "-I", "c0", "10.9.9.2"),
                                  stdout=subprocess.DEVNULL)
        for options, what, wanted in (((), "by ifpin run", 20), (("--control",), "and without", 40)):
            def once():
                argv = host.cmd(self.ifpin, "prove", "--here=c0", "--yes", f"--json={path}", *options)
                began = time.perf_counter()
                p = subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
                took = time.perf_counter() - began
                with open(path) as f:
                    report = json.load(f)
                once.made, once.watched = report["here"]["made"], len(report["here"]["watched"])
                if p.returncode not in (0, 1):
                    raise RuntimeError(f"prove: {p.returncode}")
                return took
            times = [once() for _ in range(3)]
            self.row(f"prove --here, {what}", f"{once.watched} other devices", wanted, times, True,
                     f"{once.made} attempts", "s")
        talk.terminate()


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
