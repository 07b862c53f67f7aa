"""The first exercise of chapter 8: faults for requests that ask for them, and for a tenth of all others.

Judged by requests that the check sends. Exact numbers (10 %, 500 ms) are also read from the rule where they are plain: no number of
requests distinguishes 10 % from 11 % in a few seconds.
"""

from __future__ import annotations

from typing import Final

from meshcourse.checks import diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route, all_of, seen
from meshcourse.checks.exercises import ClusterView
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.measure import binomial
from meshcourse.mesh.envoy import route_actions
from meshcourse.traffic.results import Result

CHAOS: Final = "chaos.example.com"
GOOD: Final = 200
ABORTED: Final = 503
STRAY: Final = 500
DELAY: Final = 0.5
EARLY: Final = 0.01
"""Seconds by which Envoy's timer, which counts whole milliseconds, may end before a delay does, by the caller's clock."""
ABORTS: Final = 48
"""Envoy's own answers are cheap; nine of ten aborted would look like all of them in one of 150 checks."""
DELAYED: Final = 48
"""One in ten aborted as well would pass in one of 150 checks."""
AT_ONCE: Final = 24
TOLERANCE: Final = 0.1
"""Seconds by which the fastest delayed answer may exceed the delay; 700 ms can then not pass for 500 ms."""
_OTHER_PATHS: Final = ("/", "/get?x=1", "/status/204")


def chaos_for_those_who_ask(view: ClusterView) -> Outcome:
    """8.1: `x-chaos: abort` gets 503, `x-chaos: delay` waits half a second and is answered, 10 % of all others get 500."""
    found = reachability.service(view, "chaos", host=CHAOS, gateway="door")
    if isinstance(found, Outcome):
        return found
    rules = found["spec"].get("http") or ()
    if any((rule.get("fault") or {}).get("delay") for rule in rules if not rule.get("match")):
        hint = "take the `delay` out of the rule without `match`: of all others, a tenth gets 500 and the rest are answered at once"
        return outcome.not_yet(seen="the last rule delays requests", expected="only requests with x-chaos: delay wait", hint=hint)
    route, more = Route(found, CHAOS), unasked.found(found, headers=("x-chaos",), faults=True)
    return more or _aborted(view, route) or _delayed(view, route) or _everybody(view, route)


def _ask(view: ClusterView, n: int, chaos: str = "", *, path: str = "/get", at_once: int = 8) -> tuple[Result, ...]:
    return view.send(n, host=CHAOS, path=path, headers={"x-chaos": chaos} if chaos else None, at_once=at_once)


def _aborted(view: ClusterView, route: Route) -> Outcome | None:
    got, expected = _ask(view, ABORTS, "abort"), f"{ABORTED} for all of them, from Envoy itself"
    astray = diagnosis.failed(view, route, got, which="with x-chaos: abort", expected=expected, allowed={str(ABORTED)})
    if astray:
        return astray
    if all_of(got, ABORTED):
        return None
    hint = "a rule with `match: [{headers: {x-chaos: {exact: abort}}}]` and `fault: {abort: {httpStatus: 503, percentage: {value: 100}}}`"
    codes = {result.status for result in got}
    if codes == {GOOD}:
        hint = (
            "not one request was aborted. A fault without `percentage:` is taken as 0 %, without a word; and rules are tried from top to "
            "bottom: one below a rule that fits every request is never reached"
        )
    elif codes == {GOOD, STRAY}:
        hint = "these requests met the rule for everybody else: rules are tried from top to bottom, and the first that fits decides"
    elif codes == {GOOD, ABORTED}:
        hint = "some got through: `percentage: {value: 100}` aborts them all"
    elif len(codes) == 1:
        hint = f"they get {codes.pop()}, and 503 is asked for: `httpStatus: 503`"
    return outcome.not_yet(seen=f"with x-chaos: abort, {seen(got)}", expected=expected, hint=hint)


def _delayed(view: ClusterView, route: Route) -> Outcome | None:
    plain = _fastest(_ask(view, 12))
    got = _ask(view, DELAYED, "delay", at_once=AT_ONCE)
    expected = f"{GOOD} for all of them, after {1000 * DELAY:.0f} ms"
    astray = diagnosis.failed(view, route, got, which="with x-chaos: delay", expected=expected, allowed={str(ABORTED)})
    if astray:
        return astray
    added = _fastest(got) - min(plain, TOLERANCE)
    held = _delay_by_rule(route.rule)
    right = held == DELAY if held is not None else added < DELAY + TOLERANCE
    if all_of(got, GOOD) and _fastest(got) >= DELAY - EARLY and right:
        return None
    where = f"with x-chaos: delay, {seen(got)}, the fastest after {1000 * _fastest(got):.0f} ms"
    undelayed = _fastest(got) < DELAY / 2
    late = sum(result.service_time >= DELAY - EARLY for result in got)  # a busy machine makes a few late, too
    hint = "its rule needs `fault: {delay: {fixedDelay: 500ms, percentage: {value: 100}}}`, and a `route:` to `back` as well"
    codes = {result.status for result in got}
    if undelayed and STRAY in codes:
        hint = "these requests met the rule for everybody else: put the rule that matches x-chaos: delay above it"
    elif undelayed and codes == {GOOD} and late > len(got) / 8:
        hint = "some were not delayed: `percentage: {value: 100}` delays them all"
    elif undelayed and codes == {GOOD}:
        hint = "they were not delayed. A delay without `percentage:` is taken as 0 %, without a word"
    elif codes != {GOOD}:
        hint = "they wait, and then some are aborted as well: they should be answered, so this rule has a `delay` and no `abort`"
    elif not right or _fastest(got) < DELAY - EARLY:
        asked = f"the rule says {1000 * held:.0f} ms" if held is not None else f"it is about {1000 * added:.0f} ms"
        hint = f"they wait, but not 500 ms: {asked}. `fixedDelay: 500ms`"
    return outcome.not_yet(seen=where, expected=expected, hint=hint)


def _fastest(results: tuple[Result, ...]) -> float:
    return min(result.service_time for result in results)


def _delay_by_rule(rule: Json) -> float | None:
    """The delay in the rule for `x-chaos: delay`; None when it is written in another way."""
    for each in rule.get("spec", {}).get("http") or ():
        values = [dict(match.get("headers") or {}).get("x-chaos") or {} for match in each.get("match") or ()]
        delay = (each.get("fault") or {}).get("delay") or {}
        if {"exact": "delay"} in values and "fixedDelay" in delay:
            return route_actions.seconds(delay["fixedDelay"])
    return None


def _everybody(view: ClusterView, route: Route) -> Outcome:
    trial = binomial.share_is(0.10, 0.15)
    got = _ask(view, trial.n, at_once=16)
    expected = f"10 % get {STRAY} ({trial.low} to {trial.high} of {trial.n:,}), all others {GOOD}"
    astray = diagnosis.failed(view, route, got, which="without the header", expected=expected, allowed={str(ABORTED)})
    if astray:
        return astray
    stray, good = (sum(result.status == code for result in got) for code in (STRAY, GOOD))
    exact = _share_by_rule(route.rule)
    if good + stray == trial.n and stray in trial and exact in {None, 10.0}:
        return _others(view, route) or outcome.passed(f"without the header, {seen(got)}", bound=str(trial))
    lost = diagnosis.astray(view, route, which=f"without the header, {seen(got)}", expected=expected) if good + stray < trial.n else None
    if lost:
        return lost
    hint = "the last rule, without `match`, needs `fault: {abort: {httpStatus: 500, percentage: {value: 10}}}`"
    other = next((result.status for result in got if result.status not in {GOOD, STRAY}), 0)
    if good == trial.n:
        hint += "; without `percentage:` a fault never happens"
    elif other:
        hint = f"some get {other}, and 500 is asked for: `httpStatus: 500`"
        if other == ABORTED:
            hint = f"some get 503 where 500 is asked for: in the last rule, `httpStatus: {STRAY}`"
    elif exact is not None and exact != 10.0:  # noqa: PLR2004 - per cent
        hint = f"the rule says {exact:g} %, and 10 % is asked for: `percentage: {{value: 10}}`"
    return outcome.not_yet(seen=f"without the header, {seen(got)}", expected=expected, hint=hint, bound=str(trial))


def _share_by_rule(rule: Json) -> float | None:
    """The percentage of the last rule's abort; None when it has no plain abort."""
    last = (rule.get("spec", {}).get("http") or [{}])[-1]
    abort = (last.get("fault") or {}).get("abort") or {}
    return float((abort.get("percentage") or {}).get("value", 0)) if abort and not last.get("match") else None


def _others(view: ClusterView, route: Route) -> Outcome | None:
    """Requests with another value of the header, or for other paths, count with all others."""
    for which, headers, path in (
        ("with x-chaos: abort-later", {"x-chaos": "abort-later"}, "/get"),
        ("with x-chaos: not-abort", {"x-chaos": "not-abort"}, "/get"),
        ("with x-chaos: delayed", {"x-chaos": "delayed"}, "/get"),
        *((f"for the path {path}", {}, path) for path in _OTHER_PATHS),
    ):
        got = view.send(24, host=CHAOS, path=path, headers=headers)
        expected = "these are like all others: nine of ten are answered at once"
        astray = diagnosis.failed(view, route, got, which=which, expected=expected, allowed={str(ABORTED)})
        if astray:
            return astray
        good = [result for result in got if result.ok]
        if len(good) < len(got) / 3 or _fastest(tuple(good)) >= DELAY:
            hint = "match the header's whole value: `x-chaos: {exact: abort}` and `x-chaos: {exact: delay}`, no prefix, no regex"
            if not headers:
                hint = "the rules are for every path of the host: no `uri:` in their `match`"
            return outcome.not_yet(seen=f"{which}, {seen(got)}", expected=expected, hint=hint)
    return None
