"""Labellers: functions that find in a response which version answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from meshcourse.core import errors
from meshcourse.traffic.results import Labeller

VERSION_WORD: Final = r"\bv\d+\b"
"""`v1`, `v2`, ... as separate words, as on the course's pages."""


def body(pattern: str = VERSION_WORD) -> Labeller:
    """The first match of `pattern` in the body (its first group, where it has one). Raises TrafficError for a broken pattern."""
    try:
        search = re.compile(pattern.encode()).search
    except re.error as error:
        raise errors.TrafficError(
            f"{pattern!r} is not a regular expression.", why=str(error), next=r'labels.body(r"\\bv\\d+\\b")'
        ) from error

    def label(status: int, headers: Mapping[str, str], content: bytes) -> str:  # noqa: ARG001 - a Labeller
        found = search(content)
        return (
            (found[1] if found.re.groups else found[0]).decode("utf-8", "replace")
            if found and found[found.re.groups and 1] is not None
            else ""
        )

    return label


def header(name: str) -> Labeller:
    """The value of the response header `name`, such as `x-version`."""

    def label(status: int, headers: Mapping[str, str], content: bytes) -> str:  # noqa: ARG001 - a Labeller
        return headers.get(name, "")

    return label


def only(labeller: Labeller, *, below: int = 400) -> Labeller:
    """`labeller` for statuses below `below`; an error page names no version, even where its text contains one."""

    def label(status: int, headers: Mapping[str, str], content: bytes) -> str:
        return labeller(status, headers, content) if status < below else ""

    return label


def first(*labellers: Labeller) -> Labeller:
    """The label of the first labeller that finds one."""

    def label(status: int, headers: Mapping[str, str], content: bytes) -> str:
        return next((found for each in labellers if (found := each(status, headers, content))), "")

    return label
