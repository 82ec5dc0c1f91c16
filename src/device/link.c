// SPDX-License-Identifier: MIT
/* Link messages, and whether two of them are about one device. */
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define LOWER_UP (1u << 16) /* IFF_LOWER_UP; <linux/if.h> does not go with <net/if.h> */

/* AF_BRIDGE speaks of ports in the same types: a port that leaves its bridge is not deleted. */
static const struct ifinfomsg *link_header(const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_index <= 0 ||
		ifi->ifi_family != AF_UNSPEC)
		return NULL;
	return ifi;
}

static int read_name(const struct nlattr *attr, char ret[IF_NAMESIZE])
{
	if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ||
		mnl_attr_get_payload_len(attr) > IF_NAMESIZE)
		return -EBADMSG;
	strcpy(ret, mnl_attr_get_str(attr));
	return 0;
}

int ifp_link_parse(const struct nlmsghdr *nlh, struct ifp_link *ret)
{
	const struct ifinfomsg *ifi = link_header(nlh);
	struct ifp_link l = {};
	struct nlattr *attr;

	if (!ifi)
		return -EBADMSG;
	mnl_attr_for_each (attr, nlh, sizeof(*ifi)) {
		if (mnl_attr_get_type(attr) != IFLA_IFNAME)
			continue;
		if (read_name(attr, l.name))
			return -EBADMSG;
		break;
	}
	l.ifindex = (uint32_t)ifi->ifi_index;
	l.deleted = nlh->nlmsg_type == RTM_DELLINK;
	*ret = l;
	return 0;
}

static void read_mac(const struct nlattr *attr, uint8_t mac[IFPIN_MAC_SIZE], uint8_t *ret_len)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	if (len > IFPIN_MAC_SIZE)
		return;
	memcpy(mac, mnl_attr_get_payload(attr), len);
	*ret_len = (uint8_t)len;
}

static void read_kind(const struct nlattr *info, char kind[IFPIN_KIND_SIZE])
{
	struct nlattr *attr;

	mnl_attr_for_each_nested (attr, info)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
			mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
			mnl_attr_get_payload_len(attr) <= IFPIN_KIND_SIZE)
			strcpy(kind, mnl_attr_get_str(attr));
}

/* A name that does not fit is left out as a whole: half of one would be another's. */
static void read_altnames(const struct nlattr *list, char names[IFPIN_ALTNAMES_SIZE])
{
	struct nlattr *attr;
	size_t used = 0;

	mnl_attr_for_each_nested (attr, list) {
		const char *name = mnl_attr_get_payload(attr);
		size_t len;

		if (mnl_attr_get_type(attr) != IFLA_ALT_IFNAME ||
			mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			continue;
		len = strlen(name);
		if (used + !!used + len + 1 > IFPIN_ALTNAMES_SIZE)
			continue;
		if (used)
			names[used++] = ' ';
		memcpy(names + used, name, len + 1);
		used += len;
	}
}

static int read_attribute(const struct nlattr *attr, struct ifpin_device *d)
{
	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		return read_name(attr, d->name);
	case IFLA_ADDRESS:
		read_mac(attr, d->mac, &d->mac_len);
		return 0;
	case IFLA_PERM_ADDRESS:
		read_mac(attr, d->perm_mac, &d->perm_mac_len);
		return 0;
	case IFLA_MASTER:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
			return -EBADMSG;
		d->master = mnl_attr_get_u32(attr);
		return 0;
	case IFLA_LINKINFO:
		read_kind(attr, d->kind);
		return 0;
	case IFLA_PROP_LIST:
		read_altnames(attr, d->altnames);
		return 0;
	}
	return 0;
}

/* Wireless extensions send messages that look like a device without any properties. */
int ifp_device_parse(const struct nlmsghdr *nlh, struct ifpin_device *ret)
{
	const struct ifinfomsg *ifi = link_header(nlh);
	struct ifpin_device d = {};
	struct nlattr *attr;

	if (!ifi)
		return -EBADMSG;
	mnl_attr_for_each (attr, nlh, sizeof(*ifi))
		if (mnl_attr_get_type(attr) == IFLA_WIRELESS || read_attribute(attr, &d))
			return -EBADMSG;
	d.ifindex = (uint32_t)ifi->ifi_index;
	d.type = ifi->ifi_type;
	d.flags = (ifi->ifi_flags & IFF_UP ? IFPIN_DEVICE_UP : 0) |
		  (ifi->ifi_flags & LOWER_UP ? IFPIN_DEVICE_CARRIER : 0);
	*ret = d;
	return 0;
}

static bool has_word(const char *list, const char *word, size_t len)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, " ");

		if (n == len && !memcmp(p, word, len))
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static bool share_altname(const struct ifpin_device *a, const struct ifpin_device *b)
{
	for (const char *p = a->altnames; *p;) {
		size_t n = strcspn(p, " ");

		if (n && has_word(b->altnames, p, n))
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static bool locally_administered(const struct ifpin_device *d)
{
	return d->mac_len == 6 && d->mac[0] & 2;
}

bool ifp_device_same(const struct ifpin_device *a, const struct ifpin_device *b)
{
	if (a->type != b->type || strcmp(a->kind, b->kind) != 0)
		return false;
	if (a->perm_mac_len && a->perm_mac_len == b->perm_mac_len)
		return !memcmp(a->perm_mac, b->perm_mac, a->perm_mac_len);
	if (!a->mac_len && !b->mac_len)
		return !strcmp(a->name, b->name);
	if (a->mac_len == b->mac_len && !memcmp(a->mac, b->mac, a->mac_len))
		return true;
	return locally_administered(a) && locally_administered(b) && share_altname(a, b);
}

bool ifp_device_returned(const struct ifpin_device *was, const struct ifpin_device *now)
{
	return ifp_device_same(was, now) &&
	       (!strcmp(was->name, now->name) || share_altname(was, now));
}
