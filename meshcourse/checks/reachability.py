"""Whether requests reach the learner's rule at all, the first step of each check of a VirtualService or a DestinationRule.

Each function returns the object when it can be judged, and an Outcome when requests do not reach it: it does not exist, is in another
namespace, is for another host, is bound to another gateway, another object precedes it, or the proxies do not hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.mesh.install import installation
from meshcourse.mesh.rules import bindings

_ANALYZE: Final = "`istioctl analyze` names what does not fit together"
_DOMAIN: Final = "svc.cluster.local"
_ASTRAY: Final = "default"
"""Where an object goes that is applied without a namespace; those of any other namespace may be another chapter's, or another learner's."""


def service(view: ClusterView, name: str, *, host: str, gateway: str) -> Json | Outcome:
    """VirtualService `name`, for requests from outside to `host` through Gateway `gateway`."""
    found = _there(view, "virtualservice", name, lambda each: host in _hosts(each))
    if isinstance(found, Outcome):
        return found
    hosts, gateways = _hosts(found), _gateways(found)
    if host not in hosts:
        return outcome.not_yet(
            seen=f"VirtualService {name} is for the hosts {', '.join(hosts) or '(none)'}",
            expected=f"it is for {host}",
            hint=f"`hosts:` lists the names that users ask for, here {host}; the Service's name belongs in `destination: host:`",
        )
    if not {gateway, f"{view.namespace}/{gateway}"} & set(gateways):
        return outcome.not_yet(
            seen=f"VirtualService {name} is bound to {', '.join(gateways) or 'no gateway, so only sidecars inside the mesh read it'}",
            expected=f"it is bound to the Gateway `{gateway}`",
            hint=f"requests from outside come in through the ingress gateway: add `gateways: [{gateway}]`",
        )
    shut = gateway_shut(view, gateway, host)
    if shut:
        return shut
    if hidden := _hidden(found, installation.NAMESPACE, "the ingress gateway"):
        return hidden
    rival = _rival(view, found, lambda each: host in _hosts(each) and bool(_bound_gateways(each) & _bound_gateways(found)))
    if rival:
        return _shadowed(found, rival, host)
    if f"VirtualService {name}" in view.arrival().missing:
        return _not_held(f"the ingress gateway's Envoy does not hold the routes of VirtualService {name}")
    return found


def in_mesh(view: ClusterView, name: str, of: str) -> Json | Outcome:
    """VirtualService `name`, for the calls that pods of the mesh make to Service `of`."""
    spellings = {of, f"{of}.{view.namespace}.{_DOMAIN}"}
    found = _there(view, "virtualservice", name, lambda each: bool(spellings & set(_hosts(each))))
    if isinstance(found, Outcome):
        return found
    hosts, gateways = _hosts(found), _gateways(found)
    if not spellings & set(hosts):
        return outcome.not_yet(
            seen=f"VirtualService {name} is for the hosts {', '.join(hosts) or '(none)'}",
            expected=f"it is for {of}",
            hint=f"inside the mesh `hosts:` holds the name that the calling program uses: `hosts: [{of}]`",
        )
    if gateways and "mesh" not in gateways:
        return outcome.not_yet(
            seen=f"VirtualService {name} is bound to {', '.join(gateways)}, so no sidecar reads it",
            expected="the sidecars read it",
            hint=f"the call to {of} is made inside the mesh, by a pod: leave out `gateways`",
        )
    if hidden := _hidden(found, view.namespace, "the sidecars of this namespace"):
        return hidden
    rival = _rival(view, found, lambda each: bool(spellings & set(_hosts(each))) and "mesh" in (_gateways(each) or ["mesh"]))
    if rival:
        return _shadowed(found, rival, of)
    if narrow := _unknown(view, of):
        return narrow
    if any(line.startswith(f"VirtualService {name} in ") for line in view.arrival().missing):
        return _not_held(f"the sidecars do not hold the routes of VirtualService {name}")
    return found


def rule(view: ClusterView, name: str) -> Json | Outcome:
    """DestinationRule `name`, for the Service of the same name."""
    full = f"{name}.{view.namespace}.{_DOMAIN}"
    found = _there(view, "destinationrule", name, lambda each: each.get("spec", {}).get("host") in {name, full})
    if isinstance(found, Outcome):
        return found
    host = str(found.get("spec", {}).get("host", ""))
    if host not in {name, full}:
        return outcome.not_yet(
            seen=f"DestinationRule {name} is for the host {host}",
            expected=f"it is for {name}",
            hint=f"`host:` names the Service that is called: `host: {name}`",
        )
    if hidden := _hidden(found, view.namespace, "the sidecars of this namespace"):
        return hidden
    if chosen := found.get("spec", {}).get("workloadSelector"):
        labels = ", ".join(f"{key}: {value}" for key, value in (chosen.get("matchLabels") or {}).items())
        return outcome.not_yet(
            seen=f"DestinationRule {name} is for callers with the labels {labels} alone",
            expected="it is for every caller",
            hint="take `workloadSelector` out: it chooses whose sidecars follow the rule",
        )
    rival = _rival(view, found, lambda each: each.get("spec", {}).get("host") in {name, full})
    if rival:
        return _shadowed(found, rival, name)
    if any(line.startswith(f"DestinationRule {name} ") for line in view.arrival().missing):
        return _not_held(f"not every sidecar holds DestinationRule {name} yet")
    return found


def gateway_shut(view: ClusterView, name: str, host: str) -> Outcome | None:
    """Why Gateway `name` accepts no request for `host`, or None."""
    found, expected = view.object("gateways.networking.istio.io", name), f"the Gateway `{name}` lets {host} in on port 80"
    if found is None:
        seen, hint = f"there is no Gateway `{name}`", "the chapter's manifest with the Gateway makes it: apply it again"
        return outcome.not_yet(seen=f"{seen}, so the ingress gateway does not listen for {host}", expected=expected, hint=hint)
    spec = found.get("spec", {})
    servers = list(spec.get("servers") or ())
    hosts = [str(each) for server in servers for each in server.get("hosts") or ()]
    wrong = ""
    if spec.get("selector") != {"istio": "ingressgateway"}:
        wrong = f"selects {spec.get('selector') or 'nothing'}"
        hint = "the ingress gateway's pods carry the label istio: ingressgateway; a Gateway that selects no pod opens nothing"
    elif not any(covers(each, host) for each in hosts):
        wrong, hint = f"is for the hosts {', '.join(hosts) or '(none)'}", f"its `hosts:` must name {host}"
    elif not any(str(server.get("port", {}).get("protocol", "")).upper() == "HTTP" for server in servers):
        protocols = ", ".join(str(server.get("port", {}).get("protocol")) for server in servers)
        wrong, hint = f"opens a port for {protocols}", "plain requests need `protocol: HTTP`"
    if not wrong:
        return None
    return outcome.not_yet(seen=f"Gateway {name} {wrong}", expected=expected, hint=hint)


def _hidden(found: Json, namespace: str, who: str) -> Outcome | None:
    """When an object's `exportTo` leaves out the namespace of the proxies that should follow it."""
    if bindings.exported(found) & {"*", namespace}:
        return None
    named = ", ".join(map(str, found["spec"]["exportTo"]))
    return outcome.not_yet(
        seen=f"{found['kind']} {found['metadata']['name']} is for the namespaces that `exportTo` names ({named}), not for {who}",
        expected=f"it is for {who}",
        hint="take `exportTo` out: without it an object is for the whole mesh",
    )


def _unknown(view: ClusterView, service: str) -> Outcome | None:
    """When a Sidecar object of the namespace leaves the Service out of what its pods' proxies are told."""
    full = f"{service}.{view.namespace}.{_DOMAIN}"
    for each in view.objects("sidecars.networking.istio.io"):
        listeners = each.get("spec", {}).get("egress") or ()
        told = [str(host).partition("/") for listener in listeners for host in listener.get("hosts") or ()]
        if told and not any(where in {"*", ".", view.namespace} and covers(host, full) for where, _, host in told):
            name = each["metadata"]["name"]
            return outcome.not_yet(
                seen=f"Sidecar {name} leaves {service} out of the hosts that istiod tells the proxies of, so they follow no rule for it",
                expected=f"the callers' proxies know {service}",
                hint=f"kubectl delete sidecar {name}    # or add `./*` to its `egress: hosts:`",
            )
    return None


def covers(pattern: str, host: str) -> bool:
    """Whether an entry of a Gateway's `hosts` (`*.example.com`, `./shop.example.com`) matches `host`."""
    plain = pattern.rpartition("/")[2]
    return plain in {"*", host} or (plain.startswith("*.") and host.endswith(plain[1:]))


def _there(view: ClusterView, kind: str, name: str, meant: Callable[[Json], bool]) -> Json | Outcome:
    found = view.object(kind, name)
    if found is not None:
        return found
    title = {"virtualservice": "VirtualService", "destinationrule": "DestinationRule"}[kind]
    missing = f"there is no {title} `{name}` in namespace {view.namespace} yet"
    for each in _everywhere(view, f"{kind}s"):
        here, other = each["metadata"]["namespace"], each["metadata"]["name"]
        if here == _ASTRAY and other == name and meant(each):
            hint = f"leave `metadata: namespace:` out: kubectl -n {here} delete {kind} {name}, and apply it again"
            return outcome.not_yet(seen=f"{missing}: it is in namespace {here}", expected="it is in the chapter's namespace", hint=hint)
        if here == view.namespace and meant(each):
            hint = f"`metadata: name: {name}`; then kubectl delete {kind} {other}"
            return outcome.not_yet(seen=f"{missing}: it is called {other}", expected=f"its name is {name}", hint=hint)
    return outcome.not_attempted(missing)


def _everywhere(view: ClusterView, plural: str) -> list[Json]:
    return view.objects(f"{plural}.networking.istio.io", namespace="*")


def _rival(view: ClusterView, found: Json, same: Callable[[Json], bool]) -> Json | None:
    """The oldest other object of the same kind that has the same effect and precedes this one."""
    own = found["metadata"]
    others = (each for each in _everywhere(view, f"{found['kind'].lower()}s") if each["metadata"]["uid"] != own["uid"])
    older = [each for each in others if _age(each) <= _age(found) and same(each) and _sees(each, view.namespace)]
    return min(older, key=_age, default=None)


def _sees(found: Json, namespace: str) -> bool:
    """Whether an object applies in `namespace`: one of the same namespace, or one that is exported and not for a short name."""
    return bool(found["metadata"]["namespace"] == namespace or any("." in host for host in _hosts(found)))


def _age(found: Json) -> tuple[str, str, str]:
    """The order in which Istio takes objects: by creation, then by name."""
    own = found["metadata"]
    return str(own["creationTimestamp"]), str(own["name"]), str(own["namespace"])


def _shadowed(found: Json, rival: Json, host: str) -> Outcome:
    kind, name, other = found["kind"], found["metadata"]["name"], rival["metadata"]
    where = "" if other["namespace"] == found["metadata"]["namespace"] else f" of namespace {other['namespace']}"
    return outcome.not_yet(
        seen=f"{kind} {other['name']}{where} is for {host} too, is older, and comes before {kind} {name}",
        expected=f"{kind} {name} alone decides for {host}",
        hint=f"kubectl -n {other['namespace']} delete {kind.lower()} {other['name']}    # or remove {host} from it",
    )


def _not_held(seen: str) -> Outcome:
    return outcome.not_yet(seen=seen, expected="istiod pushes them within a second", hint=f"{_ANALYZE}; then run the check once more")


def _hosts(found: Mapping[str, Any]) -> list[str]:
    spec = found.get("spec", {})
    return [str(host) for host in spec.get("hosts") or ([spec["host"]] if spec.get("host") else ())]


def _gateways(found: Mapping[str, Any]) -> list[str]:
    return [str(gateway) for gateway in found.get("spec", {}).get("gateways") or ()]


def _bound_gateways(found: Json) -> set[str]:
    """The Gateways that a VirtualService is bound to, with their namespaces."""
    own = found["metadata"]["namespace"]
    return {gateway if "/" in gateway else f"{own}/{gateway}" for gateway in _gateways(found)} - {f"{own}/mesh"}
