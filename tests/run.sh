#!/bin/sh
# Runs every test, or those that are named, in namespaces of its own; nothing of this host's network
# is touched. Where that does not work, in a virtual machine: see tests/anywhere.py.
exec python3 "$(dirname "$0")/anywhere.py" check "$@"
