# SPDX-License-Identifier: MIT
"""How each thing that `ifpin audit` looks for is made, and how its leak is shown.

A row: the check, the lines that make it (of ip, tc, nft, sysctl, iptables, or a function of the
lab), and a function that counts the frames of the leak. Frames are counted where they must not be.
"""
import dataclasses
import os
import socket
import struct
import typing

from audit_programs import ECHO, GONE, LISTEN, MULTICAST4, MULTICAST6, PACKET, RAW, TALK
from frames import (HOST_IN, HOST_OUT, MAC, SCHED_CLS, SK_LOOKUP, SOCK_ADDR, XDP, advertisement, arp,
                    checksum,
                    connect_to, EXIT, ether, icmp6, ip4, ip6, ipv4, ipv6, load, mov, link, pin, ping,
                    prefix_option, redirect_to, route_option, send_frame, udp)
from lab import MARKER, must

IN, OUT = "in", "out"


@dataclasses.dataclass
class Row:
    check: str
    make: typing.Any = ""          # lines, or a function of the lab
    leak: typing.Any = None        # a function of the lab that counts
    before: str = ""               # what has to be so, and is not the finding
    device: str = "in0"            # that is judged
    default: bool = False          # found on a host as it is
    name: str = ""                 # where a check has several rows
    contains: typing.Any = ""      # of the evidence, where the machine may have others


# ---- senders ----

def datagram(lab, dst, src=None, family=socket.AF_INET, sock=None):
    """MARKER from a socket of the host, or of a peer; refused is fine."""
    with sock or socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            if src:
                s.bind((src, 0))
            s.sendto(MARKER, (dst, 9))
        except OSError:
            pass


def sends(dst, src=None, match=MARKER, wire=OUT):
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET

    def leak(lab):
        datagram(lab, dst, src, family)
        return lab.count(wire, match)
    return leak


def crosses(dst, peer=IN, wire=OUT, options=()):
    """From one peer to the other one."""
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET

    def leak(lab):
        s = lab.peer(peer).socket(family, socket.SOCK_DGRAM)
        for option in options:
            s.setsockopt(*option)
        datagram(lab, dst, sock=s)
        return lab.count(wire)
    return leak


def frame(build, peer=OUT, wire=OUT, match=MARKER):
    """A frame made by hand, sent by a peer."""
    def leak(lab):
        send_frame(lab.peer(peer).socket, "eth0", build(lab) if callable(build) else build)
        return lab.count(wire, match)
    return leak


def on_device(device, wire):
    """What anything sends on a device of the host."""
    def leak(lab):
        try:
            send_frame(socket.socket, device, ether(b"\xff" * 6, 0x88b6, MARKER))
        except OSError:
            pass
        return lab.count(wire)
    return leak


def answers_arp(target, sender="10.0.2.2", dst=b"\xff" * 6):
    """Replies that say that the host has an address."""
    def is_reply(data):
        return data[12:14] == b"\x08\x06" and data[21] == 2 and data[28:32] == ip4(target)
    return frame(arp(1, sender, target, dst), match=is_reply)


def with_source(address):
    raw = ip4(address) if "." in address else ip6(address)
    return lambda data: MARKER in data and raw in data


def delivered(listen, build):
    """Datagrams of the other side that a socket of the host gets; the last one is the host's own."""
    def leak(lab):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((listen, 7000))
            s.settimeout(10)
            send_frame(lab.pout.socket, "eth0", build)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.sendto(b"last", (listen, 7000))
            n = 0
            while s.recv(100) != b"last":
                n += 1
            return n
    return leak


def advertised(dst, build, undo):
    """A router advertisement, and then a datagram of the host."""
    def leak(lab):
        send_frame(lab.pout.socket, "eth0", ether(bytes.fromhex("333300000001"), 0x86dd, build))
        datagram(lab, dst, family=socket.AF_INET6)
        n = lab.count(OUT)
        lab.lines(undo, check=False)
        return n
    return leak


def down(dst, restore=""):
    def leak(lab):
        lab.lines("ip link set in0 down")
        datagram(lab, dst, family=socket.AF_INET6 if ":" in dst else socket.AF_INET)
        n = lab.count(OUT)
        lab.lines("ip link set in0 up;" + restore)
        return n
    return leak


# ---- forward ----


FORWARD4, FORWARD6 = "sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv6.conf.all.forwarding=1"
PIN6 = "pin ip -6 route add default via fd00:1::1"

FORWARD = [
    Row("forward4", FORWARD4, crosses("10.0.2.2")),
    Row("forward4", "sysctl -qw net.ipv4.conf.out0.forwarding=1", crosses("10.0.1.2", OUT, IN),
        name="forward4-into"),
    Row("forward6", FORWARD6, crosses("fd00:2::2"), PIN6),
    Row("force-forward6", "sysctl -qw net.ipv6.conf.in0.force_forwarding=1", crosses("fd00:2::2"), PIN6),
    Row("multicast4", lambda lab: lab.child(MULTICAST4),
        crosses("239.1.2.3", options=[(0, socket.IP_MULTICAST_TTL, 5)])),
    Row("multicast6", lambda lab: lab.child(MULTICAST6),
        frame(lambda lab: ether(bytes.fromhex("333300000123"), 0x86dd,
                                ipv6("fd00:1::2", "ff0e::123", 17, udp(9, 9), 5)), IN)),
    Row("broadcasts", "sysctl -qw net.ipv4.conf.all.bc_forwarding=1 net.ipv4.conf.in0.bc_forwarding=1",
        crosses("10.0.2.255", options=[(1, socket.SO_BROADCAST, 1)]), FORWARD4),
]

# ---- relation ----

BRIDGE = "ip link add br0 type bridge; ip link set br0 up; ip link set out0 master br0"
RELATION = [
    Row("bridge-port", BRIDGE + "; ip link set in0 master br0",
        frame(ether(b"\xff" * 6, 0x88b6, MARKER), IN)),
    Row("macvlan-on", "ip link add mv0 link in0 type macvlan mode bridge; ip link set mv0 up",
        on_device("mv0", IN)),
    Row("tunnel-on", "ip link add vx0 type vxlan id 7 dev in0 remote 10.0.1.2 dstport 4789;"
        "ip link set vx0 up", on_device("vx0", IN)),
    Row("tunnel", "ip link set vx0 up", on_device("vx0", OUT),
        "ip link add vx0 type vxlan id 7 remote 10.0.2.2 dstport 4789", "vx0"),
    Row("tunnel", "ip link set tap0 up", None, "ip tuntap add tap0 mode tap", "tap0", name="tunnel-tap"),
    Row("veth-here", "ip link add va type veth peer name vb; ip link set va up; ip link set vb up;"
        + BRIDGE + "; ip link set vb master br0", on_device("va", OUT), device="va"),
    Row("lower-elsewhere", "pin ip link add mv1 link eth0 netns HOST type macvlan; ip link set mv1 up",
        lambda lab: lab.heard_on("in0", lambda: on_device("mv1", OUT)(lab)), device="mv1"),
    Row("promiscuous", "ip link set in0 promisc on"),
    Row("allmulticast", "ip link set in0 allmulticast on"),
]

# ---- conf ----

ROUTER = "fe80::22"
POUT6 = f"pout ip addr add {ROUTER}/64 dev eth0 nodad; pout ip addr add fd00:1::77/128 dev eth0 nodad;" \
    f"pout ip link set eth0 address {MAC.hex(':')}"


def learns(lab):
    """A neighbour announces an address that is not its own, and gets what is sent to it."""
    lab.serial += 1
    address = f"10.0.1.{100 + lab.serial}"
    send_frame(lab.pin.socket, "eth0", arp(2, address, address, target_mac=MAC))
    datagram(lab, address)
    return lab.count(IN)


def learns6(lab):
    lab.serial += 1
    address = f"fd00:1::{100 + lab.serial}"
    send_frame(lab.pin.socket, "eth0", ether(HOST_IN, 0x86dd, icmp6(
        address, "ff02::1", 136, b"\x20\0\0\0" + ip6(address) + b"\2\1" + MAC)))
    datagram(lab, address, family=socket.AF_INET6)
    return lab.count(IN)


def redirected4(lab):
    """The gateway names another one, and the host looks for that."""
    lab.serial += 1
    dst, gateway = f"198.51.100.{lab.serial}", f"10.0.1.{200 + lab.serial}"
    # It is believed only if it quotes a packet of a socket that is there.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((dst, 9))
        s.send(MARKER)
        body = ip4(gateway) + ipv4("10.0.1.1", dst, 17, udp(s.getsockname()[1], 9))
        message = struct.pack("!BBH", 5, 1, 0) + body
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        send_frame(lab.pin.socket, "eth0", ether(HOST_IN, 0x800, ipv4("10.0.1.2", "10.0.1.1", 1, message)))
        s.send(MARKER)
    return lab.count(IN, lambda d: d[12:14] == b"\x08\x06" and d[38:42] == ip4(gateway))


def redirected6(lab):
    lab.serial += 1
    dst, gateway = f"2001:db8:5::{lab.serial}", f"fe80::{900 + lab.serial}"
    datagram(lab, dst, family=socket.AF_INET6)
    body = b"\0" * 4 + ip6(gateway) + ip6(dst)
    send_frame(lab.pin.socket, "eth0", ether(HOST_IN, 0x86dd, icmp6(ROUTER, "fd00:1::1", 137, body)))
    datagram(lab, dst, family=socket.AF_INET6)
    return lab.count(IN, lambda d: d[12:14] == b"\x86\xdd" and d[54] == 135 and d[62:78] == ip6(gateway))


def asks(lab):
    lab.serial += 1
    datagram(lab, f"10.0.2.{100 + lab.serial}", "10.0.1.1")
    return lab.count(OUT, lambda d: d[12:14] == b"\x08\x06" and d[21] == 1 and d[28:32] == ip4("10.0.1.1"))


def segments(lab):
    header = struct.pack("!BBBBBBH", 17, 4, 4, 1, 1, 0, 0) + ip6("fd00:1::2") + ip6("fd00:2::1")
    return ether(HOST_OUT, 0x86dd, ipv6("fd00:2::2", "fd00:2::1", 43, header + udp(9, 9), 64))


def source_routed(lab):
    with lab.pout.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(0, socket.IP_OPTIONS, b"\x83\x07\x04" + ip4("10.0.2.1") + b"\0")
        datagram(lab, "10.0.1.2", sock=s)
    return lab.count(IN, lambda d: MARKER in d and d[14] == 0x47)


def solicited(lab):
    body = b"\0" * 4 + ip6("fd00:1::2") + b"\1\1" + MAC
    send_frame(lab.pout.socket, "eth0", ether(HOST_OUT, 0x86dd, icmp6(
        "fd00:2::2", "ff02::1:ff00:2", 135, body)))
    return lab.count(OUT, lambda d: d[12:14] == b"\x86\xdd" and d[20] == 58 and d[54] == 136 and
                     d[62:78] == ip6("fd00:1::2"))


SPOOFED = ether(HOST_OUT, 0x800, ipv4("10.0.1.2", "10.0.1.1", 1, ping()))
CONF = [
    Row("rp-filter", leak=frame(SPOOFED, OUT, IN), default=True),
    Row("arp-ignore", leak=answers_arp("10.0.1.1"), default=True),
    Row("arp-announce", leak=asks, default=True),
    Row("arp-filter", leak=answers_arp("10.0.2.1", "10.0.1.50"), default=True),
    Row("arp-accept", "sysctl -qw net.ipv4.conf.in0.arp_accept=1", learns),
    Row("proxy-arp", "sysctl -qw net.ipv4.conf.out0.proxy_arp=1", answers_arp("10.0.1.2", dst=HOST_OUT),
        FORWARD4),
    Row("proxy-arp", "sysctl -qw net.ipv4.conf.all.proxy_arp=1", answers_arp("10.0.1.2", dst=HOST_OUT),
        FORWARD4, name="proxy-arp-all"),
    Row("proxy-arp-pvlan", "sysctl -qw net.ipv4.conf.out0.proxy_arp_pvlan=1",
        answers_arp("10.0.2.99", dst=HOST_OUT), FORWARD4),
    Row("accept-local", "sysctl -qw net.ipv4.conf.out0.accept_local=1",
        delivered("10.0.1.1", ether(HOST_OUT, 0x800, ipv4("10.0.1.1", "10.0.1.1", 17, udp(9, 7000))))),
    Row("route-localnet", "sysctl -qw net.ipv4.conf.out0.route_localnet=1",
        delivered("127.0.0.1", ether(HOST_OUT, 0x800, ipv4("10.0.2.2", "127.0.0.1", 17, udp(9, 7000))))),
    Row("accept-redirects4", leak=redirected4, default=True,
        before="ip route add 198.51.100.0/24 via 10.0.1.2"),
    Row("accept-redirects6", leak=redirected6, default=True,
        before=f"pin ip addr add {ROUTER}/64 dev eth0 nodad;"
        f"ip -6 route add 2001:db8:5::/48 via {ROUTER} dev in0"),
    Row("source-route", "sysctl -qw net.ipv4.conf.all.accept_source_route=1", source_routed, FORWARD4),
    Row("seg6", "sysctl -qw net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.out0.seg6_enabled=1",
        frame(segments, OUT, IN), FORWARD6),
    Row("accept-ra", leak=advertised("2001:db8::9", advertisement(ROUTER, 1800),
                                     "ip -6 route del default"), default=True,
        before=POUT6 + "; ip -6 route del default"),
    Row("ra-routes", "sysctl -qw net.ipv6.conf.out0.accept_ra_rt_info_max_plen=128",
        advertised("fd00:1::55", advertisement(ROUTER, 0, route_option("fd00:1::", 112)),
                   "ip -6 route del fd00:1::/112"), POUT6),
    Row("ra-prefixes", leak=advertised("fd00:1::77", advertisement(ROUTER, 0, prefix_option("fd00:1::", 80)),
                                       "ip -6 route del fd00:1::/80 dev out0"), default=True, before=POUT6),
    Row("proxy-ndp", "sysctl -qw net.ipv6.conf.out0.proxy_ndp=1", solicited,
        FORWARD6 + "; ip -6 neigh add proxy fd00:1::2 dev out0"),
    Row("untracked-na", "sysctl -qw net.ipv6.conf.in0.accept_untracked_na=1", learns6, FORWARD6),
    Row("nonlocal-bind4", "sysctl -qw net.ipv4.ip_nonlocal_bind=1"),
    Row("nonlocal-bind6", "sysctl -qw net.ipv6.ip_nonlocal_bind=1", sends("fd00:2::2", "fd00:9::9")),
]

# ---- address and route ----

ADDRESS = [
    Row("overlap", "ip addr add 10.0.1.129/25 dev out0; pout ip addr add 10.0.1.200/25 dev eth0",
        sends("10.0.1.200")),
    Row("address-twice", "ip addr add 10.0.1.1/32 dev out0", answers_arp("10.0.1.1"),
        "sysctl -qw net.ipv4.conf.all.arp_ignore=1"),
    Row("mac-twice", f"ip link set out0 address {HOST_IN.hex(':')}"),
]


def by_several(lab):
    for i in range(64):
        datagram(lab, f"198.51.100.{i + 1}")
    return lab.count(OUT)


TABLE = "ip route add default via 10.0.2.2 table 100"
ROUTE = [
    Row("default-route4", leak=sends("192.0.2.1", "10.0.1.1"), default=True),
    Row("default-route6", leak=sends("2001:db8::9", "fd00:1::1"), default=True),
    Row("route-inside", "ip route add 10.0.1.200/32 via 10.0.2.2", sends("10.0.1.200")),
    Row("route-source", "ip route add 198.51.100.0/24 via 10.0.2.2 src 10.0.1.1",
        sends("198.51.100.9", match=with_source("10.0.1.1"))),
    Row("multipath", "ip route add 198.51.100.0/24 nexthop via 10.0.1.2 nexthop via 10.0.2.2",
        by_several, "ip route del default"),
    Row("encapsulation", "ip -6 route add 2001:db8:7::/48 encap seg6 mode inline segs fd00:2::2 dev out0",
        sends("2001:db8:7::9", match=lambda d: MARKER in d and d[20] == 43)),
    Row("local-prefix", "ip route add local 198.51.100.0/24 dev lo",
        frame(lambda lab: ether(HOST_OUT, 0x800, ipv4("10.0.2.2", "198.51.100.5", 1, ping())),
              match=with_source("198.51.100.5"))),
    Row("backstop4", leak=down("10.0.1.2"), default=True),
    Row("backstop6", leak=down("fd00:1::2", "ip addr add fd00:1::1/64 dev in0 nodad"), default=True),
    Row("rule4", f"ip rule add from 10.0.1.1 lookup 100; {TABLE}", sends("10.0.1.2", "10.0.1.1")),
    Row("rule6", "ip -6 rule add from fd00:1::1 lookup 100;"
        "ip -6 route add default via fd00:2::2 table 100", sends("fd00:1::2", "fd00:1::1")),
    Row("local-rule", f"ip rule add pref 100 lookup local; ip rule del pref 0; {TABLE};"
        "ip rule add pref 10 lookup 100", sends("10.0.1.1")),
    Row("neighbour-proxy", "ip neigh add proxy 10.0.1.2 dev out0", answers_arp("10.0.1.2", dst=HOST_OUT),
        FORWARD4),
]

# ---- netfilter ----


def chain(family, hook, kind="filter", priority=0, device=""):
    where = f"device {device}" if device else ""
    return f"nft add table {family} t; nft 'add chain {family} t c " \
        f"{{ type {kind} hook {hook} {where} priority {priority}; }}'"


def rule(family, text):
    return f"; nft add rule {family} t c {text}"


def proxied(lab):
    """What is for a host behind the other device, and is delivered here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(0, 19, 1)  # IP_TRANSPARENT
        s.bind(("127.0.0.1", 6000))
        s.settimeout(10)
        datagram(lab, "10.0.1.2", sock=lab.pout.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"last", ("127.0.0.1", 6000))
        n = 0
        while s.recv(100) != b"last":
            n += 1
        return n


MARKED = f"{TABLE}; ip rule add fwmark 7 lookup 100"
NFT = [
    Row("dnat", chain("ip", "output", "nat", -100) + rule("ip", "ip daddr 10.0.1.2 dnat to 10.0.2.2"),
        sends("10.0.1.2")),
    Row("dnat", "iptables -t nat -A OUTPUT -d 10.0.1.2 -j DNAT --to-destination 10.0.2.2",
        sends("10.0.1.2"), name="dnat-iptables"),
    Row("snat", chain("ip", "postrouting", "nat", 100) + rule("ip", "oifname out0 snat to 10.0.1.1"),
        sends("10.0.2.2", match=with_source("10.0.1.1"))),
    Row("dup", chain("ip", "output") + rule("ip", "ip daddr 10.0.1.2 dup to 10.0.2.2 device out0"),
        sends("10.0.1.2")),
    Row("dup", "iptables -t mangle -A OUTPUT -d 10.0.1.2 -j TEE --gateway 10.0.2.2", sends("10.0.1.2"),
        name="dup-tee"),
    Row("fwd", chain("netdev", "ingress", device="in0") + rule("netdev", "fwd to out0"),
        frame(ether(b"\xff" * 6, 0x88b6, MARKER), IN)),
    Row("tproxy", chain("ip", "prerouting", priority=-150) +
        rule("ip", "udp dport 9 meta mark set 7 tproxy to 127.0.0.1:6000"), proxied,
        "ip rule add fwmark 7 lookup 100; ip route add local default dev lo table 100"),
    Row("tproxy", "iptables -t mangle -A PREROUTING -p udp --dport 7000 -j TPROXY --on-port 6000",
        name="tproxy-iptables"),
    Row("mark", chain("ip", "output", "route", -150) + rule("ip", "ip daddr 10.0.1.2 meta mark set 7"),
        sends("10.0.1.2"), MARKED),
    Row("queue", "iptables -A OUTPUT -d 10.0.1.2 -j NFQUEUE"),
]

# ---- steer ----


def pinned(kind, code):
    """A function that loads a program and hands its path to lines."""
    def make(line):
        def run(lab):
            path = lab.bpffs() + "/program"
            fd = load(kind, code(lab))
            pin(fd, path)
            os.close(fd)
            lab.lines(line.replace("PATH", path))
        return run
    return make


def to_out(lab):
    return redirect_to(lab.out_index())


def tcx(lab):
    fd = load(SCHED_CLS, to_out(lab))
    lab.hold(fd, link(fd, socket.if_nametoindex("in0"), 47))


def xdp_link(lab):
    fd = load(XDP, to_out(lab))
    lab.hold(fd, link(fd, socket.if_nametoindex("in0"), 37, 2))  # XDP_FLAGS_SKB_MODE


def looks_up(lab):
    fd, ns = load(SK_LOOKUP, mov(0, 1) + EXIT, 36), os.open("/proc/self/ns/net", os.O_RDONLY)
    lab.hold(fd, ns, link(fd, ns, 36))


def of_cgroup(lab):
    path = lab.cgroup()
    fd, cgroup = load(SOCK_ADDR, connect_to("10.0.2.2"), 10), os.open(path, os.O_RDONLY)
    lab.hold(fd, cgroup, link(fd, cgroup, 10))


def from_cgroup(lab):
    script = f"echo $$ >{lab.cgroup()}/cgroup.procs; exec 3>/dev/udp/10.0.1.2/9;" \
        f"echo -n {MARKER.decode()} >&3"
    lab.lines(["bash", "-c", script])
    return lab.count(OUT)


def is_join(data):
    return data[12:14] == b"\x08\x00" and data[30:34] == ip4("10.0.1.2") and data[23] == 6


def joins(lab):
    """An MPTCP connection from a socket that is tied to in0; its second path is a SYN to the peer."""
    lab.serial += 1
    port = 7000 + lab.serial
    with lab.pin.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as server, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        server.bind(("10.0.1.2", port))
        server.listen()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"in0\0")
        s.settimeout(10)
        server.settimeout(10)
        s.connect(("10.0.1.2", port))
        with server.accept()[0] as c:
            # Data both ways: the connection is fully established then, and paths are opened.
            for a, b in ((s, c), (c, s), (s, c)):
                a.send(b"x")
                b.recv(1)
            # A worker of the kernel sends it; with an endpoint it has to come.
            while must("ip", "mptcp", "endpoint", "show").strip():
                if is_join(lab.wires[OUT].sock.recv(2000)):
                    return 1
            s.shutdown(socket.SHUT_WR)
            c.recv(1)
            return lab.count(OUT, is_join)


# Else the look-up of the neighbour would be led away, and nothing be sent.
KNOWN = "ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:99 dev in0"
STEER = [
    Row("mirred", "tc qdisc add dev in0 clsact; tc filter add dev in0 egress protocol all u32 "
        "match u32 0 0 action mirred egress mirror dev out0", sends("10.0.1.2")),
    Row("tc-bpf", pinned(SCHED_CLS, to_out)(
        "tc qdisc add dev in0 clsact; tc filter add dev in0 egress bpf da object-pinned PATH"),
        sends("10.0.1.2"), KNOWN),
    Row("xdp", pinned(XDP, to_out)("ip link set dev in0 xdpgeneric pinned PATH"),
        frame(ether(b"\xff" * 6, 0x88b6, MARKER), IN)),
    Row("xdp", xdp_link, frame(ether(b"\xff" * 6, 0x88b6, MARKER), IN), name="xdp-link"),
    Row("tcx", tcx, sends("10.0.1.2"), KNOWN),
    Row("cgroup-bpf", of_cgroup, from_cgroup, contains=lambda lab: str(os.stat(lab.cgroup()).st_ino)),
    Row("sk-lookup", looks_up),
    Row("mptcp-endpoint", "ip mptcp endpoint add 10.0.2.1 dev out0 subflow", joins,
        "ip mptcp limits set subflow 2"),
    Row("ipsec-policy", "ip xfrm policy add src 10.0.1.1/32 dst 10.0.1.2/32 dir out "
        "tmpl src 10.0.2.1 dst 10.0.2.2 proto esp mode tunnel"),
]

# ---- socket ----


def connects(lab, address="10.0.1.1"):
    """Answers of the listener that say that a connection is open."""
    with lab.pout.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(10)
        s.connect_ex((address, 7777))
    return lab.count(OUT, lambda d: d[12:14] == b"\x08\x00" and d[23] == 6 and
                     d[34:36] == struct.pack("!H", 7777) and d[47] & 0x3f == 0x12)


def queries(lab):
    with lab.pout.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(("10.0.2.1", 5353))
        s.send(MARKER)
        try:
            s.recv(100)
        except ConnectionRefusedError:
            pass
    # An error of the kernel carries what was sent, too.
    return lab.count(OUT, lambda d: MARKER in d and d[23] == 17)


def told(wire, first="", then=""):
    def leak(lab):
        lab.lines(first)
        lab.tell()
        n = lab.count(wire)
        lab.lines(then)
        return n
    return leak


def reborn(lab):
    """Another device gets the number, and what the socket sends."""
    lab.lines(f"ip link add new0 index 777 type veth peer name new1 netns /proc/{lab.pout.pid}/ns/net;"
              "ip link set new0 up; pout ip link set new1 up; ip addr add 10.9.0.1/24 dev new0")
    lab.tell()
    n = lab.count(OUT)
    lab.lines("ip link del new0")
    return n


def child(script):
    return lambda lab: lab.child(script)


SOCKET = [
    Row("wildcard", child(LISTEN), connects, contains="7777"),
    Row("talker", child(TALK), told(OUT, "ip link set in0 down", "ip link set in0 up")),
    Row("discovery", child(ECHO), queries),
    Row("pinned-gone", child(GONE), reborn),
    Row("packet-socket", child(PACKET), told(IN), contains="in0"),
    Row("raw-socket", child(RAW), told(OUT), contains="protocol 99"),
]

# ---- what the kernel of the machine may not have; judged by hand-made messages everywhere ----


def translated(lab):
    datagram(lab, "10.0.1.2")
    return lab.count(IN, with_source("10.9.9.9"))


def bonded(lab):
    lab.lines("ip link set in0 up")  # who leaves a bond is down
    return on_device("bond0", IN)(lab)


def serves_vrf(lab):
    child(LISTEN)(lab)
    lab.lines("sysctl -qw net.ipv4.tcp_l3mdev_accept=1")


ESP = "ip xfrm state add src 10.0.2.1 dst 10.0.2.2 proto esp spi 7 mode tunnel enc 'ecb(cipher_null)' '' " \
    "auth 'hmac(sha1)' 0x0102030405060708090a0b0c0d0e0f1011121314"

# By the line that tells whether the kernel has it.
ELSEWHERE = [
    ("ip link add probe0 link probe type vlan id 7", Row(
        "vlan-on", "ip link add in0.7 link in0 type vlan id 7; ip link set in0.7 up",
        on_device("in0.7", IN))),
    ("ip link add probe0 type bond", Row(
        "bond-port", "ip link add bond0 type bond mode active-backup; ip link set in0 down;"
        "ip link set in0 master bond0; ip link set bond0 up", bonded)),
    ("ip link add probe0 type team", Row(
        "team-port", "ip link add team0 type team; ip link set in0 down; ip link set in0 master team0")),
    ("ip link add probe0 type vrf table 9", Row(
        "vrf-port", "ip link add vrf0 type vrf table 9; ip link set vrf0 up; ip link set in0 master vrf0",
        sends("10.0.1.2"))),
    ("ip link add probe0 type vrf table 9", Row(
        "l3mdev-accept", serves_vrf, lambda lab: connects(lab, "10.0.2.1"),
        "ip link add vrf0 type vrf table 9; ip link set vrf0 up; ip link set out0 master vrf0")),
    ("tc filter add dev probe egress protocol ip matchall action nat egress 10.0.0.1/32 10.0.0.2", Row(
        "tc-rewrite", "tc qdisc add dev in0 clsact; tc filter add dev in0 egress protocol ip matchall "
        "action nat egress 10.0.1.1/32 10.9.9.9", translated)),
    ("nft 'add flowtable inet probe f { hook ingress priority 0; devices = { probe }; }'", Row(
        "offload", "nft add table inet t; nft 'add flowtable inet t f { hook ingress priority 0; "
        "devices = { in0, out0 }; }'; nft 'add chain inet t c { type filter hook forward priority 0; }';"
        "nft add rule inet t c flow add @f")),
    ("ip xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 7 mode tunnel enc 'ecb(cipher_null)' '' "
     "auth 'hmac(sha1)' 0x0102030405060708090a0b0c0d0e0f1011121314", Row(
         "ipsec-policy", "ip xfrm policy add src 10.0.1.1/32 dst 10.0.1.2/32 dir out "
         "tmpl src 10.0.2.1 dst 10.0.2.2 proto esp mode tunnel",
         sends("10.0.1.2", match=lambda d: d[12:14] == b"\x08\x00" and d[23] == 50), ESP,
         name="ipsec-esp")),
]

ROWS = FORWARD + RELATION + CONF + ADDRESS + ROUTE + NFT + STEER + SOCKET
