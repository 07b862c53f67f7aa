from __future__ import annotations

import pytest

from meshcourse.core.errors import TrafficError
from meshcourse.measure import labels


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"<h1>hello from v1</h1>", "v1"),
        (b"v12\n", "v12"),
        (b"nginx v2, not v3", "v2"),
        (b"", ""),
        (b"envoy", ""),
        (b"rev2d2", ""),
        ("größe v2".encode("latin-1"), "v2"),
    ],
)
def test_the_body_tells_the_version(content: bytes, version: str) -> None:
    assert labels.body()(200, {}, content) == version


def test_a_pattern_may_mark_the_part_that_counts() -> None:
    label = labels.body(r"version: (\w+)")
    assert label(200, {}, b"version: blue") == "blue"
    assert labels.body(r"x(y)?")(200, {}, b"x") == ""


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(TrafficError, match="not a regular expression"):
        labels.body("(")


def test_labellers_combine() -> None:
    label = labels.only(labels.first(labels.header("x-version"), labels.body()))
    assert label(200, {"x-version": "h1"}, b"v2") == "h1"
    assert label(200, {}, b"v2") == "v2"
    assert label(503, {"x-version": "h1"}, b"v2") == ""
