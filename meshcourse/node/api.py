"""The node's own client of the API server: plain JSON over one aiohttp session.

It is our own and not a generated one: the node needs a dozen paths, and objects exactly as the API server sent them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import ssl
import time
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp

from meshcourse.core.errors import KubernetesError
from meshcourse.core.json_types import Json
from meshcourse.node.back_off import back_off

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

EventType = Literal["SYNC", "ADDED", "MODIFIED", "DELETED"]
Param = str | int | bool

_log = logging.getLogger(__name__)

_REQUEST_SECONDS = 30.0
_WATCH_SECONDS = 300  # and up to twice that, at random, as client-go does; the server ends the watch, we reconnect
_RETRIES_WHEN_BUSY = 10
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0  # a restarted API server is back within seconds; client-go's 30 s would be felt in a lesson
_GONE = 410


class ApiError(KubernetesError):
    """The API server refused (`code`, `reason`, `status`), or could not be reached (`code` 0)."""

    @property
    def reason(self) -> str:
        """The machine-readable reason in the Status, such as `NotFound`, `Conflict` or `AlreadyExists`."""
        return str(self.status.get("reason", ""))


def client_tls(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """TLS with a client certificate, trusting `ca` alone. Reads the three PEM files."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
    context.load_cert_chain(str(cert), str(key))
    return context


class Api:
    """One session with the API server. Use it as an async context manager."""

    def __init__(self, server: str, tls: ssl.SSLContext | None = None) -> None:
        self.server = server.rstrip("/")
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True)
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "meshcourse-node", "Accept": "application/json"})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, **params: Param) -> Json:
        """Read one object, or one list."""
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Json, **params: Param) -> Json:
        """Create an object, or call a subresource such as `.../token`."""
        return await self._call("POST", path, body=body, params=params)

    async def put(self, path: str, body: Json, **params: Param) -> Json:
        """Replace an object; its resourceVersion, when given, must be current (409 otherwise)."""
        return await self._call("PUT", path, body=body, params=params)

    async def patch(self, path: str, body: Json | list[Json], content_type: str = "application/merge-patch+json", **params: Param) -> Json:
        """Change an object by a merge patch, a strategic merge patch or a JSON patch (a list)."""
        return await self._call("PATCH", path, body=body, params=params, content_type=content_type)

    async def delete(self, path: str, body: Json | None = None, **params: Param) -> Json:
        """Delete an object; `body` holds DeleteOptions (grace period, preconditions)."""
        return await self._call("DELETE", path, body=body, params=params)

    async def watch(self, path: str, *, resource_version: str, **params: Param) -> AsyncGenerator[tuple[str, Json]]:
        """Yield (ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends the watch; raises ApiError, code 410 when too old."""
        seconds = int(_WATCH_SECONDS * (1 + random.random()))  # noqa: S311 - spreads reconnects, no secret
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            "resourceVersion": resource_version,
            **_query(params),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + _REQUEST_SECONDS, connect=_REQUEST_SECONDS)
        try:
            async with self._open().get(self.server + path, params=query, timeout=timeout) as response:
                if response.status >= 400:  # noqa: PLR2004 - HTTP's own border
                    raise _refused("WATCH", path, response.status, await response.read())
                async for line in _lines(response):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refused("WATCH", path, int(event["object"].get("code", 0)), json.dumps(event["object"]).encode())
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _unreachable("WATCH", path, error) from error

    async def list_and_watch(self, path: str, **params: Param) -> AsyncGenerator[tuple[EventType, Any]]:
        """Follow a collection until cancelled.

        Yields ("SYNC", list of all objects) after the first list and after every relist, then ("ADDED"
        "MODIFIED"
        "DELETED", object). A failure is logged and retried with back-off up to 5 s.
        """
        pauses = back_off(_FIRST_PAUSE, _LONGEST_PAUSE)
        version = ""
        while True:
            try:
                if not version:
                    listed = await self.get(path, **params)
                    version = listed["metadata"]["resourceVersion"]
                    yield "SYNC", _complete(listed)
                began, heard = time.monotonic(), False
                async with contextlib.aclosing(self.watch(path, resource_version=version, **params)) as events:
                    async for kind, item in events:
                        version, heard = item["metadata"]["resourceVersion"], True
                        pauses = back_off(_FIRST_PAUSE, _LONGEST_PAUSE)
                        if kind in ("ADDED", "MODIFIED", "DELETED"):
                            yield kind, item  # type: ignore[misc]  # mypy does not narrow a str to these literals by `in`
                if not heard and time.monotonic() - began < 1:  # no tight loop when the server closes at once
                    await asyncio.sleep(next(pauses))
            except ApiError as error:
                if error.code == _GONE:
                    version = ""
                    continue
                pause = next(pauses)
                _log.info("watch of %s: %s; again in %.1f s", path, error.what, pause)
                if error.code:  # refused, not cut off: start again from a list
                    version = ""
                await asyncio.sleep(pause)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | list[Json] | None = None,
        params: Mapping[str, Param],
        content_type: str = "application/json",
    ) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        for attempt in range(_RETRIES_WHEN_BUSY + 1):
            try:
                async with self._open().request(
                    method, self.server + path, params=_query(params), data=data, headers=headers, timeout=timeout
                ) as response:
                    content = await response.read()
                    status, again = response.status, response.headers.get("Retry-After", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable(method, path, error) from error
            if again.isdigit() and (status == 429 or status >= 500) and attempt < _RETRIES_WHEN_BUSY:  # noqa: PLR2004 - as client-go retries
                await asyncio.sleep(int(again))
                continue
            break
        if status >= 400:  # noqa: PLR2004 - HTTP's own border
            raise _refused(method, path, status, content)
        answer: Json = json.loads(content) if content else {}
        return answer

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            msg = "Api is used outside its `async with`"
            raise RuntimeError(msg)
        return self._session


def _query(params: Mapping[str, Param]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in params.items()}


def _complete(listed: Json) -> list[Json]:
    """Add to the items of a list their kind and apiVersion, which lists leave out and watch events have."""
    kind = str(listed.get("kind", "")).removesuffix("List")
    version = listed.get("apiVersion", "")
    return [{"kind": kind, "apiVersion": version, **item} for item in listed.get("items") or []]


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Split a watch into its JSON lines; aiohttp's readline has a length limit that a large Secret exceeds."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else [rest + chunk]
        for line in whole:
            if line:
                yield line


def _refused(method: str, path: str, code: int, content: bytes) -> ApiError:
    try:
        status = json.loads(content)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": content.decode(errors="replace").strip() or f"HTTP {code}"}
    status = {"code": code, **status}
    return ApiError(str(status.get("message") or f"HTTP {code}"), why=f"the API server answered {code} to {method} {path}", status=status)


def _unreachable(method: str, path: str, error: Exception) -> ApiError:
    text = str(error) or type(error).__name__
    return ApiError(f"the API server did not answer {method} {path}", why=text, next="meshcourse status   # is kube-apiserver running?")
