"""A panel's run as a film: what each part showed at each moment, in a small file, to be replayed without a cluster.

A live series mostly grows at its end and is cut at its start, so a change of a list is stored as [number removed, items added]. A file that
cannot be read gives a TrafficError that names its line.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from meshcourse.core import errors
from meshcourse.traffic import recording

FORMAT: Final = "meshcourse-film"
VERSION: Final = 1
_FARTHEST: Final = 64
"""The largest number of points that may leave a series between two frames."""
Json = Any


@dataclass(frozen=True)
class Scene:
    """A panel's content at one moment. `parts` by number: a widget's value, or a figure as {"data": [...], "layout": {...}}."""

    parts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Film:
    """A saved run: its panel, the names of its parts, the first scene, and (second, changes) from then on."""

    panel: str
    names: Mapping[str, str]
    first: Scene
    frames: tuple[tuple[float, Json], ...] = ()

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.frames[-1][0] if self.frames else 0.0

    def scene(self, at: float) -> Scene:
        """The scene `at` seconds after the first one."""
        parts: Json = copy.deepcopy(dict(self.first.parts))
        for second, change in self.frames:
            if second > at:
                break
            parts = changed(parts, change)
        return Scene(parts)

    def scenes(self) -> Iterator[tuple[float, Scene]]:
        """Every frame in order."""
        parts: Json = copy.deepcopy(dict(self.first.parts))
        yield 0.0, Scene(copy.deepcopy(parts))
        for second, change in self.frames:
            parts = changed(parts, change)
            yield second, Scene(copy.deepcopy(parts))


class Camera:
    """Writes a film: `Camera(path, panel, names)`, then `take(at, scene)` for each look, then `close`."""

    def __init__(self, path: Path, panel: str, names: Mapping[str, str]) -> None:
        self.path = path
        self._panel, self._names = panel, dict(names)
        self._file: TextIO | None = None
        self._last: Json = None
        self._began = 0.0

    def take(self, at: float, scene: Scene) -> None:
        """Write the changes since the last scene. Raises TrafficError when the file cannot be written."""
        parts = plain(dict(scene.parts))
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
                self._began = at
                head = {"format": FORMAT, "version": VERSION, "panel": self._panel, "names": self._names, "first": parts}
                self._write(head)
            elif parts != self._last:
                self._write({"at": round(at - self._began, 2), "change": change(self._last, parts)})
        except OSError as error:
            raise errors.TrafficError(
                f"The film cannot be saved to {self.path}.", why=error.strerror or str(error), next="df -h .    # or choose another path"
            ) from error
        self._last = parts

    def close(self) -> None:
        """End the file. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, line: Mapping[str, Json]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")


def plain(value: Json) -> Json:
    """As JSON: tuples and arrays become lists, keys become text."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def change(old: Json, new: Json) -> Json:
    """The change from `old` to `new`.

    {"=": value}, {"[]": [number removed, items added]} or {"{}": changes by key, None for a removed key}.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        moved: dict[str, Json] = {key: change(old[key], new[key]) for key in new if key in old and old[key] != new[key]}
        moved |= {key: {"=": new[key]} for key in new if key not in old}
        return {"{}": moved | {key: None for key in old if key not in new}}
    if isinstance(old, list) and isinstance(new, list):
        if old and len(old) == len(new) and isinstance(old[0], dict):
            return {
                "{}": {str(number): change(one, other) for number, (one, other) in enumerate(zip(old, new, strict=True)) if one != other}
            }
        gone = _gone(old, new)
        if gone is not None:
            return {"[]": [gone, new[len(old) - gone :]]}
    return {"=": new}


def _gone(old: Sequence[Json], new: Sequence[Json]) -> int | None:
    """How many entries were removed from the start of `old`, when the rest of it is the start of `new`."""
    for gone in range(min(len(old), _FARTHEST + 1)):
        if len(old) - gone <= len(new) and list(old[gone:]) == list(new[: len(old) - gone]):
            return gone
    return None


def changed(old: Json, given: Json) -> Json:
    """`old` with a `change` applied; this may modify `old`, but not the change, since a film is played more than once."""
    if "=" in given:
        return copy.deepcopy(given["="])
    if "[]" in given:
        gone, came = given["[]"]
        return [*old[gone:], *copy.deepcopy(came)]
    for key, each in given["{}"].items():
        place = int(key) if isinstance(old, list) else key
        if each is None:
            del old[place]
        else:
            old[place] = changed(old[place] if isinstance(old, list) or place in old else None, each)
    return old


def load(path: Path) -> Film:
    """Read a film. Raises TrafficError, naming the line, for a file that is not one or is broken."""
    head, *lines = recording.objects(path)
    if head.get("format") == recording.FORMAT:
        raise errors.TrafficError(
            f"{path} contains requests, not a film of a panel.", why="panel.start(record=...) made it", next=f"panel.replay({str(path)!r})"
        )
    if head.get("format") != FORMAT:
        raise recording.broken(path, 1, f'a film begins with a line that holds "format":"{FORMAT}"')
    if head.get("version") != VERSION:
        raise recording.broken(path, 1, f"it is of format version {head.get('version')!r}; this meshcourse reads version {VERSION}")
    names, first = head.get("names"), head.get("first")
    if not isinstance(names, dict) or not isinstance(first, dict):
        raise recording.broken(path, 1, "the first line must hold the names of the parts and the first scene")
    film = Film(str(head.get("panel", "")), names, Scene(first))
    parts, frames = copy.deepcopy(first), []
    for number, line in enumerate(lines, start=2):
        try:
            second = float(line["at"])
            parts = changed(parts, line["change"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise recording.broken(path, number, f"it does not fit the scene before it ({type(error).__name__}: {error})") from error
        frames.append((second, line["change"]))
    return Film(film.panel, names, film.first, tuple(frames))
