// SPDX-License-Identifier: MIT
/* What is here that no rule can stop. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- sockets and programs that hand frames to a driver ---- */

/* How many sockets of a protocol are open in this namespace: asks for no sock_diag of it. */
static long sockets_of(const char *protocol)
{
	_cleanup_free_ char *text = NULL;
	size_t len = strlen(protocol);
	long n = 0;

	if (ifp_read_file("/proc/thread-self/net/protocols", &text))
		return -1;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!strncmp(p, protocol, len) && p[len] == ' ')
			sscanf(p + len, "%*s %ld", &n);
	return n;
}

static void check_xdp_sockets(struct check *c)
{
	long n = sockets_of("XDP");

	if (n > 0)
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			"AF_XDP sockets are open here (%ld); what they send passes no rule", n);
	else if (n < 0)
		ifp_check_say(c, IFPIN_FINDING_NOTE,
			"it cannot be told whether AF_XDP sockets are open; what they send passes no "
			"rule");
}

static void check_ports(struct check *c, const struct ports *all)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct port *p = &all->list[i];

		if (p->xdp)
			ifp_check_say(c, IFPIN_FINDING_BEYOND,
				"%s has an XDP program; what it redirects passes no rule", p->name);
		if (ifp_guard_has_others(p->ifindex))
			ifp_check_say(c, IFPIN_FINDING_BEYOND,
				"%s has a program of somebody else in traffic control on its way in; "
				"what that hands over by bpf_redirect_peer() passes no rule",
				p->name);
		if (p->switchdev)
			ifp_check_say(c, IFPIN_FINDING_BEYOND,
				"%s is a port of a switch that may forward by itself (offload)",
				p->name);
	}
}

/* ---- parts of the kernel that send by themselves ---- */

static void check_senders(struct check *c)
{
	if (!access("/proc/thread-self/net/pktgen", F_OK))
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			"pktgen is loaded; what it sends passes no rule (modprobe -r pktgen)");
	if (!access("/sys/module/netconsole", F_OK))
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			"netconsole is loaded; what it sends passes no rule: see that it is set to "
			"no address of the fence (/sys/kernel/config/netconsole)");
}

/* A flowtable in software passes the egress hooks; one that a card does passes nothing. */
static int check_flowtables(struct check *c, struct ifpin_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = ifp_nft_text("list flowtables", &text, err);

	if (r == -EOPNOTSUPP || r == -ENOENT)
		return 0;
	if (!r && strstr(text, "flags offload"))
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			"a flowtable of nftables is given to hardware (flags offload); what that "
			"forwards passes no rule");
	return r;
}

/* ---- chains of others ---- */

/* What runs before the fence on the way in, or might run after it on the way out. */
static int check_others(struct check *c, struct ifpin_error *err)
{
	_cleanup_(ifp_nft_putp) json_object *items = NULL;
	int r = ifp_nft_list("list chains netdev", &items, err);

	for (size_t i = 0; !r && i < json_object_array_length(items); i++) {
		json_object *o = ifp_nft_of(json_object_array_get_idx(items, i), "chain");
		const char *table = o ? ifp_nft_string(o, "table") : TABLE_PREFIX;
		bool in = o && !strcmp(ifp_nft_string(o, "hook"), "ingress");
		int64_t priority = o ? ifp_nft_int(o, "prio") : 0;

		if (!strncmp(table, TABLE_PREFIX, strlen(TABLE_PREFIX)) ||
			priority != (in ? INT32_MIN : INT32_MAX))
			continue;
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			in ? "chain %s of table netdev %s has the first priority at an ingress hook, and "
			     "may see frames before the fence"
			   : "chain %s of table netdev %s has the last priority at an egress hook; "
			     "whichever was there first comes last",
			ifp_nft_string(o, "name"), table);
	}
	return r;
}

int ifp_beyond(struct check *c, const struct ifpin_fence *fence, const struct ports *all,
	struct ifpin_error *err)
{
	check_ports(c, all);
	check_xdp_sockets(c);
	check_senders(c);
	if (!fence->bridge)
		ifp_check_say(c, IFPIN_FINDING_NOTE,
			"this kernel has no tables for bridges; bridged frames are seen on devices "
			"that are covered only");
	ifp_check_say(c, IFPIN_FINDING_NOTE,
		"devices in other network namespaces are not seen; one that is moved away takes "
		"its frames along");
	return check_flowtables(c, err) ?: check_others(c, err);
}
