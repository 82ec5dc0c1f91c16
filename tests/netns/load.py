# SPDX-License-Identifier: MIT
"""Requests without a pause: load.py KIND ADDRESS PORT [ARG...], from inside a peer's namespace.

Says "going" once it is answered. Then, for each line "more N" on its standard input, waits until N
more requests have been answered and says how many that are in all, and how many were not.
load.py --once KIND ADDRESS PORT [ARG...] makes one, and exits with 0 if it is answered.
"""
import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time

WORKERS = {"ssh": 1}  # else two
TIMEOUT = 10
PAUSE = 0.001  # so that who counts frames keeps up
answered = threading.Condition()
counts = {"ok": 0, "failed": 0}


def http_requests(address, port, timeout):
    """One connection kept for eight requests, then a new one."""
    while True:
        c = http.client.HTTPConnection(address, port, timeout=timeout)
        for _ in range(8):
            c.request("GET", "/page")
            yield c.getresponse().read() == b"the page\n"
        c.close()


def redis_requests(address, port, timeout):
    while True:
        with socket.create_connection((address, port), timeout) as s, s.makefile("rb") as f:
            for i in range(20):
                s.sendall(b"SET key value-%d\r\nGET key\r\n" % i)
                yield (f.readline() == b"+OK\r\n" and f.readline().startswith(b"$") and
                       f.readline().startswith(b"value-"))


def dns_requests(address, port, timeout):
    """A socket for each query, as resolvers have it; a lost one is not asked again."""
    name = b"\x07chassis\x04test\x00"
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect((address, port))
            number = os.urandom(2)
            s.send(number + b"\x01\0\0\x01\0\0\0\0\0\0" + name + b"\0\x01\0\x01")
            answer = s.recv(512)
            yield answer[:2] == number and answer.endswith(socket.inet_aton("10.9.8.7"))


def ntp_requests(address, port, timeout):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((address, port))
        while True:
            stamp = os.urandom(8)
            s.send(b"\x23" + b"\0" * 39 + stamp)
            answer = s.recv(512)
            yield answer[0] & 7 == 4 and answer[24:32] == stamp


def ssh_requests(address, port, timeout, key):
    """One session with an echo at its end; every third request is a megabyte. No login while the service
    is attached: the filter of sshd does not survive a freeze while it makes one wait (ifpin-attach(8))."""
    command = ["ssh", "-F", "none", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", f"ConnectTimeout={timeout}",
               "-o", "LogLevel=ERROR", "-p", str(port), f"root@{address}", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        while True:
            for size, times in ((1, 1), (1, 1), (20000, 50)):
                for _ in range(times):
                    sent = os.urandom(size)
                    p.stdin.write(sent)
                    p.stdin.flush()
                    if p.stdout.read(size) != sent:
                        raise ConnectionError(f"ended with {p.wait()}")
                yield True


def tries(kind, address, port, timeout, *args):
    """Whether each request was answered."""
    make = globals()[kind + "_requests"]
    while True:
        try:
            for good in make(address, port, timeout, *args):
                yield good
        except (OSError, http.client.HTTPException) as e:
            print(f"{kind} {address}:{port}: {e!r}", file=sys.stderr, flush=True)
            yield False


def work(*args):
    for good in tries(*args):
        with answered:
            counts["ok" if good else "failed"] += 1
            answered.notify_all()
        time.sleep(PAUSE)


def wait_for(n):
    with answered:
        goal = counts["ok"] + n
        answered.wait_for(lambda: counts["ok"] >= goal)


def main():
    once = sys.argv[1] == "--once"
    kind, address, port, *args = sys.argv[1 + once:]
    if once:
        sys.exit(not next(tries(kind, address, int(port), 1, *args)))
    workers = WORKERS.get(kind, 2)
    for _ in range(workers):
        threading.Thread(target=work, args=(kind, address, int(port), TIMEOUT, *args),
                         daemon=True).start()
    wait_for(2 * workers)
    print("going", flush=True)
    for line in sys.stdin:
        wait_for(int(line.split()[1]))
        with answered:
            print(counts["ok"], counts["failed"], flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
