"""Events: what `kubectl describe` shows about a pod.

`Correlator` is the pure part, with client-go's rules (tools/record/events_cache.go): the same event again raises `count` on the existing
Event; more than ten events that differ only by message become one "(combined from similar events)"; one object may send 25 events, then one
every five minutes, so that a pod that fails for a day does not fill etcd.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar

from meshcourse.node.api import ApiError

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api

_log = logging.getLogger(__name__)

_REMEMBERED = 1024
_SIMILAR = 10
_SIMILAR_SECONDS = 600.0
_BURST = 25.0
_REFILL_PER_SECOND = 1 / 300
_QUEUED = 1000
_TRIES = 12
_RETRY_SECONDS = 1.0
_FLUSH_SECONDS = 2.0
_NOT_FOUND = 404

EventKind = Literal["Normal", "Warning"]
Key = TypeVar("Key")
Value = TypeVar("Value")


def reference(involved: Json, field_path: str = "") -> Json:
    """Point at an object, or at a part of it such as `spec.containers{app}`."""
    metadata = involved.get("metadata")
    if metadata is None:  # a reference already
        return involved
    found = {
        "kind": involved.get("kind", "Pod"),
        "apiVersion": involved.get("apiVersion", "v1"),
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Happening:
    """One thing that happened, before it is an Event object. `moment` is in seconds since the epoch."""

    involved: Json
    type: EventKind
    reason: str
    message: str
    moment: float

    @property
    def key(self) -> tuple[str, ...]:
        """The key by which two happenings are the same Event."""
        return (*_about(self.involved), str(self.involved.get("fieldPath", "")), self.type, self.reason, self.message)


@dataclass(frozen=True)
class Observed:
    """A happening with what the API server is to store: a new Event (`count` 1) or one more on the Event `name`."""

    happening: Happening
    name: str
    count: int
    first: float


class _Recent(Generic[Key, Value]):
    """A mapping that drops the least recently used entry."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


@dataclass
class Correlator:
    """Decides what is written for each happening. No clock and no I/O: the time is in the happening."""

    _tokens: _Recent[tuple[str, ...], tuple[float, float]] = field(default_factory=_Recent)
    _similar: _Recent[tuple[str, ...], tuple[frozenset[str], float]] = field(default_factory=_Recent)
    _seen: _Recent[tuple[str, ...], Observed] = field(default_factory=_Recent)

    def observe(self, happening: Happening) -> Observed | None:
        """What to write, or None when this object has sent too many."""
        if not self._take_token(happening):
            return None
        happening, key = self._combine(happening)
        before = self._seen.get(key)
        if before is None:
            name = f"{happening.involved['name']}.{int(happening.moment * 1e9):x}"
            observed = Observed(happening, name, 1, happening.moment)
        else:
            observed = replace(before, happening=happening, count=before.count + 1)
        self._seen.put(key, observed)
        return observed

    def _take_token(self, happening: Happening) -> bool:
        key = (*_about(happening.involved), happening.type)
        left, then = self._tokens.get(key) or (_BURST, happening.moment)
        left = min(_BURST, left + max(0.0, happening.moment - then) * _REFILL_PER_SECOND)
        allowed = left >= 1
        self._tokens.put(key, (left - 1 if allowed else left, happening.moment))
        return allowed

    def _combine(self, happening: Happening) -> tuple[Happening, tuple[str, ...]]:
        key = (*_about(happening.involved), happening.type, happening.reason)
        messages, then = self._similar.get(key) or (frozenset[str](), happening.moment)
        if happening.moment - then > _SIMILAR_SECONDS:
            messages = frozenset()
        messages |= {happening.message}
        if len(messages) < _SIMILAR:
            self._similar.put(key, (messages, happening.moment))
            return happening, happening.key
        self._similar.put(key, (frozenset(list(messages)[1:]), happening.moment))
        # One Event stands for all of them: its key leaves out the message; its text is the last one's.
        return replace(happening, message="(combined from similar events): " + happening.message), key


def event_object(observed: Observed, component: str, host: str) -> Json:
    """The v1 Event to create."""
    happening = observed.happening
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": observed.name, "namespace": happening.involved.get("namespace") or "default"},
        "involvedObject": happening.involved,
        "type": happening.type,
        "reason": happening.reason,
        "message": happening.message,
        "count": observed.count,
        "firstTimestamp": _timestamp(observed.first),
        "lastTimestamp": _timestamp(happening.moment),
        "source": {"component": component, "host": host},
        "reportingComponent": component,
        "reportingInstance": host,
    }


class Events:
    """Record events without waiting for the API server. Use as an async context manager; leaving it writes what is queued."""

    def __init__(self, api: Api, component: str, host: str) -> None:
        self._api = api
        self._component = component
        self._host = host
        self._correlator = Correlator()
        self._queue: asyncio.Queue[Happening] = asyncio.Queue(_QUEUED)
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_all(), name="events")
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._queue.join()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def record(self, involved: Json, type_: EventKind, reason: str, message: str) -> None:
        """Record that something happened to `involved`: an object, or a `reference` to one or to a container of it. Never blocks."""
        try:
            self._queue.put_nowait(Happening(reference(involved), type_, reason, message, time.time()))
        except asyncio.QueueFull:
            _log.warning("too many events are waiting; dropped: %s %s", reason, message)

    async def _write_all(self) -> None:
        while True:
            happening = await self._queue.get()
            try:
                observed = self._correlator.observe(happening)
                if observed is not None:
                    await self._write(observed)
            except Exception:  # noqa: BLE001 - an event is a courtesy: no failure of one may end the others
                _log.exception("event not written: %s %s", happening.reason, happening.message)
            finally:
                self._queue.task_done()

    async def _write(self, observed: Observed) -> None:
        for _ in range(_TRIES):
            try:
                await self._put(observed)
            except ApiError as error:
                if error.code:  # refused (the namespace is being deleted, for example): a retry changes nothing
                    _log.info("event not written: %s", error.what)
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _put(self, observed: Observed) -> None:
        body = event_object(observed, self._component, self._host)
        path = f"/api/v1/namespaces/{body['metadata']['namespace']}/events"
        if observed.count > 1:
            changed = {name: body[name] for name in ("count", "lastTimestamp", "message")}
            try:
                await self._api.patch(f"{path}/{observed.name}", changed, "application/strategic-merge-patch+json")
            except ApiError as error:
                if error.code != _NOT_FOUND:  # the API server drops events after an hour: then it is a new one
                    raise
            else:
                return
        await self._api.post(path, body)


def _about(involved: Json) -> tuple[str, ...]:
    return tuple(str(involved.get(name, "")) for name in ("kind", "namespace", "name", "uid", "apiVersion"))


def _timestamp(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
