# SPDX-License-Identifier: MIT
"""ifpin sockets: real programs, confined and not; what is passed, gone, ownerless; JSON; options."""
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys

from lab import CLONE_NEWNET, IFPIN, MARKER, Lab, Peer, must, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SO_BINDTODEVICE = 25
SO_BINDTOIFINDEX = 62
AF_XDP = 44

# A process that opens sockets, says so, and keeps them until its standard input ends.
OPENER = """
import socket, sys
sockets = []
{script}
print("open", flush=True)
sys.stdin.read()
"""


class Sockets(Lab):
    def list(self, *argv):
        p = run(IFPIN, "sockets", "--json", *argv)
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)["sockets"]

    def of(self, pid, *argv):
        """The sockets that a process holds."""
        return [s for s in self.list(*argv) if any(h["pid"] == pid for h in s["processes"])]

    def one(self, pid, *argv, **want):
        """The only one of a process that has these values."""
        found = [s for s in self.of(pid, *argv)
                 if all(s[key] == value for key, value in want.items())]
        self.assertEqual(len(found), 1, (want, self.of(pid, "--all")))
        return found[0]

    def table(self, *argv):
        p = run(IFPIN, "sockets", *argv)
        self.assertEqual(p.returncode, 0, p.stderr)
        return [re.split(r"  +", line) for line in p.stdout.splitlines()]

    def opener(self, script, prefix=(), **kw):
        p = self.popen([*prefix, sys.executable, "-c", OPENER.format(script=script)],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, **kw)
        self.assertEqual(p.stdout.readline(), b"open\n")
        return p

    def inside(self, name="inside", device="in0", options=()):
        return [IFPIN, "run", "--dns=system", f"--name={name}", *options, device, "--"]

    def child_of(self, pid):
        """The command that an ifpin run has started."""
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return int(f.read().split()[0])

    def path_of(self, name):
        return must("find", "/sys/fs/cgroup", "-name", f"ifpin.{name}", "-type", "d").strip()


class Verdicts(Sockets):
    def test_own(self):
        """Tied, not tied, of each protocol; the device by its name of today."""
        index = socket.if_nametoindex("in0")
        made = {}
        with contextlib.ExitStack() as stack:
            for name, args, address in (
                    ("tcp", (socket.AF_INET, socket.SOCK_STREAM), ("0.0.0.0", 5001)),
                    ("udp", (socket.AF_INET6, socket.SOCK_DGRAM), ("::", 5002)),
                    ("udplite", (socket.AF_INET, socket.SOCK_DGRAM, 136), ("0.0.0.0", 5003)),
                    ("mptcp", (socket.AF_INET, socket.SOCK_STREAM, 262), ("0.0.0.0", 5004)),
                    ("raw", (socket.AF_INET, socket.SOCK_RAW, 201), None),
                    ("raw6", (socket.AF_INET6, socket.SOCK_RAW, 202), None),
                    ("icmp", (socket.AF_INET, socket.SOCK_DGRAM, 1), ("0.0.0.0", 5005)),
                    ("icmp6", (socket.AF_INET6, socket.SOCK_DGRAM, 58), ("::", 5006))):
                for tied in (False, True):
                    try:
                        s = stack.enter_context(socket.socket(*args))
                    except OSError:
                        continue  # no UDP-Lite since Linux 7.1
                    if tied:
                        s.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, index)
                    if address:
                        s.bind((address[0], address[1] + 1000 * tied))
                    if args[1] == socket.SOCK_STREAM:
                        s.listen()
                    made[(name, tied)] = os.fstat(s.fileno()).st_ino
            must("ip", "link", "set", "in0", "down")
            must("ip", "link", "set", "in0", "name", "renamed0")
            must("ip", "link", "set", "renamed0", "up")
            found = self.of(os.getpid())
            self.stack.callback(run, "ip", "link", "del", "renamed0")
        self.assertGreaterEqual(len(made), 14)
        for (name, tied), inode in made.items():
            with self.subTest(name, tied=tied):
                s, = [s for s in found if s["inode"] == inode and not s["subflow"]]
                self.assertEqual(s["netid"], "raw" if name == "raw6" else name)
                self.assertEqual(s["verdict"], "pinned" if tied else "unpinned")
                self.assertEqual((s["device"], s["ifindex"]), ("renamed0", index) if tied else
                                 (None, 0))
                self.assertEqual(s["bound_ifindex"], index if tied else 0)
                self.assertIsNone(s["confinement"])
                self.assertEqual(len(s["processes"]), 1)

    def test_packet(self):
        """What it is bound to ties no packet socket: it names the device of each packet."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as p, \
                socket.socket(AF_XDP, socket.SOCK_RAW, 0) as x:
            p.bind(("in0", 0x88cc))
            # First that this is so.
            p.sendto(b"\xff" * 6 + b"\2" * 6 + b"\x88\xb6" + MARKER + b"\0" * 40, ("out0", 0x88b6))
            self.assertEqual(self.leaked(), 1)
            s = self.one(os.getpid(), netid="p_raw", inode=os.fstat(p.fileno()).st_ino)
            self.assertEqual((s["verdict"], s["device"], s["protocol"], s["bound_ifindex"]),
                             ("unpinned", None, 0x88cc, socket.if_nametoindex("in0")))
            row, = [r for r in self.table() if r[0] == "p_raw" and "0x88cc:in0" in r]
            self.assertEqual(row[2], "*")
            self.assertEqual([s["inode"] for s in self.of(os.getpid()) if s["netid"] == "xdp"], [])
            s = self.one(os.getpid(), "--all", netid="xdp")
            self.assertEqual((s["inode"], s["unused"], s["verdict"]),
                             (os.fstat(x.fileno()).st_ino, True, "unpinned"))

    def test_gone(self):
        """Tied to an index whose device is gone: dead, also when one of its name is back."""
        must("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
        self.stack.callback(run, "ip", "link", "del", "gone0")
        index = socket.if_nametoindex("gone0")
        p = self.opener(f"""
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, {SO_BINDTODEVICE}, b"gone0")
s.bind(("0.0.0.0", 5010))
s.listen()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.setsockopt(socket.SOL_SOCKET, {SO_BINDTODEVICE}, b"gone0")
u.bind(("::", 5011))
r = socket.socket(socket.AF_INET, socket.SOCK_RAW, 203)
r.setsockopt(socket.SOL_SOCKET, {SO_BINDTODEVICE}, b"gone0")""")
        self.assertEqual({s["verdict"] for s in self.of(p.pid)}, {"pinned"})
        must("ip", "link", "del", "gone0")
        for again in (False, True):
            if again:
                must("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
                self.assertNotEqual(socket.if_nametoindex("gone0"), index)
            found = self.of(p.pid)
            self.assertEqual(len(found), 3)
            for s in found:
                self.assertEqual((s["verdict"], s["device"], s["ifindex"]), ("dead", None, index))
            row, = [r for r in self.table() if "0.0.0.0:5010" in r]
            self.assertEqual(row[2:4], [f"index:{index}", "dead"])

    def test_confinement_without_device(self):
        must("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
        self.stack.callback(run, "ip", "link", "del", "gone0")
        must("ip", "link", "set", "gone0", "up")
        p = self.opener("""s = socket.socket()
s.bind(("0.0.0.0", 5012)); s.listen()""", self.inside(device="gone0"))
        s = self.one(self.child_of(p.pid))
        self.assertEqual((s["verdict"], s["device"], s["confinement"]),
                         ("pinned", "gone0", "inside"))
        must("ip", "link", "del", "gone0")
        s = self.one(self.child_of(p.pid))
        self.assertEqual((s["verdict"], s["device"], s["confinement"]), ("dead", None, "inside"))

    def test_elsewhere(self):
        """Tied to another device before its cgroup was confined."""
        name = f"late-{os.getpid()}"
        holder = self.living("holder")
        confined = self.path_of("holder")
        late = os.path.join(os.path.dirname(confined), f"ifpin.{name}")
        os.mkdir(late)
        self.stack.callback(os.rmdir, late)
        p = self.opener(f"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, {SO_BINDTODEVICE}, b"out0")
s.bind(("0.0.0.0", 5013))""", entering(late))
        s = self.one(p.pid)
        self.assertEqual((s["verdict"], s["device"], s["confinement"]), ("pinned", "out0", None))
        for line in must("bpftool", "cgroup", "show", confined).splitlines()[1:]:
            number, kind = line.split()[:2]
            must("bpftool", "cgroup", "attach", late, kind, "id", number, "multi")
        self.copy_storage(number, confined, late)
        s = self.one(p.pid)
        self.assertEqual((s["verdict"], s["device"], s["confinement"]), ("elsewhere", "out0", name))
        holder.stdin.close()

    @staticmethod
    def copy_storage(program, source, to):
        """What the programs do for one cgroup, they do for another."""
        def key(path):
            return [f"{b:#x}" for b in struct.pack("Q", os.stat(path).st_ino)]
        for number in json.loads(must("bpftool", "-j", "prog", "show", "id", program))["map_ids"]:
            kind = json.loads(must("bpftool", "-j", "map", "show", "id", str(number)))["type"]
            if kind == "cgroup_storage":
                value = json.loads(must("bpftool", "-j", "map", "lookup", "id", str(number), "key",
                                        *key(source)))["value"]
                must("bpftool", "map", "update", "id", str(number), "key", *key(to), "value",
                     *value, "exist")

    def test_unheld(self):
        """Neither filter nor capabilities hold a process that was moved into a confinement."""
        holder = self.living("holder")
        path = self.path_of("holder")
        p = self.opener("""
p = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
x = socket.socket(44, socket.SOCK_RAW, 0)
r = socket.socket(socket.AF_INET, socket.SOCK_RAW, 204)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sockets = p, x, r, u""", entering(path))
        for netid, verdict in (("p_raw", "unheld"), ("xdp", "unheld"), ("raw", "pinned")):
            s = self.one(p.pid, netid=netid)
            self.assertEqual((s["verdict"], s["confinement"]), (verdict, "holder"), netid)
        s = self.one(p.pid, "--all", netid="udp")
        self.assertEqual((s["unused"], s["verdict"], s["device"]), (True, "pinned", "in0"))
        holder.stdin.close()

    def test_attached(self):
        """A service that is confined while it runs, under a name that is not its cgroup's."""
        must("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        self.stack.callback(must, "umount", "/sys/fs/bpf")
        holder = self.living("holder")
        name = f"sockets-{os.getpid()}.service"
        path = os.path.join(os.path.dirname(self.path_of("holder")), name)
        holder.stdin.close()
        os.mkdir(path)
        self.stack.callback(os.rmdir, path)
        p = self.opener("""u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 5015))
l = socket.socket(); l.bind(("0.0.0.0", 5016)); l.listen()""", entering(path))
        self.assertEqual({(s["verdict"], s["confinement"]) for s in self.of(p.pid)},
                         {("unpinned", None)})
        must(IFPIN, "attach", "in0", f"--cgroup={path}", "--name=control", "--existing=pin")
        found = self.of(p.pid, "in0")
        self.assertEqual(len(found), 2)
        for s in found:
            self.assertEqual((s["verdict"], s["confinement"], s["device"]),
                             ("pinned", "control", "in0"))
        must(IFPIN, "detach", "control")
        # What was tied stays tied.
        for s in self.of(p.pid):
            self.assertEqual((s["verdict"], s["confinement"]),
                             ("pinned" if s["bound_ifindex"] else "unpinned", None))

    def test_made_in_a_nested_cgroup(self):
        """Below a confinement, and where that cgroup is gone: its programs are asked."""
        holder = self.living("holder")
        path = os.path.join(self.path_of("holder"), "nested")
        os.mkdir(path)
        p = self.opener("""u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 5014))""", entering(path))
        s = self.one(p.pid)
        self.assertEqual((s["verdict"], s["confinement"]), ("pinned", "holder"))
        # Out of it, it takes along what was made inside.
        with open(f"{path}/../../cgroup.procs", "w") as f:
            f.write(str(p.pid))
        os.rmdir(path)
        s = self.one(p.pid)
        self.assertEqual((s["verdict"], s["confinement"], s["processes"][0]["confinement"]),
                         ("pinned", "holder", None))
        holder.stdin.close()


def entering(path):
    """What starts a command in a cgroup."""
    return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', path]


class Passed(Sockets):
    RECEIVER = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
data, fds, flags, address = socket.recv_fds(s, 100, 10)
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("0.0.0.0", 5020))
print("received", flush=True)
for line in sys.stdin:
    with socket.socket(fileno=fds[0]) as u:
        u.sendto(line.encode(), ("10.0.2.2", 9))
        u.detach()
    try:
        own.sendto(line.encode(), ("10.0.2.2", 9))
        print("sent", flush=True)
    except OSError as e:
        print(e.errno, flush=True)
"""

    def receive(self, *sockets):
        """A process in a confinement that is given sockets from outside."""
        path = os.path.join(self.tempdir(), "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(20)  # whoever cannot start does not connect
            listener.bind(path)
            listener.listen()
            p = self.popen([*self.inside("receiver"), sys.executable, "-c", self.RECEIVER, path],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            with listener.accept()[0] as conn:
                socket.send_fds(conn, [b"x"], [s.fileno() for s in sockets])
                self.assertEqual(p.stdout.readline(), "received\n")
        return p

    def test_foreign(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, \
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as packet, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tied, \
                socket.socket(socket.AF_INET, socket.SOCK_RAW, 205) as raw, \
                socket.socket() as unused:
            u.bind(("0.0.0.0", 5021))
            tied.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"in0")
            tied.bind(("0.0.0.0", 5022))
            passed = u, packet, tied, raw, unused
            inodes = [os.fstat(s.fileno()).st_ino for s in passed]
            before = {s["inode"]: s["verdict"] for s in self.of(os.getpid(), "--all")}
            self.assertEqual([before[i] for i in inodes],
                             ["unpinned", "unpinned", "pinned", "unpinned", "unpinned"])
            p = self.receive(*passed)
            pid = self.child_of(p.pid)
            found = {s["inode"]: s for s in self.of(pid)}
            for inode in inodes:
                s = found[inode]
                self.assertEqual((s["verdict"], s["confinement"]), ("foreign", None), s)
                foreign = {h["pid"]: (h["confinement"], h["foreign"]) for h in s["processes"]}
                self.assertEqual(foreign, {os.getpid(): (None, False), pid: ("receiver", True)})
            self.assertEqual(found[inodes[0]]["device"], None)
            self.assertEqual(found[inodes[2]]["device"], "in0")
            own = self.one(pid, verdict="pinned")
            self.assertEqual(own["local"]["port"], 5020)
            row, = [r for r in self.table() if "0.0.0.0:5021" in r]
            self.assertEqual(row[2:5], ["*", "foreign", "receiver"])
            # That is the truth: the one leaves by out0, the other does not.
            p.stdin.write(MARKER.decode() + "\n")
            p.stdin.flush()
            self.assertEqual(p.stdout.readline(), "1\n")
            self.assertEqual(self.leaked(), 1)
            p.stdin.close()
            p.wait()
            after = {s["inode"]: s["verdict"] for s in self.of(os.getpid(), "--all")}
            self.assertEqual(after, before)

    def test_taken_along(self):
        """What was made inside is held wherever it goes."""
        path = os.path.join(self.tempdir(), "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(20)  # whoever cannot start does not connect
            listener.bind(path)
            listener.listen()
            p = self.popen([*self.inside("giver"), sys.executable, "-c", f"""
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 5023))
s = socket.socket(socket.AF_UNIX)
s.connect("{path}")
socket.send_fds(s, [b"x"], [u.fileno()])
sys.stdin.read()"""], stdin=subprocess.PIPE)
            with listener.accept()[0] as conn:
                _, (fd,), _, _ = socket.recv_fds(conn, 10, 1)
        with socket.socket(fileno=fd) as u:
            s = self.one(os.getpid(), inode=os.fstat(fd).st_ino)
            self.assertEqual((s["verdict"], s["confinement"], s["device"]),
                             ("pinned", "giver", "in0"))
            self.assertEqual(len(s["processes"]), 2)
            with self.assertRaises(PermissionError):
                u.sendto(MARKER, ("10.0.2.2", 9))
        self.assertEqual(self.leaked(), 0)
        p.stdin.close()

    def test_between_confinements(self):
        """Foreign to the one, and held by the other."""
        path = os.path.join(self.tempdir(), "socket")
        giver = self.popen([*self.inside("giver", "out0"), sys.executable, "-c", f"""
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 5024))
l = socket.socket(socket.AF_UNIX)
l.bind("{path}"); l.listen()
print("open", flush=True)
c = l.accept()[0]
socket.send_fds(c, [b"x"], [u.fileno()])
sys.stdin.read()"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(giver.stdout.readline(), b"open\n")
        p = self.popen([*self.inside("receiver"), sys.executable, "-c", self.RECEIVER, path],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "received\n")
        s, = [s for s in self.list() if (s["local"] or {}).get("port") == 5024]
        self.assertEqual((s["verdict"], s["confinement"], s["device"]), ("foreign", "giver", "out0"))
        self.assertEqual({h["confinement"]: h["foreign"] for h in s["processes"]},
                         {"giver": False, "receiver": True})
        for q in giver, p:
            q.stdin.close()


class Programs(Sockets):
    """Programs that people use, in a confinement and outside of one."""

    def nginx(self, prefix, port):
        directory = self.tempdir()
        conf = os.path.join(directory, "nginx.conf")
        with open(conf, "w") as f:
            f.write(f"""
                user nobody nogroup; worker_processes 2; daemon off; pid {directory}/pid;
                error_log {directory}/error.log;
                events {{ }}
                http {{
                  access_log off; client_body_temp_path {directory}/t;
                  proxy_temp_path {directory}/t; fastcgi_temp_path {directory}/t;
                  uwsgi_temp_path {directory}/t; scgi_temp_path {directory}/t;
                  server {{ listen {port}; listen [::]:{port} ipv6only=on; root {directory}; }}
                }}""")
        self.popen([*prefix, "nginx", "-c", conf, "-e", f"{directory}/error.log"])
        self.wait_port([], port)
        self.wait_port([], port, 6)

    def redis(self, prefix, port):
        self.popen([*prefix, "redis-server", "--port", port, "--bind", "0.0.0.0", "--save", "",
                    "--protected-mode", "no", "--dir", self.tempdir()],
                   stdout=subprocess.DEVNULL)
        self.wait_port([], port)

    def ping(self, prefix, address):
        p = self.popen([*prefix, "ping", "-n", address], stdout=subprocess.PIPE)
        p.stdout.readline()
        p.stdout.readline()

    def curl(self, prefix, port):
        """Waits for an answer that does not come."""
        server = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.stack.callback(server.close)
        server.bind(("10.0.1.2", port))
        server.listen()
        self.popen([*prefix, "curl", "-s", f"http://10.0.1.2:{port}/"])
        conn = server.accept()[0]
        self.stack.callback(conn.close)
        conn.recv(1)

    def start(self, base, name=None):
        """All of them at once; the confinements are name-nginx, name-redis, and so on."""
        def prefix(program):
            return self.inside(f"{name}-{program}") if name else []
        self.nginx(prefix("nginx"), base + 1)
        self.redis(prefix("redis"), base + 2)
        self.ping(prefix("ping"), "10.0.1.2")
        self.curl(prefix("curl"), base + 3)
        self.opener(f"""
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::", {base + 4}))""", prefix("python"))

    def check(self, base, name=None):
        def verdict(program):
            return ("pinned", "in0", f"{name}-{program}") if name else ("unpinned", None, None)
        found = self.list()
        seen = 0
        for program, comm, netid, state, port in (
                ("nginx", "nginx", "tcp", "LISTEN", base + 1),
                ("redis", "redis-server", "tcp", "LISTEN", base + 2),
                ("python", "python3", "udp", "UNCONN", base + 4),
                ("curl", "curl", "tcp", "ESTAB", base + 3)):
            those = [s for s in found if base + 3 == port and (s["peer"] or {}).get("port") == port or
                     (s["local"] or {}).get("port") == port]
            those = [s for s in those if s["processes"] and
                     s["processes"][0]["comm"].startswith(comm)]
            self.assertEqual(len(those), 2 if program == "nginx" else 1, (program, those))
            for s in those:
                self.assertEqual((s["netid"], s["state"]), (netid, state))
                self.assertEqual((s["verdict"], s["device"], s["confinement"]), verdict(program))
                if program == "nginx":
                    self.assertEqual(len(s["processes"]), 3, "a master and two workers")
                seen += 1
        ping = [s for s in found if s["processes"] and s["processes"][0]["comm"] == "ping" and
                s["netid"] in ("icmp", "raw") and s["confinement"] == verdict("ping")[2]]
        self.assertGreaterEqual(len(ping), 1)
        for s in ping:
            self.assertEqual((s["verdict"], s["device"]), verdict("ping")[:2])
        return seen

    def test_unconfined_and_confined(self):
        """Beside each other, so that none is taken for the other."""
        self.start(6000)
        self.start(6100, "c")
        self.assertEqual(self.check(6000), 5)
        self.assertEqual(self.check(6100, "c"), 5)
        # In the table, as in ss(8): who holds it at the end.
        row, = [r for r in self.table() if "0.0.0.0:6101" in r]
        self.assertEqual(row[:5], ["tcp", "LISTEN", "in0", "pinned", "c-nginx"])
        self.assertRegex(row[7], r'^users:\(\("nginx",pid=\d+,fd=\d+\),\("nginx",')
        self.assertEqual(run("ss", "-Hltn", "sport = :6101").stdout.split()[0], "LISTEN")

    def test_connections_of_every_state(self):
        """Whoever is connected, and what no process holds: not accepted yet, and TIME-WAIT."""
        with socket.socket() as server:
            server.bind(("10.0.1.1", 6200))
            server.listen()
            a = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
            b = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
            a.connect(("10.0.1.1", 6200))
            b.connect(("10.0.1.1", 6200))
            waiting = b.getsockname()[1]
            conn = server.accept()[0]

            def states(*argv):
                return {s["state"]: s for s in self.list(*argv)
                        if (s["local"] or {}).get("port") == 6200 and
                        (s["peer"] or {}).get("port") != waiting}
            queued = [s for s in self.list("--all")
                      if (s["peer"] or {}).get("port") == waiting]
            self.assertEqual([(s["state"], s["inode"], s["processes"], s["verdict"])
                              for s in queued], [("ESTAB", 0, [], "unpinned")])
            self.assertEqual(set(states()), {"LISTEN", "ESTAB"})
            conn.close()
            a.recv(1)
            a.close()
            self.assertNotIn("TIME-WAIT", states())
            s = states("--all")["TIME-WAIT"]
            self.assertEqual((s["processes"], s["inode"], s["verdict"]), ([], 0, "unpinned"))
            b.close()
            # Where there is a confinement, the kernel does not tell whether it was made there.
            p = self.living("other")
            self.assertEqual(states("--all")["TIME-WAIT"]["verdict"], "unknown")
            p.stdin.close()

    def test_multipath(self):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as server:
            server.bind(("10.0.1.1", 6201))
            server.listen()
            client = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
            self.stack.callback(client.close)
            client.connect(("10.0.1.1", 6201))
            with server.accept()[0] as conn:
                inode = os.fstat(conn.fileno()).st_ino
                both = [(s["netid"], s["subflow"]) for s in self.of(os.getpid())
                        if s["inode"] == inode]
                self.assertEqual(sorted(both), [("mptcp", False), ("tcp", True)])
                listening = os.fstat(server.fileno()).st_ino
                self.one(os.getpid(), inode=listening, netid="mptcp")
                self.assertEqual(len([s for s in self.of(os.getpid(), "--all")
                                      if s["inode"] == listening]), 2)

    def test_thread_with_a_table_of_its_own(self):
        p = self.opener("""
import ctypes, threading
ready = threading.Event()
def hide():
    ctypes.CDLL(None).unshare(0x400)
    s = socket.socket()
    s.bind(("0.0.0.0", 6202)); s.listen()
    r = socket.socket(socket.AF_INET, socket.SOCK_RAW, 206)
    ready.set()
    threading.Event().wait()
threading.Thread(target=hide, daemon=True).start()
ready.wait()""")
        self.assertFalse(any("socket" in os.readlink(f"/proc/{p.pid}/fd/{fd}")
                             for fd in os.listdir(f"/proc/{p.pid}/fd")))
        found = self.of(p.pid)
        self.assertEqual(sorted((s["netid"], s["verdict"]) for s in found),
                         [("raw", "unpinned"), ("tcp", "unpinned")])

    def test_another_namespace(self):
        """Only this one's sockets, whoever holds them: also a process that has gone elsewhere."""
        other = Peer()
        self.stack.callback(other.close)
        there = other.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stack.callback(there.close)
        there.bind(("0.0.0.0", 6203))
        raw = other.socket(socket.AF_INET, socket.SOCK_RAW, 207)
        self.stack.callback(raw.close)
        p = self.opener(f"""
import os
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 6204))
import ctypes
assert not ctypes.CDLL(None).setns(os.open("/proc/{other.pid}/ns/net", os.O_RDONLY), {CLONE_NEWNET})
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.bind(("0.0.0.0", 6205))""")
        self.assertEqual([s["local"]["port"] for s in self.of(p.pid, "--all")], [6204])
        inodes = {s["inode"] for s in self.list("--all")}
        for s in there, raw:
            self.assertNotIn(os.fstat(s.fileno()).st_ino, inodes)

    def test_while_all_changes(self):
        """Processes and sockets that come and go: what stays is in every list, with its holder."""
        steady = self.opener("""
for i in range(200):
    s = socket.socket(); s.bind(("0.0.0.0", 0)); s.listen(); sockets.append(s)""")
        churn = self.popen([sys.executable, "-c", """
import os, socket
print("churn", flush=True)
while os.getppid() != 1:
    if not os.fork():
        for i in range(30):
            t = socket.socket(); t.bind(("0.0.0.0", 0)); t.listen()
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 0))
        os._exit(0)
    os.wait()"""], stdout=subprocess.PIPE)
        churn.stdout.readline()
        for _ in range(20):
            self.assertEqual(len(self.of(steady.pid)), 200)
        self.assertIsNone(churn.poll())

    def test_names_of_processes(self):
        """A process may call itself what it likes, and spoils neither table nor JSON."""
        for name, shown in ((b'a"b\\c', "a?b?c"), (b"\x1b[31mred\n", "?[31mred?"),
                            (b"\xff\xfe\xc0\x80", "????"), ("dæmon".encode(), "dæmon"),
                            (b"a\xc2\x9bb", "a?b"), (b"", ""), (b"users:((", "users:((")):
            p = self.opener(f"""
import ctypes
ctypes.CDLL(None).prctl(15, {name!r})
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 6206))""")
            s = self.one(p.pid)
            self.assertEqual(s["processes"][0]["comm"], shown)
            p.stdin.close()
            p.wait()


class Options(Sockets):
    def test_json_is_what_the_manual_says(self):
        """Every documented key is there, and no other, each of its type."""
        with open(os.path.join(ROOT, "man", "ifpin-sockets.8.scd")) as f:
            section = f.read().split("# JSON\n")[1].split("\n# ")[0]
        top, of_socket = section.split("Of a socket:")

        def keys(text):
            return {k for line in text.splitlines() if line.startswith("*")
                    for k in re.findall(r"\*(\w+)\*", line)}
        holder_keys = set(re.findall(r"\*(\w+)\*", of_socket.split("*processes*")[1]))
        with contextlib.ExitStack() as stack:
            for args in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM),
                         (socket.AF_PACKET, socket.SOCK_DGRAM), (AF_XDP, socket.SOCK_RAW),
                         (socket.AF_INET, socket.SOCK_RAW, 208)):
                s = stack.enter_context(socket.socket(*args))
                if args[0] == socket.AF_INET6:
                    s.connect(("fd00:1::2", 9))
            doc = json.loads(must(IFPIN, "sockets", "--all", "--json"))
        self.assertEqual(set(doc), keys(top))
        self.assertIsInstance(doc["unread_processes"], int)
        self.assertGreaterEqual(len(doc["sockets"]), 5)
        types = {"netid": str, "family": str, "type": int, "protocol": int, "state": str,
                 "verdict": str, "device": (str, type(None)), "ifindex": int, "bound_ifindex": int,
                 "confinement": (str, type(None)), "local": (dict, type(None)),
                 "peer": (dict, type(None)), "v6only": bool, "subflow": bool, "unused": bool,
                 "uid": int, "cookie": int, "inode": int, "processes": list}
        self.assertEqual(set(types), keys(of_socket))
        for s in doc["sockets"]:
            self.assertEqual(set(s), set(types))
            for key, kind in types.items():
                self.assertIsInstance(s[key], kind, (key, s))
            self.assertIn(s["family"], ("inet", "inet6", "packet", "xdp"))
            for side in "local", "peer":
                if s[side]:
                    want = {"address"} if s["netid"] == "raw" else {"address", "port"}
                    self.assertEqual(set(s[side]), want)
            for h in s["processes"]:
                self.assertEqual(set(h), holder_keys)
                self.assertGreater(h["pid"], 0)
                self.assertIsInstance(h["foreign"], bool)

    def test_verdicts_are_in_the_manual(self):
        with open(os.path.join(ROOT, "man", "ifpin-sockets.8.scd")) as f:
            section = f.read().split("# VERDICTS\n")[1].split("\n# ")[0]
        documented = set(re.findall(r"^\*(\w+)\*$", section, re.M))
        with open(os.path.join(ROOT, "include", "ifpin", "sockets.h")) as f:
            known = set(re.findall(r"\tIFPIN_SOCKET_(\w+),", f.read())) - {"VERDICTS"}
        self.assertEqual(documented, {k.lower() for k in known})

    def test_all_and_device(self):
        must("ip", "link", "property", "add", "dev", "in0", "altname", "control-plane")
        with socket.socket() as lo, socket.socket() as tied, socket.socket() as free, \
                socket.socket() as unused:
            for s, address in ((lo, "127.0.0.1"), (tied, "0.0.0.0"), (free, "0.0.0.0")):
                if s is tied:
                    s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"in0")
                s.bind((address, 0))
                s.listen()
            inode = {os.fstat(s.fileno()).st_ino: name for s, name in
                     ((lo, "lo"), (tied, "tied"), (free, "free"), (unused, "unused"))}

            def shown(*argv):
                return {inode[s["inode"]] for s in self.of(os.getpid(), *argv)
                        if s["inode"] in inode}
            self.assertEqual(shown(), {"tied", "free"})
            self.assertEqual(shown("--all"), {"lo", "tied", "free", "unused"})
            self.assertEqual(shown("-a"), {"lo", "tied", "free", "unused"})
            for name in ("in0", "control-plane", "mac:02:00:00:00:01:01",
                         f"index:{socket.if_nametoindex('in0')}"):
                self.assertEqual(shown("--all", name), {"tied"}, name)
            self.assertEqual(shown("out0"), set())
        self.assertEqual(self.table("out0"), [["Netid", "State", "Device", "Verdict", "Confinement",
                                               "Local Address:Port", "Peer Address:Port",
                                               "Process"]])

    def test_sorted(self):
        with contextlib.ExitStack() as stack:
            for port in (6303, 6301, 6302):
                s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                s.bind(("0.0.0.0", port))
            ports = [s["local"]["port"] for s in self.of(os.getpid())]
            self.assertEqual(ports, [6301, 6302, 6303])

    def test_bad_input(self):
        for argv, message in (
                (["eth9"], 'no interface "eth9" in this network namespace'),
                (["index:0"], "an index is a number from 1"),
                ([""], "no interface given"),
                (["in0", "out0"], 'unexpected argument "out0"'),
                (["--frob"], "unrecognized option"),
                (["--json=x"], "doesn't allow an argument")):
            with self.subTest(argv):
                p = run(IFPIN, "sockets", *argv)
                self.assertEqual((p.returncode, p.stdout), (125, ""))
                self.assertIn(message, p.stderr)
        p = run(IFPIN, "sockets", "--help")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("Usage: ifpin sockets", p.stdout)
        self.assertIn("sockets", run(IFPIN, "--help").stdout)

    def test_unprivileged(self):
        """Without the right to know what is confined, nothing is claimed."""
        p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", IFPIN, "sockets")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertEqual(p.stderr, "ifpin: cannot tell which cgroups are confined: Operation not "
                                   "permitted (run it with sudo)\n")

    def test_hidden_cgroupfs(self):
        """`ip netns exec` hides cgroupfs; nested cgroups are found all the same."""
        p = self.opener("""u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 6305))""", self.inside("hidden"))
        pid = self.child_of(p.pid)
        nested = os.path.join(self.path_of("hidden"), "nested")
        os.mkdir(nested)
        q = self.opener("""u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 6306))""", entering(nested))
        doc = json.loads(must("unshare", "--mount", "sh", "-c", "umount -R /sys/fs/cgroup && "
                              f"! ls /sys/fs/cgroup/* 2>/dev/null && exec {IFPIN} sockets --json"))
        found = {h["pid"]: (s["verdict"], s["confinement"], h["confinement"], h["foreign"])
                 for s in doc["sockets"] for h in s["processes"] if h["pid"] in (pid, q.pid)}
        self.assertEqual(found, {n: ("pinned", "hidden", "hidden", False) for n in (pid, q.pid)})
        p.stdin.close()

    def test_no_descriptor_is_kept(self):
        """What was looked at by a copy of its descriptor is closed when its owner closes it."""
        a, b = socket.socketpair()
        server = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.stack.callback(server.close)
        server.bind(("10.0.1.2", 6304))
        server.listen()
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.connect(("10.0.1.2", 6304))
        conn = server.accept()[0]
        self.stack.callback(conn.close)
        self.list("--all")
        s.close()
        conn.settimeout(10)
        self.assertEqual(conn.recv(1), b"")
        a.close()
        self.assertEqual(b.recv(1), b"")
        b.close()
