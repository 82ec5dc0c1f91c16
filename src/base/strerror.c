// SPDX-License-Identifier: MIT
/* The sentences of ifpin_strerror(). */
#include "base.h"

#include <errno.h>
#include <string.h>

static const struct {
	int code;
	const char *text;
} meanings[] = {
	{EINVAL, "An argument, option or name is malformed."},
	{E2BIG, "The option struct is of a later version and uses what this library does not have."},
	{ENODEV, "There is no such interface, or it was deleted."},
	{ENOTUNIQ, "Several interfaces have this MAC address."},
	{ESTALE, "It is not the interface any more that was looked up; look it up again."},
	{EXDEV, "This names another interface, or is of another network namespace, than the pin."},
	{EPERM, "A privilege is missing; the message says which."},
	{EADDRNOTAVAIL, "The address is not one of the interface's own."},
	{EAFNOSUPPORT, "Only IPv4 and IPv6 sockets can be held to an interface."},
	{EPROTONOSUPPORT, "This protocol can use other interfaces of its own accord."},
	{EOPNOTSUPP, "This cannot be done without letting packets leave elsewhere meanwhile."},
	{ENOTCONN, "The connection was lost with its interface; open a new one."},
	{ENOBUFS, "Messages of the kernel were lost."},
	{EAGAIN, "The kernel's tables changed faster than they could be read; try again."},
	{ENOENT, "The name has no address."},
	{EREMOTEIO, "The name servers refuse to answer, cannot be reached, or answer nonsense."},
	{ENODATA, "No name server can be asked through this interface."},
	{ETIMEDOUT, "The time was over before it was done."},
	{ECANCELED, "It was cancelled."},
	{EBADMSG, "A message of the kernel, or a control message, is malformed."},
};

const char *ifpin_strerror(int code)
{
	const char *text;

	if (!code)
		return "Success";
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (meanings[i].code == -code)
			return meanings[i].text;
	text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
	return text ?: "Unknown error";
}

const char *ifpin_version(void)
{
	return IFPIN_VERSION;
}
