#!/bin/sh
# Runs every test in namespaces of its own; nothing of this host's network is touched. Where nothing
# can be confined, a virtual machine runs those that show most.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
core="test_facts test_attach test_attack test_list test_holds.Prove.test_all test_holds.Devices"

if [ -z "${IFPIN_VM-}" ] && ! why=$(python3 tests/probe.py "$build/ifpin"); then
	echo "Nothing can be confined here ($why): using a virtual machine with Linux 7.2, about 30 minutes"
	[ $# -gt 0 ] || set -- $core
	# An emulated machine with two processors panics now and then while the kernel patches itself.
	for try in 1 2 3; do
		r=0
		tests/vm/run --timeout=3000 7.2 env IFPIN_VM=1 BUILD="$build" CI="${CI-}" tests/run.sh "$@" || r=$?
		[ $r = 125 ] || exit $r
	done
	exit $r
fi
exec unshare --net --mount --propagation private python3 tests/run.py "$@"
