// SPDX-License-Identifier: MIT
/* The list of sockets, judged. */
#include "sockets.h"

#include "base/base.h"
#include "device/device.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *text;
} verdicts[IFPIN_SOCKET_VERDICTS] = {
	[IFPIN_SOCKET_PINNED] = {"pinned", "it can use this device only"},
	[IFPIN_SOCKET_UNPINNED] = {"unpinned", "it can use every device"},
	[IFPIN_SOCKET_ELSEWHERE] = {"elsewhere",
		"it is tied to another device than that of its confinement, which lets nothing pass"},
	[IFPIN_SOCKET_DEAD] = {"dead", "its device is gone"},
	[IFPIN_SOCKET_FOREIGN] = {"foreign",
		"a process in a confinement holds it that was made outside, and is not confined"},
	[IFPIN_SOCKET_UNHELD] = {"unheld",
		"it is in a confinement, whose programs do not judge sockets of this family"},
	[IFPIN_SOCKET_UNKNOWN] = {"unknown", "the kernel does not tell what it is tied to"},
};

const char *ifpin_socket_verdict_name(enum ifpin_socket_verdict v)
{
	return (unsigned int)v < IFPIN_SOCKET_VERDICTS ? verdicts[v].name : "unknown";
}

const char *ifpin_socket_verdict_text(enum ifpin_socket_verdict v)
{
	return (unsigned int)v < IFPIN_SOCKET_VERDICTS ? verdicts[v].text : "unknown";
}

/* An XDP socket cannot send but by the device that it is bound to, which it cannot change. */
static enum ifpin_socket_verdict judge_xdp(const struct ifp_socket_facts *f)
{
	if (f->s->bound_ifindex && !f->bound_alive)
		return IFPIN_SOCKET_DEAD;
	if (!f->confined)
		return f->s->bound_ifindex ? IFPIN_SOCKET_PINNED : IFPIN_SOCKET_UNPINNED;
	return f->s->bound_ifindex && f->s->bound_ifindex == f->confined_ifindex
		       ? IFPIN_SOCKET_PINNED
		       : IFPIN_SOCKET_UNHELD;
}

enum ifpin_socket_verdict ifp_socket_judge(const struct ifp_socket_facts *f)
{
	uint32_t bound = f->s->bound_ifindex;

	if (f->foreign)
		return IFPIN_SOCKET_FOREIGN;
	if (f->s->family == AF_XDP)
		return judge_xdp(f);
	/* sendto() names the device of each packet, whatever the socket is bound to. */
	if (f->s->family == AF_PACKET)
		return f->confined ? IFPIN_SOCKET_UNHELD : IFPIN_SOCKET_UNPINNED;
	if (f->s->brief)
		return IFPIN_SOCKET_UNKNOWN;
	if (bound && !f->bound_alive)
		return IFPIN_SOCKET_DEAD;
	if (f->confined) {
		if (!f->confined_alive)
			return IFPIN_SOCKET_DEAD;
		return bound && bound != f->confined_ifindex && bound != 1 ? IFPIN_SOCKET_ELSEWHERE
									   : IFPIN_SOCKET_PINNED;
	}
	if (bound)
		return IFPIN_SOCKET_PINNED;
	return f->unknown_place ? IFPIN_SOCKET_UNKNOWN : IFPIN_SOCKET_UNPINNED;
}

/* ---- from what was found to the list ---- */

struct listing {
	struct ifp_places *places;
	const struct ifp_collection *c;
	struct ifpin_device *devices;
	size_t n_devices;
	struct ifpin_socket_info *infos;
	struct ifpin_socket_holder *holders;
	size_t n_holders;
};

static int by_index(const void *key, const void *member)
{
	uint32_t a = *(const uint32_t *)key, b = ((const struct ifpin_device *)member)->ifindex;

	return (a > b) - (a < b);
}

static const struct ifpin_device *device_of(const struct listing *l, uint32_t ifindex)
{
	return l->n_devices
		       ? bsearch(&ifindex, l->devices, l->n_devices, sizeof(*l->devices), by_index)
		       : NULL;
}

static void set_address(const uint8_t addr[16], int family, uint16_t port, uint32_t scope,
	struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;

	if (family == AF_INET) {
		ifp_addr_to_sockaddr(addr, 0, ret);
		((struct sockaddr_in *)ret)->sin_port = htons(port);
		return;
	}
	*six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	memcpy(&six->sin6_addr, addr, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
		six->sin6_scope_id = scope;
}

static bool is_unspecified(const uint8_t addr[16])
{
	static const uint8_t none[16];

	return !memcmp(addr, none, 16) || (ifp_addr_is_v4(addr) && !memcmp(addr + 12, none, 4));
}

/* A process and its confinement; of one process there are many descriptors in a row only by chance,
 * so what was asked is kept by pid. */
struct process {
	pid_t pid;
	bool ended;
	int place;
	char comm[16];
};

static int by_pid(const void *x, const void *y)
{
	return ((const struct process *)x)->pid - ((const struct process *)y)->pid;
}

static void ask_process(const struct ifp_places *places, struct process *p)
{
	char path[4096];

	p->place = IFP_PLACE_NONE;
	p->ended = ifp_process_comm(p->pid, p->comm) == -ESRCH;
	if (!p->ended && places->n && !ifp_process_cgroup(p->pid, path, sizeof(path)))
		p->place = ifp_place_of_path(places, path);
}

/* Every process once. Return: 0; -ENOMEM. */
static int ask_processes(const struct ifp_places *places, const struct ifp_collection *c,
	struct process **ret, size_t *ret_n)
{
	struct process *v = calloc(c->n_holders ?: 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_holders; i++)
		v[i].pid = c->holders[i].d.pid;
	qsort(v, c->n_holders, sizeof(*v), by_pid);
	for (size_t i = 0; i < c->n_holders; i++)
		if (!n || v[n - 1].pid != v[i].pid)
			v[n++].pid = v[i].pid;
	for (size_t i = 0; i < n; i++)
		ask_process(places, &v[i]);
	*ret = v;
	*ret_n = n;
	return 0;
}

static void add_holders(struct listing *l, const struct ifp_found *f,
	struct ifpin_socket_info *info, const struct process *processes, size_t n_processes)
{
	const struct ifp_places *places = l->places;

	info->holders = l->holders + l->n_holders;
	for (size_t i = 0; i < f->n; i++) {
		const struct ifp_holder *h = &l->c->holders[f->first + i];
		struct ifpin_socket_holder *to = &l->holders[l->n_holders];
		const struct process *p, key = {.pid = h->d.pid};

		p = bsearch(&key, processes, n_processes, sizeof(*processes), by_pid);
		if (!p || p->ended)
			continue;
		to->pid = p->pid;
		to->fd = h->d.fd;
		memcpy(to->comm, p->comm, sizeof(to->comm));
		if (p->place >= 0) {
			strcpy(to->confinement, places->confined[p->place].name);
			to->foreign = f->place != IFP_PLACE_UNKNOWN &&
				      !ifp_place_encloses(places, p->place, f->place);
		}
		l->n_holders++;
		info->n_holders++;
	}
}

static bool any_foreign(const struct ifpin_socket_info *info)
{
	for (size_t i = 0; i < info->n_holders; i++)
		if (info->holders[i].foreign)
			return true;
	return false;
}

/* The one device that a socket can use, or the one that is gone. */
static void set_device(const struct listing *l, struct ifpin_socket_info *info, uint32_t confined)
{
	const struct ifpin_device *d;

	switch (info->verdict) {
	case IFPIN_SOCKET_UNPINNED:
	case IFPIN_SOCKET_UNHELD:
	case IFPIN_SOCKET_UNKNOWN:
		if (info->domain == AF_PACKET || !info->bound_ifindex)
			return;
		break;
	default:
		break;
	}
	info->ifindex = info->bound_ifindex ?: confined;
	d = device_of(l, info->ifindex);
	if (d)
		memcpy(info->device, d->name, sizeof(info->device));
}

static void judge(struct listing *l, const struct ifp_found *f, struct ifpin_socket_info *info)
{
	const struct ifp_sock *s = &f->s;
	const struct ifpin_confined *in = f->place >= 0 ? &l->places->confined[f->place] : NULL;
	struct ifp_socket_facts facts = {
		.s = s,
		.confined = in,
		.unknown_place = f->place == IFP_PLACE_UNKNOWN,
		.foreign = any_foreign(info),
		.confined_ifindex = in ? in->ifindex : 0,
		.bound_alive = device_of(l, s->bound_ifindex),
		.confined_alive = in && device_of(l, in->ifindex),
	};

	info->verdict = ifp_socket_judge(&facts);
	if (in)
		strcpy(info->confinement, in->name);
	set_device(l, info, facts.confined_ifindex);
}

static void fill(const struct ifp_found *f, struct ifpin_socket_info *info)
{
	const struct ifp_sock *s = &f->s;

	info->domain = s->family;
	info->type = s->type;
	info->protocol = s->protocol;
	info->state = s->state;
	info->v6only = s->v6only;
	info->subflow = s->subflow;
	info->unused = f->unused;
	info->bound_ifindex = s->bound_ifindex;
	info->uid = s->uid;
	info->cookie = s->cookie;
	info->inode = s->inode;
	if (s->family != AF_INET && s->family != AF_INET6)
		return;
	set_address(s->local, s->family, s->lport, s->bound_ifindex, &info->local);
	if (s->pport || !is_unspecified(s->peer))
		set_address(s->peer, s->family, s->pport, s->bound_ifindex, &info->peer);
}

static int compare_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return a->ss_family - b->ss_family;
	if (a->ss_family == AF_INET)
		return ntohs(a4->sin_port) - ntohs(b4->sin_port)
			       ?: memcmp(&a4->sin_addr, &b4->sin_addr, sizeof(a4->sin_addr));
	if (a->ss_family == AF_INET6)
		return ntohs(a6->sin6_port) - ntohs(b6->sin6_port)
			       ?: memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr));
	return 0;
}

static int by_address(const void *x, const void *y)
{
	const struct ifpin_socket_info *a = x, *b = y;
	bool a_inet = a->domain == AF_INET || a->domain == AF_INET6;
	bool b_inet = b->domain == AF_INET || b->domain == AF_INET6;

	if (a_inet != b_inet)
		return a_inet ? -1 : 1;
	if (!a_inet && a->domain != b->domain)
		return a->domain - b->domain;
	return (a_inet ? a->type - b->type : 0)
		       ?: a->protocol - b->protocol
		       ?: compare_address(&a->local, &b->local)
		       ?: compare_address(&a->peer, &b->peer)
		       ?: (a->cookie > b->cookie) - (a->cookie < b->cookie);
}

/* One block of memory: the sockets, and behind them their holders. */
static int make_list(struct listing *l, struct ifpin_socket_info **ret, size_t *ret_n)
{
	const struct ifp_collection *c = l->c;
	struct process *processes;
	size_t n_processes, n_holders = 0;
	int r;

	/* What shares an inode shares its holders, too. */
	for (size_t i = 0; i < c->n; i++)
		n_holders += c->sockets[i].n;
	l->infos = calloc(1, c->n * sizeof(*l->infos) + n_holders * sizeof(*l->holders) + 1);
	if (!l->infos)
		return -ENOMEM;
	l->holders = (struct ifpin_socket_holder *)(l->infos + c->n);
	r = ask_processes(l->places, c, &processes, &n_processes);
	if (r) {
		free(l->infos);
		return r;
	}
	for (size_t i = 0; i < c->n; i++) {
		fill(&c->sockets[i], &l->infos[i]);
		add_holders(l, &c->sockets[i], &l->infos[i], processes, n_processes);
		judge(l, &c->sockets[i], &l->infos[i]);
	}
	free(processes);
	qsort(l->infos, c->n, sizeof(*l->infos), by_address);
	*ret = l->infos;
	*ret_n = c->n;
	return 0;
}

int ifpin_sockets(const struct ifpin_confined *confined, size_t n_confined,
	struct ifpin_socket_info **ret_sockets, size_t *ret_n, unsigned int *ret_unread,
	struct ifpin_error *err)
{
	struct ifp_places places;
	struct ifp_collection c;
	struct listing l = {.places = &places, .c = &c};
	int r = ifp_places_open(confined, n_confined, &places);

	if (r)
		return ifp_fail_errno(err, r, "cannot list sockets");
	r = ifp_collect(&places, &c);
	if (r) {
		ifp_places_close(&places);
		return ifp_fail_errno(err, r, "cannot list sockets");
	}
	/* After the sockets: a device that has been deleted since is not there. */
	r = ifpin_device_list(&l.devices, &l.n_devices, err);
	if (!r) {
		r = make_list(&l, ret_sockets, ret_n);
		if (r)
			ifp_fail_errno(err, r, "cannot list sockets");
	}
	if (!r && ret_unread)
		*ret_unread = c.unread;
	free(l.devices);
	ifp_collection_free(&c);
	ifp_places_close(&places);
	return r;
}
