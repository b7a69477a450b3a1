"""The system calls that a sandbox denies.

Namespaces leave some ways out: sockets of families that no network namespace covers (vsock reaches
the hypervisor), inherited keyrings, the kernel's log, io_uring, which opens sockets that no filter
sees, and user namespaces, which allow mounting again.
"""

import errno
import struct
from collections.abc import Iterator

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X86_64 = 0xC000003E
_X32 = 0x40000000
_ALLOW = 0x7FFF0000
_FAIL = 0x00050000

_CLONE, _CLONE3, _SOCKET = 56, 435, 41
_NEW_NAMESPACES = 0x7E020000
_FAMILIES = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16}

DENIED = {
    "syslog": 103,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "setns": 308,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
}
"""Denied with EPERM; numbers on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""

_Instruction = tuple[int, int, int, int]


def program() -> bytes:
    """The filter as classic BPF: an array of ``struct sock_filter`` (linux/filter.h).

    ``clone3`` passes its flags by pointer, so it is denied with ENOSYS, upon which libraries fall
    back to ``clone``. All 32-bit and x32 calls are denied.
    """
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in _instructions())


def _instructions() -> Iterator[_Instruction]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, _X86_64
    yield _RETURN, 0, 0, _FAIL | errno.EPERM
    yield _LOAD, 0, 0, _NUMBER
    yield from _where(_AT_LEAST, _X32, _FAIL | errno.EPERM)
    for number in DENIED.values():
        yield from _where(_EQUAL, number, _FAIL | errno.EPERM)
    yield from _where(_EQUAL, _CLONE3, _FAIL | errno.ENOSYS)
    yield from _inside(
        _CLONE, [*_where(_ANY_BIT, _NEW_NAMESPACES, _FAIL | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    )
    families = [step for family in _FAMILIES.values() for step in _where(_EQUAL, family, _ALLOW)]
    yield from _inside(_SOCKET, [*families, (_RETURN, 0, 0, _FAIL | errno.EAFNOSUPPORT)])
    yield _RETURN, 0, 0, _ALLOW


def _where(test: int, value: int, answer: int) -> list[_Instruction]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, answer)]


def _inside(number: int, body: list[_Instruction]) -> list[_Instruction]:
    return [(_EQUAL, 0, 1 + len(body), number), (_LOAD, 0, 0, _FIRST_ARGUMENT), *body]
