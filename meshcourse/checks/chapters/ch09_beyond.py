"""The exercises of chapter 9: mutual TLS, authorization, egress, and mistakes to be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from meshcourse.checks import callers, diagnosis, outcome, reachability, unasked
from meshcourse.checks.callers import FORBIDDEN, REFUSED, Call, Rule, always, judged
from meshcourse.checks.chapters.ch09_authorization import only_the_shop_reads_bills
from meshcourse.checks.destinations import HTTP
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json

GOOD: Final = 200
BLOCKED: Final = 502
OUTSIDE: Final = "beyond-outside"
KNOWN: Final = frozenset({"files.example", "www.partner.example"})
DESK: Final = "desk.example.com"
CERTIFICATE: Final = "X-Forwarded-Client-Cert"
DESK_TRIES: Final = 16
"""If v2, which always fails, took half of them, this would remain unseen in one of 65,000 checks."""


# -- 9.1 ---------------------------------------------------------------------------------------------------------------------------------


def one_old_caller(view: ClusterView) -> Outcome:
    """9.1: the namespace stays STRICT, and billing alone takes plaintext too."""
    where = f".{view.namespace}:8000/get"
    found = view.object("peerauthentication", "billing")
    if found is None:
        return outcome.not_attempted(f"there is no PeerAuthentication `billing` in namespace {view.namespace} yet")
    rules = (
        Rule(Call("shop", f"http://orders{where}"), (GOOD,), always("the mesh itself must go on working: which policy did you change?")),
        Rule(Call("stranger", f"http://orders{where}", namespace=OUTSIDE), (REFUSED,), _still_strict),
        Rule(Call("stranger", f"http://billing{where}", namespace=OUTSIDE), (GOOD,), _plaintext_hint),
        Rule(
            Call("shop", f"http://billing{where}"), (GOOD,), always("billing refuses its friends: is there an AuthorizationPolicy on it?")
        ),
    )
    broken = _preceded(view, found) or judged(view, found, rules) or _weakened(view)
    if broken:
        return broken
    headers = view.run("kubectl", "exec", "deploy/shop", "--", "curl", "-s", "-m", "3", "http://billing:8000/headers")
    # A connection from before the policy keeps its certificate for a while, so the policy's text counts too.
    spec = found.get("spec", {})
    modes = {(each or {}).get("mode") for each in (spec.get("mtls"), *(spec.get("portLevelMtls") or {}).values())}
    if CERTIFICATE not in headers.stdout or "DISABLE" in modes:
        return outcome.not_yet(
            seen="billing takes plaintext only now, from the shop too",
            expected="those who can, still use mutual TLS",
            hint="`DISABLE` switches TLS off for all callers of billing; `PERMISSIVE` takes both",
        )
    return outcome.passed("a stranger reaches billing and not orders; the shop reaches both, with its certificate")


def _preceded(view: ClusterView, found: Json) -> Outcome | None:
    """An older policy for billing's pods: of several with a `selector`, the oldest is in force."""
    for each in view.objects("peerauthentications"):
        name, labels = each["metadata"]["name"], (each.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
        older = _age(each) < _age(found)
        if name != "billing" and labels.get("app") == "billing" and older:
            return outcome.not_yet(
                seen=f"PeerAuthentication {name} is for billing's pods too, and is older",
                expected="of several policies for one pod the oldest is in force, so billing's own must be the only one",
                hint=f"kubectl delete peerauthentication {name}",
            )
    return None


def _age(policy: Json) -> tuple[str, str]:
    """What istiod sorts policies by: the older first, and of two of one second the first by name."""
    return str(policy["metadata"]["creationTimestamp"]), str(policy["metadata"]["name"])


def _weakened(view: ClusterView) -> Outcome | None:
    """A second policy of the namespace that is no longer STRICT: no caller reaches the pods that it may be for."""
    for each in view.objects("peerauthentications"):
        name, mode = each["metadata"]["name"], (each.get("spec", {}).get("mtls") or {}).get("mode")
        if name != "billing" and mode in {"PERMISSIVE", "DISABLE"}:
            return outcome.not_yet(
                seen=f"PeerAuthentication {name} says {mode}",
                expected="everything else in the namespace stays STRICT",
                hint=f"kubectl delete peerauthentication {name}, or apply manifests/09_beyond/03-strict.yaml again if it is that one",
            )
    return None


_NO_SELECTOR: Final = (
    "your policy has no `selector`, so it is for the whole namespace, where the oldest policy wins: "
    "`selector: {matchLabels: {app: billing}}`"
)


def _still_strict(found: Json, _got: int) -> str:
    if not found.get("spec", {}).get("selector"):
        return "your policy has no `selector`, so it holds for the whole namespace: `selector: {matchLabels: {app: billing}}`"
    return (
        "orders takes plaintext: apply manifests/09_beyond/03-strict.yaml again; it says STRICT for everything that no other policy names"
    )


def _plaintext_hint(found: Json, got: int) -> str:
    if got == FORBIDDEN:
        return (
            "TLS is as it should be; an AuthorizationPolicy refuses this call. Do this exercise before 9.2, or delete that policy for now"
        )
    if not found.get("spec", {}).get("selector"):
        return _NO_SELECTOR
    ports = found["spec"].get("portLevelMtls") or {}
    if ports and "8080" not in map(str, ports):
        return f"`portLevelMtls` counts the ports of the pod, not of the Service: 8080 in place of {', '.join(map(str, ports))}"
    labels = found["spec"]["selector"].get("matchLabels", {})
    if labels != {"app": "billing"}:
        return "a selector names labels of pods, here `matchLabels: {app: billing}`: kubectl get pods --show-labels"
    return "the mode that takes both plaintext and mutual TLS is `mtls: {mode: PERMISSIVE}`"


# -- 9.3 ---------------------------------------------------------------------------------------------------------------------------------


def one_door_and_one_corridor(view: ClusterView) -> Outcome:
    """9.3: files.example is known to the mesh, its /public/ reachable, the rest of it answered by 403, and no other site allowed."""
    entry = view.object("serviceentry", "files")
    if entry is None:
        return outcome.not_attempted(f"there is no ServiceEntry `files` in namespace {view.namespace} yet")
    found = view.object("virtualservice", "files") or {}
    door, evil, site, hosts = _door_hint(entry), _evil_hint(view), f"partner.{OUTSIDE}:80", entry.get("spec", {}).get("hosts") or ()
    if "files.example" not in hosts:
        hint = "the mesh does not know the name files.example yet: `hosts: [files.example]` in the ServiceEntry"
        return outcome.not_yet(seen=f"ServiceEntry files is for {', '.join(hosts)}", expected="it is for files.example", hint=hint)
    rules = (
        *(Rule(Call("shop", f"http://files.example/public/{each}"), (GOOD,), door) for each in ("prices", "2026/prices?page=2")),
        Rule(Call("shop", "http://evil.example/"), (BLOCKED,), evil),
        *(
            Rule(Call("shop", "http://evil.example/", host=each), (BLOCKED,), evil)
            for each in ("private.files.example", "files.example.org")
        ),
        Rule(Call("intern", "http://evil.example/", through=site), (BLOCKED,), evil),
        Rule(Call("shop", "http://files.example/private"), (FORBIDDEN,), _corridor_hint),
        *(
            Rule(Call("shop", f"http://files.example/{each}"), (FORBIDDEN,), _corridor_hint)
            for each in ("", "publicity", "Public/prices", "private/public/")
        ),
        Rule(Call("shop", "http://files.example/private", "POST"), (FORBIDDEN,), _corridor_hint),
    )
    broken = unasked.found(found, paths=True, faults=True, answers=True) or judged(view, found, rules) or _let_out(view)
    if broken:
        return broken
    aborted = any((rule.get("fault") or {}).get("abort") for rule in found.get("spec", {}).get("http") or ())
    way = " by `fault: abort`" if aborted else ""
    return outcome.passed(f"files.example/public/ is answered, the rest of it gets 403{way}, evil.example is still shut out")


def _let_out(view: ClusterView) -> Outcome | None:
    """A site besides files.example and the chapter's own that the mesh knows now."""
    entries = view.objects("serviceentries.networking.istio.io")
    more = sorted({str(host) for each in entries for host in each.get("spec", {}).get("hosts") or ()} - KNOWN)
    if not more:
        return None
    hint = "a ServiceEntry of yours lets out more than files.example: take the host out, or delete the entry"
    return outcome.not_yet(seen=f"the mesh lets requests for {more[0]} out as well", expected="all other sites stay shut out", hint=hint)


def _door_hint(entry: Json) -> Callable[[Json, int], str]:
    ports = [int(each["number"]) for each in entry.get("spec", {}).get("ports") or ()]

    def hint(found: Json, got: int) -> str:
        if got == FORBIDDEN:
            return "your VirtualService refuses /public/ too: the rule that matches `uri: {prefix: /public/}` comes first"
        if got != GOOD and HTTP not in ports:
            return f"the shop asks at port 80, and ServiceEntry files has {ports or 'none'}: `{{number: 80, name: http, protocol: HTTP}}`"
        if got == BLOCKED:
            return (
                "the sidecar does not know the name yet: `hosts: [files.example]` in the ServiceEntry, and a port 80 with `protocol: HTTP`"
            )
        if got in (REFUSED, 503):
            return (
                "the name is known, and no connection comes about: `location: MESH_EXTERNAL`, `resolution: DNS`, on the embedded cluster "
                "the endpoint partner.beyond-outside.svc.cluster.local, as in 09-serviceentry.yaml"
            )
        lead = "the VirtualService's rule for /public/ must lead to `destination: {host: files.example}`"
        return lead if found else "read 09-serviceentry.yaml"

    return hint


def _evil_hint(view: ClusterView) -> Callable[[Json, int], str]:
    def hint(_found: Json, _got: int) -> str:
        sidecar = view.object("sidecar", "default")
        mode = ((sidecar or {}).get("spec", {}).get("outboundTrafficPolicy") or {}).get("mode", "ALLOW_ANY")
        if mode != "REGISTRY_ONLY":
            return "now everything is let out: apply manifests/09_beyond/08-registry-only.yaml again"
        return "your ServiceEntry lets out more than files.example: a host such as `*.example` is every site of that domain"

    return hint


def _corridor_hint(found: Json, got: int) -> str:
    if not found:
        return "a host that a ServiceEntry names can be routed like a Service: add the VirtualService `files` for it"
    if got == 404:  # noqa: PLR2004 - Not Found
        return "no rule fits /private, so Envoy says 404: a last rule without `match` with `directResponse: {status: 403}`"
    rules = found.get("spec", {}).get("http") or ()
    share = next((each["fault"]["abort"] for each in rules if (each.get("fault") or {}).get("abort")), None)
    if got == GOOD and share is not None and float((share.get("percentage") or {}).get("value", 0)) < 100:  # noqa: PLR2004 - per cent
        return "an abort without `percentage: {value: 100}` does not abort every request"
    if got == GOOD and any("directResponse" in each or "fault" in each for each in rules):
        return "more than the pages below /public/ is let through: `uri: {prefix: /public/}`, with the slash at its end"
    if got != GOOD:
        return f"the sidecar answers {got}, and 403 is asked for: `directResponse: {{status: 403}}`"
    return "the last rule, without `match`, answers by itself: `directResponse: {status: 403}`"


# -- 9.4 ---------------------------------------------------------------------------------------------------------------------------------


def four_mistakes(view: ClusterView) -> Outcome:
    """9.4: Gateway and VirtualService `desk`, corrected: analyze reports nothing about them, and desk.example.com is answered."""
    gateway, found = view.object("gateway", "desk"), view.virtual_service("desk")
    if gateway is None and found is None:
        return outcome.not_attempted(f"there is no Gateway and no VirtualService `desk` in namespace {view.namespace} yet")
    if gateway is None or found is None:
        lacking = "VirtualService" if found is None else "Gateway"
        return outcome.not_yet(seen=f"there is no {lacking} `desk`", expected="both are there", hint="apply the mended file whole")
    left = tuple(line for line in _analysis(view) if "/desk" in line)
    if left:
        return outcome.not_yet(seen=left[0], expected="istioctl analyze says nothing of `desk`", hint=_analysis_hint(left[0]))
    closed = reachability.service(view, "desk", host=DESK, gateway="desk")
    more = closed if isinstance(closed, Outcome) else unasked.found(closed, paths=True)
    if more:
        return more
    for path, hint in (
        ("/get", "every other path goes to `destination: {host: orders, subset: v1}`, the version that works"),
        ("/anything", "the rule for /anything leads to the Service `orders` on port 8000, subset v1"),
        ("/anything/here", "the rule for /anything leads to the Service `orders` on port 8000, subset v1"),
    ):
        got = view.send(DESK_TRIES, host=DESK, path=path)
        expected = f"{GOOD} each time, from v1 of orders"
        astray = diagnosis.failed(view, Route(found, DESK), got, which=f"http://{DESK}{path}", expected=expected)
        if astray:
            return astray
        bad = Counter(result.code for result in got if result.status != GOOD)
        if bad:
            told = f"{hint}; v2 answers every request with 500" if bad.get("500") else hint
            return outcome.not_yet(seen=f"http://{DESK}{path}: {diagnosis.told(bad)} of {DESK_TRIES}", expected=expected, hint=told)
    return outcome.passed(f"istioctl analyze finds nothing in `desk`, and http://{DESK} is answered by v1")


def _analysis(view: ClusterView) -> tuple[str, ...]:
    done = view.run("istioctl", "analyze")
    return tuple(line.strip() for line in done.stdout.splitlines() if "[IST" in line)


_MENDS: Final[Mapping[str, str]] = {
    "IST0140": (
        "a gateway does not read the rules for `orders` inside the mesh, so this rule must name the version itself: add `subset: v1` to "
        "its destination (each destination of `desk` needs one)"
    ),
    "selector not found": "no pod carries these labels: kubectl -n istio-system get pods --show-labels shows those that there are",
    "host+subset": "the DestinationRule `orders` has no such subset: kubectl get destinationrule orders -o yaml; v1 works",
    "host not found": "there is no Service of that name: kubectl get services",
    "not found in Gateway": "Gateway and VirtualService must name the same host: desk.example.com",
}


def _analysis_hint(line: str) -> str:
    return next((hint for words, hint in _MENDS.items() if words in line), "the message names the object and the field")


_LONGEST: Final = callers.PATIENCE + callers.PUSH
"""Seconds for which a wrong answer is checked again: the change may still be on its way to the proxies."""

EXERCISES: Final = (
    Exercise(
        "9.1",
        "One old caller",
        (
            "A PeerAuthentication with a `selector` overrules the namespace's, for the pods that it selects and no others.",
            "There are three modes: STRICT, PERMISSIVE, DISABLE. Which of them takes plaintext and still lets the mesh use TLS?",
            "`spec: {selector: {matchLabels: {app: billing}}, mtls: {mode: PERMISSIVE}}`",
        ),
        one_old_caller,
        objects=("peerauthentication/billing",),
        needs=("orders-v1", "billing", "shop", "beyond-outside/stranger"),
        watches=_LONGEST,
    ),
    Exercise(
        "9.2",
        "Only the shop reads bills",
        (
            "Start from manifests/09_beyond/04-only-the-shop.yaml: change its name and its selector.",
            "`from` and `to` in one entry of `rules` mean `and`; two entries mean `or`. A field with several values means `or` as well.",
            "`to: [{operation: {methods: [GET], paths: [/get]}}]` beside `from`, in the same entry.",
        ),
        only_the_shop_reads_bills,
        objects=("authorizationpolicy/billing",),
        needs=("orders-v1", "billing", "shop", "intern", "beyond-outside/stranger"),
        watches=_LONGEST,
    ),
    Exercise(
        "9.3",
        "One door, and only one corridor behind it",
        (
            "The ServiceEntry is 09-serviceentry.yaml with another name and another host.",
            "Once the mesh knows files.example, a VirtualService with `hosts: [files.example]` routes it like any Service.",
            (
                "Two rules: match `uri: {prefix: /public/}` with `route: [{destination: {host: files.example}}]`; then one without "
                "`match`, with `directResponse: {status: 403}` in place of a route."
            ),
        ),
        one_door_and_one_corridor,
        objects=("serviceentry/files", "virtualservice/files"),
        needs=("shop", "intern", "beyond-outside/partner"),
        watches=_LONGEST,
    ),
    Exercise(
        "9.4",
        "Four mistakes",
        (
            "`istioctl analyze FILE` names the object, the line and what it refers to. Take the messages one by one.",
            "Selector: `istio: ingressgateway`. Host: the Gateway and the VirtualService must agree. Then the two destinations.",
            "Both destinations are `{host: orders, subset: v1, port: {number: 8000}}`.",
        ),
        four_mistakes,
        objects=("gateway/desk", "virtualservice/desk"),
        needs=("orders-v1",),
    ),
)
