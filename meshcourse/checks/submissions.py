"""The learner's newest answers, and which of them the cluster refused, so that a check says which it judges.

A check reads the cluster. When the newest manifest was refused, the cluster has an older answer, and the Outcome must say so. Only answers
of this kernel are known: those applied by lab.apply, and cells with kubectl or istioctl that failed; not what was typed in a terminal.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import yaml

from meshcourse.checks.exercises import Exercise
from meshcourse.checks.outcome import Outcome, Verdict

_OBJECT: Final = re.compile(r"^kind:\s*(?P<kind>\w+).*?^\s+name:\s*['\"]?(?P<name>[\w.-]+)", re.MULTILINE | re.DOTALL)
_CLOCK: Final = "%H:%M"
_CLOCK_TO_SECONDS: Final = "%H:%M:%S"


@dataclass(frozen=True)
class Submission:
    """One answer: its time, the objects it names (`virtualservice/shop`), and, if it was refused, why and what to do about it."""

    at: dt.datetime
    objects: frozenset[str]
    what: str = "manifest"
    refused: str = ""
    hint: str = ""


def objects(text: str) -> frozenset[str]:
    """The objects that a manifest names, even if it is not valid YAML."""
    try:
        every = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except yaml.YAMLError:
        every = []
    named = ((each.get("kind"), (each.get("metadata") or {}).get("name")) for each in every)
    if read := frozenset(f"{str(kind).lower()}/{name}" for kind, name in named if kind and name):
        return read
    documents = re.split(r"^---", text, flags=re.MULTILINE)
    found = (_OBJECT.search(document) for document in documents)
    return frozenset(f"{each['kind'].lower()}/{each['name']}" for each in found if each)


class Submissions:
    """One kernel's answers, newest last."""

    def __init__(self) -> None:
        self._every: list[Submission] = []

    def note(self, made: Submission) -> None:
        """Add one; only the last hundred are kept."""
        self._every = [*self._every[-100:], made]

    def pending(self, exercise: Exercise, known: Mapping[str, Exercise]) -> Submission | None:
        """The newest answer to `exercise`, if it was refused; None when it was accepted, or when there is none.

        A refused manifest that names no exercise's object may be an answer to any; one that names only another exercise's is not.
        """
        others = {each for one in known.values() if one.number != exercise.number for each in one.objects} - set(exercise.objects)
        mine = [each for each in self._every if _may_answer(each, exercise.objects, others)]
        return mine[-1] if mine and mine[-1].refused else None

    def accepted(self, exercise: Exercise) -> Submission | None:
        """The newest answer to `exercise` that was accepted."""
        mine = [each for each in self._every if not each.refused and each.objects & set(exercise.objects)]
        return mine[-1] if mine else None


def _may_answer(made: Submission, own: Collection[str], others: Collection[str]) -> bool:
    if made.objects & set(own):
        return True
    return bool(made.refused) and not made.objects & set(others)


def remarked(found: Outcome, refused: Submission, judged: dt.datetime | None) -> Outcome:
    """The Outcome, with a sentence about the newest answer if it was refused; `judged` is when the judged one was applied, if known."""
    clock = _CLOCK
    if judged is not None and f"{judged:{_CLOCK}}" == f"{refused.at:{_CLOCK}}":
        clock = _CLOCK_TO_SECONDS
    before = f"the one of {judged:{clock}}" if judged is not None else "what was there before"
    nothing = found.verdict is Verdict.NOT_ATTEMPTED
    rest = "so there is nothing to judge yet" if nothing else f"judged is {before}"
    note = f"your last {refused.what}, of {refused.at:{clock}}, was refused; {rest}. Why it was refused: {refused.refused}"
    if nothing:
        expected = "the cluster accepts it"
        return replace(found, verdict=Verdict.NOT_YET, note=note, expected=expected, hint=refused.hint)
    if found.verdict is Verdict.NOT_YET:
        return replace(found, note=note, hint=refused.hint)
    return replace(found, note=note)
