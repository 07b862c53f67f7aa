"""The servers of Istio's samples that are programs of ours: each on loopback, then in a pod as the sample starts it."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from meshcourse.node.images.apps import (
    agnhost,
    echo,
    ext_authz,
    grpc_unary,
    jwt_server,
    protobuf,
    ratings,
    ratings_database,
    serving,
    tcp_echo,
)


@contextlib.contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    """A server on loopback; yields its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={name.replace("_", "-"): each for name, each in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - of this test's own server
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def test_tcp_echo_prefixes_every_line_of_a_connection() -> None:
    with (
        served(tcp_echo.Server(("127.0.0.1", 0), tcp_echo.handler("one"))) as port,
        socket.create_connection(("127.0.0.1", port), 10) as client,
    ):
        lines = client.makefile("rb")
        for word in (b"hello", b"\xff\xfe"):
            client.sendall(word + b"\n")
            assert lines.readline() == b"one " + word + b"\n"
        lines.close()


def test_the_authorizer_asks_for_its_header_by_http() -> None:
    with served(serving.Server(ext_authz.http, 0, "127.0.0.1")) as port:
        refused = ask(port, "/headers", x_ext_authz="deny")
        assert refused[:2] == (403, "denied by ext_authz for not found header `x-ext-authz: allow` in the request")
        status, body, headers = ask(port, "/headers", x_ext_authz="allow")
        assert (status, body, headers["x-ext-authz-check-result"]) == (200, "", "allowed")


def check_request(headers: dict[str, str], principal: str = "") -> bytes:
    """An envoy.service.auth.v3.CheckRequest."""
    pairs = b"".join(protobuf.field(3, protobuf.field(1, name) + protobuf.field(2, value)) for name, value in headers.items())
    http = protobuf.field(2, "GET") + pairs + protobuf.field(4, "/headers") + protobuf.field(5, "httpbin.foo:8000") + protobuf.field(9, 300)
    attributes = protobuf.field(1, protobuf.field(4, principal)) + protobuf.field(4, protobuf.field(2, http))
    return protobuf.field(1, attributes)


@pytest.mark.parametrize(
    ("headers", "principal", "allowed"),
    [
        ({"x-ext-authz": "allow"}, "", True),
        ({"x-ext-authz": "deny"}, "spiffe://cluster.local/ns/foo/sa/a", False),
        ({}, "spiffe://cluster.local/ns/foo/sa/a", True),
        ({}, "spiffe://cluster.local/ns/foo/sa/aa", False),
        ({}, "", False),
    ],
)
def test_the_authorizer_judges_by_header_then_by_service_account(headers: dict[str, str], principal: str, allowed: bool) -> None:  # noqa: FBT001
    answer = ext_authz.grpc("a")(check_request(headers, principal))
    denied, granted = protobuf.get(answer, 2), protobuf.get(answer, 3)
    assert bool(granted) == allowed
    assert bool(denied) != allowed
    if denied:
        assert protobuf.get(denied, 3).decode() == ext_authz.REFUSAL


def test_what_is_no_message_of_protobuf_is_an_error_of_that_call_alone() -> None:
    server = grpc_unary.Server(ext_authz.grpc("a"), 0, "127.0.0.1")
    with served(server) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(grpc_unary.PREFACE + grpc_unary.frame(grpc_unary.SETTINGS, 0, 0))
        for stream, message in ((1, b"\xff\xff"), (3, check_request({"x-ext-authz": "allow"}))):
            client.sendall(grpc_unary.frame(grpc_unary.HEADERS, grpc_unary.END_HEADERS, stream))
            body = b"\0" + len(message).to_bytes(4, "big") + message
            client.sendall(grpc_unary.frame(grpc_unary.DATA, 0, stream, body[:3]))
            client.sendall(grpc_unary.frame(grpc_unary.DATA, grpc_unary.END_STREAM, stream, body[3:]))
        got = b""
        while got.count(b"grpc-status") < 2:
            got += client.recv(65536)
    assert got.index(b"\x0213") < got.index(b"\x010", got.index(b"\x0213")), "the first fails, the second is answered"
    assert b"allowed" in got


def test_the_key_server_answers_every_path_and_waits_when_asked() -> None:
    waited: list[float] = []
    with served(serving.Server(jwt_server.app(waited.append), 0, "127.0.0.1")) as port:
        status, body, _ = ask(port, "/any?delay=1m30s")
        assert (status, json.loads(body)["keys"][0]["kid"], waited) == (200, jwt_server.KEY_ID, [90.0])
        assert ask(port, "/?delay=soon")[:2] == (400, "Invalid delay parameter")


def test_the_test_application_tells_what_was_asked() -> None:
    with served(serving.Server(echo.app("v1", 8080), 0, "127.0.0.1")) as port:
        status, body, _ = ask(port, "/some/path?codes=503", x_team="a")
        assert status == 503
        for line in ("ServiceVersion=v1", "ServicePort=8080", "URL=/some/path", "Method=GET", "RequestHeader=X-Team:a"):
            assert line in body.splitlines()


def test_netexec_has_the_paths_that_tests_ask() -> None:
    ended: list[int] = []
    with served(serving.Server(agnhost.app(ended.append), 0, "127.0.0.1")) as port:  # type: ignore[arg-type]  # it does return here
        assert ask(port, "/echo?msg=hi&code=201")[:2] == (201, "hi")
        assert ask(port, "/hostname")[1] == socket.gethostname()
        assert ask(port, "/header?key=x-team", x_team="a")[1] == "a"
        assert ask(port, "/nothing")[0] == 404
        ask(port, "/exit?code=3")
    assert ended == [3]


def test_a_subcommand_that_the_stand_in_lacks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert agnhost.main(["porter"]) == 2
    assert "stand-in for agnhost, which has only pause, netexec" in capsys.readouterr().err


def test_ratings_v2_asks_the_database_that_its_variables_name() -> None:
    with served(ratings_database.server(0, "127.0.0.1")) as database:
        environment = {"SERVICE_VERSION": "v2", "MONGO_DB_URL": f"mongodb://127.0.0.1:{database}/test"}
        with served(serving.Server(ratings.app(environment), 0, "127.0.0.1")) as port:
            assert json.loads(ask(port, "/ratings/0")[1]) == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    away = {"SERVICE_VERSION": "v2", "DB_TYPE": "mysql", "MYSQL_DB_HOST": "127.0.0.1", "MYSQL_DB_PORT": str(database)}
    with served(serving.Server(ratings.app(away), 0, "127.0.0.1")) as port:
        assert ask(port, "/ratings/0")[:2] == (500, '{"error": "could not connect to ratings database"}')


PODS: dict[str, tuple[str, list[str], str]] = {
    "echo": ("registry.istio.io/release/tcp-echo-server:1.3", ["9000,9001", "one"], "echo hello | nc -w 2 server 9001 | grep 'one hello'"),
    "authz": (
        "registry.istio.io/testing/ext-authz:latest",
        [],
        "wget -q -O - --header 'x-ext-authz: allow' http://server:8000/ && echo yes",
    ),
    "jwt": ("registry.istio.io/testing/jwt-server:0.8", [], "wget -q -O - http://server:8000/ | grep AQAB"),
    "app": (
        "registry.istio.io/testing/app:latest",
        ["--port", "8080", "--grpc=7070", "--version", "v9"],
        "wget -q -O - http://server:8080/ | grep =v9",
    ),
    "agnhost": (
        "registry.k8s.io/e2e-test-images/agnhost:2.53",
        ["netexec", "--http-port=80"],
        "wget -q -O - 'http://server/echo?msg=hi' | grep hi",
    ),
    "mongodb": (
        "registry.istio.io/release/examples-bookinfo-mongodb:1.20.3",
        ["--ipv6"],
        "echo ratings 0 | nc -w 2 server 27017 | grep Reviewer1",
    ),
}


@pytest.mark.cluster
def test_each_runs_in_a_pod_as_its_sample_starts_it_and_a_curl_pod_has_alpines_programs(cluster: Any, namespace: str) -> None:
    for name, (image, args, _) in PODS.items():
        cluster.kubectl("-n", namespace, "run", name, f"--image={image}", *(["--", *args] if args else []))
    cluster.kubectl("-n", namespace, "run", "pause", "--image=registry.k8s.io/pause:3.10")
    cluster.kubectl("-n", namespace, "run", "alpine", "--image=alpine", "--", "sh", "-c", "nslookup kubernetes.default; sleep 600")
    cluster.kubectl("-n", namespace, "run", "curl", "--image=curlimages/curl:8.16.0", "--command", "--", "sleep", "infinity")
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=40s")
    found = cluster.kubectl(
        "-n", namespace, "get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}={.status.podIP} {end}"
    ).split()
    addresses = dict(each.split("=") for each in found)
    for name, (_, _, script) in PODS.items():
        here = script.replace("server", addresses[name])
        cluster.kubectl("-n", namespace, "exec", "curl", "--", "timeout", "20", "sh", "-c", f"until {here}; do sleep 0.1; done")
    assert (
        "busybox"
        in cluster.run("kubectl", "-n", namespace, "exec", "curl", "--", "sh", "-c", "vi --help 2>&1 | head -n 1 | tr A-Z a-z").stdout
    )
