# SPDX-License-Identifier: MIT
"""Real services, attached while requests come in without a pause."""
import os
import signal
import subprocess
import sys
import textwrap

from lab import IFPIN, Lab, any_ip, enter, must, run

LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Load:
    """Requests from a peer, of which none may be lost."""

    def __init__(self, lab, prefix, *args):
        self.lab = lab
        self.p = lab.popen([*prefix, sys.executable, LOAD, *args], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           start_new_session=True)
        if self.p.stdout.readline() != "going\n":
            raise RuntimeError(f"{args}: {self.end()}")

    def more(self, n):
        """Waits for n more answers. Requests answered, not answered."""
        self.p.stdin.write(f"more {n}\n")
        self.p.stdin.flush()
        return [int(v) for v in self.p.stdout.readline().split()]

    def end(self):
        """What it had to say of requests that were not answered."""
        os.killpg(self.p.pid, signal.SIGKILL)
        return self.p.communicate()[1]


class Services(Lab):
    """The device is not the one that the host's default route leads to."""
    answers = 200

    def setUp(self):
        super().setUp()
        self.bpffs()
        self.dir = self.tempdir()
        self.group = self.cgroup("ifpin-test-service")

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        return path

    def folder(self, name):
        """That nobody may write to."""
        path = os.path.join(self.dir, name)
        os.mkdir(path)
        os.chown(path, 65534, 65534)
        return path

    def start(self, *argv):
        with open(os.path.join(self.dir, "log"), "a") as log:
            return self.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              preexec_fn=enter(self.group))

    def answered(self, prefix, *args):
        """Until the service has come up, or not at all."""
        return run(*prefix, sys.executable, LOAD, "--once", *args).returncode == 0

    def until_up(self, *args):
        for _ in range(200):
            if self.answered(self.pin.cmd(), *args):
                return
        with open(os.path.join(self.dir, "log")) as f:
            self.fail(f"{args}: it does not come up: {f.read()}")

    def none_lost(self, loads, said):
        for load in loads:
            failed = load.more(self.answers)[1]
            if failed:
                self.fail(f"{load.p.args}: {failed} not answered: {load.end()}\n{said}")

    def check(self, kind, wide, own, *args):
        """wide: a port at which it answers on all devices; own: one at in0's address only."""
        for port in (wide, own):
            self.until_up(kind, "10.0.1.1", port, *args)
        loads = [Load(self, self.pin.cmd(), kind, "10.0.1.1", port, *args) for port in (wide, own)]
        inside = Load(self, [], kind, "127.0.0.1", wide, *args)
        # Unconfined it answers on the other device, too.
        other = Load(self, self.pout.cmd(), kind, "10.0.2.1", wide, *args)
        self.assertGreater(self.leaked(any_ip), 0)
        p = run(IFPIN, "attach", f"--cgroup={self.group}", "--name=service", "--existing=kill",
                "--verbose", "in0")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.leaked(any_ip)
        self.none_lost(loads + [inside], p.stderr)
        self.assertTrue(self.answered(self.pin.cmd(), kind, "10.0.1.1", wide, *args))
        self.assertFalse(self.answered(self.pout.cmd(), kind, "10.0.2.1", wide, *args))
        self.assertEqual(self.leaked(any_ip), 0, p.stderr)
        other.end()
        for load in loads + [inside]:
            load.more(self.answers)
        must(IFPIN, "detach", "service")
        self.assertTrue(self.answered(self.pout.cmd(), kind, "10.0.2.1", wide, *args))
        self.none_lost(loads + [inside], p.stderr)

    def test_nginx(self):
        self.file("page", "the page\n")
        scratch = self.folder("scratch")
        conf = self.file("nginx.conf", f"""
            daemon off;
            worker_processes 2;
            pid {scratch}/pid;
            error_log stderr;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {scratch}/body;
                proxy_temp_path {scratch}/proxy;
                fastcgi_temp_path {scratch}/fastcgi;
                uwsgi_temp_path {scratch}/uwsgi;
                scgi_temp_path {scratch}/scgi;
                root {self.dir};
                server {{ listen 8080; listen 10.0.1.1:8081; }}
            }}
            """)
        self.start(*NOBODY, "nginx", "-e", "stderr", "-c", conf)
        self.check("http", 8080, 8081)

    def test_redis(self):
        for bind, port in (("*", 6380), ("10.0.1.1", 6381)):
            self.start(*NOBODY, "redis-server", "--bind", bind, "--port", port, "--save", "",
                       "--protected-mode", "no", "--dir", self.dir)
        self.check("redis", 6380, 6381)

    def test_dnsmasq(self):
        for port, listen in ((5300, []), (5301, ["--listen-address=10.0.1.1", "--bind-interfaces"])):
            self.start(*NOBODY, "dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                       "--address=/chassis.test/10.9.8.7", "--pid-file=", "--log-facility=-",
                       f"--port={port}", *listen)
        self.check("dns", 5300, 5301)

    def test_chrony(self):
        scratch = self.folder("scratch")
        for port, bind in ((1230, ""), (1231, "bindaddress 10.0.1.1")):
            conf = self.file(f"chrony-{port}.conf", f"""
                port {port}
                {bind}
                cmdport 0
                bindcmdaddress /
                allow all
                local stratum 8
                pidfile {scratch}/pid-{port}
                """)
            self.start(*NOBODY, "chronyd", "-x", "-d", "-U", "-f", conf)
        self.check("ntp", 1230, 1231)

    def test_ssh(self):
        self.answers = 30
        self.plain_root()
        key = os.path.join(self.dir, "key")
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        conf = self.file("sshd.conf", f"""
            HostKey {key}
            AuthorizedKeysFile {key}.pub
            StrictModes no
            UsePAM no
            PidFile none
            PerSourceMaxStartups none
            MaxStartups 100
            """)
        for listen in ("0.0.0.0:2200", "10.0.1.1:2201"):
            self.start("/usr/sbin/sshd", "-D", "-e", "-f", conf, "-o", f"ListenAddress={listen}")
        self.check("ssh", 2200, 2201, key)


del Lab
