// SPDX-License-Identifier: MIT
/* libnftables: text in, JSON out; the nft(8) binary is not needed. */
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

/*
 * It is loaded when a fence is asked for, and stays. The daemon does mostly without
 * it, and it brings six more libraries and 0.8 MiB.
 */
#define LIBRARY "libnftables.so.1"

struct nft {
	struct nft_ctx *ctx;
	struct nft_ctx *(*new)(uint32_t flags);
	void (*free)(struct nft_ctx *ctx);
	int (*buffer_output)(struct nft_ctx *ctx);
	int (*buffer_error)(struct nft_ctx *ctx);
	const char *(*output)(struct nft_ctx *ctx);
	const char *(*error)(struct nft_ctx *ctx);
	void (*set_flags)(struct nft_ctx *ctx, unsigned int flags);
	void (*set_dry)(struct nft_ctx *ctx, bool dry);
	int (*run)(struct nft_ctx *ctx, const char *text);
};

static void end_nft(struct nft *n)
{
	if (n->ctx)
		n->free(n->ctx);
}

static int load(struct nft *n, struct ifpin_error *err)
{
	const struct {
		void **to;
		const char *name;
	} symbols[] = {
		{(void **)&n->new, "nft_ctx_new"},
		{(void **)&n->free, "nft_ctx_free"},
		{(void **)&n->buffer_output, "nft_ctx_buffer_output"},
		{(void **)&n->buffer_error, "nft_ctx_buffer_error"},
		{(void **)&n->output, "nft_ctx_get_output_buffer"},
		{(void **)&n->error, "nft_ctx_get_error_buffer"},
		{(void **)&n->set_flags, "nft_ctx_output_set_flags"},
		{(void **)&n->set_dry, "nft_ctx_set_dry_run"},
		{(void **)&n->run, "nft_run_cmd_from_buffer"},
	};
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	for (size_t i = 0; lib && i < ARRAY_SIZE(symbols); i++) {
		*symbols[i].to = dlsym(lib, symbols[i].name);
		if (!*symbols[i].to)
			lib = NULL;
	}
	return lib ? 0 : ifp_fail(err, -ENOPKG, "fences need " LIBRARY ": %s", dlerror());
}

/* The library returns -1 whatever happened; the errno stands in its text. */
static int code_of(const char *text)
{
	static const int codes[] = {EPERM, ENOENT, EOPNOTSUPP, EAFNOSUPPORT, EPROTONOSUPPORT,
		ENODEV, EBUSY, EEXIST, ENOMEM, ENOBUFS};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strstr(text, strerrordesc_np(codes[i])))
			return codes[i] == EAFNOSUPPORT || codes[i] == EPROTONOSUPPORT ? -EOPNOTSUPP
										       : -codes[i];
	return -EIO;
}

static int begin(struct nft *n, unsigned int flags, struct ifpin_error *err)
{
	int r = load(n, err);

	if (r)
		return r;
	n->ctx = n->new (NFT_CTX_DEFAULT);
	if (!n->ctx || n->buffer_output(n->ctx) || n->buffer_error(n->ctx))
		return ifp_fail(err, -ENOMEM, "cannot start libnftables");
	n->set_flags(n->ctx, flags);
	return 0;
}

static int run(const struct nft *n, const char *text, struct ifpin_error *err)
{
	const char *said;
	int code;

	if (!n->run(n->ctx, text))
		return 0;
	said = n->error(n->ctx);
	code = code_of(said);
	if (!strncmp(said, "internal:0:0-0: ", 16))
		said += 16;
	return ifp_fail(err, code, "nftables: %.*s", (int)strcspn(said, "\n"), said);
}

int ifp_nft_run(const char *text, bool dry, struct ifpin_error *err)
{
	_cleanup_(end_nft) struct nft n = {};
	int r = begin(&n, 0, err);

	if (r)
		return r;
	n.set_dry(n.ctx, dry);
	return run(&n, text, err);
}

int ifp_nft_list(const char *command, json_object **ret, struct ifpin_error *err)
{
	_cleanup_(end_nft) struct nft n = {};
	json_object *root, *array;
	/* Only in whole tables the elements of sets are of interest; reading them takes long. */
	bool whole = !strncmp(command, "list table ", 11);
	int r = begin(&n,
		NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL |
			(whole ? 0 : NFT_CTX_OUTPUT_TERSE),
		err);

	if (!r)
		r = run(&n, command, err);
	if (r)
		return r;
	root = json_tokener_parse(n.output(n.ctx));
	if (!root || !json_object_object_get_ex(root, "nftables", &array)) {
		json_object_put(root);
		return ifp_fail(err, -EIO, "nftables: no list came for \"%s\"", command);
	}
	json_object_get(array);
	json_object_put(root);
	*ret = array;
	return 0;
}

int ifp_nft_text(const char *command, char **ret, struct ifpin_error *err)
{
	_cleanup_(end_nft) struct nft n = {};
	int r = begin(&n, NFT_CTX_OUTPUT_TERSE, err);
	char *text;

	if (!r)
		r = run(&n, command, err);
	if (r)
		return r;
	text = strdup(n.output(n.ctx));
	if (!text)
		return ifp_fail(err, -ENOMEM, "no memory for a list");
	*ret = text;
	return 0;
}

bool ifp_nft_dormant(const char *text)
{
	return strstr(text, "{\n\tflags dormant\n");
}

bool ifp_nft_hooked(const char *text, const char *fence, const char *chain, const char *device)
{
	char what[64];
	const char *table, *end, *line;
	size_t len = strlen(device);

	snprintf(what, sizeof(what), "table netdev " TABLE_PREFIX "%s {", fence);
	table = strstr(text, what);
	end = table ? strstr(table, "\n}") : NULL;
	snprintf(what, sizeof(what), "\tchain %s {\n", chain);
	line = end ? strstr(table, what) : NULL;
	if (!line || line > end)
		return false;
	line += strlen(what);
	end = line + strcspn(line, "\n");
	/* Versions differ in quotes and brackets; a name is what stands between such. */
	for (const char *p = strstr(line, device); p && p < end; p = strstr(p + 1, device))
		if (strchr(" \"", p[-1]) && strchr(" \",", p[len]))
			return true;
	return false;
}

json_object *ifp_nft_of(json_object *item, const char *kind)
{
	json_object *o;

	return json_object_object_get_ex(item, kind, &o) ? o : NULL;
}

const char *ifp_nft_string(json_object *o, const char *key)
{
	json_object *s = ifp_nft_of(o, key);

	return s && json_object_is_type(s, json_type_string) ? json_object_get_string(s) : "";
}

int64_t ifp_nft_int(json_object *o, const char *key)
{
	json_object *n = ifp_nft_of(o, key);

	return n ? json_object_get_int64(n) : 0;
}
