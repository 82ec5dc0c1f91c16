// SPDX-License-Identifier: MIT
/* Which name servers the host knows for a device. A resolver on the host would ask by others. */
#include "device.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define DNS_PORT 53

struct own {
	const uint8_t *addr;
	bool hit;
};

static int compare(const struct nlmsghdr *nlh, void *data)
{
	struct own *o = data;
	struct ifp_local_addr a;

	o->hit = o->hit || (!ifp_addr_parse(nlh, &a) && !memcmp(a.addr, o->addr, 16));
	return 0;
}

bool ifp_addr_is_hosts(const uint8_t addr[16])
{
	struct own o = {.addr = addr};

	return ifp_addr_is_loopback(addr) || ifp_addr_dump(compare, &o) || o.hit;
}

struct servers {
	const struct ifpin_device *dev;
	struct sockaddr_storage *v;
	size_t n;
};

static bool is_scope_of(const char *scope, const struct ifpin_device *dev)
{
	uint32_t index;

	return !strcmp(scope, dev->name) ||
	       (!ifp_parse_u32(scope, 1, INT32_MAX, &index) && index == dev->ifindex);
}

/* resolved writes ADDR[%SCOPE][#NAME], resolv.conf(5) ADDR[%SCOPE]. What is neither is passed over,
 * as every reader of resolv.conf does. */
static int add(struct servers *s, const char *word)
{
	char text[128], *scope;
	uint8_t bytes[16];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(word, "#"), word);
	scope = strchr(text, '%');
	if (scope)
		*scope++ = 0;
	if (ifp_parse_addr(text, bytes) || ifp_addr_is_hosts(bytes) ||
		(scope && !is_scope_of(scope, s->dev)))
		return 0;
	if (ifp_grow(&s->v, s->n, sizeof(*s->v)))
		return -ENOMEM;
	ifp_addr_to_sockaddr(bytes, s->dev->ifindex, s->v + s->n);
	/* sin_port and sin6_port are at one place. */
	((struct sockaddr_in *)(s->v + s->n))->sin_port = htons(DNS_PORT);
	s->n++;
	return 0;
}

/* A list of words behind a key, as resolved and networkd keep for each link. */
static int from_state(struct servers *s, const char *directory, const char *key)
{
	_cleanup_free_ char *text = NULL;
	char path[64], line[32], *p, *word, *save = NULL;
	int r = 0;

	snprintf(path, sizeof(path), "%s/%u", directory, s->dev->ifindex);
	if (ifp_read_file(path, &text))
		return 0;
	snprintf(line, sizeof(line), "\n%s=", key);
	p = !strncmp(text, line + 1, strlen(line + 1)) ? text : strstr(text, line);
	if (!p)
		return 0;
	p = strchr(p, '=') + 1;
	p[strcspn(p, "\n")] = 0;
	for (word = strtok_r(p, " ", &save); word && !r; word = strtok_r(NULL, " ", &save))
		r = add(s, word);
	return r;
}

static int from_resolv_conf(struct servers *s)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int r = 0;

	if (ifp_read_file(RESOLV_CONF, &text))
		return 0;
	for (line = strtok_r(text, "\n", &save); line && !r; line = strtok_r(NULL, "\n", &save)) {
		char value[256];

		if (sscanf(line, " nameserver %255s", value) == 1)
			r = add(s, value);
	}
	return r;
}

int ifpin_device_nameservers(const struct ifpin_device *device,
	struct sockaddr_storage **ret_servers, size_t *ret_n, struct ifpin_error *ret_error)
{
	struct servers s = {.dev = device};
	/* What was set for the link by hand or by a manager, then what its configuration says. */
	int r = from_state(&s, "/run/systemd/resolve/netif", "SERVERS");

	if (!r && !s.n)
		r = from_state(&s, "/run/systemd/netif/links", "DNS");
	if (!r && !s.n)
		r = from_resolv_conf(&s);
	if (!r && !s.n)
		r = -ENODATA;
	if (r) {
		free(s.v);
		if (r == -ENODATA)
			return ifp_fail(ret_error, r,
				"no name server for %s in " RESOLV_CONF
				" or in the state of systemd "
				"that is not on this host, which would ask by other interfaces: give "
				"one",
				device->name);
		return ifp_fail_errno(
			ret_error, r, "cannot find the name servers of %s", device->name);
	}
	*ret_servers = s.v;
	*ret_n = s.n;
	return 0;
}
