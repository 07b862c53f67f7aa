"""A chapter's pictures: notebooks/source/pictures/NN_topic.yaml to notebooks/pictures/NN_topic.svg, byte for byte the same every time.

    title: ...        describe: ...          both are read aloud to who cannot see
    gap: [60, 40]     smallest room between columns and between rows, in pixels (this is the default)
    boxes:   - {id: gw, at: [1, 0], kind: proxy, text: [ingress gateway, an Envoy], size: [120, 60]}
    groups:  - {id: pod, title: "pod web-v1", around: [envoy, nginx]}      a frame; it may hold groups too
    arrows:  - {from: you, to: gw, label: "GET /", style: dashed, bend: 40, along: 0.5}
    notes:   - {at: [1, 1], text: [first line, second line]}

`at` is [column, row], fractions allowed; columns and rows grow to what is in them. Kinds: app, proxy, control, person, store. Styles: solid
(a request), dashed (configuration), failed. A text is a string or a list of lines; a box's first line is bold. `size` is the least size,
`bend` how far the middle swings to the right, `along` where the label sits (0 to 1). An arrow may join groups, or a box with itself.
Who runs it: `meshcourse notebooks`, CI, the tests. A picture whose parts would cover each other is refused, with what to change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.core import errors

FOLDER: Final = "pictures"
KINDS: Final = ("app", "proxy", "control", "person", "store")
STYLES: Final = ("solid", "dashed", "failed")
_FIELDS: Final = {
    "picture": ({"title", "describe", "boxes"}, {"gap", "groups", "arrows", "notes"}),
    "box": ({"id", "at", "text"}, {"kind", "size"}),
    "group": ({"id", "title", "around"}, set()),
    "arrow": ({"from", "to"}, {"label", "style", "bend", "along"}),
    "note": ({"at", "text"}, set()),
}

Spot = tuple[float, float]
Lines = tuple[str, ...]


@dataclass(frozen=True)
class Box:
    """A thing: `at` is (column, row), `size` the least width and height in pixels."""

    id: str
    at: Spot
    text: Lines
    kind: str = "app"
    size: Spot = (0, 0)


@dataclass(frozen=True)
class Group:
    """A frame with a title around boxes and groups."""

    id: str
    title: str
    around: Lines


@dataclass(frozen=True)
class Arrow:
    """Who sends to whom."""

    start: str
    end: str
    label: Lines = ()
    style: str = "solid"
    bend: float = 0.0
    along: float | None = None


@dataclass(frozen=True)
class Note:
    """A remark that stands by itself."""

    at: Spot
    text: Lines


@dataclass(frozen=True)
class Picture:
    """A whole picture as its author wrote it, every name in it known."""

    title: str
    describe: str
    boxes: tuple[Box, ...]
    groups: tuple[Group, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    notes: tuple[Note, ...] = ()
    gap: Spot = (60, 40)

    def members(self, name: str) -> tuple[Box, ...]:
        """The boxes of a box (itself) or of a group, however deep."""
        for group in self.groups:
            if group.id == name:
                return tuple(box for inner in group.around for box in self.members(inner))
        return tuple(box for box in self.boxes if box.id == name)


def build(sources: Path, out: Path, *, of: Collection[str] | None = None) -> tuple[Path, ...]:
    """Write one SVG into `out` for each picture in the folder `sources`, or for those `of` some chapters only; returns their paths.

    Raises CourseError for a text that is no picture, or whose parts would cover each other.
    """
    written = []
    for source in sorted(sources.glob("*.yaml")):
        if of is not None and not source.stem.startswith(tuple(of)):
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{source.stem}.svg"
        path.write_bytes(render(source))
        written.append(path)
    return tuple(written)


def check(sources: Path, out: Path) -> tuple[str, ...]:
    """What differs between the pictures in `out` and those that `sources` make; empty when all is as generated."""
    expected = {source.stem: source for source in sorted(sources.glob("*.yaml"))}
    found = {path.stem: path for path in sorted(out.glob("*.svg"))}
    complaints = [f"{FOLDER}/{path.name} has no source" for stem, path in found.items() if stem not in expected]
    for stem, source in expected.items():
        if stem not in found:
            complaints.append(f"{FOLDER}/{stem}.svg has not been generated")
        elif found[stem].read_bytes() != render(source):
            complaints.append(f"{FOLDER}/{stem}.svg is not what {source.name} makes")
    return tuple(complaints)


def render(source: Path) -> bytes:
    """The SVG that a source makes. Raises CourseError."""
    from meshcourse.lab import drawing  # noqa: PLC0415 - drawing builds on this module's shapes

    return drawing.svg(read(source.read_text(encoding="utf-8"), source.stem), source.stem).encode()


def read(text: str, stem: str) -> Picture:
    """A picture from its text. Raises CourseError, naming the entry, for unknown words, missing fields and names that nothing has."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise broken(stem, f"it is no YAML: {error}") from error
    fields = _fields(content, "picture", stem)
    picture = Picture(
        title=str(fields["title"]),
        describe=" ".join(str(fields["describe"]).split()),
        boxes=tuple(_box(entry, stem) for entry in fields["boxes"]),
        groups=tuple(_group(entry, stem) for entry in fields.get("groups", ())),
        arrows=tuple(_arrow(entry, stem) for entry in fields.get("arrows", ())),
        notes=tuple(_note(entry, stem) for entry in fields.get("notes", ())),
        gap=_spot(fields.get("gap", Picture.gap), "gap", stem),
    )
    _know_all_names(picture, stem)
    return picture


def broken(stem: str, why: str) -> errors.CourseError:
    """The error for a picture's source."""
    return errors.CourseError(
        f"notebooks/source/{FOLDER}/{stem}.yaml cannot become a picture.",
        why=why,
        next=f"correct notebooks/source/{FOLDER}/{stem}.yaml and run `meshcourse notebooks build`",
    )


def _box(entry: object, stem: str) -> Box:
    fields = _fields(entry, "box", stem)
    kind = _one_of(fields.get("kind", Box.kind), KINDS, f"kind of box {fields['id']}", stem)
    where = f"box {fields['id']}"
    return Box(
        str(fields["id"]),
        _spot(fields["at"], where, stem),
        _lines(fields["text"], where, stem),
        kind,
        _spot(fields.get("size", Box.size), where, stem),
    )


def _group(entry: object, stem: str) -> Group:
    fields = _fields(entry, "group", stem)
    return Group(str(fields["id"]), str(fields["title"]), tuple(map(str, fields["around"])))


def _arrow(entry: object, stem: str) -> Arrow:
    fields = _fields(entry, "arrow", stem)
    style = _one_of(fields.get("style", Arrow.style), STYLES, f"style of arrow {fields['from']} to {fields['to']}", stem)
    along = fields.get("along")
    return Arrow(
        str(fields["from"]),
        str(fields["to"]),
        _lines(fields.get("label", ""), f"arrow {fields['from']} to {fields['to']}", stem),
        style,
        _number(fields.get("bend", 0), "bend", stem),
        None if along is None else _number(along, "along", stem),
    )


def _note(entry: object, stem: str) -> Note:
    fields = _fields(entry, "note", stem)
    return Note(_spot(fields["at"], "a note", stem), _lines(fields["text"], "a note", stem))


def _fields(entry: object, what: str, stem: str) -> Mapping[str, Any]:
    needed, allowed = _FIELDS[what]
    if not isinstance(entry, Mapping):
        raise broken(stem, f"a {what} must be fields with names, and this is {entry!r}")
    missing, unknown = needed - set(entry), set(entry) - needed - allowed
    if missing or unknown:
        wrong = [*(f"lacks `{each}`" for each in sorted(missing)), *(f"has `{each}`, which nothing reads" for each in sorted(unknown))]
        raise broken(stem, f"the {what} {entry.get('id') or dict(entry)!r} {' and '.join(wrong)}")
    return entry


def _one_of(value: object, allowed: Lines, what: str, stem: str) -> str:
    if value not in allowed:
        raise broken(stem, f"the {what} is {value!r}; it can be {', '.join(allowed)}")
    return str(value)


def _spot(value: object, what: str, stem: str) -> Spot:
    if not isinstance(value, (list, tuple)) or [type(each) in {int, float} for each in value] != [True, True]:
        raise broken(stem, f"{what} has {value!r} where numbers belong, such as [1, 0]")
    return float(value[0]), float(value[1])


def _number(value: object, what: str, stem: str) -> float:
    return _spot([value, 0], f"`{what}` of an arrow", stem)[0]


def _lines(value: object, what: str, stem: str) -> Lines:
    for part in value if isinstance(value, list) else (value,):
        if not isinstance(part, (str, int, float)):
            raise broken(stem, f"{what} has {part!r} where text belongs; text with a colon needs quotes")
    lines = list(map(str, value)) if isinstance(value, list) else str(value).split("\n")
    return tuple(line.strip() for line in lines if line.strip())


def _know_all_names(picture: Picture, stem: str) -> None:
    known: set[str] = set()
    for name in (*(box.id for box in picture.boxes), *(group.id for group in picture.groups)):
        if name in known:
            raise broken(stem, f"two things have the id {name}")
        known.add(name)
    for group in picture.groups:
        later = set(group.around) - {box.id for box in picture.boxes} - {each.id for each in picture.groups[: picture.groups.index(group)]}
        if later or not group.around:
            raise broken(stem, f"group {group.id} is around {sorted(later) or 'nothing'}; it can be around boxes, and groups above it")
    for arrow in picture.arrows:
        for name in (arrow.start, arrow.end):
            if name not in known:
                raise broken(stem, f"an arrow goes to or from {name}, and nothing has that id")
