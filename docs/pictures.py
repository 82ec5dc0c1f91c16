#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws a report of `ifpin prove --json` for the README, on light and on dark.

docs/pictures.py REPORT DIRECTORY: writes proof-light.svg and proof-dark.svg; the same report, the same bytes.
"""
import html
import itertools
import json
import os
import re
import sys

COLOURS = {
    "light": {"text": "#1f2328", "soft": "#59636e", "leaked": "#c4320a", "held": "#1a7f4b", "off": "#9aa4ae"},
    "dark": {"text": "#f0f6fc", "soft": "#9198a1", "leaked": "#ff8a65", "held": "#4cc38a", "off": "#59636e"},
}
LABEL, BAR, PITCH, GAP, ROW, TOP = 152, 3, 4, 9, 44, 86
TALL, LOW, THIN = 26, 7, 2
LEAKED = ("leaked", "not held", "broken")


def text(x, y, words, colour, size=13, more=""):
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{more}>{html.escape(words)}</text>'


def bars(xs, floor, outcomes, c):
    """High is out; low is held; a line is what the protection is not for, or what is not there."""
    looks = {"leaked": TALL, "held": LOW, "off": THIN}
    kinds = ["leaked" if o in LEAKED else "held" if o == "held" else "off" for o in outcomes]
    for kind, height in looks.items():
        d = "".join(f"M{x} {floor - height}h{BAR}v{height}h-{BAR}z" for x, k in zip(xs, kinds) if k == kind)
        if d:
            yield f'<path fill="{c[kind]}" d="{d}"/>'


def places(attempts):
    """x of each attempt, and of each class its name and first x."""
    x, xs, classes = LABEL, [], []
    for name, group in itertools.groupby(attempts, key=lambda a: a["class"]):
        classes.append((name, x))
        for _ in group:
            xs.append(x)
            x += PITCH
        x += GAP
    return xs, classes, x


def sums(attempts, protection):
    outcomes = [a["results"][protection]["outcome"] for a in attempts]
    tried = [o for o in outcomes if o == "held" or o in LEAKED]
    return sum(o in LEAKED for o in outcomes), len(tried)


def draw(report, c):
    attempts, protections = report["attempts"], report["protections"]
    xs, classes, right = places(attempts)
    width, height = right + 132, TOP + ROW * len(protections) + 30
    kernel = re.match(r"\d+\.\d+", report["kernel"]).group()
    title = f"{len(attempts)} attempts to leave by another interface, Linux {kernel}"
    said = []
    parts = [text(0, 18, title, c["text"], 15, ' font-weight="600"')]
    for name, x in classes:
        parts.append(text(x, TOP - 16, name, c["soft"], 12, f' transform="rotate(-28 {x} {TOP - 16})"'))
    for n, protection in enumerate(protections):
        floor = TOP + ROW * n + TALL
        leaked, tried = sums(attempts, protection)
        said.append(f"{protection}: {leaked} of {tried} leaked")
        label = "no protection" if protection == "none" else protection
        parts.append(text(0, floor - 4, label, c["text"], 14))
        parts += bars(xs, floor, [a["results"][protection]["outcome"] for a in attempts], c)
        parts.append(text(right + 4, floor - 4, f"{leaked} of {tried} leaked", c["leaked" if leaked else "held"], 13))
    x, floor = LABEL, height - 8
    for outcome, words in (("leaked", "leaked"), ("held", "held"), ("n/a", "not what it is for")):
        parts += bars([x], floor, [outcome], c)
        parts.append(text(x + 9, floor, words, c["soft"], 12))
        x += 30 + 7 * len(words)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, \'Segoe UI\', \'Liberation Sans\', sans-serif">',
        f'<title id="t">{html.escape(title)}</title>',
        f'<desc id="d">{html.escape("; ".join(said))}. Battery {report["battery"]["sha256"]}.</desc>',
        *parts, "</svg>", ""])


def main():
    with open(sys.argv[1]) as f:
        report = json.load(f)
    for name, colours in COLOURS.items():
        with open(os.path.join(sys.argv[2], f"proof-{name}.svg"), "w") as f:
            f.write(draw(report, colours))


main()
