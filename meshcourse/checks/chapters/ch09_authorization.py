"""The second exercise of chapter 9: who may call what, by an AuthorizationPolicy.

Judged by calls from three pods. What a policy allows is also read from it: no number of calls tries every account, method and path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshcourse.checks import outcome
from meshcourse.checks.callers import FORBIDDEN, REFUSED, Call, Rule, judged
from meshcourse.checks.exercises import ClusterView
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json

GOOD: Final = 200
OUTSIDE: Final = "beyond-outside"
METHODS: Final = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
_ROOT: Final = "istio-system"
"""Policies of this namespace are for the whole mesh."""


def only_the_shop_reads_bills(view: ClusterView) -> Outcome:
    """9.2: the shop may GET /get at billing; nobody may do anything else there; orders is untouched."""
    billing, orders = "http://billing:8000", f"http://orders.{view.namespace}:8000"
    found = view.object("authorizationpolicy", "billing")
    if found is None:
        return outcome.not_attempted(f"there is no AuthorizationPolicy `billing` in namespace {view.namespace} yet")
    method = _entries("the shop may only GET: name the method beside the path, `methods: [GET]`, and no other")
    path = _entries("the shop may read one path only: `to: [{operation: {methods: [GET], paths: [/get]}}]`, without a `*`")
    anybody = _entries("anybody may do it: the rule needs `from: [{source: {principals: [cluster.local/ns/NAMESPACE/sa/shop]}}]`")
    rules = (
        Rule(Call("intern", f"{orders}/get"), (GOOD,), _orders_hint),
        Rule(Call("intern", f"{orders}/post", "POST"), (GOOD,), _orders_hint),
        Rule(Call("shop", f"{orders}/headers"), (GOOD,), _orders_hint),
        Rule(Call("shop", f"{billing}/get"), (GOOD,), _shop_hint),
        Rule(Call("shop", f"{billing}/get?page=2"), (GOOD,), _shop_hint),
        Rule(Call("intern", f"{billing}/get"), (FORBIDDEN,), anybody),
        Rule(Call("intern", f"{billing}/post", "POST"), (FORBIDDEN,), anybody),
        *(Rule(Call("shop", f"{billing}/get", each), (FORBIDDEN,), method) for each in METHODS),
        Rule(Call("shop", f"{billing}/post", "POST"), (FORBIDDEN,), method),
        *(Rule(Call("shop", f"{billing}{each}"), (FORBIDDEN,), path) for each in ("/headers", "/get/x", "/getter", "/", "/anything/else")),
        Rule(
            Call("stranger", f"http://billing.{view.namespace}:8000/get", namespace=OUTSIDE),
            (FORBIDDEN, REFUSED),
            _entries("whoever has no certificate has no principal: `from: [{source: {principals: [...]}}]` keeps strangers out"),
        ),
    )
    broken = judged(view, found, rules) or _lets_in_more(view)
    if broken:
        return broken
    way = " (by refusing what is not allowed, `action: DENY`)" if found["spec"].get("action") == "DENY" else ""
    return outcome.passed(f"of {len(rules)} kinds of calls exactly those go through that should{way}")


def _lets_in_more(view: ClusterView) -> Outcome | None:
    """What policies allow at billing besides the one call: accounts, methods and paths that no call of this check can try one by one."""
    billing = {str(key): str(value) for pod in view.objects("pods", selector="app=billing") for key, value in _labels(pod).items()}
    for namespace in ("", _ROOT):
        for policy in view.objects("authorizationpolicies", namespace=namespace):
            spec, name = policy.get("spec", {}), policy["metadata"]["name"]
            chosen = (spec.get("selector") or {}).get("matchLabels") or {}
            if spec.get("action", "ALLOW") != "ALLOW" or not chosen.items() <= billing.items():
                continue
            more = next(filter(None, (_more(rule, view.namespace) for rule in spec.get("rules") or ())), "")
            if more:
                return outcome.not_yet(
                    seen=f"AuthorizationPolicy {name} lets in {more}, too",
                    expected="the shop alone, by its full name, and GET /get alone",
                    hint="write the whole principal, cluster.local/ns/NAMESPACE/sa/shop, one method and one path, and nothing else",
                )
    return None


def _more(rule: Json, namespace: str) -> str:
    """What one rule of an ALLOW policy lets in besides GET /get by the shop; empty when nothing."""
    shop = {f"cluster.local/ns/{namespace}/sa/shop", f"{namespace}/shop", "shop"}
    everything: list[Json] = [{}]
    marks = [set(map(str, each.get("values") or ())) for each in rule.get("when") or () if each.get("key") == "source.principal"]
    named = any(values and values <= shop for values in marks)
    for each in () if named and not rule.get("from") else rule.get("from") or everything:
        source = each.get("source") or {}
        names = [str(name) for name in source.get("principals") or source.get("serviceAccounts") or ()]
        if not names or set(names) - shop:
            return ", ".join(f"`{name}`" for name in names if name not in shop) or "callers by other marks than their principal"
    for each in rule.get("to") or everything:
        operation = each.get("operation") or {}
        methods, paths = set(operation.get("methods") or ("every method",)), set(operation.get("paths") or ("every path",))
        if methods != {"GET"} or paths != {"/get"}:
            return ", ".join(sorted(map(str, (methods | paths) - {"GET", "/get"})))
    return ""


def _labels(pod: Json) -> Json:
    return dict(pod["metadata"].get("labels") or {})


def _principals(found: Json) -> list[str]:
    return [
        str(name)
        for rule in found.get("spec", {}).get("rules") or ()
        for source in rule.get("from") or ()
        for name in (source.get("source") or {}).get("principals") or ()
    ]


def _ports(found: Json) -> list[str]:
    rules = found.get("spec", {}).get("rules") or ()
    return [str(port) for rule in rules for to in rule.get("to") or () for port in (to.get("operation") or {}).get("ports") or ()]


def _orders_hint(found: Json, got: int) -> str:
    if got != FORBIDDEN:
        return "no policy refuses that call, and yet orders does not answer: kubectl get pods"
    labels = (found.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    if labels.get("app") == "orders":
        return "your policy selects orders: `selector: {matchLabels: {app: billing}}`"
    if not labels:
        return "your policy has no `selector`, so it shuts every workload of the namespace: `selector: {matchLabels: {app: billing}}`"
    return "is a policy of section 3 still there? kubectl delete authorizationpolicy orders-allow orders-deny --ignore-not-found"


def _shop_hint(found: Json, got: int) -> str:
    if got != FORBIDDEN:
        return "billing does not answer the shop at all: kubectl get pods"
    sources = _principals(found)
    if any(name.startswith("spiffe://") for name in sources):
        return "a principal is written without `spiffe://`: cluster.local/ns/NAMESPACE/sa/ACCOUNT"
    if found.get("spec", {}).get("action") == "DENY":
        return "with `action: DENY` the rules say what is refused; here they should say what is allowed: `action: ALLOW`"
    if not found.get("spec", {}).get("rules"):
        return "a policy without `rules` allows nothing, to nobody: name who may do what"
    if sources and not any(name.endswith("/sa/shop") for name in sources):
        return f"the rule is for {sources[0]}; the shop's principal is cluster.local/ns/NAMESPACE/sa/shop"
    ports = _ports(found)
    if ports and "8080" not in ports:
        listed = ", ".join(ports)
        return f"`ports` are those of the pod, where billing listens on 8080, and not {listed}; the task names none: take `ports` out"
    return "403 for the shop: does the principal name its ServiceAccount, cluster.local/ns/NAMESPACE/sa/shop, and do method and path fit?"


def _entries(text: str) -> Callable[[Json, int], str]:
    """The hint for a policy of one rule. With two, chance says which forbidden call is seen first: connections outlive policies."""

    def hint(found: Json, _got: int) -> str:
        action = found.get("spec", {}).get("action", "ALLOW")
        if action not in {"ALLOW", "DENY"}:
            return f"with `action: {action}` the policy refuses nothing: `action: ALLOW`"
        if len(found.get("spec", {}).get("rules") or ()) > 1:
            return "two entries of `rules` mean `or`: either is enough. Put `from` and `to` into one entry, then both must hold"
        return text

    return hint
