"""A seccomp filter as a BPF program: the system calls that are refused to containers.

It takes the place of a container runtime's default profile, and refuses what that one refuses and an unprivileged process could still call:
the kernel's keyrings, which all containers of one user would share, new namespaces, bpf, perf events. A container with
`seccompProfile: {type: Unconfined}` has none; one with the capability SYS_ADMIN may make namespaces and mount.
Sources: seccomp(2), linux/seccomp.h, the kernel's tables of system calls.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from functools import cache
from typing import Final

from meshcourse.engine import binaries

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # words of the machine; each takes one number
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
_NAMESPACES = 0x7E020000
"""Flags of clone that make namespaces."""

Calls = Mapping[str, int]
_NEWER: Final[Calls] = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442}
_CLONE3: Final = 435
_AUDIT: Final = {"amd64": 0xC000003E, "arm64": 0xC00000B7, "386": 0x40000003}
_CLONE: Final = {"amd64": 56, "arm64": 220, "386": 120}
_ALWAYS: Final[Mapping[str, Calls]] = {
    "amd64": {"add_key": 248, "request_key": 249, "keyctl": 250, "perf_event_open": 298, "open_by_handle_at": 304}
    | {"kexec_load": 246, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323},
    "arm64": {"add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241, "open_by_handle_at": 265}
    | {"kexec_load": 104, "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282},
    "386": {"add_key": 286, "request_key": 287, "keyctl": 288, "perf_event_open": 336, "open_by_handle_at": 342}
    | {"kexec_load": 283, "bpf": 357, "userfaultfd": 374},
}
_UNLESS_ADMIN: Final[Mapping[str, Calls]] = {
    "amd64": {"mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, **_NEWER},
    "arm64": {"mount": 40, "umount2": 39, "pivot_root": 41, "unshare": 97, "setns": 268, **_NEWER},
    "386": {"mount": 21, "umount": 22, "umount2": 52, "pivot_root": 217, "unshare": 310, "setns": 346, **_NEWER},
}


@cache
def program(*, admin: bool, machine: str | None = None) -> bytes:
    """The filter for this machine's programs, and on x86 for 32-bit ones too. `admin`: the container has SYS_ADMIN."""
    machine = machine or binaries.architecture()
    words = [_word(_LOAD, _ARCHITECTURE)]
    for each in (machine, "386") if machine == "amd64" else (machine,):
        block = _block(each, admin=admin)
        words += [_word(_EQUAL, _AUDIT[each], otherwise=len(block)), *block]
    return b"".join([*words, _refused(errno.EPERM)])


def _block(machine: str, *, admin: bool) -> list[bytes]:
    """The instructions for one architecture; they always end with a verdict."""
    words = [_word(_LOAD, _NUMBER)]
    if machine == "amd64":
        words += [_word(_AT_LEAST, _X32, otherwise=1), _refused(errno.ENOSYS)]
    for number in (*_ALWAYS[machine].values(), *(() if admin else _UNLESS_ADMIN[machine].values())):
        words += [_word(_EQUAL, number, otherwise=1), _refused(errno.EPERM)]
    if not admin:  # of clone3 the flags are in memory, where a filter cannot look: the C library then calls clone
        words += [_word(_EQUAL, _CLONE3, otherwise=1), _refused(errno.ENOSYS)]
        words += [_word(_EQUAL, _CLONE[machine], otherwise=3), _word(_LOAD, _FIRST_ARGUMENT)]
        words += [_word(_ANY_BIT, _NAMESPACES, otherwise=1), _refused(errno.EPERM)]
    return [*words, _word(_RETURN, _ALLOW)]


def _word(code: int, number: int, otherwise: int = 0) -> bytes:
    """One instruction; `otherwise` is the number of instructions to skip when a comparison fails."""
    return struct.pack("=HBBI", code, 0, otherwise, number)


def _refused(error: int) -> bytes:
    return _word(_RETURN, _REFUSE | error)
