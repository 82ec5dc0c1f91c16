# SPDX-License-Identifier: MIT
"""Confining a service that runs: what becomes of each sort of socket that it has."""
import errno
import glob
import json
import os
import select
import socket
import subprocess
import time

from lab import CGROUPS, HAS_LSM, IFPIN, MARKER, Lab, must, run

SO_BINDTOIFINDEX = 62
FOLDERS = 2 + HAS_LSM  # of one pin in bpffs: its own, and what all share
FOLLOWER = os.path.join(os.path.dirname(IFPIN), "follower")

# Does what it is told on its standard input, and says what came of it.
AGENT = """
import ctypes, errno, os, socket, struct, sys, time
s = {}
def bound(k): return s[k].getsockopt(1, 62)
def pktinfo(k, to, index, port=9):
    return s[k].sendmsg([b"ifpin-test-marker"], [(0, 8, struct.pack("iII", index, 0, 0))], 0, (to, port))
def send(k, to, port=9):
    for _ in range(2):
        try: return s[k].sendto(b"ifpin-test-marker", (to, port))
        except InterruptedError: pass
def stood_still(path):
    while not os.path.exists(path): pass
    before = now = time.monotonic()
    end = now + 0.2 # it may have stood still for less
    while now - before < 0.0005 and now < end: before, now = now, time.monotonic()
def refused(f):
    try: return f() and 0
    except PermissionError: return 1
for line in sys.stdin:
    try:
        try: r = eval(line)
        except SyntaxError: r = exec(line)
        print(repr(r), flush=True)
    except OSError as e:
        print("!" + errno.errorcode.get(e.errno, str(e)), flush=True)
"""


class Agent:
    """A service: a process in a cgroup that opens sockets as a test says."""

    def __init__(self, lab, cgroup, **kw):
        self.process = lab.service(cgroup, ["python3", "-c", AGENT], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **kw)
        self.pid = self.process.pid
        self.do("0")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def do(self, line):
        self.tell(line)
        return self.answer()


class AttachLab(Lab):
    def setUp(self):
        super().setUp()
        self.bpffs()
        self.path = self.cgroup()
        self.name = os.path.basename(self.path)
        self.agent = Agent(self, self.path)
        for peer in (self.pin, self.pout):
            sink = peer.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sink.bind(("", 9))
            self.addCleanup(sink.close)

    def attach(self, *options, device="in0", cgroup=None, **kw):
        return run(IFPIN, "attach", device, f"--cgroup={cgroup or self.path}", *options, **kw)

    def attached(self, *options, **kw):
        p = self.attach(*options, **kw)
        self.assertEqual(p.returncode, 0, p.stderr)
        return p

    def refused(self, *options, saying=(), **kw):
        before = self.state()
        p = self.attach(*options, **kw)
        self.assertEqual((p.returncode, p.stdout), (125, ""), p.stderr)
        for word in saying:
            self.assertIn(str(word), p.stderr)
        self.assertEqual(self.state(), before)
        return p

    def state(self):
        """What is pinned, and whether the cgroup stands still."""
        with open(f"{self.path}/cgroup.freeze") as f:
            return run("find", "/sys/fs/bpf", "-name", "pin_*").stdout, f.read()

    def follow(self):
        self.follower = self.popen([FOLLOWER], stdout=subprocess.PIPE, bufsize=0)
        self.until("ready")

    def until(self, word):
        """The line that begins with this word; those before it are kept."""
        said = []
        while select.select([self.follower.stdout], [], [], 20)[0]:
            said.append(self.follower.stdout.readline().decode())
            if said[-1].split(" ")[0].strip() == word:
                return said[-1]
        self.fail(f"the follower never said {word}, but {said}")

    def connect_to_peer(self, peer, n, port=7):
        """A listener behind a device, and the agent's connection to it."""
        listener = peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind((f"10.0.{n}.2", port))
        listener.listen()
        self.assertEqual(self.agent.do(f"s['t{n}'] = socket.create_connection(('10.0.{n}.2', {port}))"),
                         "None")
        accepted, _ = listener.accept()
        self.addCleanup(accepted.close)
        accepted.settimeout(10)
        return accepted


class Held(AttachLab):
    def test_from_then_on(self):
        do = self.agent.do
        do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(do("send('u', '10.0.2.2')"), "17")
        self.assertEqual(self.leaked(), 1)
        self.attached()
        # The socket of before, and one that is new; routed, and by packet info.
        self.assertEqual(do("send('u', '10.0.1.2')"), "17")
        for k in ("u", "n"):
            do("s['n'] = socket.socket(2, 2)")
            self.assertIn(do(f"pktinfo('{k}', '10.0.2.2', {self.out_index()})"), ("!EPERM", "!EINTR"))
            self.assertEqual(do(f"pktinfo('{k}', '10.0.2.2', {self.out_index()})"), "!EPERM")
        self.assertEqual(do("s['j'] = socket.socket(2, 2)"), "None")
        self.assertEqual(do("s['j'].setsockopt(0, 35, socket.inet_aton('224.9.9.9') + "
                            f"b'\\0' * 4 + struct.pack('i', {self.out_index()}))"), "!ENODEV")
        self.assertEqual(self.leaked(), 0)
        p = run(IFPIN, "detach", "--json", self.name, "nothing")
        said = json.loads(p.stdout)["confinements"]
        self.assertEqual((p.returncode, p.stderr), (125, ""))
        self.assertEqual([(c["name"], c["detached"], c["error"] is None) for c in said],
                         [(self.name, True, True), ("nothing", False, False)])
        self.assertEqual(do("s['d'] = socket.socket(2, 2)"), "None")
        self.assertEqual(do("send('d', '10.0.2.2')"), "17")
        self.assertEqual(self.leaked(), 1)
        self.assertEqual(run("find", "/sys/fs/bpf/ifpin", "-name", "*_*").stdout.count("pin_"), 0)

    def test_says_what_is_not_held(self):
        p = self.attached()
        self.assertIn("cgroup.procs", p.stderr)
        # BPF LSM holds these.
        for word in ("SCM_RIGHTS", "CAP_NET_RAW"):
            self.assertEqual(word in p.stderr, not HAS_LSM)
        self.assertTrue(all(line.startswith("ifpin: not held") for line in p.stderr.splitlines()))

    def test_json(self):
        answer = json.loads(self.attached("--json").stdout)
        self.assertEqual((answer["attached"], answer["name"], answer["device"], answer["error"]),
                         (True, self.name, "in0", None))
        self.assertTrue(any("CAP_NET_ADMIN" in line for line in answer["not_held"]))
        p = self.attach("--json", "--name=other", cgroup="/no-such-cgroup")
        self.assertEqual((p.returncode, p.stderr), (125, ""))
        answer = json.loads(p.stdout)
        self.assertEqual((answer["attached"], answer["name"]), (False, None))
        self.assertIn("cannot open the cgroup", answer["error"])

    def test_twice_is_once(self):
        first = self.attached()
        self.assertEqual(self.attached().stderr, first.stderr)  # what is not held is said again
        answer = json.loads(self.attached("--json").stdout)
        self.assertEqual([f"ifpin: {line}" for line in answer["not_held"]],
                         first.stderr.splitlines())
        self.assertRegex("\n".join(answer["steps"]), "is held to in0 .* already")
        self.assertEqual(len(os.listdir("/sys/fs/bpf/ifpin")), FOLDERS)
        p = self.attach(device="out0")
        self.assertEqual(p.returncode, 125)
        self.assertIn("is confined to in0 already", p.stderr)
        other = self.cgroup()
        p = self.attach(f"--name={self.name}", cgroup=other)
        self.assertEqual(p.returncode, 125)
        self.assertIn("is of another cgroup", p.stderr)

    def test_parts_taken_away(self):
        """What is not whole is not taken for what is asked for."""
        self.attached()
        folder = f"/sys/fs/bpf/ifpin/pin_{self.name}"
        for link in os.listdir(folder):
            if link.startswith("link"):
                os.unlink(f"{folder}/{link}")
        # The kernel lets go of a link behind the back of whoever unlinks it.
        end = time.monotonic() + 20
        while self.agent.do("s['u'] = socket.socket(2, 2)") != "None" or \
                self.agent.do("send('u', '10.0.2.2')") != "17":
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.leaked(), 1)
        self.attached()
        self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})")
        self.assertEqual(self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})"), "!EPERM")
        self.assertEqual(self.leaked(), 0)
        self.assertEqual(len(os.listdir("/sys/fs/bpf/ifpin")), FOLDERS)

    def test_other_options_replace_it(self):
        do = self.agent.do
        do("s['l'] = socket.create_server(('127.0.0.1', 0))")
        self.attached()
        connect = "socket.create_connection(s['l'].getsockname()).close()"
        self.assertEqual(do(connect), "None")
        self.attached("--loopback=deny")
        self.assertEqual(do(connect), "!EPERM")
        self.attached("--loopback=allow")
        self.assertEqual(do(connect), "None")
        self.assertEqual(len(os.listdir("/sys/fs/bpf/ifpin")), FOLDERS)

    def test_what_lives_elsewhere_is_not_cleaned_up(self):
        """Seen from a cgroup namespace, its path leads nowhere."""
        self.attached()
        other = self.cgroup("ifpin-other")
        must("sh", "-c", f"echo 0 >{other}/cgroup.procs; exec unshare --cgroup "
             f"{os.path.abspath(IFPIN)} gc")
        self.assertIn(f"pin_{self.name}", self.state()[0])
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})")
        self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})")
        self.assertEqual(self.leaked(), 0)

    def test_a_cgroup_that_is_gone_is_replaced(self):
        path = self.cgroup("ifpin-again")
        self.attached("--name=again", cgroup=path)
        os.rmdir(path)
        os.mkdir(path)
        self.attached("--name=again", cgroup=path)
        os.rmdir(path)
        self.assertEqual(json.loads(must(IFPIN, "gc", "--json")), {"removed": 1})
        self.assertEqual(must(IFPIN, "gc"), "removed 0\n")
        self.assertEqual(run("find", "/sys/fs/bpf/ifpin", "-name", "pin_*").stdout, "")
        os.mkdir(path)

    def test_nested_is_the_intersection(self):
        inner = f"{self.path}/inner"
        os.mkdir(inner)
        agent = Agent(self, inner)
        self.attached()
        # Narrower: not to the host itself.
        self.attached("--loopback=deny", "--name=inner", cgroup=inner)
        agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(agent.do("send('u', '127.0.0.1')"), "!EPERM")
        self.assertEqual(agent.do("send('u', '10.0.1.2')"), "17")
        self.assertEqual(agent.do("s['u'].setsockopt(1, 25, b'in0')"), "None")
        self.assertEqual(agent.do("s['u'].setsockopt(1, 25, b'out0')"), "!EPERM")
        # Another device below is no way out: only what both allow.
        must(IFPIN, "detach", "inner")
        agent.do("s['u'].close()")
        p = self.attached("--name=inner", device="out0", cgroup=inner)
        self.assertIn('inside the confinement "', p.stderr)
        for to in ("10.0.1.2", "10.0.2.2"):
            agent.do("s['u'] = socket.socket(2, 2)")
            self.assertEqual(agent.do(f"send('u', '{to}')"), "!EPERM")
            agent.do("s['u'].close()")
            self.assertEqual(agent.do(f"s['c'] = socket.create_connection(('{to}', 9), 1)"),
                             "!timed out")
        # And wider below changes nothing.
        must(IFPIN, "detach", "inner")
        self.attached("--loopback=deny")
        self.attached("--name=inner", cgroup=inner)
        agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(agent.do("send('u', '127.0.0.1')"), "!EPERM")
        self.assertEqual(self.leaked(), 0)


class Shared(AttachLab):
    """All confinements use the same programs; what differs stands in the storage of each cgroup."""

    def setUp(self):
        super().setUp()
        self.other = self.cgroup()
        self.other_agent = Agent(self, self.other)

    def programs(self, path):
        return sorted(line.split()[0] for line in must("bpftool", "cgroup", "show", path)
                      .splitlines()[1:])

    def sets(self):
        return sorted(glob.glob("/sys/fs/bpf/ifpin/host_*/set_*"))

    def sends(self, agent, index):
        agent.do("s['u'] = socket.socket(2, 2)")
        for _ in range(2):
            answer = agent.do(f"pktinfo('u', '10.0.{index}.2', "
                              f"{socket.if_nametoindex(('in0', 'out0')[index - 1])})")
        agent.do("s['u'].close()")
        return answer

    def status(self, name):
        return json.loads(run(IFPIN, "status", "--json", name).stdout)["confinements"][0]

    def test_one_set(self):
        self.attached()
        self.attached("--loopback=deny", "--name=other", cgroup=self.other, device="out0")
        self.assertEqual(self.programs(self.path), self.programs(self.other))
        self.assertEqual(len(self.sets()), 1)
        # Each is held to its own device, counts its own packets, and ends by itself.
        self.assertEqual([self.sends(self.agent, n) for n in (1, 2)], ["17", "!EPERM"])
        self.assertEqual([self.sends(self.other_agent, n) for n in (1, 2)], ["!EPERM", "17"])
        self.assertEqual(self.sends(self.other_agent, 1), "!EPERM")
        denied = [self.status(name)["denied"]["other-device"] for name in (self.name, "other")]
        self.assertEqual(denied, [2, 4])
        must(IFPIN, "detach", self.name)
        self.assertEqual([self.sends(self.agent, n) for n in (1, 2)], ["17", "17"])
        self.assertEqual([self.sends(self.other_agent, n) for n in (1, 2)], ["!EPERM", "17"])
        self.assertEqual(len(self.sets()), 1)
        must(IFPIN, "detach", "other")
        self.assertEqual(self.sets(), [])

    def test_made_again_on_the_same_cgroup(self):
        """The kernel keeps the storage; nothing of the former one counts."""
        self.attached("--name=other", cgroup=self.other)
        for options in ("--loopback=deny",), ():
            self.attached(*options)
            self.assertEqual(self.status(self.name)["passed"]["out"], 0)
            self.assertEqual(self.sends(self.agent, 1), "17")
            self.assertEqual(self.sends(self.agent, 2), "!EPERM")
            self.assertEqual(self.status(self.name)["denied"]["other-device"], 2)
            must(IFPIN, "detach", self.name)
            self.assertEqual(self.sends(self.agent, 2), "17")

    def test_two_of_one_cgroup(self):
        self.attached()
        self.attached("--name=beside", "--loopback=deny")
        self.assertEqual(len(self.sets()), 2)
        self.agent.do("s['l'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('l', '127.0.0.1')"), "!EPERM")
        must(IFPIN, "detach", self.name)
        self.assertEqual(self.status("beside")["state"], "held")
        self.assertEqual(self.agent.do("send('l', '127.0.0.1')"), "!EPERM")
        self.assertEqual([self.sends(self.agent, n) for n in (1, 2)], ["17", "!EPERM"])
        must(IFPIN, "detach", "beside")
        self.assertEqual(self.sets(), [])

    def keys(self, name):
        dump = json.loads(must("bpftool", "-j", "map", "dump", "pinned", f"{self.sets()[0]}/{name}"))
        return [tuple(e["key"]) for e in dump]

    def test_gc_removes_what_killed_ones_left(self):
        self.attached()
        path = self.cgroup("ifpin-goes")
        self.attached("--name=goes", cgroup=path)
        folder, = self.sets()
        index = socket.if_nametoindex("in0")
        for name, size in ("packets", 4), ("options", 4), ("denied", 592):
            self.assertEqual(len(self.keys(name)), 2)
            value = index if size == 4 else 0
            must("bpftool", "map", "update", "pinned", f"{folder}/{name}", "key", "1", "2", "3", "4",
                 "value", *[f"{b:#x}" for b in value.to_bytes(size, "little")])
        os.rmdir(path)
        must(IFPIN, "gc")
        for name in "packets", "options", "denied":
            self.assertEqual(len(self.keys(name)), 1, name)
        self.assertEqual([self.sends(self.agent, n) for n in (1, 2)], ["17", "!EPERM"])
        os.mkdir(path)


class Existing(AttachLab):
    def test_connection_elsewhere(self):
        """Refused by default and by pin; killed, the peer sees a reset."""
        accepted = self.connect_to_peer(self.pout, 2)
        words = (f"pid {self.agent.pid}", "10.0.2.2:7", "python3", "not the device's", "kill")
        for mode in ("refuse", "pin"):
            self.refused(f"--existing={mode}", saying=words)
            self.assertEqual(self.agent.do("s['t2'].send(b'x')"), "1")
            self.assertEqual(accepted.recv(1), b"x")
        self.attached("--existing=kill")
        with self.assertRaises(ConnectionResetError):
            accepted.recv(1)
        self.assertIn(self.agent.do("s['t2'].send(b'x')"), ("!ECONNABORTED", "!EPIPE"))
        # The same socket may connect again, and then it is held.
        self.assertEqual(self.agent.do("s['t2'] = socket.create_connection(('10.0.2.2', 7), 1)"),
                         "!timed out")  # it is looked for on in0, where nobody has it
        self.assertEqual(self.leaked(lambda f: f[12:14] == b"\x08\x00" and f[23] == 6 and
                                     f[47] & 2), 1)  # one SYN, that of before

    def test_connection_on_the_device(self):
        """Not tied, it goes on, and is tied."""
        accepted = self.connect_to_peer(self.pin, 1)
        self.assertEqual(self.agent.do("bound('t1')"), "0")
        self.refused(saying=("1 open socket does not conform: ", "10.0.1.2:7",
                             "is not tied to the device", "--existing=pin"))
        self.assertEqual(self.agent.do("bound('t1')"), "0")
        p = self.attached("-v", "--existing=pin")
        self.assertIn("1 tied", p.stderr)
        self.assertEqual(self.agent.do("bound('t1')"), str(socket.if_nametoindex("in0")))
        self.assertEqual(self.agent.do("s['t1'].send(b'x')"), "1")
        self.assertEqual(accepted.recv(1), b"x")

    def test_connection_on_loopback(self):
        do = self.agent.do
        do("s['l'] = socket.create_server(('127.0.0.1', 0))")
        do("s['c'] = socket.create_connection(s['l'].getsockname())")
        do("s['a'], _ = s['l'].accept()")
        self.refused("--loopback=deny", saying=("127.0.0.1", "--loopback=deny refuses"))
        self.attached()
        self.assertEqual(do("s['c'].send(b'x')"), "1")
        self.assertEqual(do("s['a'].recv(1)"), "b'x'")

    def test_bound_to_another_device(self):
        for k, proto in (("u", 2), ("l", 1)):
            self.agent.do(f"s['{k}'] = socket.socket(2, {proto})")
            self.agent.do(f"s['{k}'].bind(('', 0))")
            self.agent.do(f"s['{k}'].setsockopt(1, 25, b'out0')")
        self.agent.do("s['l'].listen()")
        self.refused(saying=("is tied to another device",))
        self.attached("--existing=pin")
        for k in ("u", "l"):
            self.assertEqual(self.agent.do(f"bound('{k}')"), str(socket.if_nametoindex("in0")))

    def test_joined_elsewhere(self):
        """It is made to leave, and its reports end."""
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.agent.do("s['u'].setsockopt(0, 35, socket.inet_aton('224.9.9.9') + b'\\0' * 4 + "
                      f"struct.pack('i', {self.out_index()}))")
        self.agent.do("s['v'] = socket.socket(10, 2)")
        self.agent.do("s['v'].setsockopt(41, 20, socket.inet_pton(10, 'ff02::9:9') + "
                      f"struct.pack('i', {self.out_index()}))")
        def groups():
            return run("ip", "maddr", "show", "dev", "out0").stdout
        self.assertIn("224.9.9.9", groups())
        self.assertIn("ff02::9:9", groups())
        self.refused(saying=("has joined a group on another device",))
        self.attached("--existing=pin")
        self.assertNotIn("224.9.9.9", groups())
        self.assertNotIn("ff02::9:9", groups())

    def test_tcp_joined_elsewhere(self):
        i = self.out_index()
        self.agent.do("s['t'] = socket.socket(2, 1)")
        self.agent.do(f"s['t'].setsockopt(0, 42, struct.pack('IIHH4s120x', {i}, 0, 2, 0, "
                      "socket.inet_aton('224.9.9.9')))")
        self.assertIn("224.9.9.9", run("ip", "maddr", "show", "dev", "out0").stdout)
        self.refused(saying=("has joined a group on another device",))
        self.attached("--existing=pin")
        self.assertNotIn("224.9.9.9", run("ip", "maddr", "show", "dev", "out0").stdout)

    def test_multipath_connection(self):
        """The kernel does not tie it any more: only its end helps."""
        listener = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        with listener:
            listener.bind(("10.0.1.2", 88))
            listener.listen()
            self.agent.do("s['m'] = socket.socket(2, 1, 262)")
            self.assertEqual(self.agent.do("s['m'].connect(('10.0.1.2', 88))"), "None")
            for mode in ("refuse", "pin"):
                self.refused(f"--existing={mode}", saying=("is a multipath connection", "kill"))
            self.attached("--existing=kill")
            self.assertEqual(self.agent.do("s['m'].send(b'x')")[0], "!")

    def test_frozen_by_somebody_else(self):
        """It stays so, and nothing waits for a process that stands still."""
        with open(f"{self.path}/cgroup.freeze", "w") as f:
            f.write("1")
        p = self.attached("-v")
        self.assertIn("the cgroup is frozen", p.stderr)
        with open(f"{self.path}/cgroup.freeze", "r+") as f:
            self.assertEqual(f.read(), "1\n")
            f.write("0")
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})")
        self.agent.do(f"pktinfo('u', '10.0.2.2', {self.out_index()})")
        self.assertEqual(self.leaked(), 0)

    def test_packet_sockets_and_wires(self):
        """Nothing from outside their process helps: refused in every mode."""
        for line, saying in (("s['p'] = socket.socket(17, 3, 0)", "sends frames past every cgroup"),
                             ("s['p'] = socket.socket(40, 1)", "is of a family that cannot be held"),
                             ("s['p'] = socket.socket(2, 3, 2)", "may route multicast"),
                             ("s['p'] = open('/dev/net/tun', 'r+b', 0)", "device node")):
            if self.agent.do(line) != "None":
                continue  # vsock is not on every kernel
            for mode in ("refuse", "pin", "kill"):
                self.refused(f"--existing={mode}", saying=(saying, f"pid {self.agent.pid}"))
            self.agent.do("s['p'].close()")
        self.attached()

    def test_queued_connections(self):
        """No descriptor leads to them; they are tied as soon as the service has accepted them."""
        do = self.agent.do
        do("s['l'] = socket.create_server(('0.0.0.0', 80))")
        clients = []
        for _ in range(3):
            c = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.addCleanup(c.close)
            c.settimeout(10)
            c.connect(("10.0.1.1", 80))
            clients.append(c)
        self.refused(saying=("3 connections wait to be accepted",))
        self.refused("--existing=pin", saying=("3 connections have been waiting",))
        p = self.popen([IFPIN, "attach", "in0", f"--cgroup={self.path}", "--existing=pin", "-v"],
                       stderr=subprocess.PIPE, text=True)
        for i in range(3):
            do(f"s['a{i}'], _ = s['l'].accept()")
        self.assertEqual(p.wait(20), 0, p.stderr.read())
        for i, c in enumerate(clients):
            self.assertEqual(do(f"bound('a{i}')"), str(socket.if_nametoindex("in0")))
            self.assertEqual(do(f"s['a{i}'].send(b'x')"), "1")
            self.assertEqual(c.recv(1), b"x")

    def test_accepted_at_once(self):
        """They are taken from the queue in the moment in which the service goes on."""
        do = self.agent.do
        do("s['l'] = socket.create_server(('0.0.0.0', 80))")
        link = f"/sys/fs/bpf/ifpin/new_{self.name}/link0"
        for _ in range(10):
            c = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.addCleanup(c.close)
            c.connect(("10.0.1.1", 80))
            # It waits until something is being made, and then until it has stood still.
            self.agent.tell(f"stood_still({link!r}) or s.update(a=s['l'].accept()[0])")
            self.attached("--existing=pin")
            self.assertEqual(self.agent.answer(), "None")
            self.assertEqual(do("bound('a')"), str(socket.if_nametoindex("in0")))
            do("s['a'].close()")
            must(IFPIN, "detach", self.name)
            do("s.pop('l').close()")
            do("s['l'] = socket.create_server(('0.0.0.0', 80))")


class Foreign(AttachLab):
    """Sockets that were made outside of the cgroup, as a service manager hands them over."""

    def inherit(self, *sockets):
        fds = [s.fileno() for s in sockets]
        path = self.cgroup("ifpin-foreign")
        agent = Agent(self, path, pass_fds=fds)
        for i, fd in enumerate(fds):
            agent.do(f"s[{i}] = socket.socket(fileno={fd})")
        return path, agent

    def test_datagrams(self):
        """They name their device by themselves: only their end helps."""
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with u, u6:
            path, agent = self.inherit(u, u6)
            leaks = f"pktinfo(0, '10.0.2.2', {self.out_index()})", "send(1, 'fd00:2::2')"
            for leak in leaks:
                self.assertEqual(agent.do(leak), "17")
            self.assertEqual(self.leaked(), 2)
            for mode in ("refuse", "pin"):
                p = self.attach(f"--existing={mode}", cgroup=path)
                self.assertEqual(p.returncode, 125)
                self.assertIn("was made outside of the cgroup", p.stderr)
            self.assertEqual(agent.do(leaks[0]), "17")
            self.attached("--existing=kill", cgroup=path)
            self.assertEqual(self.leaked(), 1)
            for i, leak in enumerate(leaks):
                self.assertEqual(agent.do(leak), "!EPIPE")
                agent.do(f"s[{i}].connect(('{('10.0.2.2', 'fd00:2::2')[i]}', 9))")
                self.assertEqual(agent.do(f"s[{i}].send(b'ifpin-test-marker')"), "!EPIPE")
            self.assertEqual(self.leaked(), 0)

    def test_after_the_pin(self):
        """What comes in when the pin is in force is dealt with by the next `attach`."""
        path = self.cgroup("ifpin-foreign")
        self.attached(cgroup=path)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, \
                socket.create_server(("0.0.0.0", 0)) as t:
            agent = Agent(self, path, pass_fds=[u.fileno(), t.fileno()])
            agent.do(f"s[0] = socket.socket(fileno={u.fileno()})")
            leak = f"pktinfo(0, '10.0.2.2', {self.out_index()})"
            self.assertEqual(agent.do(leak), "17")
            self.assertEqual(self.leaked(), 1)
            p = self.attach("--existing=pin", cgroup=path)
            self.assertEqual(p.returncode, 125)
            self.assertIn("was made outside of the cgroup", p.stderr)
            self.attached("--existing=kill", cgroup=path)
            self.assertEqual(agent.do(leak), "!EPIPE")
            self.assertEqual(t.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)[:3], b"in0")
            self.assertEqual(self.leaked(), 0)

    def test_raw(self):
        """Shut down, a raw socket sends all the same: nothing from outside its process helps."""
        r = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        with r:
            path, agent = self.inherit(r)
            r.sendto(b"x", ("10.0.2.2", 0))
            try:
                r.shutdown(socket.SHUT_RDWR)
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOTCONN)
            self.assertEqual(r.sendto(b"x", ("10.0.2.2", 0)), 1)
            for mode in ("refuse", "pin", "kill"):
                p = self.attach(f"--existing={mode}", cgroup=path)
                self.assertEqual(p.returncode, 125)
                self.assertIn("was made outside of the cgroup", p.stderr)
        agent.do("s[0].close()")
        self.attached(cgroup=path)

    def test_activated_listener(self):
        """A listening socket is tied, and so is what it accepts."""
        l = socket.create_server(("0.0.0.0", 80))
        with l:
            path, agent = self.inherit(l)
            p = self.attach(cgroup=path)
            self.assertEqual(p.returncode, 125)
            self.assertIn("was made outside of the cgroup", p.stderr)
            self.attached("--existing=pin", cgroup=path)
        index = str(socket.if_nametoindex("in0"))
        self.assertEqual(agent.do("bound(0)"), index)
        for peer, n, ok in ((self.pin, 1, True), (self.pout, 2, False)):
            c = peer.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.addCleanup(c.close)
            c.settimeout(2)
            if ok:
                c.connect((f"10.0.{n}.1", 80))
                agent.do("s['a'], _ = s[0].accept()")
                self.assertEqual(agent.do("bound('a')"), index)
            else:
                with self.assertRaises(OSError):
                    c.connect((f"10.0.{n}.1", 80))

    def test_corked(self):
        """What waits in a socket has its route already, and is thrown away."""
        for held in (False, True):
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with u:
                u.connect(("10.0.2.2", 9))
                u.setsockopt(17, 1, 1)
                u.send(MARKER)
                path, agent = self.inherit(u)
                if held:
                    self.attached("--existing=kill", cgroup=path)
                self.assertEqual(agent.do("s[0].setsockopt(17, 1, 0)"), "None")
                self.assertEqual(self.leaked(), 0 if held else 1)

    def test_half_open(self):
        """What began before its listener was tied would be on any device."""
        for held in (False, True):
            l = socket.create_server(("0.0.0.0", 81 + held))
            with l:
                path, agent = self.inherit(l)
            must(*self.pout.cmd("nft", "add table ip t; add chain ip t c { type filter hook input "
                                "priority 0; }; add rule ip t c tcp flags & (syn|ack) == (syn|ack) "
                                "drop"))
            c = self.pout.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.addCleanup(c.close)
            c.setblocking(False)
            c.connect_ex(("10.0.2.1", 81 + held))
            while "SYN-RECV" not in run("ss", "-Htan").stdout:
                select.select([], [], [], 0.02)  # no event tells
            if held:
                self.attached("--existing=pin", cgroup=path)
                self.assertNotIn("SYN-RECV", run("ss", "-Htan").stdout)
            must(*self.pout.cmd("nft", "delete table ip t"))
            agent.do("s[0].settimeout(4)")
            agent.do("s['a'] = s[0].accept()[0]")
            if held:
                self.assertEqual(agent.do("'a' in s"), "False")
            else:
                self.assertEqual(agent.do("s['a'].send(b'ifpin-test-marker')"), "17")
                c.settimeout(10)
                self.assertEqual(c.recv(17), MARKER)
        self.leaked()

    def test_connection_to_the_host_itself(self):
        """Tied to loopback it goes on, and cannot be connected elsewhere."""
        l = socket.create_server(("127.0.0.1", 0))
        c = socket.create_connection(l.getsockname())
        with l, c:
            a, _ = l.accept()
            self.addCleanup(a.close)
            path, agent = self.inherit(c)
            self.attached("--existing=pin", cgroup=path)
            self.assertEqual(agent.do("bound(0)"), "1")
            self.assertEqual(agent.do("s[0].send(b'x')"), "1")
            self.assertEqual(a.recv(1), b"x")

    def test_another_network_namespace(self):
        """Its index would mean another device there."""
        s = self.pout.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            path, agent = self.inherit(s)
            p = self.attach("--existing=pin", cgroup=path)
            self.assertEqual(p.returncode, 125)
            self.assertIn("is of another network namespace", p.stderr)
            self.attached("--existing=kill", cgroup=path)
        self.assertEqual(agent.do("send(0, '10.0.2.2')"), "!EPIPE")
        path = self.cgroup("ifpin-netns")
        other = self.service(path, self.pout.cmd("cat"), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        other.stdin.write(b"x")
        other.stdin.flush()
        other.stdout.read(1)
        p = self.attach(cgroup=path)
        self.assertEqual(p.returncode, 125)
        self.assertIn(f"process {other.pid} is in another network namespace", p.stderr)


class Target(AttachLab):
    def by(self, *options):
        return run(IFPIN, "attach", "in0", *options)

    def test_process_alone_in_its_cgroup(self):
        p = self.by(f"--pid={self.agent.pid}", "-v")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(f'"{self.name}"', p.stderr)
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('u', '10.0.2.2')"), "!EPERM")

    def test_process_among_others(self):
        """It gets a cgroup of its own, and the sockets that it has are foreign there."""
        other = Agent(self, self.path)
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.agent.do("s['u'].bind(('', 0))")
        self.agent.do("import subprocess; s['child'] = subprocess.Popen(['sleep', '100'])")
        p = self.by(f"--pid={self.agent.pid}", "--name=alone")
        self.assertEqual(p.returncode, 125)
        self.assertIn("was made outside of the cgroup", p.stderr)
        with open(f"/proc/{self.agent.pid}/cgroup") as f:
            self.assertIn(f"0::/{self.name}\n", f.read())
        self.assertFalse(os.path.exists(f"{self.path}/ifpin.alone"))
        self.agent.do("s['u'].close()")
        p = self.by(f"--pid={self.agent.pid}", "--name=alone")
        self.assertEqual(p.returncode, 0, p.stderr)
        with open(f"{self.path}/ifpin.alone/cgroup.procs") as f:
            self.assertEqual(len(f.read().split()), 2)
        for agent, answer in ((self.agent, "!EPERM"), (other, "17")):
            agent.do("s['n'] = socket.socket(2, 2)")
            self.assertEqual(agent.do("send('n', '10.0.2.2')"), answer)
        self.assertEqual(self.leaked(), 1)
        self.agent.do("s['child'].kill()")

    def test_unit(self):
        """By the name of its cgroup, wherever that is; never one of a user."""
        unit = f"ifpin-test-{os.getpid()}.service"
        p = self.by(f"--unit={unit}")
        self.assertEqual(p.returncode, 125)
        self.assertIn("the service is not running", p.stderr)
        slice_ = self.cgroup("ifpin-test.slice")
        os.mkdir(f"{slice_}/{unit}")
        agent = Agent(self, f"{slice_}/{unit}")
        p = self.by(f"--unit={unit}", "-v")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(f'"{unit[:-len(".service")]}"', p.stderr)
        agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(agent.do("send('u', '10.0.2.2')"), "!EPERM")
        os.mkdir(f"{self.path}/{unit}")
        p = self.by(f"--unit={unit}", "--name=second")
        self.assertEqual(p.returncode, 125)
        self.assertIn("several cgroups", p.stderr)

    def test_from_inside(self):
        """As ExecStartPre= does it: the command is in the cgroup that it confines."""
        p = self.service(self.path, [IFPIN, "attach", "in0", f"--cgroup={self.path}"],
                         stderr=subprocess.PIPE)
        self.assertEqual(p.wait(20), 0, p.stderr.read())
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('u', '10.0.2.2')"), "!EPERM")

    def test_a_cgroup_that_holds_no_processes_of_its_own(self):
        """With controllers for those below it, as slices are."""
        slice_ = self.cgroup("ifpin-test.slice")
        os.mkdir(f"{slice_}/below")
        agent = Agent(self, f"{slice_}/below")
        self.attached(cgroup=slice_)
        agent.do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(agent.do("send('u', '10.0.2.2')"), "!EPERM")

    def test_a_mount_namespace_of_its_own(self):
        """Where bpffs would go with the command, and the confinement with that."""
        before = self.state()
        p = run("unshare", "--mount", "sh", "-c", "while umount -l /sys/fs/bpf 2>/dev/null; do :; done; "
                f"exec {os.path.abspath(IFPIN)} attach in0 --cgroup={self.path}")
        self.assertEqual(p.returncode, 125)
        self.assertIn("mount namespace", p.stderr)
        self.assertEqual(self.state(), before)

    def test_bad_ones(self):
        for options, saying in (
                ((), "give one of --cgroup, --unit and --pid"),
                (("--cgroup=/",), "not the root of all"),
                (("--cgroup=/a/../..",), "not the root of all"),
                (("--cgroup=/no-such-cgroup",), "cannot open the cgroup"),
                ((f"--cgroup={CGROUPS}",), "not the root of all"),
                (("--unit=nginx",), "not the name of a unit"),
                (("--unit=a/b.service",), "not the name of a unit"),
                (("--pid=0",), "must be the number of a process"),
                (("--pid=2147483647",), "process 2147483647"),
                (("--pid=1x",), "must be the number of a process"),
                ((f"--cgroup={self.path}", "--unit=a.service"), "give one of"),
                ((f"--cgroup={self.path}", "--name=a/b"), "a name has"),
                ((f"--cgroup={self.path}", "--name=" + "x" * 49), "a name has"),
                ((f"--cgroup={self.path}", "--existing=ask"), "must be refuse, pin or kill"),
                ((f"--cgroup={self.path}", "--rebind=perhaps"), "must be yes or no"),
                ((f"--cgroup={self.path}", "more"), "too many arguments")):
            p = self.by(*options)
            self.assertEqual((p.returncode, p.stdout), (125, ""), options)
            self.assertIn(saying, p.stderr, options)
        p = run(IFPIN, "attach", "nosuchdev", f"--cgroup={self.path}")
        self.assertEqual(p.returncode, 125)
        self.assertIn('no interface "nosuchdev"', p.stderr)
        self.assertEqual(run(IFPIN, "detach", "nothing").returncode, 125)
        p = run("setpriv", "--reuid=65534", "--clear-groups", IFPIN, "attach", "in0",
                f"--cgroup={self.path}")
        self.assertEqual(p.returncode, 125)
        self.assertIn("not privileged: missing cap_sys_admin", p.stderr)


class Devices(AttachLab):
    """A device goes and comes back under a confinement that somebody follows."""

    def make_in0(self, mac="02:00:00:00:01:01", name="in0", index=""):
        for line in (f"link add {name} {index} address {mac} type veth peer name eth1 "
                     f"netns /proc/{self.pin.pid}/ns/net", f"link set {name} up",
                     f"addr add 10.0.1.1/24 dev {name}"):
            must("ip", *line.split())
        for line in ("addr flush dev eth1", "link set eth1 up", "addr add 10.0.1.2/24 dev eth1"):
            run(*self.pin.cmd("ip", *line.split()))

    def open_some(self):
        do = self.agent.do
        do("s['u'] = socket.socket(2, 2)")
        do("s['u'].bind(('10.0.1.1', 0))")
        do("s['b'] = socket.socket(2, 2)")
        do("s['b'].setsockopt(1, 25, b'in0')")
        do("s['l'] = socket.socket(2, 1)")
        do("s['l'].setsockopt(1, 2, 1)")
        do("s['l'].setsockopt(1, 25, b'in0')")
        do("s['l'].bind(('0.0.0.0', 80))")
        do("s['l'].listen()")
        do("s['r'] = socket.socket(2, 3, 253)")
        do("s['r'].setsockopt(1, 25, b'in0')")

    def test_gone_and_back(self):
        self.attached()
        self.follow()
        self.open_some()
        accepted = self.connect_to_peer(self.pin, 1)
        old = socket.if_nametoindex("in0")
        must("ip", "link", "del", "in0")
        self.assertIn(f"in0 (index {old}) is gone", self.until("gone"))
        for k in "ub":
            began = time.monotonic()
            self.assertIn(self.agent.do(f"send('{k}', '10.0.1.2')"),
                          ("!EPERM", "!ENODEV", "!ENETUNREACH"))
            self.assertLess(time.monotonic() - began, 1)
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertIn(self.agent.do("send('n', '10.0.2.2')"), ("!EPERM", "!ENETUNREACH", "!ENODEV"))
        self.make_in0()
        line = self.until("back")
        new = socket.if_nametoindex("in0")
        self.assertNotEqual(new, old)
        self.assertIn(f"index {new}", line)
        # What was there works without its help. Two more were tied by what they sent meanwhile.
        self.assertEqual(line.split()[2:4], ["5", "1"])
        for k in "blr":
            self.assertEqual(self.agent.do(f"bound('{k}')"), str(new))
        self.assertIn(self.agent.do("s['t1'].send(b'x')"), ("!ECONNABORTED", "!ECONNRESET", "!EPIPE"))
        self.assertEqual(self.agent.do("send('b', '10.0.1.2')"), "17")
        self.assertEqual(self.agent.do("s['r'].sendto(b'x', ('10.0.1.2', 0))"), "1")
        c = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(c.close)
        c.settimeout(10)
        c.connect(("10.0.1.1", 80))
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")
        self.assertEqual(self.leaked(), 0)
        accepted.close()

    def test_switched_off(self):
        """--rebind=no and --abort=no, said while somebody follows: dead sockets are the service's."""
        self.attached()
        self.follow()
        self.attached("--rebind=no", "--abort=no")
        self.open_some()
        self.connect_to_peer(self.pin, 1)
        old = socket.if_nametoindex("in0")
        must("ip", "link", "del", "in0")
        self.until("gone")
        self.make_in0()
        self.assertEqual(self.until("back").split()[2:4], ["0", "0"])
        for k in "blr":
            self.assertEqual(self.agent.do(f"bound('{k}')"), str(old))
        self.assertEqual(self.agent.do("s['t1'].send(b'x')"), "1")
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")

    def test_another_device_takes_the_name(self):
        self.attached()
        self.follow()
        must("ip", "link", "del", "in0")
        self.until("gone")
        self.make_in0(mac="02:00:00:00:99:99")
        self.assertIn("another device", self.until("replaced"))
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertIn(self.agent.do("send('n', '10.0.1.2')"), ("!EPERM", "!ENODEV"))
        # The right one comes: under its own name, when that is free.
        must("ip", "link", "del", "in0")
        self.make_in0()
        self.until("back")
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")

    def test_its_index_is_taken(self):
        """By another device behind which is the outside: closed, whoever of us lives."""
        for followed in (True, False):
            with self.subTest(followed=followed):
                self.attached()
                self.open_some()
                if followed:
                    self.follow()
                old = socket.if_nametoindex("in0")
                must("ip", "link", "del", "in0")
                must("ip", *f"link add evil index {old} type veth peer name eth1 "
                     f"netns /proc/{self.pout.pid}/ns/net".split())
                must("ip", "link", "set", "evil", "up")
                must("ip", "addr", "add", "10.0.1.1/24", "dev", "evil")
                must(*self.pout.cmd("ip", "link", "set", "eth1", "up"))
                must("ip", *"neigh add 10.0.1.2 lladdr 02:00:00:00:00:09 dev evil".split())
                if followed:
                    self.until("gone")
                for k in "ub":
                    self.assertIn(self.agent.do(f"send('{k}', '10.0.1.2')"), ("!EPERM", "!EINTR"))
                self.assertEqual(self.wire.frames("evil"), 0)
                must("ip", "link", "del", "evil")
                if followed:
                    self.follower.kill()
                    self.follower.wait()
                must(IFPIN, "detach", self.name)
                self.agent.do("[x.close() for x in s.values()]")
                self.make_in0()

    def test_a_join_while_its_index_is_taken(self):
        """One that names no device is for ours, and for no other that has its number."""
        self.attached()
        old = socket.if_nametoindex("in0")
        must("ip", "link", "del", "in0")
        must("ip", *f"link add evil index {old} type veth peer name eth1 "
             f"netns /proc/{self.pout.pid}/ns/net".split())
        self.addCleanup(run, "ip", "link", "del", "evil")
        must("ip", "link", "set", "evil", "up")
        six = "socket.inet_pton(10, 'ff15::77')"
        for family, line in (
                (10, f"s['j'].setsockopt(41, 20, {six} + struct.pack('I', 0))"),
                (10, f"s['j'].setsockopt(41, 42, struct.pack('IIHHI16sI100x', 0, 0, 10, 0, 0, {six}, 0))"),
                (2, "s['j'].setsockopt(0, 42, struct.pack('IIHH4s120x', 0, 0, 2, 0, "
                    "socket.inet_aton('224.9.9.9')))"),
                (2, "s['j'].setsockopt(0, 35, socket.inet_aton('224.9.9.9') + b'\\0' * 8)")):
            self.agent.do(f"s['j'] = socket.socket({family}, 2)")
            self.assertEqual(self.agent.do(line), "!ENODEV", line)
        groups = run("ip", "maddr", "show", "dev", "evil").stdout
        self.assertNotIn("224.9.9.9", groups)
        self.assertNotIn("ff15::77", groups)

    def test_names_are_swapped(self):
        """The pin stays with its device, whatever that is called."""
        self.attached()
        self.follow()
        for line in ("link set in0 down", "link set out0 down", "link set in0 name swap",
                     "link set out0 name in0", "link set swap name out0", "link set in0 up",
                     "link set out0 up"):
            must("ip", *line.split())
        while "called out0" not in self.until("renamed"):
            pass
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")
        self.assertEqual(self.agent.do("s['n'].setsockopt(1, 25, b'out0')"), "None")
        self.assertEqual(self.agent.do("s['n'].setsockopt(1, 25, b'in0')"), "!EPERM")
        self.assertEqual(self.wire.frames("in0"), 0)

    def test_known_by_its_altname(self):
        """Where the MAC address is made up anew, an alternative name says who it is."""
        must("ip", "link", "property", "add", "dev", "in0", "altname", "control-plane")
        self.attached()
        self.follow()
        must("ip", "link", "del", "in0")
        self.until("gone")
        self.make_in0(mac="02:00:00:00:77:77", name="other0")
        must("ip", "link", "property", "add", "dev", "other0", "altname", "control-plane")
        self.until("back")
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")
        self.stack.callback(run, "ip", "link", "del", "other0")

    def test_nobody_followed(self):
        """What happened meanwhile is found out at the start; until then all is closed."""
        self.attached()
        self.open_some()
        must("ip", "link", "del", "in0")
        self.make_in0()
        self.assertIn(self.agent.do("send('b', '10.0.1.2')"), ("!EPERM", "!ENODEV"))
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertIn(self.agent.do("send('n', '10.0.1.2')"), ("!EPERM", "!ENODEV"))
        self.follow()
        self.assertEqual(self.agent.do("send('b', '10.0.1.2')"), "17")
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")

    def test_follower_killed(self):
        """Nothing opens, and what is in force stays so."""
        self.attached()
        self.follow()
        self.follower.kill()
        self.follower.wait()
        self.agent.do("s['n'] = socket.socket(2, 2)")
        self.assertEqual(self.agent.do("send('n', '10.0.1.2')"), "17")
        self.agent.do("send('n', '10.0.2.2')")
        self.agent.do(f"pktinfo('n', '10.0.2.2', {self.out_index()})")
        self.assertEqual(self.leaked(), 0)
