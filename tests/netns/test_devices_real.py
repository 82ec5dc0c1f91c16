# SPDX-License-Identifier: MIT
"""Devices that have others below them, or beside: what "only this device" means for each. What the
kernel of this machine has not is tried in a virtual machine (tests/vm)."""
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess

from lab import IFPIN, MARKER, Lab, Wire, must, run
from test_attach import AGENT, Agent, AttachLab

# Datagrams and connections that are answered, by each address of a peer.
ECHO = """
import socket, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", 7))
l = socket.socket()
l.bind(("", 7))
l.listen()
def serve():
    while True:
        c = l.accept()[0]
        c.send(c.recv(64))
        c.close()
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
while True:
    data, to = u.recvfrom(2048)
    u.sendto(data, to)
"""

# A question and its answer, by UDP and by TCP.
TALK = """
import socket, sys
to = (sys.argv[1], 7)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
t = socket.socket()
for s in u, t:
    s.settimeout(30)
for _ in range(2):
    try:
        u.sendto(b"ifpin-test-marker", to)
        break
    except InterruptedError:
        pass
print(u.recv(64) == b"ifpin-test-marker")
t.connect(to)
t.send(b"ifpin-test-marker")
print(t.recv(64) == b"ifpin-test-marker")
"""

# The same, and nobody waits for an answer.
SEND = """
import socket, sys
for to in sys.argv[1:]:
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(3):
        try:
            u.sendto(b"ifpin-test-marker", (to, 7))
        except OSError:
            pass
    t = socket.socket()
    t.setblocking(False)
    try:
        t.connect_ex((to, 7))
    except OSError:
        pass
"""

# Answers one connection that comes in.
SERVE = """
import socket, sys
l = socket.socket()
l.bind((sys.argv[1], 80))
l.listen()
print("ready", flush=True)
c = l.accept()[0]
c.send(c.recv(64))
"""


class Real:
    """What is the same for commands and services."""

    def echo(self):
        for peer in (self.pin, self.pout):
            p = self.popen(peer.cmd("python3", "-c", ECHO), stdout=subprocess.PIPE)
            self.assertEqual(p.stdout.readline(), b"ready\n")

    def kind(self, kind):
        run("modprobe", kind)
        p = run("ip", "link", "add", "probe0", *(("link", "in0") if "vlan" in kind else ()), "type", kind,
                *{"vlan": ("id", "9"), "vrf": ("table", "9")}.get(kind, ()))
        if p.returncode:
            self.skipTest(f"this kernel has no {kind} devices")
        must("ip", "link", "del", "probe0")

    def ip(self, *lines):
        for line in lines:
            must("ip", *line.split())

    def peer(self, *lines, peer=None):
        for line in lines:
            must(*(peer or self.pin).cmd("ip", *line.split()))

    def second_wire(self):
        """in2, a second device that leads to the peer behind in0."""
        self.ip(f"link add in2 type veth peer name eth2 netns /proc/{self.pin.pid}/ns/net",
                "link set in2 up")
        self.peer("link set eth2 up")
        self.stack.callback(run, "ip", "link", "del", "in2")


class Stacked(Real, Lab):
    def setUp(self):
        super().setUp()
        self.echo()

    def talks(self, device, to):
        p = self.ifpin("python3", "-c", TALK, to, device=device)
        self.assertEqual((p.stdout, p.returncode), ("True\nTrue\n", 0), p.stderr)
        self.assertEqual(self.leaked(), 0)

    def closed(self, device, *to):
        """Nothing with the marker arrives, neither behind in0 nor behind out0."""
        wire = Wire(self.pin)
        p = self.ifpin("python3", "-c", SEND, *to, device=device)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(wire.frames("in0"), 0)
        wire.close()
        self.assertEqual(self.leaked(), 0)

    def test_vlan(self):
        """A VLAN and its parent are two devices; frames of both are on the parent's wire."""
        self.kind("vlan")
        self.ip("link add link in0 name in0.5 type vlan id 5", "link set in0.5 up",
                "addr add 10.0.5.1/24 dev in0.5")
        self.peer("link add link eth0 name e5 type vlan id 5", "link set e5 up",
                  "addr add 10.0.5.2/24 dev e5")
        self.talks("in0.5", "10.0.5.2")
        self.talks("in0", "10.0.1.2")
        self.closed("in0", "10.0.5.2")
        self.closed("in0.5", "10.0.1.2", "10.0.2.2")

    def test_vlan_without_parent(self):
        """The VLAN goes with its parent, and its network is then reached by the default route."""
        self.kind("vlan")
        self.ip("link add link in0 name in0.5 type vlan id 5", "link set in0.5 up",
                "addr add 10.0.5.1/24 dev in0.5")
        p = self.popen([IFPIN, "run", "--dns=system", "in0.5", "--", "python3", "-c", AGENT],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def do(line):
            p.stdin.write(line + "\n")
            p.stdin.flush()
            return p.stdout.readline().strip()
        do("s['u'] = socket.socket(2, 2)")
        self.assertEqual(do("send('u', '10.0.5.2')"), "17")
        self.ip("link del in0")
        must("python3", "-c", SEND, "10.0.5.2")
        self.assertGreater(self.leaked(), 0)
        do("s['n'] = socket.socket(2, 2)")
        for k in "un":
            self.assertTrue(do(f"send('{k}', '10.0.5.2')").startswith("!"))
        self.assertEqual(self.leaked(), 0)

    def test_bond(self):
        """Whichever member it is that carries; a member itself carries nothing of its own."""
        self.kind("bond")
        self.second_wire()
        self.ip("addr flush dev in0", "link add bond0 type bond mode active-backup miimon 50",
                "link set in0 down", "link set in2 down", "link set in0 master bond0",
                "link set in2 master bond0", "link set bond0 type bond active_slave in0",
                "link set bond0 up", "addr add 10.0.1.1/24 dev bond0")
        self.peer("addr flush dev eth0", "link add br0 type bridge", "link set eth0 master br0",
                  "link set eth2 master br0", "link set br0 up", "addr add 10.0.1.2/24 dev br0")
        self.stack.callback(run, "ip", "link", "del", "bond0")
        self.talks("bond0", "10.0.1.2")
        self.closed("in0", "10.0.1.2", "10.0.2.2")
        self.peer("link set eth0 down")
        self.talks("bond0", "10.0.1.2")

    def test_bridge(self):
        """The bridge decides by which port; a port itself carries nothing of the host's own."""
        self.kind("bridge")
        self.ip("addr flush dev in0", "link add br0 type bridge", "link set in0 master br0",
                "link set br0 up", "addr add 10.0.1.1/24 dev br0")
        self.stack.callback(run, "ip", "link", "del", "br0")
        self.talks("br0", "10.0.1.2")
        self.closed("in0", "10.0.1.2", "10.0.2.2")

    def test_bridge_floods(self):
        """What "only this device" does not mean: each port is sent what has no port yet."""
        self.kind("bridge")
        self.ip("addr flush dev in0", "link add br0 type bridge", "link set in0 master br0",
                "link set br0 up", "addr add 10.0.1.1/24 dev br0", "addr flush dev out0",
                "link set out0 master br0", "neigh replace 10.0.1.9 lladdr 02:00:00:00:00:99 dev br0")
        self.stack.callback(run, "ip", "link", "del", "br0")
        p = self.ifpin("python3", "-c", SEND, "10.0.1.9", device="br0")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertGreater(self.leaked(), 0)

    def test_macvlan(self):
        self.child("macvlan", "bridge")

    def test_ipvlan(self):
        self.child("ipvlan", "l2")

    def child(self, kind, mode):
        """Both are on the parent's wire, and each with its own address."""
        self.kind(kind)
        self.ip(f"link add link in0 name v0 type {kind} mode {mode}", "link set v0 up",
                "addr add 10.0.1.9/24 dev v0")
        for device, address in (("v0", "10.0.1.9"), ("in0", "10.0.1.1")):
            wire = Wire(self.pin)
            self.talks(device, "10.0.1.2")
            source = socket.inet_aton(address)
            frames = []
            wire.frames("in0", lambda data: MARKER in data and frames.append(data))
            self.assertTrue(frames)
            self.assertEqual({f[26:30] for f in frames}, {source})
            wire.close()

    def test_tun(self):
        """What is sent is the tunnel's to carry on, and no process inside has it in its hands."""
        run("modprobe", "tun")
        try:
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self.addCleanup(os.close, tun)
            fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"t0", 0x1001))  # IFF_TUN, IFF_NO_PI
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            self.skipTest("this kernel has no tun devices")
        self.ip("link set t0 up", "addr add 10.0.7.1/24 dev t0")
        p = self.ifpin("python3", "-c", SEND, "10.0.7.2", "10.0.2.2", "10.0.1.2", device="t0")
        self.assertEqual(p.returncode, 0, p.stderr)
        read = []
        while select.select([tun], [], [], 0)[0]:
            read.append(os.read(tun, 2048))
        self.assertTrue(any(MARKER in r for r in read))
        self.assertEqual(self.leaked(), 0)
        p = self.ifpin("python3", "-c", "open('/dev/net/tun')", device="t0")
        self.assertIn("PermissionError", p.stderr)

    def in_vrf(self):
        self.kind("vrf")
        self.second_wire()
        self.ip("link add red type vrf table 100", "link set red up", "link set in0 master red",
                "link set in2 master red", "addr add 10.0.8.1/24 dev in2")
        self.peer("addr add 10.0.8.2/24 dev eth2")
        self.stack.callback(run, "ip", "link", "del", "red")

    def test_device_in_a_vrf(self):
        """Routed by the VRF's table, out and in by this device of it and no other."""
        self.in_vrf()
        self.talks("in0", "10.0.1.2")
        self.closed("in0", "10.0.8.2", "10.0.2.2")
        self.talks("in2", "10.0.8.2")
        p = self.popen([IFPIN, "run", "--dns=system", "in0", "--", "python3", "-c", SERVE, "10.0.1.1"],
                       stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"ready\n")
        c = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(c.close)
        c.settimeout(30)
        c.connect(("10.0.1.1", 80))
        c.send(MARKER)
        self.assertEqual(c.recv(64), MARKER)
        self.assertEqual(self.leaked(), 0)

    def test_vrf(self):
        """Packets leave by the devices in it, so it is none to hold something to."""
        self.in_vrf()
        p = self.ifpin("true", device="red")
        self.assertEqual(p.returncode, 125)
        self.assertIn("red is a VRF", p.stderr)


class Tunnel(Real, AttachLab):
    """A program that may use the VPN only: WireGuard to a peer behind out0, the default route too."""

    def setUp(self):
        super().setUp()
        self.kind("wireguard")
        self.echo()
        # What comes out of the tunnel has not been on the wire.
        self.wire.sock.bind(("eth0", 3))
        self.key, theirs = (must("wg", "genkey").strip() for _ in range(2))
        self.public, self.private = theirs, f"{self.tempdir()}/key"
        self.peer("link add wg0 type wireguard", peer=self.pout)
        mine = must("wg", "pubkey", input=self.key).strip()
        must(*self.pout.cmd("wg", "set", "wg0", "private-key", self.file(theirs), "listen-port", 51820,
                            "peer", mine, "allowed-ips", "10.0.9.1/32"))
        self.peer("addr add 10.0.9.2/24 dev wg0", "link set wg0 up", peer=self.pout)
        self.make_wg0()

    def file(self, text):
        with open(self.private, "w") as f:
            f.write(text)
        return self.private

    def make_wg0(self):
        self.ip("link add wg0 type wireguard")
        must("wg", "set", "wg0", "private-key", self.file(self.key), "peer",
             must("wg", "pubkey", input=self.public).strip(), "allowed-ips", "10.0.9.0/24",
             "endpoint", "10.0.2.2:51820")
        self.ip("addr add 10.0.9.1/24 dev wg0", "link set wg0 up")
        self.stack.callback(run, "ip", "link", "del", "wg0")

    def talk(self, k):
        """By a socket that is there, and the peer's answer."""
        do = self.agent.do
        do(f"s['{k}'].settimeout(30)")
        self.assertEqual(do(f"send('{k}', '10.0.9.2', 7)"), "17")
        self.assertEqual(do(f"s['{k}'].recv(64)"), repr(MARKER))

    def silent(self, *keys):
        """What is sent then would take the default route, to the same peer and in the clear."""
        must("python3", "-c", SEND, "10.0.9.2")
        self.assertGreater(self.leaked(), 0)
        self.agent.do("s['new'] = socket.socket(2, 2)")
        for k in (*keys, "new"):
            self.assertTrue(self.agent.do(f"send('{k}', '10.0.9.2', 7)").startswith("!"), k)
        self.assertEqual(self.leaked(), 0)

    def test_down_deleted_and_back(self):
        self.attached(device="wg0")
        self.follow()
        do = self.agent.do
        do("s['u'] = socket.socket(2, 2)")
        do("s['v'] = socket.socket(2, 2)")
        do("s['v'].bind(('', 0))")
        self.talk("u")
        self.talk("v")
        self.ip("link set wg0 down")
        self.silent("u", "v")
        self.ip("link set wg0 up")
        self.talk("u")
        self.talk("v")
        self.ip("link del wg0")
        self.until("gone")
        self.silent("u", "v")
        self.make_wg0()
        self.until("back")
        for k in "uv":
            self.talk(k)
        do("s['n'] = socket.socket(2, 2)")
        self.talk("n")
        self.assertEqual(self.leaked(), 0)

    def test_command(self):
        """A command's tunnel may be down for a while; once deleted, it has no network any more."""
        p = self.popen([IFPIN, "run", "--dns=system", "wg0", "--", "python3", "-c", AGENT],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.agent = Command(p)
        self.agent.do("s['u'] = socket.socket(2, 2)")
        self.talk("u")
        self.ip("link set wg0 down")
        self.silent("u")
        self.ip("link set wg0 up")
        self.talk("u")
        self.ip("link del wg0")
        self.silent("u")
        self.make_wg0()
        self.agent.do("s['n'] = socket.socket(2, 2)")
        for k in "un":
            self.assertTrue(self.agent.do(f"send('{k}', '10.0.9.2', 7)").startswith("!"), k)
        self.assertEqual(self.leaked(), 0)


class Command(Agent):
    """An agent that is a command of ours already."""

    def __init__(self, process):
        self.process = process
        self.do("0")
