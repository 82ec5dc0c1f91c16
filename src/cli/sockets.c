// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/confine.h>
#include <ifpin/device.h>
#include <ifpin/sockets.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_COLUMNS 8
#define IPPROTO_MPTCP_NUMBER 262

enum { OPT_JSON = 256 };

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin sockets [OPTIONS] [DEVICE]\n"
	"\n"
	"List the internet, packet and XDP sockets of the host: which device each can use, in which\n"
	"confinement it was made, and which processes hold it. With DEVICE, those that can use it only.\n"
	"\n"
	"Options:\n"
	"  -a, --all   also sockets without a process, of loopback only, and unused ones\n"
	"  --json      write JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Verdicts: pinned, unpinned, elsewhere, dead, foreign, unheld, unknown; ifpin-sockets(8) tells\n"
	"what they mean. Exit status: 0; 125 if the sockets could not be listed.\n";

/* ---- what to show ---- */

static bool is_loopback(const struct sockaddr_storage *ss)
{
	const struct in6_addr *six = &((const struct sockaddr_in6 *)ss)->sin6_addr;

	if (ss->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == 127;
	if (ss->ss_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static bool is_interesting(const struct ifpin_socket_info *s)
{
	switch (s->verdict) {
	case IFPIN_SOCKET_FOREIGN:
	case IFPIN_SOCKET_ELSEWHERE:
	case IFPIN_SOCKET_UNHELD:
		return true;
	default:
		return s->n_holders && !s->unused && !is_loopback(&s->local);
	}
}

/* The listening subflow of an MPTCP socket tells nothing more than the socket itself. */
static bool is_repetition(const struct ifpin_socket_info *s)
{
	return s->subflow && s->state == TCP_LISTEN;
}

static bool is_shown(const struct ifpin_socket_info *s, bool all, uint32_t ifindex)
{
	if (ifindex && s->ifindex != ifindex)
		return false;
	return all || (is_interesting(s) && !is_repetition(s));
}

/* ---- words ---- */

static const char *netid(const struct ifpin_socket_info *s, char buf[16])
{
	if (s->domain == AF_PACKET)
		return s->type == SOCK_DGRAM ? "p_dgr" : "p_raw";
	if (s->domain == AF_XDP)
		return "xdp";
	if (s->type == SOCK_RAW)
		return "raw";
	switch (s->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_UDPLITE:
		return "udplite";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_MPTCP_NUMBER:
		return "mptcp";
	}
	snprintf(buf, 16, "ip-%d", s->protocol);
	return buf;
}

/* As ss(8) has them. */
static const char *state_name(const struct ifpin_socket_info *s)
{
	static const char *const names[] = {
		[TCP_ESTABLISHED] = "ESTAB",
		[TCP_SYN_SENT] = "SYN-SENT",
		[TCP_SYN_RECV] = "SYN-RECV",
		[TCP_FIN_WAIT1] = "FIN-WAIT-1",
		[TCP_FIN_WAIT2] = "FIN-WAIT-2",
		[TCP_TIME_WAIT] = "TIME-WAIT",
		[TCP_CLOSE] = "UNCONN",
		[TCP_CLOSE_WAIT] = "CLOSE-WAIT",
		[TCP_LAST_ACK] = "LAST-ACK",
		[TCP_LISTEN] = "LISTEN",
		[TCP_CLOSING] = "CLOSING",
		[TCP_CLOSING + 1] = "SYN-RECV", /* TCP_NEW_SYN_RECV */
		[TCP_CLOSING + 2] = "UNCONN",	/* TCP_BOUND_INACTIVE */
	};

	if (!s->state || s->state >= sizeof(names) / sizeof(names[0]))
		return "UNCONN";
	return names[s->state];
}

/* The address alone. Return: its port. */
static unsigned int split(const struct sockaddr_storage *ss, char ret[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *four = (const void *)ss;
	const struct sockaddr_in6 *six = (const void *)ss;

	if (ss->ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, ret, INET6_ADDRSTRLEN);
		return ntohs(four->sin_port);
	}
	inet_ntop(AF_INET6, &six->sin6_addr, ret, INET6_ADDRSTRLEN);
	return ntohs(six->sin6_port);
}

static void format_address(
	const struct ifpin_socket_info *s, const struct sockaddr_storage *ss, char ret[80])
{
	char addr[INET6_ADDRSTRLEN], port[8] = "*";
	const char *bracket = ss->ss_family == AF_INET6 ? "[]" : "";
	unsigned int n;

	if (!ss->ss_family) {
		strcpy(ret, "*:*");
		return;
	}
	n = split(ss, addr);
	/* A raw socket has its protocol there, as in ss(8). */
	if (s->type == SOCK_RAW && ss == &s->local)
		n = (unsigned int)s->protocol;
	if (n)
		snprintf(port, sizeof(port), "%u", n);
	/* IPv6 and IPv4 at once. */
	if (s->domain == AF_INET6 && !s->v6only && !strcmp(addr, "::"))
		snprintf(ret, 80, "*:%s", port);
	else
		snprintf(ret, 80, "%.1s%s%s:%s", bracket, addr, *bracket ? "]" : "", port);
}

/* Of a packet socket: what it hears, and by which device. */
static void format_local(const struct ifpin_socket_info *s, const char *device, char ret[80])
{
	if (s->domain == AF_PACKET && s->protocol == ETH_P_ALL)
		snprintf(ret, 80, "*:%s", device);
	else if (s->domain == AF_PACKET)
		snprintf(ret, 80, "0x%04x:%s", (unsigned int)s->protocol, device);
	else if (s->domain == AF_XDP)
		snprintf(ret, 80, "*:%s", device);
	else
		format_address(s, &s->local, ret);
}

/* Length of the UTF-8 character at p, or 0. */
static size_t character(const unsigned char *p)
{
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >> 4 == 0xe ? 3 : 0;

	if (*p >= 0xf0 && *p < 0xf5)
		n = 4;
	for (size_t i = 1; i < n; i++)
		if (p[i] >> 6 != 2)
			return 0;
	/* Longer than need be, surrogates, and beyond Unicode. */
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
		(*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* A process chooses its name: what would move the cursor or end the string becomes a '?'. */
static void clean_name(const char *comm, char ret[64])
{
	const unsigned char *p = (const unsigned char *)comm;
	size_t used = 0, n;

	for (; *p; p += n ?: 1) {
		n = character(p);
		if (!n || *p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\' ||
			(*p == 0xc2 && p[1] < 0xa0)) {
			ret[used++] = '?';
			continue;
		}
		memcpy(ret + used, p, n);
		used += n;
	}
	ret[used] = 0;
}

/* ---- the table ---- */

static void write_users(const struct ifpin_socket_info *s, FILE *out)
{
	char name[64];

	for (size_t i = 0; i < s->n_holders; i++) {
		const struct ifpin_socket_holder *h = &s->holders[i];

		clean_name(h->comm, name);
		fprintf(out, "%s(\"%s\",pid=%d,fd=%d)", i ? "," : "users:(", name, (int)h->pid,
			h->fd);
	}
	if (s->n_holders)
		fputc(')', out);
}

/* Of a foreign socket the one that it is foreign to. */
static const char *confinement_of(const struct ifpin_socket_info *s)
{
	for (size_t i = 0; s->verdict == IFPIN_SOCKET_FOREIGN && i < s->n_holders; i++)
		if (s->holders[i].foreign)
			return s->holders[i].confinement;
	return s->confinement;
}

static void device_of(const struct ifpin_socket_info *s, char ret[32])
{
	if (*s->device)
		snprintf(ret, 32, "%s", s->device);
	else if (s->ifindex)
		snprintf(ret, 32, "index:%u", s->ifindex);
	else
		strcpy(ret, "*");
}

/* Where a packet or XDP socket is bound, which need not be all that it can use. */
static void bound_to(const struct ifpin_socket_info *s, char ret[32])
{
	char name[IF_NAMESIZE];

	if (!s->bound_ifindex)
		strcpy(ret, "*");
	else if (if_indextoname(s->bound_ifindex, name))
		snprintf(ret, 32, "%s", name);
	else
		snprintf(ret, 32, "index:%u", s->bound_ifindex);
}

struct row {
	char cell[N_COLUMNS - 1][80]; /* all but the last, which is as long as it is */
};

static void make_row(const struct ifpin_socket_info *s, struct row *ret)
{
	char number[16], device[32];
	const char *in = confinement_of(s);

	snprintf(ret->cell[0], 80, "%s", netid(s, number));
	snprintf(ret->cell[1], 80, "%s", state_name(s));
	device_of(s, device);
	snprintf(ret->cell[2], 80, "%s", device);
	snprintf(ret->cell[3], 80, "%s", ifpin_socket_verdict_name(s->verdict));
	snprintf(ret->cell[4], 80, "%s", *in ? in : "-");
	bound_to(s, device);
	format_local(s, device, ret->cell[5]);
	format_address(s, &s->peer, ret->cell[6]);
}

static int write_table(const struct ifpin_socket_info **shown, size_t n)
{
	static const struct row heading = {{"Netid", "State", "Device", "Verdict", "Confinement",
		"Local Address:Port", "Peer Address:Port"}};
	struct row *rows = calloc(n + 1, sizeof(*rows));
	int width[N_COLUMNS - 1] = {};

	if (!rows) {
		fputs("ifpin: out of memory\n", stderr);
		return 125;
	}
	rows[0] = heading;
	for (size_t i = 0; i < n; i++)
		make_row(shown[i], &rows[i + 1]);
	for (size_t i = 0; i <= n; i++)
		for (int c = 0; c < N_COLUMNS - 1; c++)
			if ((int)strlen(rows[i].cell[c]) > width[c])
				width[c] = (int)strlen(rows[i].cell[c]);
	for (size_t i = 0; i <= n; i++) {
		for (int c = 0; c < N_COLUMNS - 2; c++)
			printf("%-*s  ", width[c], rows[i].cell[c]);
		if (!i || shown[i - 1]->n_holders)
			printf("%-*s  ", width[N_COLUMNS - 2], rows[i].cell[N_COLUMNS - 2]);
		else
			printf("%s", rows[i].cell[N_COLUMNS - 2]);
		if (i)
			write_users(shown[i - 1], stdout);
		else
			fputs("Process", stdout);
		putchar('\n');
	}
	free(rows);
	return 0;
}

/* ---- JSON ---- */

static void put_string(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, *s ? json_object_new_string(s) : NULL);
}

static void put_number(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static struct json_object *json_address(const struct sockaddr_storage *ss, bool port)
{
	struct json_object *o;
	char text[INET6_ADDRSTRLEN];
	unsigned int n;

	if (!ss->ss_family)
		return NULL;
	o = json_object_new_object();
	n = split(ss, text);
	put_string(o, "address", text);
	if (port)
		put_number(o, "port", n);
	return o;
}

static struct json_object *json_holders(const struct ifpin_socket_info *s)
{
	struct json_object *list = json_object_new_array();
	char name[64];

	for (size_t i = 0; i < s->n_holders; i++) {
		const struct ifpin_socket_holder *h = &s->holders[i];
		struct json_object *o = json_object_new_object();

		clean_name(h->comm, name);
		put_number(o, "pid", (uint64_t)h->pid);
		put_number(o, "fd", (uint64_t)h->fd);
		json_object_object_add(o, "comm", json_object_new_string(name));
		put_string(o, "confinement", h->confinement);
		json_object_object_add(o, "foreign", json_object_new_boolean(h->foreign));
		json_object_array_add(list, o);
	}
	return list;
}

static const char *family_name(int domain)
{
	switch (domain) {
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_PACKET:
		return "packet";
	}
	return "xdp";
}

static struct json_object *json_socket(const struct ifpin_socket_info *s)
{
	struct json_object *o = json_object_new_object();
	bool ports = s->type != SOCK_RAW;
	char number[16];

	put_string(o, "netid", netid(s, number));
	put_string(o, "family", family_name(s->domain));
	put_number(o, "type", (uint64_t)s->type);
	put_number(o, "protocol", (uint64_t)s->protocol);
	put_string(o, "state", state_name(s));
	put_string(o, "verdict", ifpin_socket_verdict_name(s->verdict));
	put_string(o, "device", s->device);
	put_number(o, "ifindex", s->ifindex);
	put_number(o, "bound_ifindex", s->bound_ifindex);
	put_string(o, "confinement", s->confinement);
	json_object_object_add(o, "local", json_address(&s->local, ports));
	json_object_object_add(o, "peer", json_address(&s->peer, ports));
	json_object_object_add(o, "v6only", json_object_new_boolean(s->v6only));
	json_object_object_add(o, "subflow", json_object_new_boolean(s->subflow));
	json_object_object_add(o, "unused", json_object_new_boolean(s->unused));
	put_number(o, "uid", s->uid);
	put_number(o, "cookie", s->cookie);
	put_number(o, "inode", s->inode);
	json_object_object_add(o, "processes", json_holders(s));
	return o;
}

static int write_json(const struct ifpin_socket_info **shown, size_t n, unsigned int unread)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, json_socket(shown[i]));
	json_object_object_add(top, "sockets", list);
	put_number(top, "unread_processes", unread);
	show_pretty(top);
	return 0;
}

/* ---- the command ---- */

static int list(bool all, bool json, uint32_t ifindex)
{
	struct ifpin_socket_info *sockets = NULL;
	const struct ifpin_socket_info **shown;
	struct ifpin_confined *confined = NULL;
	size_t n, n_confined, n_shown = 0;
	struct ifpin_error err;
	unsigned int unread;
	int r;

	r = ifpin_confined_list(&confined, &n_confined, &err);
	if (!r)
		r = ifpin_sockets(confined, n_confined, &sockets, &n, &unread, &err);
	free(confined);
	if (r) {
		fprintf(stderr, "ifpin: %s%s\n", err.text,
			r == -EPERM ? " (run it with sudo)" : "");
		return 125;
	}
	shown = calloc(n ?: 1, sizeof(*shown));
	for (size_t i = 0; shown && i < n; i++)
		if (is_shown(&sockets[i], all, ifindex))
			shown[n_shown++] = &sockets[i];
	if (!shown)
		fputs("ifpin: out of memory\n", stderr);
	r = !shown ? 125 : json ? write_json(shown, n_shown, unread) : write_table(shown, n_shown);
	if (unread && !json)
		fprintf(stderr,
			"ifpin: %u process%s may not be looked into (ptrace(2)%s); sockets are shown "
			"without %s\n",
			unread, unread > 1 ? "es" : "", geteuid() ? "; run it with sudo" : "",
			unread > 1 ? "them" : "it");
	free(shown);
	free(sockets);
	return r;
}

int cmd_sockets(int argc, char **argv)
{
	struct ifpin_device device = {};
	bool all = false, json = false;
	struct ifpin_error err;
	int c;

	while ((c = getopt_long(argc, argv, "ah", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			all = true;
			break;
		case OPT_JSON:
			json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return usage_error("sockets", 125);
		}
	}
	if (argc - optind > 1) {
		fprintf(stderr, "ifpin: sockets: unexpected argument \"%s\"\n", argv[optind + 1]);
		return usage_error("sockets", 125);
	}
	if (optind < argc && ifpin_device_resolve(argv[optind], &device, &err)) {
		fprintf(stderr, "ifpin: %s\n", err.text);
		return 125;
	}
	return list(all, json, device.ifindex);
}
