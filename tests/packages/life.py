# SPDX-License-Identifier: MIT
"""The life of the packages on one machine: what each step does, and what must be true after it.

A step that fails ends the life, for the next ones rest on it. Two services are confined, and must stay
so: "filed" by ifpind and a file, "attached" by hand.
"""
import re

# Sends a datagram by the default route, out0, whenever it is asked to.
SENDER = """
import os, socket, sys
os.makedirs("/run/sender", exist_ok=True)
ask = socket.socket(socket.AF_UNIX)
ask.bind("/run/sender/" + sys.argv[1])
ask.listen()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    c, _ = ask.accept()
    try:
        # Each time another socket: the pin is on the process, not on what it has open.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", ("192.0.2.1", 9))
        c.send(b"sent")
    except OSError as e:
        c.send(str(e).encode())
    c.close()
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/sender/" + sys.argv[1])
print(s.recv(100).decode())
"""
SETUP = """
ip link set lo up
for d in in0:10.0.1.1 out0:10.0.2.1; do
    ip link add ${d%:*} type veth peer name p${d%:*}
    # No address, and so no discovery: what is counted there, a sender has sent.
    ip link set ${d%:*} addrgenmode none
    ip link set p${d%:*} addrgenmode none
    ip link set p${d%:*} up
    ip addr add ${d#*:}/24 dev ${d%:*}
    ip link set ${d%:*} up
done
ip route add default via 10.0.2.2 dev out0
ip neigh add 10.0.2.2 lladdr 02:00:00:00:00:02 dev out0
cat >/run/sender.py <<'END'
SENDER
END
cat >/run/ask.py <<'END'
ASK
END
for n in filed attached; do
    cat >/run/systemd/system/$n.service <<END
[Service]
Type=notify
ExecStart=/usr/bin/python3 /run/sender.py $n
END
done
systemctl daemon-reload
systemctl start filed attached
""".replace("SENDER\n", SENDER).replace("ASK\n", ASK)
# What is no file of ours: logs, caches, and the books that systemd and dpkg keep.
FILES = """find / -xdev ! -type d -printf '%p %l\\n' -o -type d -empty -print |
    grep -vE '^/(var/(cache|log|lib/(dpkg|apt|systemd|pam|ucf|private))|src|out|mnt|root|boot)(/| |$)' |
    grep -vE '^/etc/(group|gshadow|passwd|shadow)-|^/etc/(ld.so.cache|.pwd.lock|mtab|resolv.conf)' | sort"""
INSTALL = "apt-get install -y --no-install-recommends --allow-downgrades "


class Life:
    def __init__(self, machine, version):
        self.m = machine
        self.version = version

    def sent(self, who):
        """Frames that left by out0 because this sender was asked."""
        count = "cat /sys/class/net/out0/statistics/tx_packets"
        before = int(self.m.run(count))
        self.m.run(f"python3 /run/ask.py {who}")
        return int(self.m.run(count)) - before

    def assert_closed(self):
        for who in "filed", "attached":
            n = self.sent(who)
            assert n == 0, f"{who}: {n} frames left by out0"

    def pins(self):
        """What the kernel holds: the same links, not new ones."""
        return self.m.run("find /sys/fs/bpf/ifpin/pin_* -name 'link*' -printf '%p %i\\n' | sort")

    def main_pid(self):
        return self.m.run("systemctl show --value -p MainPID ifpind").strip()

    # ---- the steps, in this order ----

    def before(self):
        """Unconfined, it leaks: what is counted later could have been."""
        self.m.run(SETUP)
        self.files = self.m.run(FILES)
        self.groups = self.m.run("cat /etc/group")
        for who in "filed", "attached":
            assert self.sent(who) == 1, self.m.run("systemctl status filed attached")

    def install(self):
        self.m.run(INSTALL + "/out/old/*.deb")
        said = self.m.run("dpkg-query -W -f '${Version} ${db:Status-Status}\\n' ifpin libifpin0")
        assert said == f"{self.version}~older installed\n" * 2, said
        self.m.run("systemctl is-active ifpind && systemctl is-enabled ifpind && getent group ifpin")
        self.m.run("ifpin --version; ifpind --version; test -d /etc/ifpin/pins.d")
        self.m.run("test -x /usr/libexec/ifpin/ifpin-exporter && systemd-analyze verify --man=no ifpind.service")
        self.m.run("curl --version >/dev/null 2>&1 || exit 0; "
                   "curl -sS --unix-socket /run/ifpin/metrics.sock http://localhost/metrics")

    def confine(self):
        """One by a file, one by hand, and a fence."""
        self.m.run("printf '[Pin]\\nDevice=in0\\nUnit=filed.service\\n' >/etc/ifpin/pins.d/filed.conf;"
                   "systemctl reload ifpind; ifpin attach --unit=attached.service in0; "
                   "ifpin fence apply in0 --prefix=10.0.1.0/24; ifpin status filed attached")
        self.assert_closed()
        self.links = self.pins()
        assert self.links, "nothing is pinned"

    def upgrade(self):
        """While they are asked to send, without a pause."""
        old = self.main_pid()
        count = "cat /sys/class/net/out0/statistics/tx_packets"
        before = int(self.m.run(count))
        said = self.m.run(
            "(while ! [ -e /run/upgraded ]; do for n in filed attached; do "
            "python3 /run/ask.py $n; done; done) >/run/asked & "
            f"{INSTALL} /out/*.deb; : >/run/upgraded; wait; wc -l </run/asked")
        asked = int(said.splitlines()[-1])
        assert asked > 10, f"asked {asked} times only"
        n = int(self.m.run(count)) - before
        assert n == 0, f"{n} frames left by out0 meanwhile"
        assert self.m.run("dpkg-query -W -f '${Version}' ifpin") == self.version
        self.m.run("systemctl is-active ifpind")
        assert self.main_pid() not in (old, "0"), "ifpind is still the old one"
        assert self.pins() == self.links, "the pins are not those of before"
        self.m.run("ifpin status filed attached && ifpin fence check")
        self.assert_closed()

    def remove(self):
        said = self.m.run("apt-get remove -y 'ifpin' 'libifpin*'")
        for line in (r"stay in force, closed", r"^ +filed +in0 +held", r"^ +attached +in0 +held",
                     r"fences stay in force", r"^ +in0: in0", r"ifpin detach NAME"):
            assert re.search(line, said, re.M), f"{line!r} is not in:\n{said}"
        assert not self.m.run("command -v ifpin ifpind || true")
        assert self.main_pid() == "0", "ifpind is still running"
        assert self.pins() == self.links, "the pins are not those of before"
        self.assert_closed()

    def purge(self):
        said = self.m.run("apt-get purge -y ifpin")
        assert re.search(r"keeps processes confined: pin_attached pin_filed", said), said
        self.assert_closed()
        assert not self.m.run("ls -d /etc/ifpin /run/ifpin 2>/dev/null || true")

    def again(self):
        """What was left in force is known to the next one, and can be ended by it."""
        self.m.run(INSTALL + "/out/*.deb; ifpin status attached")
        assert self.sent("attached") == 0
        # The purge took the file away, and ifpind ends a pin of its own that has none any more.
        self.m.run("! ifpin status filed")
        self.m.run("ifpin detach attached; ifpin fence remove")
        for who in "filed", "attached":
            assert self.sent(who) == 1, f"{who} is still confined"

    def nothing_stays(self):
        # What came with ifpin goes with it, also what something else would like to have.
        said = self.m.run("apt-get purge -y --autoremove -o APT::AutoRemove::SuggestsImportant=false "
                          "-o APT::AutoRemove::RecommendsImportant=false ifpin 'libifpin*'")
        assert "stay in force" not in said and "confined" not in said, said
        left = set(self.m.run(FILES).splitlines()) - set(self.files.splitlines())
        assert not left, left
        assert self.m.run("cat /etc/group") == self.groups, "a group is left"
        for what in ("ls /sys/fs/bpf", "ls -d /sys/fs/cgroup/ifpin* 2>/dev/null || true",
                     "ls /run/ifpin 2>/dev/null || true"):
            said = self.m.run(what)
            assert not re.search("ifpin", said), f"{what}: {said}"


STEPS = ("before", "install", "confine", "upgrade", "remove", "purge", "again", "nothing_stays")
