// SPDX-License-Identifier: MIT
/* Stands in for the follower until the library has one: follows nothing. */
#include <ifpin/confine.h>

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ifpin_follower {
	int fd;
};

int ifpin_follower_open(void (*on_change)(void *ctx, const struct ifpin_change *change), void *ctx,
	struct ifpin_follower **ret_follower, struct ifpin_error *ret_error)
{
	struct ifpin_follower *f = calloc(1, sizeof(*f));

	(void)on_change;
	(void)ctx;
	(void)ret_error;
	f->fd = eventfd(0, EFD_CLOEXEC);
	*ret_follower = f;
	return 0;
}

int ifpin_follower_fd(const struct ifpin_follower *follower)
{
	return follower->fd;
}

int ifpin_follower_timeout(const struct ifpin_follower *follower)
{
	(void)follower;
	return -1;
}

int ifpin_follower_step(struct ifpin_follower *follower, struct ifpin_error *ret_error)
{
	(void)follower;
	(void)ret_error;
	return 0;
}

int ifpin_follower_reload(struct ifpin_follower *follower, struct ifpin_error *ret_error)
{
	(void)follower;
	(void)ret_error;
	return 0;
}

void ifpin_follower_close(struct ifpin_follower *follower)
{
	if (follower)
		close(follower->fd);
	free(follower);
}
