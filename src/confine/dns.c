// SPDX-License-Identifier: MIT
/* Which name servers the command is given. A resolver on the host would ask by other devices. */
#include "internal.h"

#include "device/device.h"

#include <arpa/inet.h>
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

static void add_server(struct ifp_dns *d, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	char text[INET6_ADDRSTRLEN], scope[16] = "";

	inet_ntop(ss->ss_family,
		ss->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
					 : (const void *)&in6->sin6_addr,
		text, sizeof(text));
	if (ss->ss_family == AF_INET6 && in6->sin6_scope_id)
		snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
	add_line(d, "nameserver %s%s\n", text, scope);
}

static int from_device(struct ifp_dns *d, const struct ifpin_device *dev, struct ifpin_error *err)
{
	_cleanup_free_ struct sockaddr_storage *servers = NULL;
	size_t n = 0;
	int r = ifpin_device_nameservers(dev, &servers, &n, err);

	if (r == -ENODATA)
		return ifp_fail(err, r,
			"no name server for %s that is not on this host: a resolver here would ask by "
			"other interfaces; give servers with --dns=ADDR[,ADDR...], or leave all as it "
			"is with --dns=system",
			dev->name);
	for (size_t i = 0; i < n; i++)
		add_server(d, servers + i);
	return r;
}

/* The search list and options are taken along, whichever the servers are. */
static void take_settings(struct ifp_dns *d)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;

	if (ifp_read_file(RESOLV_CONF, &text))
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char word[64];

		if (sscanf(line, "%63s", word) == 1 &&
			(!strcmp(word, "search") || !strcmp(word, "domain") ||
				!strcmp(word, "options")))
			add_line(d, "%s\n", line);
	}
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
		if (ifp_addr_is_hosts(bytes))
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
	} else {
		r = from_device(&d, &opts->device, err);
		take_settings(&d);
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
