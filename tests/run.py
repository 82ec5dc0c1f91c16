#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the unit tests and the tests in network namespaces; ends with one plain line.

With a file's name in JUNIT, each test with its result and time is also written there, as CI systems
read it.
"""
import glob
import os
import re
import signal
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "netns"), os.path.join(ROOT, "tests")]
from junit import Report  # noqa: E402

REPORT = Report(os.environ.get("JUNIT"))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))


def unit_tests():
    """Passed and failed tests of the cmocka programs."""
    all_passed = all_failed = 0
    for program in sorted(glob.glob(os.path.join(BUILD, "test_*"))):
        if not os.access(program, os.X_OK) or os.path.isdir(program):
            continue
        p = subprocess.run([program], capture_output=True, text=True)
        text = p.stdout + p.stderr
        names = re.findall(r"^\[  FAILED  \] (\w+)$", text, re.M)
        if p.returncode and not names:
            names = ["all"]
        failed = len(names)
        passed = re.findall(r"^\[       OK \] (\w+)", text, re.M)
        all_passed += len(passed)
        for name in passed + names:
            REPORT.add(f"unit.{os.path.basename(program)}.{name}", 0,
                       "failure" if name in names else None, text)
        if failed:
            print(text)
        all_failed += failed
    return all_passed, all_failed


class Result(unittest.TextTestResult):
    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def tell(self, test, kind=None, text=""):
        seconds = time.monotonic() - self.began
        REPORT.add(test.id(), seconds, kind, text)
        return seconds

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok      {test.id()} ({self.tell(test):.1f} s)")

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.tell(test, "failure", self._exc_info_to_string(err, test))
        self.stream.writeln(f"FAILED  {test.id()}")

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        self.tell(test, "error", self._exc_info_to_string(err, test))
        self.stream.writeln(f"ERROR   {test.id()}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.tell(test, "failure", f"{subtest.id()}\n{self._exc_info_to_string(err, subtest)}")
            self.stream.writeln(f"FAILED  {subtest.id()}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, "skipped", reason)
        self.stream.writeln(f"skipped {test.id()}: {reason}")

    def getDescription(self, test):
        return ""

    def startTestRun(self):
        self.dots = self.showAll = False
        self.began = time.monotonic()  # for what fails before the first test has begun


def main():
    # Those who start the tests in the background may ignore them, and so would all that is tested.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["IFPIN"] = os.path.join(BUILD, "ifpin")
    os.environ["LEAKER"] = os.path.join(BUILD, "leaker")
    passed, failed = unit_tests()
    loader = unittest.TestLoader()
    if len(sys.argv) > 1:
        suite = loader.loadTestsFromNames(sys.argv[1:])
    else:
        suite = loader.discover(os.path.join(ROOT, "tests", "netns"))
    r = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0).run(suite)
    bad = len(r.failures) + len(r.errors)
    failed += bad
    passed += r.testsRun - bad - len(r.skipped)
    # What had to be installed and was not is a failure in CI, not something to pass over; what the
    # kernel has not is tried on another one (tests/vm).
    if os.environ.get("CI"):
        failed += sum(not why.startswith("this kernel ") for _, why in r.skipped)
    REPORT.write()
    line = f"{passed} passed, {failed} failed"
    if r.skipped:
        line += f", {len(r.skipped)} skipped"
    print(line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
