"""An Outcome as HTML in a notebook, or as plain text in a terminal or an executed copy."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final

from meshcourse.checks.outcome import Outcome, Verdict

# Never colour alone: mark and word have the same meaning. The text colour is the page's own, so dark themes stay readable.
_MARKS: Final = {
    Verdict.NOT_ATTEMPTED: ("○", "#6b7280"),
    Verdict.PASSED: ("✔", "#15803d"),
    Verdict.NOT_YET: ("✘", "#b45309"),
    Verdict.CANNOT_TELL: ("?", "#7c3aed"),
}
_LABELS: Final = {
    Verdict.NOT_ATTEMPTED: ("", "", "to begin"),
    Verdict.PASSED: ("seen", "", ""),
    Verdict.NOT_YET: ("seen", "expected", "hint"),
    Verdict.CANNOT_TELL: ("the cluster's trouble, not yours", "", "type"),
}


def heading(outcome: Outcome) -> str:
    """The first line, for example `✔ Exercise 5.1: passed`."""
    return f"{_MARKS[outcome.verdict][0]} Exercise {outcome.exercise}: {outcome.verdict.value}"


def rows(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """The lines under the heading as (label, text), empty ones left out."""
    seen, expected, hint = _LABELS[outcome.verdict]
    every = (
        ("mind", outcome.note),
        (seen, outcome.seen),
        (expected, outcome.expected),
        (hint, outcome.hint),
        ("how sure", outcome.bound),
    )
    return tuple((label, text) for label, text in every if text)


def plain(outcome: Outcome) -> str:
    """The whole outcome as text."""
    return "\n".join([heading(outcome), *(f"    {label + ': ' if label else ''}{text}" for label, text in rows(outcome))])


def page(outcome: Outcome) -> str:
    """The whole outcome as one HTML block."""
    colour = _MARKS[outcome.verdict][1]
    lines = "".join(
        f'<div style="margin-top:2px">{f"<b>{html.escape(label)}:</b> " if label else ""}{_code(text)}</div>'
        for label, text in rows(outcome)
    )
    return (
        f'<div class="meshcourse-outcome" style="border-left:4px solid {colour};padding:4px 12px;margin:4px 0">'
        f'<div style="color:{colour};font-weight:600">{html.escape(heading(outcome))}</div>{lines}</div>'
    )


def _code(text: str) -> str:
    """`text` as HTML, with text between backticks as code, as in the notebooks' own prose."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


@dataclass(frozen=True)
class Card:
    """What lab.check returns: IPython shows it as HTML, everything else as text."""

    outcome: Outcome

    def __repr__(self) -> str:
        return plain(self.outcome)

    def _repr_html_(self) -> str:
        return page(self.outcome)
