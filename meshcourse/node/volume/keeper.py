"""The volumes of one pod over its life: filled as soon as what they need is there, kept current, deleted at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from meshcourse.node import object_cache
from meshcourse.node.back_off import back_off
from meshcourse.node.not_yet import NotYet

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json
    from meshcourse.node.object_cache import Objects
    from meshcourse.node.volume.volumes import Volumes

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.25  # and twice that each time; what a pod waits for comes within a second or two
_AGAIN_LONGEST = 5.0
_KEEP_AGAIN_SECONDS = 60.0


class Keeper:
    """Keeps `volumes`; `failed` is called with the (reason, message) of what they wait for."""

    def __init__(self, volumes: Volumes, objects: Objects, failed: Callable[[str, str], None]) -> None:
        self._volumes = volumes
        self._objects = objects
        self._failed = failed
        self._keeping: asyncio.Task[None] | None = None

    async def prepare(self, pod: Json) -> None:
        """Return when all volumes are there, and keep them current from then on. Raises NotYet for what can never be mounted."""
        pauses = back_off(_AGAIN_SECONDS, _AGAIN_LONGEST)
        async with self._objects.subscribe() as changes:
            while True:
                try:
                    await self._volumes.prepare(pod)
                except NotYet as waiting:
                    if waiting.for_good:
                        raise
                    self._failed(waiting.reason, waiting.message)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(next(pauses)):
                            await object_cache.change_in(changes, pod["metadata"]["namespace"])
                else:
                    break
        if self._keeping is None:
            name = f"volumes of {pod['metadata']['namespace']}/{pod['metadata']['name']}"
            self._keeping = asyncio.create_task(self._keep(name), name=name)

    async def close(self) -> None:
        """Delete the volumes."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        await asyncio.to_thread(self._volumes.remove)

    async def _keep(self, name: str) -> None:
        while True:
            try:
                await self._volumes.run()
            except Exception:  # noqa: BLE001 - a pod runs on with the files that it has
                _log.exception("%s could not be updated; retrying", name)
                await asyncio.sleep(_KEEP_AGAIN_SECONDS)
