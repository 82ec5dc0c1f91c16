# Meson does the work; this is the short way to it.
BUILD ?= build
SANITIZE ?=
CC ?= cc
SUDO := $(shell test `id -u` = 0 || echo sudo)
PACKAGES := $(shell sed 's/\#.*//' dist/packages)
VM_PACKAGES := $(shell sed 's/\#.*//' dist/packages-vm)
CHECK_PACKAGES := $(shell sed 's/\#.*//' dist/packages-check)

ifeq ($(SANITIZE),1)
BUILD := build-sanitize
MESON_FLAGS += -Db_sanitize=address,undefined -Db_lundef=false
endif

FUZZ_SECONDS ?= 60

# Debian starts what it installs: here a clock, web and name servers, which only tests are to start.
define QUIET_INSTALL
policy=/usr/sbin/policy-rc.d; \
if ! test -e $$policy; then \
	trap "rm -f $$policy" EXIT; trap "exit 1" INT TERM; \
	printf "#!/bin/sh\nexit 101\n" >$$policy; chmod 755 $$policy; \
fi; \
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$$@" >/dev/null
endef

.PHONY: all packages demo check check-kernels fuzz bench pictures install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(MESON_FLAGS)

packages:
	@for p in $(PACKAGES); do dpkg -s $$p 2>/dev/null | grep -q '^Status:.* installed' || \
		missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get update -qq; \
		$(SUDO) sh -euc '$(QUIET_INSTALL)' quiet $$missing; \
	fi

demo: packages
	$(MAKE) --no-print-directory all
	$(SUDO) env IFPIN=$(abspath $(BUILD))/ifpin unshare --net --mount --propagation private \
		python3 tests/demo.py

check: PACKAGES += $(CHECK_PACKAGES)
check: packages tests/browser/node_modules
	$(MAKE) --no-print-directory all
	$(SUDO) env BUILD=$(BUILD) tests/run.sh $(TESTS)

# What drives the browser in the tests of the pages. Some packages of nodejs bring npm, Debian's does not.
tests/browser/node_modules: tests/browser/package-lock.json | packages
	@command -v npm >/dev/null || $(SUDO) sh -euc '$(QUIET_INSTALL)' quiet npm
	cd tests/browser && npm ci --silent
	@touch $@

# Not part of check: each target ends when its time is over, or at the first crash.
FUZZERS := text netlink options host denied audit config control report marks
FUZZ_SOURCES := src/base/base.c src/base/nl.c src/device/device.c src/device/link.c src/device/route.c \
	src/device/nameservers.c src/socket/deaf.c src/socket/inspect.c src/socket/open.c src/socket/reach.c \
	src/socket/source.c src/confine/denied.c src/confine/privileges.c src/confine/seccomp.c \
	src/config/config.c src/config/parse.c src/fence/prefix.c src/control/control.c \
	src/host/cgroup.c src/host/processes.c src/host/sock_parse.c src/host/sockets.c \
	src/prove/here_marks.c src/prove/names.c src/prove/report_compare.c src/prove/report_frame.c src/prove/report_read.c \
	src/audit/accepted.c src/audit/audit.c src/audit/snapshot.c $(wildcard src/audit/check_*.c src/audit/read_*.c)

fuzz: packages
	$(MAKE) --no-print-directory -j2 $(FUZZERS:%=fuzz-%)

# A target includes the source whose inner functions it calls; the others are linked.
fuzz-%:
	mkdir -p build-fuzz/corpus-$*
	clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE -DHAVE_FENCE \
		-DIFPIN_VERSION='"fuzz"' -Iinclude -Isrc -o build-fuzz/fuzz_$* tests/fuzz/fuzz_$*.c \
		$(FUZZ_SOURCES) -lmnl -lcap -lseccomp -linih -ljson-c
	build-fuzz/fuzz_$* -artifact_prefix=build-fuzz/$*- -max_total_time=$(FUZZ_SECONDS) \
		-print_final_stats=0 build-fuzz/corpus-$* tests/fuzz/corpus/$* 2>build-fuzz/$*.log || \
		{ tail -40 build-fuzz/$*.log; exit 1; }
	@tail -1 build-fuzz/$*.log

bench: packages
	$(MAKE) --no-print-directory all
	$(SUDO) unshare --net --mount --propagation private python3 bench/bench.py $(BUILD) \
		--json $(BUILD)/bench.json

# The proof and the core of the tests on other kernels, in emulated machines; writes docs/kernels.md.
KERNELS ?= 5.10 6.1 6.12 7.2
check-kernels: PACKAGES += $(VM_PACKAGES)
check-kernels: packages
	$(MAKE) --no-print-directory all
	tests/vm/kernels.py --build $(BUILD) --write $(KERNELS)

# The README's picture of the proof, out of a proof.
pictures: packages
	$(MAKE) --no-print-directory all
	$(SUDO) $(BUILD)/ifpin prove --json=$(BUILD)/proof.json
	docs/pictures.py $(BUILD)/proof.json docs

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-sanitize build-clang build-fuzz
