"""Pictures: the same bytes each time, readable on any page, nothing covered, and errors that say what to change."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from contrast import contrast

from meshcourse.authoring import pictures
from meshcourse.authoring.notebooks import notebook
from meshcourse.core import errors
from meshcourse.diagrams import geometry, layout, svg
from meshcourse.diagrams.geometry import Rect
from meshcourse.diagrams.model import Picture

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = NOTEBOOKS / "source" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


def written(**changes: Any) -> str:
    """The source of two boxes and an arrow, with some fields changed."""
    content = {
        "title": "T & U",
        "describe": "A sends <one> request to B.",
        "boxes": [
            {"id": "a", "at": [0, 0], "kind": "person", "text": "A"},
            {"id": "b", "at": [1, 0], "kind": "proxy", "text": ["B", "Envoy"]},
        ],
        "arrows": [{"from": "a", "to": "b", "label": "GET /a-rather-long-path-of-a-request"}],
    }
    return yaml.safe_dump(content | changes)


def made(**changes: Any) -> Picture:
    """The picture of `written`."""
    return pictures.read(written(**changes), "test")


def test_committed_pictures_are_what_their_sources_make() -> None:
    assert pictures.check(SOURCES, NOTEBOOKS / "pictures") == ()


def test_every_picture_that_a_chapter_shows_is_there() -> None:
    for source in (NOTEBOOKS / "source").glob("*.py"):
        cells = notebook(source.read_text(encoding="utf-8"), source.stem, solutions=False)["cells"]
        text = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"])
        for described, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
            assert (NOTEBOOKS / path).is_file(), f"{source.name} shows {path}"
            assert described, f"{path} in {source.name} has no words for who cannot see it"


def test_change_missing_and_orphan_are_noticed(tmp_path: Path) -> None:
    (path, *_) = pictures.build(SOURCES, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"istiod", b"Istiod", 1))
    (tmp_path / "99_gone.svg").write_text("<svg/>")
    complaints = pictures.check(SOURCES, tmp_path)
    assert f"pictures/{path.name} is not what {path.stem}.yaml makes" in complaints
    assert "pictures/99_gone.svg has no source" in complaints
    path.unlink()
    assert f"pictures/{path.name} has not been generated" in pictures.check(SOURCES, tmp_path)


def test_picture_is_read_aloud_and_needs_nothing_from_elsewhere() -> None:
    text = svg.svg(made(), "test")
    root = ET.fromstring(text)  # noqa: S314 - made by us
    assert root.findtext(f"{SVG}title") == "T & U"
    assert root.findtext(f"{SVG}desc") == "A sends <one> request to B."
    assert root.get("aria-labelledby") == "test-title test-desc"
    assert "href" not in text
    assert "url(" not in text
    assert "<script" not in text


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
@pytest.mark.parametrize("colour", [*svg.FILLS.values(), svg.LINE, svg.FAILED])
def test_surfaces_and_lines_stand_out_on_light_and_dark_pages(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3.0


@pytest.mark.parametrize(("surface", "text"), [*((fill, svg.ON_FILL) for fill in svg.FILLS.values()), svg.PLATE, svg.DARK_PLATE])
def test_text_stands_out_on_its_own_surface(surface: str, text: str) -> None:
    assert contrast(surface, text) >= 4.5


def test_all_text_lies_on_a_surface_of_its_own() -> None:
    """Each <text> has a shape before it in its group: the page's colour never matters to what is read."""
    root = ET.fromstring(svg.svg(made(notes=[{"at": [0, 1], "text": "a note"}]), "test"))  # noqa: S314 - made by us
    texts = root.findall(f".//{SVG}text")
    held = [each for group in root.findall(f"{SVG}g") if group[0].tag != f"{SVG}text" for each in group.findall(f"{SVG}text")]
    assert texts
    assert len(held) == len(texts)


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_covered_and_arrows_end_at_borders(source: Path) -> None:
    picture = pictures.read(source.read_text(encoding="utf-8"), source.stem)
    laid = layout.lay(picture)
    labels = [path.label for path in laid.paths if path.label]
    for one, other in itertools.combinations([*laid.boxes.values(), *laid.captions.values(), *laid.notes, *labels], 2):
        assert not one.meets(other)
    for path in laid.paths:
        for name, end in ((path.arrow.start, path.curve.a), (path.arrow.end, path.curve.b)):
            rect = {**laid.boxes, **laid.frames}[name]
            assert rect.holds(end, 1)
            assert not Rect(rect.x, rect.y, rect.w - 2 * 14, rect.h - 2).holds(end, -1)


def test_room_grows_with_a_label_and_no_text_is_wider_than_its_box() -> None:
    short, long = (layout.lay(made(arrows=[{"from": "a", "to": "b", "label": word}])) for word in ("GET", "GET " * 12))
    assert long.boxes["b"].left - long.boxes["a"].right > short.boxes["b"].left - short.boxes["a"].right + 200
    picture = made()
    for box in picture.boxes:
        assert max(geometry.width(line, layout.SMALL) for line in box.text) < layout.lay(picture).boxes[box.id].w


def test_two_arrows_to_and_fro_are_told_apart_and_a_loop_comes_back() -> None:
    arrows = [{"from": "a", "to": "b"}, {"from": "b", "to": "a"}, {"from": "b", "to": "b", "label": "again"}]
    to, fro, loop = layout.lay(made(arrows=arrows)).paths
    assert abs(to.curve.point(0.5)[1] - fro.curve.point(0.5)[1]) > 20
    assert loop.curve.a[1] == loop.curve.b[1]


def test_groups_frame_their_members_and_hold_groups() -> None:
    groups = [{"id": "pod", "title": "a pod", "around": ["b"]}, {"id": "all", "title": "all of it", "around": ["a", "pod"]}]
    laid = layout.lay(made(groups=groups))
    pod, whole = laid.frames["pod"], laid.frames["all"]
    assert geometry.around([pod, laid.boxes["b"]]) == pod
    assert geometry.around([whole, pod, laid.boxes["a"]]) == whole
    assert not laid.captions["pod"].meets(laid.captions["all"])


BOXES = [{"id": "a", "at": [0, 0], "text": "A"}, {"id": "b", "at": [1, 0], "text": "B"}, {"id": "c", "at": [2, 0], "text": "C"}]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"boxes": [{"id": "a", "at": [0, 0]}]}, "lacks `text`"),
        ({"boxes": [{"id": "a", "at": [0, 0], "text": "A", "colour": "red"}]}, "`colour`, which nothing reads"),
        ({"boxes": [{"id": "a", "at": [0, 0], "text": "A", "kind": "proxi"}]}, "app, proxy, control"),
        ({"boxes": [{"id": "a", "at": 0, "text": "A"}]}, "[1, 0]"),
        ({"boxes": [{"id": "a", "at": [0, 0], "text": ["A", {"an Envoy": "it decides"}]}]}, "needs quotes"),
        ({"boxes": [*BOXES, BOXES[0]]}, "two things have the id a"),
        ({"arrows": [{"from": "a", "to": "z"}]}, "nothing has that id"),
        ({"arrows": [{"from": "a", "to": "b", "style": "dotted"}]}, "solid, dashed, failed"),
        ({"arrows": [{"from": "a", "to": "b", "bend": "much"}]}, "`bend`"),
        ({"groups": [{"id": "g", "title": "G", "around": ["z"]}]}, "boxes, and groups above it"),
        ({"boxes": [*BOXES[:2], {"id": "c", "at": [0, 0], "text": "C"}]}, "overlap"),
        ({"boxes": BOXES, "arrows": [{"from": "a", "to": "c"}]}, "runs through box b; give it a `bend`"),
        ({"boxes": BOXES, "groups": [{"id": "g", "title": "G", "around": ["a", "c"]}]}, "box b is inside the frame of group g"),
        ({"arrows": [{"from": "a", "to": "b", "along": 0, "label": "on the border"}]}, "has no place"),
    ],
)
def test_picture_that_cannot_be_drawn_is_refused_with_what_to_change(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    source = tmp_path / "test.yaml"
    source.write_text(written(**changes), encoding="utf-8")
    with pytest.raises(errors.CourseError) as caught:
        pictures.render(source)
    assert why in caught.value.why
    assert "source/pictures/test.yaml" in caught.value.next


def test_a_bend_leads_an_arrow_round_a_box() -> None:
    (path,) = layout.lay(made(boxes=BOXES, arrows=[{"from": "a", "to": "c", "bend": 60, "label": "past b"}])).paths
    assert path.label is not None


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(errors.CourseError, match="cannot become a picture"):
        pictures.read("title: [", "test")
