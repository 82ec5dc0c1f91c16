# SPDX-License-Identifier: MIT
"""The reports of a proof: a page, captured frames, a comparison; and what they say of each other."""
import collections
import hashlib
import html
import html.parser
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from lab import IFPIN, PACE, must, proof, run

BROWSER = os.path.join(os.path.dirname(__file__), "../browser")
OURS = ("libifpin", "ifpin run", "fence")
DIR = None


def setUpModule():
    """One whole proof with every report, for all of the tests to read."""
    global DIR
    DIR = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, DIR)
    p = run(IFPIN, "prove", f"--json={DIR}/r.json", f"--html={DIR}/r.html",
            f"--pcapng={DIR}/r.pcapng", timeout=240 * PACE)
    if p.returncode:
        raise RuntimeError(p.stdout + p.stderr)


SUMMARIES = """
(
for a in $(ip -6 -o addr show dev out0 scope link | awk '{print $4}'); do
    ip -6 addr del $a dev out0
done
i=0
while [ $((i += 1)) -lt 150 ]; do
    printf 'addr add fe80::2:1/64 dev out0 nodad\\naddr del fe80::2:1/64 dev out0\\n' | ip -batch -
    sleep 0.003
done
ip addr add fe80::2:1/64 dev out0 nodad
) >/dev/null 2>&1 &
exec "$@"
"""


# A kernel that has it, and lets nobody use it.
WITHOUT_IO_URING = """
import os, sys
sys.path.insert(0, sys.argv[1])
import container
container.REFUSED, container.NEW_NAMESPACES = ("io_uring_setup",), 0
container.set_filter()
os.execv(sys.argv[2], sys.argv[2:])
"""


class Page(html.parser.HTMLParser):
    """Elements, and the text of each table row."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.rows, self.row = [], [], {}, None
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in ("meta", "path", "rect", "wbr", "input"):
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if "href" in attrs:
            self.links.append(attrs["href"])
        if tag == "tr":
            self.row = self.rows.setdefault(attrs.get("data-name"), [])
        if tag == "td" and self.row is not None:
            self.row.append("")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
        if tag == "tr":
            self.row = None

    def handle_data(self, data):
        if self.row:
            self.row[-1] += data


def blocks(data):
    """The kind and the bytes of each block of a pcapng file; every one has its length twice."""
    at = 0
    while at < len(data):
        kind, length = (int.from_bytes(data[at + i:at + i + 4], "little") for i in (0, 4))
        assert data[at + length - 4:at + length] == data[at + 4:at + 8], at
        yield kind, data[at:at + length]
        at += length


def drops(data):
    """What was lost, of each device."""
    lost = []
    for kind, block in blocks(data):
        if kind == 5:
            at = block.index(b"\x05\0\x08\0", 20)
            lost.append(int.from_bytes(block[at + 4:at + 12], "little"))
    return lost


def flood_namespaces(pid):
    """Long packets to lo, in each network namespace that a process holds and is not in."""
    script = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for _ in range(1000): s.sendto(bytes(60000), ('127.0.0.1', 9))")
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        where = os.readlink(path)
        if where.startswith("net:") and where != os.readlink(f"/proc/{pid}/ns/net"):
            must("nsenter", f"--net={path}", "python3", "-c", script)


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.report = proof(f"{DIR}/r.json")
        with open(f"{DIR}/r.html") as f:
            cls.html = f.read()
        cls.page = Page(cls.html)

    def names(self, *outcomes, protections=OURS):
        return [a["name"] for a in self.report["attempts"]
                if any(a["results"][k]["outcome"] in outcomes for k in protections)]

    # ---- JSON ----

    def test_battery_checksum(self):
        attempts = self.report["attempts"]
        lines = "".join(f"{a['name']}\n{a['sentence']}\n" for a in attempts)
        self.assertEqual(self.report["battery"], {
            "attempts": len(attempts), "sha256": hashlib.sha256(lines.encode()).hexdigest()})

    def test_frames_are_decoded(self):
        layers = {a["name"]: a["results"]["none"]["first_frame"]["layers"]
                  for a in self.report["attempts"] if a["results"]["none"]["frames"]}
        self.assertRegex(layers["udp4-sendto"][1], r"^IPv4, 10\.0\.2\.1 → 10\.0\.2\.2, 44 bytes")
        self.assertRegex(layers["tcp6"][2], r"^TCP, port \d+ → \d+, SYN$")
        self.assertRegex(layers["join4-index"][2], r"^IGMPv3 report, \d+ groups, the first 239\.")
        self.assertRegex(layers["join6"][3], r"^MLDv2 report, \d+ groups, the first ff15:")
        self.assertRegex(layers["host-vlan"][1], r"^VLAN tag, VLAN 7$")
        self.assertRegex(layers["host-arp"][1], r"^ARP request, 10\.0\.1\.1 asks who has")
        for name, text in layers.items():
            self.assertFalse([t for t in text if "cut short" in t], name)

    # ---- pcapng ----

    def fields(self, *names):
        argv = ["tshark", "-r", f"{DIR}/r.pcapng", "-T", "fields"]
        for name in names:
            argv += ["-e", name]
        lines = must(*argv, timeout=120).splitlines()
        return [line.split("\t") for line in lines]

    @unittest.skipUnless(shutil.which("tshark"), "tshark is not installed")
    def test_captured_frames(self):
        rows = self.fields("frame.comment", "frame.interface_name", "frame.number")
        counts = collections.Counter(comment for comment, _, _ in rows)
        for a in self.report["attempts"]:
            for k, result in a["results"].items():
                self.assertEqual(counts.pop(f"{a['name']} / {k}", 0), result["frames"],
                                 (a["name"], k))
        # All others say that they were not counted, and each attempt that was made has an end.
        self.assertEqual([c for c in counts if not c.startswith("not counted: ")], [])
        ends = [c for c in counts if c.startswith("not counted: end mark of ")]
        made = [r for a in self.report["attempts"] for r in a["results"].values()
                if r["outcome"] not in ("n/a", "unavailable") and
                not r.get("why", "").startswith("no program that opens")]
        self.assertGreaterEqual(len(ends), len(made))
        self.assertLessEqual({"in0-peer", "out0-peer"}, {device for _, device, _ in rows})

    @unittest.skipUnless(shutil.which("tshark"), "tshark is not installed")
    def test_capture_is_whole(self):
        text = must("capinfos", f"{DIR}/r.pcapng")
        self.assertRegex(text, r"Capture application: +ifpin prove")
        self.assertNotRegex(text, "cut short|damaged")
        vlans = {row[0] for row in self.fields("vlan.id") if row[0]}
        self.assertIn("7", vlans)

    def test_drops_are_told(self):
        """Statistics of every device, in the file's own words: none lost."""
        with open(f"{DIR}/r.pcapng", "rb") as f:
            data = f.read()
        kinds = [kind for kind, _ in blocks(data)]
        self.assertEqual(drops(data), [0] * kinds.count(1))
        self.assertGreater(kinds.count(6), 1000)

    def test_a_capture_that_loses_frames(self):
        """Stopped while more frames come than there is room for, it does not say that all is well."""
        capture, path = f"{DIR}/lossy.pcapng", f"{DIR}/lossy.json"
        os.mkfifo(capture)
        p = subprocess.Popen([IFPIN, "prove", f"--pcapng={capture}", f"--json={path}"], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with p:
            try:
                with open(capture, "rb") as f:
                    data = f.read(100)  # from here on it captures
                    os.kill(p.pid, signal.SIGSTOP)
                    os.waitid(os.P_PID, p.pid, os.WSTOPPED)
                    flood_namespaces(p.pid)
                    os.kill(p.pid, signal.SIGCONT)
                    data += f.read()
                said, errors = p.communicate(timeout=60 * PACE)
            finally:
                p.kill()
        self.assertEqual((p.returncode, said), (125, ""))
        lost = re.fullmatch(r"ifpin: the capture lost (\d+) frames, so nothing is proved .*\n", errors)
        self.assertTrue(lost, errors)
        self.assertGreater(int(lost[1]), 100)
        self.assertEqual(sum(drops(data)), int(lost[1]))
        self.assertFalse(os.path.exists(path))

    # ---- the page, as a file ----

    def test_page_is_well_formed(self):
        self.assertEqual(self.page.open, [])
        self.assertEqual(len(self.page.ids), len(set(self.page.ids)))
        for link in self.page.links:
            self.assertTrue(link.startswith("#"), link)
            self.assertIn(link[1:], self.page.ids)
        self.assertNotIn("http", re.sub("http-equiv", "", self.html))
        self.assertLess(len(self.html.encode()), 600 << 10)

    def test_page_says_what_the_report_says(self):
        words = {"unavailable": "not here"}
        for a in self.report["attempts"]:
            cells = []
            for k in self.report["protections"]:
                r = a["results"][k]
                word = words.get(r["outcome"], r["outcome"])
                cells.append(f"{r['frames']} {word}" if word in ("held", "leaked", "not held") else word)
            self.assertEqual(self.page.rows[a["name"]], cells, a["name"])
        for text in (self.report["battery"]["sha256"], self.report["kernel"], self.report["date"],
                     f"--json={DIR}/r.json"):
            self.assertIn(text, self.html)
        answer = re.search(r'<p class="short">(.*?)</p>', self.html).group(1)
        self.assertEqual(re.findall('href="#([^"]+)"', answer), self.names("not held"))
        read = html.unescape(self.html)
        for a in self.report["attempts"]:
            for r in a["results"].values():
                if "why" in r:
                    self.assertIn(r["why"], read)

    # ---- behind others' commands ----

    def against(self, *commands, only="pktinfo"):
        path = os.path.join(DIR, "against.json")
        p = run(IFPIN, "prove", f"--only={only}", f"--json={path}", f"--html={DIR}/against.html",
                *(f"--against={c}" for c in commands), timeout=120 * PACE)
        self.assertEqual(p.returncode, 0, p.stderr)
        return proof(path), p.stdout

    def test_against(self):
        """What confines nothing leaks as nothing does, and ifpin run holds behind another, too."""
        commands = {"against env": "env", "against own": f"{IFPIN} run --dns=system {{device}} --"}
        report, text = self.against(*(f"{k.split()[1]}={c}" for k, c in commands.items()))
        self.assertEqual(report["against"], commands)
        self.assertEqual(report["protections"][-2:], list(commands))
        self.assertEqual(report["failures"], 0)
        for a in report["attempts"]:
            r = a["results"]
            self.assertEqual(r["against env"]["frames"], r["none"]["frames"], a["name"])
            self.assertEqual(r["against own"]["outcome"], r["ifpin run"]["outcome"], a["name"])
        self.assertIn("against own: ", text)
        with open(f"{DIR}/against.html") as f:
            page = Page(f.read())
        self.assertEqual(page.open, [])
        self.assertEqual(len(page.rows["pktinfo4"]), len(report["protections"]))

    def test_against_who_inherits(self):
        """A socket made outside goes through, or the command does not start with it."""
        report, _ = self.against("env=env", f"own={IFPIN} run --dns=system in0 --",
                                 only="inherited-socket")
        r = report["attempts"][0]["results"]
        self.assertEqual([r[k]["outcome"] for k in ("against env", "against own")], ["leaked", "held"])

    def test_against_summaries(self):
        """A device that has got its link-local address reports its groups, without those that were
        left; an end mark in such a report hides what was to come. Here it gets one all the time."""
        path = os.path.join(DIR, "summaries")
        with open(path, "w") as f:
            f.write(SUMMARIES)
        for _ in range(5):
            p = run(IFPIN, "prove", "--only=join6", f"--json={DIR}/join6.json",
                    f"--against=sh {path}", timeout=120 * PACE)
            if p.returncode == 125:
                self.assertIn("busy", p.stderr)  # the end could not be told: nothing is proved
                continue
            result = proof(f"{DIR}/join6.json")["attempts"][0]["results"]["against"]
            self.assertEqual(result["outcome"], "leaked")

    def test_against_nothing(self):
        """Who lets out nothing has held nothing."""
        report, text = self.against("sh -c 'exec unshare --net \"$@\"' sh")
        for a in report["attempts"]:
            self.assertEqual(a["results"]["against"]["outcome"], "unavailable")
            self.assertIn("nothing leaves by the device", a["results"]["against"]["why"])
        self.assertIn("nothing was tried", text)

    def test_against_refused(self):
        for words, commands in (("did not start", ["false"]), ("no command", ["x="]),
                                ("no command", [" "]), ("are called", ["env", "env"]),
                                ("are called", ["a=env", "a=sh"]), ("too many", ["env"] * 5)):
            p = run(IFPIN, "prove", "--only=udp4-sendto", *(f"--against={c}" for c in commands))
            self.assertEqual(p.returncode, 125, commands)
            self.assertIn(words, p.stderr)

    def test_against_compared(self):
        """With an earlier report whose commands stood in another order."""
        report, _ = self.against("a=env", f"b={IFPIN} run --dns=system in0 --", only="udp4-sendto")
        path = os.path.join(DIR, "against.json")
        p = run(IFPIN, "prove", "--only=udp4-sendto", f"--compare={path}", "--against=a=env",
                f"--against=b={IFPIN} run --dns=system in0 --")
        self.assertIn("nothing has changed", p.stdout)
        p = run(IFPIN, "prove", "--only=udp4-sendto", f"--compare={path}",
                f"--against=b={IFPIN} run --dns=system in0 --", "--against=a=env")
        self.assertIn("nothing has changed", p.stdout)
        p = run(IFPIN, "prove", "--only=udp4-sendto", f"--compare={path}",
                "--against=a=env", "--against=b=env")
        self.assertEqual(p.returncode, 0, p.stdout)
        self.assertIn("other outcome: udp4-sendto, against b: leaked, was held", p.stdout)

    # ---- comparison ----

    def compare(self, change, *argv, only="udp4-sendto"):
        """Against a report that was made out of this one."""
        old = json.loads(json.dumps(self.report))
        if only:
            old["attempts"] = [a for a in old["attempts"] if only in (a["name"], a["class"])]
        change(old)
        path = os.path.join(DIR, "old.json")
        with open(path, "w") as f:
            json.dump(old, f)
        return run(IFPIN, "prove", f"--only={only}", f"--compare={path}", *argv)

    def test_compare(self):
        p = self.compare(lambda old: None)
        self.assertEqual(p.returncode, 0, p.stdout)
        self.assertIn("nothing has changed", p.stdout)
        p = self.compare(lambda old: old.update(kernel="5.10"))
        self.assertEqual(p.returncode, 0, p.stdout)
        self.assertIn(f"  kernel: {self.report['kernel']}, was 5.10\n", p.stdout)

    def test_compare_regressions(self):
        path = os.path.join(DIR, "new.json")

        def gone(old):
            old["attempts"].append(dict(old["attempts"][0], name="bygone"))
            old["mechanisms"].append({"name": "magic", "there": True})
        p = self.compare(gone, f"--json={path}", only="udp4-sendto")
        self.assertEqual(p.returncode, 1, p.stdout)
        self.assertIn("REGRESSION: mechanism lost: magic", p.stdout)
        self.assertNotIn("bygone", p.stdout)  # it was not asked for
        changes = proof(path)["compared"]
        self.assertEqual(changes["regressions"], 1)
        self.assertIn({"kind": "mechanism lost", "regression": True, "mechanism": "magic"},
                      changes["changes"])
        # A leak that was none before: a hole made on purpose.
        old = os.path.join(DIR, "sound.json")
        must(IFPIN, "prove", "--only=cgroup-of-other", f"--json={old}")
        p = run(IFPIN, "prove", "--only=cgroup-of-other", "--with=--keep-cap=sys_ptrace",
                f"--compare={old}", f"--json={path}", f"--html={DIR}/leak.html",
                f"--pcapng={DIR}/leak.pcapng")
        self.assertEqual(p.returncode, 1)
        self.assertIn("REGRESSION: new leak: cgroup-of-other, ifpin run: leaked, was held", p.stdout)
        self.assertEqual(proof(path)["compared"]["changes"][0],
                         {"kind": "new leak", "regression": True, "attempt": "cgroup-of-other",
                          "protection": "ifpin run", "was": "held", "is": "leaked"})
        with open(f"{DIR}/leak.html") as f:
            page = f.read()
        self.assertIn("Yes: 1 of 1 attempts leaked past ifpin.", page)
        self.assertIn("First leaked frame, under ifpin run:", page)

    def test_compare_bad_files(self):
        path = os.path.join(DIR, "bad.json")
        for text, words in (("", "is not JSON"), ("<html>", "is not JSON"),
                            ('{"a": 1}', 'no "format"'),
                            ('{"kernel": "6.1", "attempts": []}', "before reports had a version"),
                            ('{"format": "ifpin-proof", "version": 99}', "of version 99")):
            with self.subTest(text):
                with open(path, "w") as f:
                    f.write(text)
                p = run(IFPIN, "prove", f"--compare={path}")
                self.assertEqual((p.returncode, p.stdout), (125, ""))
                self.assertIn(words, p.stderr)
                self.assertIn(path, p.stderr)
        with open(path, "w") as f:
            json.dump(dict(self.report, here={}), f)
        p = run(IFPIN, "prove", f"--compare={path}")
        self.assertEqual(p.returncode, 125)
        self.assertIn("is a report of a host as it is (--here), which this is not", p.stderr)
        p = run(IFPIN, "prove", "--here=lo", f"--compare={DIR}/r.json")
        self.assertEqual(p.returncode, 125)
        self.assertIn("is a report of the laboratory, which this is not", p.stderr)
        p = run(IFPIN, "prove", f"--compare={DIR}/none.json")
        self.assertEqual(p.returncode, 125)
        self.assertIn("none.json: No such file", p.stderr)

    def test_cannot_write(self):
        for option in ("json", "junit", "html", "pcapng"):
            p = run(IFPIN, "prove", "--only=udp4-sendto", f"--{option}={DIR}/no/file")
            self.assertEqual((p.returncode, p.stdout), (125, ""), option)  # nothing was tried
            self.assertIn(f"cannot write {DIR}/no/file: No such file", p.stderr)
            p = run(IFPIN, "prove", "--only=udp4-sendto", f"--{option}=/dev/full")
            self.assertEqual(p.returncode, 125, option)
            self.assertIn("No space left", p.stderr, option)

    def test_broken(self):
        """What could not be made is no leak, and it is said why the proof fails."""
        p = run("python3", "-c", WITHOUT_IO_URING, os.path.dirname(__file__), IFPIN, "prove",
                "--only=io-uring-pktinfo", f"--html={DIR}/broken.html",
                f"--json={DIR}/broken.json")
        self.assertEqual(p.returncode, 1)
        self.assertIn("Broken (none): io-uring-pktinfo: no frame arrived without protection: "
                      "Operation not permitted\n", p.stdout)
        self.assertEqual(p.stdout.count("Broken ("), 1)
        outcomes = {x["outcome"] for x in proof(f"{DIR}/broken.json")["attempts"][0]["results"].values()}
        self.assertEqual(outcomes, {"broken", "out of reach"})  # silence is not taken for held
        with open(f"{DIR}/broken.html") as f:
            page = f.read()
        self.assertIn("This does not tell: 1 of 1 attempts could not be made", page)

    def test_not_here(self):
        for option in ("html", "pcapng"):
            p = run(IFPIN, "prove", "--here=lo", "--yes", f"--{option}={DIR}/here")
            self.assertEqual(p.returncode, 125)
            self.assertIn("are of the laboratory, not of this host", p.stderr)
            self.assertFalse(os.path.exists(f"{DIR}/here"))

    def test_words_of_the_command_are_text(self):
        p = run(IFPIN, "prove", "--only=udp4-sendto", "--with=--name=<b>")
        self.assertEqual(p.returncode, 125)  # ifpin run refuses it
        path = os.path.join(DIR, "odd")
        p = subprocess.run([os.fsencode(IFPIN), b"prove", b"--only=udp4-sendto",
                            b"--junit=" + os.fsencode(DIR) + b"/<b>&'\xff",
                            f"--html={path}.html", f"--json={path}.json"], capture_output=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("/<b>&'?", proof(f"{path}.json")["command"][1])
        with open(f"{path}.html") as f:
            text = f.read()
        self.assertTrue("/&lt;b&gt;&amp;&#39;\\&#39;&#39;\ufffd'" in text)
        self.assertEqual(Page(text).open, [])


@unittest.skipUnless(os.path.isdir(f"{BROWSER}/node_modules") and shutil.which("chromium"),
                     "make check installs chromium and what drives it")
class Browser(unittest.TestCase):
    """What people see. Chromium has no network here; that it asks for none is looked at as well."""

    @classmethod
    def setUpClass(cls):
        cls.attempts = proof(f"{DIR}/r.json")["attempts"]
        cls.found = cls.visit(f"{DIR}/r.html")

    @classmethod
    def visit(cls, *argv):
        return json.loads(must("node", f"{BROWSER}/page.mjs", *argv, timeout=300,
                               env=dict(os.environ, HOME=DIR)))

    def names(self, wanted):
        return [a["name"] for a in self.attempts if wanted(a)]

    def test_nothing_overflows(self):
        looks = {f"{width} {scheme}": [] for width in (360, 1440) for scheme in ("light", "dark")}
        self.assertEqual(self.found["overflow"], dict(looks, print=[]))

    def test_accessible(self):
        self.assertEqual(set(sum(self.found["violations"].values(), [])), set())
        self.assertEqual(len(self.found["violations"]), 4)

    def test_asks_nobody(self):
        self.assertEqual((self.found["requests"], self.found["console"]), ([], []))

    def test_filters(self):
        def any_of(*outcomes, protections):
            return lambda a: any(a["results"][k]["outcome"] in outcomes for k in protections)
        everything = self.attempts[0]["results"]
        for filter, wanted in (
                ("words=xdp", lambda a: a["name"] == "xdp"),
                ("words=", lambda a: True),
                ("group=join", lambda a: a["class"] == "join"),
                ("what=open", any_of("leaked", "not held", "broken", protections=OURS)),
                ("what=btd", any_of("leaked", protections=("SO_BINDTODEVICE",))),
                ("what=untried", any_of("n/a", "out of reach", "unavailable",
                                        protections=everything))):
            names, found = self.names(wanted), self.found["filtered"][filter]
            self.assertEqual(found["rows"], names, filter)
            self.assertEqual(found["articles"], names, filter)
            self.assertEqual(found["said"],
                             f"{len(names)} of {len(self.attempts)} attempts are shown")

    def test_without_scripts(self):
        still, n = self.found["still"], len(self.attempts)
        self.assertEqual((still["rows"], still["articles"], still["filters"]), (n, n, 0))
        for a in self.attempts:
            self.assertIn(a["sentence"], still["text"])

    def test_keyboard(self):
        first, there, _ = self.found["keys"]
        self.assertIn('class="skip"', first)
        self.assertIn('id="attempts"', there)

    def test_paper(self):
        self.assertEqual(self.found["printed"], {"filters": 0, "rows": len(self.attempts)})
        size = [float(n) for n in re.findall(r"[\d.]+", self.found["pdf"])]
        self.assertAlmostEqual(size[2], 595, delta=2)  # A4
        self.assertAlmostEqual(size[3], 842, delta=2)

    def test_many_columns(self):
        """As many as there may be, with the longest of labels."""
        must(IFPIN, "prove", "--only=pktinfo", f"--html={DIR}/wide.html",
             *(f"--against=commands-of-{n}.x=env" for n in range(4)))
        for width in ("360", "1440"):
            found = self.visit(f"{DIR}/wide.html", width, "light")
            self.assertEqual(found["overflow"], {f"{width} light": []})
            self.assertEqual(found["violations"], {f"{width} light": []})

    def test_can_fail(self):
        """A page that does all of this wrong is found out."""
        must(IFPIN, "prove", "--only=xdp", f"--html={DIR}/bad.html")
        with open(f"{DIR}/bad.html") as f:
            page = f.read()
        page = re.sub('<meta http-equiv="Content-Security-Policy".*?>', "", page)
        page = page.replace("<main>", '<main><img src="http://192.0.2.1/x.png">'
                            '<p style="max-width: none; width: 2000px">wide</p>', 1)
        with open(f"{DIR}/bad.html", "w") as f:
            f.write(page)
        found = self.visit(f"{DIR}/bad.html", "1440", "dark")
        self.assertIn("http://192.0.2.1/x.png", found["requests"])
        self.assertIn("image-alt", str(found["violations"]["1440 dark"]))
        self.assertIn("P wide", found["overflow"]["1440 dark"])
