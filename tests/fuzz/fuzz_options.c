// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: option structs of any size and content, and control messages. What the guard
 * lets pass must not name another device in the way that the kernel reads control messages.
 */
#include "socket/guard.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEVICE 2

static void options(const uint8_t *data, size_t size)
{
	size_t room =
		size > sizeof(struct ifpin_socket_opts) ? size : sizeof(struct ifpin_socket_opts);
	struct ifpin_socket_opts *o = calloc(1, room), read;
	struct ifpin_error err = {};

	if (!o)
		return;
	memcpy(o, data, size);
	/* A caller's size is the size of what it points to. */
	if (o->size > room)
		o->size = room;
	if (!ifp_opts_read(o, &read, &err)) {
		if (read.flags & IFPIN_GTSM && read.flags & IFPIN_ONE_HOP)
			abort();
		if ((read.source == IFPIN_SOURCE_ADDRESS) != !!read.address)
			abort();
	} else if (!err.code || !err.text[0]) {
		abort();
	}
	free(o);
}

/* for_each_cmsghdr() of include/linux/socket.h. Return: whether another device is named. */
static bool kernel_sees_another(const char *control, size_t len)
{
	for (size_t at = 0; len >= sizeof(struct cmsghdr) && at <= len - sizeof(struct cmsghdr);) {
		const struct cmsghdr *c = (const struct cmsghdr *)(control + at);

		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > len - at)
			return false; /* EINVAL for all of it */
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
			c->cmsg_len == CMSG_LEN(sizeof(struct in_pktinfo))) {
			int index = ((const struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex;

			if (index && index != DEVICE)
				return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
			unsigned int index =
				((const struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex;

			if (index && index != DEVICE)
				return true;
		}
		at += CMSG_ALIGN(c->cmsg_len);
	}
	return false;
}

static void controls(const uint8_t *data, size_t size)
{
	/* The kernel works on a copy, aligned and of just this size; so do we. */
	char *copy = malloc(size ?: 1);
	struct msghdr msg = {.msg_control = copy, .msg_controllen = size};

	if (!copy)
		return;
	memcpy(copy, data, size);
	if (!judge(&msg, DEVICE) && kernel_sees_another(copy, size))
		abort();
	free(copy);
}

static void addresses(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ?: 1);

	if (!copy)
		return;
	memcpy(copy, data, size);
	judge_address(copy, (socklen_t)size, DEVICE);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0:
		options(data + 1, size - 1);
		break;
	case 1:
		controls(data + 1, size - 1);
		break;
	default:
		addresses(data + 1, size - 1);
	}
	return 0;
}
