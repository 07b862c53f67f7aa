"""Entering a container: `python -I -S nsenter.py REAPER PID UID GID GROUPS CAPABILITIES SECCOMP VARIABLES HINT ENTRIES -- COMMAND`.

All rights are given up here, in a program of the host that is already loaded, before the first instruction of the container's files runs.
nsenter would have to start setpriv from inside, which a pulled image may lack and a container of any image may have replaced. It imports
nothing of ours.
SECCOMP is a filter in hexadecimal digits (seccomp.py), or empty; ENTRIES are files that take the command into its control group.
Sources: setns(2), capabilities(7), prctl(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe imports it, when the host's files are no longer there

KINDS = ("ipc", "uts", "net", "pid", "mnt")
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
# In the order of their numbers. Source: linux/capability.h.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE"),
    *("NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT"),
    *("SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE"),
    *("AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ"),
    *("PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)
NEVER = "MKNOD"
"""Who may make device files reads the machine's disks, when the cluster was started by root."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _join(reaper: str, pid: str) -> None:
    """Enter the namespaces, with the main process's root and working directory."""
    namespaces = [os.open(f"/proc/{reaper}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in KINDS]
    where = os.open(f"/proc/{pid}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for namespace in namespaces:
        _call("setns", namespace, 0)
    os.fchdir(where)


def _drop(uid: str, gid: str, groups: str, capabilities: str) -> None:
    """Become the container's user; other capabilities than these can never be regained."""
    kept = capabilities.split(",")
    number = 0
    while _libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        name = CAPABILITIES[number] if number < len(CAPABILITIES) else ""
        if name == NEVER or ("ALL" not in kept and name not in kept):
            _call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


class _Filter(ctypes.Structure):
    """As the kernel's struct sock_fprog has it."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _confine(digits: str) -> None:
    """Load the filter; each instruction has eight bytes."""
    if digits:
        rules = bytes.fromhex(digits)
        loaded = _Filter(len(rules) // 8, rules)
        if _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"seccomp: {os.strerror(number)}")


def main(words: list[str]) -> int:
    """Enter, run the command as a child (a PID namespace holds children only), and wait for its end."""
    reaper, pid, uid, gid, groups, capabilities, filtering, variables, absent, entries, _, *command = words
    environment = json.loads(variables)
    opened = [os.open(each, os.O_WRONLY | os.O_CLOEXEC) for each in entries.split()]  # here: the container does not see them
    _join(reaper, pid)
    child = os.fork()
    if child:
        for number in (signal.SIGINT, signal.SIGQUIT):  # from a terminal: they are meant for the command
            signal.signal(number, signal.SIG_IGN)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code if code >= 0 else 128 - code
    code = NOT_EXECUTABLE
    try:
        for entry in opened:
            os.write(entry, b"0")
        _drop(uid, gid, groups, capabilities)
        _confine(filtering)
        os.execvpe(command[0], command, environment)  # noqa: S606 - a list of words, no shell
    except OSError as error:
        hint = f" {absent}" if absent and isinstance(error, FileNotFoundError) else ""
        sys.stderr.write(f'exec: "{command[0]}": {error.strerror}{hint}\n')
        sys.stderr.flush()
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
