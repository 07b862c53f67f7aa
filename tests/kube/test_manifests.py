"""Invalid YAML is refused before anything is sent, and the message has the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.core import errors
from meshcourse.kube import manifests

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


def test_documents_come_in_order_and_empty_ones_are_left_out() -> None:
    found = manifests.parse(f"# a comment\n---\n{GOOD}---\n---\n{GOOD.replace('name: a', 'name: b')}")
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]


def test_only_comments_are_nothing() -> None:
    assert manifests.parse("# nothing here yet\n") == ()


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a:\n\tb: 1", "line 2", "tab"),
        ("a: b: c", "line 1", "mapping values are not allowed here"),
        ("spec:\n  hosts: [a\n  gateways: [b]", "line 3", "expected"),
    ],
)
def test_broken_yaml_is_shown_with_its_line_and_a_pointer(text: str, line: str, why: str) -> None:
    with pytest.raises(errors.MeshError) as caught:
        manifests.parse(text)
    assert line in caught.value.why
    assert why in caught.value.why
    assert "^" in caught.value.why
    assert caught.value.next


def test_two_objects_without_a_line_between_them_are_refused_and_not_halved() -> None:
    with pytest.raises(errors.MeshError) as caught:
        manifests.parse(GOOD + GOOD)
    assert "line 5" in caught.value.why
    assert "`---`" in caught.value.next
    assert manifests.parse(f"a: &a {{x: 1}}\nb: {{<<: *a, y: 2}}\n{GOOD}")[0]["b"] == {"x": 1, "y": 2}


def test_pointer_stands_under_the_place() -> None:
    with pytest.raises(errors.MeshError) as caught:
        manifests.parse("good: 1\nbad: x: y\n")
    shown = caught.value.why.splitlines()
    assert shown[1].strip() == "bad: x: y"
    assert shown[1][shown[2].index("^")] == ":"


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("- a\n- b", "mapping"),
        ("kind: A\nmetadata: {name: x}", "apiVersion"),
        ("apiVersion: v1\nkind: A", "metadata.name"),
        ("hello", "mapping"),
    ],
)
def test_yaml_that_is_no_object_says_what_it_lacks(text: str, lacking: str) -> None:
    with pytest.raises(errors.MeshError) as caught:
        manifests.parse(text)
    assert lacking in caught.value.why


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.CourseError, match=r"absent\.yaml"):
        manifests.load(tmp_path / "absent.yaml")


def test_every_manifest_of_the_course_is_whole() -> None:
    files = sorted((Path(__file__).parents[2] / "notebooks" / "manifests").glob("*/*.yaml"))
    assert files
    for file in files:
        assert manifests.load(file), file
