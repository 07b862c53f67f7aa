"""The log of an automatic canary: its steps as rows, with the steps to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshcourse.core import tables
from meshcourse.measure.binomial import Share
from meshcourse.widgets.models.rollout import Plan, Step, Verdict

SIGNS: Final = {Verdict.WATCH: "…", Verdict.PROMOTE: "✔", Verdict.ROLL_BACK: "✘"}


def table(plan: Plan, steps: Sequence[Step]) -> str:
    """The table as HTML."""
    rows = [(f"{step.weight} %", SIGNS[step.verdict], step.verdict.value, str(step.failed), _latency(step), step.why) for step in steps]
    ended = bool(steps) and steps[-1].verdict is Verdict.ROLL_BACK
    rows += [(f"{weight} %", "○", "not reached" if ended else "to come", "", "", "") for weight in plan.steps[len(steps) :]]
    return tables.markup(("weight", "", "step", "failed of the new version's", "p95", "why"), rows, style=tables.SPACED)


def _latency(step: Step) -> str:
    return "" if step.latency is None else f"{1000 * step.latency:.0f} ms"


def describe(plan: Plan, steps: Sequence[Step], since: Share | None = None) -> str:
    """The state of the rollout in one or two sentences; `since` is the failing share of the new version's answers after the end."""
    if not steps:
        return f"Not started: {', '.join(f'{weight} %' for weight in plan.steps)} of the requests, one step after the other."
    last = steps[-1]
    if last.verdict is Verdict.ROLL_BACK:
        return f"Rolled back at {last.weight} %: {last.why}. All requests go to the old version again."
    if last.verdict is Verdict.PROMOTE and len(steps) == len(plan.steps):
        after = f" In the last seconds {since} of its answers failed." if since is not None and since.n else ""
        return f"Done: {last.weight} % of the requests go to the new version.{after}"
    return f"At {last.weight} %: {last.verdict.value}, {last.why}."


def fails(plan: Plan, since: Share | None) -> str:
    """The message when a version fails after its rollout has ended; empty while it does not."""
    if since is None or since.count < 2 or since.low <= plan.failing:  # noqa: PLR2004 - one alone may be bad luck
        return ""
    return f"The new version fails now: {since}. The rollout has ended and no longer watches. Press Back to the old version."
