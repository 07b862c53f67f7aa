"""The exercises of chapter 8, faults and retries.

Judged by requests that the check sends and by how many of them arrived where: the inbound counters of the sidecars of `front`, `middle` and
`back`, which the chapter's manifests make visible. Exact numbers (10 %, 500 ms) are also read from the gateway's Envoy, where the
learner's rule states them: no number of requests tells 10 % from 11 % in a few seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from meshcourse.checks import destinations, diagnosis, outcome, reachability
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import Exercise, Json, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.measure import binomial, retries
from meshcourse.mesh.envoy import route_actions
from meshcourse.traffic.results import Result

DOOR: Final = "door"
CHAOS: Final = "chaos.example.com"
PATIENT: Final = "patient.example.com"
CHAIN: Final = "chain.example.com"
GOOD: Final = 200
ABORTED: Final = 503
STRAY: Final = 500
DELAY: Final = 0.5
ABORTS: Final = 48
"""An answer that Envoy gives by itself costs nothing; nine of ten aborted would look like all of them once in 150 checks."""
DELAYED: Final = 48
"""One in ten aborted as well would pass once in 150 checks."""
AT_ONCE: Final = 24
TOLERANCE: Final = 0.1
"""Seconds by which the fastest delayed answer may be later than the delay; 700 ms can then not pass for 500 ms."""
PROBES: Final = 6
UNSTABLE: Final = "/unstable?failure_rate=0.3"
BROKEN: Final = "/status/500"
SEVEN_OF_TEN: Final = "/status/200:0.7,503:0.3"
MOST_TRIES: Final = 5
STORM: Final = 27
CALM: Final = 4
_OTHER_PATHS: Final = ("/", "/get?x=1", "/status/204")


def seen(results: tuple[Result, ...]) -> str:
    """Results counted by status; a fault such as `timeout` stands in place of a status."""
    return f"of {len(results)} requests: {diagnosis.told(Counter(result.code for result in results))}"


def all_of(results: tuple[Result, ...], status: int) -> bool:
    """Whether every answer has this status."""
    return all(result.status == status for result in results)


# -- 8.1 ---------------------------------------------------------------------------------------------------------------------------------


def chaos_for_those_who_ask(witness: Witness) -> Outcome:
    """8.1: `x-chaos: abort` gets 503, `x-chaos: delay` waits half a second and is answered, 10 % of everybody else get 500."""
    found = reachability.service(witness, "chaos", host=CHAOS, gateway=DOOR)
    if isinstance(found, Outcome):
        return found
    route = Route(found, CHAOS)
    return _aborted(witness, route) or _delayed(witness, route) or _everybody(witness, route)


def _ask(witness: Witness, n: int, chaos: str = "", *, path: str = "/get", at_once: int = 8) -> tuple[Result, ...]:
    return witness.send(n, host=CHAOS, path=path, headers={"x-chaos": chaos} if chaos else None, at_once=at_once)


def _aborted(witness: Witness, route: Route) -> Outcome | None:
    got, expected = _ask(witness, ABORTS, "abort"), f"{ABORTED} for all of them, from Envoy itself"
    astray = diagnosis.failed(witness, route, got, which="with x-chaos: abort", expected=expected, allowed={str(ABORTED)})
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


def _delayed(witness: Witness, route: Route) -> Outcome | None:
    plain = _fastest(_ask(witness, 12))
    got = _ask(witness, DELAYED, "delay", at_once=AT_ONCE)
    expected = f"{GOOD} for all of them, after {1000 * DELAY:.0f} ms"
    astray = diagnosis.failed(witness, route, got, which="with x-chaos: delay", expected=expected, allowed={str(ABORTED)})
    if astray:
        return astray
    added = _fastest(got) - min(plain, TOLERANCE)
    held = _delay_by_rule(route.rule)
    right = held == DELAY if held is not None else added < DELAY + TOLERANCE
    if all_of(got, GOOD) and _fastest(got) >= DELAY and right:
        return None
    where = f"with x-chaos: delay, {seen(got)}, the fastest after {1000 * _fastest(got):.0f} ms"
    undelayed = _fastest(got) < DELAY / 2
    hint = "its rule needs `fault: {delay: {fixedDelay: 500ms, percentage: {value: 100}}}`, and a `route:` to `back` as well"
    codes = {result.status for result in got}
    if undelayed and STRAY in codes:
        hint = "these requests met the rule for everybody else: put the rule that matches x-chaos: delay above it"
    elif undelayed and codes == {GOOD} and any(result.service_time >= DELAY / 2 for result in got):
        hint = "some were not delayed: `percentage: {value: 100}` delays them all"
    elif undelayed and codes == {GOOD}:
        hint = "they were not delayed. A delay without `percentage:` is taken as 0 %, without a word"
    elif codes != {GOOD}:
        hint = "they wait, and then some are aborted as well: they should be answered, so this rule has a `delay` and no `abort`"
    elif not right or _fastest(got) < DELAY:
        asked = f"the rule says {1000 * held:.0f} ms" if held is not None else f"it is about {1000 * added:.0f} ms"
        hint = f"they wait, but not 500 ms: {asked}. `fixedDelay: 500ms`"
    return outcome.not_yet(seen=where, expected=expected, hint=hint)


def _fastest(results: tuple[Result, ...]) -> float:
    return min(result.service_time for result in results)


def _delay_by_rule(rule: Json) -> float | None:
    """The delay that the rule for `x-chaos: delay` states; None when it is written in a way that is not read here."""
    for each in rule.get("spec", {}).get("http") or ():
        values = [dict(match.get("headers") or {}).get("x-chaos") or {} for match in each.get("match") or ()]
        delay = (each.get("fault") or {}).get("delay") or {}
        if {"exact": "delay"} in values and "fixedDelay" in delay:
            return route_actions.seconds(delay["fixedDelay"])
    return None


def _everybody(witness: Witness, route: Route) -> Outcome:
    trial = binomial.share_is(0.10, 0.15)
    got = _ask(witness, trial.n, at_once=16)
    expected = f"10 % get {STRAY} ({trial.low} to {trial.high} of {trial.n:,}), all others {GOOD}"
    astray = diagnosis.failed(witness, route, got, which="without the header", expected=expected, allowed={str(ABORTED)})
    if astray:
        return astray
    stray, good = (sum(result.status == code for result in got) for code in (STRAY, GOOD))
    exact = _share_by_rule(route.rule)
    if good + stray == trial.n and stray in trial and exact in {None, 10.0}:
        return _others(witness, route) or outcome.passed(f"without the header, {seen(got)}", bound=str(trial))
    lost = diagnosis.astray(witness, route, which=f"without the header, {seen(got)}", expected=expected) if good + stray < trial.n else None
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
    """The percentage that the last rule's abort states; None when it has no plain abort."""
    last = (rule.get("spec", {}).get("http") or [{}])[-1]
    abort = (last.get("fault") or {}).get("abort") or {}
    return float((abort.get("percentage") or {}).get("value", 0)) if abort and not last.get("match") else None


def _others(witness: Witness, route: Route) -> Outcome | None:
    """Requests with another value of the header, and for other paths, are everybody's."""
    for which, headers, path in (
        ("with x-chaos: abort-later", {"x-chaos": "abort-later"}, "/get"),
        ("with x-chaos: delayed", {"x-chaos": "delayed"}, "/get"),
        *((f"for the path {path}", {}, path) for path in _OTHER_PATHS),
    ):
        got = witness.send(24, host=CHAOS, path=path, headers=headers)
        expected = "these are like all others: nine of ten are answered at once"
        astray = diagnosis.failed(witness, route, got, which=which, expected=expected, allowed={str(ABORTED)})
        if astray:
            return astray
        good = [result for result in got if result.ok]
        if len(good) < len(got) / 3 or _fastest(tuple(good)) >= DELAY:
            hint = "match the header's whole value: `x-chaos: {exact: abort}` and `x-chaos: {exact: delay}`, no prefix, no regex"
            if not headers:
                hint = "the rules are for every path of the host: no `uri:` in their `match`"
            return outcome.not_yet(seen=f"{which}, {seen(got)}", expected=expected, hint=hint)
    return None


# -- 8.2 ---------------------------------------------------------------------------------------------------------------------------------


def enough_tries_and_not_more(witness: Witness) -> Outcome:
    """8.2: three tries in ten fail; fewer than one request in a hundred may, with five tries at most."""
    found = reachability.service(witness, "patient", host=PATIENT, gateway=DOOR)
    if isinstance(found, Outcome):
        return found
    route = Route(found, PATIENT)
    tries: dict[str, float] = {}
    for path in (BROKEN, "/status/503"):
        before = _arrived(witness, "back")
        got = witness.send(PROBES, host=PATIENT, path=path)
        tries[path] = (_arrived(witness, "back") - before) / PROBES
        expected = f"back's own answer, {path[-3:]}, each time"
        astray = diagnosis.failed(witness, route, got, which=path, expected=expected, allowed={path[-3:]})
        if astray:
            return astray
        if not all_of(got, int(path[-3:])):
            hint = "the route must lead to `destination: {host: back, port: {number: 8000}}`, for every path"
            return outcome.not_yet(seen=f"{path}: {seen(got)}", expected=expected, hint=hint)
        if tries[path] > MOST_TRIES:
            return outcome.not_yet(
                seen=f"a request that keeps failing with {path[-3:]} reached back {tries[path]:g} times",
                expected=f"{MOST_TRIES} tries at most",
                hint="too many: each more try is more load on a service that is in trouble. `attempts: 4` are five tries",
            )
    return _fewer_than_one_in_a_hundred(witness, route, tries[BROKEN])


def _tries_hint(found: Json, tries: float) -> str:
    asked = [rule.get("retries") or {} for rule in found.get("spec", {}).get("http") or ()]
    if tries == 1 and any(one.get("attempts") for one in asked):
        return "it was never retried: Istio retries connection failures unasked, a 500 only on request. Name it: `retryOn: 5xx`"
    if tries == 1:
        return "nothing is retried: the rule needs `retries: {attempts: ..., retryOn: 5xx}`"
    if tries < 4:  # noqa: PLR2004 - 0.3^4 is below a hundredth
        return f"{tries:g} tries leave 0.3^{tries:g} = {0.3**tries:.1%} of requests failed, and `attempts` does not count the first try"
    if any(one.get("perTryTimeout") for one in asked):
        limit = next(one["perTryTimeout"] for one in asked if one.get("perTryTimeout"))
        return f"`perTryTimeout: {limit}` ends tries that would have been answered: give each try more time, or leave it out"
    return f"{UNSTABLE} answers 500: is that what your `retryOn` names? `retryOn: 5xx`"


def _fewer_than_one_in_a_hundred(witness: Witness, route: Route, tries: float) -> Outcome:
    trial = binomial.share_at_most(0.01, 0.03)
    n = trial.n if tries > 3 else 200  # noqa: PLR2004 - fewer tries cannot do
    got = witness.send(n, host=PATIENT, path=UNSTABLE, at_once=16)
    failed = [result for result in got if result.status != GOOD]
    expected = f"at most {trial.high} of {trial.n:,} fail"
    codes = diagnosis.told(Counter(result.code for result in failed))
    where = f"{tries:g} tries for a request that keeps failing; of {n:,} whose tries fail 3 times in 10, {len(failed)} failed"
    limits = [rule.get("retries", {}).get("perTryTimeout") or rule.get("timeout") for rule in route.rule["spec"].get("http") or ()]
    short = next((each for each in limits if each and route_actions.seconds(each) < _SHORTEST), "")
    if len(failed) not in trial or n != trial.n or short or tries < 4:  # noqa: PLR2004 - 0.3^4 is below a hundredth
        where += f" ({codes})" if failed else ""
        hint = _tries_hint(route.rule, tries)
        if short:
            hint = f"a limit of {short} is shorter than a good answer may take: it ends tries that would succeed. Give a try more time"
        return outcome.not_yet(seen=where, expected=expected, hint=hint, bound=str(trial))
    return outcome.passed(where, bound=str(trial))


_SHORTEST: Final = 0.01
"""Seconds: a limit below that cuts good answers short on any machine, now and then."""


# -- 8.3 ---------------------------------------------------------------------------------------------------------------------------------


def calm_the_storm(witness: Witness) -> Outcome:
    """8.3: a failing request reaches back four times at most, and nineteen requests in twenty succeed all the same."""
    if witness.virtual_service("front") is None:
        return outcome.not_attempted("the chain is not there: apply 09-chain.yaml and 10-retries-everywhere.yaml (section 7)")
    found = reachability.service(witness, "front", host=CHAIN, gateway=DOOR)
    if isinstance(found, Outcome):
        return found
    for name in ("middle", "back"):
        if witness.virtual_service(name) is not None:
            unread = reachability.in_mesh(witness, name, name)
            if isinstance(unread, Outcome):
                return unread
    route = Route(found, CHAIN)
    before = {hop: _arrived(witness, hop) for hop in ("front", "middle", "back")}
    got = witness.send(PROBES, host=CHAIN, path="/status/503")
    tries = {hop: (_arrived(witness, hop) - before[hop]) / PROBES for hop in before}
    if tries["back"] == STORM:
        return outcome.not_attempted(f"one request that fails still becomes {STORM} at back")
    expected = "back's own answer, 503, each time"
    astray = diagnosis.failed(witness, route, got, which="/status/503 through the chain", expected=expected, allowed={str(ABORTED)})
    if astray:
        return _chain(witness, tries) or astray
    if not all_of(got, ABORTED) or not tries["back"]:
        broken = _chain(witness, tries)
        hint = "the three VirtualServices still have to lead from the door to front, to middle and to back"
        return broken or outcome.not_yet(seen=f"/status/503 through the chain: {seen(got)}", expected=expected, hint=hint)
    if tries["back"] > CALM:
        return outcome.not_yet(
            seen=f"one request that fails becomes {_hops(tries)}",
            expected=f"{CALM} at most at back",
            hint=_storm_hint(tries),
        )
    return _still_nineteen_in_twenty(witness, tries)


def _hops(tries: Mapping[str, float]) -> str:
    return ", ".join(f"{tries[hop]:g} at {hop}" for hop in ("front", "middle", "back"))


def _chain(witness: Witness, tries: Mapping[str, float]) -> Outcome | None:
    """Where the chain is broken, when requests do not come as far as back: the first hop that nothing reached."""
    for hop, caller in (("front", "the gateway"), ("middle", "front"), ("back", "middle")):
        if tries[hop]:
            continue
        held = witness.virtual_service(hop)
        around = destinations.surroundings(witness)
        leads = destinations.troubles(around, held) if held else ()
        why = f"; {leads[0].seen}" if leads else ""
        hint = leads[0].hint if leads else f"does VirtualService {hop} still lead to `destination: {{host: {hop}}}`?"
        return outcome.not_yet(seen=f"{caller} reaches no pod of {hop}{why}", expected="requests pass front, middle and back", hint=hint)
    return None


def _storm_hint(tries: Mapping[str, float]) -> str:
    steps = {"front": tries["front"], "middle": tries["middle"] / (tries["front"] or 1), "back": tries["back"] / (tries["middle"] or 1)}
    loud = [hop for hop, factor in steps.items() if factor > 1]
    if len(loud) == 1:
        return f"one hop retries alone, but too often: {steps[loud[0]]:g} tries. `attempts: 3` in VirtualService {loud[0]} are four"
    words = " × ".join(f"{steps[hop]:g} tries for {hop}" for hop in loud)  # noqa: RUF001 - times
    return (
        f"more than one hop still retries, and tries multiply: {words}. Leave `retries` at one; the others get `retries: {{attempts: 0}}`"
    )


def _still_nineteen_in_twenty(witness: Witness, tries: Mapping[str, float]) -> Outcome:
    trial = binomial.share_at_most(0.05, 0.09)
    n = trial.n if tries["back"] > 1 else 200
    got = witness.send(n, host=CHAIN, path=SEVEN_OF_TEN, at_once=16)
    failed = sum(result.status != GOOD for result in got)
    where = f"one request that fails becomes {_hops(tries)}; of {n:,} whose tries fail 3 times in 10, {failed} failed"
    expected = f"at most {trial.high} of {trial.n:,} fail"
    if failed not in trial or n != trial.n:
        hint = "no hop retries any more: leave two or three retries on 5xx at one of them"
        if tries["back"] > 1:
            hint = f"{tries['back']:g} tries leave 0.3^{tries['back']:g} = {0.3 ** tries['back']:.0%} failed: one try more at that hop"
        return outcome.not_yet(seen=where, expected=expected, hint=hint, bound=str(trial))
    return outcome.passed(where, bound=str(trial))


def _arrived(witness: Witness, deployment: str) -> int:
    """Requests that the pods of a Deployment have had, once none is on its way any more."""
    count = -1
    for _ in range(10):
        now = retries.total(witness.stats(f"deployment/{deployment}", retries.INBOUND), deployment)
        if now == count:
            break
        count = now
        time.sleep(0.1)
    return count


EXERCISES: Final = (
    Exercise(
        "8.1",
        "Chaos, for those who ask for it",
        (
            "Three rules under `http:`, each with a `fault:` and a `route:`. Which of them has no `match`, and where must it stand?",
            "A fault needs `percentage: {value: ...}`. Istio accepts one without it, and then it never happens.",
            (
                "From top to bottom: match `x-chaos: {exact: abort}` with `fault: {abort: {httpStatus: 503, percentage: {value: 100}}}`; "
                "match `x-chaos: {exact: delay}` with `fault: {delay: {fixedDelay: 500ms, percentage: {value: 100}}}`; no match, with an "
                "abort of 500 at 10. Each with `route: [{destination: {host: back, port: {number: 8000}}}]`."
            ),
        ),
        chaos_for_those_who_ask,
        objects=("virtualservice/chaos",),
        needs=("back",),
        watches=8.0,
    ),
    Exercise(
        "8.2",
        "Enough tries, and not more",
        (
            "With n tries 0.3^n of the requests fail. For which n is that below 0.01?",
            "`attempts` counts the tries after the first. Which answers Istio retries unasked you saw in section 5: 500 is not one.",
            "`retries: {attempts: 3, retryOn: 5xx}` on a route to `destination: {host: back, port: {number: 8000}}`.",
        ),
        enough_tries_and_not_more,
        objects=("virtualservice/patient",),
        needs=("back",),
        watches=8.0,
        counts=True,
    ),
    Exercise(
        "8.3",
        "Calm the storm",
        (
            "3 × 3 × 3 = 27. What does the product become when two of the three hops try only once?",  # noqa: RUF001 - times
            "Leaving `retries:` out does not quite say it: `retries: {attempts: 0}` does.",
            (
                "Apply the VirtualServices `front` and `middle` of 10-retries-everywhere.yaml again with `retries: {attempts: 0}`, and "
                "leave `back` as it is: its caller is nearest to the failure and repeats the least work."
            ),
        ),
        calm_the_storm,
        objects=("virtualservice/front", "virtualservice/middle", "virtualservice/back"),
        needs=("front", "middle", "back"),
        watches=10.0,
        counts=True,
    ),
)
