// SPDX-License-Identifier: MIT
/*
 * A static program that does its worst: leaker IFINDEX COUNT [CHILDREN] sends COUNT marked
 * datagrams to 10.0.2.2 by every plain way there is, from itself or from each of CHILDREN processes
 * at once. Writes one line with the number of sends that the kernel accepted.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char marker[] = "ifpin-test-marker";

static int by_pktinfo(int fd, const struct sockaddr_in *to, int ifindex)
{
	struct iovec iov = {(void *)marker, sizeof(marker)};
	struct in_pktinfo info = {.ipi_ifindex = ifindex};
	char control[CMSG_SPACE(sizeof(info))] __attribute__((aligned(8))) = {};
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct msghdr m = {.msg_name = (void *)to,
		.msg_namelen = sizeof(*to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	c->cmsg_len = CMSG_LEN(sizeof(info));
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return sendmsg(fd, &m, 0) > 0;
}

static int leak(int ifindex, int count)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int sent = 0;

	inet_pton(AF_INET, "10.0.2.2", &to.sin_addr);
	for (int i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		sent += sendto(fd, marker, sizeof(marker), 0, (struct sockaddr *)&to, sizeof(to)) >
			0;
		sent += by_pktinfo(fd, &to, ifindex);
		close(fd);
	}
	return sent;
}

int main(int argc, char **argv)
{
	int ifindex = argc > 1 ? atoi(argv[1]) : 0, count = argc > 2 ? atoi(argv[2]) : 1;
	int children = argc > 3 ? atoi(argv[3]) : 0, sent = 0, status;

	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (!pid)
			_exit(leak(ifindex, count) ? 1 : 0);
	}
	if (!children)
		sent = leak(ifindex, count);
	while (wait(&status) > 0)
		sent += WEXITSTATUS(status);
	printf("%d\n", sent);
	return 0;
}
