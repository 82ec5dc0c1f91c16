# SPDX-License-Identifier: MIT
"""Every bad input with its exit code and message; exit statuses; devices by all their names."""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time

from lab import IFPIN, Lab, any_ip, must, run


class BadInput(Lab):
    def refused(self, argv, message, code=125, **kw):
        p = run(IFPIN, *argv, **kw)
        self.assertEqual(p.returncode, code, p.stderr)
        self.assertIn(message, p.stderr)
        self.assertEqual(p.stdout, "")

    def test_devices(self):
        there = "(there are: lo, in0, out0)"
        p = run("ip", "-br", "link")
        names = [line.split()[0].split("@")[0] for line in p.stdout.splitlines()]
        there = "(there are: " + ", ".join(names) + ")"
        self.refused(["run", "eth9", "--", "true"],
                     f'ifpin: no interface "eth9" in this network namespace {there}\n')
        self.refused(["run", "x" * 200, "--", "true"], "interface name of 200 bytes is too long")
        self.refused(["run", "", "--", "true"], "no interface given")
        self.refused(["run", "index:0", "--", "true"], "an index is a number from 1 to 2147483647")
        self.refused(["run", "index:99999", "--", "true"], 'no interface "index:99999"')
        self.refused(["run", "mac:02:00", "--", "true"], "six pairs of hexadecimal digits")
        self.refused(["run", "mac:02:00:00:00:09:09", "--", "true"], "no interface")
        must("ip", "link", "set", "out0", "address", "02:00:00:00:01:01")
        self.refused(["run", "mac:02:00:00:00:01:01", "--", "true"],
                     '2 interfaces have "mac:02:00:00:00:01:01"')

    def test_options(self):
        for argv, message in (
                ([], "no command given"),
                (["frobnicate"], 'no command "frobnicate"'),
                (["ru"], 'no command "ru"'),
                (["run"], "no interface given"),
                (["run", "in0"], "no command given"),
                (["run", "--frob", "in0", "true"], "unrecognized option"),
                (["run", "--loopback=maybe", "in0", "true"], "must be allow or deny"),
                (["run", "--inherit=x", "in0", "true"], "must be refuse, close or pin"),
                (["run", "--keep-cap=frob", "in0", "true"], '"frob" is unknown'),
                (["run", "--allow-family=packet", "in0", "true"], '"packet" is unknown, or cannot be given'),
                (["run", "--dns=10.0.0", "in0", "true"], "is not an IPv4 or IPv6 address"),
                (["run", "--dns=", "in0", "true"], "an address is empty"),
                (["run", "--dns=127.0.0.53", "in0", "true"], "127.0.0.53 is this host"),
                (["run", "--dns=10.0.1.2,10.0.2.1", "in0", "true"], "10.0.2.1 is this host"),
                (["run", "--dns=system", "--user=nosuchuser", "in0", "true"],
                 'no user "nosuchuser"'),
                (["run", "--dns=system", "--user=nobody:nosuch", "in0", "true"],
                 'no group "nosuch"'),
                (["run", "--dns=system", "--name=a/b", "in0", "true"], "a name has 1 to 48 letters"),
                (["run", "--dns=system", "--name=", "in0", "true"], "a name has 1 to 48 letters"),
                (["gc", "x"], "unexpected argument"),
                (["prove", "--only=nothing"], 'no attempt and no class "nothing"')):
            with self.subTest(argv):
                self.refused(argv, message)

    def test_privileges(self):
        p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", IFPIN, "run", "in0",
                "true")
        self.assertEqual(p.returncode, 125)
        self.assertEqual(p.stderr, "ifpin: not privileged: missing cap_sys_admin, cap_net_admin, "
                                   "cap_setpcap (run it with sudo)\n")
        p = run("setpriv", "--bounding-set=-setpcap", IFPIN, "run", "--dns=system", "in0", "true")
        self.assertEqual((p.returncode, "missing cap_setpcap" in p.stderr), (125, True), p.stderr)

    def test_name_in_use(self):
        self.living("busy")
        self.refused(["run", "--dns=system", "--name=busy", "in0", "true"],
                     'a confinement named "busy" is running')


class Status(Lab):
    def test_devices_by_all_names(self):
        must("ip", "link", "property", "add", "dev", "in0", "altname", "chassis-control-plane")
        index = socket.if_nametoindex("in0")
        for name in ("in0", "chassis-control-plane", f"index:{index}", "mac:02:00:00:00:01:01"):
            self.assertEqual(self.ifpin("true", device=name).returncode, 0, name)

    def test_exit_status(self):
        for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15),
                             ("kill -KILL $$", 128 + 9)):
            self.assertEqual(self.ifpin("sh", "-c", script).returncode, code, script)
        p = self.ifpin("/nonexistent")
        self.assertEqual((p.returncode, p.stderr),
                         (127, 'ifpin: cannot run "/nonexistent": No such file or directory\n'))
        p = self.ifpin("/etc/passwd")
        self.assertEqual((p.returncode, p.stderr),
                         (126, 'ifpin: cannot run "/etc/passwd": Permission denied\n'))

    def test_help_and_version(self):
        for argv in (["--help"], ["run", "--help"], ["prove", "--help"], ["gc", "--help"],
                     ["fence", "--help"],
                     ["--version"], ["run", "--version"]):
            p = run(IFPIN, *argv)
            self.assertEqual((p.returncode, p.stderr), (0, ""), argv)
            self.assertTrue(p.stdout)

    def test_pipes(self):
        p = self.ifpin("tr", "a-z", "A-Z", input="hello")
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "HELLO", ""))

    def test_json(self):
        import json
        p = self.ifpin("python3", "-c", "import socket\ntry:\n s=socket.socket(2,2);"
                       "s.sendto(b'x',('10.0.2.2',9))\nexcept OSError: pass",
                       options=("--dns=system", "--json"))
        summary = json.loads(p.stderr)
        self.assertEqual(summary["denials"]["other-device"], 1, p.stderr)
        self.assertEqual((summary["exit_status"], summary["started"], summary["device"]),
                         (0, True, "in0"))

    def test_nothing_is_left(self):
        before = run("sh", "-c", "cat /proc/mounts; find /sys/fs/cgroup -name 'ifpin*'").stdout
        p = self.ifpin("sh", "-c", "cat </dev/zero >/dev/null & tail -n 12345 -f /dev/null & exit 3")
        self.assertEqual(p.returncode, 3)
        after = run("sh", "-c", "cat /proc/mounts; find /sys/fs/cgroup -name 'ifpin*'").stdout
        self.assertEqual(before, after)
        self.assertEqual(run("pgrep", "-f", "tail -n 12345 -f /dev/null").stdout, "")


class Signals(Lab):
    def start(self, script):
        p = self.popen([IFPIN, "run", "--dns=system", "in0", "bash", "-c", script],
                       stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        return p

    def test_forwarded(self):
        for name in ("TERM", "HUP", "INT", "QUIT", "USR1", "USR2"):
            p = self.start(f"trap 'echo got; exit 9' {name}; tail -f /dev/null & echo ready; wait")
            p.send_signal(getattr(signal, "SIG" + name))
            self.assertEqual(p.stdout.read(), "got\n", name)
            self.assertEqual(p.wait(10), 9)

    def test_children_ignored_by_the_caller(self):
        """SIGCHLD ignored across exec: the kernel would bury the command unseen."""
        p = self.ifpin("sh", "-c", "exit 7",
                       preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(p.returncode, 7, p.stderr)

    def test_hangup(self):
        """The terminal goes away: of that the kernel tells the session leader only."""
        rd, wr = os.pipe()
        pid, fd = pty.fork()
        if not pid:
            os.dup2(wr, 9)
            os.set_inheritable(9, True)  # it may have been that already
            os.execv(IFPIN, [IFPIN, "run", "--dns=system", "in0", "--", "bash", "-c",
                             "trap 'echo hangup >&9; exit 3' HUP; echo ready >&9; "
                             "tail -f /dev/null & wait"])
        os.close(wr)
        with os.fdopen(rd) as f, os.fdopen(fd, "rb", 0) as terminal:
            self.assertEqual(f.readline(), "ready\n")
            terminal.close()
            self.assertEqual(f.readline(), "hangup\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 3)

    def test_orphans_are_buried(self):
        script = ("import os, time\n"
                  "for _ in range(5):\n"
                  "    pid = os.fork()\n"
                  "    if not pid:\n"
                  "        os.fork()\n"
                  "        os._exit(0)\n"
                  "    os.waitpid(pid, 0)\n"
                  "end = time.monotonic() + 5\n"
                  "def zombies():\n"
                  "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
                  "        try:\n"
                  "            yield open(f'/proc/{pid}/stat').read().rsplit(') ')[1][0] == 'Z'\n"
                  "        except OSError:\n"
                  "            pass\n"
                  "while any(zombies()) and time.monotonic() < end: pass\n"
                  "print(any(zombies()))\n")
        p = self.ifpin("python3", "-c", script, options=("--dns=system", "--isolate"))
        self.assertEqual(p.stdout, "False\n", p.stderr)

    def test_stop_and_continue(self):
        p = self.start("echo ready; kill -STOP $$; echo again")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
        p.send_signal(signal.SIGCONT)
        self.assertEqual(p.stdout.read(), "again\n")
        self.assertEqual(p.wait(10), 0)

    def test_terminal(self):
        """An interactive shell: it has a terminal, Ctrl-Z stops a job, Ctrl-C ends one."""
        pid, fd = pty.fork()
        if not pid:
            os.execv(IFPIN, [IFPIN, "run", "--dns=system", "in0", "--", "bash", "--norc", "-i"])
        seen = b""

        def until(text):
            nonlocal seen
            end = time.monotonic() + 20
            while text not in seen:
                left = end - time.monotonic()
                self.assertTrue(left > 0 and select.select([fd], [], [], left)[0], seen)
                seen += os.read(fd, 4096)
            seen = seen.split(text, 1)[1]
        os.write(fd, b"PS1='prompt'; echo tty is `tty`\n")
        until(b"tty is /dev/pts")
        until(b"prompt")
        os.write(fd, b"sh -c 'trap \"echo continued-\\$((1+1))\" CONT; echo started-$((1+1)); "
                 b"while :; do read x; done'\n")
        until(b"started-2")
        os.write(fd, b"\x1a")
        until(b"Stopped")
        until(b"prompt")
        os.write(fd, b"fg\n")
        until(b"continued-2")  # by then the job has the terminal
        os.write(fd, b"\x03")
        until(b"prompt")
        os.write(fd, b"echo status $?; exit 5\n")
        until(b"status 130")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5)
        os.close(fd)


class Inherit(Lab):
    def setUp(self):
        super().setUp()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(self.udp.close)
        self.addCleanup(self.tcp.close)

    def attempt(self, inherit, *fds):
        return self.ifpin("sh", "-c", "ls -l /proc/self/fd", pass_fds=[f.fileno() for f in fds],
                          options=("--dns=system", f"--inherit={inherit}"))

    def test_refuse(self):
        p = self.attempt("refuse", self.udp)
        self.assertEqual(p.returncode, 125)
        self.assertIn(f"{self.udp.fileno()}: UDP socket", p.stderr)
        self.assertIn("--inherit=close", p.stderr)

    def test_close(self):
        p = self.attempt("close", self.udp, self.tcp)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertNotIn("socket:", p.stdout)

    def test_pin(self):
        p = self.attempt("pin", self.tcp)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.tcp.getsockopt(socket.SOL_SOCKET, 62), socket.if_nametoindex("in0"))
        p = self.attempt("pin", self.udp)
        self.assertEqual(p.returncode, 125)
        self.assertIn("cannot be tied", p.stderr)

    def test_pinned_socket_stays(self):
        """What a pinned socket, made outside, may not be made to do from inside."""
        out = socket.if_nametoindex("out0")
        for user in ("root", "nobody"):
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.addCleanup(tcp.close)
            code = f"""
import socket, struct
s = socket.socket(fileno={tcp.fileno()})
s.settimeout(0.5)
group = socket.inet_aton("239.3.3.3")
for f, *a in ((s.setsockopt, 1, 62, {out}), (s.setsockopt, 1, 25, b""),
              (s.setsockopt, 0, 35, struct.pack("4s4si", group, b"", {out})),
              (s.setsockopt, 0, 42, struct.pack("I4xHH4s120x", {out}, 2, 0, group)),
              (s.connect, ("10.0.2.2", 4444))):
    try:
        f(*a)
        print("done", a)
    except OSError:
        pass
"""
            p = self.ifpin("python3", "-c", code, pass_fds=[tcp.fileno()],
                           options=("--dns=system", "--inherit=pin", f"--user={user}"))
            self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "", ""))
            self.assertEqual(self.leaked(any_ip), 0)

    def test_files_past_the_mounts(self):
        with open("/proc/sys/net/ipv4/ip_forward", "r+") as f:
            p = self.ifpin("true", pass_fds=[f.fileno()])
        self.assertEqual(p.returncode, 125)
        self.assertIn("writable file of the kernel", p.stderr)

    def test_devices(self):
        """A device is judged where it is opened, so not inside if it was opened before."""
        for path, flags in ("/dev/mem", os.O_RDONLY), ("/dev/kmsg", os.O_WRONLY), \
                ("/dev/net/tun", os.O_RDWR), ("/dev/vhost-net", os.O_RDWR), ("/dev/uinput", os.O_RDWR):
            try:
                fd = os.open(path, flags)
            except OSError:
                self.assertNotIn(path, ("/dev/kmsg", "/dev/net/tun"))
                continue
            self.addCleanup(os.close, fd)
            p = self.ifpin("true", pass_fds=[fd])
            self.assertEqual(p.returncode, 125, path)
            self.assertIn(f"{fd}: device that commands may not use ({path})", p.stderr)
        for path in "/dev/null", "/dev/urandom", "/dev/ptmx":
            fd = os.open(path, os.O_RDWR)
            self.addCleanup(os.close, fd)
            self.assertEqual(self.ifpin("true", pass_fds=[fd]).returncode, 0, path)

    def test_namespaces_and_processes(self):
        for fd, what in ((os.open("/proc/self/ns/net", os.O_RDONLY), "namespace"),
                         (os.pidfd_open(self.pout.pid), "process")):
            self.addCleanup(os.close, fd)
            p = self.ifpin("true", pass_fds=[fd])
            self.assertEqual(p.returncode, 125)
            self.assertIn(f"{fd}: {what} (", p.stderr)

    def test_directory(self):
        fd = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        p = self.ifpin("true", pass_fds=[fd])
        self.assertEqual(p.returncode, 125)
        self.assertRegex(p.stderr, re.escape(f"{fd}: directory (/)"))
