"""Save runs of load to files, and replay them.

A file that cannot be read gives a TrafficError with the line and a command that helps.
"""

from __future__ import annotations

import asyncio
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from meshcourse.core import errors
from meshcourse.traffic.pacing import Pacing
from meshcourse.traffic.results import Result
from meshcourse.traffic.sender import Receive
from meshcourse.traffic.targets import Target

FORMAT: Final = "meshcourse-run"
VERSION: Final = 1
_NUMBERS: Final = ("intended", "started", "latency")
_WHOLE: Final = ("status", "size")
_TEXTS: Final = ("version", "fault", "error")


@dataclass(frozen=True)
class Recording:
    """A saved run: its target, its pacing, and every result, in the order of their ends."""

    target: Mapping[str, Any]
    pacing: Mapping[str, Any]
    results: tuple[Result, ...]


class Recorder:
    """Writes a run while it is going on: `with Recorder(path, target, pacing) as recorder: recorder.add(result)`."""

    def __init__(self, path: Path, target: Target, pacing: Pacing) -> None:
        self.path = path
        self._header = {"format": FORMAT, "version": VERSION, "target": target.describe(), "pacing": pacing.describe()}
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("w", encoding="utf-8")
            self._write(self._header)
        except OSError as error:
            raise self._unwritten(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as failure:
                raise self._unwritten(failure) from failure

    def add(self, result: Result) -> None:
        """Append one result. Raises TrafficError when the disk is full, for example."""
        try:
            self._write(as_json(result))
        except OSError as error:
            raise self._unwritten(error) from error

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            raise errors.TrafficError(
                "This recorder is not open.", why="it writes only inside a with block", next="with Recorder(...) as recorder: ..."
            )
        self._file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")

    def _unwritten(self, error: OSError) -> errors.TrafficError:
        return errors.TrafficError(
            f"The run cannot be saved to {self.path}.", why=error.strerror or str(error), next="df -h .    # or choose another path"
        )


def as_json(result: Result) -> dict[str, Any]:
    """One line of the file; without empty texts."""
    line: dict[str, Any] = {name: getattr(result, name) for name in (*_NUMBERS, *_WHOLE)}
    line.update({name: text for name in _TEXTS if (text := getattr(result, name))})
    return line


def load(path: Path) -> Recording:
    """Read a saved run. Raises TrafficError, naming the line, for a file that is not one or is broken."""
    lines = _lines(path)
    header = _object(path, 1, lines[0] if lines else b"")
    if header.get("format") != FORMAT:
        raise broken(path, 1, f'a run begins with a line that holds "format":"{FORMAT}"')
    if header.get("version") != VERSION:
        raise broken(path, 1, f"it is of format version {header.get('version')!r}; this meshcourse reads version {VERSION}")
    target, pacing = header.get("target"), header.get("pacing")
    if not isinstance(target, dict) or not isinstance(pacing, dict):
        raise broken(path, 1, "the first line must hold the target and the pacing")
    return Recording(target, pacing, tuple(_result(path, number, line) for number, line in enumerate(lines[1:], start=2)))


def objects(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON Lines, at least one. Raises TrafficError, naming the line that is not a JSON object."""
    return [_object(path, number, line) for number, line in enumerate(_lines(path) or [b""], start=1)]


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise errors.TrafficError(
            f"The run {path} cannot be read.", why=error.strerror or str(error), next=f"ls -l {shlex.quote(str(path))}"
        ) from error


def _result(path: Path, number: int, line: bytes) -> Result:
    found = _object(path, number, line)
    for name in _NUMBERS:
        value = found.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise broken(path, number, f"{name} must be a number, and is {value!r}")
    for name in _WHOLE:
        if type(found.get(name)) is not int:
            raise broken(path, number, f"{name} must be a whole number, and is {found.get(name)!r}")
    for name in _TEXTS:
        if not isinstance(found.get(name, ""), str):
            raise broken(path, number, f"{name} must be text, and is {found[name]!r}")
    unknown = set(found) - {*_NUMBERS, *_WHOLE, *_TEXTS}
    if unknown:
        raise broken(path, number, f"it holds {', '.join(sorted(unknown))}, which no result has")
    return Result(**found)


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise broken(path, number, f"it is not JSON ({error})" if line else "it is empty") from error
    if not isinstance(found, dict):
        raise broken(path, number, "it is not a JSON object")
    return found


def broken(path: Path, number: int, why: str) -> errors.TrafficError:
    """The error for a line that is not part of a saved run, with a command that helps."""
    quoted = shlex.quote(str(path))
    following = (
        f"sed -n {number}p {quoted}"
        if number == 1
        else f"head -n {number - 1} {quoted} > whole.jsonl    # keeps what comes before the broken line"
    )
    return errors.TrafficError(f"Line {number} of {path} is not part of a saved run.", why=why, next=following)


async def replay(recording: Recording, receive: Receive, *, speed: float = 1.0) -> None:
    """Pass the results to `receive` at the intervals at which they ended; `speed` 2.0 halves the intervals."""
    if not (math.isfinite(speed) and speed > 0):
        raise errors.TrafficError(
            f"A run cannot be replayed at speed {speed}.", why="the speed must be above 0", next="give speed=1.0, for example"
        )
    if not recording.results:
        return
    loop = asyncio.get_running_loop()
    start, first = loop.time(), recording.results[0].ended
    for result in recording.results:
        ahead = start + (result.ended - first) / speed - loop.time()
        if ahead > 0:
            await asyncio.sleep(ahead)
        receive(result)
