// SPDX-License-Identifier: MIT
/* Networks: from text, merged, and as ranges of numbers. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

bool ifp_prefix_is_v4(const struct ifpin_prefix *p)
{
	return p->prefixlen >= 96 && ifp_addr_is_v4(p->addr);
}

static void clear_host_bits(struct ifpin_prefix *p)
{
	for (unsigned int bit = p->prefixlen; bit < 128; bit++)
		p->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

char *ifpin_prefix_text(const struct ifpin_prefix *prefix, char *ret_text, size_t size)
{
	char addr[INET6_ADDRSTRLEN];
	bool four = ifp_prefix_is_v4(prefix);

	inet_ntop(four ? AF_INET : AF_INET6, prefix->addr + (four ? 12 : 0), addr, sizeof(addr));
	snprintf(ret_text, size, "%s/%d", addr, prefix->prefixlen - (four ? 96 : 0));
	return ret_text;
}

int ifpin_prefix_parse(
	const char *text, struct ifpin_prefix *ret_prefix, struct ifpin_error *ret_error)
{
	const char *slash = strchr(text, '/');
	struct ifpin_prefix p, clean;
	char addr[INET6_ADDRSTRLEN], meant[64];
	uint32_t len;
	bool four;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return ifp_fail(ret_error, -EINVAL,
			"\"%s\" is no network: an address and a length are, as 10.0.1.0/24", text);
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (ifp_parse_addr(addr, p.addr))
		return ifp_fail(ret_error, -EINVAL, "\"%s\" is not an IPv4 or IPv6 address", addr);
	four = !strchr(addr, ':');
	if (!four && ifp_addr_is_v4(p.addr))
		return ifp_fail(ret_error, -EINVAL, "write %s as an IPv4 network", text);
	if (ifp_parse_u32(slash + 1, 1, four ? 32 : 128, &len))
		return ifp_fail(ret_error, -EINVAL, "the length of %s must be 1 to %d", text,
			four ? 32 : 128);
	p.prefixlen = (uint8_t)(len + (four ? 96 : 0));
	clean = p;
	clear_host_bits(&clean);
	if (memcmp(clean.addr, p.addr, sizeof(p.addr)) != 0)
		return ifp_fail(ret_error, -EINVAL,
			"%s has bits set beyond its length; the network is %s", text,
			ifpin_prefix_text(&clean, meant, sizeof(meant)));
	*ret_prefix = p;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct ifpin_prefix *x = a, *y = b;
	int r = memcmp(x->addr, y->addr, sizeof(x->addr));

	return r ?: (int)x->prefixlen - (int)y->prefixlen;
}

static bool inside(const struct ifpin_prefix *p, const struct ifpin_prefix *outer)
{
	struct ifpin_prefix cut = *p;

	cut.prefixlen = outer->prefixlen;
	clear_host_bits(&cut);
	return p->prefixlen >= outer->prefixlen && !memcmp(cut.addr, outer->addr, 16);
}

size_t ifp_prefix_merge(struct ifpin_prefix *list, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(list, n, sizeof(*list), by_address);
	/* In this order an outer one comes right before all that it holds. */
	for (size_t i = 0; i < n; i++)
		if (!kept || !inside(&list[i], &list[kept - 1]))
			list[kept++] = list[i];
	return kept;
}

bool ifp_prefix_holds(const struct ifpin_prefix *list, size_t n, const struct ifpin_prefix *p)
{
	size_t from = 0;

	/* The last one that comes not after it. */
	while (n > from) {
		size_t middle = from + (n - from) / 2;

		if (by_address(&list[middle], p) <= 0)
			from = middle + 1;
		else
			n = middle;
	}
	return from && inside(p, &list[from - 1]);
}

static void narrow(uint32_t *mask, uint32_t *bits, uint32_t first, unsigned int len)
{
	uint32_t own = len < 32 ? ~(UINT32_MAX >> len) : UINT32_MAX;
	uint32_t differ = (*bits ^ first) & *mask & own;

	*mask &= own;
	if (differ)
		*mask &= ~(UINT32_MAX >> __builtin_clz(differ));
	*bits &= *mask;
}

void ifp_prefix_common(const struct ifpin_prefix *list, size_t n, struct ifp_common *ret)
{
	struct ifp_common c = {.bits4 = 1, .bits6 = 1};

	for (size_t i = 0; i < n; i++) {
		bool four = ifp_prefix_is_v4(&list[i]);
		const uint8_t *a = list[i].addr + (four ? 12 : 0);
		uint32_t first =
			(uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
		uint32_t *mask = four ? &c.mask4 : &c.mask6, *bits = four ? &c.bits4 : &c.bits6;

		if (!*mask && *bits) { /* the first one */
			*mask = UINT32_MAX;
			*bits = first;
		}
		narrow(mask, bits, first, list[i].prefixlen - (four ? 96u : 0));
	}
	*ret = c;
}

static void decimal(const uint8_t *addr, size_t len, char ret[48])
{
	uint8_t number[16];
	char digits[48];
	size_t n = 0;
	bool any;

	memcpy(number, addr, len);
	do {
		unsigned int rest = 0;

		any = false;
		for (size_t i = 0; i < len; i++) {
			rest = rest << 8 | number[i];
			number[i] = (uint8_t)(rest / 10);
			any |= number[i] != 0;
			rest %= 10;
		}
		digits[n++] = (char)('0' + rest);
	} while (any);
	for (size_t i = 0; i < n; i++)
		ret[i] = digits[n - 1 - i];
	ret[n] = 0;
}

void ifp_prefix_range(const struct ifpin_prefix *p, char ret_first[48], char ret_last[48])
{
	size_t skip = ifp_prefix_is_v4(p) ? 12 : 0;
	uint8_t last[16];

	memcpy(last, p->addr, sizeof(last));
	for (unsigned int bit = p->prefixlen; bit < 128; bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	decimal(p->addr + skip, 16 - skip, ret_first);
	decimal(last + skip, 16 - skip, ret_last);
}
