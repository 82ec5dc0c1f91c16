// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct said {
	char text[2048];
	unsigned int n;
};

static void hear(void *ctx, const char *path, unsigned int line, const char *text)
{
	struct said *s = ctx;
	size_t used = strlen(s->text);

	(void)path;
	s->n++;
	snprintf(s->text + used, sizeof(s->text) - used, "%u: %s\n", line, text);
}

static struct ifpin_config *parse(const char *text, size_t len, struct said *said, int *ret)
{
	struct ifpin_config *c = calloc(1, sizeof(*c));

	memset(said, 0, sizeof(*said));
	assert_non_null(c);
	c->path = strdup("eth.conf");
	*ret = ifp_config_parse(text, len, hear, said, c);
	return c;
}

static void good(void **state)
{
	static const char text[] = "# a comment\n"
				   "; another\n"
				   "\n"
				   "[Pin]\r\n"
				   "Device = mac:02:00:00:00:01:01\n"
				   "Unit=chassis@1.service ; the first of them\n"
				   "Existing=kill\n"
				   "Loopback=deny\n"
				   "Dns=system\n"
				   "Rebind=no\n"
				   "Abort=yes";
	struct ifpin_config *c;
	struct said said;
	int r;

	(void)state;
	c = parse(text, strlen(text), &said, &r);
	assert_string_equal(said.text, "");
	assert_int_equal(r, 0);
	assert_string_equal(c->device, "mac:02:00:00:00:01:01");
	assert_string_equal(c->unit, "chassis@1.service");
	assert_null(c->cgroup);
	assert_int_equal(c->existing, IFPIN_EXISTING_KILL);
	assert_false(c->loopback || c->guard_resolvers || c->rebind || c->run);
	assert_true(c->abort);
	ifpin_config_free(c);
}

static void good_run(void **state)
{
	static const char text[] = "[Run]\nAllowGroup=root, 4242\nAllowUser=65534\nMaxPerUser=3\n"
				   "[Pin]\nDevice=wg0\n";
	struct ifpin_config *c;
	struct said said;
	int r;

	(void)state;
	c = parse(text, strlen(text), &said, &r);
	assert_string_equal(said.text, "");
	assert_int_equal(r, 0);
	assert_true(c->run && c->run_loopback && c->loopback && c->guard_resolvers && c->rebind);
	assert_int_equal(c->n_groups, 2);
	assert_int_equal(c->groups[0], 0);
	assert_int_equal(c->groups[1], 4242);
	assert_int_equal(c->n_users, 1);
	assert_int_equal(c->run_per_user, 3);
	ifpin_config_free(c);
}

static void loopback_is_never_widened(void **state)
{
	static const char text[] = "[Pin]\nDevice=wg0\nLoopback=deny\n[Run]\nAllowUser=root\n";
	struct ifpin_config *c;
	struct said said;
	int r;

	(void)state;
	c = parse(text, strlen(text), &said, &r);
	assert_int_equal(r, 0);
	assert_false(c->run_loopback);
	ifpin_config_free(c);
}

#define HEAD "[Pin]\nDevice=eth0\n"

/* What is wrong, and the one line that has to be said about it. */
static const struct {
	const char *text;
	size_t len; /* 0: up to the NUL */
	const char *said;
} bad[] = {
	{"", 0, "0: section [Pin] or [Fence] is missing\n"},
	{"Device=eth0\n" HEAD "Cgroup=/a\n", 0, "1: \"Device\" stands before any section\n"},
	{HEAD "Cgroup=/a\nColour=red\n", 0, "4: no key \"Colour\" in section [Pin]\n"},
	{HEAD "Cgroup=/a\ndns=guard\n", 0, "4: no key \"dns\" in section [Pin]\n"},
	{HEAD "Cgroup=/a\n[Pen]\nx=y\n", 0, "4: no section \"Pen\"\n"},
	{HEAD "Cgroup=/a\n[Pen]\n", 0, "4: no section \"Pen\"\n"},
	{HEAD "Cgroup=/a\n[Pin\n", 0, "4: a section is written [Name], and nothing behind it\n"},
	{HEAD "Cgroup=/a\n[Run] x\n", 0, "4: a section is written [Name], and nothing behind it\n"},
	{HEAD "Cgroup=/a\n[Pin]\n", 0, "4: section [Pin] is there twice (line 1)\n"},
	{HEAD "Cgroup=/a\nDevice=eth0\n", 0, "4: Device= is there twice\n"},
	{HEAD "Cgroup=/a\nDns=\n", 0, "4: Dns= has no value\n"},
	{HEAD "Cgroup=/a\nDns\n", 0, "4: neither a [section] nor KEY=VALUE\n"},
	{HEAD "Cgroup=/a\n=x\n", 0, "4: neither a [section] nor KEY=VALUE\n"},
	{HEAD "Cgroup=/a\n  b\n", 0, "4: the line begins with a blank; values have one line\n"},
	{HEAD "Cgroup=/a\nDns=guard\0\n", 39, "4: byte 10 is NUL\n"},
	{HEAD "Cgroup=/\xc3\n", 0, "3: byte 9 is no text in UTF-8, or a control character\n"},
	{HEAD "Cgroup=/\xed\xa0\x80\n", 0,
		"3: byte 9 is no text in UTF-8, or a control character\n"},
	{HEAD "Cgroup=/\xc0\xaf\n", 0, "3: byte 9 is no text in UTF-8, or a control character\n"},
	{HEAD "Cgroup=/\033[2J\n", 0, "3: byte 9 is no text in UTF-8, or a control character\n"},
	{"[Pin]\nCgroup=/a\n", 0, "1: Device= is missing\n"},
	{"[Pin]\nDevice=index:3\nCgroup=/a\n", 0,
		"2: Device=index:3: an index is no identity: give a name, an alternative name or "
		"mac:\n"},
	{"[Pin]\nDevice=mac:02:00\nCgroup=/a\n", 0, NULL}, /* short, but a MAC address */
	{"[Pin]\nDevice=mac:02:0\nCgroup=/a\n", 0,
		"2: Device=mac:02:0: not a MAC address, as in mac:02:00:00:00:01:01\n"},
	{"[Pin]\nDevice=a b\nCgroup=/a\n", 0,
		"2: Device=a b: no interface has a blank or a slash in its name\n"},
	{HEAD "Cgroup=a\n", 0,
		"3: Cgroup=a: must be a path from the root of cgroup v2, beginning with /\n"},
	{HEAD "Cgroup=/\n", 0, "3: Cgroup=/: the whole host cannot be pinned\n"},
	{HEAD "Cgroup=/a/../b\n", 0,
		"3: Cgroup=/a/../b: a path without \"//\", \"/./\", \"/../\" or a slash at the "
		"end\n"},
	{HEAD "Cgroup=/a/\n", 0,
		"3: Cgroup=/a/: a path without \"//\", \"/./\", \"/../\" or a slash at the end\n"},
	{HEAD "Cgroup=/sys/fs/cgroup/a\n", 0,
		"3: Cgroup=/sys/fs/cgroup/a: the path begins at the root of cgroup v2, without "
		"/sys/fs/cgroup\n"},
	{HEAD "Unit=a\n", 0, "3: Unit=a: must be a unit whose name ends with .service, .scope or .slice\n"},
	{HEAD "Unit=../a.service\n", 0, "3: Unit=../a.service: not the name of a unit\n"},
	{HEAD "Unit=a.service\nCgroup=/a\n", 0, "1: Cgroup= and Unit= exclude each other\n"},
	{HEAD "Unit=a.service\nExisting=maybe\n", 0,
		"4: Existing=maybe: must be refuse, pin or kill\n"},
	{HEAD "Unit=a.service\nLoopback=Deny\n", 0, "4: Loopback=Deny: must be allow or deny\n"},
	{HEAD "Unit=a.service\nRebind=1\n", 0, "4: Rebind=1: must be yes or no\n"},
	{HEAD, 0, "1: nothing is to be pinned: give Cgroup=, Unit= or a section [Run]\n"},
	{HEAD "[Run]\n", 0, "3: [Run] lets nobody in: give AllowGroup= or AllowUser=\n"},
	{HEAD "[Run]\nAllowUser=no-such-user\n", 0, "4: no user \"no-such-user\"\n"},
	{HEAD "[Run]\nAllowGroup=no-such-group\n", 0, "4: no group \"no-such-group\"\n"},
	{HEAD "[Run]\nAllowUser=0\nMaxPerUser=0\n", 0,
		"5: MaxPerUser=0: must be a number from 1 to 4096\n"},
	{HEAD "Cgroup=/a\n[Run]\nAllowUser=0\n", 0,
		"4: [Run] is for pins without Cgroup= and Unit=\n"},
	{HEAD "Loopback=deny\n[Run]\nAllowUser=0\nLoopback=allow\n", 0,
		"4: [Run] cannot allow the loopback that [Pin] denies\n"},
};

static void bad_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct said said;
		int r;

		ifpin_config_free(parse(bad[i].text, bad[i].len ?: strlen(bad[i].text), &said, &r));
		assert_string_equal(said.text, bad[i].said ?: "");
		assert_int_equal(r, bad[i].said ? -EINVAL : 0);
	}
}

static void all_errors_are_told(void **state)
{
	static const char text[] = "[Pin]\nDevice=index:1\nDns=x\nFoo=1\n[Bar]\n";
	struct said said;
	int r;

	(void)state;
	ifpin_config_free(parse(text, strlen(text), &said, &r));
	assert_int_equal(r, -EINVAL);
	assert_int_equal(said.n, 5);
}

static void long_lines(void **state)
{
	char text[4096], long_one[3000];
	struct said said;
	int r;

	(void)state;
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = 0;
	snprintf(text, sizeof(text), "[Pin]\nDevice=e\nCgroup=/%s\nDns=guard\n", long_one);
	ifpin_config_free(parse(text, strlen(text), &said, &r));
	assert_int_equal(r, -EINVAL);
	assert_non_null(strstr(said.text, "3: the line is longer than "));
	assert_null(strstr(said.text, "\n4:"));
}

/* ---- files and folders -------------------------------------------------------------------- */

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ifpin-config-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void put(const char *name, const char *text, mode_t mode)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int read_one(const char *name, struct said *said, struct ifpin_config **ret)
{
	char path[256];

	memset(said, 0, sizeof(*said));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return ifpin_config_read(path, hear, said, ret);
}

static void files(void **state)
{
	struct ifpin_config *c = NULL;
	struct said said;
	char path[256];

	(void)state;
	put("eth.conf", HEAD "Cgroup=/a\n", 0644);
	assert_int_equal(read_one("eth.conf", &said, &c), 0);
	assert_string_equal(c->name, "eth");
	ifpin_config_free(c);
	c = NULL;
	assert_int_equal(read_one("none.conf", &said, &c), -ENOENT);
	assert_string_equal(said.text, "0: No such file or directory\n");
	put("eth.conf", HEAD "Cgroup=/a\n", 0666);
	assert_int_equal(read_one("eth.conf", &said, &c), -EPERM);
	put("eth.ini", HEAD "Cgroup=/a\n", 0644);
	assert_int_equal(read_one("eth.ini", &said, &c), -EINVAL);
	put("e th.conf", HEAD "Cgroup=/a\n", 0644);
	assert_int_equal(read_one("e th.conf", &said, &c), -EINVAL);
	put("run.7.conf", HEAD "Cgroup=/a\n", 0644);
	assert_int_equal(read_one("run.7.conf", &said, &c), -EINVAL);
	snprintf(path, sizeof(path), "%s/pipe.conf", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(read_one("pipe.conf", &said, &c), -EINVAL);
	assert_string_equal(said.text, "0: not a regular file\n");
	assert_null(c);
}

#ifdef HAVE_FENCE
static void fences(void **state)
{
	static const struct {
		const char *text, *said;
	} wrong[] = {
		{"[Fence]\nDevice=eth1\n",
			"1: nothing is to be fenced: give Prefix= or Ethertype=\n"},
		{"[Fence]\nPrefix=10.0.1.0/24\nName=x\n", "1: Device= is missing\n"},
		{"[Run]\nAllowUser=0\n[Fence]\nPrefix=10.0.1.0/24\n",
			"0: section [Pin] is missing\n"},
		{"[Fence]\nDevice=index:2\nName=x\nEthertype=0x88b5\n",
			"2: Device=index:2: an index is no identity: give a name, an alternative name or "
			"mac:\n"},
		{"[Fence]\nDevice=eth1\nEthertype=64 0x88b5\nName=x\n",
			"3: Ethertype=: a number from 0x0600 to 0xffff, not \"64\"\n"},
	};
	static const char text[] = "[Fence]\nPrefix=10.0.1.0/24, fd01::/64\nPrefix=192.0.2.0/24\n"
				   "Ethertype=0x88b5\nName=x\nNat=off\n[Pin]\nDevice=eth1\nCgroup=/a\n";
	struct said said;
	int r;
	struct ifpin_config *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		c = parse(wrong[i].text, strlen(wrong[i].text), &said, &r);
		assert_int_equal(r, -EINVAL);
		assert_string_equal(said.text, wrong[i].said);
		ifpin_config_free(c);
	}
	c = parse(text, strlen(text), &said, &r);
	assert_int_equal(r, 0);
	assert_true(c->pin);
	assert_int_equal(c->fence->n_prefixes, 3);
	assert_int_equal(c->fence->n_ethertypes, 1);
	assert_int_equal(c->fence->nat, IFPIN_FENCE_NAT_OFF);
	assert_string_equal(c->fence->device, "eth1");
	ifpin_config_free(c);
}
#endif

static void folders(void **state)
{
	struct ifpin_config_set *set = NULL;
	struct said said = {};

	(void)state;
	put("a.conf", HEAD "Cgroup=/a\n", 0644);
	put("b.conf", HEAD "Cgroup=/a\n", 0644); /* the same cgroup again */
	put("c.conf", "rubbish\n", 0644);
	put("d.conf", HEAD "Cgroup=/d\n", 0644);
	put("not a name.conf", HEAD "Cgroup=/e\n", 0644);
	put(".f.conf", "rubbish\n", 0644);
	put("README", "rubbish\n", 0644);
	assert_int_equal(ifpin_config_read_dir(dir, hear, &said, &set), 0);
	assert_int_equal(set->n_files, 2);
	assert_string_equal(set->files[0]->name, "a");
	assert_string_equal(set->files[1]->name, "d");
	assert_int_equal(set->n_bad, 2);
	assert_string_equal(set->bad[0], "b");
	assert_string_equal(set->bad[1], "c");
	assert_non_null(strstr(said.text, "0: its Cgroup= is that of a.conf already\n"));
	ifpin_config_set_free(set);
	set = NULL;
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(ifpin_config_read_dir(dir, hear, &said, &set), -EPERM);
	assert_int_equal(ifpin_config_read_dir("/no/such/dir", hear, &said, &set), -ENOENT);
	assert_int_equal(ifpin_config_read_dir("/dev/null", hear, &said, &set), -ENOTDIR);
	assert_null(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(good_run),
		cmocka_unit_test(loopback_is_never_widened),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(all_errors_are_told),
		cmocka_unit_test(long_lines),
		cmocka_unit_test_setup_teardown(files, make_dir, remove_dir),
#ifdef HAVE_FENCE
		cmocka_unit_test(fences),
#endif
		cmocka_unit_test_setup_teardown(folders, make_dir, remove_dir),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
