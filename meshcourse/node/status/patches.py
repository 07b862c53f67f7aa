"""Patches of one pod's status: coalesced, retried until written.

Changes made during a patch are sent together by the next one. A patch that fails is sent again with back-off until it succeeds or the pod
is deleted. Patches are strategic merges with the pod's uid, as a kubelet sends them: other clients' conditions stay, and a new pod of the
same name is never changed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from meshcourse.node import clock
from meshcourse.node.api import ApiError
from meshcourse.node.back_off import back_off
from meshcourse.node.status import statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api
    from meshcourse.node.status.statuses import PodRecord

_log = logging.getLogger(__name__)

_NOT_FOUND = 404
_CONFLICT = 409
_INVALID = 422
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class Report:
    """Keeps one pod's status current. Use as an async context manager."""

    def __init__(self, api: Api, pod: Json, record: Callable[[], PodRecord]) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        self._uid = pod["metadata"]["uid"]
        self._record = record
        self._there: Json = pod.get("status") or {}
        self._version = self._seen = 0  # resourceVersions: of what we wrote last, and of what was observed last
        self._sent: Json = {}
        self._due = asyncio.Event()
        self._settled = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_all(), name=f"status {self._path}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def changed(self) -> None:
        """The record has changed. Never blocks."""
        self._settled.clear()
        self._due.set()

    def observe(self, pod: Json) -> None:
        """Apply the pod as the API server has it: readiness gates, and what other clients wrote over the node's status."""
        before, self._there = self._there, pod.get("status") or {}
        self._seen = int(pod["metadata"]["resourceVersion"])
        if not self._again_if_overwritten() and _values(before) != _values(self._there):
            self.changed()

    async def flush(self) -> None:
        """Return once the API server has the present record, or the pod is deleted."""
        self.changed()
        settled = asyncio.ensure_future(self._settled.wait())
        try:
            await asyncio.wait([settled, *([self._writer] if self._writer is not None else [])], return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()

    async def _write_all(self) -> None:
        """Write changes until the pod is deleted."""
        pauses = back_off(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write()
            except ApiError as error:
                if error.code in (_NOT_FOUND, _CONFLICT):  # gone; 409: another pod has its name now
                    return
                if error.code == _INVALID:  # the same patch would fail again: wait for the next change
                    _log.error("%s: %s", self._path, error)
                    self._settled.set()
                    continue
                pause = next(pauses)
                _log.info("%s: %s; again in %.1f s", self._path, error.what, pause)
                await asyncio.sleep(pause)
                self._due.set()
            except Exception:  # noqa: BLE001 - no failure may stop a pod's status patches
                _log.exception("%s: not written; again in %.1f s", self._path, _LONGEST_PAUSE)
                await asyncio.sleep(_LONGEST_PAUSE)
                self._due.set()
            else:
                pauses = back_off(_FIRST_PAUSE, _LONGEST_PAUSE)
                if not self._due.is_set():
                    self._settled.set()

    async def _write(self) -> None:
        conditions = [condition for condition in self._there.get("conditions") or [] if condition["type"] not in _values(self._sent)]
        previous = {"conditions": [*conditions, *(self._sent.get("conditions") or [])]}
        status = statuses.status(self._record(), previous, clock.now())
        if status == self._sent:
            return
        known = {**_values(self._there), **_values(self._sent)}
        gone = [each for each in statuses.RESIZES if each in known and each not in _values(status)]
        body = {"metadata": {"uid": self._uid}, "status": status}
        if gone:
            body["status"] = {**status, "conditions": [*status["conditions"], *({"type": each, "$patch": "delete"} for each in gone)]}
        if "podIPs" in status:  # a merge would keep the address that the pod had before its node was restarted
            body["status"] = {**body["status"], "podIPs": [{"$patch": "replace"}, *status["podIPs"]]}
        answer = await self._api.patch(self._path, body, "application/strategic-merge-patch+json")
        self._version = int(answer["metadata"]["resourceVersion"])
        self._sent = status
        self._again_if_overwritten()  # what somebody wrote a moment later may have been observed before our answer came

    def _again_if_overwritten(self) -> bool:
        """Write anew when what was observed is newer than what we wrote, and says otherwise."""
        theirs, ours = (_values(status) for status in (self._there, self._sent))
        overwritten = self._seen > self._version and any(theirs.get(kind) != ours[kind] for kind in ours)
        if overwritten:
            self._sent = {}
            self.changed()
        return overwritten


def _values(status: Json) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
