# SPDX-License-Identifier: MIT
"""Frames made by hand, and BPF programs of a few instructions, for tests that need a neighbour who
sends what no socket would."""
import ctypes
import os
import platform
import socket
import struct

from lab import MARKER, libc

HOST_OUT, HOST_IN = bytes.fromhex("020000000201"), bytes.fromhex("020000000101")
BROADCAST = b"\xff" * 6
MAC = b"\x02\xaa\0\0\0\1"  # of the neighbour


def ip4(text):
    return socket.inet_pton(socket.AF_INET, text)


def ip6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ether(dst, kind, payload, src=MAC):
    return dst + src + struct.pack("!H", kind) + payload


def arp(op, sender, target, dst=BROADCAST, src=MAC, target_mac=b"\0" * 6):
    return ether(dst, 0x806, struct.pack("!HHBBH", 1, 0x800, 6, 4, op) + src + ip4(sender) + target_mac +
                 ip4(target), src)


def ipv4(src, dst, protocol, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, ip4(src),
                       ip4(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(sport, dport, payload=MARKER):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def ping(payload=MARKER):
    body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + payload
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def ipv6(src, dst, header, payload, hops=255):
    return struct.pack("!IHBB", 6 << 28, len(payload), header, hops) + ip6(src) + ip6(dst) + payload


def icmp6(src, dst, kind, body):
    pseudo = ip6(src) + ip6(dst) + struct.pack("!II", 4 + len(body), 58)
    total = checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)
    return ipv6(src, dst, 58, struct.pack("!BBH", kind, 0, total) + body)


def advertisement(source, lifetime=0, options=b""):
    return icmp6(source, "ff02::1", 134, struct.pack("!BBHII", 64, 0, lifetime, 0, 0) + options)


def prefix_option(prefix, length):
    return struct.pack("!BBBBIII16s", 3, 4, length, 0x80, 1800, 1800, 0, ip6(prefix))


def route_option(prefix, length):
    return struct.pack("!BBBBI16s", 24, 3, length, 0, 1800, ip6(prefix))


def send_frame(sock_maker, device, frame):
    """By a packet socket; sock_maker is Peer.socket or socket.socket."""
    with sock_maker(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((device, 0))
        s.send(frame)


# ---- BPF ----

SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
PROG_LOAD, OBJ_PIN, LINK_CREATE = 5, 6, 28
SCHED_CLS, XDP, SOCK_ADDR, SK_LOOKUP = 3, 6, 18, 30


def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr, max(len(attr), 128))
    r = libc.syscall(SYS_BPF, cmd, buf, len(buf))
    if r < 0:
        raise OSError(ctypes.get_errno(), f"bpf({cmd})")
    return r


def insn(code, dst=0, src=0, off=0, imm=0):
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


EXIT = insn(0x95)


def mov(reg, imm):
    return insn(0xb7, reg, imm=imm)


def redirect_to(ifindex):
    """return bpf_redirect(ifindex, 0)"""
    return mov(1, ifindex) + mov(2, 0) + insn(0x85, imm=23) + EXIT


def connect_to(address):
    """ctx->user_ip4 = address; return 1"""
    value = struct.unpack("<i", ip4(address))[0]
    return insn(0xb4, 2, imm=value) + insn(0x63, 1, 2, 4) + mov(0, 1) + EXIT


def load(kind, code, attach_type=0, name=b"test"):
    program, license_ = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    attr = struct.pack("<IIQQIIQII", kind, len(code) // 8, ctypes.addressof(program),
                       ctypes.addressof(license_), 0, 0, 0, 0, 0) + name.ljust(16, b"\0") + \
        struct.pack("<II", 0, attach_type)
    return bpf(PROG_LOAD, attr)


def pin(fd, path):
    name = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("<QII", ctypes.addressof(name), fd, 0))


def link(prog, target, attach_type, flags=0):
    """The link's descriptor; it holds as long as that is open."""
    return bpf(LINK_CREATE, struct.pack("<IIII", prog, target, attach_type, flags))


def close(*fds):
    for fd in fds:
        os.close(fd)
