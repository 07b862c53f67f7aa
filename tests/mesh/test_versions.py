"""How the course's Istio versions differ: shown where it matters, and translated where possible."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcourse.core import settings
from meshcourse.course import chapters
from meshcourse.kube import api_versions
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.install import versions

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests"
OLD = ("load balancing", "API version", "503 retried by default", "profiles", "proxy-status columns")


@pytest.mark.parametrize(
    ("version", "older"),
    [
        ("1.13.1", set(OLD)),
        ("1.18.2", set(OLD[1:])),
        ("1.22.0", set(OLD[2:])),
        ("1.23.6", set(OLD[2:])),
        ("1.24.0", {"proxy-status columns"}),
        ("1.27.0", set()),
        (settings.ISTIO, set()),
    ],
)
def test_each_track_is_older_in_just_this(version: str, older: set[str]) -> None:
    assert {each.name for each in versions.DIFFERENCES if versions.older(version, each)} == older


@pytest.mark.parametrize(
    ("version", "chapter", "told"),
    [
        ("1.13.1", 6, ("in turn", "v1beta1", "retried twice by default")),
        ("1.18.2", 6, ("v1beta1", "retried twice by default")),
        ("1.18.2", 2, ("v1beta1", "profile dump")),
        ("1.26.3", 1, ("SUBSCRIBED TYPES",)),
        ("1.23.0", 5, ()),
        ("1.23.0", 8, ("retried twice by default",)),
    ],
)
def test_a_chapter_is_told_what_concerns_it(version: str, chapter: int, told: tuple[str, ...]) -> None:
    lines = versions.notes(version, chapter)
    assert len(lines) == len(told)
    for line, words in zip(lines, told, strict=True):
        assert line.startswith(f"Istio {version}: ")
        assert words in line


def test_todays_istio_needs_no_word_in_any_chapter() -> None:
    assert [versions.notes(settings.ISTIO, each.number) for each in chapters.CHAPTERS.values()] == [()] * len(chapters.CHAPTERS)


@pytest.mark.parametrize(
    ("version", "found"), [("1.18.2", (1, 18)), ("v1.24", (1, 24)), ("1.9-alpha.1", (1, 9)), ("latest", (1, 31)), ("", (1, 31))]
)
def test_a_version_is_read_from_any_tag(version: str, found: tuple[int, int]) -> None:
    assert versions.number(version) == found


def test_manifests_are_translated_in_nothing_but_istios_own_api_version() -> None:
    for path in sorted(MANIFESTS.rglob("*.yaml")):
        text = path.read_text()
        old = api_versions.in_version(text, "v1beta1")
        assert api_versions.in_version(text, "v1") == text
        assert "istio.io/v1\n" not in old
        changed = [(a, b) for a, b in zip(text.splitlines(), old.splitlines(), strict=True) if a != b]
        assert all(b == a.replace("istio.io/v1", "istio.io/v1beta1") for a, b in changed)
        assert len(changed) == sum(line.startswith("apiVersion:") and ".istio.io/v1" in line for line in text.splitlines())


def test_words_that_only_look_like_it_stay() -> None:
    text = "apiVersion: apps/v1\nspec: {host: a}  # networking.istio.io/v1\napiVersion: networking.istio.io/v1beta1\n"
    assert api_versions.in_version(text, "v1beta1") == text
    assert api_versions.in_version('- apiVersion: "networking.istio.io/v1"\n', "v1beta1") == '- apiVersion: "networking.istio.io/v1beta1"\n'


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[Connection, set[str]]]:
    """An API server that knows only which versions it serves; the set can be changed."""
    known: set[str] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.removeprefix("/apis/networking.istio.io/").partition("?")[0].rstrip("/") in known
            body = json.dumps({"kind": "APIResourceList", "groupVersion": "x", "resources": []}).encode() if found else b"{}"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
        content = {"current-context": "c", "clusters": [cluster], "contexts": [context], "users": [{"name": "c", "user": {}}]}
        (tmp_path / "kubeconfig").write_text(json.dumps(content))
        connection = Connection(tmp_path / "kubeconfig", "http://127.0.0.1:1")
        yield connection, known
        connection.api().close()
        server.shutdown()


def test_the_cluster_itself_is_asked_and_istio_that_comes_later_is_found(api: tuple[Connection, set[str]]) -> None:
    connection, known = api
    assert api_versions.networking(connection) == ("networking.istio.io", "v1")
    known.add("v1beta1")
    assert api_versions.networking(connection) == ("networking.istio.io", "v1beta1")


def test_the_newest_that_is_served_is_taken(api: tuple[Connection, set[str]]) -> None:
    connection, known = api
    known |= {"v1", "v1beta1", "v1alpha3"}
    assert api_versions.networking(connection)[1] == "v1"


def test_a_cluster_that_does_not_answer_is_taken_for_todays(tmp_path: Path) -> None:
    assert api_versions.networking(Connection(tmp_path / "absent", "http://127.0.0.1:1"))[1] == "v1"


@pytest.mark.cluster
def test_the_real_one_serves_v1(cluster: Any) -> None:
    assert api_versions.networking(cluster.connection)[1] == "v1"


def test_default_retries_of_an_older_istio_are_unasked_too() -> None:
    conditions = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    policy = {"numRetries": 2, "retryOn": conditions, "retriableStatusCodes": [503]}
    assert route_actions.held({"route": {"retryPolicy": policy}}) == ()
    (line,) = route_actions.held({"route": {"retryPolicy": {**policy, "numRetries": 5}}})
    assert line.startswith("5 retries on cancelled,connect-failure,")
