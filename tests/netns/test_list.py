# SPDX-License-Identifier: MIT
"""Which confinements are in force: ifpin list and ifpin status."""
import glob
import json
import os
import signal
import socket
import subprocess
import time

from lab import CGROUPS, IFPIN, Lab, must, run

FOLDER = "/sys/fs/bpf/ifpin"
FOLLOWER = os.path.join(os.path.dirname(IFPIN), "follower")
NOT_HELD = 3


class ListLab(Lab):
    def setUp(self):
        super().setUp()
        self.bpffs()

    def attach(self, name, *options, device="in0", prefix=()):
        path = self.cgroup()
        must(*prefix, IFPIN, "attach", device, f"--cgroup={path}", f"--name={name}", *options)
        return path

    def own(self, text):
        """Commands of other namespaces run on this host, but not for this test."""
        return {c["name"]: c for c in json.loads(text)["confinements"]
                if c["attached"] or c["state"] != "other-netns"}

    def list(self):
        return self.own(must(IFPIN, "list", "--json"))

    def status(self, *names):
        p = run(IFPIN, "status", "--json", *names)
        self.assertIn(p.returncode, (0, NOT_HELD), p.stderr)
        return p.returncode, self.own(p.stdout)

    def states(self):
        """By list and by status, which agree unless a link was detached."""
        code, by_status = self.status()
        by_status = {name: c["state"] for name, c in by_status.items()}
        self.assertEqual({name: c["state"] for name, c in self.list().items()}, by_status)
        bad = set(by_status.values()) - {"held", "other-netns"}
        self.assertEqual(code, NOT_HELD if bad else 0)
        return by_status


class Nothing(ListLab):
    def test_no_folder(self):
        self.assertEqual(must(IFPIN, "list").splitlines()[0].split(),
                         ["NAME", "DEVICE", "STATE", "PROCESSES", "SINCE", "OPTIONS", "CGROUP"])
        self.assertEqual(self.list(), {})
        self.assertEqual(self.status(), (0, {}))
        self.assertFalse(os.path.exists(FOLDER))

    def test_no_bpffs(self):
        # Not by unmounting ours: below it may be the host's.
        must("mount", "-t", "tmpfs", "tmpfs", "/sys/fs/bpf")
        self.stack.callback(must, "umount", "-l", "/sys/fs/bpf")
        self.assertEqual(self.list(), {})
        self.assertEqual(self.status(), (0, {}))

    def test_usage(self):
        for command in "list", "status", "watch":
            p = run(IFPIN, command, "--help")
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            self.assertIn(f"Usage: ifpin {command}", p.stdout)
            p = run(IFPIN, command, "--nonsense")
            self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertEqual(run(IFPIN, "list", "name").returncode, 125)
        self.assertEqual(run(IFPIN, "watch", "a", "b").returncode, 125)

    def test_unknown_name(self):
        self.attach("web")
        p = run(IFPIN, "status", "web", "wbe")
        self.assertEqual((p.returncode, p.stdout), (125, ""))
        self.assertEqual(p.stderr,
                         'ifpin: no confinement is called "wbe"; see: ifpin list\n')

    def test_without_privileges(self):
        self.attach("web")
        for command in "list", "status", "watch":
            p = run("setpriv", "--reuid=65534", "--clear-groups", IFPIN, command)
            self.assertEqual((p.returncode, p.stdout), (125, ""), command)
            self.assertRegex(p.stderr, r"^ifpin: .* \(run it with sudo\)\n$")

    def test_without_privileges_no_folder_is_made(self):
        """In a bpffs that was mounted by hand everybody may; root's commands would refuse it."""
        for command in "gc", "watch":
            p = run("setpriv", "--reuid=65534", "--clear-groups", IFPIN, command)
            self.assertEqual((p.returncode, p.stdout), (125, ""), command)
            self.assertRegex(p.stderr, r"^ifpin: .* \(run it with sudo\)\n$")
            self.assertFalse(os.path.exists(FOLDER), command)
        must(IFPIN, "gc")

    def test_a_folder_of_somebody_else(self):
        os.mkdir(FOLDER)
        os.chown(FOLDER, 65534, 65534)
        for command in "list", "status":
            p = run(IFPIN, command)
            self.assertEqual(p.returncode, 125)
            self.assertIn("not root's alone", p.stderr)


class Held(ListLab):
    def test_what_is_told(self):
        before = int(time.time())
        path = self.attach("web.1", "--loopback=deny", "--rebind=no")
        for i in range(3):
            self.service(path, ["sleep", "1000"])
        os.mkdir(f"{path}/below")
        self.service(f"{path}/below", ["sleep", "1000"])
        c = self.list()["web.1"]
        self.assertLessEqual(before, c.pop("since"))
        self.assertEqual(c, {
            "name": "web.1", "state": "held", "attached": True,
            "cgroup": path.removeprefix(CGROUPS), "processes": 4,
            "device": {"name": "in0", "ifindex": socket.if_nametoindex("in0"),
                       "mac": "02:00:00:00:01:01", "kind": "veth"},
            "options": {"loopback": False, "guard_resolvers": True, "rebind": False,
                        "abort": True}})
        row, = [r.split() for r in must(IFPIN, "list").splitlines() if r.startswith("web.1 ")]
        self.assertEqual(row[:4], ["web.1", "in0", "held", "4"])
        self.assertEqual(row[6:], ["loopback=deny,rebind=no", path.removeprefix(CGROUPS)])
        text = must(IFPIN, "status", "web.1")
        self.assertIn("State: held\n", text)
        self.assertIn("02:00:00:00:01:01, veth", text)
        self.assertIn("Processes: 4\n", text)
        self.assertNotIn("\033", text)

    def test_by_name_and_many(self):
        for name in "c", "a", "b":
            self.attach(name)
        rows = [row.split()[0] for row in must(IFPIN, "list").splitlines()]
        self.assertEqual([name for name in rows if len(name) == 1], ["a", "b", "c"])
        self.assertEqual(list(self.status("b", "a")[1]), ["a", "b"])
        must(IFPIN, "detach", "b")
        self.assertEqual(list(self.list()), ["a", "c"])

    def test_counts(self):
        path = self.attach("web")
        send = ("import socket,struct,sys\n"
                "s = socket.socket(2, 2)\n"
                "for i in range(3):\n"
                "    try: s.sendto(b'x', ('10.0.1.2', 9))\n"
                "    except InterruptedError: s.sendto(b'x', ('10.0.1.2', 9))\n"
                "for i in range(2):\n"
                "    try: s.sendmsg([b'x'], [(0, 8, struct.pack('iII', int(sys.argv[1]), 0, 0))],"
                " 0, ('10.0.2.2', 9))\n"
                "    except PermissionError: pass\n")
        self.service(path, ["python3", "-c", send, self.out_index()]).wait(20)
        c = self.status("web")[1]["web"]
        self.assertEqual(c["passed"]["out"], 3)
        self.assertEqual({k: n for k, n in c["denied"].items() if n}, {"other-device": 2})
        text = must(IFPIN, "status")
        self.assertIn("Passed: 3 packets out", text)
        self.assertIn("Denied: 2: a packet was routed to another device (other-device)\n", text)

    def test_sockets_by_verdict(self):
        path = self.attach("web", "--existing=pin")
        hold = ("import socket, sys\n"
                "s = [socket.socket(2, 2) for _ in range(3)]\n"
                "for x in s: x.bind(('10.0.1.1', 0))\n"
                "print('x', flush=True)\n"
                "sys.stdin.read()\n")
        p = self.service(path, ["python3", "-c", hold], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
        p.stdout.readline()
        sockets = self.status("web")[1]["web"]["sockets"]
        self.assertEqual({k: n for k, n in sockets.items() if n}, {"pinned": 3})
        self.assertIn("Sockets: 3 pinned\n", must(IFPIN, "status"))

    def test_cgroup_with_a_hostile_name(self):
        name = "ifpin-\033[2J\r"
        path = self.cgroup(name)
        must(IFPIN, "attach", "in0", f"--cgroup={path}", "--name=web")
        for command in "list", "status":
            out = must(IFPIN, command)
            self.assertIn("/ifpin-?[2J?", out)
            self.assertNotIn("\033", out)
        self.assertIn(name, self.list()["web"]["cgroup"])

    def test_commands_that_run(self):
        """They are listed beside those that were attached, also without bpffs."""
        self.attach("web")
        p = self.living("job.1", ("--loopback=deny",))
        c = self.list()
        self.assertEqual(list(c), ["job.1", "web"])
        self.assertEqual({k: c["job.1"][k] for k in ("state", "attached", "processes", "since")},
                         {"state": "held", "attached": False, "processes": 1, "since": None})
        self.assertEqual(c["job.1"]["device"]["mac"], "02:00:00:00:01:01")
        self.assertRegex(c["job.1"]["cgroup"], r"/ifpin\.job\.1$")
        self.assertRegex(must(IFPIN, "list"), r"\njob\.1 +in0 +held +1 +- +run,loopback=deny +/")
        code, status = self.status("job.1")
        self.assertEqual((code, status["job.1"]["denied"]["other-device"]), (0, 0))
        # Not by unmounting ours: below it may be the host's.
        must("mount", "-t", "tmpfs", "tmpfs", "/sys/fs/bpf")
        self.stack.callback(must, "umount", "-l", "/sys/fs/bpf")
        self.assertEqual(list(self.list()), ["job.1"])
        must("ip", "link", "del", "in0")
        self.assertEqual(self.states(), {"job.1": "device-gone"})
        p.stdin.close()
        p.wait()
        self.assertEqual(self.list(), {})

    def test_follower(self):
        self.attach("web")

        def followed():
            return json.loads(must(IFPIN, "status", "--json"))["followed"]
        self.assertFalse(followed())
        p = self.popen([FOLLOWER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdout.readline()
        self.assertTrue(followed())
        self.assertIn("Followed: yes\n", must(IFPIN, "status"))
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.assertFalse(followed())


class NotHeld(ListLab):
    def test_device_goes_and_another_comes(self):
        self.attach("web")
        self.assertEqual(self.states(), {"web": "held"})
        must("ip", "link", "del", "in0")
        self.assertEqual(self.states(), {"web": "device-gone"})
        self.assertIn("State: closed: the device is gone\n", run(IFPIN, "status").stdout)
        must("ip", "link", "add", "in0", "address", "02:00:00:00:01:99", "type", "veth")
        self.assertEqual(self.states(), {"web": "replaced"})

    def test_renamed_is_held(self):
        self.attach("web")
        must("ip", "link", "set", "in0", "down")
        must("ip", "link", "set", "in0", "name", "other")
        self.assertEqual(self.states(), {"web": "held"})
        must("ip", "link", "set", "other", "name", "in0")

    def test_cgroup_goes(self):
        path = self.attach("web")
        os.rmdir(path)
        self.assertEqual(self.states(), {"web": "cgroup-gone"})
        os.mkdir(path)  # another one of this name
        self.assertEqual(self.states(), {"web": "cgroup-gone"})
        must(IFPIN, "gc")
        self.assertEqual(self.states(), {})

    def test_link_unpinned(self):
        self.attach("web")
        self.attach("ok")
        os.unlink(f"{FOLDER}/pin_web/link3")
        self.assertEqual(self.states(), {"web": "broken", "ok": "held"})
        self.assertEqual(self.status("ok")[0], 0)
        self.assertEqual(self.status("web")[0], NOT_HELD)

    def test_link_detached(self):
        """It is still pinned, and says so only when it is asked."""
        self.attach("web")
        must("bpftool", "link", "detach", "pinned", f"{FOLDER}/pin_web/link3")
        self.assertEqual(self.list()["web"]["state"], "held")
        code, pins = self.status("web")
        self.assertEqual((code, pins["web"]["state"]), (NOT_HELD, "broken"))

    def test_maps_taken_away(self):
        """Those of the programs, which all share, and what one is by itself."""
        for part in "pins", "packets":
            self.attach(part)
            path, = glob.glob(f"{FOLDER}/host_*/set_*_0/{part}")
            os.rename(path, f"{path}-away")
            self.assertEqual(self.states(), {part: "broken"})
            c = self.status(part)[1][part]
            self.assertIsNone(c["passed"])
            self.assertIsNone(c["denied"])
            os.rename(f"{path}-away", path)
            self.assertEqual(self.states(), {part: "held"})
            must(IFPIN, "detach", part)
        self.attach("meta")
        self.attach("web")
        os.unlink(f"{FOLDER}/pin_meta/meta")
        self.assertEqual(self.states(), {"meta": "broken", "web": "held"})

    def test_another_version(self):
        self.attach("web")
        self.attach("meta")
        self.replace(f"{FOLDER}/pin_meta/meta")
        self.assertEqual(self.states(), {"meta": "broken", "web": "held"})
        path, = glob.glob(f"{FOLDER}/host_*/set_*_0/pins")
        self.replace(path)
        self.assertEqual(self.states(), {"meta": "broken", "web": "broken"})
        # Whoever cannot read the programs that are there loads others, beside them.
        self.attach("new")
        self.assertEqual(self.states(), {"meta": "broken", "web": "broken", "new": "held"})

    @staticmethod
    def replace(path):
        os.unlink(path)
        must("bpftool", "map", "create", path, "type", "array", "key", "4", "value", "16384",
             "entries", "1", "name", "other")

    def test_other_network_namespace(self):
        self.attach("here")
        self.attach("there", device="eth0", prefix=self.pin.cmd())
        self.assertEqual(self.states(), {"here": "held", "there": "other-netns"})
        p = self.pin.run(IFPIN, "list", "--json")
        # Commands of others on this host are told as well.
        states = {c["name"]: c["state"] for c in json.loads(p.stdout)["confinements"]}
        self.assertEqual((states["here"], states["there"]), ("other-netns", "held"))
