"""Which image a container gets: a row of the table, or one that is pulled.

Where images are pulled, the table still serves three: the parts of the cluster itself (CoreDNS, and Istio's unless they too are to be
pulled: ARCHITECTURE.md says why); an image under the policy Never that was not pulled; and an image whose registry is not reached, with an
event about it. Source: https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from meshcourse.node import images
from meshcourse.node.not_yet import NotYet
from meshcourse.node.pulling import crane, store
from meshcourse.node.pulling.store import Pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.node.events import EventKind
    from meshcourse.node.images import Image
    from meshcourse.node.pulling.puller import Puller

    Tell = Callable[[EventKind, str, str], None]

_TOLD_SECONDS = 2.0  # a pull that takes longer shows its progress, and again after twice that time each
_ON_SILENCE = "pods with an image that `meshcourse images` lists run without a network"
_ON_ISTIOS_SILENCE = "with `meshcourse up --images registry` this node's own Istio runs without a network"


class PullPolicy:
    """Finds images. Without a `puller` it knows the table only; with `istio_is_pulled` the table's Istio is not for this cluster."""

    def __init__(self, puller: Puller | None = None, *, istio_is_pulled: bool = False) -> None:
        self._puller = puller
        self._of_table = {"cluster"} if istio_is_pulled else {"cluster", "istio"}
        self._pulls: dict[str, asyncio.Task[str]] = {}
        self._bytes: dict[str, int] = {}
        self._held: dict[str, int] = {}

    async def get(self, reference: str, policy: str, tell: Tell, wait: Callable[[str], None]) -> Image:
        """The image of a container. `tell` records an event, `wait` shows in its status what it waits for. Raises NotYet."""
        row, why = _row(reference)
        part = images.part_of(reference)
        if self._puller is None or part in self._of_table:
            if row is None:
                raise NotYet("ErrImagePull", why)
            tell("Normal", "Pulled", f'Container image "{reference}" already present on machine')
            return row
        row, on_silence = (None, _ON_ISTIOS_SILENCE) if part else (row, _ON_SILENCE)
        repository, tag = images.repository_and_tag(reference)
        whole = f"{repository}@{digest}" if (digest := reference.partition("@")[2]) else f"{repository}:{tag}"
        if policy != "Always" and (found := await self._present(whole)):
            tell("Normal", "Pulled", f'Container image "{reference}" already present on machine')
            return found.image(repository)
        if policy == "Never":
            if row is None:
                why = f'Container image "{reference}" is not present with pull policy of Never'
                raise NotYet("ErrImageNeverPull", why)
            tell("Normal", "Pulled", f"Not pulled (pull policy of Never): {row.identity} of this node's table runs")
            return row
        tell("Normal", "Pulling", f'Pulling image "{reference}"')
        started = time.monotonic()
        try:
            found = await self._pull(whole, self._puller, tell, wait)
        except crane.PullFailed as failure:
            if failure.reached or row is None:
                raise NotYet("ErrImagePull", str(failure) if failure.reached else f"{failure}; {on_silence}") from failure
            tell("Warning", "RegistryNotReached", f"{failure}: {row.identity} of this node's table runs instead")
            return row
        seconds = f"{time.monotonic() - started:.2f}s"
        text = f'Successfully pulled image "{reference}" in {seconds} ({seconds} including waiting). Image size: {found.size} bytes.'
        tell("Normal", "Pulled", text)
        return found.image(repository)

    async def _pull(self, whole: str, puller: Puller, tell: Tell, wait: Callable[[str], None]) -> Pulled:
        """Pull once for all concurrent callers; cancelling one of them does not end it."""
        if whole not in self._pulls:
            self._bytes[whole] = 0
            task = self._pulls[whole] = asyncio.create_task(puller.pull(whole, lambda done: self._bytes.update({whole: done})))
            task.add_done_callback(lambda task: (self._pulls.pop(whole), task.cancelled() or task.exception()))
        task = self._pulls[whole]
        pause = _TOLD_SECONDS
        while not (await asyncio.wait({task}, timeout=pause))[0]:
            pause *= 2
            text = f"Pulling {whole}: {self._bytes[whole] / 1e6:.1f} MB so far"
            wait(text)
            tell("Normal", "Pulling", text)
        found = await self._hold(task.result())
        if found is None:
            raise crane.PullFailed("`meshcourse images prune` deleted it while it was pulled", reached=True)
        return found

    async def _present(self, whole: str) -> Pulled | None:
        there = store.named(whole)
        return await self._hold(there.digest) if there else None

    async def _hold(self, digest: str) -> Pulled | None:
        """Protect an image from deletion for as long as this process lives; None when it is already deleted."""
        if digest not in self._held:
            self._held[digest] = await asyncio.to_thread(store.hold, digest)
        return store.find(digest)


def _row(reference: str) -> tuple[Image | None, str]:
    """The table's row for this reference, or None and the reason."""
    try:
        return images.find(reference), ""
    except images.UnknownImage as error:
        return None, str(error)
