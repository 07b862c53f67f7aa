"""The exercises of chapter 7, timeouts.

Judged by requests that are faster than the limit and must be answered, and some that are slower and must be cut off. The exact limit is
read from the Envoy that applies it, since times measured on a busy machine are inexact.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshcourse.checks import diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.core.json_types import Json
from meshcourse.mesh.envoy import config_dump, route_actions
from meshcourse.traffic.results import Result

CLIENT: Final = "deploy/client"
PERSON: Final = 1.0
JOB: Final = 3.0
PAGE: Final = 1.5
SORRY: Final = 503
CUT: Final = 504
INNER: Final = 1.0
"""Seconds that nginx's Envoy waits for tomcat, by 03-virtualservice-timeout.yaml."""
GOOD: Final = 200
DESK: Final = "help.example.com"
DESK_AT_MOST: Final = 3.0
SHORTEST: Final = 0.1
"""Seconds: a shorter timeout may cut off healthy reviews on a busy machine."""
SLACK: Final = 0.6
"""Seconds by which an answer may be late on a busy machine."""
_TRIES: Final = 3
_LINE: Final = re.compile(r"^(?P<name>\S+) (?P<began>[\d.]+) (?P<ended>[\d.]+) (?P<code>\d+) ?(?P<said>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Ask:
    """A request that the client's wget sends."""

    name: str
    url: str
    header: str = ""
    at_most: int = 30
    """Seconds after which wget gives up."""


@dataclass(frozen=True)
class Reply:
    """The result: status 200, or wget's message for another one; 0: no answer."""

    status: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} after {self.seconds:.1f} s"


def wget(view: ClusterView, asks: Sequence[Ask]) -> dict[str, Reply]:
    """Send all at the same time from inside the client's pod, by its wget; times are taken there, from /proc/uptime.

    Raises MeshError when the client's pod cannot be used.
    """
    one = (
        "(b=$(cut -d' ' -f1 /proc/uptime); w=$(timeout {most} wget -q -O /dev/null {header} '{url}' 2>&1); c=$?; "
        "e=$(cut -d' ' -f1 /proc/uptime); echo \"{name} $b $e $c $w\") & "
    )
    script = "".join(one.format(name=ask.name, url=ask.url, most=ask.at_most, header=_header(ask)) for ask in asks)
    done = view.run("kubectl", "exec", CLIENT, "-c", "client", "--", "sh", "-c", f"{script} wait")
    found = {match["name"]: _reply(match.groupdict()) for match in _LINE.finditer(done.stdout)}
    if set(found) != {ask.name for ask in asks}:
        raise errors.MeshError(
            "The client's pod sent nothing.", why=done.complaint[-300:] or "no answer", next="kubectl get pods    # is client 2/2?"
        )
    return found


def _header(ask: Ask) -> str:
    return f"--header '{ask.header}'" if ask.header else ""


def _reply(parts: Mapping[str, str]) -> Reply:
    said = re.search(r"HTTP/1\.\d (\d+)", parts["said"])
    status = GOOD if parts["code"] == "0" else int(said[1]) if said else 0
    return Reply(status, float(parts["ended"]) - float(parts["began"]))


# -- 7.1 ---------------------------------------------------------------------------------------------------------------------------------


def people_and_jobs(view: ClusterView) -> Outcome:
    """7.1: calls to `orders` wait one second at most, nightly jobs' (`x-client: batch`) three."""
    found = reachability.in_mesh(view, "orders", "orders")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("x-client",), limits=True) or unasked.also_for(found, "x-client", "batch")
    if more:
        return more
    url, batch = "http://orders:8080/slow?seconds={}", "x-client: batch"
    got = wget(
        view,
        (
            Ask("person-quick", url.format(0.3)),
            Ask("person-slow", url.format(2)),
            Ask("other-slow", url.format(2), "x-client: web"),
            Ask("nearly-slow", url.format(2), "x-client: batch2"),
            Ask("hardly-slow", url.format(2), "x-client: nobatch"),
            Ask("job-quick", url.format(2.1), batch),
            Ask("job-slow", url.format(5), batch),
        ),
    )
    expected = "people are cut off after 1 s, jobs after 3 s"
    told = f"a page of 0.3 s {got['person-quick']}, one of 2 s {got['person-slow']}"
    told += f"; for jobs, 2.1 s {got['job-quick']}, 5 s {got['job-slow']}"
    for name in ("person-quick", "job-quick"):
        lost = _astray(view, found, got[name], told) if got[name].seconds < 1.0 else None
        if lost:
            return lost
    wrong = _people_hint(got, found["spec"].get("http") or ())
    if wrong:
        return outcome.not_yet(seen=told, expected=expected, hint=wrong)
    for name, value in (("other-slow", "web"), ("nearly-slow", "batch2"), ("hardly-slow", "nobatch")):
        if got[name].status == GOOD:
            seen = f"with x-client: {value}, a page of 2 s {got[name]}"
            hint = "jobs carry `x-client: batch`, and nobody else is one: match the whole value, `x-client: {exact: batch}`"
            return outcome.not_yet(seen=seen, expected=f"cut off after {PERSON:g} s, like people", hint=hint)
    short = next((each for each in map(_short_try, found["spec"].get("http") or ()) if each), "")
    if short:
        hint = f"take `perTryTimeout: {short}` out: it ends tries that would be answered in time; the task speaks of the whole"
        return outcome.not_yet(seen=f"Envoy ends each try after {short}", expected="a page that is quick enough is answered", hint=hint)
    limits = _limits(view)
    if set(limits) != {f"timeout {PERSON:g} s", f"timeout {JOB:g} s"}:
        held = ", ".join(limit or "no timeout" for limit in limits)
        hint = "people wait `timeout: 1s`, jobs `timeout: 3s`, and each rule has one of the two"
        return outcome.not_yet(seen=f"Envoy holds {held}", expected=f"timeout {PERSON:g} s for people, {JOB:g} s for jobs", hint=hint)
    return outcome.passed(told)


def _short_try(rule: Json) -> str:
    """The rule's `perTryTimeout`, when it is shorter than its `timeout`."""
    tries = rule.get("retries") or {}
    limit = str(tries.get("perTryTimeout") or "")
    return (
        limit
        if limit and tries.get("attempts", 1) and route_actions.seconds(limit) < route_actions.seconds(rule.get("timeout", "0s"))
        else ""
    )


def _astray(view: ClusterView, found: Json, reply: Reply, told: str) -> Outcome | None:
    """What prevents even a quick page, when it is the route to it."""
    route = Route(found, "orders", CLIENT, view.namespace)
    return diagnosis.failed(view, route, {str(reply.status): 1}, which=told, expected="a page that is quick enough is answered")


def _people_hint(got: Mapping[str, Reply], rules: Sequence[Json]) -> str:
    tries = [str((rule.get("retries") or {}).get("perTryTimeout")) for rule in rules if (rule.get("retries") or {}).get("perTryTimeout")]
    if tries and got["person-quick"].status != GOOD:
        return f"`perTryTimeout: {tries[0]}` ends tries that would be answered: the task speaks of the whole, `timeout: 1s`"
    if got["person-quick"].status != GOOD:
        return "not even a quick page arrives: does the rule without `match` send to `host: orders`, and is it there at all?"
    if got["person-slow"].status == GOOD and got["job-quick"].status != GOOD:
        return "people wait longer than jobs: the two timeouts are the wrong way round"
    if got["person-slow"].status == GOOD:
        return "people wait too long: the rule without `match` needs `timeout: 1s`, beside `route:` and not below it"
    if got["job-quick"].status != GOOD:
        return (
            "jobs are cut off like people: rules are tried from top to bottom and the first that fits decides, so the rule with "
            "`match: [{headers: {x-client: {exact: batch}}}]` comes first"
        )
    if got["job-slow"].status == GOOD:
        return "jobs wait for ever: their rule needs a timeout too, `timeout: 3s`"
    return ""


def _limits(view: ClusterView) -> tuple[str, ...]:
    """The timeout of each route that the client's Envoy holds for orders; empty for a route that has none."""
    held = config_dump.of(view.connection, view.namespace, "orders", proxy=f"{CLIENT}.{view.namespace}")
    return tuple(next((line for line in route.treatment if line.startswith("timeout")), "") for route in held)


# -- 7.2 ---------------------------------------------------------------------------------------------------------------------------------


def page_in_time(view: ClusterView) -> Outcome:
    """7.2: productpage answers within 1.5 s however slow ratings are, and with reviews when they are quick."""
    found = reachability.in_mesh(view, "reviews", "reviews")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, headers=("cookie",), faults=True, limits=True)
    if more:
        return more
    url, cookie = "http://productpage:9080/api/v1/products/0/reviews", "Cookie: speed=slow"
    got = wget(view, (Ask("ratings", "http://ratings:9080/ratings/0", cookie, at_most=2), Ask("slow", url, cookie, at_most=4)))
    if got["ratings"].seconds < PAGE:
        return outcome.not_yet(
            seen=f"ratings are not slow: {got['ratings']}",
            expected="they still take seven seconds for the cookie speed=slow; the page must be quick all the same",
            hint="kubectl apply -f manifests/07_timeouts/08-virtualservice-ratings.yaml",
        )
    slow, limits = got["slow"], [limit for limit in (_timeout(rule) for rule in found["spec"].get("http") or ()) if limit]
    for _ in range(_TRIES):  # a machine that is busy with something else may be late now and then
        if slow.seconds <= PAGE or not limits or 2 * max(limits) >= PAGE:
            break
        slow = wget(view, (Ask("slow", url, cookie, at_most=4),))["slow"]
    quick = Reply(0, 0.0)
    for _ in range(_TRIES):
        both = wget(view, (Ask("quick", url), Ask("fast", url, "Cookie: speed=fast")))
        quick = max(both.values(), key=lambda reply: reply.status != GOOD)
        if quick.status == GOOD:
            break
    if quick.status != GOOD:
        return _no_reviews(view, found, quick, limits)
    if slow.seconds > PAGE:
        hint = "whose waiting is it? productpage waits for reviews, so its rule is VirtualService `reviews`, with a `timeout`"
        if limits:
            hint = (
                f"productpage asks reviews twice when the first answer is bad, so the page takes two timeouts, 2 × {max(limits):g} s, and "  # noqa: RUF001 - times
                "a little more: allow less than half of 1.5 s, `timeout: 700ms` for example"
            )
        return outcome.not_yet(seen=f"with slow ratings, {slow}", expected=f"an answer within {PAGE:g} s", hint=hint)
    faults = any((rule.get("fault") or {}).get("abort") for rule in found["spec"].get("http") or ())
    if not faults and not (limits and 2 * min(limits) < PAGE):
        hint = "another rule cuts the page off: kubectl get virtualservices. Give reviews less than half of 1.5 s, `timeout: 700ms`"
        return outcome.not_yet(
            seen=f"with slow ratings, {slow}, and not by VirtualService reviews",
            expected=f"an answer of productpage's own within {PAGE:g} s",
            hint=hint,
        )
    way = "" if limits else " (by a fault, not by a timeout: the slow visitor gets the error at once, and reviews are never asked)"
    return outcome.passed(f"with slow ratings, {slow}{way}; with quick ones, {quick}")


def _timeout(rule: Json) -> float:
    return route_actions.seconds(rule.get("timeout") or "0s")


def _no_reviews(view: ClusterView, found: Json, quick: Reply, limits: Sequence[float]) -> Outcome:
    """Why the page has no reviews when ratings are quick."""
    expected = "quick ratings still bring the reviews"
    short = bool(limits) and min(limits) < SHORTEST
    route = Route(found, "reviews:9080", "deploy/productpage-v1", view.namespace)
    lost = None if short else diagnosis.failed(view, route, {str(quick.status): 1}, which="with quick ratings", expected=expected)
    hint = "the timeout is so short that healthy reviews do not make it: half a second is plenty"
    if not limits:
        hint = "everybody gets the error: only slow visitors should, by a `timeout` that cuts slow answers alone"
    return lost or outcome.not_yet(seen=f"with quick ratings, {quick}", expected=expected, hint=hint)


# -- 7.3 ---------------------------------------------------------------------------------------------------------------------------------


def from_the_inside_out(view: ClusterView) -> Outcome:
    """7.3: help.example.com shows nginx's own page when tomcat is slow, and no request waits longer than three seconds."""
    found = reachability.service(view, "desk", host=DESK, gateway="front")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found, paths=True, faults=True, limits=True, answers=True)
    if more:
        return more
    route = Route(found, DESK)
    front = view.send(1, host=DESK, path="/")
    lost = diagnosis.failed(view, route, front, which="the front page", expected="200, tomcat's front page")
    if lost:
        return lost
    mark = uuid.uuid4().hex
    with ThreadPoolExecutor(max_workers=2) as both:
        paths = (f"/slow?seconds=4&mark={mark}", "/archive/slow?seconds=5")
        (slow,), (archive,) = both.map(lambda path: view.send(1, host=DESK, path=path), paths)
    by_nginx = _by_nginx(view, mark)
    if slow.status == SORRY and by_nginx is None:
        return outcome.cannot_tell(
            "the gateway's access log does not have the check's request yet, so nobody can say who answered it",
            'lab.check("7.3") once more',
        )
    if slow.status != SORRY or not by_nginx:
        by = "" if slow.status != SORRY else ", by the gateway itself"
        return outcome.not_yet(
            seen=f"a page of 4 s: {_told(slow)}{by}",
            expected="503 with nginx's own words, after a second",
            hint=_sorry_hint(view, slow, by_nginx=by_nginx),
        )
    quick = view.send(1, host=DESK, path="/archive/slow?seconds=0.2")
    if not diagnosis.all_of(quick, GOOD):
        hint = "only pages that take too long are cut off: no `directResponse` and no `fault` for the archive, a `timeout`"
        return outcome.not_yet(seen=f"the archive, 0.2 s: {diagnosis.seen(quick)}", expected="a quick page is answered", hint=hint)
    limits = [_timeout(rule) for rule in found["spec"].get("http") or () if rule.get("route")]
    if archive.status == CUT and archive.latency <= DESK_AT_MOST + SLACK and not all(limits):
        hint = "each rule with a `route:` needs `timeout: 3s`: without one it waits for ever"
        return outcome.not_yet(seen="one rule of VirtualService desk has no timeout", expected="nobody waits longer than 3 s", hint=hint)
    if archive.status != CUT or archive.latency > DESK_AT_MOST + SLACK or max(limits, default=0.0) > DESK_AT_MOST:
        hint = "for the archive there is no other timeout than yours: give the route in VirtualService desk `timeout: 3s`"
        if max(limits, default=0.0) > DESK_AT_MOST:
            hint = f"a timeout of {max(limits):g} s lets visitors wait longer than three: `timeout: 3s`"
        return outcome.not_yet(seen=f"the archive, 5 s: {_told(archive)}", expected=f"504 after {DESK_AT_MOST:g} s at most", hint=hint)
    return outcome.passed(f"a page of 4 s: {_told(slow)}, from nginx; the archive, 5 s: {_told(archive)}, from the gateway")


def _by_nginx(view: ClusterView, mark: str) -> bool | None:
    """Whether the marked answer came from behind the gateway, by its log; None when the log does not have it."""
    ends = time.monotonic() + diagnosis.LATE
    while True:
        lines = view.log(diagnosis.INGRESS, containing=mark, namespace=diagnosis.SYSTEM)
        if lines or time.monotonic() > ends:
            return lines[-1]["code_details"] == "via_upstream" if lines else None
        time.sleep(0.2)


def _told(result: Result) -> str:
    return f"{result.code} after {result.latency:.1f} s"


def _sorry_hint(view: ClusterView, slow: Result, *, by_nginx: bool | None) -> str:
    tomcat = view.virtual_service("tomcat") or {}
    if {_timeout(rule) for rule in tomcat.get("spec", {}).get("http") or ()} != {INNER} or slow.status == GOOD:
        return "the inner timeout, tomcat's, is no longer 1 s: kubectl apply -f manifests/07_timeouts/03-virtualservice-timeout.yaml"
    if slow.status == CUT and not by_nginx:
        return "the gateway gave up first, and nginx's page came too late: the outer timeout must be longer than the inner one"
    if slow.status == SORRY:
        return "a `fault` or a `directResponse` in VirtualService desk is the gateway's page, not nginx's: let nginx answer"
    return "nginx passed the error on: give it the exercise's configuration, manifests/07_timeouts/nginx-sorry.conf, and reload it"


EXERCISES: Final = (
    Exercise(
        "7.1",
        "People wait a second, jobs three",
        (
            "Start from manifests/07_timeouts/03-virtualservice-timeout.yaml, with `orders` in place of `tomcat`, and one rule more.",
            "Who is a job? `match: [{headers: {x-client: {exact: batch}}}]`. Each rule has a `timeout` of its own.",
            "From top to bottom: the match for batch with `timeout: 3s`; then, without match, `timeout: 1s`; both route to `host: orders`.",
        ),
        people_and_jobs,
        objects=("virtualservice/orders",),
        needs=("client", "tomcat"),
    ),
    Exercise(
        "7.2",
        "A page within a second and a half",
        (
            "Whose waiting do you want to cut short? productpage waits for reviews, reviews wait for ratings.",
            "A timeout on the route where a delay is injected does not cut it. Go one hop nearer to the page: VirtualService `reviews`.",
            "productpage asks reviews twice. Two timeouts must fit into 1.5 s: `hosts: [reviews]`, `timeout: 500ms`.",
        ),
        page_in_time,
        objects=("virtualservice/reviews",),
        needs=("client", "productpage-v1", "reviews-v2", "ratings-v1"),
    ),
    Exercise(
        "7.3",
        "From the inside out",
        (
            "Two clocks run: nginx's Envoy waits a second for tomcat (VirtualService `tomcat`), the gateway for nginx as long as you say.",
            "If the gateway's clock rings first, nginx's page comes too late. If it never rings, the archive keeps visitors for ever.",
            "`hosts: [help.example.com]`, `gateways: [front]`, a route to `host: nginx` and `timeout: 3s`.",
        ),
        from_the_inside_out,
        objects=("virtualservice/desk",),
        needs=("nginx", "tomcat"),
    ),
)
