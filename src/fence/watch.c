// SPDX-License-Identifier: MIT
/* Devices that come, go and change their names under a fence. */
#include "internal.h"

#include "base/nl.h"
#include "device/device.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ifpin_fence_watch {
	struct mnl_socket *links, *rules;
	int epoll; /* both, for who polls one descriptor */
};

static int open_rules(struct mnl_socket **ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (!nl)
		return -errno;
	if (!mnl_socket_bind(nl, 1U << (NFNLGRP_NFTABLES - 1), MNL_SOCKET_AUTOPID)) {
		*ret = nl;
		return 0;
	}
	r = -errno;
	mnl_socket_close(nl);
	return r;
}

static int watch_also(const struct ifpin_fence_watch *w, const struct mnl_socket *nl)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, mnl_socket_get_fd(nl), &ev) ? -errno : 0;
}

int ifpin_fence_watch_open(struct ifpin_fence_watch **ret_watch, struct ifpin_error *ret_error)
{
	struct ifpin_fence_watch *w = calloc(1, sizeof(*w));
	int r = w ? 0 : -ENOMEM;

	if (!r) {
		w->epoll = epoll_create1(EPOLL_CLOEXEC);
		r = w->epoll < 0 ? -errno : 0;
	}
	if (!r)
		r = ifp_nl_listen(RTMGRP_LINK, &w->links) ?: watch_also(w, w->links);
	if (!r)
		r = open_rules(&w->rules) ?: watch_also(w, w->rules);
	if (r) {
		ifpin_fence_watch_close(w);
		return ifp_fail_errno(ret_error, r, "cannot hear of interfaces and rules");
	}
	*ret_watch = w;
	return 0;
}

int ifpin_fence_watch_fd(const struct ifpin_fence_watch *watch)
{
	return watch->epoll;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	*(bool *)data |= nlh->nlmsg_type == RTM_NEWLINK || nlh->nlmsg_type == RTM_DELLINK;
	return 0;
}

/* The first attribute of all is the name of the table, but for what tells of generations. */
static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	uint16_t type = nlh->nlmsg_type & 0xff;
	const struct nlattr *a;

	if (type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN)
		*(bool *)data = true;
	if (type == NFT_MSG_NEWGEN)
		return 0;
	mnl_attr_for_each (a, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_TABLE_NAME &&
			!mnl_attr_validate(a, MNL_TYPE_NUL_STRING) &&
			!strncmp(mnl_attr_get_str(a), TABLE_PREFIX, strlen(TABLE_PREFIX)))
			*(bool *)data = true;
	return 0;
}

int ifpin_fence_watch_step(struct ifpin_fence_watch *watch)
{
	bool links = false, rules = false;
	int r = ifp_nl_drain(watch->links, on_link, &links);

	if (r && r != -ENOBUFS)
		return r;
	links |= r == -ENOBUFS;
	r = ifp_nl_drain(watch->rules, on_rule, &rules);
	if (r && r != -ENOBUFS)
		return r;
	rules |= r == -ENOBUFS;
	return (links ? IFPIN_FENCE_DEVICES : 0) | (rules ? IFPIN_FENCE_RULES : 0);
}

void ifpin_fence_watch_close(struct ifpin_fence_watch *watch)
{
	if (!watch)
		return;
	if (watch->links)
		mnl_socket_close(watch->links);
	if (watch->rules)
		mnl_socket_close(watch->rules);
	if (watch->epoll >= 0)
		close(watch->epoll);
	free(watch);
}

static bool among(const uint32_t *list, size_t n, uint32_t ifindex)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

/* Whether the fence stands for other carriers than there are, or a hook has gone astray. */
static bool needs_all(const struct ifpin_fence *f, const struct ports *carriers)
{
	if (carriers->n != f->n_carriers)
		return true;
	for (size_t i = 0; i < carriers->n; i++)
		if (!among(f->carriers, f->n_carriers, carriers->list[i].ifindex))
			return true;
	return false;
}

/* The programs of a device that is covered already go to the new ones. */
static int extend_guard(
	const struct ifpin_fence *f, const struct ports *covered, struct ifpin_error *err)
{
	for (size_t i = 0; ifp_guard_has_place() && i < covered->n; i++) {
		const struct port *to = &covered->list[i];
		int r = -ENOENT;

		if (among(f->covered, f->n_covered, to->ifindex))
			continue;
		for (size_t k = 0; k < covered->n && r == -ENOENT; k++)
			if (among(f->covered, f->n_covered, covered->list[k].ifindex) &&
				covered->list[k].type == to->type)
				r = ifp_guard_extend(f->name, covered->list[k].ifindex, to);
		if (r)
			return ifp_fail_errno(err, r,
				"cannot tie the program for traffic control to %s", to->name);
	}
	return 0;
}

/*
 * Last of all: from then on IP trusts that each frame of these devices is read, where rules do that
 * and not the program in traffic control. What check() compares is kept true in either case.
 */
static int note_covered(
	const struct ifpin_fence *f, const struct plan *plan, struct ifpin_error *err)
{
	_cleanup_free_ struct fence_table *tables = NULL;
	_cleanup_free_ char *text = NULL;
	size_t n, size;
	FILE *out;
	int r = ifp_state_tables(&tables, &n, err);

	if (r)
		return r;
	out = open_memstream(&text, &size);
	if (!out)
		return ifp_fail(err, -ENOMEM, "no memory for the rules");
	for (size_t i = 0; i < n; i++) {
		const char *family = tables[i].family;

		if (strcmp(tables[i].fence, f->name) != 0 || strncmp(family, "ip", 2) != 0)
			continue;
		fprintf(out, "flush set %s " TABLE_PREFIX "%s covered\n", family, f->name);
		if (!plan->n_covered)
			continue;
		fprintf(out, "add element %s " TABLE_PREFIX "%s covered { ", family, f->name);
		ifp_plan_covered(out, plan);
		fputs(" }\n", out);
	}
	if (fclose(out))
		return ifp_fail(err, -ENOMEM, "no memory for the rules");
	return ifp_nft_run(text, false, err);
}

/* The quick way for what happens most: devices more, devices less. */
static int cover_changes(const struct ifpin_fence *f, const struct ports *covered,
	unsigned int *ret_changed, struct ifpin_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct plan plan = {.name = f->name,
		.covered = covered->list,
		.n_covered = covered->n,
		.guarded = f->guarded};
	unsigned int changed = 0;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r = 0;

	if (!out)
		return ifp_fail(err, -ENOMEM, "no memory for the rules");
	for (size_t i = 0; i < covered->n && !r; i++)
		if (!among(f->covered, f->n_covered, covered->list[i].ifindex)) {
			r = ifp_port_name_check(covered->list[i].name, err);
			ifp_plan_cover(out, &plan, &covered->list[i]);
			changed++;
		}
	for (size_t i = 0; i < f->n_covered; i++) {
		bool there = false;

		for (size_t k = 0; k < covered->n; k++)
			there |= covered->list[k].ifindex == f->covered[i];
		if (there)
			continue;
		/* Older kernels have taken the chain away with its device: add it, to delete it. */
		for (int in = 0; in < 2; in++)
			fprintf(out,
				"add chain netdev " TABLE_PREFIX
				"%s %s%u\nflush chain netdev " TABLE_PREFIX
				"%s %s%u\ndelete chain netdev " TABLE_PREFIX "%s %s%u\n",
				f->name, in ? "in" : "out", f->covered[i], f->name,
				in ? "in" : "out", f->covered[i], f->name, in ? "in" : "out",
				f->covered[i]);
		changed++;
	}
	if (fclose(out))
		r = ifp_fail(err, -ENOMEM, "no memory for the rules");
	if (!r && changed)
		r = ifp_nft_run(text, false, err) ?: extend_guard(f, covered, err)
						   ?: note_covered(f, &plan, err);
	if (!r)
		*ret_changed = changed;
	return r;
}

/* Whether rules are for another DEVICE than there is, or for one where there is another now. */
static bool place_changed(const struct ifpin_fence *f, const struct place *p)
{
	return p->moved || p->taken != f->shut || (p->here && !p->marked);
}

/* A renamed device has lost its hooks on Linux 6.16 and later, which know devices by name. */
static int names_agree(const struct ifpin_fence *f, const struct ports *covered, bool *ret,
	struct ifpin_error *err)
{
	_cleanup_free_ char *text = NULL;
	bool agree = true;
	int r = ifp_nft_text("list chains netdev", &text, err);

	for (size_t i = 0; !r && i < covered->n; i++) {
		char chain[16];

		snprintf(chain, sizeof(chain), "out%u", covered->list[i].ifindex);
		if (among(f->covered, f->n_covered, covered->list[i].ifindex))
			agree &= ifp_nft_hooked(text, f->name, chain, covered->list[i].name);
	}
	if (!r)
		*ret = agree;
	return r;
}

static bool have_program(const struct ifpin_fence *f, const struct ports *covered)
{
	bool all = true;

	for (size_t i = 0; i < covered->n && all; i++)
		all = ifp_guard_find(f->name, covered->list[i].ifindex, false, NULL) > 0 &&
		      ifp_guard_find(f->name, covered->list[i].ifindex, true, NULL) > 0;
	return all;
}

int ifpin_fence_sync(const char *name, unsigned int *ret_changed, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_ports_free) struct ports all = {}, carriers = {}, covered = {};
	_cleanup_(ifp_state_clear) struct ifpin_fence f = {};
	_cleanup_close_ int lock = -1;
	struct place place;
	bool agree = true;
	unsigned int changed = 0;
	int r = ifp_fence_name_check(name, ret_error)
			?: ifp_fence_lock(&lock, ret_error)
			?: ifp_state_read_devices(name, &f, ret_error);

	if (!r && !f.device.ifindex)
		r = ifp_fail(ret_error, -ENOENT,
			"somebody took a part of the fence \"%s\" away: apply it again", name);
	if (r)
		return r;
	r = ifp_ports_read(&all);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot list the interfaces");
	r = ifp_place_find(&f.device, f.group, &all, &place, ret_error);
	if (r)
		return r;
	r = ifp_ports_split(&all, place.taken ? NULL : &place.now, &carriers, &covered);
	if (r)
		return ifp_fail_errno(ret_error, r, "no memory for the interfaces");
	/* New devices first: as long as this takes, frames of packet sockets leave by them. */
	if (!place_changed(&f, &place) && !needs_all(&f, &carriers))
		r = cover_changes(&f, &covered, &changed, ret_error);
	else
		r = -ENODEV;
	if (!r)
		r = names_agree(&f, &covered, &agree, ret_error);
	/* One that was made anew, with its name and index, has the rules again and not the program.
	 */
	if (!r && f.guarded)
		agree &= have_program(&f, &covered);
	if (!r && !agree)
		r = -ENODEV;
	/* That is not all of it, or a device was gone before it could be covered. */
	if (r == -ENOENT || r == -ENODEV) {
		ifp_state_clear(&f);
		r = ifp_state_read(name, &f, ret_error)
			    ?: ifp_fence_again(&f, &place.now, ret_error);
		changed = (unsigned int)covered.n;
	}
	if (!r)
		*ret_changed = changed;
	return r;
}
