"""A learner's sandbox: Linux namespaces in which their JupyterLab, kernels and cluster run, isolated from other learners. It is a program.

    python -m meshcourse.workshop.sandbox FILE ARGUMENTS        FILE holds Settings; ARGUMENTS go to the learner's server

Inside, the learner is root in a user namespace of their own (user_namespaces(7)), and sees only the folders that the settings name and
their own processes. The network holds two forwarded ports and nothing else: the hub reaches their server, their server reaches the hub's
API. So every learner's 127.0.0.1:31718 is their own gateway. Everything inside ends with this process.

Started by root, each sandbox has user ids that nobody else on the machine has. Started by an ordinary user, all sandboxes run under that
user's id: learners are then isolated only because they see neither each other's folders nor processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute

from meshcourse.cluster import gateway_ports, namespaces
from meshcourse.core import files
from meshcourse.workshop import limits

IDS: Final = 65_537
"""User ids of a sandbox: root, and 1 to 65,536 for containers."""
FIRST_UID: Final = 0x7000_0000
"""Above the ranges for containers and users, below systemd's foreign ids. Source: https://systemd.io/UIDS-GIDS/"""
PRIVATE: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - it hides the shared ones
LOCAL: Final = "127.0.0.1"
_BIND, _REMOUNT, _READ_ONLY = 4096, 32, 1


@dataclass(frozen=True)
class Settings:
    """One sandbox. Folders are absolute. `hidden` ones are empty inside, except for `read_only` ones and `own`."""

    lock_file: str
    """It is locked while the sandbox runs, and holds its process id."""
    own: str
    command: tuple[str, ...]
    port: int
    """Of the learner's server, on 127.0.0.1 inside and outside."""
    hub_port: int
    ids: int = 0
    """The first of its user ids, when root starts it."""
    hidden: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    network: bool = True
    """Whether it has a network namespace of its own; a shared cluster is reached over the machine's network."""

    @staticmethod
    def read(path: str) -> Settings:
        """What `write` wrote."""
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return Settings(**found | {name: tuple(found[name]) for name in ("command", "hidden", "read_only")})

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        files.replace(path, json.dumps(dataclasses.asdict(self)))


def first_uid(number: int) -> int:
    """The first user id of the user with that number."""
    return FIRST_UID + number * IDS


def main() -> int:
    """Run until the learner's server ends. Returns its exit code."""
    settings = Settings.read(sys.argv[1])
    lock = _claim(Path(settings.lock_file))
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    ids = settings.ids if os.geteuid() == 0 else 0
    namespaces.become_root()
    listener = _listening(settings.port) if settings.network else None
    outside, inside = socket.socketpair()
    namespaces.call("unshare", namespaces.CLONE_NEWPID)  # the next child's; this process stays where it is
    init = os.fork()
    if init == 0:
        outside.close()
        os.close(lock)  # the learner could write another process's id through it
        code = 1
        try:
            code = _inside(settings, inside, listener)
        except BaseException:  # noqa: BLE001 - for the log: it would be lost otherwise
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    inside.close()
    if listener:
        listener.close()
    hub_listener = _from_inside(outside) if settings.network else None
    if outside.recv(1) != b"m":
        os.waitpid(init, 0)
        return 1
    for name in ("uid_map", "gid_map"):  # in two lines, as become_root makes them: a line may not span two of the outer map
        Path(f"/proc/{init}/{name}").write_text(f"0 {ids} 1\n1 {ids + 1} {IDS - 1}\n", encoding="ascii")
    outside.send(b"m")
    os.chdir("/")

    async def serve() -> int:
        if hub_listener:
            await gateway_ports.forward(hub_listener, (LOCAL, settings.hub_port))
        return await _ended(init, forward=True)

    return asyncio.run(serve())


def _claim(lock_file: Path) -> int:
    """The sandbox's lock. One that was left by a hub that was killed while it started is ended first."""
    for _ in range(100):
        try:
            return files.claim(lock_file)
        except BlockingIOError:
            end(lock_file)
            time.sleep(0.1)
    raise SystemExit(f"{lock_file}: another sandbox of this learner does not end")


def end(lock_file: Path) -> bool:
    """Kill the sandbox that holds `lock_file`, with everything inside; whether there was one."""
    if not files.is_locked(lock_file):
        return False
    with contextlib.suppress(ValueError, OSError):
        os.kill(int(lock_file.read_text(encoding="ascii")), signal.SIGKILL)
    return True


def _listening(port: int) -> socket.socket:
    listener = socket.create_server((LOCAL, port), backlog=1024)
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener


def _from_inside(connection: socket.socket) -> socket.socket:
    """The listening socket that was opened inside the sandbox's network."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    found = socket.socket(fileno=descriptors[0])
    found.setblocking(False)  # noqa: FBT003 - positional only
    return found


async def _ended(pid: int, *, forward: bool) -> int:
    """The exit code of child `pid`; meanwhile other orphans are reaped, and signals that ask to stop are passed on."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    code = 1

    def reap() -> None:
        nonlocal code
        with contextlib.suppress(ChildProcessError):
            while found := os.waitpid(-1, os.WNOHANG):
                if found[0] == 0:
                    return
                if found[0] == pid:
                    code = os.waitstatus_to_exitcode(found[1])
                    ended.set()

    def pass_on(number: int) -> Callable[[], None]:
        def send() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

        return send

    loop.add_signal_handler(signal.SIGCHLD, reap)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if forward else ():
        loop.add_signal_handler(number, pass_on(number))
    reap()
    await ended.wait()
    return code if code >= 0 else 128 - code


def _inside(settings: Settings, inside: socket.socket, listener: socket.socket | None) -> int:
    """PID 1 of the sandbox: set up mounts, network and user namespace, run the learner's server."""
    namespaces.call("prctl", namespaces.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limits.end_first_when_memory_is_full()
    flags = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWUTS
    namespaces.call("unshare", flags | (namespaces.CLONE_NEWNET if settings.network else 0))
    _mount(settings)
    if settings.network:
        with IPRoute() as route:
            route.link("set", index=route.link_lookup(ifname="lo")[0], state="up")
        hub_listener = _listening(settings.hub_port)
        socket.send_fds(inside, [b"w"], [hub_listener.fileno()])
        hub_listener.close()
    namespaces.call("unshare", namespaces.CLONE_NEWUSER)
    inside.send(b"m")
    if inside.recv(1) != b"m":
        return 1
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    namespaces.call("prctl", namespaces.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # changed ids take it away
    inside.close()
    limits.apply()
    os.chdir(settings.own)
    server = os.fork()
    if server == 0:
        if listener:
            listener.close()
        os.execvp(settings.command[0], [*settings.command, *sys.argv[2:]])  # noqa: S606 - the settings' program

    async def serve() -> int:
        if listener:
            await gateway_ports.forward(listener, (LOCAL, settings.port))
        return await _ended(server, forward=True)

    return asyncio.run(serve())


def _mount(settings: Settings) -> None:
    """Mount empty folders over the hidden ones, the read-only ones and the learner's own again, and a /proc of its own processes."""
    namespaces.call("mount", b"none", b"/", None, namespaces.MS_REC | namespaces.MS_PRIVATE, None)
    mounts = [(folder, True) for folder in sorted(settings.read_only, key=len)] + [(settings.own, False)]
    opened = [(folder, os.open(folder, os.O_PATH | os.O_DIRECTORY), is_read_only) for folder, is_read_only in mounts]
    for folder in sorted({*PRIVATE, *settings.hidden}, key=len):
        if Path(folder).is_dir():
            mode = b"mode=1777" if folder in PRIVATE and folder != "/run" else b"mode=755"
            namespaces.call("mount", b"tmpfs", folder.encode(), b"tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV, mode)
    for folder, descriptor, is_read_only in opened:
        if any(Path(folder).is_relative_to(each) for each in (*PRIVATE, *settings.hidden)):
            Path(folder).mkdir(parents=True, exist_ok=True)
            namespaces.call("mount", f"/proc/self/fd/{descriptor}".encode(), folder.encode(), None, _BIND, None)
            if is_read_only:
                flags = os.statvfs(folder).f_flag & (namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC)  # may be locked
                namespaces.call("mount", None, folder.encode(), None, _BIND | _REMOUNT | _READ_ONLY | flags, None)
        os.close(descriptor)
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC
    namespaces.call("mount", b"proc", b"/proc", b"proc", quiet, None)


if __name__ == "__main__":
    sys.exit(main())
