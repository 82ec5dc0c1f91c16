// SPDX-License-Identifier: MIT
/* BPF programs where they can lead packets elsewhere, asked of the kernel by bpf(2). */
#include "snapshot.h"

#include "base/base.h"
#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* <linux/bpf.h> of Linux 6.6; older headers have neither. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define MAX_PROGRAMS 64

struct query {
	uint32_t target; /* descriptor or ifindex */
	uint32_t attach_type, query_flags, attach_flags;
	uint64_t prog_ids;
	uint32_t prog_cnt, pad;
	uint64_t prog_attach_flags, link_ids, link_attach_flags, revision;
};

static int bpf(int cmd, void *attr, size_t size)
{
	long r = syscall(SYS_bpf, cmd, attr, size);

	return r < 0 ? -errno : (int)r;
}

/* Empty where it has none, or is gone. */
static void read_name(uint32_t prog, char ret[BPF_OBJ_NAME_LEN])
{
	union bpf_attr get = {.prog_id = prog}, ask = {};
	struct bpf_prog_info info = {};
	_cleanup_close_ int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get, sizeof(get));

	ask.info.bpf_fd = (uint32_t)fd;
	ask.info.info_len = sizeof(info);
	ask.info.info = (uint64_t)(uintptr_t)&info;
	if (fd >= 0 && !bpf(BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof(ask)))
		memcpy(ret, info.name, BPF_OBJ_NAME_LEN);
	ret[BPF_OBJ_NAME_LEN - 1] = 0;
}

/*
 * Confinements have programs of these kinds, too; they tie sockets, and change no address. Whoever
 * gives another program such a name may as well change this one's.
 */
static bool is_ours(const struct abpf *b)
{
	return b->where == BPF_AT_CGROUP && !strncmp(b->name, "ifpin_", 6);
}

static int add(struct snapshot *s, struct abpf b)
{
	struct abpf *new;

	read_name(b.prog, b.name);
	if (is_ours(&b))
		return 0;
	new = vec_add(&s->bpf);
	if (!new)
		return -ENOMEM;
	*new = b;
	return 0;
}

/* with_links: tcx tells which link holds a program. */
static int ask(struct snapshot *s, uint32_t target, struct abpf b, bool with_links)
{
	uint32_t programs[MAX_PROGRAMS] = {}, links[MAX_PROGRAMS] = {};
	struct query q = {.target = target,
		.attach_type = b.attach_type,
		.prog_ids = (uint64_t)(uintptr_t)programs,
		.prog_cnt = MAX_PROGRAMS,
		.link_ids = with_links ? (uint64_t)(uintptr_t)links : 0};
	/* Longer than an old kernel knows is fine, as long as it is zero. */
	int r = bpf(BPF_PROG_QUERY, &q, sizeof(q));

	/* More than there is room for: those that there is room for are told. */
	if (r && r != -ENOSPC)
		return r;
	for (uint32_t i = 0; i < q.prog_cnt && i < MAX_PROGRAMS; i++) {
		b.prog = programs[i];
		b.link = links[i];
		r = add(s, b);
		if (r)
			return r;
	}
	return 0;
}

/* -EINVAL: a kernel before Linux 6.6. */
static int read_tcx(struct snapshot *s)
{
	static const uint32_t types[] = {TCX_INGRESS, TCX_EGRESS};

	for (size_t i = 0; i < s->links.n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(types); k++) {
			struct abpf b = {.where = BPF_AT_TCX,
				.ifindex = s->links.v[i].dev.ifindex,
				.attach_type = types[k]};
			int r = ask(s, b.ifindex, b, true);

			if (r == -EINVAL)
				return 0;
			/* No program, or no such device any more. */
			if (r && r != -ENOENT && r != -ENODEV)
				return r;
		}
	return 0;
}

/* ---- programs of cgroups that may change where a socket connects or sends to ---- */

static const uint32_t rewriting[] = {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
	BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG};

static bool is_rewriting(uint32_t attach_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(rewriting); i++)
		if (rewriting[i] == attach_type)
			return true;
	return false;
}

/* What a link of these kinds holds, and whether it is of this namespace. */
static bool read_info(const struct bpf_link_info *info, uint64_t netns, struct abpf *b)
{
	b->prog = info->prog_id;
	switch (info->type) {
	case BPF_LINK_TYPE_CGROUP:
		b->where = BPF_AT_CGROUP;
		b->attach_type = info->cgroup.attach_type;
		b->cgroup = info->cgroup.cgroup_id;
		/* Without a cgroup: that was removed, and the link judges nothing any more. */
		return b->cgroup && is_rewriting(b->attach_type);
	case BPF_LINK_TYPE_XDP:
		b->where = BPF_AT_XDP;
		b->ifindex = info->xdp.ifindex;
		return true;
	case BPF_LINK_TYPE_NETNS:
		b->where = BPF_AT_NETNS;
		b->attach_type = info->netns.attach_type;
		return info->netns.netns_ino == netns && b->attach_type == BPF_SK_LOOKUP;
	}
	return false;
}

static int read_link(struct snapshot *s, uint32_t id, uint64_t netns)
{
	union bpf_attr get = {.link_id = id}, ask = {};
	struct bpf_link_info info = {};
	_cleanup_close_ int fd = bpf(BPF_LINK_GET_FD_BY_ID, &get, sizeof(get));
	struct abpf b = {.link = id};

	/* Gone, or not there yet. */
	if (fd < 0)
		return fd == -ENOENT || fd == -EAGAIN ? 0 : fd;
	ask.info.bpf_fd = (uint32_t)fd;
	ask.info.info_len = sizeof(info);
	ask.info.info = (uint64_t)(uintptr_t)&info;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof(ask)) || !read_info(&info, netns, &b))
		return 0;
	return add(s, b);
}

static int read_links(struct snapshot *s)
{
	struct stat st = {};
	union bpf_attr next;
	uint32_t id = 0;
	int r;

	if (stat("/proc/thread-self/ns/net", &st))
		return -errno;
	do {
		memset(&next, 0, sizeof(next));
		next.start_id = id;
		r = bpf(BPF_LINK_GET_NEXT_ID, &next, sizeof(next));
		id = next.next_id;
		if (!r)
			r = read_link(s, id, st.st_ino);
	} while (!r);
	return r == -ENOENT ? 0 : r;
}

/*
 * Programs without a link are told by their cgroup only: the root is asked, which is everybody's.
 * What is attached by a link is told twice then, and the one with the link is kept.
 */
static bool has_link(const struct snapshot *s, uint32_t prog)
{
	for (size_t i = 0; i < s->bpf.n; i++)
		if (s->bpf.v[i].where == BPF_AT_CGROUP && s->bpf.v[i].link &&
			s->bpf.v[i].prog == prog)
			return true;
	return false;
}

static int read_cgroup_root(struct snapshot *s, int root)
{
	size_t kept = s->bpf.n, before = s->bpf.n;
	uint64_t id;

	if (root < 0 || ifp_cgroup_id(root, &id))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(rewriting); i++) {
		struct abpf b = {.where = BPF_AT_CGROUP, .attach_type = rewriting[i], .cgroup = id};
		int r = ask(s, (uint32_t)root, b, false);

		if (r)
			return r == -EINVAL ? 0 : r;
	}
	for (size_t i = before; i < s->bpf.n; i++)
		if (!has_link(s, s->bpf.v[i].prog))
			s->bpf.v[kept++] = s->bpf.v[i];
	s->bpf.n = kept;
	return 0;
}

static int read_held(struct snapshot *s)
{
	_cleanup_close_ int root = ifp_cgroup_root();

	return read_links(s) ?: read_cgroup_root(s, root);
}

void ifp_read_bpf(struct snapshot *s)
{
	static const struct {
		const char *what;
		int (*fn)(struct snapshot *s);
	} parts[] = {
		{"tcx programs", read_tcx}, {"BPF programs of cgroups and sockets", read_held}};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = parts[i].fn(s);

		if (r == -ENOMEM)
			s->error = r;
		else if (r && r != -ENOSYS)
			ifp_gap(s, parts[i].what, r);
	}
}
