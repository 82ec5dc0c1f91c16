# SPDX-License-Identifier: MIT
"""Ways out that somebody has found, each with what closes it, or what says that it is open."""
import os
import shutil
import socket
import subprocess

import daemon
import test_attach
from daemon import GID, NOBODY, PYTHON, become, has_ended
from lab import HAS_LSM, libc, must, run

PIDFD_OPEN = 434

# A thread holds a socket that the first thread, which ends, left to it.
ORPHANED = """
import ctypes, os, socket, sys, threading
s = socket.socket(fileno=int(sys.argv[1]))
def hold():
    with open("/proc/self/stat") as f:
        while f.read().rpartition(")")[2].split()[0] != "Z":
            f.seek(0)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print(s.sendto(b"ifpin-test-marker", ("10.0.2.2", 9)), flush=True)
    except OSError as e:
        print(e.errno, flush=True)
    os._exit(0)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall(60, 0)  # exit(2), of this thread only
"""


def report(data):
    """IGMP, or MLD (hop-by-hop options come first)."""
    return (data[12:14] == b"\x08\x00" and data[23] == 2) or \
        (data[12:14] == b"\x86\xdd" and data[20] == 0)


class Attack(test_attach.AttachLab):
    def foreign(self, s):
        """A service that was given a socket, as by socket activation; ours is closed."""
        path = self.cgroup("ifpin-attack")
        agent = test_attach.Agent(self, path, pass_fds=[s.fileno()])
        agent.do(f"s[0] = socket.socket(fileno={s.fileno()})")
        s.close()
        return path, agent

    def join(self, agent, key, group):
        """MCAST_JOIN_GROUP on out0."""
        return agent.do(f"s[{key!r}].setsockopt(0, 42, struct.pack('i4xHH', {self.out_index()}, 2, 0)"
                        f" + socket.inet_aton({group!r}) + bytes(120))")

    def groups(self):
        return run("ip", "maddr", "show", "dev", "out0").stdout

    def test_first_thread_has_ended(self):
        """A socket of a process whose first thread is a zombie is looked at as any other."""
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        path = self.cgroup("ifpin-attack")
        p = self.service(path, [PYTHON, "-c", ORPHANED, str(u.fileno())], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, pass_fds=[u.fileno()])
        u.close()
        self.assertEqual(p.stdout.readline(), "ready\n")
        q = self.attach(cgroup=path)
        self.assertEqual(q.returncode, 125)
        if libc.syscall(PIDFD_OPEN, os.getpid(), os.O_EXCL) < 0:
            self.assertIn("cannot look at a socket of process", q.stderr)
            self.skipTest("this kernel has no descriptors of threads")  # PIDFD_THREAD, 6.9
        self.assertIn("was made outside of the cgroup", q.stderr)
        self.attached("--existing=kill", cgroup=path)
        p.stdin.write("\n")
        p.stdin.flush()
        p.stdout.readline()
        self.assertEqual(self.leaked(), 0)

    def test_half_open_connection(self):
        """Begun before its foreign listener was tied, it would be accepted without a device."""
        listener = socket.create_server(("0.0.0.0", 80))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
        path, agent = self.foreign(listener)
        agent.do("s[0].settimeout(1)")
        c = self.pout.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(c.close)
        c.settimeout(10)
        c.connect(("10.0.2.1", 80))
        self.attached("--existing=pin", cgroup=path)
        self.leaked()
        c.send(b"x")
        agent.do("s.update(a=s[0].accept()[0])")
        agent.do("s['a'].send(b'ifpin-test-marker') if 'a' in s else None")
        self.assertEqual(self.leaked(), 0)
        # From the device all is well.
        c = self.pin.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(c.close)
        c.settimeout(10)
        c.connect(("10.0.1.1", 80))
        c.send(b"x")
        agent.do("s['b'], _ = s[0].accept()")
        self.assertEqual(agent.do("s['b'].recv(1)"), "b'x'")

    def test_tcp_joins(self):
        """The calls of RFC 3678 let TCP sockets join; what leaves with the socket is a report."""
        for k, make in (("t", "2, 1"), ("t6", "10, 1")):
            self.agent.do(f"s[{k!r}] = socket.socket({make})")
        self.assertEqual(self.join(self.agent, "t", "224.9.9.8"), "None")
        self.assertEqual(self.join(self.agent, "t6", "224.9.9.7"), "None")
        self.refused(saying=("has joined a group on another device",))
        self.attached("--existing=pin")
        self.assertNotIn("224.9.9.", self.groups())

    def test_corked_data_of_a_killed_socket(self):
        for family, to in ((socket.AF_INET, "10.0.2.2"), (socket.AF_INET6, "fd00:2::2")):
            for shut in (False, True):
                with self.subTest(to=to, shut=shut):
                    path, agent = self.foreign(socket.socket(family, socket.SOCK_DGRAM))
                    agent.do(f"s[0].connect(({to!r}, 9))")
                    self.assertEqual(agent.do("s[0].send(b'ifpin-test-marker', 0x8000)"), "17")
                    if shut:  # by itself, so that it seems to be over
                        agent.do("s[0].shutdown(2)")
                    self.leaked()
                    self.attached("--existing=kill", cgroup=path)
                    agent.do("s[0].setsockopt(17, 1, 0)")  # UDP_CORK
                    agent.do("s[0].send(b'ifpin-test-marker')")
                    agent.do("s[0].close()")
                    self.assertEqual(self.leaked(), 0)

    def test_killed_socket_receives_nothing(self):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("", 99))
        path, agent = self.foreign(u)
        c = self.pout.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(c.close)
        c.sendto(b"before", ("10.0.2.1", 99))
        self.assertEqual(agent.do("s[0].recv(10)"), "b'before'")
        self.attached("--existing=kill", cgroup=path)
        agent.do("s[0].setsockopt(1, 27, 0)")  # SO_DETACH_FILTER
        c.sendto(b"after", ("10.0.2.1", 99))
        self.leaked()  # what was sent before this has arrived
        self.assertIn(agent.do("s[0].recv(10, 0x40)"), ("!EAGAIN", "b''"))

    def test_joins_of_foreign_sockets_are_said(self):
        """No program judges their options: they can join, and so it has to be said."""
        for mode, make in (("pin", lambda: socket.create_server(("0.0.0.0", 80))),
                           ("kill", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))):
            path, agent = self.foreign(make())
            p = self.attached(f"--existing={mode}", cgroup=path)
            self.assertEqual(self.join(agent, 0, "224.9.9.6"), "None")
            self.assertRegex(p.stderr, "not held: 1 sockets made outside .*multicast groups")
        self.assertNotIn("multicast groups on other devices, and", self.attached().stderr)

    def test_index_of_the_device_is_reused_is_said(self):
        """A foreign listener is tied to a number, whosever that is by now."""
        path, agent = self.foreign(socket.create_server(("0.0.0.0", 80)))
        agent.do("s[0].settimeout(5)")
        p = self.attached("--existing=pin", cgroup=path)
        old = socket.if_nametoindex("in0")
        must("ip", "link", "del", "in0")
        for line in (f"link add evil index {old} type veth peer name eth1 "
                     f"netns /proc/{self.pout.pid}/ns/net", "link set evil up",
                     "addr add 10.0.7.1/24 dev evil"):
            must("ip", *line.split())
        self.stack.callback(run, "ip", "link", "del", "evil")
        for line in ("link set eth1 up", "addr add 10.0.7.2/24 dev eth1"):
            must(*self.pout.cmd("ip", *line.split()))
        c = self.pout.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(c.close)
        c.settimeout(10)
        c.connect(("10.0.7.1", 80))
        self.assertIn("another device that gets its index", p.stderr)

    def test_what_system_calls_get_past_is_said(self):
        """As nobody: a socket of a process outside, and a join by a 32-bit call."""
        self.agent.process.stdin.close()
        self.agent.process.wait()
        self.until_empty(self.path)
        nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs", PYTHON, "-c"]
        p = self.service(self.path, [*nobody, test_attach.AGENT], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
        outside = self.popen([*nobody, "import socket, sys; s = socket.socket(2, 2); "
                              "print(s.fileno(), flush=True); sys.stdin.read()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        fd = int(outside.stdout.readline())

        def do(line):
            p.stdin.write(line + "\n")
            p.stdin.flush()
            return p.stdout.readline().strip()
        do("0")
        said = self.attached().stderr
        do("libc = ctypes.CDLL(None, use_errno=True)")
        do(f"s['p'] = os.pidfd_open({outside.pid})")
        if HAS_LSM:
            self.assertEqual(do(f"libc.syscall(438, s['p'], {fd}, 0)"), "-1")
        else:
            do(f"s['u'] = socket.socket(fileno=libc.syscall(438, s['p'], {fd}, 0))")
            self.assertEqual((do("send('u', '10.0.2.2')"), self.leaked()), ("17", 1))
        for word in ("pidfd_getfd", "32-bit calls"):
            self.assertIn(word, said)
        self.assertEqual("io_uring" in said, not HAS_LSM)


# Enters a pin by hand, and starts a set-user-ID program there.
BY_HAND = """
import os, socket, struct, sys
q = lambda step: struct.pack('<IIII64s', 0x6e706669, 1, step, 0, b'vpn')
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
for step in (1, 2):
    s.send(q(step))
    r = s.recv(4096)
    if struct.unpack_from('<i', r, 8)[0]:
        print('refused', r[32:].rstrip(bytes(1)).decode(), flush=True)
        sys.exit()
pid = os.fork()
if not pid:
    os.execv(sys.argv[2], [sys.argv[2], '1000'])
print('child', pid, flush=True)
sys.stdin.readline()
"""


class AttackDaemon(daemon.DaemonLab):
    def test_killing_a_set_user_id_program(self):
        """Root must not confine and kill for a user what is not that user's."""
        self.write("vpn", f"[Pin]\nDevice=in0\nDns=system\n[Run]\nAllowGroup={GID}\n")
        self.start()
        program = f"{self.dir}/sleep"
        shutil.copy("/bin/sleep", program)
        os.chmod(program, 0o4755)
        p = self.popen_raw([PYTHON, "-c", BY_HAND, self.control, program],
                           preexec_fn=become((GID,)), stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
        word, rest = p.stdout.readline().split(" ", 1)
        if word == "child":
            child = int(rest)

            def of_root():
                with open(f"/proc/{child}/status") as f:
                    return f"Uid:\t{NOBODY}\t0\t0\t0\n" in f.read()
            self.until(of_root)
            p.stdin.close()
            p.wait()
            self.until(lambda: has_ended(child))
            self.fail("a process of root was killed for user nobody")
        self.assertIn("new privileges", rest)
        self.assertEqual(self.user_run("vpn", "echo", "in").stdout, "in\n")

    def test_asking_for_a_second_pin_widens_nothing(self):
        """It is refused, and what narrows the first one stays."""
        self.write("vpn", f"[Pin]\nDevice=in0\nDns=system\n[Run]\nAllowGroup={GID}\nLoopback=deny\n")
        self.write("other", f"[Pin]\nDevice=in0\nDns=system\n[Run]\nAllowGroup={GID}\n")
        self.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.stack.callback(listener.close)
        code = ("import os, socket, struct, sys\n"
                "def connect():\n"
                "    try:\n"
                f"        socket.create_connection({listener.getsockname()!r}, 5).close()\n"
                "        print('connected')\n"
                "    except OSError as e:\n"
                "        print(e.strerror)\n"
                "connect()\n"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                "s.connect(sys.argv[1])\n"
                "for step in (1, 2):\n"
                "    s.send(struct.pack('<IIII64s', 0x6e706669, 1, step, 1, b'other'))\n"
                "    r = s.recv(4096)\n"
                "print(struct.unpack_from('<i', r, 8)[0] < 0)\n"
                "connect()\n")
        p = self.user_run("vpn", PYTHON, "-c", code, self.control)
        self.assertEqual(p.stdout.split("\n")[:3],
                         ["Operation not permitted", "True", "Operation not permitted"], p.stderr)
