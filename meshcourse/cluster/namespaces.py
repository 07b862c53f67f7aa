"""The namespaces of a cluster, and the three processes that hold them.

    guard   stays outside, waits; its death kills init (PR_SET_PDEATHSIG)
    init    PID 1 inside: reaps orphans; its death, by any signal, makes the kernel kill every process inside
    node    the program itself; when it ends, init ends

So no process can be left behind, and nothing needs cleaning up: mounts, veth pairs and namespaces end with the last process.
Sources: pid_namespaces(7), user_namespaces(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from meshcourse.core.errors import ClusterError, MissingPrerequisite

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of libc that returns 0, or raise the OSError of its errno."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def subordinate_ids(text: str, user: str, uid: int) -> tuple[int, int] | None:
    """The first range of at least 65,536 ids that /etc/subuid (or subgid) `text` gives `user`: (start, count).

    >>> subordinate_ids("ada:100000:65536", "ada", 1000)
    (100000, 65536)
    """
    for line in text.splitlines():
        name, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if name in {user, str(uid)} and start.isdigit() and count.isdigit() and int(count) >= 65_536:  # noqa: PLR2004
            return int(start), int(count)
    return None


def become_root() -> None:
    """Enter a user namespace whose root is this user and whose ids 1 to 65,536 are the user's subordinate ids; for root do nothing.

    Call it in a process with one thread. Raises MissingPrerequisite without user namespaces, subordinate ids or newuidmap.
    """
    if os.geteuid() == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    try:
        user = pwd.getpwuid(uid).pw_name  # not $USER: a workshop's learner has a name of their own there
    except KeyError:
        user = str(uid)
    maps: list[list[str]] = []
    for program, file, own in (("newuidmap", "/etc/subuid", uid), ("newgidmap", "/etc/subgid", gid)):
        ids = subordinate_ids(Path(file).read_text(encoding="utf-8") if Path(file).exists() else "", user, uid)
        if ids is None:
            raise MissingPrerequisite(
                f"{user} has no subordinate ids in {file}.",
                why="Istio's proxy runs as uid 1337, which must exist in the cluster's user namespace.",
                next=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
        maps.append([program, str(os.getpid()), "0", str(own), "1", "1", str(ids[0]), "65536"])
    ready, ready_end = os.pipe()
    done, done_end = os.pipe()
    helper = os.fork()
    if helper == 0:
        _map_ids(maps, ready, ready_end, done_end)
    try:
        call("unshare", CLONE_NEWUSER)
    except OSError as error:
        os.kill(helper, signal.SIGKILL)
        raise MissingPrerequisite(
            "This kernel does not let an ordinary user make user namespaces.", why=str(error), next="meshcourse doctor"
        ) from error
    finally:
        os.close(ready_end)
        os.close(done_end)
    refusal = b""
    while chunk := os.read(done, 4096):
        refusal += chunk
    os.waitpid(helper, 0)
    os.close(ready)
    os.close(done)
    if refusal:
        raise MissingPrerequisite(
            "The user's subordinate ids could not be mapped.", why=refusal.decode(errors="replace").strip(), next="sudo apt install uidmap"
        )
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _map_ids(maps: list[list[str]], ready: int, ready_end: int, done_end: int) -> None:
    """In the helper: wait until the parent has its namespace, then map; errors are written to the parent."""
    os.close(ready_end)
    os.read(ready, 1)
    for words in maps:
        try:
            result = subprocess.run(words, check=False, capture_output=True)
            message = b"" if result.returncode == 0 else result.stderr or b"failed: " + words[0].encode()
        except OSError as error:
            message = str(error).encode()
        if message:
            os.write(done_end, message)
            break
    os._exit(0)


def enter(node: Callable[[], int], outside: Callable[[], None] = lambda: None) -> int:
    """Make the namespaces, run `node` in them and return its exit code.

    Call it in a process with one thread. `node` runs as PID 2 with a fresh /proc and an empty /run. `outside` is called first, as root but
    in the host's network. Raises as `become_root`, and ClusterError when the kernel refuses another namespace.
    """
    become_root()
    outside()
    try:
        call("unshare", CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
    except OSError as error:
        raise ClusterError("The cluster's namespaces could not be made.", why=str(error), next="meshcourse doctor") from error
    # A pipe whose write end only the guard keeps: its end of file tells init that the guard died before prctl was set.
    alive, alive_end = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(alive_end)
        os._exit(_init(node, alive))
    os.close(alive)
    _forward_signals_to(init)
    code = _wait_for(init)
    os.close(alive_end)
    return code


def _forward_signals_to(pid: int) -> None:
    def forward(number: int, _frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)


def _wait_for(pid: int) -> int:
    while True:
        found, status = os.wait()
        if found == pid:
            return os.waitstatus_to_exitcode(status)


def _init(node: Callable[[], int], alive: int) -> int:
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.set_blocking(alive, False)
    try:
        if os.read(alive, 1) == b"":
            return 1
    except BlockingIOError:
        pass
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    call("mount", b"tmpfs", b"/run", b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=755")
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        code = 1
        try:
            code = node()
        except BaseException:  # noqa: BLE001 - for the daemon's log: it would be lost otherwise
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _forward_signals_to(child)
    return _wait_for(child)
