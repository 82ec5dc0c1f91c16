# SPDX-License-Identifier: MIT
"""The libraries as others see them: headers, version scripts and exported symbols agree."""
import os
import re
import shutil
import tempfile
import unittest

from lab import IFPIN, must, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.path.dirname(IFPIN))
LIBRARIES = {"ifpin": ("ifpin", "device", "socket"), "ifpin-resolve": ("resolve",)}


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def declared(headers):
    """Functions that headers mark as public."""
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", read(f"include/ifpin/{header}.h"), flags=re.S)
        names |= set(re.findall(r"IFPIN_API[^;(]*?\b(ifpin_\w+)\s*\(", text))
    return names


class Abi(unittest.TestCase):
    def test_headers_map_and_symbols_agree(self):
        for library, headers in LIBRARIES.items():
            with self.subTest(library):
                text = read(f"src/lib{library}.map")
                self.assertEqual(text.split()[0], "IFPIN_0.1")
                self.assertIn("local:\n\t*;", text)
                mapped = re.findall(r"^\t(ifpin_\w+);", text, re.M)
                self.assertEqual(mapped, sorted(set(mapped)))
                self.assertEqual(set(mapped), declared(headers))
                out = must("nm", "-D", "--defined-only", f"{BUILD}/lib{library}.so")
                exported = {line.split()[-1] for line in out.splitlines()} - {"IFPIN_0.1@@IFPIN_0.1",
                                                                             "IFPIN_0.1"}
                exported = {n for n in exported if not n.startswith("IFPIN_0.1")}
                self.assertEqual(exported, {f"{n}@@IFPIN_0.1" for n in mapped})

    def test_every_function_is_described(self):
        """In its header, and in a manual page of its own name."""
        for headers in LIBRARIES.values():
            for name in declared(headers):
                text = "".join(read(f"include/ifpin/{h}.h") for h in headers)
                self.assertRegex(text, rf"\* {name} - ")
                self.assertTrue(os.path.exists(f"{BUILD}/man/{name}.3"), name)

    def test_headers_stand_alone(self):
        for headers in LIBRARIES.values():
            for header in headers:
                for compiler in (["gcc", "-std=c11", "-xc"], ["g++", "-std=c++17", "-xc++"],
                                 ["clang", "-std=c11", "-xc"]):
                    p = run(*compiler, "-pedantic-errors", "-Wall", "-Wextra", "-Werror",
                            "-fsyntax-only", f"-I{ROOT}/include", "-",
                            input=f"#include <ifpin/{header}.h>\n#include <ifpin/{header}.h>\n")
                    self.assertEqual(p.returncode, 0, p.stderr)

    def test_what_it_needs(self):
        """The C library and libmnl."""
        out = must("readelf", "-d", f"{BUILD}/libifpin.so")
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", out))
        needed = {n for n in needed if "san.so" not in n}
        self.assertLessEqual(needed, {"libmnl.so.0", "libc.so.6", "libm.so.6", "libgcc_s.so.1"})
        self.assertIn("[libifpin.so.0]", out)

    def test_no_state(self):
        """No writable data in the library: nothing is shared between threads."""
        writable = re.compile(r"^[0-9a-f]+ (?!l +d ).*\s\.(?:data|bss|tdata|tbss|data\.rel|"
                              r"data\.rel\.local)\s+\S+\s+(\S+)$", re.M)
        self.assertEqual(writable.findall("0000000000000000 l     O .bss\t0000000000000004 counter"),
                         ["counter"])
        for library in LIBRARIES:
            out = must("objdump", "-t", f"{BUILD}/lib{library}.a")
            self.assertIn(".text", out)
            self.assertEqual(writable.findall(out), [])


class Installed(unittest.TestCase):
    """What a user has after `make install`."""

    def test_examples_of_the_manual(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
            must("meson", "setup", f"{d}/build", ROOT, f"--prefix={d}/usr", "--libdir=lib",
                 "-Dtests=false", "-Dconfine=false")
            must("meson", "install", "-C", f"{d}/build")
            env = dict(os.environ, PKG_CONFIG_PATH=f"{d}/usr/lib/pkgconfig")
            compiled = 0
            for page in sorted(os.listdir(f"{ROOT}/man")):
                text = read(f"man/{page}")
                found = re.search(r"# EXAMPLE\n.*?```\n(#include.*?)```", text, re.S)
                if not found:
                    continue
                package = "ifpin-resolve" if "resolve.h" in found.group(1) else "ifpin"
                flags = must("pkg-config", "--cflags", "--libs", package, env=env).split()
                source = found.group(1).replace("\\\\", "\\")
                main = "" if "main(" in source else "int main(void) { return 0; }\n"
                p = run("gcc", "-xc", "-Wall", "-Wextra", "-Werror", "-o", f"{d}/example", "-",
                        *flags, f"-Wl,-rpath-link,{d}/usr/lib", input=source + main)
                self.assertEqual(p.returncode, 0, f"{page}: {p.stderr}")
                compiled += 1
            self.assertGreaterEqual(compiled, 8)
            for example in os.listdir(f"{d}/usr/share/doc/ifpin/examples"):
                p = run("gcc", "-o", f"{d}/example", f"{d}/usr/share/doc/ifpin/examples/{example}",
                        *must("pkg-config", "--cflags", "--libs", "ifpin", env=env).split(),
                        "-D_GNU_SOURCE", f"-Wl,-rpath-link,{d}/usr/lib")
                self.assertEqual(p.returncode, 0, f"{example}: {p.stderr}")


class Embedded(unittest.TestCase):
    """A product that leaves all but the socket ring out, installed, used by pkg-config."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ifpin-embedded-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.dir)

    def test_socket_ring_alone(self):
        build, prefix = f"{self.dir}/build", f"{self.dir}/usr"
        must("meson", "setup", build, ROOT, "-Dconfine=false", "-Dresolve=disabled",
             "-Dtests=false", f"--prefix={prefix}", "--libdir=lib")
        must("meson", "install", "-C", build)
        self.assertFalse(os.path.exists(f"{prefix}/sbin/ifpin"))
        self.assertEqual(sorted(os.listdir(f"{prefix}/include/ifpin")),
                         ["device.h", "ifpin.h", "socket.h"])
        env = dict(os.environ, PKG_CONFIG_PATH=f"{prefix}/lib/pkgconfig")
        flags = must("pkg-config", "--cflags", "--libs", "ifpin", env=env).split()
        program = f"{self.dir}/program"
        must("gcc", "-x", "c", "-o", program, "-", *flags, f"-Wl,-rpath,{prefix}/lib",
             input="#include <ifpin/ifpin.h>\n#include <stdio.h>\n"
                   "int main(void) { struct ifpin_device d; struct ifpin_error e;\n"
                   "int r = ifpin_device_resolve(\"lo\", &d, &e);\n"
                   "printf(\"%s %d %s\\n\", ifpin_version(), r, d.name); return r; }\n")
        self.assertEqual(must(program).split(), ["0.1.0", "0", "lo"])
        static = must("pkg-config", "--static", "--cflags", "--libs", "ifpin", env=env).split()
        self.assertIn("-lmnl", static)


if __name__ == "__main__":
    unittest.main()
