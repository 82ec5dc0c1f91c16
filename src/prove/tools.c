// SPDX-License-Identifier: MIT
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

struct target ifp_target(const char *addr, uint16_t port, uint32_t scope)
{
	struct target t = {};
	struct sockaddr_in *in = (struct sockaddr_in *)&t.ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&t.ss;

	if (inet_pton(AF_INET, addr, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		t.len = sizeof(*in);
	} else {
		inet_pton(AF_INET6, addr, &in6->sin6_addr);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_scope_id = scope;
		t.len = sizeof(*in6);
	}
	return t;
}

struct target ifp_target_mapped(const char *addr4, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text), "::ffff:%s", addr4);
	return ifp_target(text, port, 0);
}

struct ifpin_device ifp_device(const char *name)
{
	struct ifpin_device dev = {};

	ifpin_device_resolve(name, &dev, NULL);
	return dev;
}

/* Of raw IPv6 sockets the kernel takes none for IPv4, which they cannot send. */
int ifp_limit_hops(const struct env *e, int fd, int family)
{
	int hops = e->at.hops, type = 0;
	socklen_t len = sizeof(type);

	if (!hops)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return -errno;
	if ((family == AF_INET || type != SOCK_RAW) &&
		setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof(hops)))
		return -errno;
	return family == AF_INET6 &&
			       setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops))
		       ? -errno
		       : 0;
}

int ifp_open(const struct env *e, int family, int type, int proto)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, proto);
	int r = fd < 0 ? -errno : ifp_limit_hops(e, fd, family);

	return r ?: ifp_take_fd(&fd);
}

int ifp_protect(const struct env *e, int *fd, int family, bool mapped)
{
	struct ifpin_device in;
	struct target t;
	int r = ifp_limit_hops(e, *fd, family);

	if (r)
		return r;
	switch (e->prot) {
	case PROT_BIND:
	case PROT_FENCE:
		t = family == AF_INET ? ifp_target(e->at.in4, 0, 0)
		    : mapped	      ? ifp_target_mapped(e->at.in4, 0)
				      : ifp_target(e->at.in6, 0, 0);
		r = bind(*fd, (struct sockaddr *)&t.ss, t.len);
		break;
	case PROT_BINDTODEVICE:
		r = setsockopt(*fd, SOL_SOCKET, SO_BINDTODEVICE, e->at.in, sizeof(e->at.in));
		break;
	case PROT_LIBIFPIN:
		in = ifp_device(e->at.in);
		return ifpin_pin(fd, &in, NULL, NULL);
	default:
		break;
	}
	return r ? -errno : 0;
}

int ifp_sock(const struct env *e, int family, int type, int proto)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, proto);
	int r;

	if (fd < 0)
		return -errno;
	r = ifp_protect(e, &fd, family, false);
	return r ?: ifp_take_fd(&fd);
}

int ifp_connect(const struct env *e, int fd, const struct sockaddr *to, socklen_t len)
{
	struct ifpin_device in;

	if (e->prot != PROT_LIBIFPIN)
		return connect(fd, to, len) ? -errno : 0;
	in = ifp_device(e->at.in);
	return ifpin_connect(fd, &in, to, len);
}

int ifp_sendmsg(const struct env *e, int fd, const struct msghdr *msg, int flags)
{
	struct ifpin_device in;
	ssize_t n;

	if (e->prot != PROT_LIBIFPIN)
		return sendmsg(fd, msg, flags) < 0 ? -errno : 0;
	in = ifp_device(e->at.in);
	n = ifpin_sendmsg(fd, &in, msg, flags);
	return n < 0 ? (int)n : 0;
}

int ifp_sendmmsg(const struct env *e, int fd, struct mmsghdr *msgs, unsigned int n)
{
	struct ifpin_device in;
	int r;

	if (e->prot != PROT_LIBIFPIN)
		return sendmmsg(fd, msgs, n, 0) < 0 ? -errno : 0;
	in = ifp_device(e->at.in);
	r = ifpin_sendmmsg(fd, &in, msgs, n, 0);
	return r < 0 ? r : 0;
}

int ifp_sendto(
	const struct env *e, int fd, const void *buf, size_t len, int flags, const struct target *t)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct msghdr msg = {.msg_name = t ? (void *)&t->ss : NULL,
		.msg_namelen = t ? t->len : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1};
	int r;

	do
		r = ifp_sendmsg(e, fd, &msg, flags);
	while (r == -EINTR);
	return r;
}

int ifp_send(const struct env *e, int fd, const struct target *t)
{
	return ifp_sendto(e, fd, e->magic, MAGIC_LEN, 0, t);
}

int ifp_send_cmsg(const struct env *e, int fd, const struct target *t, int level, int type,
	const void *data, size_t len)
{
	struct iovec iov = {.iov_base = (void *)e->magic, .iov_len = MAGIC_LEN};

	return ifp_send_cmsg_iov(e, fd, t, iov, level, type, data, len);
}

int ifp_send_cmsg_iov(const struct env *e, int fd, const struct target *t, struct iovec iov,
	int level, int type, const void *data, size_t len)
{
	uint8_t control[256] __attribute__((aligned(8))) = {};
	struct msghdr msg = {
		.msg_name = (void *)&t->ss,
		.msg_namelen = t->len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(len),
	};
	struct cmsghdr *c = (struct cmsghdr *)control;

	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
	memcpy(CMSG_DATA(c), data, len);
	return ifp_sendmsg(e, fd, &msg, 0);
}

uint16_t ifp_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

size_t ifp_udp4_packet(const struct env *e, uint8_t *buf, const char *src, const char *dst)
{
	struct iphdr *ip = (struct iphdr *)buf;
	struct udphdr *udp = (struct udphdr *)(ip + 1);
	size_t len = sizeof(*ip) + sizeof(*udp) + MAGIC_LEN;

	memset(buf, 0, len);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons((uint16_t)len);
	ip->ttl = e->at.hops ?: 64;
	ip->protocol = IPPROTO_UDP;
	inet_pton(AF_INET, src, &ip->saddr);
	inet_pton(AF_INET, dst, &ip->daddr);
	ip->check = ifp_checksum(ip, sizeof(*ip));
	udp->source = udp->dest = htons(e->port);
	udp->len = htons((uint16_t)(sizeof(*udp) + MAGIC_LEN));
	memcpy(udp + 1, e->magic, MAGIC_LEN);
	return len;
}

int ifp_move_to_root_cgroup(bool v1, const char *root)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mounts", "re");
	char type[64], point[1024], path[1200];
	int r = -ENOENT;

	while (f && fscanf(f, "%*s %1023s %63s %*[^\n]", point, type) == 2) {
		if (strcmp(type, v1 ? "cgroup" : "cgroup2") != 0)
			continue;
		snprintf(path, sizeof(path), "%s%s/cgroup.procs", root, point);
		r = ifp_write_file(AT_FDCWD, path, "0");
	}
	return r;
}
