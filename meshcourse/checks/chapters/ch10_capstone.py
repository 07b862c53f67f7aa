"""The exercises of chapter 10, the capstone: stop the bleeding, then save the release.

The second is judged by the same objectives as the board shows (measure.objectives), over requests that the check sends at the given rate.
"""

from __future__ import annotations

from typing import Any, Final

from meshcourse.checks import outcome, reachability
from meshcourse.checks.exercises import Exercise, Json, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.core import background
from meshcourse.measure import binomial, labels, objectives, proxy_counters, windows
from meshcourse.measure.objectives import LATENCY, LOAD, SHARE, SUCCESS, Mark, Objectives, Reading
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

SHOP: Final = "checkout.example.com"
GATEWAY: Final = "shop"
RELEASE: Final = {"app": "checkout", "version": "v2"}
WANTED: Final = Objectives()
OLD: Final = "v1"
TESTER: Final = {"x-tester": "yes"}
MANY: Final = 200
FEW: Final = 40
TRIES: Final = 24
"""Enough that v2, which fails half of its requests on Friday, answers at least one: none at all once in a million checks."""
WARM_UP: Final = 1.0
"""Seconds of load before it counts: a broken pod is put out only after it has failed a few times."""
PATIENCE: Final = 3
"""How often the load is sent while the machine is too busy to judge latency."""
HARDLY_ANY: Final = 1.1
"""Tries per request below which v2's retries come to nothing."""
_ALARM: Final = binomial.FALSE_ALARM / 3
"""Three of the four objectives ask chance; each may cry wolf a third as often."""


def stop_the_bleeding(witness: Witness) -> Outcome:
    """10.1: everybody is back on v1, and testers still reach v2."""
    found = witness.virtual_service("checkout")
    if found is None:
        return outcome.not_attempted("there is no VirtualService `checkout`: run section 1")
    everybody = witness.ask(FEW, host=SHOP)
    if not everybody.of("v1") and everybody.of("v2"):
        return outcome.not_attempted(f"everything still goes to v2; {everybody}")
    closed = reachability.service(witness, "checkout", host=SHOP, gateway=GATEWAY)
    if isinstance(closed, Outcome):
        return closed
    everybody = witness.ask(MANY, host=SHOP)
    if everybody.of("v1") != everybody.n:
        hint = "`weight: 100` for v1 and `weight: 0` for v2 in the rule without `match`; pods that run need no users"
        if not everybody.answered:
            hint = "nobody is answered at all: does the last rule, without `match`, lead to `{host: checkout, subset: v1}`?"
        return outcome.not_yet(seen=str(everybody), expected=f"v1 answers all {MANY}", hint=hint)
    testers = witness.ask(TRIES, host=SHOP, headers=TESTER)
    if testers.of("v1") or not testers.of("v2"):
        hint = "put a rule above it: `match: [{headers: {x-tester: {exact: 'yes'}}}]`, to subset v2"
        if testers.of("v2"):
            hint = "the testers' rule needs one destination only, subset v2"
        elif not testers.of("v1"):
            hint = "the testers' rule leads nowhere: is its destination `{host: checkout, subset: v2}`?"
        return outcome.not_yet(seen=f"with x-tester: yes, {testers}", expected="v2 gets all of them (it may fail some)", hint=hint)
    return outcome.passed(f"{everybody}; with x-tester: yes, {testers}: v2 is as it was, and only testers meet it")


def save_the_release(witness: Witness) -> Outcome:
    """10.2: half of the users on v2, and all four objectives hold."""
    found = witness.virtual_service("checkout")
    waiting = _not_begun(witness, found)
    if found is None or waiting:
        return outcome.not_attempted(waiting)
    closed = reachability.service(witness, "checkout", host=SHOP, gateway=GATEWAY)
    if isinstance(closed, Outcome):
        return closed
    reading, busy = Reading(), ""
    for _ in range(PATIENCE):
        results, reading = _measured(witness)
        busy = too_busy(results)
        if not busy:
            break
    if reading.p95 is None:
        return outcome.cannot_tell("no request got an HTTP answer", "kubectl get pods -n istio-system")
    if busy:
        return outcome.cannot_tell(busy, "end what else runs on this machine, and check again")
    marks = objectives.marks(reading, WANTED)
    words = "; ".join(f"{mark.title}: {mark.seen}" for mark in marks)
    failed = next((mark for mark in marks if mark.met is not True), None)
    if failed is None:
        return outcome.passed(words, bound=how_sure())
    hint = _hint(failed, reading, found, witness.object("destinationrule", "checkout") or {})
    return outcome.not_yet(seen=words, expected=f"{failed.title}: {failed.wanted}", hint=hint, bound=how_sure())


def _not_begun(witness: Witness, found: Json | None) -> str:
    """Why there is nothing to judge yet; empty when there is."""
    if found is None:
        return "there is no VirtualService `checkout`: run section 1"
    begun = witness.ask(FEW, host=SHOP)
    if not begun.of("v1") and begun.of("v2"):
        return "everything still goes to v2, as on Friday"
    if begun.of("v1") < begun.n or witness.ask(MANY, host=SHOP).of("v2"):  # a tenth for v2 can hide from the first few
        return ""
    return "v2 gets nothing: no harm is done, but the release is not saved either"


def _measured(witness: Witness) -> tuple[tuple[Result, ...], Reading]:
    """The given load, after a moment of it that does not count."""
    target = Target(witness.connection.ingress_url + "/", host=SHOP)
    _load(target, round(WANTED.rate * WARM_UP))
    before = _arrived(witness)
    results = _load(target, WANTED.requests)
    return results, objectives.of_results(results, _arrived(witness) - before, WANTED.version)


def too_busy(results: tuple[Result, ...]) -> str:
    """Why this machine is no place to judge latency now; empty when it is. v1 answers at once: what it takes is the machine's."""
    latencies = sorted(result.latency for result in results if result.version == OLD and result.ok)
    slowest = windows.percentile(latencies, 0.95)
    if slowest is None or slowest <= WANTED.latency / 2:
        return ""
    return f"even v1, which answers at once, took {1000 * slowest:.0f} ms (p95): this machine is too busy to judge latency"


def _load(target: Target, requests: int) -> tuple[Result, ...]:
    return background.run(sender.send(target, pacing.constant(WANTED.rate, requests=requests), label=labels.header("x-version")))


def _arrived(witness: Witness) -> int:
    """Requests that the release's pods have had."""
    members = proxy_counters.read(witness.connection, witness.namespace).members
    return sum(member.counts.inbound.begun for member in members if RELEASE.items() <= member.labels.items())


def how_sure() -> str:
    """What the judgement may get wrong, in one sentence."""
    failing, slow = (surely(WANTED.requests, int(WANTED.requests * share)) for share in (WANTED.failing, WANTED.slow))
    return (
        f"{WANTED.requests} requests at {WANTED.rate:.0f} per second; a release that truly fails at most {failing:.2%}, is slow for at "
        f"most {slow:.1%} and gets half of the requests is refused at most once in 10,000 checks (exact binomial bounds)"
    )


def surely(n: int, most: int, *, false_alarm: float = _ALARM) -> float:
    """The largest chance for which more than `most` of `n` happen with probability `false_alarm` at most."""
    low, high = 0.0, most / n
    for _ in range(40):
        middle = (low + high) / 2
        if 1.0 - binomial.probability_between(n, middle, 0, most) <= false_alarm:
            low = middle
        else:
            high = middle
    return low


def _hint(failed: Mark, reading: Reading, virtual_service: Json, rule: Json) -> str:
    """What to look at next for the first objective that is not met."""
    retries, outlier = _retries(virtual_service), _outlier(rule)
    return {
        SUCCESS: _success_hint(retries, outlier, reading.tries),
        LATENCY: "a slow try must end early enough for a second one within 500 ms: `perTryTimeout: 250ms`"
        if retries.get("perTryTimeout")
        else "15 % of v2's answers take 1.2 s, and nothing is tried again before they come: give a slow try up, `perTryTimeout: 250ms`",
        SHARE: "half and half: `weight: 50` for v1 and `weight: 50` for v2, in the rule without `match`",
        LOAD: _load_hint(outlier),
    }[failed.name]


def _success_hint(retries: Json, outlier: Json, tries: float | None) -> str:
    if not retries.get("attempts"):
        return "v2 fails some requests by nature; a second try mostly succeeds: `retries: {attempts: 3, retryOn: 5xx, perTryTimeout: ...}`"
    if "5" not in str(retries.get("retryOn", "")):
        return "nothing is retried: Istio retries a 503 only when `retryOn` says so, `retryOn: 5xx`"
    if outlier and tries is not None and tries < HARDLY_ANY:
        return "retries find nobody to go to (UH): do too few consecutive errors put out the two good pods as well?"
    return "more tries are needed, or time for them: `attempts: 3`, and a `timeout` of the route that leaves room for all of them"


def _load_hint(outlier: Json) -> str:
    if not outlier:
        return (
            "one of v2's three pods fails always, and every request that meets it is tried again. A circuit breaker puts it out: "
            "`outlierDetection` in the DestinationRule `checkout`"
        )
    if int(outlier.get("maxEjectionPercent") or 10) < 34:  # noqa: PLR2004 - one pod of three
        return "`maxEjectionPercent` is 10 unless you say more, and 10 % of three pods is no pod: one of three needs 34"
    return "the broken pod is not put out, or comes back too soon: `consecutive5xxErrors: 7`, `interval: 1s`, `baseEjectionTime: 3m`"


def _retries(virtual_service: Json) -> dict[str, Any]:
    """The retries of the rule that holds for everybody: the last one."""
    rules = virtual_service.get("spec", {}).get("http") or [{}]
    return dict(rules[-1].get("retries") or {})


def _outlier(rule: Json) -> Json:
    """The outlier detection that holds for subset v2."""
    spec = rule.get("spec", {})
    subset: Json = next((each for each in spec.get("subsets") or () if each.get("name") == WANTED.version), {})
    for policy in (subset.get("trafficPolicy") or {}, spec.get("trafficPolicy") or {}):
        if policy.get("outlierDetection"):
            return dict(policy["outlierDetection"])
    return {}


EXERCISES: Final = (
    Exercise(
        "10.1",
        "Stop the bleeding",
        (
            "The fastest cure is a number: what are the weights of v1 and v2 in 03-incident.yaml?",
            "Two rules: one that matches the testers' header, above one for everybody.",
            (
                "`match: [{headers: {x-tester: {exact: 'yes'}}}]` to subset v2; then a rule without `match`, v1 with weight 100 and v2 "
                "with weight 0. (`yes` in quotes: YAML takes a bare yes for true.)"
            ),
        ),
        stop_the_bleeding,
    ),
    Exercise(
        "10.2",
        "Save the release",
        (
            "Take the objectives one by one, and look at the board after each change. Which of v2's troubles does a second try cure?",
            "A try that takes 1.2 s must be given up before the next can begin: chapter 7 and section 6 of chapter 8.",
            "One pod fails always. Chapter 6 puts such a pod out; but of three pods one is 33 %, and the default allows 10 %.",
            (
                "VirtualService: weights 50 and 50, `retries: {attempts: 3, retryOn: 5xx, perTryTimeout: 250ms}`. "
                "DestinationRule: `trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7, interval: 1s, baseEjectionTime: 3m, "
                "maxEjectionPercent: 34}}`."
            ),
        ),
        save_the_release,
        watches=WARM_UP + WANTED.seconds + 2.0,
        counts=True,
    ),
)
