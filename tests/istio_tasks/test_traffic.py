"""Tasks of traffic management."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminal import Terminal

pytestmark = pytest.mark.cluster


def versions(shop: Terminal, count: int, options: str = "") -> dict[str, int]:
    """Which versions of reviews answered, by the pods' names that reviews shows."""
    script = f"for i in $(seq {count}); do curl -s {options} http://$GATEWAY_URL/productpage | grep -o 'reviews-v[123]' | head -n 1; done"
    lines = shop.type(script).split()
    return {version: lines.count(f"reviews-{version}") for version in ("v1", "v2", "v3")}


@pytest.mark.task("Getting started: Bookinfo", "setup/getting-started/", "six programs of the course's own, with the original's interface")
def test_bookinfo_answers_inside_and_at_the_gateway(bookinfo: Terminal) -> None:
    inside = "kubectl exec \"$(kubectl get pod -l app=ratings -o jsonpath='{.items[0].metadata.name}')\" -c ratings -- curl -sS productpage:9080/productpage"
    bookinfo.shows(f"{inside} | grep -o '<title>.*</title>'", "<title>Simple Bookstore App</title>")
    bookinfo.shows("curl -s http://$GATEWAY_URL/productpage | grep -o '<title>.*</title>'", "<title>Simple Bookstore App</title>")
    assert "IST" not in bookinfo.type("istioctl analyze | grep -v IST0173", check=False), (
        "besides subsets of versions that are not deployed"
    )
    assert len(bookinfo.type("kubectl get pods --no-headers | grep '2/2'").splitlines()) == 6


@pytest.mark.task("Request routing", "tasks/traffic-management/request-routing/")
def test_everybody_gets_v1_and_jason_v2(bookinfo: Terminal) -> None:
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-all-v1.yaml")
    everybody = {"v1": 8, "v2": 0, "v3": 0}
    bookinfo.shows("true", lambda _: versions(bookinfo, 8) == everybody)
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-reviews-test-v2.yaml")
    login = "curl -s -o /dev/null -c $TMP/jar -d 'username=jason&passwd=' http://$GATEWAY_URL/login"
    bookinfo.type(login)
    bookinfo.shows("true", lambda _: versions(bookinfo, 6, "-b $TMP/jar") == {"v1": 0, "v2": 6, "v3": 0})
    assert versions(bookinfo, 6) == {"v1": 6, "v2": 0, "v3": 0}


@pytest.mark.task("Fault injection", "tasks/traffic-management/fault-injection/")
def test_a_delay_breaks_reviews_and_an_abort_takes_the_stars(bookinfo: Terminal) -> None:
    base = "kubectl apply -f samples/bookinfo/networking/virtual-service-all-v1.yaml -f samples/bookinfo/networking/virtual-service-reviews-test-v2.yaml"
    bookinfo.type(f"{base} -f samples/bookinfo/networking/virtual-service-ratings-test-delay.yaml")
    bookinfo.type("curl -s -o /dev/null -c $TMP/jar -d 'username=jason&passwd=' http://$GATEWAY_URL/login")
    slow = "curl -s -b $TMP/jar -w '\\n%{time_total}\\n' http://$GATEWAY_URL/productpage"

    def sorry(text: str) -> bool:
        return "product reviews are currently unavailable" in text.lower() and 5.5 < float(text.rsplit(maxsplit=1)[-1]) < 8

    bookinfo.shows(slow, sorry)
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-ratings-test-abort.yaml")
    bookinfo.shows("curl -s -b $TMP/jar http://$GATEWAY_URL/productpage", "Ratings service is currently unavailable")
    assert "Ratings service is currently unavailable" not in bookinfo.type("curl -s http://$GATEWAY_URL/productpage")


@pytest.mark.task("Traffic shifting", "tasks/traffic-management/traffic-shifting/")
def test_half_goes_to_v3_then_all(bookinfo: Terminal) -> None:
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-all-v1.yaml")
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-reviews-50-v3.yaml")
    bookinfo.shows("true", lambda _: versions(bookinfo, 6)["v3"] > 0)
    found = versions(bookinfo, 60)
    assert found["v1"] + found["v3"] == 60
    assert 10 <= found["v3"] <= 50, "each is outside with a chance below 1e-6"
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-reviews-v3.yaml")
    bookinfo.shows("true", lambda _: versions(bookinfo, 10) == {"v1": 0, "v2": 0, "v3": 10})


@pytest.mark.task("Request timeouts", "tasks/traffic-management/request-timeouts/")
def test_reviews_gives_up_after_half_a_second_twice(bookinfo: Terminal) -> None:
    bookinfo.type("kubectl apply -f samples/bookinfo/networking/virtual-service-all-v1.yaml")
    bookinfo.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v2}}], timeout: 0.5s}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http: [{fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}}, route: [{destination: {host: ratings, subset: v1}}]}]
EOF""")

    def gave_up(text: str) -> bool:
        return "product reviews are currently unavailable" in text.lower() and 0.9 < float(text.rsplit(maxsplit=1)[-1]) < 1.9

    bookinfo.shows("curl -s -w '\\n%{time_total}\\n' http://$GATEWAY_URL/productpage", gave_up)


@pytest.mark.task(
    "Bookinfo with a database (ratings v2)",
    "examples/bookinfo/",
    "the databases are stand-ins that only the course's ratings v2 understands",
)
@pytest.mark.parametrize("kind", ["", "-mysql"])
def test_ratings_v2_reads_the_stars_of_its_database(bookinfo: Terminal, kind: str) -> None:
    database = "bookinfo-mysql" if kind else "bookinfo-db"
    files = f"-f samples/bookinfo/platform/kube/{database}.yaml -f samples/bookinfo/platform/kube/bookinfo-ratings-v2{kind}.yaml"
    bookinfo.type(f"kubectl apply {files}")
    bookinfo.ready()
    bookinfo.type(f"kubectl apply -f samples/bookinfo/networking/virtual-service-ratings{kind or '-db'}.yaml")
    bookinfo.shows("curl -s http://$GATEWAY_URL/productpage", "reviews-v3")
    asking = "kubectl exec deploy/productpage-v1 -c productpage -- curl -s -o /dev/null -w '%{http_code}' ratings:9080/ratings/0"
    bookinfo.shows(asking, "200")
    bookinfo.type(f"kubectl delete {files}")


@pytest.mark.task("TCP traffic shifting", "tasks/traffic-management/tcp-traffic-shifting/")
def test_a_fifth_of_tcp_connections_goes_to_v2(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/curl/curl.yaml -f samples/tcp-echo/tcp-echo-services.yaml")
    shell.type("kubectl apply -f samples/tcp-echo/tcp-echo-all-v1.yaml")
    shell.ready()
    call = 'for i in {1..20}; do kubectl exec deploy/curl -c curl -- sh -c "(date; sleep 0.1) | nc $INGRESS_HOST $TCP_INGRESS_PORT"; done'
    inside = shell.within(INGRESS_HOST="istio-ingressgateway.istio-system", TCP_INGRESS_PORT="31400")
    inside.shows(call, lambda text: text.count("one ") == 20 and "two " not in text, within=120)
    shell.type("kubectl apply -f samples/tcp-echo/tcp-echo-20-v2.yaml")
    inside.shows(call, lambda text: text.count("one ") + text.count("two ") == 20 and "two " in text, within=120)


@pytest.mark.task("Circuit breaking", "tasks/traffic-management/circuit-breaking/")
def test_more_connections_than_one_are_refused(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml -f samples/httpbin/sample-client/fortio-deploy.yaml")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}
EOF""")
    shell.ready()
    load = "kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -c 3 -qps 0 -n 30 -loglevel Warning http://httpbin:8000/get"
    shell.shows(load, lambda text: re.search(r"Code 200 : \d+", text) and re.search(r"Code 503 : \d+", text))
    stats = "kubectl exec deploy/fortio-deploy -c istio-proxy -- pilot-agent request GET stats | grep httpbin | grep pending_overflow"
    shell.shows(stats, lambda text: re.search(r"upstream_rq_pending_overflow: [1-9]", text))


@pytest.mark.task(
    "Mirroring", "tasks/traffic-management/mirroring/", "the image's gunicorn is not there: without `command` go-httpbin answers"
)
def test_v2_gets_a_copy_of_what_v1_gets(shell: Terminal) -> None:
    deployment = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: httpbin-{v}}}
spec:
  selector: {{matchLabels: {{app: httpbin, version: {v}}}}}
  template:
    metadata: {{labels: {{app: httpbin, version: {v}}}}}
    spec: {{containers: [{{name: httpbin, image: docker.io/kennethreitz/httpbin, ports: [{{containerPort: 80}}]}}]}}
---
"""
    rules = """apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec: {ports: [{name: http, port: 8000, targetPort: 80}], selector: {app: httpbin}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec: {host: httpbin, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http: [{route: [{destination: {host: httpbin, subset: v1}, weight: 100}], mirror: {host: httpbin, subset: v2}, mirrorPercentage: {value: 100}}]
"""
    objects = deployment.format(v="v1") + deployment.format(v="v2") + rules
    shell.type(f"kubectl apply -f samples/curl/curl.yaml -f - <<'EOF'\n{objects}EOF")
    shell.ready()
    shell.shows("kubectl exec deploy/curl -c curl -- curl -sS http://httpbin:8000/headers", '"headers"')
    for version in ("v1", "v2"):
        shell.shows(f"kubectl logs deploy/httpbin-{version} -c istio-proxy", "/headers")


@pytest.mark.task(
    "Locality load balancing: distribute",
    "tasks/traffic-management/locality-load-balancing/distribute/",
    "localities by the label istio-locality: there is one node",
)
def test_weights_of_localities_are_kept(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/curl/curl.yaml -f samples/helloworld/helloworld.yaml")
    patch = '{{"spec": {{"template": {{"metadata": {{"labels": {{"istio-locality": "{}"}}}}}}}}}}'
    for name, place in (("helloworld-v1", "region1.zone1.a"), ("helloworld-v2", "region1.zone2.a"), ("curl", "region1.zone1.a")):
        shell.type(f"kubectl patch deployment {name} -p '{patch.format(place)}'")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: helloworld}
spec:
  host: helloworld
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 100, interval: 5s, baseEjectionTime: 1m}
    loadBalancer:
      localityLbSetting:
        enabled: true
        distribute: [{from: "region1/zone1/*", to: {"region1/zone1/*": 70, "region1/zone2/*": 30}}]
EOF""")
    for name in ("helloworld-v1", "helloworld-v2", "curl"):
        shell.type(f"kubectl rollout status deployment/{name} --timeout=90s")
    call = "kubectl exec deploy/curl -c curl -- sh -c 'for i in $(seq 100); do curl -s helloworld:5000/hello; done'"
    shell.shows(call, lambda text: 50 <= text.count("version: v1") <= 90 and text.count("version: ") == 100, within=90)


LOCALITIES = (("west", "zone1"), ("west", "zone2"), ("east", "zone3"), ("south", "zone4"))
"""(region, zone) of helloworld's four versions; the caller is in the first."""


@pytest.mark.task(
    "Locality load balancing: failover",
    "tasks/traffic-management/locality-load-balancing/failover/",
    "localities by the label istio-locality; maxEjectionPercent is 100: without it no host is ejected, 10 % of four being none",
)
def test_when_a_locality_fails_the_next_one_takes_over(shell: Terminal) -> None:
    labels = [f"{region}.{zone}" for region, zone in LOCALITIES]
    for label in labels:
        shell.type(
            f"bash samples/helloworld/gen-helloworld.sh --version {label} --includeService true --includeDeployment true | kubectl apply -f -"
        )
    shell.type("kubectl apply -f samples/curl/curl.yaml")
    for name, label in (*((f"helloworld-{each}", each) for each in labels), ("curl", labels[0])):
        shell.type(
            f"""kubectl patch deployment {name} -p '{{"spec": {{"template": {{"metadata": {{"labels": {{"istio-locality": "{label}"}}}}}}}}}}'"""
        )
    shell.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: helloworld}
spec:
  host: helloworld
  trafficPolicy:
    connectionPool: {http: {maxRequestsPerConnection: 1}}
    loadBalancer:
      simple: ROUND_ROBIN
      localityLbSetting: {enabled: true, failover: [{from: west, to: east}]}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m, maxEjectionPercent: 100}
EOF""")
    for name in (*(f"helloworld-{each}" for each in labels), "curl"):
        shell.type(f"kubectl rollout status deployment/{name} --timeout=90s")
    calls = "kubectl exec deploy/curl -c curl -- sh -c 'for i in $(seq 10); do curl -sS helloworld:5000/hello; done'"
    for label in labels:
        shell.shows(calls, lambda text, label=label: text.count(f"version: {label}") == 10)
        shell.type(f"kubectl exec deploy/helloworld-{label} -c istio-proxy -- curl -sSL -X POST 127.0.0.1:15000/drain_listeners")


@pytest.mark.task("Ingress gateways", "tasks/traffic-management/ingress/ingress-control/")
def test_httpbin_is_reached_at_the_load_balancers_address(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml")
    shell.ready()
    shell.type("""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [httpbin.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin.example.com]
  gateways: [httpbin-gateway]
  http:
  - {match: [{uri: {prefix: /status}}, {uri: {prefix: /delay}}], route: [{destination: {port: {number: 8000}, host: httpbin}}]}
EOF""")
    host = (
        "export INGRESS_HOST=$(kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.status.loadBalancer.ingress[0].ip}')"
    )
    port = "export INGRESS_PORT=$(kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name==\"http2\")].port}')"
    ask = 'curl -s -I -HHost:httpbin.example.com "http://$INGRESS_HOST:$INGRESS_PORT{}"'
    shell.shows(f"{host}; {port}; {ask.format('/status/200')}", "HTTP/1.1 200 OK")
    shell.shows(f"{host}; {port}; {ask.format('/headers')}", "HTTP/1.1 404 Not Found")
    node = "kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name==\"http2\")].nodePort}'"
    shell.shows(f"curl -s -I -HHost:httpbin.example.com http://127.0.0.1:$({node})/status/200", "HTTP/1.1 200 OK")


KEYS = """
cd $TMP; mkdir -p certs; cd certs
openssl req -x509 -sha256 -nodes -days 365 -newkey rsa:2048 -subj '/O=example Inc./CN=example.com' -keyout example.com.key -out example.com.crt 2>/dev/null
for name in httpbin client nginx; do
  openssl req -out $name.csr -newkey rsa:2048 -nodes -keyout $name.key -subj "/CN=$name.example.com/O=some organization" 2>/dev/null
  printf "subjectAltName=DNS:$name.example.com" > $name.ext
  openssl x509 -req -sha256 -days 365 -CA example.com.crt -CAkey example.com.key -set_serial 0 -extfile $name.ext -in $name.csr -out $name.crt 2>/dev/null
done
"""


@pytest.mark.task("Secure gateways", "tasks/traffic-management/ingress/secure-ingress/")
def test_the_gateways_port_443_answers_by_tls_then_asks_for_the_clients_certificate(shell: Terminal) -> None:
    shell.type(KEYS)
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml")
    secret = f"httpbin-credential-{shell.namespace}"
    files = "--cert=$TMP/certs/httpbin.crt --key=$TMP/certs/httpbin.key"
    shell.type(f"kubectl create -n istio-system secret tls {secret} {files}")
    gateway = """kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: mygateway}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 443, name: https, protocol: HTTPS}}, tls: {{mode: {mode}, credentialName: {secret}}}, hosts: [httpbin.example.com]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: httpbin}}
spec:
  hosts: [httpbin.example.com]
  gateways: [mygateway]
  http: [{{match: [{{uri: {{prefix: /status}}}}], route: [{{destination: {{port: {{number: 8000}}, host: httpbin}}}}]}}]
EOF"""
    shell.type(gateway.format(mode="SIMPLE", secret=secret))
    shell.ready()
    ask = (
        'curl -s -o /dev/null -w "%{{http_code}}" -HHost:httpbin.example.com --resolve "httpbin.example.com:{port}:{host}" '
        '--cacert $TMP/certs/example.com.crt {more} "https://httpbin.example.com:{port}/status/418"; echo " rc $?"'
    )
    shell.shows(ask.format(host="$INGRESS_HOST", port="443", more=""), "418 rc 0")
    node = "$(kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.spec.ports[?(@.port==443)].nodePort}')"
    shell.shows("PORT=" + node + "; " + ask.format(host="127.0.0.1", port="$PORT", more=""), "418 rc 0")
    shell.type(f"kubectl -n istio-system delete secret {secret}")
    shell.type(
        f"kubectl create -n istio-system secret generic {secret} --from-file=tls.key=$TMP/certs/httpbin.key --from-file=tls.crt=$TMP/certs/httpbin.crt --from-file=ca.crt=$TMP/certs/example.com.crt"
    )
    shell.type(gateway.format(mode="MUTUAL", secret=secret))
    shell.shows(ask.format(host="$INGRESS_HOST", port="443", more=""), "000 rc 56")
    shell.shows(ask.format(host="$INGRESS_HOST", port="443", more="--cert $TMP/certs/client.crt --key $TMP/certs/client.key"), "418 rc 0")
    shell.type(f"kubectl -n istio-system delete secret {secret}")


@pytest.mark.task("Ingress gateway without TLS termination", "tasks/traffic-management/ingress/ingress-sni-passthrough/")
def test_nginx_shows_its_own_certificate_through_the_gateway(shell: Terminal) -> None:
    shell.type(KEYS)
    shell.type("kubectl create secret tls nginx-server-certs --key $TMP/certs/nginx.key --cert $TMP/certs/nginx.crt")
    shell.type("""cat > $TMP/nginx.conf <<'EOF'
events {
}

http {
  log_format main '$remote_addr - $remote_user [$time_local]  $status '
  '"$request" $body_bytes_sent "$http_referer" '
  '"$http_user_agent" "$http_x_forwarded_for"';
  access_log /var/log/nginx/access.log main;
  error_log  /var/log/nginx/error.log;

  server {
    listen 443 ssl;

    root /usr/share/nginx/html;
    index index.html;

    server_name nginx.example.com;
    ssl_certificate /etc/nginx-server-certs/tls.crt;
    ssl_certificate_key /etc/nginx-server-certs/tls.key;
  }
}
EOF
kubectl create configmap nginx-configmap --from-file=nginx.conf=$TMP/nginx.conf""")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: v1
kind: Service
metadata: {name: my-nginx, labels: {run: my-nginx}}
spec: {ports: [{port: 443, protocol: TCP}], selector: {run: my-nginx}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-nginx}
spec:
  selector: {matchLabels: {run: my-nginx}}
  replicas: 1
  template:
    metadata: {labels: {run: my-nginx, sidecar.istio.io/inject: "true"}}
    spec:
      containers:
      - name: my-nginx
        image: nginx
        ports: [{containerPort: 443}]
        volumeMounts:
        - {name: nginx-config, mountPath: /etc/nginx, readOnly: true}
        - {name: nginx-server-certs, mountPath: /etc/nginx-server-certs, readOnly: true}
      volumes:
      - {name: nginx-config, configMap: {name: nginx-configmap}}
      - {name: nginx-server-certs, secret: {secretName: nginx-server-certs}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mygateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: PASSTHROUGH}, hosts: [nginx.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: nginx}
spec:
  hosts: [nginx.example.com]
  gateways: [mygateway]
  tls: [{match: [{port: 443, sniHosts: [nginx.example.com]}], route: [{destination: {host: my-nginx, port: {number: 443}}}]}]
EOF""")
    shell.ready()
    ask = 'curl -v --resolve "nginx.example.com:443:$INGRESS_HOST" --cacert $TMP/certs/example.com.crt https://nginx.example.com 2>&1'
    shell.shows(ask, lambda text: "CN=nginx.example.com" in text.replace(" = ", "=") and "nginx runs" in text)


@pytest.mark.task("Kubernetes Gateway API", "tasks/traffic-management/ingress/gateway-api/")
def test_a_gateway_is_programmed_and_gets_an_address_that_answers(shell: Terminal, gateway_api: Path) -> None:
    shell.type(f"kubectl apply --server-side -f {gateway_api}")
    shell.shows("kubectl get gatewayclass istio -o jsonpath='{.status.conditions[0].status}'", "True")
    shell.type("kubectl apply -f samples/httpbin/httpbin.yaml")
    shell.type("""kubectl apply -f - <<EOF
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: istio
  listeners: [{name: default, hostname: "*.example.com", port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Same}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: http}
spec:
  parentRefs: [{name: gateway}]
  hostnames: [httpbin.example.com]
  rules: [{matches: [{path: {type: PathPrefix, value: /get}}], backendRefs: [{name: httpbin, port: 8000}]}]
EOF""")
    shell.type("kubectl wait --for=condition=programmed gateways.gateway.networking.k8s.io gateway --timeout=60s")
    host = "$(kubectl get gateways.gateway.networking.k8s.io gateway -o jsonpath='{.status.addresses[0].value}')"
    shell.ready()
    shell.shows(f"curl -s -I -HHost:httpbin.example.com http://{host}/get", "HTTP/1.1 200 OK")
    shell.shows(f"curl -s -I -HHost:httpbin.example.com http://{host}/headers", "HTTP/1.1 404 Not Found")


@pytest.mark.task(
    "Egress gateways", "tasks/traffic-management/egress/egress-gateway/", "the outside host is a Service inside, without a sidecar"
)
def test_traffic_for_an_outside_host_passes_the_egress_gateway(shell: Terminal) -> None:
    shell.type("kubectl apply -f samples/curl/curl.yaml")
    shell.type("kubectl run outside --image=nginx --labels=app=outside,sidecar.istio.io/inject=false --port=80")
    shell.type("kubectl expose pod outside --port 80")
    shell.ready()
    address = shell.type("kubectl get service outside -o jsonpath='{.spec.clusterIP}'")
    shell.type(f"""kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: cnn}}
spec:
  hosts: [edition.example.org]
  addresses: [240.1.1.7]
  ports: [{{number: 80, name: http-port, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {address}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: istio-egressgateway}}
spec: {{selector: {{istio: egressgateway}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [edition.example.org]}}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: egressgateway-for-cnn}}
spec: {{host: istio-egressgateway.istio-system.svc.cluster.local, subsets: [{{name: cnn}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: direct-cnn-through-egress-gateway}}
spec:
  hosts: [edition.example.org]
  gateways: [istio-egressgateway, mesh]
  http:
  - match: [{{gateways: [mesh], port: 80}}]
    route: [{{destination: {{host: istio-egressgateway.istio-system.svc.cluster.local, subset: cnn, port: {{number: 80}}}}}}]
  - match: [{{gateways: [istio-egressgateway], port: 80}}]
    route: [{{destination: {{host: edition.example.org, port: {{number: 80}}}}}}]
EOF""")
    ask = "kubectl exec deploy/curl -c curl -- curl -sSL -o /dev/null -D - --resolve edition.example.org:80:240.1.1.7 http://edition.example.org/"
    shell.shows(ask, "HTTP/1.1 200 OK")
    shell.shows("kubectl logs -l istio=egressgateway -c istio-proxy -n istio-system --tail=20", "edition.example.org")
