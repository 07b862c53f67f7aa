"""The exercises of chapter 8: faults (ch08_faults.py), and retries.

Judged by requests that the check sends and by how many of them arrived where: the inbound counters of the sidecars of `front`, `middle` and
`back`, which the chapter's manifests enable.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from meshcourse.checks import destinations, diagnosis, outcome, reachability, unasked
from meshcourse.checks.chapters.ch08_faults import chaos_for_those_who_ask
from meshcourse.checks.diagnosis import Route, all_of, seen
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.measure import binomial, retries
from meshcourse.mesh.envoy import route_actions

DOOR: Final = "door"
PATIENT: Final = "patient.example.com"
CHAIN: Final = "chain.example.com"
GOOD: Final = 200
ABORTED: Final = 503
PROBES: Final = 6
UNSTABLE: Final = "/unstable?failure_rate=0.3"
BROKEN: Final = "/status/500"
SEVEN_OF_TEN: Final = "/status/200:0.7,503:0.3"
MOST_TRIES: Final = 5
STORM: Final = 27
CALM: Final = 4


# -- 8.2 ---------------------------------------------------------------------------------------------------------------------------------


def enough_tries_and_not_more(view: ClusterView) -> Outcome:
    """8.2: three tries in ten fail; fewer than one request in a hundred may, with five tries at most."""
    found = reachability.service(view, "patient", host=PATIENT, gateway=DOOR)
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, limits=True)
    if more:
        return more
    route = Route(found, PATIENT)
    tries: dict[str, float] = {}
    for path in (BROKEN, "/status/503"):
        before = _arrived(view, "back")
        got = view.send(PROBES, host=PATIENT, path=path)
        tries[path] = (_arrived(view, "back") - before) / PROBES
        expected = f"back's own answer, {path[-3:]}, each time"
        astray = diagnosis.failed(view, route, got, which=path, expected=expected, allowed={path[-3:]})
        if astray:
            return astray
        if not all_of(got, int(path[-3:])):
            hint = "the route must lead to `destination: {host: back, port: {number: 8000}}`, for every path"
            return outcome.not_yet(seen=f"{path}: {seen(got)}", expected=expected, hint=hint)
        if _elsewhere(found):
            hint = "the route must lead to `destination: {host: back, port: {number: 8000}}`"
            return outcome.not_yet(seen=f"the requests go to {_elsewhere(found)}", expected="all go to back, on port 8000", hint=hint)
        if tries[path] > MOST_TRIES:
            return outcome.not_yet(
                seen=f"a request that keeps failing with {path[-3:]} reached back {tries[path]:g} times",
                expected=f"{MOST_TRIES} tries at most",
                hint="too many: each more try is more load on a service that is in trouble. `attempts: 4` are five tries",
            )
    return _fewer_than_one_in_a_hundred(view, route, tries[BROKEN])


def _elsewhere(found: Json) -> str:
    """A destination other than back; empty when there is none."""
    entries = [entry for rule in found.get("spec", {}).get("http") or () for entry in rule.get("route") or ()]
    hosts = [str((entry.get("destination") or {}).get("host", "")) for entry in entries]
    return next((host for host in hosts if host.partition(".")[0] != "back"), "")


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


def _fewer_than_one_in_a_hundred(view: ClusterView, route: Route, tries: float) -> Outcome:
    trial = binomial.share_at_most(0.01, 0.03)
    n = trial.n if tries > 3 else 200  # noqa: PLR2004 - fewer tries cannot do
    got = view.send(n, host=PATIENT, path=UNSTABLE, at_once=16)
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
"""Seconds: a shorter limit occasionally cuts off good answers on any machine."""


# -- 8.3 ---------------------------------------------------------------------------------------------------------------------------------


def calm_the_storm(view: ClusterView) -> Outcome:
    """8.3: a failing request reaches back four times at most, and nineteen requests in twenty still succeed."""
    if view.virtual_service("front") is None:
        return outcome.not_attempted("the chain is not there: apply 09-chain.yaml and 10-retries-everywhere.yaml (section 7)")
    found = reachability.service(view, "front", host=CHAIN, gateway=DOOR)
    if isinstance(found, Outcome):
        return found
    rules = list(found["spec"].get("http") or ())
    for name in ("middle", "back"):
        if view.virtual_service(name) is not None:
            inner = reachability.in_mesh(view, name, name)
            if isinstance(inner, Outcome):
                return inner
            rules += inner["spec"].get("http") or ()
    route = Route({**found, "spec": {**found["spec"], "http": rules}}, CHAIN)
    before = {hop: _arrived(view, hop) for hop in ("front", "middle", "back")}
    got = view.send(PROBES, host=CHAIN, path="/status/503")
    tries = {hop: (_arrived(view, hop) - before[hop]) / PROBES for hop in before}
    if tries["back"] == STORM:
        return outcome.not_attempted(f"one request that fails still becomes {STORM} at back")
    more = unasked.found(route.rule, limits=True)
    if more:
        return more
    expected = "back's own answer, 503, each time"
    astray = diagnosis.failed(view, route, got, which="/status/503 through the chain", expected=expected, allowed={str(ABORTED)})
    if astray:
        return _chain(view, tries) or astray
    if not all_of(got, ABORTED) or not all(tries.values()):
        broken = _chain(view, tries)
        hint = "the three VirtualServices still have to lead from the door to front, to middle and to back"
        return broken or outcome.not_yet(seen=f"/status/503 through the chain: {seen(got)}", expected=expected, hint=hint)
    if tries["back"] > CALM:
        return outcome.not_yet(
            seen=f"one request that fails becomes {_hops(tries)}",
            expected=f"{CALM} at most at back",
            hint=_storm_hint(tries),
        )
    return _still_nineteen_in_twenty(view, route, tries)


def _hops(tries: Mapping[str, float]) -> str:
    return ", ".join(f"{tries[hop]:g} at {hop}" for hop in ("front", "middle", "back"))


def _chain(view: ClusterView, tries: Mapping[str, float]) -> Outcome | None:
    """Where the chain is broken, when no requests reach back: the first hop without any."""
    for hop, caller in (("front", "the gateway"), ("middle", "front"), ("back", "middle")):
        if tries[hop]:
            continue
        held = view.virtual_service(hop)
        around = destinations.surroundings(view)
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


def _still_nineteen_in_twenty(view: ClusterView, route: Route, tries: Mapping[str, float]) -> Outcome:
    trial = binomial.share_at_most(0.05, 0.09)
    n = trial.n if tries["back"] > 2 else 200  # noqa: PLR2004 - two tries leave 9 % failed
    got = view.send(n, host=CHAIN, path=SEVEN_OF_TEN, at_once=16)
    failed = sum(result.status != GOOD for result in got)
    where = f"one request that fails becomes {_hops(tries)}; of {n:,} whose tries fail 3 times in 10, {failed} failed"
    expected = f"at most {trial.high} of {trial.n:,} fail"
    if failed not in trial or n != trial.n:
        limits = [(rule.get("retries") or {}).get("perTryTimeout") for rule in route.rule["spec"].get("http") or ()]
        limit = next((each for each in limits if each), "")
        hint = "no hop retries any more: leave two or three retries on 5xx at one of them"
        if limit and tries["back"] > 1:
            hint = f"`perTryTimeout: {limit}` ends tries that would have been answered: give each try more time, or leave it out"
        elif tries["back"] > 1:
            hint = f"{tries['back']:g} tries leave 0.3^{tries['back']:g} = {0.3 ** tries['back']:.0%} failed: one try more at that hop"
        return outcome.not_yet(seen=where, expected=expected, hint=hint, bound=str(trial))
    return outcome.passed(where, bound=str(trial))


def _arrived(view: ClusterView, deployment: str) -> int:
    """Requests that the pods of a Deployment have had, once none is under way any more."""
    count = -1
    for _ in range(10):
        now = retries.total(view.stats(f"deployment/{deployment}", retries.INBOUND), deployment)
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
