#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a C header out of the parts of the page that are no code of ours to write in C.

embed.py CSS JS SVG: the texts, and for the page's policy the hashes of the two that browsers obey.
"""
import base64
import hashlib
import sys


def literal(text):
    lines = text.replace("\\", "\\\\").replace('"', '\\"').splitlines()
    return "\n".join(f'\t"{line}\\n"' for line in lines)


def source(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def main():
    css, js, svg = (open(path).read() for path in sys.argv[1:])
    print("/* Made by embed.py. */")
    for name, text in (("css", css), ("js", js), ("svg", svg)):
        print(f"static const char page_{name}[] =\n{literal(text)};")
    print(f'#define PAGE_CSS_HASH "{source(css)}"\n#define PAGE_JS_HASH "{source(js)}"')


main()
