// SPDX-License-Identifier: MIT
/* Which name servers the command is given. A resolver on the host would ask by other devices. */
#include "internal.h"

#include "device/device.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define RESOLV_CONF "/etc/resolv.conf"

static void add_line(struct ifp_dns *d, const char *fmt, ...) _printf_(2, 3);
static void add_line(struct ifp_dns *d, const char *fmt, ...)
{
	size_t used = strlen(d->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->text + used, sizeof(d->text) - used, fmt, ap);
	va_end(ap);
}

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

/* A resolver on the host, at whichever address, asks by whichever interface it likes. */
static bool is_on_host(const uint8_t addr[16])
{
	struct own o = {.addr = addr};

	return ifp_addr_is_loopback(addr) || ifp_addr_dump(compare, &o) || o.hit;
}

static bool is_scope_of(const char *scope, const struct ifpin_device *dev)
{
	uint32_t index;

	return !strcmp(scope, dev->name) ||
	       (!ifp_parse_u32(scope, 1, INT32_MAX, &index) && index == dev->ifindex);
}

/* resolved writes ADDR[%SCOPE][#NAME], resolv.conf(5) ADDR[%SCOPE]. */
static bool add_server(struct ifp_dns *d, const struct ifpin_device *dev, const char *word)
{
	char text[128], *scope;
	uint8_t bytes[16];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(word, "#"), word);
	scope = strchr(text, '%');
	if (scope)
		*scope++ = 0;
	if (ifp_parse_addr(text, bytes) || is_on_host(bytes) || (scope && !is_scope_of(scope, dev)))
		return false;
	add_line(d, "nameserver %s%s%s\n", text, scope ? "%" : "", scope ? scope : "");
	return true;
}

static unsigned int from_resolved(struct ifp_dns *d, const struct ifpin_device *dev)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *p, *word, *save = NULL;
	unsigned int n = 0;

	snprintf(path, sizeof(path), "/run/systemd/resolve/netif/%u", dev->ifindex);
	if (ifp_read_file(path, &text))
		return 0;
	p = !strncmp(text, "SERVERS=", 8) ? text : strstr(text, "\nSERVERS=");
	if (!p)
		return 0;
	p = strchr(p, '=') + 1;
	p[strcspn(p, "\n")] = 0;
	for (word = strtok_r(p, " ", &save); word; word = strtok_r(NULL, " ", &save))
		n += add_server(d, dev, word);
	return n;
}

/* Servers that are not on the host; the search list and options are taken along. */
static unsigned int from_resolv_conf(struct ifp_dns *d, const struct ifpin_device *servers_for)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	unsigned int n = 0;

	if (ifp_read_file(RESOLV_CONF, &text))
		return 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char word[64], value[256];

		if (sscanf(line, "%63s %255s", word, value) != 2)
			continue;
		if (!strcmp(word, "nameserver"))
			n += servers_for && add_server(d, servers_for, value);
		else if (!strcmp(word, "search") || !strcmp(word, "domain") ||
			 !strcmp(word, "options"))
			add_line(d, "%s\n", line);
	}
	return n;
}

static int from_list(struct ifp_dns *d, const char *list, struct ifpin_error *err)
{
	_cleanup_free_ char *copy = strdup(list);
	char *word, *save = NULL;
	uint8_t bytes[16];

	if (!copy)
		return ifp_fail(err, -ENOMEM, "out of memory");
	if (!*copy || *copy == ',' || copy[strlen(copy) - 1] == ',' || strstr(copy, ",,"))
		return ifp_fail(err, -EINVAL, "--dns=%s: an address is empty", list);
	for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (ifp_parse_addr(word, bytes))
			return ifp_fail(err, -EINVAL,
				"--dns=%s: \"%s\" is not an IPv4 or IPv6 address", list, word);
		if (is_on_host(bytes))
			return ifp_fail(err, -EINVAL,
				"--dns=%s: %s is this host, whose resolver asks by other interfaces; "
				"give another server, or leave all as it is with --dns=system",
				list, word);
		add_line(d, "nameserver %s\n", word);
	}
	return 0;
}

int ifp_dns_find(
	const struct ifpin_confine_opts *opts, struct ifp_dns *ret, struct ifpin_error *err)
{
	struct ifp_dns d = {.replace = opts->dns != IFPIN_DNS_SYSTEM};
	int r = 0;

	if (!d.replace) {
		*ret = d;
		return 0;
	}
	if (opts->dns == IFPIN_DNS_LIST) {
		r = from_list(&d, opts->dns_servers, err);
	} else if (from_resolved(&d, &opts->device)) {
		from_resolv_conf(&d, NULL);
	} else if (!from_resolv_conf(&d, &opts->device)) {
		return ifp_fail(err, -ENODATA,
			"no name server for %s that is not on this host: a resolver here would ask by "
			"other interfaces; give servers with --dns=ADDR[,ADDR...], or leave all as it "
			"is with --dns=system",
			opts->device.name);
	}
	if (r)
		return r;
	if (!realpath(RESOLV_CONF, d.target))
		return ifp_fail_errno(err, -errno,
			"cannot show the command its name servers: %s (try --dns=system)",
			RESOLV_CONF);
	*ret = d;
	return 0;
}
