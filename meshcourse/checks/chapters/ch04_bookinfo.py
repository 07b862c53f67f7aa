"""The exercises of chapter 4, Bookinfo.

4.1 compares the learner's answer with what the Envoys count now; 4.2 and 4.3 sign in as several visitors and judge which versions answered.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from meshcourse.checks import diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.measure import binomial, proxy_counters, tally
from meshcourse.measure.proxy_counters import Sample
from meshcourse.measure.tally import Tally
from meshcourse.traffic import bookstore
from meshcourse.traffic.results import Result

PAGE: Final = "deploy/productpage-v1"
HALF: Final = 0.5
NEAR: Final = 0.62
"""The nearest split that must not pass by chance; the rule's own weights distinguish nearer ones."""
FEW: Final = 20
TESTED: Final = 60
"""Requests to a version that fails half of the time: none failing, or all, has a probability of 1 in 10^18."""
LATE: Final = 3.0
"""Seconds within which every log line is written, with a margin."""
_GOOD: Final = 200


# -- 4.1 -----------------------------------------------------------------------------------------------------------------------------------


def who_else_asks_for_ratings(view: ClusterView) -> Outcome:
    """4.1: the one workload, besides reviews, that calls ratings itself."""
    given = view.answer("4.1").strip("\"' ").lower().removeprefix("deployment/").removeprefix("deploy/").removesuffix("-v1")
    if not given:
        return outcome.not_attempted("there is no answer yet")
    sample = proxy_counters.read(view.connection, view.namespace)
    called = callers(sample)
    others = {name for name in called.get("ratings", ()) if not name.startswith("reviews")}
    if not others:
        return outcome.cannot_tell("at present nobody but reviews calls ratings", "kubectl apply -f manifests/04_bookinfo/06-others.yaml")
    if given in others:
        return outcome.passed(f"the Envoy of {given} counts calls to ratings, and it is the only one besides those of reviews")
    seen, hint = _not_the_caller(given, called, sample)
    return outcome.not_yet(seen=seen, expected="a Deployment whose own Envoy calls ratings", hint=hint)


def callers(sample: Sample) -> dict[str, set[str]]:
    """Service -> the workloads whose Envoys have called it."""
    found: dict[str, set[str]] = {}
    for member in sample.members:
        for destination, calls in member.counts.outbound.items():
            if calls.total:
                found.setdefault(destination.host.partition(".")[0], set()).add(member.workload)
    return found


def _not_the_caller(given: str, called: Mapping[str, set[str]], sample: Sample) -> tuple[str, str]:
    """The kind of a wrong answer to 4.1, and the hint for it."""
    if given.startswith("ratings"):
        return "ratings is the one that is called", "find the arrow that ends at ratings: who stands at its beginning?"
    if given.startswith("reviews"):
        return "reviews calls ratings, as it should", "look for a second arrow to ratings, from a program that is not part of the bookstore"
    wanted = sorted(service for service, workloads in called.items() if any(name.partition("-v")[0] == given for name in workloads))
    if wanted:
        return (
            f"the Envoy of {given} counts calls to {', '.join(wanted)}",
            "follow the arrow to its end: it must end at ratings, without a stop in between (lab.topology() lists all arrows)",
        )
    known = ", ".join(sorted({member.workload for member in sample.members}))
    return f"there is no {given} that calls anybody", f"the answer is one of these names: {known}"


# -- 4.2 -----------------------------------------------------------------------------------------------------------------------------------


def half_and_half_and_red_for_jason(view: ClusterView) -> Outcome:
    """4.2: reviews v1 and v2 half and half for everybody; v3 for jason."""
    found = reachability.in_mesh(view, "reviews", "reviews")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("end-user",), splits=True) or unasked.also_for(found, "end-user", "jason")
    if more:
        return more
    route = Route(found, "reviews:9080", PAGE, view.namespace)
    jason = reviews_of(view, "jason", FEW)
    lost = diagnosis.failed(view, route, jason.failures, which="as jason", expected=_ANSWERED)
    if lost:
        return lost
    if jason.of("v3") != FEW:
        return outcome.not_yet(seen=f"as jason, {jason}", expected="v3 answers all of them", hint=_jason_hint(jason))
    few = reviews_of(view, "", FEW)
    lost = diagnosis.failed(view, route, few.failures, which="as nobody", expected=_ANSWERED)
    if lost:
        return lost
    trial = binomial.share_is(HALF, NEAR)
    everybody = reviews_of(view, "", trial.n) if not few.of("v3") else few
    expected = f"v2 answers half: {trial.low} to {trial.high} of {trial.n:,} requests, v1 the rest, and none fails"
    share = _share_by_rule(found)
    if everybody.of("v3") or everybody.of("v2") not in trial or everybody.failures or share not in {None, HALF}:
        hint = _half_hint(everybody)
        return outcome.not_yet(seen=f"as nobody, {everybody}", expected=expected, hint=hint, bound=str(trial))
    for user in ("jane", "jasonx", "ja", "notjason", "Jason"):
        other = reviews_of(view, user, FEW)
        if other.of("v3") or not other.of("v1") or not other.of("v2"):
            hint = "match the name, not only that there is one, and the whole of it: `exact: jason`"
            return outcome.not_yet(seen=f"as {user}, {other}", expected="v1 and v2, half and half; v3 is for jason alone", hint=hint)
    return outcome.passed(f"{everybody}; as jason, {jason}", bound=str(trial))


def _share_by_rule(found: Json) -> float | None:
    """The share of v2 in the last rule's weights; None when it is written in another way."""
    last = (found.get("spec", {}).get("http") or [{}])[-1]
    weights = [(str(each.get("destination", {}).get("subset", "")), int(each.get("weight") or 0)) for each in last.get("route") or ()]
    total = sum(weight for _, weight in weights)
    return sum(weight for subset, weight in weights if subset == "v2") / total if total and not last.get("match") else None


_ANSWERED: Final = "every request is answered"


def _jason_hint(jason: Tally) -> str:
    if jason.of("v1") and jason.of("v2"):
        return (
            "jason is treated like everybody. Rules are tried from top to bottom, so the rule with `match` comes first; "
            "and it looks at the header `end-user`, spelled so"
        )
    if jason.of("v3"):
        return "jason's rule should have one destination, `subset: v3`, without weights"
    return "jason's rule sends to another version: its destination needs `subset: v3`, the red stars"


def _half_hint(everybody: Tally) -> str:
    if everybody.of("v3"):
        return "v3 is for jason alone: the last rule, without `match`, has the destinations v1 and v2"
    if everybody.failures:
        return "a part of the requests fails: is every destination of the last rule right?"
    if everybody.of("v1") in {0, everybody.n}:
        return "the last rule needs two destinations, v1 and v2, each with `weight: 50`"
    return "the weights of v1 and v2 should be the same, `weight: 50` each"


def reviews_of(view: ClusterView, user: str, n: int) -> Tally:
    """Which versions of reviews answer `n` requests of one visitor."""
    found = ask(view, bookstore.REVIEWS, user, n)
    return tally.tally((each.version or None, "no reviews" if each.ok else each.code) for each in found)


def ask(view: ClusterView, path: str, user: str, n: int, *, mark: str = "") -> Sequence[Result]:
    """Send `n` requests, signed in as `user` if one is named; `mark` is their User-Agent, which Bookinfo's programs forward."""
    headers = bookstore.sign_in(view.connection.ingress_url, user)
    return view.send(n, path=path, headers={**headers, "user-agent": mark} if mark else headers)


# -- 4.3 -----------------------------------------------------------------------------------------------------------------------------------


def a_bad_version_that_only_tess_meets(view: ClusterView) -> Outcome:
    """4.3: ratings v2, which fails half of the time, for tess alone, without a change of the Deployment or the Service."""
    found = reachability.in_mesh(view, "ratings", "ratings")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("end-user",)) or unasked.also_for(found, "end-user", "tess")
    if more:
        return more
    touched = _touched(view)
    if touched:
        return touched
    route = Route(found, "ratings:9080", PAGE, view.namespace)
    for who, n in (("", TESTED), ("jason", FEW), ("tessa", FEW), ("tes", FEW), ("notess", FEW), ("Tess", FEW)):
        failed = Counter(each.code for each in ask(view, bookstore.RATINGS, who, n) if each.status != _GOOD)
        if not failed:
            continue
        which, count = f"as {who or 'nobody'}", sum(failed.values())
        lost = diagnosis.astray(view, route, which=f"{which}, {count} of {n} requests failed", expected=_NONE_FAILS)
        if count == n:
            lost = lost or diagnosis.failed(view, route, failed, which=which, expected=_NONE_FAILS)
        hint = _EVERYBODY_SOME if not who else _NAME
        return lost or outcome.not_yet(seen=f"{which}, {count} of {n} requests failed", expected=_NONE_FAILS, hint=hint)
    return _tess(view, route)


def _touched(view: ClusterView) -> Outcome | None:
    """Changes of the Deployment or the Service."""
    expected = "Deployment ratings-v2 and Service ratings are as they were"
    again = "kubectl apply -f manifests/04_bookinfo/01-bookinfo.yaml -f manifests/04_bookinfo/07-ratings-v2.yaml"
    deployment, service = view.object("deployment", "ratings-v2"), view.object("service", "ratings")
    if deployment is None:
        hint = "kubectl apply -f manifests/04_bookinfo/07-ratings-v2.yaml"
        return outcome.not_yet(seen="there is no Deployment ratings-v2", expected="the version that is to be tested runs", hint=hint)
    labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
    if {"app": "ratings", "version": "v2"}.items() - labels.items() or deployment["spec"].get("replicas") != 1:
        seen = f"the pods of ratings-v2 carry {labels}, and {deployment['spec'].get('replicas')} are wanted"
        return outcome.not_yet(seen=seen, expected=expected, hint=f"{again}; two rules of Istio are enough")
    selector = (service or {}).get("spec", {}).get("selector")
    if selector != {"app": "ratings"}:
        return outcome.not_yet(
            seen=f"Service ratings selects {selector}", expected=expected, hint=f"{again}; two rules of Istio are enough"
        )
    return None


def _tess(view: ClusterView, route: Route) -> Outcome:
    mark = uuid.uuid4().hex
    failed = _failed(ask(view, bookstore.RATINGS, "tess", TESTED, mark=mark))
    if failed in {0, TESTED}:
        lost = diagnosis.astray(view, route, which=f"as tess, {failed} of {TESTED} requests failed", expected=_MEETS) if failed else None
        return lost or outcome.not_yet(
            seen=f"as tess, {failed} of {TESTED} requests failed",
            expected=_MEETS,
            hint=_TESS_NONE if not failed else _TESS_ALL,
        )
    by_v1 = _by_v1(view, mark)
    if by_v1:
        return outcome.not_yet(
            seen=f"as tess, v1 answered {by_v1} of {TESTED} requests", expected="tess meets v2 each time", hint=_TESS_SOME
        )
    seen = f"as tess, {failed} of {TESTED} requests failed; as jason and as nobody, none of {FEW + TESTED}"
    return outcome.passed(seen)


def _failed(found: Sequence[Result]) -> int:
    return sum(each.status != _GOOD for each in found)


def _by_v1(view: ClusterView, mark: str) -> int:
    """How many of the marked requests ratings v1 has logged. Envoy writes its log up to a second late, so both versions' logs are read."""
    ends = time.monotonic() + LATE
    while True:
        one, two = (len(view.log(f"deploy/ratings-{version}", containing=mark)) for version in ("v1", "v2"))
        if one + two >= TESTED or time.monotonic() > ends:
            return one
        time.sleep(0.2)


_MEETS: Final = "tess meets v2, which fails about half of the time"
_NONE_FAILS: Final = "for everybody but tess none fails"
_EVERYBODY_SOME: Final = "others than tess still meet v2: the last rule, without `match`, has one destination, `subset: v1`"
_NAME: Final = "match the name, the whole of it, not only that somebody has signed in: `end-user: {exact: tess}`"
_TESS_NONE: Final = (
    "tess gets v1 like everybody: a rule before the last one matches the header `end-user: {exact: tess}` and sends to `subset: v2`"
)
_TESS_SOME: Final = "tess's rule needs one destination with `subset: v2`: without a subset any pod of the Service gets the request"
_TESS_ALL: Final = (
    "all of tess's requests fail, and v2 fails only half of its own. A subset that is not defined always answers 503: the DestinationRule "
    "`ratings` needs the subset v2 with `labels: {version: v2}`"
)

EXERCISES: Final = (
    Exercise(
        "4.1",
        "Who else asks for ratings?",
        (
            "The topology shows every call as an arrow. Run lab.topology(), or the panel, and look at the arrows that end at ratings.",
            "Two workloads call ratings because reviews v2 and v3 show stars. The third name is the one.",
            'It is one of the two Deployments in manifests/04_bookinfo/06-others.yaml. lab.answer("4.1", "its-name"), with its name.',
        ),
        who_else_asks_for_ratings,
        needs=("search", "ratings-v1"),
    ),
    Exercise(
        "4.2",
        "Half and half, and red stars for jason",
        (
            "Start from manifests/04_bookinfo/05-reviews-jason-v2.yaml: it has both rules. What changes is where they send to.",
            "The rule with `match` comes first and has one destination. The last rule has two destinations, each with a `weight`.",
            (
                "First rule: `match: [{headers: {end-user: {exact: jason}}}]`, destination `subset: v3`. "
                "Last rule: v1 with `weight: 50` and v2 with `weight: 50`."
            ),
        ),
        half_and_half_and_red_for_jason,
        objects=("virtualservice/reviews",),
        needs=("productpage-v1", "reviews-v1", "reviews-v2", "reviews-v3", "ratings-v1"),
        watches=8.0,
    ),
    Exercise(
        "4.3",
        "A bad version that only tess meets",
        (
            "Two objects: the DestinationRule `ratings` says what v1 and v2 are, and a VirtualService `ratings` who gets which.",
            "In manifests/04_bookinfo/03-destinationrules.yaml the rule for `ratings` has v1 alone: add v2 with `labels: {version: v2}`.",
            "The VirtualService: `hosts: [ratings]`; first `end-user: {exact: tess}` to `subset: v2`, then, without `match`, `subset: v1`.",
        ),
        a_bad_version_that_only_tess_meets,
        objects=("virtualservice/ratings", "destinationrule/ratings"),
        needs=("productpage-v1", "reviews-v1", "ratings-v1"),
    ),
)
