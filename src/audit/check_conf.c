// SPDX-License-Identifier: MIT
/* Settings under net.ipv4.conf and net.ipv6.conf: how a device answers, believes and accepts. */
#include "audit.h"

#include <errno.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/if_arp.h>
#include <string.h>

/* How the kernel puts the setting of a device and that of "all" together
 * (include/linux/inetdevice.h). */
enum combine { OWN, MAX, OR, AND };

/* Whose setting lets something through: that of the device that is judged, or of any other. */
enum whose { SUBJECT = 1, OTHER = 2, EITHER = 3 };

struct setting {
	int family, index;
	enum combine combine;
	enum whose whose;
	bool bad_if_zero; /* else bad if more than that */
	bool needs_arp;
	int mended;
	const char *name, *tail; /* tail: what it means, after "name = value" */
};

static int effective(const struct snapshot *s, const struct alink *l, const struct setting *c)
{
	const int32_t *own = c->family == AF_INET ? l->conf4 : l->conf6;
	const int32_t *all = c->family == AF_INET ? s->all4 : s->all6;
	int a = own[c->index], b = all[c->index];

	switch (c->combine) {
	case OWN:
		return a;
	case MAX:
		return a > b ? a : b;
	case OR:
		return a ?: b;
	case AND:
		return a && b ? a : 0;
	}
	return a;
}

static bool concerns(const struct judge *j, const struct alink *l, const struct setting *c)
{
	if (!(c->family == AF_INET ? l->has4 : l->has6))
		return false;
	if (c->needs_arp && (l->flags & IFF_NOARP || l->dev.type != ARPHRD_ETHER))
		return false;
	return (c->whose & SUBJECT && ifp_is_subject(j, l)) ||
	       (c->whose & OTHER && ifp_is_other(j, l));
}

/* Where "all" would keep the old value in force, it is mended as well. */
static struct mend mend_setting(
	const struct snapshot *s, const struct alink *l, const struct setting *c)
{
	const int32_t *all = c->family == AF_INET ? s->all4 : s->all6;
	struct mend m;

	if (c->combine != OR || c->bad_if_zero || !all[c->index])
		return ifp_set(c->family, l->dev.name, c->name, c->mended);
	snprintf(m.s, sizeof(m.s), "%s; %s", ifp_set(c->family, "all", c->name, c->mended).s,
		ifp_set(c->family, l->dev.name, c->name, c->mended).s);
	return m;
}

static void report(struct judge *j, const struct alink *l, const struct setting *c, int value)
{
	ifp_found(j, l, mend_setting(j->s, l, c).s, "net.%s.conf.%s.%s is %d in effect: %s",
		c->family == AF_INET ? "ipv4" : "ipv6", l->dev.name, c->name, value, c->tail);
}

static void judge_setting(struct judge *j)
{
	const struct setting *c = j->check->arg;

	for_each_link (l, j->s) {
		int value;

		if (!concerns(j, l, c))
			continue;
		value = effective(j->s, l, c);
		if (c->bad_if_zero ? !value : value > 0)
			report(j, l, c, value);
	}
}

/* ---- those whose effect depends on forwarding ---- */

static bool hears_advertisements(const struct alink *l)
{
	int v = l->conf6[DEVCONF_ACCEPT_RA];

	return l->has6 && !l->conf6[DEVCONF_DISABLE_IPV6] &&
	       (v == 2 || (v == 1 && !l->conf6[DEVCONF_FORWARDING]));
}

static void judge_advertisements(struct judge *j)
{
	const struct setting *c = j->check->arg;

	for_each_link (l, j->s)
		if (concerns(j, l, c) && hears_advertisements(l) && l->conf6[c->index] > 0)
			report(j, l, c, l->conf6[c->index]);
}

static void judge_redirects4(struct judge *j)
{
	const struct setting *c = j->check->arg;

	for_each_link (l, j->s) {
		int own = l->conf4[c->index], all = j->s->all4[c->index];
		bool router = l->conf4[IPV4_DEVCONF_FORWARDING - 1];

		if (concerns(j, l, c) && (router ? own && all : own || all))
			report(j, l, c, 1);
	}
}

static void judge_redirects6(struct judge *j)
{
	const struct setting *c = j->check->arg;

	for_each_link (l, j->s)
		if (concerns(j, l, c) && l->conf6[c->index] && !l->conf6[DEVCONF_FORWARDING])
			report(j, l, c, l->conf6[c->index]);
}

/* The lesser of the two counts. */
static void judge_seg6(struct judge *j)
{
	const struct setting *c = j->check->arg;

	for_each_link (l, j->s)
		if (concerns(j, l, c) && l->conf6[c->index] > 0 && j->s->all6[c->index] > 0)
			report(j, l, c, l->conf6[c->index]);
}

/* ---- settings of the host ---- */

static void judge_nonlocal(struct judge *j)
{
	int six = *(const int *)j->check->arg == AF_INET6;
	char mend[64];

	if ((six ? j->s->nonlocal6 : j->s->nonlocal4) <= 0)
		return;
	snprintf(mend, sizeof(mend), "sysctl -w net/ipv%d/ip_nonlocal_bind=0", six ? 6 : 4);
	ifp_found(j, NULL, mend, "net.ipv%d.ip_nonlocal_bind is 1", six ? 6 : 4);
}

static void judge_l3mdev(struct judge *j)
{
	const struct {
		const char *name;
		int value;
	} v[] = {{"tcp", j->s->l3mdev_tcp}, {"udp", j->s->l3mdev_udp}};
	bool vrf = false;
	char mend[64];

	for_each_link (l, j->s)
		vrf = vrf || !strcmp(l->dev.kind, "vrf");
	for (size_t i = 0; vrf && i < ARRAY_SIZE(v); i++) {
		if (v[i].value <= 0)
			continue;
		snprintf(mend, sizeof(mend), "sysctl -w net/ipv4/%s_l3mdev_accept=0", v[i].name);
		ifp_found(j, NULL, mend, "net.ipv4.%s_l3mdev_accept is 1 and there is a VRF",
			v[i].name);
	}
}

#define S4(...) (&(const struct setting){.family = AF_INET, __VA_ARGS__})
#define S6(...) (&(const struct setting){.family = AF_INET6, __VA_ARGS__})
#define I4(name) (IPV4_DEVCONF_##name - 1)

static const int inet4 = AF_INET, inet6 = AF_INET6;

static const struct check checks[] = {
	{{"rp-filter", "conf", IFPIN_WARNING, "sources are not checked against the routes",
		 "Who is behind this device can send packets with a source of another network; the "
		 "answers go out by the device that leads there."},
		judge_setting,
		S4(.index = I4(RP_FILTER), .combine = MAX, .whose = OTHER, .bad_if_zero = true,
			.mended = 1, .name = "rp_filter",
			.tail = "a packet that comes in by it may claim any source")},
	{{"arp-ignore", "conf", IFPIN_WARNING, "ARP is answered for addresses of other devices",
		 "Who is behind this device learns that the address of another one is to be "
		 "reached here, and reaches its services (weak host model)."},
		judge_setting,
		S4(.index = I4(ARP_IGNORE), .combine = MAX, .whose = OTHER, .bad_if_zero = true,
			.needs_arp = true, .mended = 1, .name = "arp_ignore",
			.tail = "it answers ARP for every address of the host")},
	{{"arp-announce", "conf", IFPIN_WARNING, "ARP requests carry addresses of other devices",
		 "A look-up on this device shows the address of another one, and who hears it "
		 "sends what is for that address here."},
		judge_setting,
		S4(.index = I4(ARP_ANNOUNCE), .combine = MAX, .whose = OTHER, .bad_if_zero = true,
			.needs_arp = true, .mended = 2, .name = "arp_announce",
			.tail = "its ARP requests may name an address of another device")},
	{{"arp-filter", "conf", IFPIN_NOTICE, "ARP is answered whoever asks",
		 "A neighbour of this device that claims an address of another one's network is "
		 "answered, and is on the way to be taken for it."},
		judge_setting,
		S4(.index = I4(ARPFILTER), .combine = OR, .whose = OTHER, .bad_if_zero = true,
			.needs_arp = true, .mended = 1, .name = "arp_filter",
			.tail = "it answers who is not to be reached by it")},
	{{"arp-accept", "conf", IFPIN_NOTICE, "neighbours are learnt from announcements",
		 "A neighbour that announces somebody else's address gets what is sent to it."},
		judge_setting,
		S4(.index = I4(ARP_ACCEPT), .combine = MAX, .whose = SUBJECT, .needs_arp = true,
			.mended = 0, .name = "arp_accept",
			.tail = "who announces an address is taken for it")},
	{{"proxy-arp", "conf", IFPIN_WARNING, "ARP is answered for other hosts",
		 "Hosts on one side take this one for those on the other side, and send it what is "
		 "for them; if it forwards, the two networks are one."},
		judge_setting,
		S4(.index = I4(PROXY_ARP), .combine = OR, .whose = EITHER, .needs_arp = true,
			.mended = 0, .name = "proxy_arp",
			.tail = "while it forwards, it answers ARP for whatever another "
				"device leads to")},
	{{"proxy-arp-pvlan", "conf", IFPIN_WARNING, "ARP is answered for hosts on the same device",
		 "Hosts behind this device send what is for their neighbours to this host."},
		judge_setting,
		S4(.index = I4(PROXY_ARP_PVLAN), .combine = OR, .whose = EITHER, .needs_arp = true,
			.mended = 0, .name = "proxy_arp_pvlan",
			.tail = "while it forwards, it answers ARP for what it leads to itself")},
	{{"accept-local", "conf", IFPIN_WARNING,
		 "packets from the host's own addresses are accepted",
		 "Who is behind this device can speak in the name of the host itself, also to "
		 "services that trust its own addresses."},
		judge_setting,
		S4(.index = I4(ACCEPT_LOCAL), .combine = OR, .whose = EITHER, .mended = 0,
			.name = "accept_local",
			.tail = "a packet that comes in may have this host's own address as "
				"its source")},
	{{"route-localnet", "conf", IFPIN_CRITICAL, "127.0.0.0/8 is reached from outside",
		 "Who is behind this device reaches services that listen on loopback only."},
		judge_setting,
		S4(.index = I4(ROUTE_LOCALNET), .combine = OR, .whose = EITHER, .mended = 0,
			.name = "route_localnet",
			.tail = "packets to 127.0.0.0/8 that come in by it are delivered")},
	{{"accept-redirects4", "conf", IFPIN_NOTICE, "ICMP redirects are believed",
		 "A neighbour can lead what is sent by this device to another gateway on its "
		 "link."},
		judge_redirects4,
		S4(.index = I4(ACCEPT_REDIRECTS), .combine = OR, .whose = SUBJECT, .mended = 0,
			.name = "accept_redirects",
			.tail = "a neighbour may change where packets go")},
	{{"accept-redirects6", "conf", IFPIN_NOTICE, "ICMPv6 redirects are believed",
		 "A neighbour can lead what is sent by this device to another gateway on its "
		 "link."},
		judge_redirects6,
		S6(.index = DEVCONF_ACCEPT_REDIRECTS, .combine = OWN, .whose = SUBJECT, .mended = 0,
			.name = "accept_redirects",
			.tail = "a neighbour may change where packets go")},
	{{"source-route", "conf", IFPIN_WARNING, "senders may choose the way (IPv4 source routes)",
		 "Who is behind this device names the hosts that a packet shall pass, and so "
		 "reaches networks that no route offers."},
		judge_setting,
		S4(.index = I4(ACCEPT_SOURCE_ROUTE), .combine = AND, .whose = EITHER, .mended = 0,
			.name = "accept_source_route",
			.tail = "while it forwards, source routes of packets that come in "
				"are followed")},
	{{"seg6", "conf", IFPIN_WARNING, "senders may choose the way (IPv6 segment routing)",
		 "Who is behind this device names the hosts that a packet shall pass, and so "
		 "reaches networks that no route offers."},
		judge_seg6,
		S6(.index = DEVCONF_SEG6_ENABLED, .combine = AND, .whose = EITHER, .mended = 0,
			.name = "seg6_enabled",
			.tail = "while the host forwards, segment lists of packets that come "
				"in are followed")},
	{{"accept-ra", "conf", IFPIN_WARNING, "router advertisements set default routes",
		 "A router on another device, or who passes for one, draws to it what has no "
		 "closer route; that includes control traffic whose own device has lost its "
		 "route."},
		judge_advertisements,
		S6(.index = DEVCONF_ACCEPT_RA_DEFRTR, .whose = OTHER, .mended = 0,
			.name = "accept_ra_defrtr",
			.tail = "who sends a router advertisement there becomes a default route")},
	{{"ra-routes", "conf", IFPIN_CRITICAL, "router advertisements set routes to any network",
		 "Whoever is behind this device announces a part of the control plane's network "
		 "as his own, and gets its packets."},
		judge_advertisements,
		S6(.index = DEVCONF_ACCEPT_RA_RT_INFO_MAX_PLEN, .whose = OTHER, .mended = 0,
			.name = "accept_ra_rt_info_max_plen",
			.tail = "advertised routes as long as that are taken")},
	{{"ra-prefixes", "conf", IFPIN_WARNING, "router advertisements set addresses and networks",
		 "Whoever is behind this device declares a network to be on its link, and gets "
		 "packets to addresses in it."},
		judge_advertisements,
		S6(.index = DEVCONF_ACCEPT_RA_PINFO, .whose = OTHER, .mended = 0,
			.name = "accept_ra_pinfo",
			.tail = "a network that is advertised there is taken to be on its link")},
	{{"proxy-ndp", "conf", IFPIN_WARNING,
		 "neighbour solicitations are answered for other hosts",
		 "With an entry (`ip -6 neigh show proxy`) hosts on one side take this one for "
		 "one on the other side."},
		judge_setting,
		S6(.index = DEVCONF_PROXY_NDP, .combine = OR, .whose = EITHER, .mended = 0,
			.name = "proxy_ndp",
			.tail = "while it forwards, it may answer for other hosts")},
	{{"untracked-na", "conf", IFPIN_NOTICE, "neighbours are learnt from advertisements",
		 "A neighbour that advertises somebody else's address gets what is sent to it."},
		judge_setting,
		S6(.index = DEVCONF_ACCEPT_UNTRACKED_NA, .combine = OWN, .whose = SUBJECT,
			.mended = 0, .name = "accept_untracked_na",
			.tail = "while it forwards, who advertises an address is taken for it")},
	{{"nonlocal-bind4", "conf", IFPIN_NOTICE, "sockets may take foreign IPv4 addresses",
		 "A program may take an address and port before the host has the address; "
		 "whichever device gets it, what is sent to it there is delivered."},
		judge_nonlocal, &inet4},
	{{"nonlocal-bind6", "conf", IFPIN_NOTICE, "sockets may use foreign IPv6 addresses",
		 "Every user's program may send from an address that is not the host's: others "
		 "answer it by another way."},
		judge_nonlocal, &inet6},
	{{"l3mdev-accept", "conf", IFPIN_WARNING, "sockets without a VRF serve all VRFs",
		 "A listener that is tied to nothing is reached from every VRF: the networks "
		 "that they keep apart share it."},
		judge_l3mdev, NULL},
};

const struct check_class ifp_checks_conf = {checks, ARRAY_SIZE(checks)};
