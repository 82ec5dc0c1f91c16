# Meson does the work; this is the short way to it.
BUILD ?= build
SANITIZE ?=
CC ?= cc
SUDO := $(shell test `id -u` = 0 || echo sudo)

ifeq ($(SANITIZE),1)
BUILD := build-sanitize
MESON_FLAGS += -Db_sanitize=address,undefined -Db_lundef=false
endif

FUZZ_SECONDS ?= 60

.PHONY: all packages demo check check-kernels check-systemd fuzz bench deb install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(MESON_FLAGS)

packages:
	@dist/install-packages

demo: packages
	$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) python3 tests/anywhere.py demo

check: packages
	$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) python3 tests/anywhere.py check $(TESTS)

# Not part of check: each target ends when its time is over, or at the first crash.
FUZZERS := text netlink options host denied audit config control
FUZZ_SOURCES := src/base/base.c src/base/nl.c src/device/device.c src/device/link.c src/device/route.c \
	src/device/nameservers.c src/socket/deaf.c src/socket/inspect.c src/socket/open.c src/socket/reach.c \
	src/socket/source.c src/confine/denied.c src/confine/privileges.c src/confine/seccomp.c \
	src/config/config.c src/config/parse.c src/control/control.c \
	src/host/cgroup.c src/host/processes.c src/host/sock_parse.c src/host/sockets.c \
	src/audit/accepted.c src/audit/audit.c src/audit/snapshot.c $(wildcard src/audit/check_*.c src/audit/read_*.c)

fuzz: packages
	$(MAKE) --no-print-directory -j2 $(FUZZERS:%=fuzz-%)

# A target includes the source whose inner functions it calls; the others are linked.
fuzz-%:
	mkdir -p build-fuzz/corpus-$*
	clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
		-DIFPIN_VERSION='"fuzz"' -Iinclude -Isrc -o build-fuzz/fuzz_$* tests/fuzz/fuzz_$*.c \
		$(FUZZ_SOURCES) -lmnl -lcap -lseccomp -linih
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
check-kernels:
	@dist/install-packages vm
	$(MAKE) --no-print-directory all
	tests/vm/kernels.py --build $(BUILD) --write $(KERNELS)

# Debian packages of this tree for the running release, in build-deb.
deb:
	@dist/install-packages deb
	dist/build-deb build-deb
	lintian --fail-on error,warning build-deb/*.changes

# Services under real systemd of three Debian releases, in machines; writes docs/systemd.md.
SUITES ?= bookworm trixie sid
check-systemd:
	@dist/install-packages vm systemd
	test -d build-systemd || meson setup build-systemd --prefix=/usr --sysconfdir=/etc -Dtests=false -Dman=disabled
	ninja -C build-systemd
	$(SUDO) tests/systemd/check.py --build build-systemd --write $(SUITES)

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-sanitize build-clang build-fuzz build-deb build-systemd
