"""A chapter's pictures: notebooks/source/pictures/NN_topic.yaml to notebooks/pictures/NN_topic.svg, byte for byte the same every time.

    title: ...        describe: ...          both are read by screen readers
    gap: [60, 40]     smallest room between columns and between rows, in pixels (this is the default)
    boxes:   - {id: gw, at: [1, 0], kind: proxy, text: [ingress gateway, an Envoy], size: [120, 60]}
    groups:  - {id: pod, title: "pod web-v1", around: [envoy, nginx]}      a frame; it may hold groups too
    arrows:  - {from: you, to: gw, label: "GET /", style: dashed, bend: 40, along: 0.5}
    notes:   - {at: [1, 1], text: [first line, second line]}

`at` is [column, row], fractions allowed; columns and rows grow to what is in them. Kinds: app, proxy, control, person, store. Styles: solid
(a request), dashed (configuration), failed. A text is a string or a list of lines; a box's first line is bold. `size` is the least size,
`bend` how far the middle swings to the right, `along` where the label sits (0 to 1). An arrow may join groups, or a box with itself.
A picture whose parts would cover each other is refused, with what to change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.core import errors
from meshcourse.diagrams import svg
from meshcourse.diagrams.model import KINDS, STYLES, Arrow, Box, DiagramError, Group, Lines, Note, Picture, Spot

FOLDER: Final = "pictures"
_FIELDS: Final = {
    "picture": ({"title", "describe", "boxes"}, {"gap", "groups", "arrows", "notes"}),
    "box": ({"id", "at", "text"}, {"kind", "size"}),
    "group": ({"id", "title", "around"}, set()),
    "arrow": ({"from", "to"}, {"label", "style", "bend", "along"}),
    "note": ({"at", "text"}, set()),
}


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
    try:
        return svg.svg(read(source.read_text(encoding="utf-8"), source.stem), source.stem).encode()
    except DiagramError as error:
        raise broken(source.stem, str(error)) from error


def read(text: str, stem: str) -> Picture:
    """A picture from its text. Raises CourseError, naming the entry, for unknown fields, missing fields and unknown names."""
    try:
        return _picture(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise broken(stem, f"it is no YAML: {error}") from error
    except DiagramError as error:
        raise broken(stem, str(error)) from error


def broken(stem: str, why: str) -> errors.CourseError:
    """The error for a picture's source."""
    return errors.CourseError(
        f"notebooks/source/{FOLDER}/{stem}.yaml cannot become a picture.",
        why=why,
        next=f"correct notebooks/source/{FOLDER}/{stem}.yaml and run `meshcourse notebooks build`",
    )


def _picture(content: object) -> Picture:
    fields = _fields(content, "picture")
    picture = Picture(
        title=str(fields["title"]),
        describe=" ".join(str(fields["describe"]).split()),
        boxes=tuple(map(_box, fields["boxes"])),
        groups=tuple(map(_group, fields.get("groups", ()))),
        arrows=tuple(map(_arrow, fields.get("arrows", ()))),
        notes=tuple(map(_note, fields.get("notes", ()))),
        gap=_spot(fields.get("gap", Picture.gap), "gap"),
    )
    _know_all_names(picture)
    return picture


def _box(entry: object) -> Box:
    fields = _fields(entry, "box")
    kind = _one_of(fields.get("kind", Box.kind), KINDS, f"kind of box {fields['id']}")
    where = f"box {fields['id']}"
    return Box(
        str(fields["id"]),
        _spot(fields["at"], where),
        _lines(fields["text"], where),
        kind,
        _spot(fields.get("size", Box.size), where),
    )


def _group(entry: object) -> Group:
    fields = _fields(entry, "group")
    return Group(str(fields["id"]), str(fields["title"]), tuple(map(str, fields["around"])))


def _arrow(entry: object) -> Arrow:
    fields = _fields(entry, "arrow")
    style = _one_of(fields.get("style", Arrow.style), STYLES, f"style of arrow {fields['from']} to {fields['to']}")
    along = fields.get("along")
    return Arrow(
        str(fields["from"]),
        str(fields["to"]),
        _lines(fields.get("label", ""), f"arrow {fields['from']} to {fields['to']}"),
        style,
        _number(fields.get("bend", 0), "bend"),
        None if along is None else _number(along, "along"),
    )


def _note(entry: object) -> Note:
    fields = _fields(entry, "note")
    return Note(_spot(fields["at"], "a note"), _lines(fields["text"], "a note"))


def _fields(entry: object, what: str) -> Mapping[str, Any]:
    needed, allowed = _FIELDS[what]
    if not isinstance(entry, Mapping):
        raise DiagramError(f"a {what} must be fields with names, and this is {entry!r}")
    missing, unknown = needed - set(entry), set(entry) - needed - allowed
    if missing or unknown:
        wrong = [*(f"lacks `{each}`" for each in sorted(missing)), *(f"has `{each}`, which nothing reads" for each in sorted(unknown))]
        raise DiagramError(f"the {what} {entry.get('id') or dict(entry)!r} {' and '.join(wrong)}")
    return entry


def _one_of(value: object, allowed: Lines, what: str) -> str:
    if value not in allowed:
        raise DiagramError(f"the {what} is {value!r}; it can be {', '.join(allowed)}")
    return str(value)


def _spot(value: object, what: str) -> Spot:
    if not isinstance(value, (list, tuple)) or [type(each) in {int, float} for each in value] != [True, True]:
        raise DiagramError(f"{what} has {value!r} where numbers belong, such as [1, 0]")
    return float(value[0]), float(value[1])


def _number(value: object, what: str) -> float:
    return _spot([value, 0], f"`{what}` of an arrow")[0]


def _lines(value: object, what: str) -> Lines:
    for part in value if isinstance(value, list) else (value,):
        if not isinstance(part, (str, int, float)):
            raise DiagramError(f"{what} has {part!r} where text belongs; text with a colon needs quotes")
    lines = list(map(str, value)) if isinstance(value, list) else str(value).split("\n")
    return tuple(line.strip() for line in lines if line.strip())


def _know_all_names(picture: Picture) -> None:
    known: set[str] = set()
    for name in (*(box.id for box in picture.boxes), *(group.id for group in picture.groups)):
        if name in known:
            raise DiagramError(f"two things have the id {name}")
        known.add(name)
    for group in picture.groups:
        later = set(group.around) - {box.id for box in picture.boxes} - {each.id for each in picture.groups[: picture.groups.index(group)]}
        if later or not group.around:
            raise DiagramError(f"group {group.id} is around {sorted(later) or 'nothing'}; it can be around boxes, and groups above it")
    for arrow in picture.arrows:
        for name in (arrow.start, arrow.end):
            if name not in known:
                raise DiagramError(f"an arrow goes to or from {name}, and nothing has that id")
