// SPDX-License-Identifier: MIT
/* libFuzzer target: whatever bytes come in as a number, an address, or a name of something. */
#include "base/base.h"
#include "device/device.h"

#include <ifpin/confine.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void device(const char *s)
{
	struct ifpin_error err = {};
	struct ifp_spec spec;

	if (ifp_spec_parse(s, &spec, &err)) {
		if (!err.code || !err.text[0] || strchr(err.text, '\n') != NULL)
			__builtin_trap();
		return;
	}
	if (!*s || (spec.by == IFP_BY_INDEX && (!spec.index || spec.index > INT32_MAX)) ||
		(spec.by == IFP_BY_NAME && strlen(s) > 127))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *s = strndup((const char *)data, size);
	uint8_t addr[16];
	uint32_t v = 7;

	if (!s)
		return 0;
	if (!ifp_parse_u32(s, 1, 1000, &v) && (v < 1 || v > 1000))
		__builtin_trap();
	if (!ifp_parse_addr(s, addr))
		ifp_addr_is_loopback(addr);
	if (ifpin_cap_bit(s) > 63 || ifpin_family_number(s) > 63)
		__builtin_trap();
	/* A newline in a name would make two lines of a message. */
	if (!strchr(s, '\n'))
		device(s);
	return 0;
}
