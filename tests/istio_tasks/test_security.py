"""Tasks of security."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from meshcourse.node.images.apps import jwt_server

pytestmark = pytest.mark.cluster

CODE = "kubectl exec deploy/curl -c curl -- curl -s -o /dev/null -w '%{{http_code}}' {}"


@pytest.fixture
def foo(shell: Terminal) -> Terminal:
    """httpbin and curl with sidecars, as most pages of security begin."""
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml -f samples/curl/curl.yaml")
    shell.ready()
    return shell


@pytest.fixture
def legacy(cluster: Any, opened: Callable[[str], Terminal]) -> Iterator[Terminal]:
    """curl without a sidecar."""
    name = f"legacy-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", name)
    terminal = opened(name)
    terminal.type("kubectl apply -f samples/curl/curl.yaml")
    terminal.ready()
    yield terminal
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.task("Mutual TLS migration", "tasks/security/authentication/mtls-migration/")
def test_strict_refuses_who_has_no_sidecar(foo: Terminal, legacy: Terminal) -> None:
    url = f"http://httpbin.{foo.namespace}:8000/ip"
    for terminal in (foo, legacy):
        terminal.shows(CODE.format(url), "200")
    foo.type("""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
EOF""")
    legacy.shows(f'{CODE.format(url)}; echo " rc $?"', lambda text: "000" in text and "exit code 56" in text)
    foo.shows(CODE.format(url), "200")


@pytest.mark.task("Authentication policy: mutual TLS by port", "tasks/security/authentication/authn-policy/")
def test_the_certificate_is_forwarded_and_a_port_may_be_open(foo: Terminal, legacy: Terminal) -> None:
    header = "kubectl exec deploy/curl -c curl -- curl -s http://httpbin:8000/headers"
    foo.shows(header, f"URI=spiffe://cluster.local/ns/{foo.namespace}/sa/curl")
    foo.type("""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: httpbin}
spec: {selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec: {host: httpbin, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 8000}, tls: {mode: DISABLE}}]}}
EOF""")
    legacy.shows(CODE.format(f"http://httpbin.{foo.namespace}:8000/headers"), "200")
    foo.shows(header, lambda text: '"Host"' in text and "spiffe" not in text)


JWT = """kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt-example}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  jwtRules:
  - {{issuer: "testing@secure.istio.io", {keys}}}
EOF"""
REQUIRE = """kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: require-jwt}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  action: ALLOW
  rules: [{{from: [{{source: {{requestPrincipals: ["testing@secure.istio.io/testing@secure.istio.io"]}}}}]{when}}}]
EOF"""
KEYS = """kubectl apply -f - <<EOF
apiVersion: v1
kind: Pod
metadata: {name: keys, labels: {app: keys, sidecar.istio.io/inject: "false"}}
spec:
  containers: [{name: web, image: nginx, volumeMounts: [{name: jwks, mountPath: /usr/share/nginx/html}]}]
  volumes: [{name: jwks, configMap: {name: jwks}}]
---
apiVersion: v1
kind: Service
metadata: {name: keys}
spec: {selector: {app: keys}, ports: [{port: 80}]}
EOF"""
BEARER = '--header "Authorization: Bearer $(cat security/tools/jwt/samples/{}.jwt)" http://httpbin:8000/headers'


@pytest.mark.task(
    "Authorization with JWT",
    "tasks/security/authorization/authz-jwt/",
    "jwksUri names a server inside, in place of one on the Internet",
)
@pytest.mark.parametrize("keys", ["inline", "jwksUri"])
def test_a_token_opens_and_its_claims_count(foo: Terminal, keys: str) -> None:
    if keys == "inline":
        jwks = json.dumps(json.loads((foo.folder / "security/tools/jwt/samples/jwks.json").read_text()))
        foo.type(JWT.format(keys=f"jwks: '{jwks}'"))
    else:
        foo.type("kubectl create configmap jwks --from-file=security/tools/jwt/samples/jwks.json")
        foo.type(KEYS)
        foo.ready()
        foo.type(JWT.format(keys=f'jwksUri: "http://keys.{foo.namespace}/jwks.json"'))
    foo.shows(CODE.format('--header "Authorization: Bearer invalidToken" http://httpbin:8000/headers'), "401")
    foo.shows(CODE.format("http://httpbin:8000/headers"), "200")
    foo.type(REQUIRE.format(when=""))
    foo.shows(CODE.format("http://httpbin:8000/headers"), "403")
    foo.shows(CODE.format(BEARER.format("demo")), "200")
    foo.type(REQUIRE.format(when=", when: [{key: 'request.auth.claims[groups]', values: [group1]}]"))
    foo.shows(CODE.format(BEARER.format("demo")), "403")
    foo.shows(CODE.format(BEARER.format("groups-scope")), "200")


@pytest.mark.task("Authorization for HTTP", "tasks/security/authorization/authz-http/")
def test_the_bookstore_opens_step_by_step(bookinfo: Terminal) -> None:
    def allow(name: str, rules: str, selector: str = "") -> str:
        match = f"selector: {{matchLabels: {{app: {selector}}}}}, action: ALLOW, " if selector else ""
        return f"""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}}}
spec: {{{match}{rules}}}
EOF"""

    page = "curl -s -w '%{http_code}' http://$GATEWAY_URL/productpage"
    get = "to: [{operation: {methods: [GET]}}]"
    bookinfo.type(allow("allow-nothing", ""))
    bookinfo.shows(page, "RBAC: access denied403")
    bookinfo.type(allow("productpage-viewer", f"rules: [{{{get}}}]", "productpage"))
    bookinfo.shows(page, lambda text: "200" in text and "error fetching product details" in text.lower())
    for who, caller in (("details", "productpage"), ("reviews", "productpage"), ("ratings", "reviews")):
        principal = f"cluster.local/ns/{bookinfo.namespace}/sa/bookinfo-{caller}"
        bookinfo.type(allow(f"{who}-viewer", f'rules: [{{from: [{{source: {{principals: ["{principal}"]}}}}], {get}}}]', who))
    for words in ("error fetching product details", "error fetching product reviews", "currently unavailable"):
        bookinfo.shows(page, lambda text, words=words: text.endswith("200") and words not in text.lower())


@pytest.mark.task("Explicit deny", "tasks/security/authorization/authz-deny/")
def test_deny_wins_over_allow(foo: Terminal) -> None:
    foo.type("""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-method-get}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: DENY
  rules: [{to: [{operation: {methods: [GET]}}], when: [{key: 'request.headers[x-token]', notValues: [admin]}]}]
EOF""")
    foo.shows(CODE.format("http://httpbin:8000/get -H 'x-token: guest'"), "403")
    foo.shows(CODE.format("http://httpbin:8000/get -H 'x-token: admin'"), "200")


@pytest.mark.task("Authorization for TCP", "tasks/security/authorization/authz-tcp/")
def test_a_port_is_closed_by_its_number(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/tcp-echo/tcp-echo.yaml -f samples/curl/curl.yaml")
    shell.ready()
    call = 'kubectl exec deploy/curl -c curl -- sh -c \'echo "port {0}" | nc {1} {0}\' | grep "hello" && echo "connection succeeded" || echo "connection rejected"'
    pod = shell.type("kubectl get pod -l app=tcp-echo -o jsonpath='{.items[0].status.podIP}'")
    for port, where in ((9000, "tcp-echo"), (9001, "tcp-echo"), (9002, pod)):
        shell.shows(call.format(port, where), "connection succeeded")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tcp-policy}
spec: {selector: {matchLabels: {app: tcp-echo}}, action: ALLOW, rules: [{to: [{operation: {ports: ["9000", "9001"]}}]}]}
EOF""")
    shell.shows(call.format(9002, pod), "connection rejected")
    shell.shows(call.format(9000, "tcp-echo"), "connection succeeded")


@pytest.mark.task("Dry run of an authorization policy", "tasks/security/authorization/authz-dry-run/")
def test_a_dry_run_lets_pass_and_logs(foo: Terminal) -> None:
    foo.type("istioctl proxy-config log deploy/httpbin --level rbac:debug")
    foo.type("""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-path-headers, annotations: {istio.io/dry-run: "true"}}
spec: {selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{to: [{operation: {paths: [/headers]}}]}]}
EOF""")
    log = (
        "for i in 1 2 3; do "
        + CODE.format("http://httpbin:8000/headers")
        + "; done; kubectl logs deploy/httpbin -c istio-proxy | grep 'shadow denied'"
    )
    foo.shows(log, lambda text: text.startswith("200200200") and "shadow denied" in text)


@pytest.fixture
def authorizer(cluster: Any, foo: Terminal) -> Iterator[Terminal]:
    """The sample's authorizer, registered with Istio as on the page; the mesh config is restored afterwards."""
    before = cluster.get("-n", "istio-system", "configmap", "istio")["data"]["mesh"]
    host = f"ext-authz.{foo.namespace}.svc.cluster.local"
    more = (
        f"- name: sample-ext-authz-grpc\n  envoyExtAuthzGrpc: {{service: {host}, port: 9000}}\n"
        f"- name: sample-ext-authz-http\n  envoyExtAuthzHttp:\n    service: {host}\n    port: 8000\n    includeRequestHeadersInCheck: [x-ext-authz]\n"
    )
    patch_mesh(cluster, before.replace("extensionProviders:\n", "extensionProviders:\n" + more))
    foo.type("kubectl apply -f samples/extauthz/ext-authz.yaml")
    foo.ready()
    yield foo
    patch_mesh(cluster, before)


def patch_mesh(cluster: Any, mesh: str) -> None:
    patch = json.dumps({"data": {"mesh": mesh}})
    cluster.kubectl("-n", "istio-system", "patch", "configmap", "istio", "--type=merge", "-p", patch)


@pytest.mark.task("External authorization", "tasks/security/authorization/authz-custom/", "the authorizer is a program of the course's own")
@pytest.mark.parametrize("way", ["grpc", "http"])
def test_the_authorizer_decides(authorizer: Terminal, way: str) -> None:
    authorizer.type(f"""kubectl apply -f - <<EOF
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ext-authz}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  action: CUSTOM
  provider: {{name: sample-ext-authz-{way}}}
  rules: [{{to: [{{operation: {{paths: [/headers]}}}}]}}]
EOF""")
    ask = 'kubectl exec deploy/curl -c curl -- curl -s -H "x-ext-authz: {}" http://httpbin:8000/headers'
    authorizer.shows(ask.format("deny"), "denied by ext_authz for not found header `x-ext-authz: allow` in the request")
    authorizer.shows(ask.format("allow"), "X-Ext-Authz-Check-Result" if way == "grpc" else '"X-Ext-Authz"')
    authorizer.shows(CODE.format("http://httpbin:8000/ip"), "200")
    authorizer.shows("kubectl logs deploy/ext-authz", lambda text: "[allowed]" in text and "[denied]" in text)


def test_the_stand_in_serves_the_key_of_the_original(istio: Path) -> None:
    assert jwt_server.MODULUS in (istio / "samples/jwt-server/src/main.go").read_text()
