// SPDX-License-Identifier: MIT
/* Devices that stand on each other, or are joined. */
#include "audit.h"

#include <linux/if_link.h>
#include <net/if_arp.h>
#include <string.h>

/* ---- ports ---- */

static bool has_check_of_its_own(const char *kind)
{
	static const char *const kinds[] = {"bridge", "bond", "team", "vrf"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

/* arg: kind of the master, or NULL for all others. */
static void judge_port(struct judge *j)
{
	const char *kind = j->check->arg;
	struct mend m;

	for_each_link (l, j->s) {
		const struct alink *master =
			l->dev.master ? ifp_link_at(j->s, l->dev.master) : NULL;

		if (!master || !ifp_is_subject(j, l) ||
			(kind ? strcmp(master->dev.kind, kind) != 0
			      : has_check_of_its_own(master->dev.kind)))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link set dev %s nomaster", ifp_quote(l->dev.name).s);
		ifp_found(j, l, m.s, "%s is a port of %s, which is a %s", l->dev.name,
			master->dev.name,
			master->dev.kind[0] ? master->dev.kind : "device of no kind");
	}
}

/* ---- what stands on a device ---- */

static bool is_one_of(const char *kind, const char *const *kinds)
{
	for (; *kinds; kinds++)
		if (!strcmp(kind, *kinds))
			return true;
	return false;
}

static const char *const shares[] = {"macvlan", "macvtap", "ipvlan", "ipvtap", NULL};
static const char *const vlans[] = {"vlan", "macsec", "hsr", NULL};
static const char *const tunnels[] = {"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap",
	"erspan", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "bareudp", "gtp",
	"amt", "wireguard", "ovpn", "tun", "ppp", NULL};

/* arg: kinds of the device that stands on the one that is judged. */
static void judge_upper(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		uint32_t index = l->outer ?: l->lower;
		const struct alink *lower = index ? ifp_link_at(j->s, index) : NULL;

		if (!lower || lower == l || !ifp_is_subject(j, lower) ||
			!is_one_of(l->dev.kind, j->check->arg))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link del dev %s", ifp_quote(l->dev.name).s);
		ifp_found(j, lower, m.s, "%s, a %s, stands on %s", l->dev.name, l->dev.kind,
			lower->dev.name);
	}
}

static void judge_tunnel(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		uint32_t index = l->outer ?: l->lower;

		if (!ifp_is_subject(j, l) || !(l->flags & IFF_UP) ||
			!is_one_of(l->dev.kind, tunnels))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link set dev %s down", ifp_quote(l->dev.name).s);
		if (index && index != l->dev.ifindex)
			ifp_found(j, l, m.s, "%s is a tunnel (%s) over %s", l->dev.name,
				l->dev.kind, ifp_link_name(j->s, index));
		else
			ifp_found(j, l, m.s,
				"%s is a tunnel (%s) whose packets leave by whichever device "
				"leads to its far end",
				l->dev.name, l->dev.kind);
	}
}

static void judge_veth(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		const struct alink *end = strcmp(l->dev.kind, "veth") != 0 || l->lower_elsewhere
						  ? NULL
						  : ifp_link_at(j->s, l->lower);

		/* Of a pair both of whose ends are judged, the first one is told. */
		if (!end || !ifp_is_subject(j, l) || (!j->dev && end < l))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link del dev %s", ifp_quote(end->dev.name).s);
		ifp_found(j, l, m.s, "the other end of %s is %s, in this namespace%s%s",
			l->dev.name, end->dev.name, end->dev.master ? ", a port of " : "",
			end->dev.master ? ifp_link_name(j->s, end->dev.master) : "");
	}
}

static void judge_lower_elsewhere(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		if (!l->lower_elsewhere || !ifp_is_subject(j, l) || !strcmp(l->dev.kind, "veth") ||
			!strcmp(l->dev.kind, "netkit"))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link del dev %s", ifp_quote(l->dev.name).s);
		ifp_found(j, l, m.s, "%s (%s) stands on a device of another namespace", l->dev.name,
			l->dev.kind);
	}
}

/* ---- what else it hears ---- */

/* A port of a bridge has to be promiscuous: that is told as a port. */
static void judge_promiscuous(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		if (!l->promiscuity || l->dev.master || !ifp_is_subject(j, l))
			continue;
		if (l->flags & IFF_PROMISC)
			snprintf(m.s, sizeof(m.s), "ip link set dev %s promisc off",
				ifp_quote(l->dev.name).s);
		else
			snprintf(m.s, sizeof(m.s),
				"# end the program that asked for it: "
				"ifpin audit --only=packet-socket");
		ifp_found(j, l, m.s, "%s is promiscuous (%u asked for it%s)", l->dev.name,
			l->promiscuity,
			l->flags & IFF_PROMISC ? ", an administrator among them" : "");
	}
}

static void judge_allmulti(struct judge *j)
{
	struct mend m;

	for_each_link (l, j->s) {
		if (!(l->flags & IFF_ALLMULTI) || !ifp_is_subject(j, l))
			continue;
		snprintf(m.s, sizeof(m.s), "ip link set dev %s allmulticast off",
			ifp_quote(l->dev.name).s);
		ifp_found(j, l, m.s, "%s takes in all multicast", l->dev.name);
	}
}

static const struct check checks[] = {
	{{"bridge-port", "relation", IFPIN_CRITICAL, "the device is a port of a bridge",
		 "Frames that come in by it leave by the other ports, whatever routes and "
		 "forwarding say; what is sent on the bridge leaves by it."},
		judge_port, "bridge"},
	{{"bond-port", "relation", IFPIN_CRITICAL, "the device is a port of a bond",
		 "What is sent on the bond leaves by whichever port it chooses, and what is "
		 "meant for this device comes in by another."},
		judge_port, "bond"},
	{{"team-port", "relation", IFPIN_CRITICAL, "the device is a port of a team",
		 "What is sent on the team leaves by whichever port it chooses, and what is "
		 "meant for this device comes in by another."},
		judge_port, "team"},
	{{"vrf-port", "relation", IFPIN_NOTICE, "the device belongs to a VRF",
		 "Its routes are in the VRF's table: a socket that is tied to nothing does not "
		 "use it, and leaves by another device."},
		judge_port, "vrf"},
	{{"other-port", "relation", IFPIN_WARNING, "the device belongs to a device of another kind",
		 "Frames that come in by it are handed to its master (Open vSwitch, batman-adv, "
		 "HSR and the like), which may send them on."},
		judge_port, NULL},
	{{"macvlan-on", "relation", IFPIN_WARNING,
		 "another device shares its wire (macvlan, ipvlan)",
		 "What is sent on that other device leaves by this one, past whatever holds "
		 "sockets to it."},
		judge_upper, shares},
	{{"vlan-on", "relation", IFPIN_NOTICE, "another device stands on it (VLAN, MACsec, HSR)",
		 "What is sent on that other device leaves by this one, with a tag."},
		judge_upper, vlans},
	{{"tunnel-on", "relation", IFPIN_WARNING, "a tunnel is tied to it",
		 "What is sent into the tunnel leaves by this device, inside other packets, and "
		 "what comes in by it comes out of the tunnel."},
		judge_upper, tunnels},
	{{"tunnel", "relation", IFPIN_NOTICE, "the device is a tunnel",
		 "What is sent on it leaves by another device, inside other packets, or is read "
		 "by a process."},
		judge_tunnel, NULL},
	{{"veth-here", "relation", IFPIN_WARNING, "both ends of a veth are here",
		 "What is sent on it comes in by the other end, and goes on as whatever that "
		 "belongs to says."},
		judge_veth, NULL},
	{{"lower-elsewhere", "relation", IFPIN_NOTICE, "it stands on a device of another namespace",
		 "Its frames leave by a device that cannot be inspected from here."},
		judge_lower_elsewhere, NULL},
	{{"promiscuous", "relation", IFPIN_NOTICE, "the device is promiscuous",
		 "Frames for others are taken in, and shown to every program that may open a "
		 "packet socket."},
		judge_promiscuous, NULL},
	{{"allmulticast", "relation", IFPIN_NOTICE, "the device takes in all multicast",
		 "Groups that nobody here has joined are taken in, and shown to every program "
		 "that may open a packet socket."},
		judge_allmulti, NULL},
};

const struct check_class ifp_checks_relation = {checks, ARRAY_SIZE(checks)};
