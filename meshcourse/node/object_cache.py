"""ConfigMaps, Secrets and Services of the whole cluster, kept current.

A kubelet watches only the objects that its pods name, because it is one node of many. Here all nodes are in one process, so three watches
of everything are cheaper than hundreds of single ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api

Kind = Literal["ConfigMap", "Secret", "Service"]
Change = tuple[Kind, str, str]  # kind, namespace, name

_PATHS: dict[Kind, str] = {"ConfigMap": "/api/v1/configmaps", "Secret": "/api/v1/secrets", "Service": "/api/v1/services"}


class Objects:
    """A live copy. Entering it waits until all three kinds have been listed once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kept: dict[Kind, dict[tuple[str, str], Json]] = {kind: {} for kind in _PATHS}
        self._synced = {kind: asyncio.Event() for kind in _PATHS}
        self._subscribers: set[asyncio.Queue[Change]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(kind, path), name=f"watch {path}") for kind, path in _PATHS.items()]
        try:
            await asyncio.gather(*(event.wait() for event in self._synced.values()))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """The object as the API server last sent it, or None. It is shared: do not change it."""
        return self._kept[kind].get((namespace, name))

    def list(self, kind: Kind, namespace: str) -> list[Json]:
        """All objects of a kind in a namespace, by name."""
        return [item for (space, _), item in sorted(self._kept[kind].items()) if space == namespace]

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncGenerator[asyncio.Queue[Change], None]:
        """A queue that receives (kind, namespace, name) for every change from now on."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    async def _follow(self, kind: Kind, path: str) -> None:
        kept = self._kept[kind]
        async with contextlib.aclosing(self._api.list_and_watch(path)) as events:
            async for event, what in events:
                if event == "SYNC":
                    listed = {_key(item): item for item in what}
                    changed = [key for key in kept.keys() | listed.keys() if _version(kept.get(key)) != _version(listed.get(key))]
                    kept.clear()
                    kept.update(listed)
                    self._synced[kind].set()
                else:
                    key = _key(what)
                    changed = [key]
                    if event == "DELETED":
                        kept.pop(key, None)
                    else:
                        kept[key] = what
                for namespace, name in changed:
                    for queue in self._subscribers:
                        queue.put_nowait((kind, namespace, name))


async def change_in(changes: asyncio.Queue[Change], namespace: str) -> None:
    """Wait until an object of this namespace changes."""
    while (await changes.get())[1] != namespace:
        pass


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _version(item: Json | None) -> str:
    return "" if item is None else item["metadata"]["resourceVersion"]
