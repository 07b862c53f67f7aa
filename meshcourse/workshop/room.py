"""A learner's room: namespaces in which their JupyterLab, kernels and cluster run, out of reach of all others. It is a program.

    python -m meshcourse.workshop.room FILE ARGUMENTS        FILE holds a Plan; ARGUMENTS go to the learner's server

Inside, the learner is root over ids of their own (user_namespaces(7)), sees only the folders that the plan keeps and their own processes,
and has a network with nothing in it but two doors: the hub comes in to their server, their server reaches the hub. So everybody's
127.0.0.1:31718 is their own gateway. Everything inside ends with this process.

Started by root, each room has ids that nobody else on the machine has. Started by an ordinary user, all rooms share that user's: what keeps
learners apart is then that they see neither each other's folders nor processes.
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

IDS: Final = 65_537
"""How many ids a room has: root, and 1 to 65,536 for containers."""
FIRST_ID: Final = 0x7000_0000
"""Above the ranges for containers and users, below systemd's foreign ids. Source: https://systemd.io/UIDS-GIDS/"""
PRIVATE: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - it hides the shared ones
LOCAL: Final = "127.0.0.1"
_BIND, _REMOUNT, _READ_ONLY = 4096, 32, 1


@dataclass(frozen=True)
class Plan:
    """What a room is. Folders are absolute; `hidden` ones are empty inside but for those that are `kept` (read-only) and `own`."""

    mark: str
    """A file that is locked while the room stands, and holds its process id."""
    own: str
    command: tuple[str, ...]
    port: int
    """Of the learner's server, on 127.0.0.1 inside and outside."""
    hub_port: int
    ids: int = 0
    """The first of the room's ids, when root makes it."""
    hidden: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    network: bool = True
    """Whether it has a network of its own; a shared cluster is reached by the machine's."""

    @staticmethod
    def read(path: str) -> Plan:
        """What `write` wrote."""
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return Plan(**{**found, "command": tuple(found["command"]), "hidden": tuple(found["hidden"]), "kept": tuple(found["kept"])})

    def write(self, path: Path) -> None:
        """Keep it for `read`."""
        files.replace(path, json.dumps(dataclasses.asdict(self)))


def first_id(number: int) -> int:
    """The first id of the place with that number."""
    return FIRST_ID + number * IDS


def main() -> int:
    """Stand until the learner's server ends, or this process does. Returns the server's exit code."""
    plan = Plan.read(sys.argv[1])
    lock = _claim(Path(plan.mark))
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    ids = plan.ids if os.geteuid() == 0 else 0
    namespaces.become_root()
    door = _listening(plan.port) if plan.network else None
    here, there = socket.socketpair()
    namespaces.call("unshare", namespaces.CLONE_NEWPID)  # the next child's; this process stays where it is
    init = os.fork()
    if init == 0:
        here.close()
        os.close(lock)  # the learner could write another process's id through it
        code = 1
        try:
            code = _inside(plan, there, door)
        except BaseException:  # noqa: BLE001 - for the room's log: it would be lost otherwise
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    there.close()
    if door:
        door.close()
    way = _from_inside(here) if plan.network else None
    if here.recv(1) != b"m":
        os.waitpid(init, 0)
        return 1
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{init}/{name}").write_text(f"0 {ids} {IDS}\n", encoding="ascii")
    here.send(b"m")
    os.chdir("/")

    async def serve() -> int:
        if way:
            await gateway_ports.forward(way, (LOCAL, plan.hub_port))
        return await _ended(init, forward=True)

    return asyncio.run(serve())


def _claim(mark: Path) -> int:
    """The room's lock. A room that was left by a hub that was killed while it started is ended first."""
    for _ in range(100):
        try:
            return files.claim(mark)
        except BlockingIOError:
            end(mark)
            time.sleep(0.1)
    raise SystemExit(f"{mark}: another room of this learner does not end")


def end(mark: Path) -> bool:
    """Kill the room that holds `mark`, with everything inside; whether there was one."""
    if not files.is_locked(mark):
        return False
    with contextlib.suppress(ValueError, OSError):
        os.kill(int(mark.read_text(encoding="ascii")), signal.SIGKILL)
    return True


def _listening(port: int) -> socket.socket:
    door = socket.create_server((LOCAL, port), backlog=1024)
    door.setblocking(False)  # noqa: FBT003 - positional only
    return door


def _from_inside(connection: socket.socket) -> socket.socket:
    """The listening socket that the room made in its own network."""
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


def _inside(plan: Plan, there: socket.socket, door: socket.socket | None) -> int:
    """PID 1 of the room: make what the learner sees, become their root, run their server."""
    namespaces.call("prctl", namespaces.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    flags = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWUTS
    namespaces.call("unshare", flags | (namespaces.CLONE_NEWNET if plan.network else 0))
    _view(plan)
    if plan.network:
        with IPRoute() as route:
            route.link("set", index=route.link_lookup(ifname="lo")[0], state="up")
        way = _listening(plan.hub_port)
        socket.send_fds(there, [b"w"], [way.fileno()])
        way.close()
    namespaces.call("unshare", namespaces.CLONE_NEWUSER)
    there.send(b"m")
    if there.recv(1) != b"m":
        return 1
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    namespaces.call("prctl", namespaces.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # changed ids take it away
    there.close()
    os.chdir(plan.own)
    server = os.fork()
    if server == 0:
        if door:
            door.close()
        os.execvp(plan.command[0], [*plan.command, *sys.argv[2:]])  # noqa: S606 - the plan's program

    async def serve() -> int:
        if door:
            await gateway_ports.forward(door, (LOCAL, plan.port))
        return await _ended(server, forward=True)

    return asyncio.run(serve())


def _view(plan: Plan) -> None:
    """Hide what is hidden, put back what is kept, and show the room's own processes only."""
    namespaces.call("mount", b"none", b"/", None, namespaces.MS_REC | namespaces.MS_PRIVATE, None)
    put_back = [(folder, True) for folder in sorted(plan.kept, key=len)] + [(plan.own, False)]
    opened = [(folder, os.open(folder, os.O_PATH | os.O_DIRECTORY), read_only) for folder, read_only in put_back]
    for folder in sorted({*PRIVATE, *plan.hidden}, key=len):
        if Path(folder).is_dir():
            mode = b"mode=1777" if folder in PRIVATE and folder != "/run" else b"mode=755"
            namespaces.call("mount", b"tmpfs", folder.encode(), b"tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV, mode)
    for folder, descriptor, read_only in opened:
        if any(Path(folder).is_relative_to(each) for each in (*PRIVATE, *plan.hidden)):
            Path(folder).mkdir(parents=True, exist_ok=True)
            namespaces.call("mount", f"/proc/self/fd/{descriptor}".encode(), folder.encode(), None, _BIND, None)
            if read_only:
                kept = os.statvfs(folder).f_flag & (namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC)  # may be locked
                namespaces.call("mount", None, folder.encode(), None, _BIND | _REMOUNT | _READ_ONLY | kept, None)
        os.close(descriptor)
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC
    namespaces.call("mount", b"proc", b"/proc", b"proc", quiet, None)


if __name__ == "__main__":
    sys.exit(main())
