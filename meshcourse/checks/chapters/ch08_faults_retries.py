"""The exercises of chapter 8, faults and retries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from meshcourse.checks import outcome, reachability
from meshcourse.checks.exercises import Exercise, Json, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.measure import binomial, retries, tally
from meshcourse.traffic.results import Result

DOOR: Final = "door"
CHAOS: Final = "chaos.example.com"
PATIENT: Final = "patient.example.com"
CHAIN: Final = "chain.example.com"
GOOD: Final = 200
ABORTED: Final = 503
STRAY: Final = 500
DELAY: Final = 0.5
EACH: Final = 8
ABORTS: Final = 24
"""An answer that Envoy gives by itself costs nothing; half of them aborted would look like all of them once in 16 million."""
MANY: Final = 300
PROBES: Final = 5
UNSTABLE: Final = "/unstable?failure_rate=0.3"
BROKEN: Final = "/status/500"
SEVEN_OF_TEN: Final = "/status/200:0.7,503:0.3"
LEAST_TRIES: Final = 4
MOST_TRIES: Final = 5
STORM: Final = 27
CALM: Final = 4
# How much slower than asked an injected delay may come out on a busy machine, and how fast an undelayed answer must at least be.
SLACK: Final = 1.0


def seen(results: tuple[Result, ...]) -> str:
    """Results counted by status; a fault such as `timeout` stands in place of a status."""
    counted = Counter(result.code for result in results)
    parts = ", ".join(f"{count} × {code}" for code, count in sorted(counted.items()))  # noqa: RUF001 - times
    return f"of {len(results)} requests: {parts}"


def unanswered(exercise: str, results: tuple[Result, ...]) -> Outcome | None:
    """*Cannot tell* when not one request got an HTTP answer."""
    if any(result.status for result in results):
        return None
    return outcome.cannot_tell(exercise, f"no request got an HTTP answer: {results[0].error}", "kubectl get pods -n istio-system")


def all_of(results: tuple[Result, ...], status: int) -> bool:
    """Whether every answer has this status."""
    return all(result.status == status for result in results)


# -- 8.1 ---------------------------------------------------------------------------------------------------------------------------------


def chaos_for_those_who_ask(witness: Witness) -> Outcome:
    """8.1: `x-chaos: abort` gets 503, `x-chaos: delay` waits half a second, 10 % of everybody else get 500."""
    number = "8.1"
    found = witness.virtual_service("chaos")
    if found is None:
        return outcome.not_attempted(number, f"there is no VirtualService `chaos` in namespace {witness.namespace} yet")
    closed = reachability.shut(number, witness, found, host=CHAOS, gateway=DOOR)
    if closed:
        return closed
    return _aborted(number, witness) or _delayed(number, witness) or _everybody(number, witness)


def _ask(witness: Witness, n: int, headers: Mapping[str, str] | None = None) -> tuple[Result, ...]:
    return witness.send(n, host=CHAOS, path="/get", headers=headers)


def _aborted(number: str, witness: Witness) -> Outcome | None:
    got = _ask(witness, ABORTS, {"x-chaos": "abort"})
    lost = unanswered(number, got)
    if lost or all_of(got, ABORTED):
        return lost
    hint = "a rule with `match: [{headers: {x-chaos: {exact: abort}}}]` and `fault: {abort: {httpStatus: 503, percentage: {value: 100}}}`"
    if all_of(got, GOOD):
        hint = (
            "not one request was aborted. A fault without `percentage:` is taken as 0 %, without a word; and rules are tried from top to "
            "bottom: one below a rule that fits every request is never reached"
        )
    elif any(result.status == GOOD for result in got) and any(result.status == STRAY for result in got):
        hint = "these requests met the rule for everybody else: rules are tried from top to bottom, and the first that fits decides"
    elif any(result.status == GOOD for result in got):
        hint = "some got through: `percentage: {value: 100}` aborts them all"
    return outcome.not_yet(number, seen=f"with x-chaos: abort, {seen(got)}", expected=f"{ABORTED} for all of them", hint=hint)


def _delayed(number: str, witness: Witness) -> Outcome | None:
    got = _ask(witness, EACH, {"x-chaos": "delay"})
    fastest = min(result.service_time for result in got)
    if all_of(got, GOOD) and DELAY <= fastest < DELAY + SLACK:
        return None
    where = f"with x-chaos: delay, {seen(got)}, the fastest after {fastest:.2f} s"
    hint = "its rule needs `fault: {delay: {fixedDelay: 500ms, percentage: {value: 100}}}`, and a `route:` to `back` as well"
    undelayed = all_of(got, GOOD) and fastest < DELAY
    if any(result.status == STRAY for result in (*got, *(_ask(witness, MANY, {"x-chaos": "delay"}) if undelayed else ()))):
        hint = "these requests met the rule for everybody else: put the rule that matches x-chaos: delay above it"
    elif undelayed:
        hint = "they were not delayed. A delay without `percentage:` is taken as 0 %, without a word"
    return outcome.not_yet(number, seen=where, expected=f"{GOOD} for all of them, after {DELAY} s", hint=hint)


def _everybody(number: str, witness: Witness) -> Outcome:
    got = _ask(witness, MANY)
    stray = sum(result.status == STRAY for result in got)
    good = sum(result.status == GOOD for result in got)
    band = binomial.accepted(MANY, 0.10)
    expected = f"{band.low} to {band.high} of {MANY} get {STRAY}, all others {GOOD}"
    if good + stray == MANY and stray in band:
        return outcome.passed(number, f"without the header, {seen(got)}", bound=tally.bound(band))
    hint = "the last rule, without `match`, needs `fault: {abort: {httpStatus: 500, percentage: {value: 10}}}`"
    if good == MANY:
        hint += "; without `percentage:` a fault never happens"
    elif good + stray < MANY:
        hint = "all requests but the aborted ones go to `destination: {host: back, port: {number: 8000}}`"
    return outcome.not_yet(number, seen=f"without the header, {seen(got)}", expected=expected, hint=hint)


# -- 8.2 ---------------------------------------------------------------------------------------------------------------------------------


def enough_tries_and_not_more(witness: Witness) -> Outcome:
    """8.2: three tries in ten fail; fewer than one request in a hundred may, with five tries at most."""
    number = "8.2"
    found = witness.virtual_service("patient")
    if found is None:
        return outcome.not_attempted(number, f"there is no VirtualService `patient` in namespace {witness.namespace} yet")
    closed = reachability.shut(number, witness, found, host=PATIENT, gateway=DOOR)
    if closed:
        return closed
    before = _arrived(witness, "back")
    got = witness.send(PROBES, host=PATIENT, path=BROKEN)
    tries = (_arrived(witness, "back") - before) / PROBES
    lost = unanswered(number, got)
    if lost:
        return lost
    if not all_of(got, STRAY):
        return outcome.not_yet(
            number,
            seen=f"{BROKEN}: {seen(got)}",
            expected="back's own answer, 500, each time",
            hint="the route must lead to `destination: {host: back, port: {number: 8000}}`, for every path",
        )
    if not LEAST_TRIES <= tries <= MOST_TRIES:
        return outcome.not_yet(
            number,
            seen=f"a request that keeps failing with 500 reached back {tries:g} times",
            expected=f"{LEAST_TRIES} or {MOST_TRIES} tries",
            hint=_tries_hint(found, tries),
        )
    return _fewer_than_one_in_a_hundred(number, witness, tries)


def _tries_hint(found: Json, tries: float) -> str:
    asked = [rule.get("retries") or {} for rule in found.get("spec", {}).get("http", ())]
    if tries > MOST_TRIES:
        return "too many: each more try is more load on a service that is in trouble. `attempts: 4` are five tries"
    if tries == 1 and any(one.get("attempts") for one in asked):
        return "it was never retried: Istio retries connection failures unasked, a 500 only on request. Name it: `retryOn: 5xx`"
    if tries == 1:
        return "nothing is retried: the rule needs `retries: {attempts: ..., retryOn: 5xx}`"
    return f"{tries:g} tries leave 0.3^{tries:g} = {0.3**tries:.1%} of requests failed, and `attempts` does not count the first try"


def _fewer_than_one_in_a_hundred(number: str, witness: Witness, tries: float) -> Outcome:
    got = witness.send(MANY, host=PATIENT, path=UNSTABLE)
    failed = sum(result.status != GOOD for result in got)
    most = binomial.accepted(MANY, 0.01).high
    bound = f"{MANY} requests; with one in a hundred failing, more than {most} fail at most once in 10,000 checks (exact binomial bound)"
    where = f"{tries:g} tries for a request that keeps failing; of {MANY} whose tries fail 3 times in 10, {failed} failed"
    if failed > most:
        hint = f"{UNSTABLE} answers 500: is that what your `retryOn` names?"
        return outcome.not_yet(number, seen=where, expected=f"at most {most} of {MANY} fail", hint=hint, bound=bound)
    return outcome.passed(number, where, bound=bound)


# -- 8.3 ---------------------------------------------------------------------------------------------------------------------------------


def calm_the_storm(witness: Witness) -> Outcome:
    """8.3: a failing request reaches back four times at most, and nineteen requests in twenty succeed all the same."""
    number = "8.3"
    if witness.virtual_service("front") is None or witness.object("deployment", "back") is None:
        return outcome.not_attempted(number, "the chain is not there: apply 09-chain.yaml and 10-retries-everywhere.yaml (section 7)")
    witness.arrival()
    before = _arrived(witness, "back")
    got = witness.send(PROBES, host=CHAIN, path="/status/503")
    tries = (_arrived(witness, "back") - before) / PROBES
    lost = unanswered(number, got)
    if lost:
        return lost
    if tries == STORM:
        return outcome.not_attempted(number, f"one request that fails still becomes {STORM} at back")
    if not all_of(got, ABORTED):
        return outcome.not_yet(
            number,
            seen=f"/status/503 through the chain: {seen(got)}",
            expected="back's own answer, 503, each time",
            hint="the three VirtualServices still have to lead from the door to front, to middle and to back",
        )
    if tries > CALM:
        return outcome.not_yet(
            number,
            seen=f"one request that fails becomes {tries:g} at back",
            expected=f"{CALM} at most",
            hint="more than one hop still retries, and tries multiply. Leave `retries` at one; the others get `retries: {attempts: 0}`",
        )
    return _still_nineteen_in_twenty(number, witness, tries)


def _still_nineteen_in_twenty(number: str, witness: Witness, tries: float) -> Outcome:
    got = witness.send(MANY, host=CHAIN, path=SEVEN_OF_TEN)
    failed = sum(result.status != GOOD for result in got)
    most = binomial.accepted(MANY, 0.05).high
    bound = f"{MANY} requests; with one in twenty failing, more than {most} fail at most once in 10,000 checks (exact binomial bound)"
    where = f"one request that fails becomes {tries:g} at back; of {MANY} whose tries fail 3 times in 10, {failed} failed"
    if failed > most:
        hint = "no hop retries any more: leave two or three retries on 5xx at one of them"
        return outcome.not_yet(number, seen=where, expected=f"at most {most} of {MANY} fail", hint=hint, bound=bound)
    return outcome.passed(number, where, bound=bound)


def _arrived(witness: Witness, deployment: str) -> int:
    return retries.total(witness.stats(f"deployment/{deployment}", retries.INBOUND), deployment)


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
        counts=True,
    ),
)
