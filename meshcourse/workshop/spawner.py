"""How the hub starts a learner's server: in a room of its own, as many at once as the machine has cores, its cluster first.

The learner sees on the hub's page what their place waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from jupyterhub.spawner import SimpleLocalProcessSpawner
from jupyterhub.utils import random_port

import meshcourse
from meshcourse.core import files
from meshcourse.core.errors import CourseError
from meshcourse.course import chapters
from meshcourse.engine import binaries
from meshcourse.workshop import places, record, room, seat

AT_ONCE: Final = max(2, os.cpu_count() or 2)
"""Places that start at the same time; others wait for their turn."""
LOOK: Final = 0.2
_turns = asyncio.Semaphore(AT_ONCE)


def hidden() -> tuple[str, ...]:
    """Folders that no learner sees into: the home of whoever runs the workshop, and the workshop's own."""
    return tuple(sorted({str(Path.home().resolve()), str(record.folder().resolve())}))


def kept() -> tuple[str, ...]:
    """What every learner reads: Python with the course, the upstream programs, the notebooks."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(meshcourse.__file__).parent, binaries.home(), chapters.folder()}
    found = {each.resolve() for each in folders} | {Path(sys.prefix), Path(meshcourse.__file__).parent}
    return tuple(sorted(str(each) for each in found if each != Path("/usr")))


def prepare(place: places.Place, given: str) -> Path:
    """The learner's folder, theirs alone; with a copy of the kubeconfig `given`, where they share a cluster."""
    own = record.learner(place.account)
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.geteuid() == 0:
        os.chown(own, room.first_id(place.number), room.first_id(place.number))
    if given:
        copy = own / "kubeconfig"
        copy.unlink(missing_ok=True)
        files.replace(copy, Path(given).read_text(encoding="utf-8"))
        if os.geteuid() == 0:
            os.chown(copy, room.first_id(place.number), room.first_id(place.number), follow_symlinks=False)
    return own


class InARoom(SimpleLocalProcessSpawner):  # type: ignore[misc] # the hub has no types
    """For names and codes of the workshop's own."""

    waits = False

    async def start(self) -> tuple[str, int]:
        """Start the room, and return when the learner's cluster runs and their server may be asked. Raises CourseError when it ended."""
        workshop = record.must_be()
        place = places.find((workshop.instructor, *workshop.places), self.user.name)
        if place is None:
            raise CourseError(f"{self.user.name} has no place in this workshop.", next="meshcourse workshop up --add NAME")
        self.waits = True
        async with _turns:
            self.waits = False
            own = prepare(place, workshop.kubeconfig)
            self.home_dir = str(own)
            self.port = random_port()
            plan = record.folder() / "rooms" / f"{place.account}.json"
            plan.parent.mkdir(exist_ok=True, mode=0o700)
            room.Plan(
                mark=str(plan.with_suffix(".lock")),
                own=str(own.resolve()),
                command=tuple(seat.command()),
                port=self.port,
                hub_port=workshop.hub_port,
                ids=room.first_id(place.number),
                hidden=hidden(),
                kept=kept(),
                network=workshop.on == record.EMBEDDED,
            ).write(plan)
            self.cmd = [sys.executable, "-m", "meshcourse.workshop.room", str(plan)]
            with self._log().open("wb") as log:
                self.popen_kwargs = {"stdout": log, "stderr": log, "cwd": "/"}
                address: tuple[str, int] = await super().start()
            await self._ready()
        return address

    async def _ready(self) -> None:
        while seat.READY not in self._lines():
            if await self.poll() is not None:
                raise CourseError(
                    f"{self.user.name}'s place could not be started.", why="; ".join(self._lines()[-3:]), next=f"less {self._log()}"
                )
            await asyncio.sleep(LOOK)

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
            said = [line for line in self._lines() if line.startswith(seat.SAYS)]
            now = "Others are being started first; this page goes on by itself." if self.waits else ""
            for line in said[shown:]:
                yield {"progress": min(90, 20 + 10 * shown), "message": line.removeprefix(seat.SAYS).strip()[:200]}
                shown += 1
            if now and now != before:
                yield {"progress": 5, "message": now}
            before = now
            await asyncio.sleep(LOOK)

    def make_preexec_fn(self, name: str) -> None:  # noqa: ARG002 - the hub's
        """Nothing: the room has its own folder."""
        return

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The learner's own folders, and this installation's programs."""
        workshop, own = record.must_be(), Path(self.home_dir)
        return seat.environment(workshop, own, env, account=self.user.name)
