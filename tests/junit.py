# SPDX-License-Identifier: MIT
"""The results of tests as CI systems read them: the file of JUnit."""
import re
import xml.etree.ElementTree as xml

KINDS = ("failure", "error", "skipped")


class Report:
    """Adds up what is told to it; nothing is kept if there is no file."""

    def __init__(self, path):
        self.path = path
        self.cases = []

    def add(self, test, seconds, kind=None, text=""):
        """test: with its class, by dots; kind: one of KINDS, or None if it passed."""
        self.cases.append((test, seconds, kind, text))

    def write(self):
        if not self.path:
            return
        suite = xml.Element("testsuite", name="ifpin", tests=str(len(self.cases)),
                            time=f"{sum(c[1] for c in self.cases):.3f}")
        for kind, name in zip(KINDS, ("failures", "errors", "skipped")):
            suite.set(name, str(sum(c[2] == kind for c in self.cases)))
        for test, seconds, kind, text in self.cases:
            group, _, name = test.rpartition(".")
            case = xml.SubElement(suite, "testcase", classname=group, name=name,
                                  time=f"{seconds:.3f}")
            if kind:
                # XML has no word for most control characters.
                text = re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
                lines = text.strip().splitlines() or [""]
                xml.SubElement(case, kind, message=lines[-1]).text = text
        xml.ElementTree(suite).write(self.path, encoding="utf-8", xml_declaration=True)
