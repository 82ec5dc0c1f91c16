#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demonstration: the proof, then a real program with and without ifpin."""
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "netns"))
from lab import IFPIN, Chassis, any_ip, run  # noqa: E402

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def say(text, code="1"):
    print(f"\033[{code}m{text}\033[0m" if COLOUR else text, flush=True)


def show(chassis, note, *argv):
    """Runs a command as a reader would, then says what arrived at the far end of out0."""
    say(f"\n# {note}")
    print("$ " + " ".join("ifpin" if a == IFPIN else a for a in argv), flush=True)
    p = run(*argv)
    print((p.stdout + p.stderr).rstrip())
    frames = chassis.leaked(any_ip)
    say(f"  exit status {p.returncode}; frames seen on out0's wire: {frames}",
        "31" if frames else "32")
    return p.returncode, frames


def serve(peer, where):
    """A web server in a peer's namespace, with one page."""
    page = f"Hello from {where} the chassis.\n".encode()
    listener = peer.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("", 80))
    listener.listen()

    def answer():
        while True:
            connection = listener.accept()[0]
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)

    threading.Thread(target=answer, daemon=True).start()


def real_programs():
    say("\nA host with two interfaces: in0 is the control plane of a chassis (10.0.1.0/24), out0 is\n"
        "the outside (10.0.2.0/24) and has the default route. A web server is behind each of them.")
    c = Chassis()
    c.build()
    with c.stack:
        serve(c.pin, "inside")
        serve(c.pout, "outside")
        curl = ("curl", "-sS", "--connect-timeout", "1")
        pinned = (IFPIN, "run", "--dns=system", "in0", "--", *curl)
        seen = [
            show(c, "without ifpin, the outside answers", *curl, "http://10.0.2.2/"),
            show(c, "a source address is no protection", *curl, "--interface", "host!10.0.1.1",
                 "http://192.0.2.1/"),
            show(c, "with ifpin, the inside answers", *pinned, "http://10.0.1.2/"),
            show(c, "and nothing goes outside", *pinned, "http://10.0.2.2/"),
            show(c, "not even for root, by ping on the interface of its choice", IFPIN, "run",
                 "--dns=system", "in0", "--", "ping", "-c1", "-W1", "-I", "out0", "10.0.2.2"),
        ]
    # The demonstration is a claim too: it fails where it shows something else.
    return [bool(frames) for _, frames in seen] == [True, True, False, False, False] and \
        seen[2][0] == 0


def main():
    say("# every known leak, attempted four times, counted on the wire")
    print("$ ifpin prove", flush=True)
    proved = subprocess.run([IFPIN, "prove"]).returncode == 0
    shown = real_programs()
    if proved and shown:
        say("\nFor your own use: sudo ifpin run DEVICE -- COMMAND", "1;32")
        return 0
    say("\nThis did not come out as it should.", "1;31")
    return 1


if __name__ == "__main__":
    sys.exit(main())
