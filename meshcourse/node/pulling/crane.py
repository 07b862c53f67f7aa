"""Pulling by crane: resolves a reference to a digest, and unpacks the digest's files into a folder of the cache.

A registry on localhost or 127.0.0.1 may speak plain http, crane's default.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Final

from meshcourse.engine import binaries
from meshcourse.engine.go_programs import CRANE
from meshcourse.node.pulling import store

ANSWERS_WITHIN: Final = 15.0
"""Seconds in which a registry must resolve a tag; after that it counts as not reached."""

# Go's messages for no answer (`Get "https://...": dial tcp ...`), and answers of proxies and overloaded registries.
_NOT_REACHED: Final = re.compile(r'\b(?:Get|Head) "https?://|TOOMANYREQUESTS|unexpected status code (?:403|407|429|5\d\d)')
_REFUSED: Final = "check its name and its tag; for a private registry type `docker login` first (crane reads ~/.docker/config.json)"


class PullFailed(Exception):  # noqa: N818 - reads as the sentence it is
    """An image could not be pulled, and what to do; `reached`: the registry answered with an error."""

    def __init__(self, words: str, *, reached: bool) -> None:
        super().__init__(words)
        self.reached = reached


def failure(said: str) -> PullFailed:
    r"""The error in crane's output on stderr: its last line.

    >>> failure('HEAD request failed\nError: Get "https://a.example/v2/": dial tcp: no such host\n').reached
    False
    >>> failure("Error: GET http://localhost:1/v2/a/manifests/1: MANIFEST_UNKNOWN: Unknown manifest\n").reached
    True
    """
    words = (said.strip().splitlines() or ["crane printed nothing"])[-1].removeprefix("Error: ")
    return PullFailed(words, reached=False) if _NOT_REACHED.search(words) else PullFailed(f"{words}; {_REFUSED}", reached=True)


async def pull(reference: str, on_progress: Callable[[int], None]) -> str:
    """Pull the image of `reference` (a repository with a tag or a digest); returns its digest.

    `on_progress` is called with the bytes unpacked so far. Raises PullFailed, with nothing changed.
    """
    repository, _, digest = reference.partition("@")
    if not digest:
        digest = await meaning(reference)
        repository = reference.rpartition(":")[0]
    if not store.is_digest(digest):
        raise PullFailed(f'"{digest}" is not a sha256 digest', reached=True)
    if store.find(digest) is None:
        await _bring(f"{repository}@{digest}", digest, on_progress)
    store.name(reference, digest)
    return digest


async def meaning(reference: str) -> str:
    """The digest that a repository with a tag means now, by its registry. Raises PullFailed."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            return await _crane("digest", "--", reference)
    except TimeoutError:
        raise PullFailed(f"no answer within {ANSWERS_WITHIN:.0f} s", reached=False) from None


async def _bring(pinned: str, digest: str, on_progress: Callable[[int], None]) -> None:
    """Unpack one digest, unless another process has done so while its lock was awaited."""
    lock = await asyncio.to_thread(store.hold, digest, alone=True)
    try:
        if store.find(digest) is None:
            config = json.loads(await _crane("config", "--platform", binaries.target(), "--", pinned))
            root = await asyncio.to_thread(store.begin, digest)
            store.complete(digest, config, await _unpack(pinned, str(root), on_progress))
    finally:
        os.close(lock)


async def _unpack(pinned: str, root: str, on_progress: Callable[[int], None]) -> int:
    """Have crane write the files of all layers as one archive, and unpack it as it arrives; returns their bytes."""
    archive, entry = os.pipe()
    try:
        export = (_program(), "export", "--platform", binaries.target(), "--", pinned, "-")
        crane = await asyncio.create_subprocess_exec(*export, stdin=asyncio.subprocess.DEVNULL, stdout=entry, stderr=PIPE)
        unpack = (sys.executable, "-m", "meshcourse.node.pulling.unpacking", root)
        unpacking = await asyncio.create_subprocess_exec(*unpack, stdin=archive, stdout=PIPE, stderr=PIPE)
    finally:
        os.close(archive)
        os.close(entry)
    try:
        size, said, why = await asyncio.gather(_last_number(unpacking, on_progress), _text(crane.stderr), _text(unpacking.stderr))
        exported, unpacked = await crane.wait(), await unpacking.wait()
        if exported > 0:  # the archive ended too early; below 0, it was not read to its end
            raise failure(said)
        if unpacked or exported:
            words = f"its files could not be unpacked: {why.strip()}; look at the disk (df -h), MESHCOURSE_CACHE names another folder"
            raise PullFailed(words, reached=True)
        return size
    finally:
        await _end(crane, unpacking)


async def _last_number(process: Process, on_progress: Callable[[int], None]) -> int:
    number = 0
    if process.stdout is not None:
        async for line in process.stdout:
            number = int(line)
            on_progress(number)
    return number


async def _text(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode(errors="replace")


async def _crane(*words: str) -> str:
    """Output of crane. Raises PullFailed."""
    crane = await asyncio.create_subprocess_exec(_program(), *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        output, said = await crane.communicate()
    finally:
        await _end(crane)
    if crane.returncode:
        raise failure(said.decode(errors="replace"))
    return output.decode().strip()


def _program() -> str:
    found = CRANE.found()
    if found is None:  # `meshcourse up` made sure of it; it was deleted since
        raise PullFailed("crane, the program that pulls images, has been removed", reached=False)
    return str(found)


async def _end(*processes: Process) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()
