#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Becomes a command with what Docker leaves a container by default: container.py COMMAND [ARG...]

The capabilities are those of Docker's documentation ("Runtime privilege and Linux capabilities"),
the system call filter is what its default profile refuses to who has no CAP_SYS_ADMIN.
"""
import ctypes
import errno
import os
import sys

PR_CAPBSET_DROP = 24
LAST_CAPABILITY = 40
# chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
# mknod audit_write setfcap
KEPT = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
REFUSED = ("bpf", "mount", "umount2", "unshare", "setns", "perf_event_open", "fanotify_init",
           "quotactl", "sethostname", "setdomainname", "syslog", "lookup_dcookie", "userfaultfd",
           "open_by_handle_at", "fsopen", "fsmount", "fsconfig", "fspick", "move_mount",
           "open_tree", "mount_setattr", "keyctl", "add_key", "request_key", "kexec_load",
           "init_module", "finit_module", "delete_module", "io_uring_setup", "io_uring_enter",
           "io_uring_register", "pivot_root", "swapon", "swapoff", "reboot", "acct",
           "clock_settime", "settimeofday", "iopl", "ioperm")
NEW_NAMESPACES = 0x7e020000
SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7fff0000, 0x00050000
SCMP_CMP_MASKED_EQ = 7


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


def refuse(lib, context, name, error, *compares):
    number = lib.seccomp_syscall_resolve_name(name.encode())
    array = (Compare * len(compares))(*compares)
    if lib.seccomp_rule_add_array(context, SCMP_ACT_ERRNO | error, number, len(compares), array):
        sys.exit(f"seccomp: {name}")


def set_filter():
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                           ctypes.c_uint, ctypes.c_void_p]
    context = lib.seccomp_init(SCMP_ACT_ALLOW)
    for name in REFUSED:
        refuse(lib, context, name, errno.EPERM)
    refuse(lib, context, "clone3", errno.ENOSYS)
    for bit in range(32):
        if NEW_NAMESPACES >> bit & 1:
            refuse(lib, context, "clone", errno.EPERM,
                   Compare(0, SCMP_CMP_MASKED_EQ, 1 << bit, 1 << bit))
    if lib.seccomp_load(context):
        sys.exit("seccomp: the filter is not loaded")


def main():
    libc = ctypes.CDLL(None)
    for capability in range(LAST_CAPABILITY + 1):
        if capability not in KEPT:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    set_filter()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
