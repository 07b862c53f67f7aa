"""The filter on the real kernel, in a process of the test's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshcourse.node.process import seccomp

PROGRAM = """
import ctypes, os, sys
from meshcourse.node.process import nsenter, seccomp
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(nsenter.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
nsenter._confine(seccomp.program(admin=sys.argv[1] == "admin").hex())
calls = {**seccomp._ALWAYS[seccomp.binaries.architecture()], **seccomp._UNLESS_ADMIN[seccomp.binaries.architecture()]}
libc.syscall.restype = ctypes.c_long
found = []
for name in ("keyctl", "unshare"):
    ctypes.set_errno(0)
    found.append(f"{name} {libc.syscall(calls[name], 0, 0, 0, 0, 0)} {ctypes.get_errno()}")
if os.fork() == 0:
    os._exit(0)
print(*found, os.waitstatus_to_exitcode(os.wait()[1]), sep=", ")
"""


@pytest.mark.parametrize(("who", "said"), [("anybody", "keyctl -1 1, unshare -1 1, 0"), ("admin", "keyctl -1 1, unshare 0 0, 0")])
def test_keyrings_and_namespaces_are_refused_and_programs_run_on(who: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, who], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.strip(), done.returncode) == (said, 0), done.stderr


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_every_comparison_passes_over_whole_instructions(machine: str) -> None:
    rules = seccomp.program(admin=False, machine=machine)
    count = len(rules) // 8
    assert len(rules) % 8 == 0
    assert all(index + 1 + rules[8 * index + 3] < count for index in range(count - 1))
