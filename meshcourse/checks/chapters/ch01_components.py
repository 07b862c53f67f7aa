"""The exercises of chapter 1: a Gateway and a rule of your own, the Envoys counted, and a way out through the egress gateway."""

from __future__ import annotations

import time
import uuid
from typing import Final

from meshcourse.checks import diagnosis, outcome, reachability, unasked
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.core.json_types import Json
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh.install import istioctl

HELLO: Final = "hello.example.com"
BILLING: Final = "billing.partner.example"
PARTNER: Final = ".partner.example"
_GOOD: Final = 200
FEW: Final = 20
LATE: Final = 3.0
"""Seconds within which the egress gateway's log line is written, with a margin."""
_EGRESS: Final = "deploy/istio-egressgateway"
_SYSTEM: Final = "istio-system"
_FULL: Final = "istio-egressgateway.istio-system.svc.cluster.local"


def a_door_and_a_rule(view: ClusterView) -> Outcome:
    """1.1: Gateway and VirtualService `hello` let hello.example.com through to web."""
    gateway, service = view.object("gateway", "hello"), view.virtual_service("hello")
    if gateway is None and service is None:
        return outcome.not_attempted(f"there is no Gateway and no VirtualService `hello` in namespace {view.namespace} yet")
    expected = f"requests for {HELLO} are answered by web"
    wrong = _missing_half(gateway, service)
    if wrong or service is None:
        return outcome.not_yet(seen=wrong[0], expected=expected, hint=wrong[1])
    found = reachability.service(view, "hello", host=HELLO, gateway="hello")
    if isinstance(found, Outcome):
        return found
    more = unasked.found(found)
    if more:
        return more
    route = Route(found, HELLO)
    mark = uuid.uuid4().hex
    for path in ("/get", "/", f"/headers?{mark}"):
        got = view.send(FEW, host=HELLO, path=path)
        which = f"for the path {path.partition('?')[0]}"
        lost = diagnosis.failed(view, route, got, which=which, expected=expected)
        if lost:
            return lost
        if not diagnosis.all_of(got, _GOOD):
            hint = "all requests go to `destination: {host: web}`, without faults, redirects or rewrites"
            return outcome.not_yet(seen=f"{which}, {diagnosis.seen(got)}", expected=expected, hint=hint)
    other = _by_another(view, mark)
    if other:
        hint = "`destination: host:` is the Service that answers, here web"
        return outcome.not_yet(seen=f"the requests were answered by {other}", expected=expected, hint=hint)
    return outcome.passed(f"{3 * FEW} of {3 * FEW} requests for {HELLO} were answered by web")


def _by_another(view: ClusterView, mark: str) -> str:
    """The Service to which the gateway sent the marked requests, if it is not web."""
    web = f"web.{view.namespace}.svc.cluster.local"
    ends = time.monotonic() + LATE
    while True:
        places = {line["upstream_cluster"].split("|")[-1] for line in view.log(diagnosis.INGRESS, containing=mark, namespace=_SYSTEM)}
        if places or time.monotonic() > ends:
            return next(iter(places - {web}), "")
        time.sleep(0.2)


def _missing_half(gateway: Json | None, service: Json | None) -> tuple[str, ...]:
    """(seen, hint) when the Gateway or the rule is missing, or the Gateway is for other hosts; empty when both are right."""
    if gateway is None:
        return (
            "the rule is there, and the door is not: there is no Gateway `hello`",
            "a Gateway opens the ingress gateway's port 80 for a host name; manifests/01_components/04-gateway.yaml is one",
        )
    if service is None:
        return (
            "the door is there, and the rule is not: there is no VirtualService `hello`",
            "a VirtualService says where requests go; manifests/01_components/05-route.yaml is one",
        )
    spec = gateway.get("spec", {})
    if spec.get("selector") != {"istio": "ingressgateway"}:
        return (
            f"Gateway hello selects {spec.get('selector') or 'nothing'}",
            "the ingress gateway's pods have the label istio: ingressgateway",
        )
    servers = list(spec.get("servers", ()))
    if not any(reachability.covers(str(host), HELLO) for server in servers for host in server.get("hosts", ())):
        names = ", ".join(str(host) for server in servers for host in server.get("hosts", ()))
        return f"Gateway hello is for the hosts {names}", f"its `hosts:` must name {HELLO}"
    if not any(server.get("port", {}).get("number") == 80 for server in servers):  # noqa: PLR2004 - HTTP's port
        return "Gateway hello does not open port 80", "the NodePort leads to the ingress gateway's port 80: `port: {number: 80, ...}`"
    return ()


def count_the_envoys(view: ClusterView) -> Outcome:
    """1.2: how many Envoys are connected to istiod now."""
    answer = view.answer("1.2").strip("\"' ").removesuffix(".0")
    if not answer:
        return outcome.not_attempted("there is no answer yet")
    told = istioctl.run(view.connection, "proxy-status").stdout
    names = [line.split()[0] for line in told.splitlines()[1:] if line.strip()]
    expected = "the number of lines that `istioctl proxy-status` has below its heading"
    if not (answer.isascii() and answer.isdigit()):
        hint = "a list: `len(lines)` says how many lines it has" if answer.startswith("[") else 'lab.answer("1.2", 7), for example'
        return outcome.not_yet(seen=f"{answer[:60]} is no number", expected=expected, hint=hint)
    if int(answer) == len(names):
        return outcome.passed(f"{len(names)} Envoys are connected: {', '.join(name.partition('.')[0] for name in names)}")
    gateways = [name for name in names if name.endswith(f".{_SYSTEM}")]
    hint = "each line below the heading is one Envoy; did pods come or go since you counted?"
    if int(answer) == len(names) - len(gateways):
        hint = "the gateways are Envoys too"
    elif int(answer) == len(names) + 1:
        hint = "the heading is no Envoy, and istiod is none either: it gives the orders. Or has a pod gone since you counted? Count again"
    return outcome.not_yet(seen=f"your answer is {answer}", expected=expected, hint=hint)


def a_second_way_out(view: ClusterView) -> Outcome:
    """1.3: client's requests for billing.partner.example pass the egress gateway."""
    services = [each for each in view.objects("virtualservices") if BILLING in (each.get("spec", {}).get("hosts") or ())]
    if not services:
        return outcome.not_attempted(f"no VirtualService in namespace {view.namespace} is for the host {BILLING} yet")
    expected = f"a request of client for {BILLING} is answered with 200 by the partner, and the egress gateway has logged it"
    found = next((each for each in services if each["metadata"]["name"] == "billing"), None)
    if found is None:
        name = services[0]["metadata"]["name"]
        hint = "`metadata: name: billing`, in a VirtualService of its own; take billing.partner.example out of the other one"
        return outcome.not_yet(seen=f"the VirtualService for {BILLING} is called {name}", expected="it is called billing", hint=hint)
    gateways = {name.rpartition("/")[2] for each in services for name in each["spec"].get("gateways") or ("mesh",)}
    for wanted, who in (("mesh", "the sidecars"), ("way-out", "the egress gateway")):
        if wanted not in gateways:
            return outcome.not_yet(
                seen=f"the VirtualService is bound to {', '.join(sorted(gateways))}: {who} do not read it".replace(
                    "gateway do", "gateway does"
                ),
                expected=expected,
                hint="two proxies must know the way: `gateways: [mesh, way-out]`, and one rule for each",
            )
    more = unasked.found(found)
    if more:
        return more
    view.arrival()
    mark = uuid.uuid4().hex
    code = _call(view, mark)
    line = _logged(view, mark)
    passed_by, place = (line["upstream_host"], line["upstream_cluster"].split("|")[-1]) if line else ("", "")
    if code == "200" and passed_by and not place.endswith(PARTNER):
        return outcome.not_yet(
            seen=f"client got 200, but the egress gateway sent the request to {place}, which is not the partner's name in the mesh",
            expected=expected,
            hint=f"the rule with `match: [{{gateways: [way-out]}}]` must send to {BILLING}",
        )
    if code == "200" and passed_by:
        how = "" if place == BILLING else f" by the entry of {place}, which is at the same place,"
        return outcome.passed(f"client got 200, and the egress gateway logged the request on its way{how} to {passed_by}")
    if code == "200":
        return outcome.not_yet(
            seen="client got 200, but the egress gateway saw nothing of it: the sidecar sent it straight to the outside",
            expected=expected,
            hint=f"the rule with `match: [{{gateways: [mesh]}}]` must send to {_FULL}",
        )
    if passed_by:
        hint = f"the rule with `match: [{{gateways: [way-out]}}]` must send to {BILLING}"
        return outcome.not_yet(seen=f"the egress gateway got the request and answered {code}", expected=expected, hint=hint)
    hint = "what does client's own Envoy say? kubectl logs deploy/client -c istio-proxy --tail=2"
    return outcome.not_yet(seen=f"client got {code}, and the egress gateway saw nothing of it", expected=expected, hint=hint)


def _call(view: ClusterView, mark: str) -> str:
    """The status that client gets for a request with a unique mark."""
    url = f"http://{BILLING}/anything/{mark}"
    words = ("exec", "deploy/client", "-c", "client", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", url)
    done = view.run("kubectl", *words)
    if not done.stdout.strip().isdigit():
        raise errors.KubernetesError("client cannot be used.", why=done.complaint, next="kubectl rollout status deployment client")
    return done.stdout.strip()


def _logged(view: ClusterView, mark: str) -> Entry | None:
    """The egress gateway's log line of the marked request; None when there is none."""
    ends = time.monotonic() + LATE
    while True:
        found = view.log(_EGRESS, containing=mark, namespace=_SYSTEM)
        if found or time.monotonic() > ends:
            return found[-1] if found else None
        time.sleep(0.2)


EXERCISES: Final = (
    Exercise(
        "1.1",
        "A door and a rule",
        (
            "Two objects: a Gateway opens a door for a host name, a VirtualService says where its requests go. Section 5 has one of each.",
            "Copy both files into the cell, with a line `---` between them. Both names become hello, and the host hello.example.com.",
            "The VirtualService names its door: `gateways: [hello]`. Its destination stays `host: web`.",
        ),
        a_door_and_a_rule,
        objects=("gateway/hello", "virtualservice/hello"),
        needs=("web",),
    ),
    Exercise(
        "1.2",
        "Count the Envoys",
        (
            "istiod knows who is connected to it. Which command of section 3 asks it?",
            "istioctl proxy-status has one line for each Envoy, and a heading.",
            "lines = !istioctl proxy-status, then len(lines) - 1.",
        ),
        count_the_envoys,
    ),
    Exercise(
        "1.3",
        "A second way out",
        (
            "ServiceEntry and Gateway know billing.partner.example already. Only its VirtualService is missing.",
            "Start from the VirtualService in manifests/01_components/08-egress.yaml. It needs a new name, and the host in two places.",
            "The host stands under `hosts:` and in the destination of the rule for `way-out`. The rule for `mesh` stays as it is.",
        ),
        a_second_way_out,
        objects=("virtualservice/billing",),
        needs=("client", "components-outside/partner"),
    ),
)
