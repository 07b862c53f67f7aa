"""The users of a workshop: who may log in, under which account, with which code.

An account is a name of the hub only; no account of the operating system is made. Names may be written in any script.
"""

from __future__ import annotations

import codecs
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from meshcourse.core.errors import CourseError

INSTRUCTOR: Final = "instructor"
MOST: Final = 200
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that look alike on paper: i, l, o, 0, 1."""
_LONGEST: Final = 24


@dataclass(frozen=True)
class User:
    """A learner, or the instructor, whose `number` is 0. A number never changes: the sandbox's user ids follow from it."""

    number: int
    account: str
    name: str
    code: str
    """Empty for an account of this machine, whose password PAM checks."""


def fold(name: str) -> str:
    """What two spellings of the same name have in common: case, spaces and forms of Unicode do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def instructor() -> User:
    """The instructor, with a long code: it opens the board and every learner's server."""
    return User(0, INSTRUCTOR, INSTRUCTOR, _code(4))


def numbered(count: int) -> list[str]:
    """Names for learners who are not known yet: learner-01, learner-02, ..."""
    return [f"learner-{number:02d}" for number in range(1, count + 1)]


def make(names: Sequence[str], before: Iterable[User] = ()) -> tuple[User, ...]:
    """Users for `names`: those of `before`, then new ones for the names that are new. Raises CourseError for a name that comes twice."""
    found = list(before)
    _must_differ(names)
    known = {fold(user.name) for user in found}
    for name in names:
        if fold(name) not in known:
            taken = {user.account for user in found} | {INSTRUCTOR}
            found.append(User(len(found) + 1, _account(name, len(found) + 1, taken), " ".join(name.split()), _code(2)))
    if len(found) > MOST:
        raise CourseError(f"A workshop has at most {MOST} learners; these are {len(found)}.", next="meshcourse workshop up --learners 30")
    return tuple(found)


def read(content: bytes) -> list[str]:
    """The names in a file: one a line; empty lines and lines that begin with # do not count. Raises CourseError for another encoding."""
    try:
        text = content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CourseError(
            f"Line {line} of the names is not UTF-8 text.",
            why="the file has another encoding, such as Latin-1, or is no text file",
            next="save it as UTF-8    # or: iconv -f LATIN1 -t UTF-8 FILE > names.txt",
        ) from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def find(given: Iterable[User], typed: str) -> User | None:
    """The user whose name or account was typed."""
    wanted = fold(typed)
    return next((user for user in given if wanted in {fold(user.name), user.account}), None)


def _must_differ(names: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not fold(name) or not any(each.isprintable() and not each.isspace() for each in name):
            raise CourseError(f"Name {number} is empty.", next="take it out, or write a name    # one name a line; letters of any script")
        if fold(name) in seen:
            raise CourseError(
                f"Two learners are called {name!r}.",
                why=f"they are names {seen[fold(name)]} and {number}; a name that is typed at the login must belong to one person",
                next="add a letter to one of them, such as the first of the family name",
            )
        seen[fold(name)] = number


def _account(name: str, number: int, taken: set[str]) -> str:
    """Small letters, digits and hyphens, as namespaces and addresses need; learner-07 for a name that has no Latin letter."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST].strip("-")
    if not plain or not plain[0].isalpha():
        plain = f"learner-{number:02d}" if not plain else f"l-{plain}"
    found, turn = plain, 1
    while found in taken:
        turn += 1
        found = f"{plain}-{turn}"
    return found


def _code(groups: int) -> str:
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(groups))
