#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The site, out of what there is: make.py DIR [IFPIN]

pandoc turns the documents into pages, scdoc and mandoc the manual; the proof is what `IFPIN prove
--html` writes. Fails if a link between the pages leads nowhere.
"""
import glob
import html
import html.parser
import itertools
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Page, its source, what the way to it is called.
PAGES = (
    ("index", "README.md", "ifpin"),
    ("threat-model", "docs/threat-model.md", "Threat model"),
    ("rings", "docs/rings.md", "Rings"),
    ("devices", "docs/devices.md", "Devices"),
    ("systemd", "docs/systemd.md", "systemd"),
    ("audit", "docs/audit.md", "Audit"),
    ("kernels", "docs/kernels.md", "Kernels"),
    ("comparison", "docs/comparison.md", "Beside others"),
    ("kernel-facts", "docs/kernel-facts.md", "Kernel facts"),
    ("decisions", "docs/decisions.md", "Decisions"),
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<a class="skip" href="#main">To the text</a>
<nav aria-label="Pages"><ul>
{nav}
</ul></nav>
<main id="main">
{body}
</main>
</body>
</html>
"""


def output(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **kw).stdout


class Site:
    def __init__(self, to, ifpin):
        self.to, self.ifpin = to, ifpin
        self.man = {}  # each name of the manual: its page
        self.ways = [(page, name) for page, _, name in PAGES] + [("manual", "Manual")]

    def write(self, page, title, body, current):
        nav = "\n".join(
            f'<li><a href="{p}.html"{" aria-current=page" if p == current else ""}>{n}</a></li>'
            for p, n in self.ways)
        # A table or a block of text that scrolls is to be reached by the keyboard, too.
        number = itertools.count(1)
        body = re.sub(r"<table(?! class=\"(?:head|foot))(.*?</table>)",
                      lambda m: '<div class="table" tabindex="0" role="region" '
                      f'aria-label="Table {next(number)}"><table{m[1]}</div>', body, flags=re.S)
        body = re.sub(r"<pre(?! tabindex)", '<pre tabindex="0"', body)
        with open(f"{self.to}/{page}.html", "w") as f:
            f.write(PAGE.format(title=html.escape(title), nav=nav, body=self.link_manual(body, page)))

    def link_manual(self, body, own):
        """ifpin(8) and <b>ifpin</b>(8) lead to the page, where it is one of ours."""
        def link(m):
            page = self.man.get(f"{m[2]}.{m[4]}")
            return f'<a href="{page}.html">{m[0]}</a>' if page and page != own else m[0]
        return re.sub(r"(<b>)?(?<![\w./-])([A-Za-z][\w.-]*)(</b>)?\(([358])\)", link, body)

    def documents(self):
        for page, source, name in PAGES:
            body = output("pandoc", "--from=gfm", "--to=html5", "--no-highlight", f"{ROOT}/{source}")
            body = re.sub(r'href="(?:docs/)?([\w-]+)\.md(#[^"]*)?"',
                          lambda m: f'href="{m[1]}.html{m[2] or ""}"', body)
            body = re.sub(r'(src|srcset|href)="docs/', r'\1="', body)
            self.write(page, name if page == "index" else f"{name} - ifpin", body, page)
        for kind in "svg", "json":
            for path in glob.glob(f"{ROOT}/docs/*.{kind}"):
                shutil.copy(path, self.to)

    def manual(self):
        sources = {}
        for path in sorted(glob.glob(f"{ROOT}/man/*.scd")):
            page = os.path.basename(path)[:-len(".scd")]
            with open(path) as f:
                text = f.read()
            names, about = re.search(
                r"^# NAME\n\n(.*?)\s-\s(.*?)\n\n", text, re.M | re.S).groups()
            sources[page] = (text, about)
            for name in re.split(r",\s*", names):
                self.man[f"{name.strip('* ')}.{page.rpartition('.')[2]}"] = page
        for page, (text, _) in sources.items():
            body = output("mandoc", "-T", "html", "-O", "fragment",
                          input=output("scdoc", input=text))
            name, section = page.rsplit(".", 1)
            # The pages begin below their title.
            body = f"<h1>{name}({section})</h1>\n" + \
                re.sub(r"(</?)h(\d)\b", lambda m: f"{m[1]}h{int(m[2]) + (m[2] == '1')}", body)
            self.write(page, f"{name}({section}) - ifpin", body, "manual")
        # A name becomes a link as everywhere.
        rows = "\n".join(f"<tr><td>{p[:-2]}({p[-1]})</td><td>{html.escape(about)}</td></tr>"
                         for p, (_, about) in sorted(sources.items(), key=lambda s: s[0][::-1][0] + s[0]))
        self.write("manual", "Manual - ifpin", f"<h1>Manual</h1>\n<table>\n<thead><tr><th>Page</th>"
                   f"<th>About</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>", "manual")

    def proof(self):
        """A real one, made now on this kernel."""
        subprocess.run([self.ifpin, "prove", f"--html={self.to}/proof.html"],
                       stdout=subprocess.DEVNULL, check=True)

    def make(self):
        os.makedirs(self.to, exist_ok=True)
        if self.ifpin:
            self.ways.append(("proof", "A proof"))
            self.proof()
        # Names of the manual are linked in the documents, so they are looked up first.
        self.manual()
        self.documents()
        shutil.copy(f"{HERE}/style.css", self.to)


class Links(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.to = set(), []
        with open(path) as f:
            self.feed(f.read())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src", "srcset"):
                self.to.append(value)


def dead_links(folder):
    """Links between the pages, and within one, that lead nowhere."""
    pages = {os.path.basename(p): Links(p) for p in glob.glob(f"{folder}/*.html")}
    dead = []
    for name, page in sorted(pages.items()):
        for to in page.to:
            target, _, part = to.partition("#")
            if re.match(r"[a-z]+:", to):
                continue
            target = target or name
            if not os.path.exists(f"{folder}/{target}") or \
                    part and target in pages and part not in pages[target].ids:
                dead.append(f"{name}: {to}")
    return dead


def main():
    folder = sys.argv[1]
    Site(folder, sys.argv[2] if len(sys.argv) > 2 else None).make()
    dead = dead_links(folder)
    print("\n".join(dead) if dead else f"{len(glob.glob(f'{folder}/*.html'))} pages, all links lead somewhere")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
