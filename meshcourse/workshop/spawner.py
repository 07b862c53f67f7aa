"""JupyterHub's spawner: each learner's server starts in a sandbox, after its cluster; as many at once as the machine has cores.

The hub's page shows the learner the progress of the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import random_port

import meshcourse
from meshcourse.core import files
from meshcourse.core.errors import CourseError
from meshcourse.course import chapters
from meshcourse.engine import binaries
from meshcourse.workshop import accounts, record, sandbox, singleuser, users

AT_ONCE: Final = max(2, os.cpu_count() or 2)
"""Servers that start at the same time; others wait in a queue."""
POLL: Final = 0.2
_turns = asyncio.Semaphore(AT_ONCE)


def hidden() -> tuple[str, ...]:
    """Folders that no learner sees into: the home of whoever runs the workshop, and the workshop's own."""
    return tuple(sorted({str(Path.home().resolve()), str(record.folder().resolve())}))


def read_only() -> tuple[str, ...]:
    """What every learner reads: Python with the course, the upstream programs, the notebooks."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(meshcourse.__file__).parent, binaries.home(), chapters.folder()}
    found = {each.resolve() for each in folders} | {Path(sys.prefix), Path(meshcourse.__file__).parent}
    return tuple(sorted(str(each) for each in found if each != Path("/usr")))


def prepare(user: users.User, given: str) -> Path:
    """The learner's folder, theirs alone; with a copy of the kubeconfig `given`, where they share a cluster."""
    own = record.home(user.account)
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.geteuid() == 0:
        os.chown(own, sandbox.first_uid(user.number), sandbox.first_uid(user.number))
    if given:
        copy = own / "kubeconfig"
        copy.unlink(missing_ok=True)
        files.replace(copy, Path(given).read_text(encoding="utf-8"))
        if os.geteuid() == 0:
            os.chown(copy, sandbox.first_uid(user.number), sandbox.first_uid(user.number), follow_symlinks=False)
    return own


class ClusterFirst(LocalProcessSpawner):  # type: ignore[misc] # the hub has no types
    """A server whose program prints `singleuser.READY` when the learner's cluster runs."""

    is_queued = False

    async def start(self) -> tuple[str, int]:
        """Returns when the cluster runs and the server is being started. Raises CourseError when it ended."""
        self.is_queued = True
        async with _turns:
            self.is_queued = False
            try:
                self.prepare(record.require())
                log = self._log().open("wb")
            except OSError as error:
                raise CourseError(
                    f"The folder of {self.user.name} cannot be written.", why=str(error), next=f"df -h {record.folder()}"
                ) from error
            with log:
                self.popen_kwargs = {"stdout": log, "stderr": log, "cwd": "/"}
                address: tuple[str, int] = await super().start()
            await self._ready()
        return address

    def prepare(self, workshop: record.Workshop) -> None:
        """Before the start: the learner's folder and the command."""
        raise NotImplementedError

    async def _ready(self) -> None:
        while singleuser.READY not in self._lines():
            if await self.poll() is not None:
                raise CourseError(
                    f"{self.user.name}'s server could not be started.", why="; ".join(self._lines()[-3:]), next=f"less {self._log()}"
                )
            await asyncio.sleep(POLL)

    def _log(self) -> Path:
        folder = record.folder() / "logs"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder / f"{self.user.name}.log"

    def _lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            return self._log().read_text(encoding="utf-8", errors="replace").splitlines()
        return []

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the learner's page shows while they wait."""
        shown, before = 0, ""
        while True:
            lines = [line for line in self._lines() if line.startswith(singleuser.PREFIX)]
            now = "Other learners' servers are started first; this page goes on by itself." if self.is_queued else ""
            for line in lines[shown:]:
                yield {"progress": min(90, 20 + 10 * shown), "message": line.removeprefix(singleuser.PREFIX).strip()[:200]}
                shown += 1
            if now and now != before:
                yield {"progress": 5, "message": now}
            before = now
            await asyncio.sleep(POLL)


class SandboxSpawner(ClusterFirst):
    """For the names and codes of ClassroomAuthenticator."""

    home_dir = ""

    def prepare(self, workshop: record.Workshop) -> None:
        """Write the sandbox's settings. Raises CourseError for somebody who is not on the list."""
        user = users.find((workshop.instructor, *workshop.learners), self.user.name)
        if user is None:
            raise CourseError(f"{self.user.name} is not on this workshop's list.", next="meshcourse workshop up --add NAME")
        own = prepare(user, workshop.kubeconfig)
        self.home_dir = str(own)
        self.port = random_port()
        settings = record.folder() / "sandboxes" / f"{user.account}.json"
        settings.parent.mkdir(exist_ok=True, mode=0o700)
        sandbox.Settings(
            lock_file=str(settings.with_suffix(".lock")),
            own=str(own.resolve()),
            command=tuple(singleuser.command()),
            port=self.port,
            hub_port=workshop.hub_port,
            ids=sandbox.first_uid(user.number),
            hidden=hidden(),
            read_only=read_only(),
            network=workshop.on == record.EMBEDDED,
        ).write(settings)
        self.cmd = [sys.executable, "-m", "meshcourse.workshop.sandbox", str(settings)]

    def make_preexec_fn(self, name: str) -> None:  # noqa: ARG002 - the hub's
        """Nothing: the sandbox changes to the learner's folder."""
        return

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The learner's own folders, and this installation's programs."""
        workshop, own = record.require(), Path(self.home_dir)
        return singleuser.environment(workshop, own, env, account=self.user.name)


class AccountSpawner(ClusterFirst):
    """For accounts of this machine, whose password PAM checks: the server runs as that account, in its home."""

    def prepare(self, workshop: record.Workshop) -> None:
        """Put the account on the board's list, and give it a copy of the shared cluster's kubeconfig."""
        self.cmd = singleuser.command()
        name = self.user.name
        if name != workshop.instructor.account and users.find(workshop.learners, name) is None:
            learner = users.User(len(workshop.learners) + 1, name, name, "")
            record.write(dataclasses.replace(workshop, learners=(*workshop.learners, learner)))
        if workshop.kubeconfig:
            copy = ["install", "-D", "-m", "600", "/dev/stdin", str(accounts.kubeconfig(name))]
            if failed := accounts.run(name, copy, Path(workshop.kubeconfig).read_bytes()):
                raise CourseError(f"{name} could not be given the kubeconfig.", why=failed, next=f"ls -ld ~{name}/.config")

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The account's home, this installation's programs."""
        return accounts.environment(self.user.name, super().user_env(env))

    async def stop(self, *, now: bool = False) -> None:
        """End the account's cluster too."""
        if failed := await asyncio.to_thread(accounts.end_cluster, self.user.name):
            self.log.warning("the cluster of %s: %s", self.user.name, failed)
        await super().stop(now=now)
