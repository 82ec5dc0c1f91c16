// SPDX-License-Identifier: MIT
/* What the host shows of its sockets and processes, as text, as messages, and for real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "audit/sockets.h"
#include "base/base.h"
#include "host/cgroup.h"
#include "host/processes.h"
#include "host/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/packet_diag.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static void proc_lines(void **state)
{
	static const char four[] = "    1: 0100007F:1F90 0200000A:0016 07 00000000:00000000 "
				   "00:00000000 00000000  1000        0 12345 2 0000 0\n";
	static const char six[] =
		" 58: 00000000000000000000000001000000:003A 00000000000000000000000000000000:0000 "
		"07 00000000:00000000 00:00000000 00000000     0        0 77 2 0000000000000000 0\n";
	static const char *const bad[] = {"",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid",
		"1: 0100007F:1F90", "1: 0100007F:1F90 0200000A:0016 07",
		"1: 0100007:1F90 0200000A:0016",
		"1: 0100007F:1F9 0200000A:0016 07 00000000:00000000 00:00000000 00000000 0 0 1",
		"1: 0100007F:1F901 0200000A:0016 07 00000000:00000000 00:00000000 00000000 0 0 1"};
	char text[INET6_ADDRSTRLEN];
	struct ifp_sock s;

	(void)state;
	assert_int_equal(ifp_sock_parse_proc(four, &s), 0);
	assert_int_equal(s.family, AF_INET);
	assert_string_equal(ifp_addr_text(s.local, text), "127.0.0.1");
	assert_string_equal(ifp_addr_text(s.peer, text), "10.0.0.2");
	assert_int_equal(s.lport, 8080);
	assert_int_equal(s.pport, 22);
	assert_int_equal(s.state, TCP_CLOSE);
	assert_int_equal(s.uid, 1000);
	assert_int_equal(s.inode, 12345);
	assert_true(s.brief);
	assert_int_equal(ifp_sock_parse_proc(six, &s), 0);
	assert_int_equal(s.family, AF_INET6);
	assert_string_equal(ifp_addr_text(s.local, text), "::1");
	assert_int_equal(s.lport, IPPROTO_ICMPV6);
	assert_int_equal(s.inode, 77);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ifp_sock_parse_proc(bad[i], &s), -EBADMSG);
	assert_int_equal(s.inode, 77); /* untouched on failure */
}

static void proc_packet_lines(void **state)
{
	struct ifp_sock s;

	(void)state;
	assert_int_equal(
		ifp_sock_parse_proc_packet(
			"0000000000000000 3      3    88cc   7     1 0      0      4711\n", &s),
		0);
	assert_int_equal(s.family, AF_PACKET);
	assert_int_equal(s.type, SOCK_RAW);
	assert_int_equal(s.protocol, 0x88cc);
	assert_int_equal(s.bound_ifindex, 7);
	assert_int_equal(s.inode, 4711);
	assert_int_equal(
		ifp_sock_parse_proc_packet(
			"sk               RefCnt Type Proto  Iface R Rmem   User   Inode", &s),
		-EBADMSG);
}

static void inet_messages(void **state)
{
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_msg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	struct nlattr *attr;
	struct ifp_sock s;

	(void)state;
	m->idiag_family = AF_INET6;
	m->idiag_state = TCP_LISTEN;
	m->id.idiag_sport = htons(443);
	m->id.idiag_if = 9;
	m->id.idiag_cookie[0] = 1;
	m->id.idiag_cookie[1] = 2;
	m->idiag_inode = 5;
	mnl_attr_put_u8(nlh, INET_DIAG_SKV6ONLY, 1);
	mnl_attr_put_u64(nlh, INET_DIAG_CGROUP_ID, 0x1234567890);
	assert_int_equal(ifp_sock_parse(nlh, &s), 0);
	assert_true(s.v6only && !s.brief);
	assert_int_equal(s.lport, 443);
	assert_int_equal(s.bound_ifindex, 9);
	assert_true(s.cookie == 0x200000001 && s.cgroup_id == 0x1234567890);
	/* An attribute of another size than the kernel's is no answer of the kernel. */
	attr = mnl_nlmsg_get_payload_tail(nlh);
	mnl_attr_put_u32(nlh, INET_DIAG_CGROUP_ID, 7);
	assert_int_equal(ifp_sock_parse(nlh, &s), -EBADMSG);
	attr->nla_type = INET_DIAG_MARK;
	assert_int_equal(ifp_sock_parse(nlh, &s), 0);
	nlh->nlmsg_len = MNL_NLMSG_HDRLEN + sizeof(*m) - 4;
	assert_int_equal(ifp_sock_parse(nlh, &s), -EBADMSG);
	nlh->nlmsg_len = MNL_NLMSG_HDRLEN;
	assert_int_equal(ifp_sock_parse(nlh, &s), -EBADMSG);
}

static void packet_messages(void **state)
{
	struct packet_diag_info info = {.pdi_index = 3};
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct packet_diag_msg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	struct ifp_sock s;

	(void)state;
	m->pdiag_family = AF_PACKET;
	m->pdiag_type = SOCK_DGRAM;
	m->pdiag_num = 0x88cc;
	m->pdiag_ino = 6;
	mnl_attr_put(nlh, PACKET_DIAG_INFO, sizeof(info), &info);
	mnl_attr_put_u32(nlh, PACKET_DIAG_UID, 1000);
	assert_int_equal(ifp_sock_parse(nlh, &s), 0);
	assert_int_equal(s.family, AF_PACKET);
	assert_int_equal(s.type, SOCK_DGRAM);
	assert_int_equal(s.protocol, 0x88cc);
	assert_int_equal(s.bound_ifindex, 3);
	assert_int_equal(s.uid, 1000);
	mnl_attr_put(nlh, PACKET_DIAG_INFO, 4, &info);
	assert_int_equal(ifp_sock_parse(nlh, &s), -EBADMSG);
	m->pdiag_family = AF_UNIX;
	assert_int_equal(ifp_sock_parse(nlh, &s), -EBADMSG);
}

static void descriptor_links(void **state)
{
	static const char *const bad[] = {"socket:[]", "socket:[12", "socket:[x]", "pipe:[12]",
		"/tmp/socket:[12]", "anon_inode:[eventpoll]", ""};
	struct ifp_descriptor d = {.fd = 3};

	(void)state;
	assert_int_equal(ifp_descriptor_parse("socket:[4026531840123]", &d), 0);
	assert_true(d.kind == IFP_DESCRIPTOR_SOCKET && d.inode == 4026531840123);
	assert_int_equal(ifp_descriptor_parse("anon_inode:[io_uring]", &d), 0);
	assert_true(d.kind == IFP_DESCRIPTOR_IO_URING && d.fd == 3);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ifp_descriptor_parse(bad[i], &d), -ENOENT);
}

static void cgroup_lines(void **state)
{
	char path[32] = "?";

	(void)state;
	assert_int_equal(ifp_cgroup_line_parse("0::/\n", path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	assert_int_equal(ifp_cgroup_line_parse("12:memory:/a\n1:name=0::/x:/b\n0::/ifpin.a b/c\n",
				 path, sizeof(path)),
		0);
	assert_string_equal(path, "/ifpin.a b/c");
	assert_int_equal(ifp_cgroup_line_parse("1:cpu:/\n", path, sizeof(path)), -ENOENT);
	assert_int_equal(ifp_cgroup_line_parse("", path, sizeof(path)), -ENOENT);
	assert_int_equal(
		ifp_cgroup_line_parse("0::/0123456789/0123456789/0123456789\n", path, sizeof(path)),
		-ENAMETOOLONG);
	assert_string_equal(path, "/ifpin.a b/c");
}

static void mount_lines(void **state)
{
	char path[64] = "?";

	(void)state;
	assert_int_equal(ifp_mountinfo_parse("40 31 0:34 / /sys/fs/cgroup/unified rw,relatime "
					     "shared:5 - cgroup2 cgroup2 rw\n",
				 path, sizeof(path)),
		0);
	assert_string_equal(path, "/sys/fs/cgroup/unified");
	assert_int_equal(ifp_mountinfo_parse("40 31 0:34 / /mnt/a\\040b rw - cgroup2 none rw", path,
				 sizeof(path)),
		0);
	assert_string_equal(path, "/mnt/a b");
	/* A part of the tree only, another file system, and nonsense. */
	assert_int_equal(ifp_mountinfo_parse(
				 "40 31 0:34 /part /mnt rw - cgroup2 none rw", path, sizeof(path)),
		-ENOENT);
	assert_int_equal(
		ifp_mountinfo_parse("40 31 0:34 / /mnt rw - cgroup cgroup2 rw", path, sizeof(path)),
		-ENOENT);
	assert_int_equal(ifp_mountinfo_parse("40 - cgroup2 none rw", path, sizeof(path)), -ENOENT);
}

/* Each rule of ifpin-sockets(8). */
static void verdicts(void **state)
{
	enum { IN = 3, OUT = 4, GONE = 5 };
	static const struct {
		int family, bound, confined; /* confined: index; 0: not; -1: its device is gone */
		bool foreign, brief, unknown_place;
		enum ifpin_socket_verdict want;
	} rules[] = {
		{AF_INET, 0, 0, false, false, false, IFPIN_SOCKET_UNPINNED},
		{AF_INET6, OUT, 0, false, false, false, IFPIN_SOCKET_PINNED},
		{AF_INET, GONE, 0, false, false, false, IFPIN_SOCKET_DEAD},
		{AF_INET, 0, IN, false, false, false, IFPIN_SOCKET_PINNED},
		{AF_INET, IN, IN, false, false, false, IFPIN_SOCKET_PINNED},
		{AF_INET, 1, IN, false, false, false, IFPIN_SOCKET_PINNED}, /* loopback */
		{AF_INET, OUT, IN, false, false, false, IFPIN_SOCKET_ELSEWHERE},
		{AF_INET, GONE, IN, false, false, false, IFPIN_SOCKET_DEAD},
		{AF_INET, 0, -1, false, false, false, IFPIN_SOCKET_DEAD},
		{AF_INET, 0, 0, true, false, false, IFPIN_SOCKET_FOREIGN},
		{AF_INET, IN, 0, true, false, false, IFPIN_SOCKET_FOREIGN},
		{AF_INET, 0, 0, false, true, false, IFPIN_SOCKET_UNKNOWN},
		{AF_INET, 0, 0, false, false, true, IFPIN_SOCKET_UNKNOWN},
		{AF_INET, OUT, 0, false, false, true, IFPIN_SOCKET_PINNED},
		{AF_PACKET, OUT, 0, false, false, false, IFPIN_SOCKET_UNPINNED},
		{AF_PACKET, IN, IN, false, false, false, IFPIN_SOCKET_UNHELD},
		{AF_PACKET, IN, 0, true, false, false, IFPIN_SOCKET_FOREIGN},
		{AF_XDP, 0, 0, false, false, false, IFPIN_SOCKET_UNPINNED},
		{AF_XDP, OUT, 0, false, false, false, IFPIN_SOCKET_PINNED},
		{AF_XDP, GONE, 0, false, false, false, IFPIN_SOCKET_DEAD},
		{AF_XDP, IN, IN, false, false, false, IFPIN_SOCKET_PINNED},
		{AF_XDP, 0, IN, false, false, false, IFPIN_SOCKET_UNHELD},
		{AF_XDP, OUT, IN, false, false, false, IFPIN_SOCKET_UNHELD},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct ifp_sock s = {
			.family = (uint8_t)rules[i].family,
			.bound_ifindex = (uint32_t)rules[i].bound,
			.brief = rules[i].brief,
		};
		struct ifp_socket_facts f = {
			.s = &s,
			.confined = rules[i].confined,
			.unknown_place = rules[i].unknown_place,
			.foreign = rules[i].foreign,
			.confined_ifindex = rules[i].confined > 0 ? IN : 0,
			.bound_alive = rules[i].bound && rules[i].bound != GONE,
			.confined_alive = rules[i].confined > 0,
		};

		if (ifp_socket_judge(&f) != rules[i].want)
			fail_msg(
				"rule %zu: %s", i, ifpin_socket_verdict_name(ifp_socket_judge(&f)));
	}
	for (int v = 0; v < IFPIN_SOCKET_VERDICTS; v++)
		assert_true(*ifpin_socket_verdict_name((enum ifpin_socket_verdict)v) &&
			    *ifpin_socket_verdict_text((enum ifpin_socket_verdict)v));
}

static void places(void **state)
{
	static const struct ifpin_confined confined[] = {
		{.cgroup_id = 1ULL << 60, .name = "outer"}, {.name = "inner"}, {.name = "gone"}};
	char outer[] = "/a", inner[] = "/a/b";
	char *paths[] = {outer, inner, NULL};
	struct ifp_places p = {.confined = confined, .n = 3, .paths = paths, .root_fd = -1};

	(void)state;
	assert_int_equal(ifp_place_of_path(&p, "/"), IFP_PLACE_NONE);
	assert_int_equal(ifp_place_of_path(&p, "/ab"), IFP_PLACE_NONE);
	assert_int_equal(ifp_place_of_path(&p, "/a"), 0);
	assert_int_equal(ifp_place_of_path(&p, "/a/bc"), 0);
	assert_int_equal(ifp_place_of_path(&p, "/a/b/c"), 1);
	assert_true(ifp_place_encloses(&p, 0, 1));
	assert_true(ifp_place_encloses(&p, 2, 2));
	assert_false(ifp_place_encloses(&p, 1, 0));
	assert_false(ifp_place_encloses(&p, 0, 2));
	assert_false(ifp_place_encloses(&p, 0, IFP_PLACE_NONE));
	/* Each cgroup is looked up once; of one that is gone, nothing is claimed. */
	for (uint64_t id = 9; id; id--)
		assert_int_equal(ifp_place_of_cgroup(&p, id), IFP_PLACE_UNKNOWN);
	assert_int_equal(ifp_place_of_cgroup(&p, 1ULL << 60), 0);
	assert_int_equal(p.n_known, 10);
	for (size_t i = 1; i < p.n_known; i++)
		assert_true(p.known[i - 1].cgroup_id < p.known[i].cgroup_id);
	free(p.known);
}

/* ---- for real: this process and sockets of its own on loopback ---- */

struct wanted {
	uint64_t inode;
	int found;
	struct ifp_sock s;
};

static int on_sock(const struct ifp_sock *s, void *data)
{
	struct wanted *w = data;

	if (s->inode == w->inode && !s->subflow) {
		w->found++;
		w->s = *s;
	}
	return 0;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static struct wanted look_for(int fd)
{
	struct wanted w = {.inode = inode_of(fd)};
	unsigned int unseen;

	assert_int_equal(ifp_sockets_dump(IFP_SOCKS_ALL, on_sock, &w, &unseen), 0);
	return w;
}

/* What the lists say of a socket is what the socket says. */
static void check_socket(int family, int type, int protocol)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
	struct ifp_sock asked;
	struct wanted w;

	if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EPERM || errno == EACCES ||
			      errno == EAFNOSUPPORT))
		return;
	assert_true(fd >= 0);
	if (family == AF_INET)
		((struct sockaddr_in *)&ss)->sin_addr.s_addr = htonl(INADDR_ANY);
	if (type != SOCK_RAW && bind(fd, (struct sockaddr *)&ss,
					family == AF_INET ? sizeof(struct sockaddr_in)
							  : sizeof(struct sockaddr_in6)))
		return; /* no IPv6, or ping_group_range */
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	w = look_for(fd);
	assert_int_equal(w.found, 1);
	assert_int_equal(ifp_socket_ask(fd, &asked), 0);
	assert_int_equal(w.s.family, family);
	assert_int_equal(w.s.type, type);
	assert_int_equal(w.s.protocol, protocol);
	assert_int_equal(asked.protocol, protocol);
	assert_int_equal(asked.type, type);
	assert_int_equal(asked.lport, w.s.lport);
	assert_memory_equal(asked.local, w.s.local, 16);
	assert_true(asked.inode == w.s.inode);
	if (w.s.brief)
		return;
	assert_true(asked.cookie == w.s.cookie && w.s.cgroup_id);
	assert_int_equal(asked.state, w.s.state);
}

static void lists(void **state)
{
	static const int protocols[][2] = {{SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP},
		{SOCK_DGRAM, IPPROTO_UDPLITE}, {SOCK_STREAM, 262}, {SOCK_RAW, 200}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		check_socket(AF_INET, protocols[i][0], protocols[i][1]);
		check_socket(AF_INET6, protocols[i][0], protocols[i][1]);
	}
	check_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	check_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
}

static int end_it(const struct ifp_sock *s, void *data)
{
	(void)s;
	(void)data;
	return -ECANCELED;
}

static int on_inode(uint64_t inode, void *data)
{
	struct wanted *w = data;

	w->found += inode == w->inode;
	return 0;
}

/* Unix and netlink sockets, and nothing that only says so in its name. */
static void other_families(void **state)
{
	static const char forged[] = "\n0000000000000000: 2 0 0 0002 01 99999999 x";
	_cleanup_close_ int u = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), n = -1;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct wanted w = {.inode = inode_of(u)};

	(void)state;
	memcpy(sun.sun_path + 1, forged, sizeof(forged));
	assert_int_equal(
		bind(u, (struct sockaddr *)&sun,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(forged))),
		0);
	assert_int_equal(ifp_sockets_others(on_inode, &w), 0);
	if (!w.found)
		skip(); /* no CONFIG_UNIX_DIAG */
	assert_int_equal(w.found, 1);
	w = (struct wanted){.inode = 99999999};
	assert_int_equal(ifp_sockets_others(on_inode, &w), 0);
	assert_int_equal(w.found, 0);
	n = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(n, (struct sockaddr *)&(struct sockaddr_nl){.nl_family = AF_NETLINK},
				 sizeof(struct sockaddr_nl)),
		0);
	w = (struct wanted){.inode = inode_of(n)};
	assert_int_equal(ifp_sockets_others(on_inode, &w), 0);
	assert_true(w.found <= 1);
}

static void dump_ends_when_told(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int unseen = 99;

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(ifp_sockets_dump(IFP_SOCKS_TCP, end_it, NULL, &unseen), -ECANCELED);
	assert_int_equal(unseen, 99);
}

/* A bind makes a socket visible that neither listens nor is connected (Linux 6.8), and destroying
 * finds none under the cookie of another. */
static void destroy(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct wanted w;
	int r;

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	w = look_for(fd);
	assert_int_equal(w.found, 1);
	w.s.cookie++;
	r = ifp_socket_destroy(&w.s);
	if (r == -EPERM || r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, -ENOENT);
	w.s.cookie--;
	r = ifp_socket_destroy(&w.s);
	if (r == -EPERM)
		skip(); /* asked only once the socket is found */
	assert_int_equal(r, 0);
	assert_int_equal(look_for(fd).found, 0);
	assert_int_equal(ifp_socket_destroy(&w.s), -ENOENT);
	w.s.family = AF_PACKET;
	assert_int_equal(ifp_socket_destroy(&w.s), -EOPNOTSUPP);
}

struct fds {
	uint64_t inode;
	int found;
	struct ifp_descriptor d;
};

static int on_descriptor(const struct ifp_descriptor *d, void *data)
{
	struct fds *f = data;

	if (d->kind == IFP_DESCRIPTOR_SOCKET && d->inode == f->inode) {
		f->found++;
		f->d = *d;
	}
	return 0;
}

static void own_descriptors(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), copy = -1;
	struct fds f = {.inode = inode_of(fd)};

	(void)state;
	assert_int_equal(ifp_descriptors_each(getpid(), on_descriptor, &f), 0);
	assert_int_equal(f.found, 1);
	assert_true(f.d.fd == fd && f.d.pid == getpid());
	copy = ifp_descriptor_take(&f.d);
	assert_true(copy >= 0);
	assert_true(inode_of(copy) == f.inode);
	close(ifp_take_fd(&copy));
	f.d.fd = 1000000;
	assert_int_equal(ifp_descriptor_take(&f.d), -EBADF);
}

struct thread_with_table {
	uint64_t inode;
	int ready[2], done[2];
};

static void *own_table(void *data)
{
	struct thread_with_table *t = data;
	int fd = unshare(CLONE_FILES) ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st = {};
	char c = fd >= 0 && !fstat(fd, &st) ? 'y' : 'n';

	t->inode = st.st_ino;
	if (write(t->ready[1], &c, 1) != 1 || read(t->done[0], &c, 1) != 1)
		return NULL;
	close(fd);
	return NULL;
}

/* A thread with a table of its own hides no socket. */
static void threads(void **state)
{
	struct thread_with_table t;
	pthread_t thread;
	struct fds f = {};
	int copy;
	char c;

	(void)state;
	assert_int_equal(pipe(t.ready), 0);
	assert_int_equal(pipe(t.done), 0);
	assert_int_equal(pthread_create(&thread, NULL, own_table, &t), 0);
	assert_int_equal(read(t.ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	f.inode = t.inode;
	assert_int_equal(ifp_descriptors_each(getpid(), on_descriptor, &f), 0);
	assert_int_equal(f.found, 1);
	assert_int_not_equal(f.d.tid, f.d.pid);
	copy = ifp_descriptor_take(&f.d);
	/* Before Linux 6.9 there is no way to it. */
	if (copy != -EINVAL) {
		assert_true(copy >= 0);
		assert_true(inode_of(copy) == t.inode);
		close(copy);
	}
	assert_int_equal(write(t.done[1], &c, 1), 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < 2; i++) {
		close(t.ready[i]);
		close(t.done[i]);
	}
}

static void the_dead(void **state)
{
	pid_t pid = fork();
	struct fds f = {};
	siginfo_t si;
	char comm[16];
	int r;

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	r = ifp_descriptors_each(
		pid, on_descriptor, &f); /* a zombie, which has no owner any more */
	assert_int_equal(r, geteuid() ? -EACCES : 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(ifp_descriptors_each(pid, on_descriptor, &f), -ESRCH);
	assert_int_equal(ifp_process_comm(pid, comm), -ESRCH);
	f.d = (struct ifp_descriptor){.pid = pid, .tid = pid};
	assert_int_equal(ifp_descriptor_take(&f.d), -ESRCH);
}

static int on_process(pid_t pid, void *data)
{
	int *found = data;

	*found += pid == getpid();
	return 0;
}

struct processes_seen {
	pid_t pid;
	int found, others;
};

static int on_seen(pid_t pid, void *data)
{
	struct processes_seen *s = data;

	if (pid == s->pid)
		s->found++;
	else
		s->others++;
	return 0;
}

static void processes(void **state)
{
	char comm[16];
	int found = 0;

	(void)state;
	assert_int_equal(ifp_processes_each(-1, on_process, &found), 0);
	assert_int_equal(found, 1);
	assert_int_equal(ifp_process_comm(getpid(), comm), 0);
	assert_string_equal(comm, "test_host");
}

/* A threaded cgroup has a list of threads only: they are told as the process whose they are. */
static void threaded_cgroups(void **state)
{
	_cleanup_close_ int root = ifp_cgroup_root(), domain = -1, threaded = -1;
	struct processes_seen seen = {};
	char name[64], nested[80], pid[16];
	int ready[2];

	(void)state;
	snprintf(name, sizeof(name), "test_host.%d", (int)getpid());
	snprintf(nested, sizeof(nested), "%s/t", name);
	if (root < 0 || mkdirat(root, name, 0755))
		skip();
	assert_int_equal(mkdirat(root, nested, 0755), 0);
	domain = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	threaded = openat(root, nested, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	seen.pid = fork();
	if (!seen.pid) {
		close(ready[1]);
		_exit((int)read(ready[0], pid, 1));
	}
	snprintf(pid, sizeof(pid), "%d", (int)seen.pid);
	assert_int_equal(ifp_write_file(threaded, "cgroup.type", "threaded"), 0);
	assert_int_equal(ifp_write_file(threaded, "cgroup.procs", pid), 0);
	assert_int_equal(ifp_processes_each(threaded, on_seen, &seen), 0);
	assert_true(seen.found && !seen.others);
	seen.found = 0;
	assert_int_equal(ifp_processes_each(domain, on_seen, &seen), 0);
	assert_true(seen.found && !seen.others);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(waitpid(seen.pid, NULL, 0), seen.pid);
	assert_int_equal(unlinkat(root, nested, AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(root, name, AT_REMOVEDIR), 0);
}

/* From the path to the id and back, and the processes of a cgroup are those that say so. */
static void cgroups(void **state)
{
	_cleanup_close_ int root = ifp_cgroup_root(), own = -1;
	char path[4096], back[4096];
	int found = 0, r;
	uint64_t id;

	(void)state;
	if (root == -EPERM || ifp_cgroup_own_path(path, sizeof(path)) || !strncmp(path, "/..", 3))
		skip();
	assert_true(root >= 0);
	own = openat(root, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(own >= 0);
	assert_int_equal(ifp_cgroup_id(own, &id), 0);
	assert_int_equal(ifp_cgroup_path_by_id(root, id, back, sizeof(back)), 0);
	assert_string_equal(back, path);
	assert_int_equal(ifp_cgroup_path_by_id(root, 1ULL << 60, back, sizeof(back)), -ENOENT);
	r = ifp_processes_each(own, on_process, &found);
	assert_true(!r || r == -EXDEV);
	assert_true(found >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proc_lines),
		cmocka_unit_test(proc_packet_lines),
		cmocka_unit_test(inet_messages),
		cmocka_unit_test(packet_messages),
		cmocka_unit_test(descriptor_links),
		cmocka_unit_test(cgroup_lines),
		cmocka_unit_test(mount_lines),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(places),
		cmocka_unit_test(lists),
		cmocka_unit_test(other_families),
		cmocka_unit_test(dump_ends_when_told),
		cmocka_unit_test(destroy),
		cmocka_unit_test(own_descriptors),
		cmocka_unit_test(threads),
		cmocka_unit_test(the_dead),
		cmocka_unit_test(processes),
		cmocka_unit_test(cgroups),
		cmocka_unit_test(threaded_cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
