"""What lab.wait says of all kinds of rules on the real mesh: that Envoy holds them when it does, and at once why when none will."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from meshcourse.core.errors import KubernetesError
from meshcourse.kube import resources
from meshcourse.mesh import istiod, propagation
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.propagation import Arrival

SOON = 6.0
pytestmark = pytest.mark.cluster

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: tcp-raw, port: 9000, targetPort: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.kinds.example.com"]}
"""
TO = {"route": [{"destination": {"host": "web"}}]}
V1 = {"route": [{"destination": {"host": "web", "subset": "v1"}}]}


@pytest.fixture(scope="module")
def web(cluster: Any) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    resources.apply(cluster.connection, WEB, namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["web"])
    assert propagation.wait(cluster.connection, name).missing == ()
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def applied(cluster: Any, web: str) -> Iterator[Any]:
    """Apply objects, wait, and return the messages; the objects are deleted afterwards."""
    made: list[dict[str, Any]] = []

    def apply(*items: dict[str, Any]) -> Arrival:
        made.extend(items)
        resources.apply(cluster.connection, yaml.safe_dump_all(made), namespace=web)
        return propagation.wait(cluster.connection, web)

    yield apply
    resources.delete(cluster.connection, yaml.safe_dump_all(made), namespace=web)


def item(kind: str, spec: dict[str, Any], name: str = "tried", group: str = "networking.istio.io/v1") -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec}


def service(*http: dict[str, Any], name: str = "tried", **spec: Any) -> dict[str, Any]:
    whole = {"hosts": [f"{name}.kinds.example.com"], "gateways": ["web"], "http": list(http or (TO,)), **spec}
    return item("VirtualService", whole, name)


MATCHES = {
    "method": {"method": {"exact": "POST"}},
    "authority": {"authority": {"prefix": "authority."}},
    "scheme": {"scheme": {"exact": "http"}},
    "query-params": {"queryParams": {"user": {"exact": "ada"}, "beta": {"regex": "[0-9]+"}}},
    "without-headers": {"withoutHeaders": {"x-team": {"exact": "internal"}, "x-other": {}}},
    "port": {"port": 80},
    "of-gateways": {"gateways": ["web"]},
    "headers": {"headers": {"x-a": {"regex": ".*"}, "x-b": {"prefix": "b"}, "x-c": {}}},
    "regex-of-everything": {"uri": {"regex": ".*"}},
    "regex": {"uri": {"regex": "/v[0-9]+/.*"}},
    "in-any-case": {"uri": {"exact": "/Login"}, "ignoreUriCase": True},
    "several": {"uri": {"prefix": "/api"}, "method": {"regex": "GET|HEAD"}, "headers": {"end-user": {"exact": "ada"}}},
    "stat-prefix": {"uri": {"prefix": "/s"}, "statPrefix": "s", "name": "by-name"},
}
ACTIONS = {
    "redirect": {"redirect": {"uri": "/new", "authority": "b.kinds.example.com", "redirectCode": 302}},
    "redirect-https": {"redirect": {"scheme": "https", "derivePort": "FROM_PROTOCOL_DEFAULT"}},
    "direct-response": {"directResponse": {"status": 418, "body": {"string": "teapot"}}},
    "rewrite": {"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uri": "/b", "authority": "c"}, **TO},
    "regex-rewrite": {"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uriRegexRewrite": {"match": "/a/(.*)", "rewrite": "/\\1"}}, **TO},
    "mirror": {"mirror": {"host": "web", "subset": "v1"}, "mirrorPercentage": {"value": 12.5}, **TO},
    "changed-headers": {"headers": {"request": {"set": {"x-a": "b"}, "remove": ["z"]}, "response": {"add": {"w": "v"}}}, **TO},
    "cors": {"corsPolicy": {"allowOrigins": [{"exact": "https://a"}], "allowMethods": ["GET"], "maxAge": "24h"}, **TO},
    "treatment": {"timeout": "2s", "retries": {"attempts": 3, "perTryTimeout": "500ms", "retryOn": "5xx,503"}, **TO},
    "weights": {"route": [{"destination": {"host": "web"}, "weight": 900}, {"destination": {"host": "web", "subset": "v1"}, "weight": 99}]},
    "port-of-destination": {"route": [{"destination": {"host": "web", "port": {"number": 80}}}]},
    "fault": {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}, "delay": {"fixedDelay": "3s"}}, **TO},
}


def gateways_routes(cluster: Any) -> Any:
    """The routes that the ingress gateway's Envoy holds."""
    with propagation.Lines(cluster.connection) as lines:
        return lines.to("istio-system", lines.gateways(propagation.INGRESS)[0]).routes()


def test_every_condition_and_every_action_of_a_rule_is_held(applied: Any, web: str, cluster: Any) -> None:
    services = [service({"match": [match, {"uri": {"prefix": "/x"}}], **V1}, TO, name=name) for name, match in MATCHES.items()]
    services += [service(action, name=name) for name, action in ACTIONS.items()]
    found = applied(*services)
    assert (found.missing, found.unheld, found.notes, found.rejected) == ((), (), (), ())
    assert found.seconds < SOON
    routes = gateways_routes(cluster)
    assert [name for name in (*MATCHES, *ACTIONS) if not config_dump.read(routes, web, name)] == []


OTHERS = (
    service(TO, name="both", hosts=["both.kinds.example.com", "both"], gateways=["web", "mesh"]),
    service(name="to-all", exportTo=["*"]),
    service(name="every-host", hosts=["*.every.kinds.example.com"]),
    service({"match": [{"uri": {"prefix": "/api"}}], "delegate": {"name": "part"}}, name="root"),
    item("VirtualService", {"http": [{"match": [{"uri": {"prefix": "/api/v2"}}], **V1}, TO]}, "part"),
    item("VirtualService", {"hosts": ["web"], "http": [{"match": [{"sourceLabels": {"app": "web"}}], **V1}, TO]}, "labels"),
    item("VirtualService", {"hosts": ["raw.example.com"], "tcp": [{"match": [{"port": 9000}], **TO}]}, "tcp"),
    item("VirtualService", {"hosts": ["t.example.com"], "tls": [{"match": [{"port": 443, "sniHosts": ["t.example.com"]}], **TO}]}, "tls"),
    item(
        "ServiceEntry",
        {"hosts": ["out.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"},
    ),
    item("Sidecar", {"egress": [{"hosts": ["./*", "istio-system/*"]}]}),
    item("AuthorizationPolicy", {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/x"]}}]}]}, group="security.istio.io/v1"),
    item("PeerAuthentication", {"mtls": {"mode": "STRICT"}}, group="security.istio.io/v1"),
    item("Telemetry", {"accessLogging": [{"providers": [{"name": "envoy"}]}]}, group="telemetry.istio.io/v1"),
)


def test_other_objects_are_held_too(applied: Any) -> None:
    found = applied(*OTHERS)
    assert (found.missing, found.unheld, found.notes, found.rejected) == ((), (), (), ())
    assert found.seconds < SOON


def https(**tls: Any) -> dict[str, Any]:
    return {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["s.kinds.example.com"], "tls": tls}],
    }


NOBODY = (
    (
        item("Gateway", {**https(mode="SIMPLE", credentialName="c"), "selector": {"istio": "ingres"}}, "typo"),
        "Gateway typo: no ready pod in the cluster has the label",
    ),
    (
        item("Gateway", https(mode="SIMPLE", credentialName="none"), "secret"),
        "Gateway secret: .*there is no Secret none in namespace istio-",
    ),
    (service(name="gateway", gateways=["wbe"]), "VirtualService gateway: there is no Gateway wbe"),
    (
        {**service(name="revision"), "metadata": {"name": "revision", "labels": {"istio.io/rev": "other"}}},
        "VirtualService revision: its label istio.io/rev is other, and no istiod of that revision reads it",
    ),
    (
        service(name="half", gateways=["web", "wbe"], hosts=["half.kinds.example.com"]),
        "VirtualService half: there is no Gateway wbe, so it is not",
    ),
    (service(name="elsewhere", gateways=["nowhere/web"]), "VirtualService elsewhere: there is no Gateway nowhere/web"),
    (service(name="hosts", hosts=["shop.example.com"]), r"VirtualService hosts: its hosts \(shop.example.com\) are not among those of"),
    (service(name="own", exportTo=["."]), "VirtualService own: its exportTo leaves out the namespace"),
    (item("VirtualService", {"http": [TO]}, "part"), "VirtualService part: .* no other VirtualService delegates to it"),
    (
        service({"delegate": {"name": "absent"}}, name="root"),
        "VirtualService root: it delegates to VirtualService absent, which does not exist",
    ),
)


def test_what_nobody_will_hold_is_said_soon_and_in_one_line(applied: Any) -> None:
    found = applied(*(each for each, _ in NOBODY))
    assert found.missing == ()
    assert found.seconds < SOON + 2 * propagation.GRACE
    for _, wanted in NOBODY:
        assert [line for line in found.unheld if re.match(wanted, line)], (wanted, found.unheld)
    assert len(found.unheld) == len(NOBODY)


def test_of_two_rules_for_the_sidecars_of_one_host_the_older_counts(applied: Any) -> None:
    applied(item("VirtualService", {"hosts": ["web"], "http": [TO]}, "first"))
    assert applied(item("VirtualService", {"hosts": ["web"], "http": [V1]}, "second")).unheld in {
        ("VirtualService second: VirtualService first, which is older, has its host: sidecars read that one",),
        ("VirtualService first: VirtualService second, which is older, has its host: sidecars read that one",),
    }


def test_what_leads_nowhere_is_held_and_said(applied: Any) -> None:
    found = applied(
        item("DestinationRule", {"host": "web", "subsets": [{"name": "v7", "labels": {"version": "v7"}}]}),
        service({"route": [{"destination": {"host": "web", "subset": "v9"}}]}, name="subset"),
        service({"route": [{"destination": {"host": "wbe"}}]}, name="host"),
        service({"route": [{"destination": {"host": "web", "port": {"number": 1234}}}]}, name="port"),
        service({"route": [{"destination": {"host": "istiod.istio-system.svc.cluster.local"}}]}, name="ports"),
        service({"route": [{"destination": {"host": "web.nowhere.svc.cluster.local"}}]}, name="elsewhere"),
        service({"route": [{"destination": {"host": "web.default"}}]}, name="half"),
    )
    assert found.missing == ()
    said = "\n".join(found.notes)
    assert "no ready pod is in subset v7 of web (version=v7): requests sent there are answered with 503" in said
    assert "VirtualService subset sends requests to subset v9 of web, which no DestinationRule defines" in said
    assert "VirtualService host sends requests to wbe: there is no such Service" in said
    assert "VirtualService port sends requests to port 1234 of web, which has only 80" in said
    assert "VirtualService ports" not in said  # istiod has a port 443, which a gateway may listen at
    assert "VirtualService elsewhere sends requests to web: there is no such Service in namespace nowhere" in said
    assert "VirtualService half sends requests to web.default, which is neither a Service (a Service's whole name ends with .svc." in said


BROKEN = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: broken}
spec:
  workloadSelector: {labels: {app: web}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: broken
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCode: "this is no Lua"}
"""


def test_envoy_that_rejects_its_configuration_is_named_with_its_words(cluster: Any, web: str) -> None:
    resources.apply(cluster.connection, BROKEN, namespace=web)
    try:
        found = propagation.wait(cluster.connection, web)
        (complaint,) = found.rejected
        assert re.match(rf"the Envoy of pod web-\S+ in namespace {web} rejects its listeners: .*[Ll]ua", complaint)
        assert any(name.startswith("DestinationRule web in web-") for name in found.missing)
        assert complaint in istiod.rejecting(cluster.connection)
        assert found.seconds < SOON
    finally:
        resources.delete(cluster.connection, BROKEN, namespace=web)
    assert propagation.wait(cluster.connection, web).rejected == ()


def test_what_was_deleted_is_waited_for_too(cluster: Any, web: str) -> None:
    alone = yaml.safe_dump(service(name="alone"))
    resources.apply(cluster.connection, alone, namespace=web)
    assert propagation.wait(cluster.connection, web).virtual_services == ("alone",)
    resources.delete(cluster.connection, alone, namespace=web)
    assert propagation.wait(cluster.connection, web).missing == ()
    assert config_dump.read(gateways_routes(cluster), web, "alone") == ()


def test_namespace_that_is_not_there_is_said_at_once(cluster: Any) -> None:
    with pytest.raises(KubernetesError, match="There is no namespace nowhere"):
        propagation.wait(cluster.connection, "nowhere")
