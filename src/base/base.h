/* SPDX-License-Identifier: MIT */
/* Errors, cleanup and small parsers: what every floor needs and none owns. */
#pragma once

#include <ifpin/device.h>

#include <dirent.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void ifp_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void ifp_freep(void *p)
{
	free(*(void **)p);
}

static inline void ifp_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void ifp_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_close_ _cleanup_(ifp_closep)
#define _cleanup_free_ _cleanup_(ifp_freep)
#define _cleanup_fclose_ _cleanup_(ifp_fclosep)
#define _cleanup_closedir_ _cleanup_(ifp_closedirp)

/* FNV-1a, of words: it tells builds apart, and keeps nobody out. */
uint64_t ifp_hash(const void *data, size_t size);

/* Hands over what a cleanup attribute would have closed. */
static inline int ifp_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/*
 * Room for one element more behind n, in an array that grows by this only; n may also become less.
 * v points to the pointer to it. Return: 0; -ENOMEM: it is as it was.
 */
int ifp_grow(void *v, size_t n, size_t size);

/* Records what failed and returns the negative errno, so that a caller can `return ifp_fail(…)`. */
int ifp_fail(struct ifpin_error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* As ifp_fail(), with ": strerror" at the end. */
int ifp_fail_errno(struct ifpin_error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Decimal digits only, within bounds. Return: 0; -EINVAL. */
int ifp_parse_u32(const char *s, uint32_t min, uint32_t max, uint32_t *ret);

/* IPv4 or IPv6 in numbers, as 16 bytes, IPv4 mapped. Return: 0; -EINVAL. */
int ifp_parse_addr(const char *s, uint8_t ret[16]);

/* Whether 16 bytes are an IPv4 address, mapped. */
bool ifp_addr_is_v4(const uint8_t a[16]);

/* The address in numbers. Return: ret. */
const char *ifp_addr_text(const uint8_t a[16], char ret[INET6_ADDRSTRLEN]);

/*
 * Whether this version can read an option struct of the caller's, whose first member is its size:
 * as clone3(2) has it, what this one does not know must be zero. Return: 0; -EINVAL; -E2BIG.
 */
int ifp_opts_check(const void *opts, size_t known, struct ifpin_error *err);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t ifp_now_ms(void);

/* Whether an address (IPv4 mapped) is loopback or unspecified. */
bool ifp_addr_is_loopback(const uint8_t a[16]);

/* The whole of a small file with a NUL behind it. Return: 0; -ENOMEM, -EFBIG, errno of open, read.
 */
int ifp_read_file(const char *path, char **ret);

/* Writes a string to an existing file in one write. Return: 0; errno of open, write. */
int ifp_write_file(int dirfd, const char *path, const char *s);
