"""Tasks of observability, policy, setup and operations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest
import yaml
from terminal import Terminal

pytestmark = pytest.mark.cluster


@pytest.mark.task("Access logs by Telemetry, with a filter", "tasks/observability/logs/telemetry-api/")
def test_only_errors_are_logged(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml -f samples/curl/curl.yaml")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec: {accessLogging: [{providers: [{name: envoy}], filter: {expression: response.code >= 400}}]}
EOF""")
    shell.ready()
    ask = "kubectl exec deploy/curl -c curl -- curl -s -o /dev/null http://httpbin:8000/status/{}?mark={}"
    log = "kubectl logs deploy/httpbin -c istio-proxy"
    shell.shows(f"{ask.format(418, 'seen')}; {log}", "/status/418?mark=seen")
    shell.type(ask.format(200, "unseen"))
    shell.shows(f"{ask.format(418, 'last')}; {log}", "mark=last")
    assert "mark=unseen" not in shell.type(log)


def test_a_telemetry_for_metrics_is_refused_with_the_way_out(shell: Terminal) -> None:
    said = shell.type(
        """kubectl apply -f - <<EOF
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: remove-tags}
spec: {metrics: [{providers: [{name: prometheus}], overrides: [{match: {mode: CLIENT_AND_SERVER}, tagOverrides: {a: {operation: REMOVE}}}]}]}
EOF""",
        check=False,
    )
    assert "istio.stats" in said
    assert "--images istio" in said


@pytest.fixture
def mesh_configuration(shell: Terminal) -> Iterator[Callable[[str], None]]:
    """Add lines to the mesh configuration, as `istioctl install --set meshConfig...` does; taken back afterwards."""
    read = "kubectl -n istio-system get configmap istio -o jsonpath='{.data.mesh}'"
    before = shell.type(read)

    def write(text: str) -> None:
        patch = shlex.quote(json.dumps({"data": {"mesh": text}}))
        shell.type(f"kubectl -n istio-system patch configmap istio -p {patch}")

    yield lambda more: write(yaml.safe_dump(yaml.safe_load(before) | yaml.safe_load(more)))
    write(before)


@pytest.mark.task(
    "Distributed tracing: Zipkin, by Telemetry",
    "tasks/observability/distributed-tracing/zipkin/",
    "Zipkin's image is not in the table: the spans come to a Service that only logs them",
)
def test_spans_reach_the_collector(shell: Terminal, mesh_configuration: Callable[[str], None]) -> None:
    collector = f"httpbin.{shell.namespace}.svc.cluster.local"
    mesh_configuration(f"extensionProviders: [{{name: zipkin, zipkin: {{service: {collector}, port: 8000}}}}]")
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml -f samples/helloworld/helloworld.yaml -f samples/curl/curl.yaml")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: traces}
spec: {tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 100}]}
EOF""")
    shell.ready()
    ask = "kubectl exec deploy/curl -c curl -- curl -sS helloworld:5000/hello"
    shell.shows(f"{ask}; kubectl logs deploy/httpbin -c istio-proxy", '"POST /api/v2/spans HTTP/1.1"')
    shell.shows("kubectl exec deploy/curl -c curl -- curl -sS httpbin:8000/headers", lambda text: "x-b3-traceid" in text.lower())


@pytest.mark.task("EnvoyFilter with Lua", "reference/config/networking/envoy-filter/")
def test_a_lua_filter_changes_answers(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml -f samples/curl/curl.yaml")
    shell.type("""kubectl apply -f - <<'EOF'
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: stamp}
spec:
  workloadSelector: {labels: {app: httpbin}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: stamp.lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code:
            inline_string: |
              function envoy_on_request(handle)
                handle:headers():add("x-asked", handle:headers():get(":path"))
              end
              function envoy_on_response(handle)
                handle:headers():add("x-stamped", "by-lua")
              end
EOF""")
    shell.ready()
    shell.shows(
        "kubectl exec deploy/curl -c curl -- curl -sSi httpbin:8000/headers?a=1",
        lambda text: "x-stamped: by-lua" in text and "/headers?a=1" in text,
    )


@pytest.mark.task("Envoy's statistics", "ops/configuration/telemetry/envoy-stats/")
def test_envoys_counters_are_there(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml")
    shell.ready()
    shell.shows(
        "kubectl exec deploy/httpbin -c istio-proxy -- pilot-agent request GET stats | grep cluster_manager",
        "cluster_manager.cds.update_success",
    )
    shell.shows(
        "kubectl exec deploy/httpbin -c istio-proxy -- curl -s localhost:15090/stats/prometheus", "envoy_cluster_manager_cds_update_success"
    )


@pytest.mark.task(
    "Local rate limit",
    "tasks/policy-enforcement/rate-limit/",
    "the global one needs redis and Envoy's rate limit service, which are not in the table",
)
def test_the_fifth_request_of_a_minute_is_refused(bookinfo: Terminal) -> None:
    bookinfo.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter-local-ratelimit-svc}
spec:
  workloadSelector: {labels: {app: productpage}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value:
            stat_prefix: http_local_rate_limiter
            token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
            filter_enabled: {runtime_key: local_rate_limit_enabled, default_value: {numerator: 100, denominator: HUNDRED}}
            filter_enforced: {runtime_key: local_rate_limit_enforced, default_value: {numerator: 100, denominator: HUNDRED}}
EOF""")
    call = "kubectl exec deploy/ratings-v1 -c ratings -- bash -c 'for i in {1..10}; do curl -s productpage:9080/productpage -o /dev/null -w \"%{http_code}\\n\"; done'"
    bookinfo.shows(call, lambda text: text.split().count("429") >= 6)


@pytest.mark.task(
    "Health checking",
    "ops/configuration/mesh/app-health-check/",
    "the page's liveness-http image is not in the table; the probes are those of httpbin here",
)
def test_a_liveness_command_and_a_rewritten_http_probe_pass(shell: Terminal) -> None:
    shell.type("""kubectl apply -f samples/health-check/liveness-command.yaml -f - <<EOF
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: liveness-http}
spec:
  selector: {matchLabels: {app: liveness-http}}
  template:
    metadata: {labels: {app: liveness-http}}
    spec:
      containers:
      - {name: web, image: docker.io/mccutchen/go-httpbin, livenessProbe: {httpGet: {path: /status/200, port: 8080}, periodSeconds: 5}}
EOF""")
    shell.ready()
    shell.shows("kubectl get pod -l app=liveness-http -o yaml", "path: /app-health/web/livez")
    assert (
        "0" in shell.type("kubectl get pod -l app=liveness-http -o jsonpath='{.items[0].status.containerStatuses[*].restartCount}'").split()
    )


@pytest.mark.task("Describe, analyze and proxy-config", "ops/diagnostic-tools/")
def test_istioctl_describes_what_runs(bookinfo: Terminal) -> None:
    pod = "\"$(kubectl get pod -l app=productpage -o jsonpath='{.items[0].metadata.name}')\""
    bookinfo.shows(f"istioctl x describe pod {pod}", "Exposed on Ingress Gateway")
    bookinfo.shows("istioctl proxy-status", "productpage")
    for kind in ("listeners", "clusters", "routes", "endpoints", "bootstrap", "secret", "log", "all"):
        assert len(bookinfo.type(f"istioctl proxy-config {kind} {pod}").splitlines()) > 1, kind
    assert "IST" not in bookinfo.type("istioctl analyze | grep -v IST0173", check=False), (
        "besides subsets of versions that are not deployed"
    )
    bookinfo.type("istioctl x precheck")


@pytest.mark.task("Automatic and manual sidecar injection", "setup/additional-setup/sidecar-injection/")
def test_a_pod_is_injected_by_label_and_by_hand(shell: Terminal) -> None:
    shell.type("kubectl label namespace $(kubectl config view --minify -o jsonpath='{..namespace}') istio-injection-")
    shell.type("kubectl apply -f samples/curl/curl.yaml")
    shell.ready()
    shell.shows("kubectl get pod -l app=curl --no-headers", "1/1")
    shell.type("istioctl kube-inject -f samples/curl/curl.yaml | kubectl apply -f -")
    shell.type("kubectl rollout status deployment/curl --timeout=60s")
    shell.shows("kubectl get pod -l app=curl --no-headers", "2/2")


@pytest.mark.task(
    "Install with Helm",
    "setup/install/helm/",
    "the charts are those of Istio's Go module, with hub and tag named; the gateway's Service gets an address of this machine",
)
def test_helm_installs_and_uninstalls_istio(bare: Terminal) -> None:
    tag = bare.type("istioctl version --remote=false").split()[-1]
    charts, values = "manifests/charts", f"--set global.hub=registry.istio.io/release --set global.tag={tag}"
    bare.type("kubectl create namespace istio-system")
    bare.type(f"helm install istio-base {charts}/base -n istio-system --set defaultRevision=default", seconds=200)
    bare.type(f"helm install istiod {charts}/istio-control/istio-discovery -n istio-system {values} --wait", seconds=200)
    assert bare.type("helm ls -n istio-system").count("deployed") == 2
    bare.type("kubectl create namespace istio-ingress")
    bare.type(f"helm install istio-ingress {charts}/gateway -n istio-ingress --wait", seconds=200)
    bare.type("kubectl create namespace shop && kubectl label namespace shop istio-injection=enabled")
    bare.type("kubectl -n shop apply -f samples/httpbin/httpbin.yaml -f samples/httpbin/httpbin-gateway.yaml")
    bare.type(
        """kubectl -n shop patch gateway.networking.istio.io httpbin-gateway --type merge -p '{"spec": {"selector": {"istio": "ingress"}}}'"""
    )
    bare.type("kubectl -n shop wait --for=condition=Available deployment --all --timeout=90s")
    address = "$(kubectl -n istio-ingress get service istio-ingress -o jsonpath='{.status.loadBalancer.ingress[0].ip}')"
    bare.shows(f"curl -s -o /dev/null -w '%{{http_code}}' http://{address}/status/200", "200")
    bare.type("kubectl delete namespace shop")
    for release, namespace in (("istio-ingress", "istio-ingress"), ("istiod", "istio-system"), ("istio-base", "istio-system")):
        bare.type(f"helm delete {release} -n {namespace}", seconds=200)
    bare.shows("kubectl get deployments,services -A -o name", lambda text: "istio" not in text)


@pytest.mark.task("Canary upgrade by a revision", "setup/upgrade/canary/")
def test_a_second_revision_takes_a_namespace_over_and_goes(shell: Terminal) -> None:
    try:
        shell.type("istioctl install --set profile=minimal --set revision=canary -y", seconds=180)
        name = "$(kubectl config view --minify -o jsonpath='{..namespace}')"
        shell.type(f"kubectl label namespace {name} istio-injection- istio.io/rev=canary")
        shell.type("kubectl apply -f samples/curl/curl.yaml")
        shell.ready()
        shell.shows("istioctl proxy-status --revision canary | grep curl", "curl")
        shell.shows("kubectl get pod -l app=curl -o yaml", "istiod-canary.istio-system.svc")
    finally:
        shell.type("istioctl uninstall --revision=canary -y", seconds=120)
    shell.shows("kubectl -n istio-system get deployments -o name", lambda text: "istiod-canary" not in text and "/istiod" in text)
