// SPDX-License-Identifier: MIT
/* From text to struct ifpin_config: inih splits the lines, two tables say what they may be. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <string.h>

#define MAX_IDS 256

struct key;

struct parser {
	const char *text; /* what is not read yet */
	size_t left;
	unsigned int line;
	unsigned int section_line[3]; /* where a section begins, by index; 0: it is not there */
	uint64_t seen[3];	      /* keys, by section */
	struct ifpin_config *config;
	bool run_loopback_set;
	bool failed, unreadable, no_memory;
	ifpin_config_error_fn *on_error;
	void *ctx;
};

static void complain(struct parser *p, unsigned int line, const char *fmt, ...) _printf_(3, 4);
static void complain(struct parser *p, unsigned int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->failed = true;
	p->on_error(p->ctx, p->config->path, line, text);
}

static bool fence_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len && len <= 16 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

/* ---- values ------------------------------------------------------------------------------- */

/* Each says what is wrong, as "KEY=: text", or NULL. */
typedef const char *set_fn(struct parser *p, const char *value);

static const char *copy(struct parser *p, const char *value, char **ret)
{
	*ret = strdup(value);
	if (!*ret)
		p->no_memory = true;
	return NULL;
}

static const char *one_of(const char *value, const char *no, const char *yes, bool *ret)
{
	if (strcmp(value, no) && strcmp(value, yes))
		return "";
	*ret = !strcmp(value, yes);
	return NULL;
}

static bool is_mac(const char *s)
{
	size_t n = 0;

	for (;; s += 3, n++) {
		if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
			return false;
		if (!s[2])
			return n < IFPIN_MAC_SIZE;
		if (s[2] != ':')
			return false;
	}
}

static const char *copy_device(struct parser *p, const char *value, char **ret)
{
	if (!strncmp(value, "index:", 6))
		return "an index is no identity: give a name, an alternative name or mac:";
	if (!strncmp(value, "mac:", 4) && !is_mac(value + 4))
		return "not a MAC address, as in mac:02:00:00:00:01:01";
	if (strlen(value) > 127)
		return "longer than 127 bytes";
	if (strpbrk(value, " \t/"))
		return "no interface has a blank or a slash in its name";
	return copy(p, value, ret);
}

static const char *set_device(struct parser *p, const char *value)
{
	return copy_device(p, value, &p->config->device);
}

static const char *set_cgroup(struct parser *p, const char *value)
{
	const char *s = value;

	if (*s != '/')
		return "must be a path from the root of cgroup v2, beginning with /";
	if (!strncmp(value, "/sys/fs/cgroup", 14))
		return "the path begins at the root of cgroup v2, without /sys/fs/cgroup";
	if (strlen(value) >= IFPIN_CGROUP_PATH_SIZE)
		return "the path is too long";
	while (*s) {
		size_t n = strcspn(++s, "/");

		if (!n || (n == 1 && *s == '.') || (n == 2 && !strncmp(s, "..", 2)) || n > 255)
			return value[1]
				       ? "a path without \"//\", \"/./\", \"/../\" or a slash at the end"
				       : "the whole host cannot be pinned";
		s += n;
	}
	return copy(p, value, &p->config->cgroup);
}

static const char *set_unit(struct parser *p, const char *value)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
	const char *dot = strrchr(value, '.');

	if (value[strspn(value, allowed)] || strlen(value) > 255)
		return "not the name of a unit";
	if (!dot || (strcmp(dot, ".service") && strcmp(dot, ".scope") && strcmp(dot, ".slice")))
		return "must be a unit whose name ends with .service, .scope or .slice";
	return copy(p, value, &p->config->unit);
}

static const char *set_existing(struct parser *p, const char *value)
{
	static const char *const words[] = {
		[IFPIN_EXISTING_REFUSE] = "refuse",
		[IFPIN_EXISTING_PIN] = "pin",
		[IFPIN_EXISTING_KILL] = "kill",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(value, words[i])) {
			p->config->existing = (enum ifpin_existing)i;
			return NULL;
		}
	return "must be refuse, pin or kill";
}

static const char *set_loopback(struct parser *p, const char *value)
{
	return one_of(value, "deny", "allow", &p->config->loopback) ? "must be allow or deny"
								    : NULL;
}

static const char *set_dns(struct parser *p, const char *value)
{
	return one_of(value, "system", "guard", &p->config->guard_resolvers)
		       ? "must be guard or system"
		       : NULL;
}

static const char *set_rebind(struct parser *p, const char *value)
{
	return one_of(value, "no", "yes", &p->config->rebind) ? "must be yes or no" : NULL;
}

static const char *set_abort(struct parser *p, const char *value)
{
	return one_of(value, "no", "yes", &p->config->abort) ? "must be yes or no" : NULL;
}

static const char *set_run_loopback(struct parser *p, const char *value)
{
	p->run_loopback_set = true;
	return one_of(value, "deny", "allow", &p->config->run_loopback) ? "must be allow or deny"
									: NULL;
}

static const char *set_per_user(struct parser *p, const char *value)
{
	return ifp_parse_u32(value, 1, 4096, &p->config->run_per_user)
		       ? "must be a number from 1 to 4096"
		       : NULL;
}

static int find_user(const char *name, uint32_t *ret)
{
	struct passwd *pw = getpwnam(name);

	if (!pw)
		return ifp_parse_u32(name, 0, UINT32_MAX - 1, ret);
	*ret = pw->pw_uid;
	return 0;
}

static int find_group(const char *name, uint32_t *ret)
{
	struct group *gr = getgrnam(name);

	if (!gr)
		return ifp_parse_u32(name, 0, UINT32_MAX - 1, ret);
	*ret = gr->gr_gid;
	return 0;
}

/* A list of names or numbers; a name that nobody has is told by itself. */
static const char *set_ids(struct parser *p, const char *value, const char *what,
	int (*find)(const char *, uint32_t *), uint32_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint32_t *ids = calloc(MAX_IDS, sizeof(*ids));
	_cleanup_free_ char *list = strdup(value);
	char *word, *save = NULL;
	size_t n = 0;

	p->no_memory |= !ids || !list;
	if (!ids || !list)
		return NULL;
	for (word = strtok_r(list, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save)) {
		if (n == MAX_IDS)
			return "more than 256";
		if (find(word, &ids[n]))
			complain(p, p->line, "no %s \"%s\"", what, word);
		else
			n++;
	}
	*ret = realloc(ids, (n ?: 1) * sizeof(*ids));
	if (*ret)
		ids = NULL;
	p->no_memory |= !*ret;
	*ret_n = *ret ? n : 0;
	return NULL;
}

static const char *set_groups(struct parser *p, const char *value)
{
	return set_ids(p, value, "group", find_group, &p->config->groups, &p->config->n_groups);
}

static const char *set_users(struct parser *p, const char *value)
{
	return set_ids(p, value, "user", find_user, &p->config->users, &p->config->n_users);
}

/* ---- values of a fence -------------------------------------------------------------------- */

static const char *set_fence_device(struct parser *p, const char *value)
{
	return copy_device(p, value, &p->config->fence->device);
}

static const char *set_fence_name(struct parser *p, const char *value)
{
	if (!fence_name_ok(value))
		return "a fence's name has 1 to 16 letters, digits, '-' or '_'";
	strcpy(p->config->fence->name, value);
	return NULL;
}

/* Each network that is wrong is told by itself. */
static void add_prefix(struct parser *p, const char *word)
{
	struct ifpin_config_fence *f = p->config->fence;
	struct ifpin_error err;
	struct ifpin_prefix one;

	if (ifpin_prefix_parse(word, &one, &err)) {
		complain(p, p->line, "Prefix=: %s", err.text);
		return;
	}
	if (ifp_grow(&f->prefixes, f->n_prefixes, sizeof(*f->prefixes))) {
		p->no_memory = true;
		return;
	}
	f->prefixes[f->n_prefixes++] = one;
}

static void add_ethertype(struct parser *p, const char *word)
{
	struct ifpin_config_fence *f = p->config->fence;
	char *end;
	unsigned long n = strtoul(word, &end, 0);

	if (*word < '0' || *word > '9' || *end || n < 0x600 || n > 0xffff)
		complain(
			p, p->line, "Ethertype=: a number from 0x0600 to 0xffff, not \"%s\"", word);
	else if (f->n_ethertypes == IFPIN_FENCE_MAX_ETHERTYPES)
		complain(p, p->line, "Ethertype=: more than %d", IFPIN_FENCE_MAX_ETHERTYPES);
	else
		f->ethertypes[f->n_ethertypes++] = (uint16_t)n;
}

static const char *each_word(
	struct parser *p, const char *value, void (*add)(struct parser *, const char *))
{
	_cleanup_free_ char *list = strdup(value);
	char *word, *save = NULL;

	p->no_memory |= !list;
	for (word = list ? strtok_r(list, " \t,", &save) : NULL; word;
		word = strtok_r(NULL, " \t,", &save))
		add(p, word);
	return NULL;
}

static const char *set_prefix(struct parser *p, const char *value)
{
	return each_word(p, value, add_prefix);
}

static const char *set_ethertype(struct parser *p, const char *value)
{
	return each_word(p, value, add_ethertype);
}

static const char *set_nat(struct parser *p, const char *value)
{
	static const char *const words[] = {
		[IFPIN_FENCE_NAT_AUTO] = "auto",
		[IFPIN_FENCE_NAT_ON] = "on",
		[IFPIN_FENCE_NAT_OFF] = "off",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(value, words[i])) {
			p->config->fence->nat = (enum ifpin_fence_nat)i;
			return NULL;
		}
	return "must be auto, on or off";
}

/* ---- tables ------------------------------------------------------------------------------- */

struct key {
	const char *name;
	set_fn *set;
	bool often; /* may be there more than once */
};

static const struct key pin_keys[] = {
	{"Device", set_device},
	{"Cgroup", set_cgroup},
	{"Unit", set_unit},
	{"Existing", set_existing},
	{"Loopback", set_loopback},
	{"Dns", set_dns},
	{"Rebind", set_rebind},
	{"Abort", set_abort},
	{},
};

static const struct key run_keys[] = {
	{"AllowGroup", set_groups},
	{"AllowUser", set_users},
	{"Loopback", set_run_loopback},
	{"MaxPerUser", set_per_user},
	{},
};

static const struct key fence_keys[] = {
	{"Device", set_fence_device},
	{"Prefix", set_prefix, true},
	{"Ethertype", set_ethertype, true},
	{"Name", set_fence_name},
	{"Nat", set_nat},
	{},
};

enum { PIN, RUN, FENCE };

static const struct {
	const char *name;
	const struct key *keys;
} sections[] = {
	[PIN] = {"Pin", pin_keys},
	[RUN] = {"Run", run_keys},
	[FENCE] = {"Fence", fence_keys},
};

static int find_section(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (strlen(sections[i].name) == len && !strncmp(sections[i].name, name, len))
			return (int)i;
	return -1;
}

static int on_key(void *ctx, const char *section, const char *name, const char *value)
{
	struct parser *p = ctx;
	int s = find_section(section, strlen(section));
	const char *wrong;
	size_t i;

	if (s < 0) {
		/* A section that nobody knows has been told where it begins. */
		if (!*section)
			complain(p, p->line, "\"%s\" stands before any section", name);
		return 1;
	}
	for (i = 0; sections[s].keys[i].name && strcmp(sections[s].keys[i].name, name) != 0; i++)
		;
	if (!*name || !sections[s].keys[i].name) {
		complain(p, p->line, "no key \"%s\" in section [%s]", name, section);
		return 1;
	}
	if (s == FENCE && !p->config->fence) {
		p->config->fence = calloc(1, sizeof(*p->config->fence));
		p->no_memory |= !p->config->fence;
	}
	if (p->no_memory)
		return 1;
	if (p->seen[s] >> i & 1 && !sections[s].keys[i].often)
		complain(p, p->line, "%s= is there twice", name);
	else if (!*value)
		complain(p, p->line, "%s= has no value", name);
	else if ((wrong = sections[s].keys[i].set(p, value)))
		complain(p, p->line, "%s=%s: %s", name, value, wrong);
	p->seen[s] |= 1ULL << i;
	return 1;
}

/* ---- lines -------------------------------------------------------------------------------- */

/* Length of the character at s in UTF-8, or 0: it is none, or one that controls something. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80			 ? 1
		   : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		   : (s[0] & 0xf0) == 0xe0	 ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						 : 0;

	if (!n || n > left || (n == 1 && (s[0] < 0x20 || s[0] == 0x7f) && s[0] != '\t'))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, halves of a pair, beyond the last one; and C1 controls. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ||
		(s[0] == 0xc2 && s[1] < 0xa0))
		return 0;
	return n;
}

static bool check_bytes(struct parser *p, const char *line, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_length((const unsigned char *)line + i, len - i);
		if (!n) {
			complain(p, p->line,
				line[i] ? "byte %zu is no text in UTF-8, or a control character"
					: "byte %zu is NUL",
				i + 1);
			return false;
		}
	}
	return true;
}

static bool check_section(struct parser *p, const char *line, size_t len)
{
	const char *end = memchr(line, ']', len);
	size_t rest = end ? (size_t)(line + len - end - 1) : 0;
	int s;

	while (end && rest && (end[rest] == ' ' || end[rest] == '\t'))
		rest--;
	if (!end || rest) {
		complain(p, p->line, "a section is written [Name], and nothing behind it");
		return false;
	}
	s = find_section(line + 1, (size_t)(end - line - 1));
	if (s < 0)
		complain(p, p->line, "no section \"%.*s\"", (int)(end - line - 1), line + 1);
	else if (p->section_line[s])
		complain(p, p->line, "section [%s] is there twice (line %u)", sections[s].name,
			p->section_line[s]);
	else
		p->section_line[s] = p->line;
	return true;
}

/* What inih would let pass, or cut off. A line that is wrong is an empty one for it. */
static bool check_line(struct parser *p, const char *line, size_t len, size_t room)
{
	size_t blanks = 0;

	if (len > room) {
		complain(p, p->line, "the line is longer than %zu bytes", room);
		return false;
	}
	if (!check_bytes(p, line, len))
		return false;
	while (blanks < len && (line[blanks] == ' ' || line[blanks] == '\t'))
		blanks++;
	if (blanks == len || line[0] == '#' || line[0] == ';')
		return true;
	if (blanks) {
		complain(p, p->line, "the line begins with a blank; values have one line");
		return false;
	}
	if (line[0] == '[')
		return check_section(p, line, len);
	if (line[0] == '=' || !memchr(line, '=', len)) {
		complain(p, p->line, "neither a [section] nor KEY=VALUE");
		return false;
	}
	return true;
}

/* As fgets(3), for inih. */
static char *next_line(char *buf, int size, void *ctx)
{
	struct parser *p = ctx;
	const char *end = p->left ? memchr(p->text, '\n', p->left) : NULL;
	size_t len = end ? (size_t)(end - p->text) : p->left;
	const char *line = p->text;

	if (!p->left || size < 4)
		return NULL;
	p->line++;
	p->text += end ? len + 1 : len;
	p->left -= end ? len + 1 : len;
	if (len && line[len - 1] == '\r')
		len--;
	if (!check_line(p, line, len, (size_t)size - 3)) {
		p->unreadable = true;
		len = 0;
	}
	memcpy(buf, line, len);
	strcpy(buf + len, "\n");
	return buf;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void check_pin(struct parser *p)
{
	struct ifpin_config *c = p->config;
	unsigned int pin = p->section_line[PIN], run = p->section_line[RUN];

	if (!(p->seen[PIN] & 1))
		complain(p, pin, "Device= is missing");
	if ((p->seen[PIN] & 6) == 6)
		complain(p, pin, "Cgroup= and Unit= exclude each other");
	else if ((p->seen[PIN] & 6) && run)
		complain(p, run, "[Run] is for pins without Cgroup= and Unit=");
	else if (!(p->seen[PIN] & 6) && !run)
		complain(p, pin, "nothing is to be pinned: give Cgroup=, Unit= or a section [Run]");
	if (run && !(p->seen[RUN] & 3))
		complain(p, run, "[Run] lets nobody in: give AllowGroup= or AllowUser=");
	if (run && p->run_loopback_set && c->run_loopback && !c->loopback)
		complain(p, run, "[Run] cannot allow the loopback that [Pin] denies");
	c->pin = true;
	c->run = run != 0;
	c->run_loopback = c->loopback && (c->run_loopback || !p->run_loopback_set);
}

/* What it does not say itself, the pin and the file's name say. */
static void check_fence(struct parser *p)
{
	struct ifpin_config *c = p->config;
	struct ifpin_config_fence *f = c->fence;
	unsigned int line = p->section_line[FENCE];

	if (!(p->seen[FENCE] & 6)) {
		complain(p, line, "nothing is to be fenced: give Prefix= or Ethertype=");
		return;
	}
	if (!(p->seen[FENCE] & 1) && c->device) {
		f->device = strdup(c->device);
		p->no_memory |= !f->device;
	} else if (!(p->seen[FENCE] & 1) && !(p->seen[PIN] & 1)) {
		complain(p, line, "Device= is missing");
	}
	if (p->seen[FENCE] & 8)
		return;
	if (!fence_name_ok(c->name))
		complain(p, line,
			"the file's name cannot be that of a fence (1 to 16 letters, digits, '-' or "
			"'_'): give Name=");
	else
		strcpy(f->name, c->name);
}

static void check_whole(struct parser *p)
{
	bool pin = p->section_line[PIN], fence = p->section_line[FENCE];

	if (!pin && (!fence || p->section_line[RUN])) {
		complain(p, 0, "section [Pin]%s is missing",
			p->section_line[RUN] ? "" : " or [Fence]");
		return;
	}
	if (pin)
		check_pin(p);
#ifndef HAVE_FENCE
	if (fence)
		complain(p, p->section_line[FENCE], "this ifpin was built without fences");
#endif
	if (fence)
		check_fence(p);
}

int ifp_config_parse(const char *text, size_t len, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config *config)
{
	struct parser p = {
		.text = text, .left = len, .config = config, .on_error = on_error, .ctx = ctx};

	config->existing = IFPIN_EXISTING_REFUSE;
	config->loopback = config->guard_resolvers = config->rebind = true;
	config->run_per_user = IFPIN_RUN_PER_USER;
#ifdef HAVE_INI_MAX_LINE
	/* Debian's inih has settings for what is fixed elsewhere, to 200 bytes. */
	ini_use_stack = false;
	ini_initial_alloc = ini_max_line = 2048;
#endif
	/* A line that is neither is told by next_line(); inih has nothing of its own to add. */
	if (ini_parse_stream(next_line, &p, on_key, &p) < 0)
		p.no_memory = true;
	/* What is missing may stand in a line that could not be read. */
	if (!p.no_memory && !p.unreadable)
		check_whole(&p);
	return p.no_memory ? -ENOMEM : p.failed ? -EINVAL : 0;
}

bool ifp_config_name_ok(const char *name, size_t len)
{
	return len && len < IFPIN_PIN_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") >= len &&
	       name[0] != '.' && strncmp(name, "run.", 4) != 0;
}
