// SPDX-License-Identifier: MIT
#include "pin.h"

#include "device/device.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

/* ---- what it is made of ---- */

static bool is_wire(const char *name)
{
	static const char *const wires[] = {"macvtap", "ipvtap", "vfio", "vhost", "uio", "ppp",
		"infiniband", "isdn", "capi", "bsg", "usb_device", "usbmisc"};

	for (size_t i = 0; i < ARRAY_SIZE(wires); i++)
		if (!strncmp(name, wires[i], strlen(wires[i])))
			return true;
	return false;
}

/* Numbers that the kernel gives out as drivers are loaded: Documentation/admin-guide/devices.txt.
 */
static bool is_dynamic(unsigned int major)
{
	return (major >= 234 && major <= 254) || major >= 384;
}

/*
 * Character devices that put frames on a wire go by name where their number is given out. What is
 * not loaded yet could be anything, so of those numbers only the ones in harmless use are allowed.
 */
static int find_majors(struct ifpin_pin *pin)
{
	static const unsigned int wires[] = {108 /* ppp */, 189 /* usb */, 231 /* infiniband */};
	_cleanup_fclose_ FILE *f = fopen("/proc/devices", "re");
	char line[128], name[64];
	unsigned int major;

	if (!f)
		return -errno;
	for (major = 0; major < IFPIN_MAJORS; major++)
		if (!is_dynamic(major))
			pin->allowed_majors[major / 64] |= 1ULL << major % 64;
	while (fgets(line, sizeof(line), f) && strncmp(line, "Block", 5) != 0) {
		if (sscanf(line, "%u %63s", &major, name) != 2 || major >= IFPIN_MAJORS)
			continue;
		if (is_wire(name))
			pin->allowed_majors[major / 64] &= ~(1ULL << major % 64);
		else
			pin->allowed_majors[major / 64] |= 1ULL << major % 64;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wires); i++)
		pin->allowed_majors[wires[i] / 64] &= ~(1ULL << wires[i] % 64);
	return 0;
}

int ifp_pin_prepare(
	bool loopback, bool guard_resolvers, struct ifpin_pin *ret, struct ifpin_error *err)
{
	struct ifpin_pin pin = {.loopback = loopback, .guard_resolvers = guard_resolvers};
	int r = find_majors(&pin);

	if (r)
		return ifp_fail_errno(err, r, "cannot read /proc/devices");
	*ret = pin;
	return 0;
}

void ifp_pin_name(struct ifpin_pin *pin, const char *name)
{
	size_t len = strlen(name);

	memset(pin->name, 0, sizeof(pin->name));
	memset(pin->mask, 0, sizeof(pin->mask));
	memset(pin->mask_nul, 0, sizeof(pin->mask_nul));
	memcpy(pin->name, name, len);
	memset(pin->mask, 0xff, len);
	memset(pin->mask_nul, 0xff, len + 1);
	pin->name_len = (uint32_t)len;
}

/* ---- in the maps of the set ---- */

/* Positive, for it is asked for as the number of an option. Return: 0; -errno. */
static int make_key(uint32_t *ret)
{
	do
		if (getrandom(ret, sizeof(*ret), 0) != sizeof(*ret))
			return -errno;
	while (!(*ret &= INT32_MAX));
	return 0;
}

int ifp_set_add(const struct ifp_set *set, struct ifpin_pin *pin)
{
	const struct ifpin_denials none = {};
	uint32_t id;
	int r;

	do {
		r = make_key(&id);
		if (!r && bpf_map_update_elem(set->denied, &id, &none, BPF_NOEXIST))
			r = -errno;
	} while (r == -EEXIST);
	if (!r)
		pin->id = id;
	return r;
}

static void take_out(const struct ifp_set *set, uint32_t key)
{
	if (!key)
		return;
	bpf_map_delete_elem(set->packets, &key);
	bpf_map_delete_elem(set->options, &key);
}

void ifp_set_forget(const struct ifp_set *set, const struct ifpin_pin *pin)
{
	take_out(set, pin->held);
	bpf_map_delete_elem(set->denied, &pin->id);
}

static int put_in(const struct ifp_set *set, uint32_t ifindex, uint32_t *ret_key)
{
	uint32_t key;
	int r;

	do {
		r = make_key(&key);
		if (!r && bpf_map_update_elem(set->packets, &key, &ifindex, BPF_NOEXIST))
			r = -errno;
	} while (r == -EEXIST);
	if (!r && bpf_map_update_elem(set->options, &key, &ifindex, BPF_ANY)) {
		r = -errno;
		take_out(set, key);
	}
	if (!r)
		*ret_key = key;
	return r;
}

int ifp_set_hold(const struct ifp_set *set, struct ifpin_pin *pin, const struct ifpin_device *d)
{
	struct ifpin_device now;
	uint32_t key = 0;
	int r;

	pin->held = 0;
	r = put_in(set, d->ifindex, &key);
	/* From here on the entries are of one device until it is deleted. Is it the one? */
	if (!r)
		r = ifp_device_by_index(d->ifindex, &now);
	if (!r && !ifp_device_same(d, &now))
		r = -ESTALE;
	if (r) {
		take_out(set, key);
		return r;
	}
	pin->ifindex = d->ifindex;
	pin->held = key;
	return 0;
}

int ifp_set_held(const struct ifp_set *set, const struct ifpin_pin *pin, uint32_t *ret_ifindex)
{
	if (!bpf_map_lookup_elem(set->packets, &pin->held, ret_ifindex))
		return 0;
	*ret_ifindex = 0;
	return errno == ENOENT ? 0 : -errno;
}

/* ---- one that is in force ---- */

int ifp_pin_read(const struct ifp_pin *p, struct ifpin_pin *ret)
{
	struct ifpin_pin pin;

	if (!p->set)
		return -ENOENT;
	if (bpf_map_lookup_elem(p->set->pins, &p->cgroup_id, &pin))
		return -errno;
	if (pin.id != p->id)
		return -ENOENT;
	*ret = pin;
	return 0;
}

int ifp_pin_write(const struct ifp_pin *p, const struct ifpin_pin *value)
{
	return bpf_map_update_elem(p->set->pins, &p->cgroup_id, value, BPF_EXIST) ? -errno : 0;
}

static int lock(const struct ifp_set *set, int how)
{
	while (set->lock >= 0 && flock(set->lock, how))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int ifp_pin_begin(const struct ifp_pin *p, struct ifpin_pin *ret)
{
	int r = p->set ? lock(p->set, LOCK_EX) : -ENOENT;

	if (r)
		return r;
	r = ifp_pin_read(p, ret);
	if (r)
		lock(p->set, LOCK_UN);
	return r;
}

int ifp_pin_end(const struct ifp_pin *p, const struct ifpin_pin *value)
{
	int r = value ? ifp_pin_write(p, value) : 0;

	lock(p->set, LOCK_UN);
	return r;
}

/*
 * The programs look at the new key once the whole value is there, and those that run meanwhile at
 * the old one, under which nothing is put again. So there is no moment at which an index counts
 * that has not been looked at.
 */
int ifp_pin_hold(const struct ifp_pin *p, const struct ifpin_device *d)
{
	struct ifpin_pin pin;
	int r = ifp_pin_begin(p, &pin), written;
	uint32_t old;

	if (r)
		return r;
	old = pin.held;
	r = ifp_set_hold(p->set, &pin, d);
	/* What was known of the device is so no more; whoever follows it tells. */
	ifp_pin_name(&pin, r ? "" : d->name);
	pin.device_ip4 = 0;
	pin.routes_agree[0] = pin.routes_agree[1] = 0;
	written = ifp_pin_write(p, &pin);
	take_out(p->set, written ? pin.held : old);
	ifp_pin_end(p, NULL);
	return r ?: written;
}

/* Return: 0; -ENOENT: there are none; -errno. */
static int clear_passes(const struct ifp_pin *p)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct ifpin_passes *none =
		calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*none));

	if (cpus < 0 || !none)
		return -ENOMEM;
	return bpf_map_update_elem(p->set->passed, &p->cgroup_id, none, BPF_EXIST) ? -errno : 0;
}

int ifp_pin_claim(const struct ifp_pin *p, const struct ifpin_pin *value)
{
	int r = lock(p->set, LOCK_EX);

	if (r)
		return r;
	r = ifp_pin_write(p, value);
	r = r ?: clear_passes(p);
	lock(p->set, LOCK_UN);
	return r == -ENOENT ? 0 : r;
}

int ifp_pin_disarm(const struct ifp_pin *p, struct ifpin_pin *ret)
{
	struct ifpin_pin pin;
	int r = ifp_pin_begin(p, &pin);

	if (r)
		return r;
	pin.armed = 0;
	r = ifp_pin_end(p, &pin);
	if (!r)
		*ret = pin;
	return r;
}
