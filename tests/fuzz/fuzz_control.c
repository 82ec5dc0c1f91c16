// SPDX-License-Identifier: MIT
/* libFuzzer target: whatever a client sends to the control socket. */
#include <ifpin/control.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ifpin_control_request r = {.step = 42};
	int e = ifpin_control_parse(data, size, &r);

	if (e) {
		if (e > 0 || r.step != 42)
			__builtin_trap();
		return 0;
	}
	if (size != sizeof(r) || r.magic != IFPIN_CONTROL_MAGIC || r.flags > 1 ||
		strnlen(r.name, sizeof(r.name)) >= IFPIN_PIN_NAME_SIZE || !r.name[0] ||
		strchr(r.name, '/'))
		__builtin_trap();
	return 0;
}
