"""Why requests failed, for all exercises: from the status, Envoy's log line, and the objects in the cluster.

An exercise calls this first, and gives a hint of its own only where the route itself is right. Each function returns an Outcome that names
the cause, or None. *Cannot tell* is returned only when the ingress gateway itself does not run.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.checks import destinations, outcome
from meshcourse.checks.destinations import Trouble
from meshcourse.checks.exercises import ClusterView
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.measure.access_logs import Entry
from meshcourse.traffic.results import REFUSED, UNRESOLVED, Result

INGRESS: Final = "deploy/istio-ingressgateway"
SYSTEM: Final = "istio-system"
LATE: Final = 3.0
"""Seconds within which Envoy has written a request's log line, with a margin."""
_SKEW: Final = dt.timedelta(seconds=5)
_MANY_TRIES: Final = 10

# The meaning of each of Envoy's flags, and what to look at: for causes that the objects themselves do not show.
_FLAGS: Final[Mapping[str, tuple[str, str]]] = {
    "NC": ("no cluster: the route leads to a Service, port or subset that Envoy does not know", "compare `destination:` with the Service"),
    "UH": (
        "no healthy upstream: every pod that the route leads to is missing or ejected",
        "`kubectl get pods`; `outlierDetection` in a DestinationRule ejects pods as well",
    ),
    "UF": (
        "the connection to the pod failed",
        "does the pod listen on the Service's `targetPort`, and does a DestinationRule change `tls:` for it?",
    ),
    "UC": ("the pod closed the connection before it answered", "`kubectl get pods`: has it just been restarted? Its log says more"),
    "UO": (
        "overflow: a DestinationRule's `connectionPool` refused the request",
        "kubectl get destinationrules -o yaml: are its limits too low for these requests?",
    ),
    "URX": ("the limit of tries was used up: every try failed", "what do the single tries answer? Their service's log says more"),
    "FI": ("Envoy itself aborted it: an injected fault", "which rule has this `fault: abort`? The first rule that fits decides"),
    "DPE": ("the answer was no HTTP/1.1", "does the port speak HTTP? A port's name begins with its protocol: http-..."),
}


@dataclass(frozen=True)
class Route:
    """The route of the failed requests: the rule, the `host` of the requests, and the proxy whose log has them."""

    rule: Json
    host: str
    workload: str = INGRESS
    namespace: str = SYSTEM

    @property
    def who(self) -> str:
        """The proxy, as text."""
        return "the ingress gateway" if self.workload == INGRESS else f"the sidecar of {self.workload.rpartition('/')[2]}"


def away(view: ClusterView, needs: Iterable[str]) -> Outcome | None:
    """The first Deployment of `needs` that has no ready pod; None when all have one."""
    wanted = [each.rpartition("/") for each in needs]
    for namespace in {where for where, _, _ in wanted}:
        every = {str(each["metadata"]["name"]): each for each in view.objects("deployments.apps", namespace=namespace)}
        for where, _, name in wanted:
            if where == namespace and not (every.get(name, {}).get("status") or {}).get("readyReplicas"):
                return _no_pod(name, every.get(name), namespace)
    return None


def _no_pod(name: str, deployment: Json | None, namespace: str) -> Outcome:
    at = f"-n {namespace} " if namespace else ""
    expected = f"`{name}` runs; the exercise needs it"
    if deployment is None:
        hint = "one of the chapter's cells makes it: run the chapter's cells from the top, up to this exercise"
        return outcome.not_yet(seen=f"there is no Deployment `{name}`", expected=expected, hint=hint)
    replicas = deployment["spec"].get("replicas", 1)
    if not replicas:
        hint = f"kubectl {at}scale deployment {name} --replicas=1"
        return outcome.not_yet(seen=f"`{name}` has no pod: its Deployment has `replicas: 0`", expected=expected, hint=hint)
    hint = f"kubectl {at}describe pods shows why; if it has only just begun, check again"
    return outcome.not_yet(seen=f"`{name}` has no pod that is ready", expected=expected, hint=hint)


def failed(
    view: ClusterView,
    route: Route,
    answers: Iterable[Result] | Mapping[str, int],
    *,
    which: str,
    expected: str,
    allowed: Collection[str] = (),
) -> Outcome | None:
    """What failed answers mean: 404, 502, 503, 504, or none at all; None when there are none of these, or only `allowed` ones.

    `answers` are results, or counts by code (`503`, or a fault such as `timeout`). The exercise itself judges other codes.
    """
    counts = Counter(dict(answers)) if isinstance(answers, Mapping) else Counter(each.code for each in answers)
    bad = Counter({code: n for code, n in counts.items() if n and code not in allowed and (not code[:1].isdigit() or code in _JUDGED)})
    if not bad:
        return None
    code = bad.most_common(1)[0][0]
    why, hint = _cause(view, route, code)
    silent = not any(each[:1].isdigit() for each in counts)
    if silent and (code in _UNREACHABLE or not _gateway_runs(view)):
        return outcome.cannot_tell(f"{which}: no answer ({code}): the ingress gateway cannot be reached", f"kubectl get pods -n {SYSTEM}")
    total = sum(counts.values())
    seen = ", ".join(f"{n} × {each}" for each, n in sorted(counts.items()))  # noqa: RUF001 - times
    return outcome.not_yet(seen=f"{which}, of {total} requests: {seen}; {why}", expected=expected, hint=hint)


def astray(view: ClusterView, route: Route, *, which: str, expected: str) -> Outcome | None:
    """What is wrong with the rule's destinations, by the objects alone, since 503 may also come from a fault. None: nothing."""
    leads = destinations.troubles(destinations.surroundings(view), route.rule)
    if not leads:
        return None
    why, hint = _trouble(leads[0])
    return outcome.not_yet(seen=f"{which}; {why}", expected=expected, hint=hint)


_UNREACHABLE: Final = frozenset({REFUSED, UNRESOLVED})
_JUDGED: Final = frozenset({"404", "502", "503", "504"})


def _cause(view: ClusterView, route: Route, code: str) -> tuple[str, str]:
    """(why, hint) for one code."""
    if code == "404":
        return _not_found(view, route)
    if code == "504":
        return _gave_up(route)
    if code in {"503", "502"}:
        leads = destinations.troubles(destinations.surroundings(view), route.rule)
        return _trouble(leads[0]) if leads else _by_flag(view, route, code)
    if code == "timeout":
        return _no_answer_in_time(view, route)
    if code == "reset":
        return "the connection was closed before an answer came", f"the log of {route.who} says who closed it"
    return f"no HTTP answer: {code}", f"kubectl get pods -n {SYSTEM}    # does the ingress gateway run?"


def _trouble(found: Trouble) -> tuple[str, str]:
    return f"Envoy's flag for it is {found.flag}: {found.seen}", found.hint


def _not_found(view: ClusterView, route: Route) -> tuple[str, str]:
    line = _line(view, route, "404")
    name = route.rule["metadata"]["name"]
    if line is not None and line["code_details"] == "via_upstream":
        place = line["upstream_cluster"]
        return (
            f"the application itself answered 404: the request for {line['path']} reached {place}",
            "404 with `via_upstream` is the application's: is the destination right, and is the path left as it was (no `rewrite`)?",
        )
    last = (route.rule.get("spec", {}).get("http") or [{}])[-1]
    why = f"404 with the flag NR: no rule of VirtualService {name} fits these requests"
    if last.get("match"):
        return why, "404 means that no rule fits: add a rule without `match` at the end; it takes all requests that are left"
    return why, f"404 means that no rule fits. `istioctl proxy-config routes` shows the rules that {route.who} holds"


def _gave_up(route: Route) -> tuple[str, str]:
    rules = route.rule.get("spec", {}).get("http") or ()
    name = route.rule["metadata"]["name"]
    tries = [(rule.get("retries") or {}).get("perTryTimeout") for rule in rules]
    each = next(filter(None, tries), "")
    if each:
        return (
            f"504 means that Envoy gave up; VirtualService {name} gives each try {each}",
            f"no try ends within `perTryTimeout: {each}`: give a try more time, or leave it out",
        )
    for rule in rules:
        if rule.get("timeout"):
            return (
                f"504 means that Envoy gave up waiting; VirtualService {name} has `timeout: {rule['timeout']}`",
                f"your own `timeout: {rule['timeout']}` is shorter than the answer takes",
            )
    return (
        f"504 means that an Envoy gave up waiting; it is not VirtualService {name}, which has no timeout",
        "another VirtualService on the way has a `timeout`: kubectl get virtualservices -o yaml",
    )


def _by_flag(view: ClusterView, route: Route, code: str) -> tuple[str, str]:
    line = _line(view, route, code)
    if line is None:
        return f"{code} came back", f"the log of {route.who} has the line: kubectl -n {route.namespace} logs {route.workload} --tail=3"
    if line["code_details"] == "via_upstream":
        return (
            f"the application itself answered {code}: no Envoy made this",
            "the pod answers, but not well: its log says why; is it the right Service, and the right version?",
        )
    if line["upstream_cluster"] in {"BlackHoleCluster", "PassthroughCluster"}:
        return f"the sidecar knows no such host ({line['upstream_cluster']})", "is the host spelled right, and known to the mesh?"
    for flag in line.flags:
        if flag in _FLAGS:
            words, hint = _FLAGS[flag]
            return f"Envoy's flag is {flag}: {words}", hint
    return f"Envoy says {code} {','.join(line.flags) or '-'} {line['code_details']}", "chapter 0 explains how to read such a line"


def _no_answer_in_time(view: ClusterView, route: Route) -> tuple[str, str]:
    rules = route.rule.get("spec", {}).get("http") or ()
    tries = max((int((rule.get("retries") or {}).get("attempts") or 0) for rule in rules), default=0)
    if tries >= _MANY_TRIES:
        return (
            f"no answer within 10 s: up to {tries + 1} tries, each a little later than the one before, take longer",
            f"`attempts: {tries}` is too many: every request that fails is made {tries + 1} times. Fewer tries are enough",
        )
    leads = destinations.troubles(destinations.surroundings(view), route.rule)
    if leads:
        return _trouble(leads[0])
    if any((rule.get("fault") or {}).get("delay") for rule in rules):
        return (
            "no answer within 10 s",
            "the rule delays requests by `fault: delay`: is `fixedDelay` as long as it should be (500ms, not 500s)?",
        )
    return "no answer within 10 s", "a pod on the way waits without a timeout: which one is it? `kubectl get pods` and its log say more"


def _gateway_runs(view: ClusterView) -> bool:
    pods = view.objects("pods", selector="istio=ingressgateway", namespace=SYSTEM)
    return any(map(destinations.ready, pods))


def _line(view: ClusterView, route: Route, code: str) -> Entry | None:
    """The newest log line with this status for the host, of the last moments; Envoy writes it up to a second late."""
    oldest = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=12) - _SKEW).strftime("%Y-%m-%dT%H:%M:%S")
    ends = time.monotonic() + LATE
    while True:
        lines = view.log(route.workload, containing=route.host, namespace=route.namespace)
        found = [line for line in lines if line["code"] == code and line["start_time"] >= oldest]
        if found or time.monotonic() > ends:
            return found[-1] if found else None
        time.sleep(0.2)


def told(counts: Mapping[Any, int]) -> str:
    """How many of each code, in the order of the codes."""
    return ", ".join(f"{n} × {code}" for code, n in sorted(counts.items(), key=lambda each: str(each[0])))  # noqa: RUF001 - times


def seen(results: tuple[Result, ...]) -> str:
    """Results counted by status; a fault such as `timeout` stands in place of a status."""
    return f"of {len(results)} requests: {told(Counter(result.code for result in results))}"


def all_of(results: tuple[Result, ...], status: int) -> bool:
    """Whether every answer has this status."""
    return all(result.status == status for result in results)
