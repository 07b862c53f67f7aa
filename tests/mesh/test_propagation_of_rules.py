"""What lab.wait says of all kinds of rules on the real mesh: that Envoy holds them when it does, and at once why when none will."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from meshcourse.core.errors import KubernetesError
from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.mesh.propagation import Arrival

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
    """Apply objects, wait, and give what was said; they are deleted afterwards, and istiod has heard of it."""
    made: list[dict[str, Any]] = []

    def apply(*items: dict[str, Any]) -> Arrival:
        made.extend(items)
        resources.apply(cluster.connection, text(made), namespace=web)
        return propagation.wait(cluster.connection, web)

    yield apply
    resources.delete(cluster.connection, text(made), namespace=web)


def text(items: list[dict[str, Any]]) -> str:
    import yaml  # noqa: PLC0415 - here only

    return "\n---\n".join(yaml.safe_dump(each) for each in items)


def item(kind: str, spec: dict[str, Any], name: str = "tried", group: str = "networking.istio.io/v1", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def service(*http: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return item("VirtualService", {"hosts": ["a.kinds.example.com"], "gateways": ["web"], "http": list(http or (TO,)), **spec})


MATCHES = {
    "method": {"method": {"exact": "POST"}},
    "authority": {"authority": {"prefix": "a."}},
    "scheme": {"scheme": {"exact": "http"}},
    "queryParams": {"queryParams": {"user": {"exact": "ada"}, "beta": {"regex": "[0-9]+"}}},
    "withoutHeaders": {"withoutHeaders": {"x-team": {"exact": "internal"}, "x-other": {}}},
    "port": {"port": 80},
    "gateways": {"gateways": ["web"]},
    "headers": {"headers": {"x-a": {"regex": ".*"}, "x-b": {"prefix": "b"}, "x-c": {}}},
    "regex of everything": {"uri": {"regex": ".*"}},
    "regex": {"uri": {"regex": "/v[0-9]+/.*"}},
    "exact, in any case": {"uri": {"exact": "/Login"}, "ignoreUriCase": True},
    "several": {"uri": {"prefix": "/api"}, "method": {"regex": "GET|HEAD"}, "headers": {"end-user": {"exact": "ada"}}},
    "stat prefix": {"uri": {"prefix": "/s"}, "statPrefix": "s", "name": "by-name"},
}
ACTIONS = {
    "redirect": {"redirect": {"uri": "/new", "authority": "b.kinds.example.com", "redirectCode": 302}},
    "redirect to https": {"redirect": {"scheme": "https", "derivePort": "FROM_PROTOCOL_DEFAULT"}},
    "direct response": {"directResponse": {"status": 418, "body": {"string": "teapot"}}},
    "rewrite": {"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uri": "/b", "authority": "c"}, **TO},
    "regex rewrite": {"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uriRegexRewrite": {"match": "/a/(.*)", "rewrite": "/\\1"}}, **TO},
    "mirror": {"mirror": {"host": "web", "subset": "v1"}, "mirrorPercentage": {"value": 12.5}, **TO},
    "headers": {"headers": {"request": {"set": {"x": "y"}, "remove": ["z"]}, "response": {"add": {"w": "v"}}}, **TO},
    "cors": {"corsPolicy": {"allowOrigins": [{"exact": "https://a"}], "allowMethods": ["GET"], "maxAge": "24h"}, **TO},
    "treatment": {"timeout": "2s", "retries": {"attempts": 3, "perTryTimeout": "500ms", "retryOn": "5xx,503"}, **TO},
    "weights": {"route": [{"destination": {"host": "web"}, "weight": 900}, {"destination": {"host": "web", "subset": "v1"}, "weight": 99}]},
    "port of the destination": {"route": [{"destination": {"host": "web", "port": {"number": 80}}}]},
    "fault": {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}, "delay": {"fixedDelay": "3s"}}, **TO},
}


@pytest.mark.parametrize("name", MATCHES)
def test_every_condition_of_a_rule_is_held(applied: Any, name: str) -> None:
    found = applied(service({"match": [MATCHES[name], {"uri": {"prefix": "/x"}}], **V1}, TO))
    assert (found.missing, found.unheld, found.notes) == ((), (), ())
    assert found.seconds < 5


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_of_a_rule_is_held(applied: Any, name: str) -> None:
    found = applied(service(ACTIONS[name]))
    assert (found.missing, found.unheld, found.notes) == ((), (), ())
    assert found.seconds < 5


OTHERS = {
    "sidecars, with a caller's labels": item(
        "VirtualService", {"hosts": ["web"], "http": [{"match": [{"sourceLabels": {"app": "web"}}], **V1}, TO]}
    ),
    "sidecars, rules for nobody here": item("VirtualService", {"hosts": ["web"], "http": [{"match": [{"sourceNamespace": "x"}], **V1}, TO]}),
    "both": service(TO, hosts=["a.kinds.example.com", "web"], gateways=["web", "mesh"]),
    "tcp": item("VirtualService", {"hosts": ["web"], "tcp": [{"match": [{"port": 9000}], **TO}]}),
    "tls": item("VirtualService", {"hosts": ["t.example.com"], "tls": [{"match": [{"port": 443, "sniHosts": ["t.example.com"]}], **TO}]}),
    "exported to itself": service(exportTo=["."]),
    "exported to all": service(exportTo=["*"]),
    "every host": service(hosts=["*.kinds.example.com"]),
    "entry": item("ServiceEntry", {"hosts": ["out.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}),
    "sidecar": item("Sidecar", {"egress": [{"hosts": ["./*", "istio-system/*"]}]}),
    "policy": item("AuthorizationPolicy", {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/x"]}}]}]}, group="security.istio.io/v1"),
    "mutual TLS": item("PeerAuthentication", {"mtls": {"mode": "STRICT"}}, group="security.istio.io/v1"),
    "telemetry": item("Telemetry", {"accessLogging": [{"providers": [{"name": "envoy"}]}]}, group="telemetry.istio.io/v1"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_objects_are_held_too(applied: Any, name: str) -> None:
    found = applied(OTHERS[name])
    assert (found.missing, found.unheld, found.notes) == ((), (), ())
    assert found.seconds < 6


def test_delegate_is_held_through_its_root(applied: Any) -> None:
    part = item("VirtualService", {"http": [{"match": [{"uri": {"prefix": "/api/v2"}}], **V1}, TO]}, name="part")
    root = service({"match": [{"uri": {"prefix": "/api"}}], "delegate": {"name": "part"}})
    found = applied(part, root)
    assert (found.missing, found.unheld) == ((), ())
    alone = propagation.wait
    assert alone is not None


NOBODY = {
    "Gateway's selector": (
        (item("Gateway", {"selector": {"istio": "ingres"}, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}),),
        "Gateway tried: no ready pod in the cluster has the label istio=ingres",
    ),
    "Gateway's name": ((service(gateways=["wbe"]),), "there is no Gateway wbe"),
    "Gateway elsewhere": ((service(gateways=["nowhere/web"]),), "there is no Gateway nowhere/web"),
    "hosts": ((service(hosts=["shop.example.com"]),), r"its hosts \(shop.example.com\) are not among those of Gateway web"),
    "part of nothing": ((item("VirtualService", {"http": [TO]}),), "no other VirtualService delegates to it"),
    "missing part": (
        (service({"match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "absent"}}, TO),),
        "it delegates to VirtualService absent, which does not exist",
    ),
    "certificate": (
        (
            item(
                "Gateway",
                {
                    "selector": {"istio": "ingressgateway"},
                    "servers": [
                        {
                            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                            "hosts": ["s.kinds.example.com"],
                            "tls": {"mode": "SIMPLE", "credentialName": "no-such-cert"},
                        }
                    ],
                },
            ),
        ),
        "there is no Secret no-such-cert in namespace istio-system",
    ),
}


@pytest.mark.parametrize("name", NOBODY)
def test_what_nobody_will_hold_is_said_soon_in_one_line(applied: Any, name: str) -> None:
    items, wanted = NOBODY[name]
    found = applied(*items)
    assert found.missing == ()
    assert len(found.unheld) == 1
    assert found.unheld[0]
    pytest.fail(found.unheld[0]) if not __import__("re").search(wanted, found.unheld[0]) else None
    assert found.seconds < 7
