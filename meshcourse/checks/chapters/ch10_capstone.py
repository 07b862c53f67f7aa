"""The exercises of chapter 10, the capstone: stop the bleeding, then save the release.

The second is judged by the same objectives as the panel shows (measure.objectives), over requests that the check sends at the given rate.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from meshcourse.checks import destinations, diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core import background
from meshcourse.core.json_types import Json
from meshcourse.measure import binomial, labels, objectives, proxy_counters, windows
from meshcourse.measure.objectives import LATENCY, LOAD, SHARE, SUCCESS, Mark, Objectives, Reading
from meshcourse.measure.tally import Tally
from meshcourse.mesh.envoy import route_actions
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

SHOP: Final = "checkout.example.com"
GATEWAY: Final = "shop"
RELEASE: Final = {"app": "checkout", "version": "v2"}
WANTED: Final = Objectives()
OLD: Final = "v1"
TESTER: Final = {"x-tester": "yes"}
MANY: Final = 460
"""So many that one in a hundred for v2 would be seen in 99 of 100 checks."""
FEW: Final = 40
TRIES: Final = 24
"""So many that v2, which fails half of its requests at first, answers at least one: none at all in one of a million checks."""
WARM_UP: Final = 1.0
"""Seconds of load before it counts: a broken pod is ejected only after it has failed a few times."""
PATIENCE: Final = 3
"""How often the load is repeated while the machine is too busy to judge latency."""
HARDLY_ANY: Final = 1.1
"""With fewer tries per request, v2's retries have no effect."""
EXACT: Final = 0.02
"""The difference from a half that the rule's share of v2 may have: 49 to 51 and the like are meant as halves."""
SHORTEST_TRY: Final = 0.05
HASTY: Final = 0.01
"""Seconds: a limit for a try below this ends good answers or not by the speed of the machine, so that a pass would be chance."""
PODS: Final = {
    "checkout-v1": (2, "header=x-version:v1"),
    "checkout-v2-a": (2, "header=x-version:v2&delay=1.2s:15&status=503:5"),
    "checkout-v2-b": (1, "header=x-version:v2&status=503"),
}
"""Replicas of the chapter's Deployments, and their pods' behaviour, by 01-checkout.yaml and 02-v2.yaml."""
V2_PODS: Final = 3
_HALF: Final = "half of the requests are answered by v2, and all four objectives hold"
_ALARM: Final = binomial.FALSE_ALARM / 3
"""Three of the four objectives are tested statistically; each may have a third of the false alarms."""


def stop_the_bleeding(view: ClusterView) -> Outcome:
    """10.1: all users are back on v1, and testers still reach v2."""
    if view.virtual_service("checkout") is None:
        return outcome.not_attempted("there is no VirtualService `checkout`: run section 1")
    everybody = view.ask(FEW, host=SHOP)
    if not everybody.of("v1") and everybody.of("v2"):
        return outcome.not_attempted(f"everything still goes to v2; {everybody}")
    found = reachability.service(view, "checkout", host=SHOP, gateway=GATEWAY)
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=tuple(TESTER), splits=True, limits=True) or unasked.also_for(found, *next(iter(TESTER.items())))
    if more:
        return more
    route, expected = Route(found, SHOP), f"v1 answers all {MANY}"
    everybody = view.ask(MANY, host=SHOP)
    if everybody.of("v1") != everybody.n:
        lost = diagnosis.astray(view, route, which=f"everybody, {everybody}", expected=expected) if not everybody.of("v2") else None
        lost = lost or diagnosis.failed(view, route, everybody.failures, which="everybody", expected=expected, allowed={"503"})
        hint = "`weight: 100` for v1 and `weight: 0` for v2 in the rule without `match`; pods that run need no users"
        subsets = (view.object("destinationrule", "checkout") or {}).get("spec", {}).get("subsets") or ()
        if not any(each.get("name") == OLD and (each.get("labels") or {}).get("version") == OLD for each in subsets):
            hint = "in the DestinationRule `checkout`, subset v1 does not mean the pods of v1: `labels: {version: v1}`"
        if not everybody.answered:
            hint = "nobody is answered at all: does the last rule, without `match`, lead to `{host: checkout, subset: v1}`?"
        return lost or outcome.not_yet(seen=str(everybody), expected=expected, hint=hint)
    return _testers(view, route, everybody)


def _testers(view: ClusterView, route: Route, everybody: Tally) -> Outcome:
    expected = "v2 gets all of them (it may fail some)"
    testers = view.ask(TRIES, host=SHOP, headers=TESTER)
    if testers.of("v1") or not testers.of("v2"):
        hint = "put a rule above it: `match: [{headers: {x-tester: {exact: 'yes'}}}]`, to subset v2"
        lost = None
        if testers.of("v2"):
            hint = "the testers' rule needs one destination only, subset v2"
        elif not testers.of("v1"):
            lost = diagnosis.astray(view, route, which=f"with x-tester: yes, {testers}", expected=expected)
            lost = lost or diagnosis.failed(view, route, testers.failures, which="with x-tester: yes", expected=expected, allowed={"503"})
            hint = "the testers' rule leads nowhere: is its destination `{host: checkout, subset: v2}`, and has it no `fault`?"
        return lost or outcome.not_yet(seen=f"with x-tester: yes, {testers}", expected=expected, hint=hint)
    for value in ("no", "yes, please", "oh yes", "Yes"):
        others = view.ask(TRIES, host=SHOP, headers={"x-tester": value})
        if others.of("v1") != others.n:
            hint = "match the whole value and no other: `x-tester: {exact: 'yes'}`"
            return outcome.not_yet(seen=f"with x-tester: {value}, {others}", expected="v1: this is no tester", hint=hint)
    bound = f"{MANY} requests; if one in a hundred went to v2, all would come from v1 at most once in 100 checks"
    return outcome.passed(f"{everybody}; with x-tester: yes, {testers}: v2 is as it was, and only testers meet it", bound=bound)


def save_the_release(view: ClusterView) -> Outcome:
    """10.2: half of the users on v2, all four objectives are met, and only the two rules were changed."""
    waiting = _not_begun(view, view.virtual_service("checkout"))
    if waiting:
        return outcome.not_attempted(waiting)
    found = reachability.service(view, "checkout", host=SHOP, gateway=GATEWAY)
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=tuple(TESTER), splits=True, limits=True)
    if more:
        return more
    rule = view.object("destinationrule", "checkout") or {}
    early = diagnosis.astray(view, Route(found, SHOP), which="the rule for everybody", expected=_HALF) or _touched(view, rule)
    if early:
        return early
    reading, busy = Reading(), ""
    for _ in range(PATIENCE):
        results, reading = _measured(view)
        busy = too_busy(results)
        if not busy:
            break
    if reading.p95 is None:
        codes = Counter(result.code for result in results)
        lost = diagnosis.failed(view, Route(found, SHOP), codes, which="everybody", expected=_HALF)
        return lost or outcome.cannot_tell("no request got an HTTP answer", "kubectl get pods -n istio-system")
    if busy:
        return outcome.cannot_tell(busy, "end what else runs on this machine, and check again")
    marks = objectives.marks(reading, WANTED)
    words = "; ".join(f"{mark.title}: {mark.seen}" for mark in marks)
    failed = next((mark for mark in marks if mark.met is not True), None)
    if failed is not None:
        hint = _hint(failed, reading, found, rule)
        return outcome.not_yet(seen=words, expected=f"{failed.title}: {failed.wanted}", hint=hint, bound=how_sure())
    limit = _retries(found).get("perTryTimeout")
    if limit and route_actions.seconds(limit) < HASTY:
        hint = f"`perTryTimeout: {limit}` is met on an idle machine only: good answers take well under 100 ms, but not always under {limit}"
        return outcome.not_yet(seen=words, expected="the objectives hold on a busier machine too", hint=hint, bound=how_sure())
    share = _share_by_rule(found)
    if share is not None and abs(share - WANTED.share) > EXACT:
        hint = "half and half: `weight: 50` for v1 and `weight: 50` for v2"
        return outcome.not_yet(seen=f"{words}; the rule gives v2 {share:.0%}", expected=_HALF, hint=hint, bound=how_sure())
    return outcome.passed(words, bound=how_sure())


def _share_by_rule(found: Json) -> float | None:
    """The share of v2 in the last rule; None when it has no destinations of its own."""
    entries = (found.get("spec", {}).get("http") or [{}])[-1].get("route") or ()
    weights = [(str((each.get("destination") or {}).get("subset", "")), int(each.get("weight") or 0)) for each in entries]
    total = sum(weight for _, weight in weights)
    return sum(weight for subset, weight in weights if subset == WANTED.version) / total if total else None


def _touched(view: ClusterView, rule: Json) -> Outcome | None:
    """Changes besides the two rules: of Deployments, pods, the Service, or other rules for it."""
    expected = "VirtualService and DestinationRule `checkout` are changed, and nothing else: no pod is touched"
    back = "kubectl apply -f manifests/10_capstone/01-checkout.yaml -f manifests/10_capstone/02-v2.yaml"
    every = {str(each["metadata"]["name"]): each["spec"] for each in view.objects("deployments.apps")}
    for name, (replicas, behaviour) in PODS.items():
        spec = every.get(name) or {}
        arguments = [
            str(each) for one in spec.get("template", {}).get("spec", {}).get("containers") or () for each in one.get("args") or ()
        ]
        if spec.get("replicas") != replicas:
            return outcome.not_yet(
                seen=f"{name} has {spec.get('replicas', 0)} replicas, and had {replicas}",
                expected=expected,
                hint=f"kubectl scale deployment {name} --replicas={replicas}    # the mesh has a cure of its own for a bad pod",
            )
        if behaviour not in arguments:
            return outcome.not_yet(seen=f"the pods of {name} are not what they were: {' '.join(arguments)}", expected=expected, hint=back)
    around = destinations.surroundings(view)
    count = len(around.behind({"app": "checkout", "version": "v2"}))
    selector = around.services.get("checkout", {}).get("spec", {}).get("selector")
    strays = len(around.behind({"app": "checkout"})) - sum(replicas for replicas, _ in PODS.values())
    if strays > 0:
        hint = "a pod whose label was changed runs on without its Deployment: kubectl get pods --show-labels, and delete that one"
        return outcome.not_yet(seen=f"{strays} pods of checkout belong to no Deployment any more", expected=expected, hint=hint)
    if count != V2_PODS or selector != {"app": "checkout"}:
        seen = f"{count} pods carry the labels app=checkout, version=v2; the Service selects {selector}"
        return outcome.not_yet(seen=seen, expected=f"{expected}: {V2_PODS} pods, and app=checkout", hint=back)
    full = f"checkout.{view.namespace}.svc.cluster.local"
    everywhere = (each for each in view.objects("destinationrules.networking.istio.io", namespace="*") if each["spec"].get("host") == full)
    others = [each["metadata"] for each in (*around.rules_for("checkout"), *everywhere)]
    second = next((each for each in others if (each["namespace"], each["name"]) != (view.namespace, "checkout")), None)
    if second:
        hint = f"kubectl -n {second['namespace']} delete destinationrule {second['name']}; what it says belongs into `checkout`"
        return outcome.not_yet(seen=f"there is a second DestinationRule for checkout: {second['name']}", expected=expected, hint=hint)
    subset: Json = next((each for each in rule.get("spec", {}).get("subsets") or () if each.get("name") == WANTED.version), {})
    chosen = len(around.behind({"app": "checkout", **(subset.get("labels") or {})}))
    if chosen != V2_PODS:
        return outcome.not_yet(
            seen=f"subset v2 stands for {chosen} of the {V2_PODS} pods of v2 (its labels: {subset.get('labels')})",
            expected="subset v2 is the whole release",
            hint="leaving a pod out by its label helps until another pod breaks. `outlierDetection` finds the bad one by itself",
        )
    return None


def _not_begun(view: ClusterView, found: Json | None) -> str:
    """Why there is nothing to judge yet; empty when there is."""
    if found is None:
        return "there is no VirtualService `checkout`: run section 1"
    begun = view.ask(FEW, host=SHOP)
    if not begun.of("v1") and begun.of("v2") and _share_by_rule(found) in {None, 1.0}:
        return "everything still goes to v2, as on Friday"
    if begun.of("v1") < begun.n or view.ask(MANY, host=SHOP).of("v2"):  # a tenth for v2 may be missing among the first few
        return ""
    return "v2 gets nothing: no harm is done, but the release is not saved either"


def _measured(view: ClusterView) -> tuple[tuple[Result, ...], Reading]:
    """The results of the given load, after a short start that does not count."""
    target = Target(view.connection.ingress_url + "/", host=SHOP)
    _load(target, round(WANTED.rate * WARM_UP))
    before = _arrived(view)
    results = _load(target, WANTED.requests)
    return results, objectives.of_results(results, _arrived(view) - before, WANTED.version)


def too_busy(results: tuple[Result, ...]) -> str:
    """Why this machine is too busy to judge latency now; empty when it is not. v1 answers at once, so its latency is the machine's."""
    latencies = sorted(result.latency for result in results if result.version == OLD and result.ok)
    slowest = windows.percentile(latencies, 0.95)
    if slowest is None or slowest <= WANTED.latency / 2:
        return ""
    return f"even v1, which answers at once, took {1000 * slowest:.0f} ms (p95): this machine is too busy to judge latency"


def _load(target: Target, requests: int) -> tuple[Result, ...]:
    return background.run(sender.send(target, pacing.constant(WANTED.rate, requests=requests), label=labels.header("x-version")))


def _arrived(view: ClusterView) -> int:
    """Requests that the release's pods have had."""
    members = proxy_counters.read(view.connection, view.namespace).members
    return sum(member.counts.inbound.begun for member in members if RELEASE.items() <= member.labels.items())


def how_sure() -> str:
    """The error probabilities of the judgement, in both directions."""
    n = WANTED.requests
    failing, slow = (surely(n, int(n * share)) for share in (WANTED.failing, WANTED.slow))
    passes = max(binomial.probability_between(n, bad, 0, int(n * share)) for bad, share in ((0.03, WANTED.failing), (0.08, WANTED.slow)))
    return (
        f"{n} requests at {WANTED.rate:.0f} per second; a release that truly fails at most {failing:.2%}, is slow for at most {slow:.1%} "
        f"and gets half of the requests is refused at most once in 10,000 checks; one that fails 3 %, or is slow for 8 %, passes at most "
        f"{passes:.1%} of them (exact binomial bounds); the weights are read from the rule itself"
    )


def surely(n: int, most: int, *, false_alarm: float = _ALARM) -> float:
    """The largest probability for which more than `most` of `n` happen with probability `false_alarm` at most."""
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
    if tries is not None and tries > WANTED.tries:
        return _load_hint(outlier)
    limit = route_actions.seconds(retries.get("perTryTimeout") or "0s")
    if retries.get("perTryTimeout") and limit < SHORTEST_TRY:
        return f"`perTryTimeout: {retries['perTryTimeout']}` ends tries that would be good: v2's good answers take well under 100 ms"
    if outlier and tries is not None and tries < HARDLY_ANY:
        return "retries find no pod (UH): do too few consecutive errors eject the two good pods as well?"
    return "more tries are needed, or time for them: `attempts: 3`, and a `timeout` of the route that leaves room for all of them"


def _load_hint(outlier: Json) -> str:
    if not outlier:
        return (
            "one of v2's three pods fails always, and every request that meets it is tried again. A circuit breaker puts it out: "
            "`outlierDetection` in the DestinationRule `checkout`"
        )
    if int(outlier.get("maxEjectionPercent") or 10) < 34:  # noqa: PLR2004 - one pod of three
        return "`maxEjectionPercent` is 10 unless you say more, and 10 % of three pods is no pod: one of three needs 34"
    if int(outlier.get("minHealthPercent") or 0) > 66:  # noqa: PLR2004 - two pods of three
        return "with one of three pods out, 66 % are left; `minHealthPercent` is higher, so Envoy ignores the ejection: leave it out"
    return "the broken pod is not ejected, or comes back too soon: `consecutive5xxErrors: 7`, `interval: 1s`, `baseEjectionTime: 3m`"


def _retries(virtual_service: Json) -> dict[str, Any]:
    """The retries of the rule for all users: the last one."""
    rules = virtual_service.get("spec", {}).get("http") or [{}]
    return dict(rules[-1].get("retries") or {})


def _outlier(rule: Json) -> Json:
    """The outlier detection that applies to subset v2."""
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
        objects=("virtualservice/checkout",),
        needs=("checkout-v1", "checkout-v2-a"),
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
        objects=("virtualservice/checkout", "destinationrule/checkout"),
        needs=("checkout-v1", "checkout-v2-a"),
        watches=WARM_UP + WANTED.seconds + 2.0,
        counts=True,
    ),
)
