# SPDX-License-Identifier: MIT
"""dist/install-packages: what somebody is told who cannot install, or has another distribution."""
import os
import shutil
import tempfile
import unittest

from lab import run

DIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dist")
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Install(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)
        self.dist = shutil.copytree(DIST, f"{self.dir}/dist")
        self.script = f"{self.dist}/install-packages"

    def test_nothing_missing(self):
        p = run(self.script)
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "", ""))

    def test_who_is_not_root_gets_the_command(self):
        with open(f"{self.dist}/packages-more", "w") as f:
            f.write("# two that no archive has\nifpin-no-package ifpin-no-other\n")
        p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", self.script, "more")
        self.assertEqual(p.returncode, 1)
        self.assertEqual(p.stderr.splitlines()[-1], "apt-get install --no-install-recommends "
                         "ifpin-no-package ifpin-no-other")

    def elsewhere(self, *sets, without=None):
        """A host with all that this one has but for the tools of Debian and that program."""
        path = tempfile.mkdtemp(dir=self.dir)
        for folder in FOLDERS:
            for name in os.listdir(folder):
                if name not in ("apt-get", "dpkg-query", without) and \
                        not os.path.lexists(f"{path}/{name}"):
                    os.symlink(f"{folder}/{name}", f"{path}/{name}")
        return run("env", f"PATH={path}", self.script, *sets)

    def test_another_distribution(self):
        # What dist/packages brings is also what others are asked for.
        p = self.elsewhere()
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        p = self.elsewhere(without="scdoc")
        self.assertEqual(p.returncode, 1)
        self.assertIn("for pkg-config: scdoc\n", p.stderr)
        p = self.elsewhere("deb")
        self.assertEqual(p.returncode, 1)
        self.assertIn("on Debian only", p.stderr)
