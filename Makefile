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

.PHONY: all packages demo check check-kernels check-systemd comparison fuzz bench pictures deb check-packages check-dist check-workflows check-reproducible site install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(MESON_FLAGS)

packages:
	@dist/install-packages

demo: packages
	$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) python3 tests/anywhere.py demo

check: packages tests/browser/node_modules
	@dist/install-packages check vm containers site
	@tests/vm/run --fetch 6.1
	$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) python3 tests/anywhere.py check $(TESTS)

# What drives the browser in the tests of the pages. Some packages of nodejs bring npm, Debian's does not.
tests/browser/node_modules: tests/browser/package-lock.json | packages
	@command -v npm >/dev/null || dist/install-packages npm
	cd tests/browser && npm ci --silent
	@touch $@

# Not part of check: each target ends when its time is over, or at the first crash.
FUZZERS := text netlink options host denied audit config control report marks
FUZZ_SOURCES := src/base/base.c src/base/nl.c src/device/device.c src/device/link.c src/device/route.c \
	src/device/nameservers.c src/socket/deaf.c src/socket/inspect.c src/socket/open.c src/socket/reach.c \
	src/socket/source.c src/confine/denied.c src/confine/privileges.c src/confine/seccomp.c \
	src/config/config.c src/config/parse.c src/fence/prefix.c src/control/control.c \
	src/host/cgroup.c src/host/processes.c src/host/sock_parse.c src/host/sockets.c \
	src/prove/here_marks.c src/prove/html.c src/prove/names.c src/prove/report_compare.c src/prove/report_frame.c \
	src/prove/report_read.c src/prove/report_text.c \
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
check-kernels:
	@dist/install-packages vm
	$(MAKE) --no-print-directory all
	tests/vm/kernels.py --build $(BUILD) --write $(KERNELS)

# The README's picture of the proof, out of a proof.
pictures: packages
	$(MAKE) --no-print-directory all
	$(SUDO) $(BUILD)/ifpin prove --json=$(BUILD)/proof.json
	docs/pictures.py $(BUILD)/proof.json docs

# Debian packages of this tree for the running release, in build-deb.
deb:
	@dist/install-packages deb
	dist/build-deb build-deb
	lintian --fail-on error,warning build-deb/*.changes

# They are built in each release of Debian, and live there: installed, upgraded, removed and purged.
RELEASES ?= bookworm trixie sid
check-packages:
	@dist/install-packages deb
	$(SUDO) env XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$$HOME/.cache}" \
		tests/packages/check --keep build-packages $(RELEASES)

# The tarball of what is committed, built and tested with nothing else.
check-dist: packages
	test -e $(BUILD)/build.ninja || meson setup $(BUILD) $(MESON_FLAGS)
	meson dist -C $(BUILD) --no-tests
	rm -rf build-dist
	mkdir build-dist
	tar -C build-dist --strip-components=1 -xf $(BUILD)/meson-dist/ifpin-*.tar.xz
	$(MAKE) --no-print-directory -C build-dist check TESTS="$(or $(TESTS),test_cli test_abi)"

# The files of CI systems, by their linters; from npm, whose command Debian has apart from nodejs.
check-workflows:
	cd tests/workflows && npm ci --silent && node check.mjs

# The documents and the manual as pages, with a proof of this kernel; in build-site.
site: packages
	@dist/install-packages site
	$(MAKE) --no-print-directory all
	rm -rf build-site
	$(SUDO) docs/site/make.py build-site $(BUILD)/ifpin

check-reproducible: packages
	dist/check-reproducible

# Services under real systemd of three Debian releases, in machines; writes docs/systemd.md.
SUITES ?= bookworm trixie sid
check-systemd:
	@dist/install-packages vm systemd
	test -d build-systemd || meson setup build-systemd --prefix=/usr --sysconfdir=/etc -Dtests=false -Dman=disabled
	ninja -C build-systemd
	$(SUDO) tests/systemd/check.py --build build-systemd --write $(SUITES)

# The proof beside ip vrf exec and systemd's own settings, in a machine; writes docs/comparison.md.
comparison:
	@dist/install-packages vm systemd
	test -d build-systemd || meson setup build-systemd --prefix=/usr --sysconfdir=/etc -Dtests=false -Dman=disabled
	ninja -C build-systemd
	$(SUDO) tests/systemd/compare.py --build build-systemd --write

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-sanitize build-clang build-fuzz build-deb build-packages build-dist build-ci build-site build-systemd
