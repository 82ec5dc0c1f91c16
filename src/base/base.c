// SPDX-License-Identifier: MIT
#include "base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

int ifp_fail(struct ifpin_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

int ifp_fail_errno(struct ifpin_error *err, int code, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	if (err) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			strerrordesc_np(-code) ?: "unknown error");
	}
	return code;
}

int ifp_parse_u32(const char *s, uint32_t min, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;

	if (!*s || strlen(s) > 10)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (v < min || v > max)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

int ifp_parse_addr(const char *s, uint8_t ret[16])
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, s, &v4) == 1) {
		memset(ret, 0, 10);
		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &v4, 4);
		return 0;
	}
	if (inet_pton(AF_INET6, s, &v6) == 1) {
		memcpy(ret, &v6, 16);
		return 0;
	}
	return -EINVAL;
}

bool ifp_addr_is_v4(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, sizeof(mapped));
}

const char *ifp_addr_text(const uint8_t a[16], char ret[INET6_ADDRSTRLEN])
{
	bool four = ifp_addr_is_v4(a);

	return inet_ntop(four ? AF_INET : AF_INET6, a + (four ? 12 : 0), ret, INET6_ADDRSTRLEN);
}

int ifp_opts_check(const void *opts, size_t known, struct ifpin_error *err)
{
	size_t size = *(const size_t *)opts;

	if (size < known)
		return ifp_fail(err, -EINVAL,
			"options of %zu bytes; at least %zu (is their size set?)", size, known);
	if (size > 4096)
		return ifp_fail(err, -E2BIG, "options of %zu bytes", size);
	for (size_t i = known; i < size; i++)
		if (((const char *)opts)[i])
			return ifp_fail(err, -E2BIG,
				"the options use what this version of the library does not have");
	return 0;
}

int64_t ifp_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

bool ifp_addr_is_loopback(const uint8_t a[16])
{
	static const uint8_t zero[16], one[16] = {[15] = 1};

	if (!memcmp(a, zero, 16) || !memcmp(a, one, 16))
		return true;
	return ifp_addr_is_v4(a) && (a[12] == 127 || !memcmp(a + 12, zero, 4));
}

int ifp_read_file(const char *path, char **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	size_t used = 0, size = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		if (size - used < 2) {
			char *bigger;

			size += 16384;
			if (size > (16 << 20))
				return -EFBIG;
			bigger = realloc(buf, size);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = read(fd, buf + used, size - used - 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		used += n > 0 ? (size_t)n : 0;
	} while (n);
	buf[used] = 0;
	*ret = buf;
	buf = NULL;
	return 0;
}

int ifp_write_file(int dirfd, const char *path, const char *s)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, s, strlen(s)) < 0)
		return -errno;
	return 0;
}

uint64_t ifp_hash(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325ULL, word;

	for (size_t i = 0; i < size; i += sizeof(word)) {
		word = 0;
		memcpy(&word, bytes + i, size - i < sizeof(word) ? size - i : sizeof(word));
		hash = (hash ^ word) * 0x100000001b3ULL;
		hash ^= hash >> 32;
	}
	return hash;
}

/* Its size is the next power of two, so that nobody need note it. */
int ifp_grow(void *v, size_t n, size_t size)
{
	void *array, *bigger;

	if (n & (n - 1))
		return 0;
	memcpy(&array, v, sizeof(array));
	bigger = reallocarray(array, n ? 2 * n : 1, size);
	if (!bigger)
		return -ENOMEM;
	memcpy(v, &bigger, sizeof(bigger));
	return 0;
}
