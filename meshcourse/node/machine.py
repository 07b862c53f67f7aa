"""What the nodes of one machine share: a copy of the cluster's objects, the images' layers, and the image lookup.

Layers are written once and read by many containers, so further nodes need no copies.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Self

from meshcourse.node.container import rootfs
from meshcourse.node.container.spec import Host
from meshcourse.node.object_cache import Objects
from meshcourse.node.pulling.pull_policy import PullPolicy
from meshcourse.node.pulling.puller import Puller

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from meshcourse.node.api import Api


class Machine:
    """Use it as an async context manager; entering it waits until the objects have been listed once.

    `layers` is a folder on a tmpfs. `puller` is a socket to a process that pulls images (pulling/puller.py), or None: then the table is all
    there is. `istio_is_pulled`: Istio's images come from there too.
    """

    def __init__(self, api: Api, layers: Path, puller: socket.socket | None = None, *, istio_is_pulled: bool = False) -> None:
        self.objects = Objects(api)
        self.layers = layers
        self.host: Host
        self.pull_policy: PullPolicy
        self._puller = Puller(puller) if puller else None
        self._istio_is_pulled = istio_is_pulled
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.host = Host.found()
        await asyncio.to_thread(self._make_layers)
        async with contextlib.AsyncExitStack() as stack:
            if self._puller:
                await stack.enter_async_context(self._puller)
            self.pull_policy = PullPolicy(self._puller, istio_is_pulled=self._istio_is_pulled)
            await stack.enter_async_context(self.objects)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _make_layers(self) -> None:
        shutil.rmtree(self.layers, ignore_errors=True)
        self.layers.mkdir(parents=True)
        rootfs.prepare_base(self.layers, self.host)
        if self._puller:
            rootfs.prepare_entry(self.layers, self.host)
