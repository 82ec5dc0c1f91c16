# SPDX-License-Identifier: MIT
"""docs/kernel-facts.md, measured again: what ifpin is built upon has to be so on this kernel."""
import errno
import os
import re
import socket
import struct

from lab import IFPIN, MARKER, Lab, Wire, must, run

SO_BINDTOIFINDEX, IPV6_MULTICAST_IF, IPV6_PKTINFO, IPV6_UNICAST_IF = 62, 17, 50, 76
IP_UNICAST_IF, IP_PKTINFO = 50, 8


class Facts(Lab):
    def bound(self, family=socket.AF_INET, device=b"in0\0"):
        s = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        return s

    def refused(self, code, fn, *args):
        with self.assertRaises(OSError) as e:
            fn(*args)
        self.assertEqual(errno.errorcode[e.exception.errno], code)

    def test_bind_routes_nothing(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.bind(("10.0.1.1", 0))
        s.sendto(MARKER, ("192.0.2.1", 9))
        self.assertEqual(self.leaked(), 1)

    def test_packet_info_beats_the_binding(self):
        s = self.bound()
        s.sendmsg([MARKER], [(socket.IPPROTO_IP, IP_PKTINFO,
                              struct.pack("I4s4s", self.out_index(), b"", b""))], 0,
                  ("10.0.2.2", 9))
        self.assertEqual(self.leaked(), 1)

    def test_disconnecting_forgets_the_binding(self):
        s = self.bound()
        s.connect(("10.0.1.2", 9))
        libc_connect_unspec(s)
        self.assertEqual(s.getsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX), 0)

    def test_an_aborted_datagram_socket_is_untied(self):
        for family, address in ((socket.AF_INET, "10.0.1.1"), (socket.AF_INET6, "fd00:1::1")):
            s = self.bound(family)
            s.bind((address, 4000))
            must("ss", "-K", "-uan", "sport = :4000")
            self.refused("ECONNABORTED", s.recv, 1, socket.MSG_DONTWAIT)
            self.assertEqual(s.getsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX), 0)
            s.sendto(MARKER, ("10.0.2.2" if family == socket.AF_INET else "fd00:2::2", 9))
        self.assertEqual(self.leaked(), 2)

    def test_a_list_that_is_not_there(self):
        """Of the protocol 254: a dump without entries, and an error at its end."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as s:
            s.send(struct.pack("=IHHIIBBBBI48x", 72, 20, 0x301, 1, 0, socket.AF_INET, 254, 0, 0,
                               0xffffffff))
            kind, code = struct.unpack_from("=4xH10xi", s.recv(8192))
        self.assertEqual((kind, -code), (3, errno.ENOENT))  # NLMSG_DONE

    def test_options_refused_once_bound(self):
        out = self.out_index()
        s4, s6 = self.bound(), self.bound(socket.AF_INET6)
        mreqn = struct.pack("4s4si", b"", b"", out)
        self.refused("EINVAL", s4.setsockopt, 0, IP_UNICAST_IF, struct.pack("!i", out))
        self.refused("EINVAL", s4.setsockopt, 0, socket.IP_MULTICAST_IF, mreqn)
        self.refused("EINVAL", s6.setsockopt, 41, IPV6_UNICAST_IF, struct.pack("!i", out))
        self.refused("EINVAL", s6.setsockopt, 41, IPV6_MULTICAST_IF, out)
        self.refused("EINVAL", s6.setsockopt, 41, IPV6_PKTINFO, struct.pack("16si", b"", out))

    def test_unicast_if_after_the_binding_is_forgotten(self):
        """It holds, but for IPv6 with a bound source address: then it is a hint."""
        for family, near, far, source, leaks in (
                (socket.AF_INET, "10.0.1.2", "10.0.2.2", None, 0),
                (socket.AF_INET, "10.0.1.2", "10.0.2.2", "10.0.1.1", 0),
                (socket.AF_INET6, "fd00:1::2", "fd00:2::2", None, 0),
                (socket.AF_INET6, "fd00:1::2", "fd00:2::2", "fd00:1::1", 1)):
            level, option = (0, IP_UNICAST_IF) if family == socket.AF_INET else (41, IPV6_UNICAST_IF)
            s = socket.socket(family, socket.SOCK_DGRAM)
            self.addCleanup(s.close)
            s.setsockopt(level, option, struct.pack("!i", socket.if_nametoindex("in0")))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"in0\0")
            if source:
                s.bind((source, 0))
            s.connect((near, 9))
            libc_connect_unspec(s)
            try:
                s.sendto(MARKER, (far, 9))
            except OSError:
                pass
            self.assertEqual(self.leaked(), leaks, (near, source))

    def test_unicast_if_comes_before_the_binding(self):
        """Once bound, it is refused even where it names the same device."""
        index = struct.pack("!i", socket.if_nametoindex("in0"))
        self.refused("EINVAL", self.bound().setsockopt, 0, IP_UNICAST_IF, index)
        self.refused("EINVAL", self.bound(socket.AF_INET6).setsockopt, 41, IPV6_UNICAST_IF, index)

    def test_a_binding_asks_for_no_device(self):
        """SO_BINDTOIFINDEX takes any number; SO_BINDTODEVICE reads back whether it is there."""
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 99999)
        self.refused("ENODEV", s.getsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)

    def test_minimal_hops_are_for_tcp(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.bind(("10.0.1.1", 7000))
        s.setsockopt(socket.IPPROTO_IP, 21, 255)  # IP_MINTTL
        s.settimeout(5)
        with self.pin.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(MARKER, ("10.0.1.1", 7000))
        self.assertEqual(s.recv(100), MARKER)

    def test_reset_of_a_closed_attempt(self):
        """Behind a gateway of the device, with routes that lead elsewhere."""
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"in0\0")
        s.bind(("10.0.1.1", 7777))
        must("ip", "route", "add", "198.51.100.0/24", "via", "10.0.1.2", "dev", "in0", "metric", "9")
        s.connect_ex(("198.51.100.9", 7000))
        s.close()
        must(*self.pin.cmd("ip", "addr", "add", "198.51.100.9/32", "dev", "lo"))
        must("ip", "route", "add", "198.51.100.9/32", "via", "10.0.2.2")
        self.leaked()
        with self.pin.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
            raw.bind(("198.51.100.9", 0))
            header = struct.pack("!HHIIBBHHH", 7000, 7777, 1, 1, 0x50, 0x12, 1000, 0, 0)
            pseudo = socket.inet_aton("198.51.100.9") + socket.inet_aton("10.0.1.1") + \
                struct.pack("!BBH", 0, 6, 20)
            total = sum(struct.unpack("!16H", pseudo + header))
            total = (total & 0xffff) + (total >> 16)
            total = ~((total & 0xffff) + (total >> 16)) & 0xffff
            raw.sendto(header[:16] + struct.pack("!H", total) + header[18:], ("10.0.1.1", 0))
        reset = struct.pack("!HH", 7777, 7000)
        self.assertEqual(self.leaked(reset), 1)

    def test_ipv6_knows_no_dontroute(self):
        must("ip", "-6", "route", "add", "2001:db8:5::/48", "via", "fd00:1::2", "dev", "in0")
        s = self.bound(socket.AF_INET6)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        wire = Wire(self.pin)
        self.addCleanup(wire.close)
        s.sendto(MARKER, ("2001:db8:5::9", 9))
        self.assertEqual(wire.frames("in0"), 1)

    def test_unprivileged_bind_once(self):
        script = ("import socket;s=socket.socket(2,2);"
                  "s.setsockopt(1,25,b'in0\\0');print('bound');s.setsockopt(1,25,b'')")
        p = run("setpriv", "--reuid=65534", "--clear-groups", "--regid=65534",
                "--bounding-set=-all", "--inh-caps=-all", "python3", "-c", script)
        self.assertIn("bound", p.stdout)
        self.assertIn("PermissionError", p.stderr)

    def test_a_binding_is_an_index(self):
        s = self.bound()
        for line in ("link set in0 down", "link set in0 name renamed", "link set renamed up"):
            must("ip", *line.split())
        self.assertEqual(s.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16),
                         b"renamed\0")
        must("ip", "link", "del", "renamed")
        must("ip", *f"link add in0 type veth peer name eth1 netns /proc/{self.pin.pid}/ns/net"
             .split())
        must("ip", "link", "set", "in0", "up")
        must("ip", "addr", "add", "10.0.1.1/24", "dev", "in0")
        self.refused("ENODEV", s.sendto, b"x", ("10.0.1.2", 9))

    def test_local_talk_of_a_bound_socket_is_sent_out(self):
        """ARPed for on in0, and never delivered."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(("10.0.2.1", 5000))
        server.settimeout(0.3)
        s = self.bound()
        wire = self.pin.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806))
        self.addCleanup(wire.close)
        wire.settimeout(10)
        s.sendto(MARKER, ("10.0.2.1", 5000))
        self.refused_timeout(server)
        while wire.recv(100)[38:42] != socket.inet_aton("10.0.2.1"):
            pass

    def refused_timeout(self, s):
        with self.assertRaises(TimeoutError):
            s.recv(100)

    def test_route_to_any_leads_to_the_source(self):
        """How a datagram of a bound socket is delivered to a local address all the same."""
        s = self.bound()
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(("10.0.2.1", 5000))
        server.settimeout(10)
        s.sendmsg([b"here"], [(socket.IPPROTO_IP, IP_PKTINFO,
                               struct.pack("I4s4s", 0, socket.inet_aton("10.0.2.1"), b""))], 0,
                  ("0.0.0.0", 5000))
        self.assertEqual(server.recv(100), b"here")

    def need_confinement(self):
        """Only a kernel that ifpin itself calls too old is passed over."""
        if "ifpin needs Linux" in run(IFPIN, "run", "--dns=system", "lo", "--", "true").stderr:
            self.skipTest("this kernel has not what ifpin run needs")

    def test_programs_live_as_long_as_the_cgroup(self):
        self.need_confinement()
        p = self.living("facts")
        path = must("find", "/sys/fs/cgroup", "-name", "ifpin.facts").strip()
        before = must("bpftool", "cgroup", "show", path)
        self.assertGreaterEqual(before.count("multi"), 12)
        p.kill()
        p.wait()
        self.assertEqual(must("bpftool", "cgroup", "show", path), before)
        p.stdin.close()
        self.until_empty(path)
        must(IFPIN, "gc")

    def test_compat_calls_run_no_setsockopt_program(self):
        """So the filter refuses them; without it this would be a way out."""
        self.need_confinement()
        source = """
            #include <stdio.h>
            int main(void)
            {
                int mreqn[3] = {}, fd, r;
                /* by the i386 table: socket(), then setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP) */
                __asm__ volatile("int $0x80" : "=a"(fd) : "a"(359), "b"(2), "c"(2), "d"(0));
                __asm__ volatile("int $0x80" : "=a"(r) : "a"(366), "b"(fd), "c"(0), "d"(35),
                                 "S"(mreqn), "D"(12) : "memory");
                printf("%d %d\\n", fd, r);
                return 0;
            }"""
        binary = f"/tmp/ifpin-compat-{os.getpid()}"
        p = run("gcc", "-static", "-no-pie", "-x", "c", "-o", binary, "-", input=source)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.addCleanup(os.unlink, binary)
        out = run(binary)
        if not re.match(r"\d+ ", out.stdout):
            self.skipTest("this kernel has no 32-bit calls")  # CONFIG_IA32_EMULATION
        p = self.ifpin(binary)
        self.assertEqual(p.stdout.split()[-1], str(-errno.EPERM), p.stdout)


def libc_connect_unspec(s):
    """connect() with AF_UNSPEC, which Python's own connect() cannot say."""
    from lab import libc
    addr = bytes(16)
    if libc.connect(s.fileno(), addr, len(addr)):
        raise OSError("connect")


del Lab
