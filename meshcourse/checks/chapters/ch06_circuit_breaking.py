"""The exercises of chapter 6, circuit breaking."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.checks import diagnosis, outcome, reachability
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.core.json_types import Json
from meshcourse.kube import resources
from meshcourse.measure import admin
from meshcourse.measure.admin import Endpoint
from meshcourse.mesh.envoy import route_actions, traffic_policy
from meshcourse.mesh.envoy.traffic_policy import UNLIMITED
from meshcourse.mesh.install import istioctl

CALLER: Final = "deploy/fortio-deploy"
PORT: Final = 8000
AT_WORK: Final = 2
WAITING: Final = 3
CROWD: Final = 12
MOST_ERRORS: Final = 3
LEAST_SECONDS: Final = 30
HALF: Final = 50
LONGEST_INTERVAL: Final = 10
"""Seconds; Envoy's own choice."""
TWICE: Final = 2
A_MINUTE: Final = 60
PODS: Final = 2
_CODE: Final = re.compile(r"^Code +(-?\d+) : (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """One run of fortio: answers by status. fortio reports no answer as status -1."""

    codes: Mapping[int, int]

    @property
    def n(self) -> int:
        """All requests."""
        return sum(self.codes.values())

    @property
    def good(self) -> int:
        """Answers with status 200."""
        return self.codes.get(200, 0)

    def __str__(self) -> str:
        return f"of {self.n} requests: " + diagnosis.told({"no answer" if code < 0 else code: n for code, n in self.codes.items()})


def fortio(view: ClusterView, url: str, *, connections: int, n: int) -> Load:
    """Send `n` requests over so many connections at once. Raises MeshError when fortio fails."""
    words = ["kubectl", "exec", CALLER, "-c", "fortio", "--", "/usr/bin/fortio", "load", "-quiet"]
    done = view.run(*words, "-c", str(connections), "-qps", "0", "-n", str(n), "-allow-initial-errors", url)
    codes = {int(code): int(count) for code, count in _CODE.findall(done.stdout + done.stderr)}
    if not codes:
        raise errors.MeshError("fortio sent nothing.", why=done.complaint[-300:], next="kubectl get pods    # is fortio-deploy 2/2?")
    return Load(codes)


def name_of(view: ClusterView, service: str) -> str:
    """The cluster's name in Envoy."""
    return f"outbound|{PORT}||{service}.{view.namespace}.svc.cluster.local"


def held(view: ClusterView, service: str) -> Json:
    """The Service's cluster as fortio's Envoy holds it."""
    proxy, host = f"{CALLER}.{view.namespace}", f"{service}.{view.namespace}.svc.cluster.local"
    clusters = istioctl.read_json(view.connection, "proxy-config", "clusters", proxy, "--fqdn", host)
    found = traffic_policy.find(clusters, host, "")
    if found is None:
        raise errors.MeshError(
            f"fortio's Envoy knows no Service {service}.",
            why="the chapter's manifest 08-exercises.yaml makes it",
            next="kubectl apply -f manifests/06_circuit_breaking/08-exercises.yaml",
        )
    return dict(found)


def endpoints(view: ClusterView, service: str) -> tuple[Endpoint, ...]:
    """The Service's endpoints as fortio's Envoy sees them now."""
    page = "clusters?format=json"
    done = view.run("kubectl", "exec", CALLER, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", page)
    if done.code:
        raise resources.refusal(done, "the request for Envoy's endpoints")
    return admin.endpoints(json.loads(done.stdout), name_of(view, service))


def counter(view: ClusterView, service: str, stat: str) -> int:
    """One of Envoy's counters for the Service."""
    return sum(value for name, value in view.stats(CALLER, f"{service}.{view.namespace}.svc", stat).items() if name.endswith(stat))


# -- 6.1 ---------------------------------------------------------------------------------------------------------------------------------


def two_at_work_three_waiting(view: ClusterView) -> Outcome:
    """6.1: `reports` works on two requests at a time, three wait, the others are refused at once."""
    rule = reachability.rule(view, "reports")
    if isinstance(rule, Outcome):
        return rule
    url = f"http://reports:{PORT}"
    few = fortio(view, f"{url}/get", connections=1, n=5)
    if few.good != few.n:
        hint = "`kubectl get pods`: is reports 2/2? Then let the check run once more"
        return outcome.not_yet(seen=f"one caller alone, {few}", expected="all are answered", hint=hint)
    before = counter(view, "reports", "upstream_rq_pending_overflow")
    many = fortio(view, f"{url}/delay/0.4", connections=CROWD, n=CROWD)
    refused = counter(view, "reports", "upstream_rq_pending_overflow") - before
    seen = f"{CROWD} callers at once, {many}; Envoy counted {refused} as overflow"
    found = traffic_policy.held(held(view, "reports"))
    wrong = _limits_hint(found)
    if wrong and _pool_of_port(rule):
        wrong = (
            f"what `portLevelSettings` say of port {PORT} is in force in place of what stands beside them, and what they leave out has no "
            "limit: write both limits in one place"
        )
    if not wrong and refused == 0:
        wrong = "the limits are right and yet nobody was refused: run the check once more, and look at `kubectl get pods`"
    if wrong:
        limits = f"Envoy holds {_limit(found.max_connections)} connections and {_limit(found.max_pending_requests)} waiting requests"
        return outcome.not_yet(
            seen=f"{seen}; {limits}", expected=f"{AT_WORK} connections, {WAITING} waiting requests, the rest refused", hint=wrong
        )
    return outcome.passed(seen)


def _pool_of_port(rule: Json) -> bool:
    """Whether the rule has a `connectionPool` for the port alone beside the one for all."""
    policy = rule.get("spec", {}).get("trafficPolicy") or {}
    alone = (each for each in policy.get("portLevelSettings") or () if each.get("port", {}).get("number") == PORT)
    return bool(policy.get("connectionPool")) and any(each.get("connectionPool") for each in alone)


def _limit(number: int) -> str:
    return "unlimited" if number == UNLIMITED else str(number)


def _limits_hint(found: traffic_policy.Policy) -> str:
    if (found.max_connections, found.max_pending_requests) == (AT_WORK, WAITING):
        return ""
    if (found.max_connections, found.max_pending_requests) == (WAITING, AT_WORK):
        return "the two numbers are the wrong way round: connections are those at work, pending requests those that wait"
    if found.max_pending_requests == UNLIMITED:
        return "without `http1MaxPendingRequests` (0 counts as none) the queue has no end, and nobody is refused. Set it under `http:`"
    if found.max_connections == UNLIMITED:
        return "HTTP/1.1 does one request at a time on a connection, so *two at work* is a limit of connections, under `tcp:`"
    if found.max_pending_requests == AT_WORK + WAITING:
        return "those at work do not count among those that wait: three may wait"
    if found.max_connections != AT_WORK:
        return f"two at work: `maxConnections` is how many, and Envoy holds {found.max_connections}"
    return f"three may wait: `http1MaxPendingRequests` is how many, and Envoy holds {found.max_pending_requests}"


# -- 6.2 ---------------------------------------------------------------------------------------------------------------------------------


def put_out_the_broken_one(view: ClusterView) -> Outcome:
    """6.2: `orders` loses its broken pod after three errors in a row, for 30 s, and never more than half of its pods."""
    rule = reachability.rule(view, "orders")
    if isinstance(rule, Outcome):
        return rule
    outlier = held(view, "orders").get("outlierDetection")
    expected = f"out after {MOST_ERRORS} errors in a row, for {LEAST_SECONDS} s the first time, and {HALF} % of the pods at most"
    wrong = _orders_hint(outlier)
    if wrong:
        return outcome.not_yet(seen=f"Envoy holds {_in_words(outlier)}", expected=expected, hint=wrong)
    broken, url = _addresses(view, "app=httpbin,version=faulty"), f"http://orders:{PORT}/get"
    first = fortio(view, url, connections=1, n=60)
    now = endpoints(view, "orders")
    if len(now) != PODS:
        hint = "the pods stay as they are: kubectl scale deployment httpbin httpbin-faulty --replicas=1"
        return outcome.not_yet(seen=f"orders has {len(now)} pods", expected=f"{PODS}: the good one and the broken one", hint=hint)
    out, others = ({each.address for each in now if each.ejected and (each.address in broken) is of} for of in (True, False))
    if out != broken or others:
        states = ", ".join(f"{each.address} {'ejected' if each.ejected else 'in use'}" for each in now)
        return outcome.not_yet(
            seen=f"{first}; then {states}",
            expected=f"{', '.join(sorted(broken))}, the broken pod, is ejected, and no other",
            hint="look at `istioctl proxy-config endpoints deploy/fortio-deploy`: which pod has failed, and which is ejected?",
        )
    rest = fortio(view, url, connections=1, n=40)
    if rest.good != rest.n:
        hint = "was the broken pod let in again in between? It stays out for 30 s. Run the check once more"
        least = held(view, "orders").get("commonLbConfig", {}).get("healthyPanicThreshold", {}).get("value", 0)
        if least > HALF:
            hint = f"with `minHealthPercent: {least:g}` Envoy calls ejected pods too as soon as fewer are left; one of two is 50 %"
        return outcome.not_yet(seen=f"with the broken pod out, {rest}", expected="all are answered", hint=hint)
    return outcome.passed(f"first {first}; with {', '.join(sorted(broken))} ejected, {rest}")


def _addresses(view: ClusterView, selector: str) -> set[str]:
    pods = view.objects("pods", selector=selector)
    ready = [pod for pod in pods if _ready(pod["status"])]
    return {str(pod["status"].get("podIP", "")) for pod in ready if not pod["metadata"].get("deletionTimestamp")}


def _ready(status: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))


def _orders_hint(outlier: Mapping[str, Any] | None) -> str:
    if outlier is None:
        return "Envoy holds no outlier detection for orders: the rule needs `trafficPolicy: outlierDetection:`"
    wrong = _errors_hint(outlier, MOST_ERRORS) or _time_hint(outlier, LEAST_SECONDS, "thirty seconds, `30s`")
    if wrong:
        return wrong
    percent = int(outlier.get("maxEjectionPercent", 10))
    if percent == 10:  # noqa: PLR2004 - Envoy's own choice
        return "10 % of 2 pods is not one whole pod, so no pod may be ejected: set `maxEjectionPercent`"
    if percent != HALF:
        return f"at most half of the pods may be out at the same time, and `maxEjectionPercent` is {percent}"
    return ""


def _errors_hint(outlier: Mapping[str, Any], wanted: int) -> str:
    """What is wrong with the number of consecutive errors."""
    found = int(outlier.get("consecutive5xx", 5))
    if found == wanted:
        return ""
    if "consecutiveGatewayFailure" in outlier and int(outlier["consecutiveGatewayFailure"]) == wanted:
        return "`consecutiveGatewayErrors` counts 502, 503 and 504 alone; every 5xx is a failure: `consecutive5xxErrors`"
    if "enforcingConsecutive5xx" in outlier and not int(outlier["enforcingConsecutive5xx"]):
        return "`consecutive5xxErrors: 0` switches the count off"
    return f"`consecutive5xxErrors` is how many errors in a row it takes: {wanted}, and Envoy holds {found}"


def _time_hint(outlier: Mapping[str, Any], wanted: int, words: str) -> str:
    """What is wrong with the ejection time."""
    seconds = route_actions.seconds(outlier.get("baseEjectionTime", "30s"))
    if seconds != wanted:
        return f"`baseEjectionTime` is how long a pod stays out the first time: {words}; Envoy holds {seconds:g} s"
    interval = route_actions.seconds(outlier.get("interval", "10s"))
    if interval > LONGEST_INTERVAL:
        return f"a pod comes back only when Envoy looks at its list, every `interval`, and that is {interval:g} s: `interval: 1s`"
    return ""


def _in_words(outlier: Mapping[str, Any] | None) -> str:
    if outlier is None:
        return "no outlier detection"
    errors_, seconds = outlier.get("consecutive5xx", 5), outlier.get("baseEjectionTime", "30s")
    return f"{errors_} errors, {seconds}, {outlier.get('maxEjectionPercent', 10)} %"


# -- 6.3 ---------------------------------------------------------------------------------------------------------------------------------


def better_the_ejected_than_nobody(view: ClusterView) -> Outcome:
    """6.3: `tickets` ejects pods after two errors, for a minute, all of them if necessary, and then calls them nevertheless."""
    rule = reachability.rule(view, "tickets")
    if isinstance(rule, Outcome):
        return rule
    cluster = held(view, "tickets")
    outlier = cluster.get("outlierDetection")
    share = cluster.get("commonLbConfig", {}).get("healthyPanicThreshold", {}).get("value", 0)
    wrong = _tickets_hint(outlier, share)
    if wrong:
        return outcome.not_yet(
            seen=f"Envoy holds {_in_words(outlier)}; below {share:g} % it calls all",
            expected=f"{TWICE} errors in a row, out for {A_MINUTE} s, all pods if need be; with fewer than {HALF} % left, all are called",
            hint=wrong,
        )
    url = f"http://tickets:{PORT}"
    bad = fortio(view, f"{url}/status/503", connections=1, n=6)
    now, before = endpoints(view, "tickets"), counter(view, "tickets", "lb_healthy_panic")
    if not now or not all(each.ejected for each in now):
        return outcome.not_yet(
            seen=f"after six errors ({bad}) {sum(each.ejected for each in now)} of {len(now)} pods are ejected",
            expected="two errors in a row put a pod out, and all of them may be out",
            hint="look at `istioctl proxy-config endpoints deploy/fortio-deploy`: which pod has failed, and which is ejected?",
        )
    good = fortio(view, f"{url}/get", connections=1, n=20)
    panics = counter(view, "tickets", "lb_healthy_panic") - before
    if good.good != good.n:
        return outcome.not_yet(
            seen=f"all pods are ejected, and {good}",
            expected="with fewer than half of the pods left, callers try the ejected ones: all are answered",
            hint="`minHealthPercent` is the share of pods below which Envoy ignores the ejections",
        )
    return outcome.passed(f"{len(now)} of {len(now)} pods ejected, and yet {good}; Envoy chose among the ejected {panics} times")


def _tickets_hint(outlier: Mapping[str, Any] | None, share: float) -> str:
    if outlier is None:
        return "Envoy holds no outlier detection for tickets: the rule needs `trafficPolicy: outlierDetection:`"
    wrong = _errors_hint(outlier, TWICE) or _time_hint(outlier, A_MINUTE, "a minute, `1m`")
    if wrong:
        return wrong
    if int(outlier.get("maxEjectionPercent", 10)) != 100:  # noqa: PLR2004 - per cent
        return "all pods may be out only with `maxEjectionPercent: 100`; Envoy's own choice is 10"
    if not share:
        return "`minHealthPercent` is the share of pods below which Envoy ignores the ejections; Istio's own choice is 0: never"
    return "" if share == HALF else f"*fewer than half of them are left* is half of the pods, and `minHealthPercent` is {share:g}"


EXERCISES: Final = (
    Exercise(
        "6.1",
        "Two at work, three waiting",
        (
            "Start from manifests/06_circuit_breaking/03-limits.yaml: change the name, the host and two numbers.",
            "HTTP/1.1 does one request at a time on a connection. So how many connections are *two at work*?",
            "`connectionPool: {tcp: {maxConnections: 2}, http: {http1MaxPendingRequests: 3}}`",
        ),
        two_at_work_three_waiting,
        objects=("destinationrule/reports",),
        needs=("reports", "fortio-deploy"),
    ),
    Exercise(
        "6.2",
        "Put out the broken one",
        (
            "Start from manifests/06_circuit_breaking/06-ejection.yaml: change the name, the host and what the three conditions say.",
            "How many of the pods may be out at the same time is `maxEjectionPercent`. What is 10 %, Envoy's own choice, of two pods?",
            "`outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 30s, maxEjectionPercent: 50}`",
        ),
        put_out_the_broken_one,
        objects=("destinationrule/orders",),
        needs=("httpbin", "httpbin-faulty", "fortio-deploy"),
    ),
    Exercise(
        "6.3",
        "Better the ejected than nobody",
        (
            "Two fields decide about the extreme: how many pods may be ejected at most, and from when on ejections are ignored.",
            "Section 9 used the second one: `minHealthPercent`.",
            "`outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 50}`",
        ),
        better_the_ejected_than_nobody,
        objects=("destinationrule/tickets",),
        needs=("reports", "fortio-deploy"),
    ),
)
