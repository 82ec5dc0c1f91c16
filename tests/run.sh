#!/bin/sh
# Runs every test in namespaces of its own; nothing of this host's network is touched.
set -eu
cd "$(dirname "$0")/.."
exec unshare --net --mount --propagation private python3 tests/run.py "$@"
