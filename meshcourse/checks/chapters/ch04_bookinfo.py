"""The exercises of chapter 4, Bookinfo.

4.1 compares the learner's answer with what the Envoys count now; 4.2 and 4.3 sign in as several visitors and judge which versions answered.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import Exercise, Json, Witness
from meshcourse.checks.outcome import Outcome
from meshcourse.measure import proxy_counters, tally
from meshcourse.measure.proxy_counters import Sample
from meshcourse.measure.tally import Tally
from meshcourse.traffic import bookstore
from meshcourse.traffic.results import Result

MANY: Final = 240
FEW: Final = 20
TESTED: Final = 60
"""Requests to a version that fails half of the time: none failing, or all, would be chance once in 10^18."""
LATE: Final = 3.0
"""Seconds within which every line is written, with room to spare."""
_GOOD: Final = 200


# -- 4.1 -----------------------------------------------------------------------------------------------------------------------------------


def who_else_asks_for_ratings(witness: Witness) -> Outcome:
    """4.1: the one workload, besides reviews, that calls ratings itself."""
    given = witness.answer("4.1").strip("\"' ").lower().removeprefix("deployment/").removeprefix("deploy/").removesuffix("-v1")
    if not given:
        return outcome.not_attempted("there is no answer yet")
    sample = proxy_counters.read(witness.connection, witness.namespace)
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
    """What a wrong answer to 4.1 is, and the hint for it."""
    if given.startswith("ratings"):
        return "ratings is the one that is called", "find the arrow that ends at ratings: who stands at its beginning?"
    if given.startswith("reviews"):
        return "reviews calls ratings, as it should", "look for a second arrow to ratings, from a program that is not part of the bookstore"
    wanted = sorted(service for service, workloads in called.items() if any(name.startswith(given) for name in workloads))
    if wanted:
        return (
            f"the Envoy of {given} counts calls to {', '.join(wanted)}",
            "follow the arrow to its end: it must end at ratings, without a stop in between (lab.topology() lists all arrows)",
        )
    known = ", ".join(sorted({member.workload for member in sample.members}))
    return f"there is no {given} that calls anybody", f"the answer is one of these names: {known}"


# -- 4.2 -----------------------------------------------------------------------------------------------------------------------------------


def half_and_half_and_red_for_jason(witness: Witness) -> Outcome:
    """4.2: reviews v1 and v2 half and half for everybody; v3 for jason."""
    found = witness.virtual_service("reviews")
    if found is None:
        return outcome.not_attempted(f"there is no VirtualService `reviews` in namespace {witness.namespace} yet")
    return in_the_mesh(witness, found, "reviews") or _judged(witness)


def _judged(witness: Witness) -> Outcome:
    jason, jane, everybody = (reviews_of(witness, user, n) for user, n in (("jason", FEW), ("jane", FEW), ("", MANY)))
    red, half = tally.share(jason, "v3", 1.0), tally.share(everybody, "v2", 0.5)
    all_answered = "every request is answered"
    findings = (
        (bool(jason.failures), f"as jason, {jason}", all_answered, _FAILED),
        (bool(everybody.failures), f"as nobody, {everybody}", all_answered, _FAILED),
        (not red.ok, f"as jason, {jason}", red.expected, _jason_hint(jason)),
        (not half.ok or everybody.of("v3") > 0, f"as nobody, {everybody}", half.expected, _half_hint(everybody)),
        (jane.of("v3") > 0, f"as jane, {jane}", "v3 is for jason alone", "match the name, not only that there is one: `exact: jason`"),
    )
    for wrong, seen, expected, hint in findings:
        if wrong:
            return outcome.not_yet(seen=seen, expected=expected, hint=hint)
    return outcome.passed(f"{everybody}; as jason, {jason}", bound=half.bound)


_FAILED: Final = (
    "does every subset that the VirtualService names stand in the DestinationRule `reviews`, spelled the same? "
    "(manifests/04_bookinfo/03-destinationrules.yaml defines v1, v2 and v3)"
)


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
    if everybody.of("v1") in {0, everybody.n}:
        return "the last rule needs two destinations, v1 and v2, each with `weight: 50`"
    return "the weights of v1 and v2 should be the same, `weight: 50` each"


def reviews_of(witness: Witness, user: str, n: int) -> Tally:
    """Which versions of reviews answer `n` requests of one visitor."""
    found = ask(witness, bookstore.REVIEWS, user, n)
    return tally.tally((each.version or None, "no reviews" if each.ok else each.code) for each in found)


def ask(witness: Witness, path: str, user: str, n: int, *, mark: str = "") -> Sequence[Result]:
    """Send `n` requests, signed in as `user` if one is named; `mark` is their User-Agent, which Bookinfo's programs hand on."""
    headers = bookstore.sign_in(witness.connection.ingress_url, user)
    return witness.send(n, path=path, headers={**headers, "user-agent": mark} if mark else headers)


def in_the_mesh(witness: Witness, found: Json, service: str) -> Outcome | None:
    """Why the sidecars do not act on VirtualService `found` for calls to `service`, or None when they do."""
    name, spec = found["metadata"]["name"], found.get("spec", {})
    hosts, gateways = list(spec.get("hosts", ())), list(spec.get("gateways", ()))
    full = f"{service}.{witness.namespace}.svc.cluster.local"
    if not {service, full} & set(hosts):
        return outcome.not_yet(
            seen=f"VirtualService {name} is for the hosts {', '.join(hosts) or '(none)'}",
            expected=f"it is for {service}",
            hint=f"`hosts:` holds the name that the calling program uses: `hosts: [{service}]`",
        )
    if gateways and "mesh" not in gateways:
        return outcome.not_yet(
            seen=f"VirtualService {name} is bound to {', '.join(gateways)}, so only that gateway reads it",
            expected="the sidecars read it",
            hint=f"the call to {service} is made inside the mesh, by a pod: leave out `gateways`",
        )
    missing = [line for line in witness.arrival().missing if line.startswith(f"VirtualService {name} ")]
    if missing:
        return outcome.not_yet(
            seen=f"{missing[0]} has not arrived",
            expected="istiod pushes it within a second",
            hint="`istioctl analyze` names what does not fit together",
        )
    return None


# -- 4.3 -----------------------------------------------------------------------------------------------------------------------------------


def a_bad_version_that_only_tess_meets(witness: Witness) -> Outcome:
    """4.3: ratings v2, which fails half of the time, for tess alone."""
    found = witness.virtual_service("ratings")
    if found is None:
        return outcome.not_attempted(f"there is no VirtualService `ratings` in namespace {witness.namespace} yet")
    if witness.object("deployment", "ratings-v2") is None:
        return outcome.not_yet(
            seen="there is no Deployment ratings-v2",
            expected="the version that is to be tested runs",
            hint="kubectl apply -f manifests/04_bookinfo/07-ratings-v2.yaml",
        )
    unread = in_the_mesh(witness, found, "ratings")
    if unread:
        return unread
    for who, n in (("", TESTED), ("jason", FEW)):
        failed = _failed(ask(witness, bookstore.RATINGS, who, n))
        if failed:
            hint = _EVERYBODY_ALL if failed == n else _EVERYBODY_SOME if not who else _JASON
            return outcome.not_yet(
                seen=f"as {who or 'nobody'}, {failed} of {n} requests failed",
                expected="for everybody but tess none fails",
                hint=hint,
            )
    return _tess(witness)


def _tess(witness: Witness) -> Outcome:
    mark = uuid.uuid4().hex
    failed = _failed(ask(witness, bookstore.RATINGS, "tess", TESTED, mark=mark))
    if failed in {0, TESTED}:
        return outcome.not_yet(
            seen=f"as tess, {failed} of {TESTED} requests failed",
            expected="tess meets v2, which fails about half of the time",
            hint=_TESS_NONE if not failed else _TESS_ALL,
        )
    by_v1 = _by_v1(witness, mark)
    if by_v1:
        return outcome.not_yet(
            seen=f"as tess, v1 answered {by_v1} of {TESTED} requests", expected="tess meets v2 each time", hint=_TESS_SOME
        )
    return outcome.passed(f"as tess, {failed} of {TESTED} requests failed; as jason and as nobody, none of {FEW + TESTED}")


def _failed(found: Sequence[Result]) -> int:
    return sum(each.status != _GOOD for each in found)


def _by_v1(witness: Witness, mark: str) -> int:
    """How many of the marked requests ratings v1 has logged. Envoy keeps lines back for up to a second, so both versions are asked."""
    ends = time.monotonic() + LATE
    while True:
        one, two = (len(witness.log(f"deploy/ratings-{version}", containing=mark)) for version in ("v1", "v2"))
        if one + two >= TESTED or time.monotonic() > ends:
            return one
        time.sleep(0.2)


_EVERYBODY_ALL: Final = (
    "everybody's requests fail: a subset that no DestinationRule defines answers 503. Does the DestinationRule `ratings` still have v1?"
)
_EVERYBODY_SOME: Final = "others than tess still meet v2: the last rule, without `match`, has one destination, `subset: v1`"
_JASON: Final = "match the name, not only that somebody has signed in: `end-user: {exact: tess}`"
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
    ),
)
