// SPDX-License-Identifier: MIT
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>

#define ALT_NAME_SIZE 128 /* ALTIFNAMSIZ; <linux/if.h> does not go with <net/if.h> */

struct search {
	const char *spec;
	uint32_t index;
	struct ether_addr mac;
	enum { BY_NAME, BY_INDEX, BY_MAC } by;
	struct ifpin_device found;
	unsigned int hits;
	char names[768];
	size_t names_len;
};

int ifp_link_parse(const struct nlmsghdr *nlh, struct ifp_link *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct ifp_link l = {};
	struct nlattr *attr;

	if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_index <= 0)
		return -EBADMSG;
	mnl_attr_for_each (attr, nlh, sizeof(*ifi)) {
		if (mnl_attr_get_type(attr) != IFLA_IFNAME)
			continue;
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ||
			mnl_attr_get_payload_len(attr) > IF_NAMESIZE)
			return -EBADMSG;
		strcpy(l.name, mnl_attr_get_str(attr));
	}
	l.ifindex = (uint32_t)ifi->ifi_index;
	l.deleted = nlh->nlmsg_type == RTM_DELLINK;
	*ret = l;
	return 0;
}

static bool has_altname(const struct nlmsghdr *nlh, const char *name)
{
	struct nlattr *attr, *prop;

	mnl_attr_for_each (attr, nlh, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attr) != IFLA_PROP_LIST)
			continue;
		mnl_attr_for_each_nested (prop, attr)
			if (mnl_attr_get_type(prop) == IFLA_ALT_IFNAME &&
				mnl_attr_validate(prop, MNL_TYPE_NUL_STRING) >= 0 &&
				!strcmp(mnl_attr_get_str(prop), name))
				return true;
	}
	return false;
}

static bool has_mac(const struct nlmsghdr *nlh, const struct ether_addr *mac)
{
	struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(attr) == IFLA_ADDRESS &&
			mnl_attr_get_payload_len(attr) == sizeof(*mac) &&
			!memcmp(mnl_attr_get_payload(attr), mac, sizeof(*mac)))
			return true;
	return false;
}

static void remember_name(struct search *s, const char *name)
{
	size_t left = sizeof(s->names) - s->names_len;
	int n = snprintf(s->names + s->names_len, left, "%s%s", s->names_len ? ", " : "", name);

	if (n > 0 && (size_t)n < left)
		s->names_len += (size_t)n;
	else
		s->names[s->names_len] = 0;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	struct search *s = data;
	struct ifp_link l;
	bool hit = false;

	if (ifp_link_parse(nlh, &l))
		return 0;
	remember_name(s, l.name);
	switch (s->by) {
	case BY_NAME:
		hit = !strcmp(l.name, s->spec) || has_altname(nlh, s->spec);
		break;
	case BY_INDEX:
		hit = l.ifindex == s->index;
		break;
	case BY_MAC:
		hit = has_mac(nlh, &s->mac);
		break;
	}
	if (hit && s->found.ifindex != l.ifindex) {
		s->hits++;
		s->found.ifindex = l.ifindex;
		memcpy(s->found.name, l.name, sizeof(l.name));
	}
	return 0;
}

static int parse_spec(struct search *s, struct ifpin_error *err)
{
	if (!*s->spec)
		return ifp_fail(err, -EINVAL, "no interface given");
	if (!strncmp(s->spec, "index:", 6)) {
		s->by = BY_INDEX;
		if (ifp_parse_u32(s->spec + 6, 1, INT32_MAX, &s->index))
			return ifp_fail(err, -EINVAL,
				"\"%s\": an index is a number from 1 to 2147483647", s->spec);
	} else if (!strncmp(s->spec, "mac:", 4)) {
		s->by = BY_MAC;
		if (strlen(s->spec) != 4 + 17 || !ether_aton_r(s->spec + 4, &s->mac))
			return ifp_fail(err, -EINVAL,
				"\"%s\": a MAC address is six pairs of hexadecimal digits",
				s->spec);
	} else if (strlen(s->spec) >= ALT_NAME_SIZE) {
		return ifp_fail(err, -EINVAL,
			"interface name of %zu bytes is too long (at most %d, alternative names %d)",
			strlen(s->spec), IF_NAMESIZE - 1, ALT_NAME_SIZE - 1);
	}
	return 0;
}

static struct nlmsghdr *link_dump(char *buf)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return nlh;
}

int ifpin_device_resolve(
	const char *spec, struct ifpin_device *ret_device, struct ifpin_error *ret_error)
{
	struct search s = {.spec = spec};
	char buf[256];
	int r;

	r = parse_spec(&s, ret_error);
	if (r)
		return r;
	r = ifp_nl_talk(link_dump(buf), on_link, &s);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot list the interfaces");
	if (!s.hits)
		return ifp_fail(ret_error, -ENODEV,
			"no interface \"%s\" in this network namespace (there are: %s)", spec,
			s.names);
	if (s.hits > 1)
		return ifp_fail(ret_error, -ENOTUNIQ,
			"%u interfaces have \"%s\"; give a name or index:N (there are: %s)", s.hits,
			spec, s.names);
	*ret_device = s.found;
	return 0;
}
