"""The course's glossary: `lab.word("subset")` shows the entry in notebooks/words.md, which the notebooks link to."""

from __future__ import annotations

import difflib
import re
from typing import Final

from IPython.display import Markdown

from meshcourse.core import errors
from meshcourse.course import chapters

FILE: Final = "words.md"
_ENTRY: Final = re.compile(r"^### (?P<word>.+)\n(?P<meaning>(?:(?!#).*\n?)+)", re.MULTILINE)


def word(wanted: str = "") -> Markdown:
    """What a term of Istio, Envoy or Kubernetes means; without one, all terms in the glossary.

    Raises CourseError for an unknown term, with similar ones.
    """
    known = entries((chapters.folder(FILE) / FILE).read_text(encoding="utf-8"))
    if not wanted:
        return Markdown(f"The words: {', '.join(known)}.")  # type: ignore[no-untyped-call]
    plain = {_plain(each): each for each in known}
    asked = _plain(wanted)
    found = plain.get(asked) or plain.get(asked.removesuffix("s"))
    if found is None:
        near = [plain[each] for each in plain if asked and asked in each] or [
            plain[each] for each in difflib.get_close_matches(asked, plain)
        ]
        raise errors.CourseError(
            f"{wanted!r} is not explained here.",
            why=f"similar words are: {', '.join(near[:5])}" if near else f"there are {len(known)} words",
            next=f'lab.word("{near[0]}")' if near else "lab.word()    # lists them all",
        )
    return Markdown(f"**{found}**: {known[found]}")  # type: ignore[no-untyped-call]


def entries(text: str) -> dict[str, str]:
    """Each word with its meaning, in the order of the file."""
    return {found["word"].strip(): " ".join(found["meaning"].split()) for found in _ENTRY.finditer(text)}


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
