# Meson does the work; this is the short way to it.
BUILD ?= build
SANITIZE ?=
CC ?= cc
SUDO := $(shell test `id -u` = 0 || echo sudo)
PACKAGES := $(shell sed 's/\#.*//' dist/packages)

ifeq ($(SANITIZE),1)
BUILD := build-sanitize
MESON_FLAGS += -Db_sanitize=address,undefined -Db_lundef=false
endif

FUZZ_SECONDS ?= 60

.PHONY: all packages demo check fuzz bench install clean

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
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
			--no-install-recommends $$missing >/dev/null; \
	fi

demo: packages
	$(MAKE) --no-print-directory all
	$(SUDO) env IFPIN=$(abspath $(BUILD))/ifpin unshare --net --mount --propagation private \
		python3 tests/demo.py

check: packages
	$(MAKE) --no-print-directory all
	$(SUDO) env BUILD=$(BUILD) tests/run.sh

# Not part of check: it ends when its time is over, or at the first crash.
fuzz: packages
	mkdir -p build-fuzz/corpus
	clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
		-Iinclude -Isrc -o build-fuzz/fuzz_parse tests/fuzz/fuzz_parse.c \
		src/base/*.c src/device/*.c src/confine/privileges.c src/confine/seccomp.c \
		-lmnl -lcap -lseccomp
	build-fuzz/fuzz_parse -artifact_prefix=build-fuzz/ -max_total_time=$(FUZZ_SECONDS) build-fuzz/corpus

bench: packages
	$(MAKE) --no-print-directory all
	$(SUDO) unshare --net --mount --propagation private python3 bench/bench.py $(BUILD) \
		--json $(BUILD)/bench.json

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-sanitize build-clang build-fuzz
