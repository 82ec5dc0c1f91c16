// SPDX-License-Identifier: MIT
/* PCAP Next Generation (draft-ietf-opsawg-pcapng): blocks of 32-bit words in host byte order. */
#include "internal.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#define MAX_DEVICES 64
#define MAX_FRAME (65536 + 4)

enum block { SECTION = 0x0a0d0d0a, DEVICE = 1, STATISTICS = 5, PACKET = 6 };
enum option {
	END = 0,
	COMMENT = 1,
	SHB_OS = 3,
	SHB_APPLICATION = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
};
#define LINKTYPE_ETHERNET 1
#define INBOUND 1
#define OUTBOUND 2

struct device {
	enum side side;
	uint32_t ifindex;
	uint64_t frames;
};

struct pcapng {
	FILE *out;
	struct device devices[MAX_DEVICES];
	uint32_t n;
	size_t used; /* of the block that is being made */
	uint8_t block[MAX_FRAME + 1024];
};

static const char *const sides[SIDE_COUNT] = {[SIDE_OUT] = LAB_OUT, [SIDE_IN] = LAB_IN};

size_t ifp_captured_wire(const struct captured *c, uint8_t *buf, size_t room, size_t *ret_len)
{
	const uint8_t tag[] = {
		(uint8_t)(c->tpid >> 8), (uint8_t)c->tpid, (uint8_t)(c->tci >> 8), (uint8_t)c->tci};
	size_t head = c->tagged && c->len >= 2 * ETH_ALEN ? 2 * ETH_ALEN : 0, n = 0;
	const struct {
		const uint8_t *from;
		size_t len;
	} parts[] = {
		{c->bytes, head}, {tag, head ? sizeof(tag) : 0}, {c->bytes + head, c->len - head}};

	*ret_len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t some = parts[i].len < room - n ? parts[i].len : room - n;

		memcpy(buf + n, parts[i].from, some);
		n += some;
		*ret_len += parts[i].len;
	}
	return n;
}

/* ---- blocks ---- */

/* What is too long for a block is cut; only texts of ours can be. */
static void put(struct pcapng *f, const void *data, size_t n)
{
	size_t room = sizeof(f->block) - f->used - 16;

	n = n < room ? n : room;
	memcpy(f->block + f->used, data, n);
	f->used += n;
	while (f->used % 4)
		f->block[f->used++] = 0;
}

static void put32(struct pcapng *f, uint32_t v)
{
	put(f, &v, sizeof(v));
}

static void put16x2(struct pcapng *f, uint16_t a, uint16_t b)
{
	const uint16_t both[] = {a, b};

	put(f, both, sizeof(both));
}

static void put_option(struct pcapng *f, enum option code, const void *data, size_t n)
{
	put16x2(f, (uint16_t)code, (uint16_t)n);
	put(f, data, n);
}

static void put_text(struct pcapng *f, enum option code, const char *text)
{
	put_option(f, code, text, strlen(text));
}

static void put_time(struct pcapng *f, const struct timespec *ts)
{
	uint64_t ns = (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec;

	put32(f, (uint32_t)(ns >> 32));
	put32(f, (uint32_t)ns);
}

static void begin(struct pcapng *f, enum block type)
{
	f->used = 0;
	put32(f, type);
	put32(f, 0); /* the length, at the end */
}

static int end(struct pcapng *f)
{
	uint32_t len;

	put32(f, END);
	len = (uint32_t)f->used + 4;
	memcpy(f->block + 4, &len, sizeof(len));
	put32(f, len);
	return fwrite(f->block, f->used, 1, f->out) == 1 ? 0 : -errno;
}

static int put_section(struct pcapng *f)
{
	struct utsname u = {};
	char os[sizeof(u.sysname) + sizeof(u.release) + 1];

	uname(&u);
	snprintf(os, sizeof(os), "%s %s", u.sysname, u.release);
	begin(f, SECTION);
	put32(f, 0x1a2b3c4d);
	put16x2(f, 1, 0);
	put32(f, UINT32_MAX); /* the length of the section is not told */
	put32(f, UINT32_MAX);
	put_text(f, SHB_OS, os);
	put_text(f, SHB_APPLICATION, "ifpin prove " IFPIN_VERSION);
	put_text(f, COMMENT,
		"A frame that was counted as a leak bears \"attempt / protection\", any other "
		"\"not counted: ...\".");
	return end(f);
}

static int put_device(struct pcapng *f, enum side side, const char *name)
{
	char text[128];
	bool wire = !strcmp(name, "eth0");
	uint8_t nanoseconds = 9;

	begin(f, DEVICE);
	put16x2(f, LINKTYPE_ETHERNET, 0);
	put32(f, 0); /* frames are kept whole */
	snprintf(text, sizeof(text), "%s-peer%s%s", sides[side], wire ? "" : "/", wire ? "" : name);
	put_text(f, IF_NAME, text);
	snprintf(text, sizeof(text), wire ? "eth0, the far end of %s" : "another device behind %s",
		sides[side]);
	put_text(f, IF_DESCRIPTION, text);
	put_option(f, IF_TSRESOL, &nanoseconds, 1);
	return end(f);
}

static int find_device(
	struct pcapng *f, enum side side, int socket, uint32_t ifindex, uint32_t *ret)
{
	struct ifreq ifr = {.ifr_ifindex = (int)ifindex};
	int r;

	for (uint32_t i = 0; i < f->n; i++)
		if (f->devices[i].side == side && f->devices[i].ifindex == ifindex) {
			*ret = i;
			return 0;
		}
	if (f->n == MAX_DEVICES)
		return -ENFILE;
	/* A device that an attempt made may be gone by now; then its number is its name. */
	if (ioctl(socket, SIOCGIFNAME, &ifr)) {
		if (errno != ENODEV)
			return -errno;
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%u", ifindex);
	}
	r = put_device(f, side, ifr.ifr_name);
	if (r)
		return r;
	f->devices[f->n] = (struct device){.side = side, .ifindex = ifindex};
	*ret = f->n++;
	return 0;
}

/* ---- the file ---- */

int ifp_pcapng_open(const char *path, struct pcapng **ret, struct ifpin_error *err)
{
	struct pcapng *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return ifp_fail(err, -ENOMEM, "out of memory");
	f->out = fopen(path, "we");
	r = f->out ? put_section(f) : -errno;
	if (r) {
		if (f->out)
			fclose(f->out);
		free(f);
		return ifp_fail_errno(err, r, "cannot write %s", path);
	}
	*ret = f;
	return 0;
}

int ifp_pcapng_frame(
	struct pcapng *f, enum side side, int socket, const struct captured *c, const char *comment)
{
	static uint8_t wire[MAX_FRAME];
	size_t len, n = ifp_captured_wire(c, wire, sizeof(wire), &len);
	uint32_t device = 0, flags = c->own ? OUTBOUND : INBOUND;
	int r = find_device(f, side, socket, c->ifindex, &device);

	if (r)
		return r;
	f->devices[device].frames++;
	begin(f, PACKET);
	put32(f, device);
	put_time(f, &c->at);
	put32(f, (uint32_t)n);
	put32(f, (uint32_t)len);
	put(f, wire, n);
	put_option(f, EPB_FLAGS, &flags, sizeof(flags));
	put_text(f, COMMENT, comment);
	return end(f);
}

/* A socket loses frames of all devices of its namespace together: told at the first of them. */
static int put_statistics(struct pcapng *f, const unsigned int lost[SIDE_COUNT])
{
	bool told[SIDE_COUNT] = {};
	struct timespec ts;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &ts);
	for (uint32_t i = 0; i < f->n && !r; i++) {
		enum side side = f->devices[i].side;
		uint64_t drops = told[side] ? 0 : lost[side];

		told[side] = true;
		begin(f, STATISTICS);
		put32(f, i);
		put_time(f, &ts);
		put_option(f, ISB_IFRECV, &f->devices[i].frames, sizeof(uint64_t));
		put_option(f, ISB_IFDROP, &drops, sizeof(drops));
		r = end(f);
	}
	return r;
}

int ifp_pcapng_close(struct pcapng **f, const unsigned int lost[SIDE_COUNT], const char *path,
	struct ifpin_error *err)
{
	int r;

	if (!*f)
		return 0;
	r = put_statistics(*f, lost);
	if (fclose((*f)->out) && !r)
		r = -errno;
	free(*f);
	*f = NULL;
	return r ? ifp_fail_errno(err, r, "cannot write %s", path) : 0;
}
