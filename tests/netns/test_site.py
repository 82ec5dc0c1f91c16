# SPDX-License-Identifier: MIT
"""The pages of `make site`, but for the proof (test_report): links, and what people see."""
import glob
import json
import os
import shutil
import tempfile
import unittest

from lab import must, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BROWSER = f"{ROOT}/tests/browser"
MAKE = f"{ROOT}/docs/site/make.py"


@unittest.skipUnless(shutil.which("pandoc") and shutil.which("mandoc"),
                     "make check installs pandoc and mandoc")
class Site(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.said = must(MAKE, f"{cls.dir}/site")

    def visit(self, *pages):
        return json.loads(must("node", f"{BROWSER}/site.mjs", *pages, timeout=300,
                               env=dict(os.environ, HOME=self.dir)))

    def test_links(self):
        self.assertRegex(self.said, r"^\d+ pages, all links lead somewhere\n$")
        manual = {os.path.basename(p)[:-len(".scd")] for p in glob.glob(f"{ROOT}/man/*.scd")}
        documents = {os.path.basename(p)[:-len(".md")] for p in glob.glob(f"{ROOT}/docs/*.md")}
        pages = {os.path.basename(p)[:-len(".html")] for p in glob.glob(f"{self.dir}/site/*.html")}
        self.assertEqual(pages, manual | documents | {"index", "manual"})

    def test_links_that_lead_nowhere(self):
        """They are found, or the test before says nothing."""
        tree = f"{self.dir}/tree"
        for part in ("docs", "man"):
            shutil.copytree(f"{ROOT}/{part}", f"{tree}/{part}")
        shutil.copy(f"{ROOT}/README.md", tree)
        with open(f"{tree}/docs/rings.md", "a") as f:
            f.write("\n[gone](gone.md) [part](audit.md#no-such-part)\n")
        p = run(f"{tree}/docs/site/make.py", f"{self.dir}/dead")
        self.assertEqual(p.returncode, 1)
        self.assertEqual(p.stdout, "rings.html: gone.html\nrings.html: audit.html#no-such-part\n")

    @unittest.skipUnless(os.path.isdir(f"{BROWSER}/node_modules") and shutil.which("chromium"),
                         "make check installs chromium and what drives it")
    def test_browser(self):
        pages = glob.glob(f"{self.dir}/site/*.html")
        found = self.visit(*pages)
        self.assertEqual(len(found["violations"]), 2 * len(pages))
        for kind in "overflow", "violations":
            self.assertEqual({page: what for page, what in found[kind].items() if what}, {}, kind)
        self.assertEqual((found["requests"], found["console"]), ([], []))

    @unittest.skipUnless(os.path.isdir(f"{BROWSER}/node_modules") and shutil.which("chromium"),
                         "make check installs chromium and what drives it")
    def test_browser_can_fail(self):
        with open(f"{self.dir}/site/audit.html") as f:
            page = f.read()
        page = page.replace('<main id="main">', '<main id="main"><img src="http://192.0.2.1/x.png">'
                            '<p style="width: 2000px">wide</p><pre style="width: 2000px">x</pre>')
        path = f"{self.dir}/bad.html"
        with open(path, "w") as f:
            f.write(page)
        found = self.visit(path)
        self.assertIn("http://192.0.2.1/x.png", found["requests"])
        self.assertIn("image-alt", str(found["violations"]["bad.html 1440 dark"]))
        for wide in "P wide", "PRE that scrolls", "the page":
            self.assertIn(wide, found["overflow"]["bad.html 360 light"])


if __name__ == "__main__":
    unittest.main()
