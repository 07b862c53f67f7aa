"""One inspected request: the routes that the gateway tried, and the proxies that it passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from meshcourse.core import tables
from meshcourse.measure import own_answers
from meshcourse.measure.request_hops import Hop
from meshcourse.measure.route_matching import Step, Verdict
from meshcourse.mesh.envoy.config_dump import Share
from meshcourse.widgets import palette

SIGNS: Final = {Verdict.TAKEN: "✔", Verdict.PASSED_OVER: "✘", Verdict.NOT_ASKED: "○", Verdict.CANNOT_TELL: "?"}
_CELL: Final = "padding:2px 12px 2px 0;text-align:left;border-bottom:1px solid rgba(128,128,128,0.3)"


@dataclass(frozen=True)
class Inspection:
    """One request: as it was sent, the routes tried, the answer (status 0: none) and the proxies passed.

    `names` maps an address to its pod; `closed`: the gateway does not listen on the port; `moved`: its log names a route that it did not
    hold before and after the request.
    """

    asked: str
    steps: tuple[Step, ...] = ()
    status: int = 0
    seconds: float = 0.0
    fault: str = ""
    hops: tuple[Hop, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
    moved: bool = False

    @property
    def taken(self) -> Step | None:
        """The route that was taken, if it is known."""
        return next((step for step in self.steps if step.verdict is Verdict.TAKEN), None)

    @property
    def chosen(self) -> Share | None:
        """The taken route's destination that Envoy chose, by the gateway's log; None when the log names none of them."""
        if self.taken is None or not self.hops:
            return None
        cluster = self.hops[0].cluster
        return next((share for share in self.taken.route.shares if (share.host, share.subset) == (cluster.host, cluster.subset)), None)


def routes(steps: Sequence[Step]) -> str:
    """The routes of the request's host in the order in which the gateway tries them."""
    rows = [
        (
            str(number),
            _named(step, several=len({each.virtual_service for each in steps}) > 1),
            step.route.fits,
            step.route.goes,
            SIGNS[step.verdict],
            _verdict(step),
        )
        for number, step in enumerate(steps, 1)
    ]
    return table(
        ("", "route", "if", "then", "", "this request"),
        rows,
        {number for number, step in enumerate(steps) if step.verdict is Verdict.TAKEN},
    )


def _named(step: Step, *, several: bool) -> str:
    """The route's name; its VirtualService's before it where there is more than one."""
    return " / ".join(filter(None, (step.virtual_service, step.name))) if several else step.name


def _verdict(step: Step) -> str:
    return f"{step.verdict.value}: {step.why}" if step.why else step.verdict.value


def hops(passed: Sequence[Hop], names: Mapping[str, str]) -> str:
    """The proxies that the request passed, in the order of time."""
    rows = []
    for hop in passed:
        entry = hop.entry
        stays = "no further" if entry["upstream_host"] == "-" else ""
        way = "in, to its own application" if hop.inward else stays or f"out, to {hop.cluster.place}"
        sent = "" if hop.inward else names.get(hop.address, hop.address.strip("-"))
        decided = f"this proxy: {own_answers.why(entry)}" if own_answers.by_itself(entry) else entry["code_details"]
        rows.append((hop.pod, way, sent, entry["code"], entry["flags"].strip("-"), f"{entry['duration']} ms", decided))
    return table(("proxy of", "way", "sent to pod", "status", "flags", "took", "who decided"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Iterable[int] = ()) -> str:
    """Rows of plain text as an HTML table, with the rows numbered `marked` highlighted; empty for no rows."""
    style = "border-collapse:collapse;color:inherit;font-size:inherit;display:block;overflow-x:auto"  # scrolls where the window is narrow
    grounds = dict.fromkeys(marked, palette.faint(palette.series(0)))
    return tables.markup(head, rows, style=style, cell=_CELL, grounds=grounds) if rows else ""


def describe(found: Inspection) -> str:
    """A summary in one or two sentences."""
    if not found.status:
        return f"No answer ({found.fault}) after {found.seconds:.1f} s. {_unanswered(found)}".strip()
    return f"HTTP {found.status} after {1000 * found.seconds:.0f} ms. {_decided(found)}"


def _unanswered(found: Inspection) -> str:
    if found.closed:
        return "The gateway does not listen on this port: no Gateway opens it, or its listener waits for its certificate."
    return _decided(found) if found.taken is not None or found.hops else ""


def _decided(found: Inspection) -> str:
    if found.status == HTTPStatus.BAD_REQUEST and found.taken is None and not found.hops:
        return "The gateway answers it itself before it looks for a route: HTTP does not allow such a request."
    if not found.steps:
        return f"The gateway has no route for this Host header: {_by_itself(found)}."
    if found.taken is None:
        unsure = next((step.why for step in found.steps if step.verdict is Verdict.CANNOT_TELL), "")
        unknown = f"Which route matches is unknown until the gateway's log is read: {unsure}."
        return unknown if unsure else f"None of the gateway's routes matches: {_by_itself(found)}."
    number = found.steps.index(found.taken) + 1
    name = f", {found.taken.name}," if found.taken.name else ""
    first = "is the first whose conditions are met" if not found.taken.why else "was taken, by the gateway's log"
    return f"Route {number} of {len(found.steps)}{name} {first}{_went(found)}."


def _went(found: Inspection) -> str:
    """Where the request went by the gateway's log, or why it was not sent on."""
    if found.moved:
        return ", but the gateway's log names another: the rules changed during the request"
    if not found.hops:
        return ""
    entry = found.hops[0].entry
    place = found.chosen.place if found.chosen is not None else found.hops[0].cluster.place
    shares = found.taken.route.shares if found.taken is not None else ()
    if found.chosen is not None and len(shares) > 1:
        place += f", {found.chosen.weight} of {sum(share.weight for share in shares)} by weight"
    if not own_answers.by_itself(entry):
        same = "the gateway's log says the same: " if found.taken is not None and not found.taken.why else ""
        return f"; {same}it went to {place}"
    return f"; the gateway gave the answer itself{f', on the way to {place}' if place else ''}: {own_answers.why(entry)}"


def _by_itself(found: Inspection) -> str:
    """The answer where no route was taken: by the log, or Envoy's 404."""
    if found.hops and own_answers.by_itself(entry := found.hops[0].entry) and "NR" not in entry.flags:
        return f"it gave the answer itself, {own_answers.why(entry)}"
    return f"it answers {found.status or 404} itself"
