# SPDX-License-Identifier: MIT
"""What must keep working inside: real programs as clients and servers, the first packet included."""
import os
import pwd
import shutil
import socket
import subprocess
import textwrap
import unittest

from lab import IFPIN, MARKER, Lab, any_ip, must, run

UDP_SERVER = textwrap.dedent("""
    import socket, sys
    family, addr, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data.upper() + b" from " + peer[0].encode(), peer)
""")
UDP_CLIENT = textwrap.dedent("""
    import socket, sys
    family, addr, port, connected = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    if connected == "1":
        s.connect((addr, port))
        s.send(b"hello")
    else:
        s.sendto(b"hello", (addr, port))
    print(s.recv(100).decode())
""")


class Works(Lab):
    """The device is not the one that the host's default route leads to."""

    def setUp(self):
        super().setUp()
        self.dir = self.tempdir()

    def file(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        os.chmod(path, mode)
        return path

    def serve(self, prefix, *argv, **kw):
        """A program that writes "ready" when it is."""
        p = self.popen(list(prefix) + list(argv), stdout=subprocess.PIPE, text=True, **kw)
        self.assertEqual(p.stdout.readline(), "ready\n", argv)
        return p

    def confined(self, *argv, options=("--dns=system",), device="in0"):
        return [IFPIN, "run", *options, device, "--"] + [str(a) for a in argv]

    def web(self, prefix, directory=None, port=8080, address="::"):
        self.popen(list(prefix) + ["python3", "-m", "http.server", str(port), "--bind", address,
                                   "--directory", directory or self.dir],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_port([p for p in prefix if "ifpin" not in str(p)] if prefix and
                       prefix[0] == "nsenter" else [], port, 6 if ":" in address else 4)

    def ok(self, p, text=""):
        self.assertEqual(p.returncode, 0, p.stderr + p.stdout)
        self.assertIn(text, p.stdout)
        return p

    # -- clients ---------------------------------------------------------------------------

    def test_curl(self):
        self.file("page", "the page\n")
        self.web(self.pin.cmd())
        for url in ("http://10.0.1.2:8080/page", "http://[fd00:1::2]:8080/page"):
            self.ok(self.ifpin("curl", "-sS", "--max-time", "10", url), "the page")
            for name in ("in0", "10.0.1.1" if "[" not in url else "fd00:1::1"):
                self.ok(self.ifpin("curl", "-sS", "--max-time", "10", "--interface", name, url),
                        "the page")
        # The same request to the other side: it goes through without ifpin, and not with it.
        self.web(self.pout.cmd())
        self.ok(run("curl", "-sS", "--max-time", "10", "http://10.0.2.2:8080/page"), "the page")
        self.until_closed("10.0.2.2")
        self.assertGreater(self.leaked(any_ip), 0)
        p = self.ifpin("curl", "-sS", "--max-time", "2", "http://10.0.2.2:8080/page")
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(self.leaked(any_ip), 0)

    def test_ping(self):
        # Raw sockets are tied while another device has an IPv6 gateway, and so do not reach loopback.
        if self.default_by == "out0":
            p = self.ifpin("ping", "-n", "-c1", "-W1", "::1")
            self.assertNotEqual(p.returncode, 0, p.stdout)
            must("ip", "-6", "route", "del", "default")
        for user in ("root", "nobody"):
            for addr in ("10.0.1.2", "fd00:1::2", "10.0.1.1", "127.0.0.1", "::1"):
                with self.subTest(f"{user} {addr}"):
                    self.ok(self.ifpin("ping", "-n", "-c1", "-W5", addr,
                                       options=("--dns=system", f"--user={user}")), " 0% packet loss")
        self.assertEqual(self.leaked(any_ip), 0)

    def test_udp(self):
        for family, addr, me in ((socket.AF_INET, "10.0.1.2", "10.0.1.1"),
                                 (socket.AF_INET6, "fd00:1::2", "fd00:1::1")):
            self.serve(self.pin.cmd(), "python3", "-c", UDP_SERVER, str(int(family)), addr, "5000")
            for connected in "01":
                for user in ("root", "nobody"):
                    p = self.ifpin("python3", "-c", UDP_CLIENT, int(family), addr, 5000, connected,
                                   options=("--dns=system", f"--user={user}"))
                    self.ok(p, f"HELLO from {me}")

    def test_udp_local_first_packet(self):
        """To a service on the host, and among confined processes; by every local address."""
        for family, addrs in ((socket.AF_INET, ("127.0.0.1", "10.0.1.1", "10.0.2.1")),
                              (socket.AF_INET6, ("::1", "fd00:1::1", "fd00:2::1"))):
            for i, addr in enumerate(addrs):
                for prefix in ((), self.confined()):
                    port = 5100 + i + (10 if prefix else 0)
                    self.serve(prefix, "python3", "-c", UDP_SERVER, str(int(family)), addr,
                               str(port))
                    for connected in "01":
                        for user in ("root", "nobody"):
                            p = self.ifpin("python3", "-c", UDP_CLIENT, int(family), addr, port,
                                           connected,
                                           options=("--dns=system", f"--user={user}"))
                            with self.subTest(f"{addr} {bool(prefix)} {connected} {user}"):
                                self.ok(p, "HELLO")
        self.assertEqual(self.leaked(any_ip), 0)

    def test_iperf3(self):
        self.popen(self.pin.cmd("iperf3", "-s"), stdout=subprocess.DEVNULL)
        self.wait_port(self.pin.cmd(), 5201, 6)
        for extra in ([], ["-u"], ["-R"], ["-6"]):
            addr = "fd00:1::2" if "-6" in extra else "10.0.1.2"
            self.ok(self.ifpin("iperf3", "-c", addr, "-n", "100K", *extra), "receiver")

    def test_socat(self):
        self.popen(self.pin.cmd("socat", "TCP6-LISTEN:7000,fork,reuseaddr", "EXEC:tr a-z A-Z"))
        self.wait_port(self.pin.cmd(), 7000, 6)
        p = self.ifpin("socat", "-t5", "-", "TCP:10.0.1.2:7000", input="some words")
        self.ok(p, "SOME WORDS")

    def test_static_program(self):
        p = self.ifpin(os.environ["LEAKER"], self.out_index(), 3)
        self.ok(p)
        self.assertEqual(p.stdout, "0\n")
        self.assertEqual(self.leaked(), 0)
        self.assertEqual(run(os.environ["LEAKER"], self.out_index(), 3).stdout, "6\n")
        self.assertEqual(self.leaked(), 6)

    def test_node(self):
        self.file("page", "the page\n")
        self.web(self.pin.cmd())
        script = ("require('http').get('http://10.0.1.2:8080/page',r=>r.pipe(process.stdout))"
                  ".on('error',e=>{console.error(e);process.exit(1)})")
        self.ok(self.ifpin("node", "-e", script), "the page")

    def test_tcp_to_the_host(self):
        """A service of the host, on every address that the host has."""
        self.file("page", "the page\n")
        self.web([])
        for addr in ("127.0.0.1", "[::1]", "10.0.1.1", "10.0.2.1", "[fd00:2::1]"):
            self.ok(self.ifpin("curl", "-sS", "--max-time", "5", f"http://{addr}:8080/page"),
                    "the page")
        self.assertEqual(self.leaked(any_ip), 0)

    # -- servers ---------------------------------------------------------------------------

    def reachable(self, prefix, url):
        return run(*prefix, "curl", "-sS", "--max-time", "2", url).stdout

    def listener_cases(self, port, text):
        # The last one is in0's link-local address, made from its MAC.
        for addr in ("10.0.1.1", "[fd00:1::1]", "[fe80::ff:fe00:101%25eth0]"):
            self.assertIn(text, self.reachable(self.pin.cmd(), f"http://{addr}:{port}/page"))
        for addr in ("127.0.0.1", "[::1]"):
            self.assertIn(text, self.reachable([], f"http://{addr}:{port}/page"))
            self.assertIn(text, self.reachable(self.confined(), f"http://{addr}:{port}/page"))
        for addr in ("10.0.2.1", "[fd00:2::1]", "10.0.1.1"):
            self.assertEqual("", self.reachable(self.pout.cmd(), f"http://{addr}:{port}/page"))

    def test_wildcard_listener(self):
        self.file("page", "the page\n")
        self.web(self.confined(), port=8081)
        self.listener_cases(8081, "the page")
        self.assertEqual(self.leaked(any_ip), 0)

    def test_nginx(self):
        self.file("page", "the page\n")
        conf = self.file("nginx.conf", f"""
            user nobody nogroup; worker_processes 2; daemon off; pid {self.dir}/pid;
            error_log {self.dir}/error.log;
            events {{ }}
            http {{
              access_log off; client_body_temp_path {self.dir}/t; proxy_temp_path {self.dir}/t;
              fastcgi_temp_path {self.dir}/t; uwsgi_temp_path {self.dir}/t;
              scgi_temp_path {self.dir}/t;
              server {{ listen 8082; listen [::]:8082; root {self.dir}; }}
            }}""")
        p = self.popen(self.confined("nginx", "-c", conf, "-e", f"{self.dir}/error.log"))
        self.wait_port([], 8082)
        self.listener_cases(8082, "the page")
        self.assertEqual(self.leaked(any_ip), 0)
        p.terminate()
        self.assertEqual(p.wait(10), 0)

    def test_redis(self):
        self.popen(self.confined("redis-server", "--port", "6390", "--bind", "0.0.0.0",
                                 "--protected-mode", "no", "--save", "", "--dir", self.dir),
                   stdout=subprocess.DEVNULL)
        self.wait_port([], 6390)
        for prefix, host in ((self.pin.cmd(), "10.0.1.1"), ([], "127.0.0.1"),
                             (self.confined(), "127.0.0.1")):
            self.ok(run(*prefix, "redis-cli", "-h", host, "-p", "6390", "incr", "n"))

    def test_udp_server(self):
        for family, addr, host in ((socket.AF_INET, "0.0.0.0", "10.0.1.1"),
                                   (socket.AF_INET6, "::", "fd00:1::1")):
            self.serve(self.confined(), "python3", "-c", UDP_SERVER, str(int(family)), addr, "5300")
            p = self.pin.run("python3", "-c", UDP_CLIENT, int(family), host, 5300, 0)
            self.ok(p, "HELLO")
            p = self.pout.run("python3", "-c", UDP_CLIENT, int(family),
                              "10.0.2.1" if "." in host else "fd00:2::1", 5300, 0)
            self.assertIn("timed out", p.stderr)

    def test_ssh_both_ways(self):
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/host")
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/user")
        shutil.copy(f"{self.dir}/user.pub", f"{self.dir}/authorized")
        self.plain_root()
        server = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", f"{self.dir}/host",
                  "-o", "StrictModes=no", "-o", f"AuthorizedKeysFile={self.dir}/authorized",
                  "-o", "PermitRootLogin=yes", "-o", "UsePAM=no", "-o", f"PidFile={self.dir}/p"]
        client = ["ssh", "-F", "/dev/null", "-i", f"{self.dir}/user", "-o", "BatchMode=yes",
                  "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                  "-o", "ConnectTimeout=10"]
        with open(f"{self.dir}/sshd.log", "w") as log:
            self.popen(self.pin.cmd(*server, "-p", "2201"), stderr=log)
            self.wait_port(self.pin.cmd(), 2201)
            self.popen(self.confined(*server, "-p", "2202"), stderr=log)
            self.wait_port([], 2202)
        self.ok(self.ifpin(*client, "-p", "2201", "root@10.0.1.2", "echo", "out"), "out")
        self.ok(self.pin.run(*client, "-p", "2202", "root@10.0.1.1", "echo", "in"), "in")
        # What sshd starts is confined as well.
        p = self.pin.run(*client, "-p", "2202", "root@10.0.1.1", os.environ["LEAKER"],
                         self.out_index(), 1)
        self.assertEqual(p.stdout, "0\n", p.stderr)
        self.assertEqual(self.leaked(), 0)

    # -- multicast -------------------------------------------------------------------------

    def test_multicast(self):
        """A join that names no interface goes to the device, and so does what is sent."""
        script = textwrap.dedent("""
            import socket, struct, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("", 5400))
            s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.2.3") + bytes(4))
            s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s6.bind(("::", 5401))
            s6.setsockopt(41, socket.IPV6_JOIN_GROUP,
                          socket.inet_pton(socket.AF_INET6, "ff15::99") + struct.pack("i", 0))
            print("ready", flush=True)
            for sock in (s, s6):
                sock.settimeout(10)
                data, peer = sock.recvfrom(100)
                print(data.decode(), flush=True)
            t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            t.sendto(b"ifpin-test-marker", ("239.1.2.4", 5402))
        """)
        wire = self.pin.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.addCleanup(wire.close)
        wire.settimeout(10)
        p = self.serve(self.confined(), "python3", "-c", script)
        groups = must("ip", "maddr", "show", "dev", "in0")
        self.assertIn("239.1.2.3", groups)
        self.assertIn("ff15::99", groups)
        for family, addr, port in ((socket.AF_INET, "239.1.2.3", 5400),
                                   (socket.AF_INET6, "ff15::99", 5401)):
            with self.pin.socket(family, socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
                s.sendto(b"to the group", (addr, port))
            self.assertEqual(p.stdout.readline(), "to the group\n")
        self.assertEqual(p.wait(10), 0)
        while MARKER not in wire.recv(65536):
            pass
        self.assertEqual(self.leaked(lambda f: f[14:15] == b"\x46" or MARKER in f), 0)

    # -- names -----------------------------------------------------------------------------

    def resolv_conf(self, text):
        must("mount", "--bind", self.file("resolv.conf", text), os.path.realpath("/etc/resolv.conf"))
        self.stack.callback(must, "umount", os.path.realpath("/etc/resolv.conf"))

    def name_server(self, peer, address, answer):
        self.popen(peer.cmd("dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts",
                            "--bind-interfaces", f"--listen-address={address}", "-u", "root",
                            f"--address=/name.test/{answer}", "--pid-file=", "--log-facility=-"),
                   stderr=subprocess.DEVNULL)
        self.wait_port(peer.cmd(), 53)

    def test_names(self):
        self.name_server(self.pin, "10.0.1.2", "192.0.2.1")
        self.name_server(self.pout, "10.0.2.2", "192.0.2.2")
        query = ("dig", "+short", "+time=2", "+tries=1", "name.test")
        self.resolv_conf("nameserver 127.0.0.53\nnameserver 10.0.1.2\n")
        p = self.ifpin(*query, options=())
        self.ok(p, "192.0.2.1")
        p = self.ifpin("getent", "ahostsv4", "name.test", options=())
        self.ok(p, "192.0.2.1")
        p = self.ifpin("cat", "/etc/resolv.conf", options=())
        self.assertEqual(p.stdout, "nameserver 10.0.1.2\n")
        for user in ("root", "nobody"):
            self.ok(self.ifpin(*query, options=("--dns=10.0.1.2", f"--user={user}")), "192.0.2.1")
        self.assertEqual(self.leaked(any_ip), 0)
        # Only a resolver on the host, which would ask through out0: nothing runs.
        self.resolv_conf("nameserver 127.0.0.53\nnameserver ::1\n")
        p = self.ifpin("touch", f"{self.dir}/ran", options=())
        self.assertEqual(p.returncode, 125)
        self.assertIn("--dns=ADDR", p.stderr)
        self.assertFalse(os.path.exists(f"{self.dir}/ran"))
        # Servers for which another interface is used: no answer, and nothing on the wire.
        p = self.ifpin(*query, options=("--dns=10.0.2.2",))
        self.assertNotIn("192.0.2", p.stdout)
        self.assertEqual(self.leaked(any_ip), 0)
        self.assertIn("192.0.2.2", run(*query[:-1], "@10.0.2.2", "name.test").stdout)

    def test_names_after_a_change_on_the_host(self):
        """The host renames a new file over resolv.conf, as all programs that write it do."""
        self.name_server(self.pout, "10.0.2.2", "192.0.2.2")
        self.popen(["dnsmasq", "-k", "-C", "/dev/null", "--no-hosts", "--bind-interfaces",
                    "--listen-address=127.0.0.1", "-u", "root", "--server=10.0.2.2",
                    "--no-resolv", "--cache-size=0", "--pid-file="], stderr=subprocess.DEVNULL)
        self.wait_port([], 53)
        must("mount", "-t", "tmpfs", "tmpfs", "/mnt")
        self.stack.callback(must, "umount", "/mnt")
        must("cp", "-a", "/etc", "/mnt/")
        must("mount", "--bind", "/mnt/etc", "/etc")
        self.stack.callback(must, "umount", "/etc")
        self.replace_resolv_conf("nameserver 10.0.1.2\n")
        self.assertIn("192.0.2.2", run("dig", "+short", "@127.0.0.1", "name.test").stdout)
        self.assertGreater(self.leaked(any_ip), 0)
        p = self.popen([IFPIN, "run", "in0", "--", "sh", "-c",
                        "while read line; do cat /etc/resolv.conf; getent ahostsv4 name.test; "
                        "dig +short +time=1 +tries=1 @127.0.0.1 name.test; echo done; done"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask():
            p.stdin.write("\n")
            p.stdin.flush()
            answer = []
            while "done\n" not in answer:
                answer.append(p.stdout.readline())
            return "".join(answer)
        self.assertIn("nameserver 10.0.1.2", ask())
        self.replace_resolv_conf("nameserver 127.0.0.1\n")
        self.assertNotIn("192.0.2.2", ask())
        self.assertEqual(self.leaked(any_ip), 0)

    def replace_resolv_conf(self, text):
        with open("/etc/resolv.conf.new", "w") as f:
            f.write(text)
        os.rename("/etc/resolv.conf.new", "/etc/resolv.conf")

    def test_names_of_resolved(self):
        index = socket.if_nametoindex("in0")
        state = "/run/systemd/resolve/netif"
        must("mount", "-t", "tmpfs", "tmpfs", "/run")
        self.stack.callback(must, "umount", "/run")
        os.makedirs(state)
        with open(f"{state}/{index}", "w") as f:
            f.write("# private data\nLLMNR=no\nSERVERS=10.0.1.2 127.0.0.54 10.0.2.1 fe80::9%out0 "
                    "fd00:1::2%in0#dns.test\n")
        p = self.ifpin("sh", "-c", "grep nameserver /etc/resolv.conf; ls -A /run/systemd/resolve",
                       options=())
        self.assertEqual(p.stdout, "nameserver 10.0.1.2\nnameserver fd00:1::2\n", p.stderr)

    # -- users, options --------------------------------------------------------------------

    def test_user(self):
        user = pwd.getpwnam("nobody")
        p = self.ifpin("sh", "-c", "id -u; id -g; id -Gn; echo $HOME $USER; pwd",
                       options=("--dns=system", "--user=nobody:daemon"), cwd="/")
        self.assertEqual(p.stdout.splitlines()[0], str(user.pw_uid))
        self.assertEqual(p.stdout.splitlines()[1], "1")
        self.assertIn("daemon", p.stdout.splitlines()[2])
        self.assertEqual(p.stdout.splitlines()[3], f"{user.pw_dir} nobody")
        must("groupadd", "-f", "-P", self.passwd_root(), "extra")
        p = self.ifpin("grep", "^Cap", "/proc/self/status",
                       options=("--dns=system", "--user=nobody"))
        for line in p.stdout.splitlines():
            if not line.startswith("CapBnd"):
                self.assertEqual(line.split()[1], "0" * 16, line)

    def passwd_root(self):
        os.makedirs(f"{self.dir}/root/etc", exist_ok=True)
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", f"{self.dir}/root/etc")
        return f"{self.dir}/root"

    def test_loopback_denied(self):
        self.file("page", "the page\n")
        self.web([])
        self.web(self.pin.cmd())
        options = ("--dns=system", "--loopback=deny")
        self.ok(self.ifpin("curl", "-sS", "--max-time", "5", "http://10.0.1.2:8080/page",
                           options=options), "the page")
        for addr in ("127.0.0.1", "[::1]", "10.0.1.1", "10.0.2.1"):
            p = self.ifpin("curl", "-sS", "--max-time", "2", f"http://{addr}:8080/page",
                           options=options)
            self.assertNotEqual(p.returncode, 0)

    def test_tools_for_developers(self):
        """gdb, strace and sudo keep working inside."""
        self.ok(self.ifpin("strace", "-f", "-e", "trace=none", "sh", "-c", "echo traced"), "traced")
        p = self.ifpin("gdb", "-q", "-batch", "-ex", "run", "-ex", "info registers rip",
                       "--args", "sh", "-c", "kill -ABRT $$")
        self.assertIn("SIGABRT", p.stdout, p.stderr)
        p = self.ifpin("sudo", "-n", "-u", "nobody", "id", "-un")
        self.ok(p, "nobody")

    def test_isolate(self):
        p = self.ifpin("sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'; ls -A /run; "
                       "echo ${SSH_AUTH_SOCK-none}; touch /etc/x 2>&1",
                       options=("--dns=10.0.1.2", "--isolate"),
                       env=dict(os.environ, SSH_AUTH_SOCK="/run/agent"))
        lines = p.stdout.splitlines()
        self.assertLess(int(lines[0]), 5, p)
        self.assertLess(int(lines[1]), 8)
        self.assertIn("none", lines)
        self.assertIn("Read-only file system", p.stdout)
        self.file("page", "the page\n")
        self.web(self.pin.cmd())
        self.ok(self.ifpin("curl", "-sS", "http://10.0.1.2:8080/page",
                           options=("--dns=10.0.1.2", "--isolate")), "the page")

    def test_keep_cap(self):
        p = self.ifpin("grep", "CapBnd", "/proc/self/status",
                       options=("--dns=system", "--keep-cap=sys_ptrace"))
        self.ok(p)
        self.assertTrue(int(p.stdout.split()[1], 16) & 1 << 19)
        self.assertEqual(p.stderr, "ifpin: --keep-cap=cap_sys_ptrace: a hostile command could act "
                                   "through any process of the host\n")

    def test_allow_family(self):
        script = "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"
        p = self.ifpin("python3", "-c", script)
        self.assertIn("Address family not supported", p.stderr)
        p = self.ifpin("python3", "-c", script, options=("--dns=system", "--allow-family=vsock"))
        # The family may be missing here; then the kernel says so itself (and not seccomp).
        before = run("python3", "-c", script)
        self.assertEqual(p.returncode, before.returncode, p.stderr)


class WorksByDefaultRoute(Works):
    """The same where the host's routes lead to the device: a laptop, a VPN."""
    default_by = "in0"


del Lab  # not a test by itself

if __name__ == "__main__":
    unittest.main()
