"""The programs of our own images, on loopback: interfaces, forwarded headers, timeouts, error texts, signing in."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.node import images
from meshcourse.node.images import bookinfo
from meshcourse.node.images.apps import calling, details, helloworld, productpage, ratings, reviews, serving, tomcat
from meshcourse.node.images.apps.serving import App, Reply, Request


@contextmanager
def served(app: App) -> Iterator[int]:
    """A program on a free port of loopback."""
    with serving.Server(app, 0, "127.0.0.1") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


def ask(
    port: int, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str = ""
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body or None, dict(headers or {}))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}


def where(**ports: int) -> dict[str, str]:
    """Environment variables with the services' addresses."""
    return {f"{name.upper()}_{what}": value for name, port in ports.items() for what, value in place(port)}


def place(port: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("HOSTNAME", "127.0.0.1"), ("SERVICE_PORT", str(port))


def closed() -> int:
    """A port on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Recorder:
    """A service that answers `reply` and records its requests."""

    def __init__(self, reply: Reply | Callable[[], Reply]) -> None:
        self.requests: list[Request] = []
        self.reply = reply

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.reply() if callable(self.reply) else self.reply


@pytest.fixture
def shop() -> Iterator[Callable[..., int]]:
    """All of Bookinfo on loopback; yields productpage's port. Any service can be replaced by a program of the test's."""
    with ExitStack() as stack:

        def open_shop(version: Mapping[str, str] | None = None, **replaced: App) -> int:
            at = {"ratings": stack.enter_context(served(replaced.get("ratings") or ratings.app({})))}
            own = {**where(**at), **(version or {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"}), "HOSTNAME": "reviews-pod"}
            at["reviews"] = stack.enter_context(served(replaced.get("reviews") or reviews.app(own)))
            at["details"] = stack.enter_context(served(replaced.get("details") or details.app({})))
            return stack.enter_context(served(productpage.app(where(**at))))

        yield open_shop


def test_details_are_those_of_the_sample() -> None:
    with served(details.app({})) as port:
        status, text, headers = ask(port, "/details/7")
        assert (status, headers["content-type"]) == (200, "application/json")
        book = json.loads(text)
        assert book["id"] == 7
        assert (book["author"], book["year"], book["pages"]) == ("William Shakespeare", 1595, 200)
        assert (book["ISBN-10"], book["ISBN-13"]) == ("1234567890", "123-1234567890")
        assert ask(port, "/details/x")[:2] == (400, '{"error": "please provide numeric product id"}')
        assert json.loads(ask(port, "/health")[1]) == {"status": "Details is healthy"}
        assert ask(port, "/other")[0] == 404


def test_ratings_keep_what_is_posted() -> None:
    with served(ratings.app({})) as port:
        assert json.loads(ask(port, "/ratings/0")[1]) == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
        assert ask(port, "/ratings/0", "POST", body='{"Reviewer1": 1}')[0] == 200
        assert json.loads(ask(port, "/ratings/0")[1])["ratings"] == {"Reviewer1": 1}
        assert json.loads(ask(port, "/ratings/1")[1])["ratings"]["Reviewer2"] == 4
        assert ask(port, "/ratings/0", "POST", body="{")[0] == 400
        assert ask(port, "/ratings/x")[0] == 400
        assert json.loads(ask(port, "/health")[1]) == {"status": "Ratings is healthy"}


@pytest.mark.parametrize(
    ("version", "die", "minute", "status", "slept", "healthy"),
    [
        ("v1", 0.0, 1.0, 200, 0, 200),
        ("v-faulty", 0.49, 0.0, 503, 0, 200),
        ("v-faulty", 0.5, 0.0, 200, 0, 200),
        ("v-delayed", 0.49, 0.0, 200, 7, 200),
        ("v-delayed", 0.5, 0.0, 200, 0, 200),
        ("v-unavailable", 0.9, 0.9, 200, 0, 200),
        ("v-unavailable", 0.9, 1.0, 503, 0, 200),
        ("v-unavailable", 0.9, 2.0, 200, 0, 200),
        ("v-unhealthy", 0.9, 14.9, 200, 0, 200),
        ("v-unhealthy", 0.9, 15.0, 503, 0, 500),
        ("v2", 0.9, 0.0, 500, 0, 200),
    ],
)
def test_ratings_are_bad_on_purpose(version: str, die: float, minute: float, status: int, slept: float, healthy: int) -> None:
    clock, pauses = [0.0], []
    app = ratings.app({"SERVICE_VERSION": version}, ratings.World(lambda: die, lambda: clock[0], pauses.append))
    clock[0] = minute * 60
    answer = app(Request("GET", "/ratings/0"))
    assert answer.status == status
    assert sum(pauses) == slept
    assert app(Request("GET", "/health")).status == healthy
    if status == 503:
        assert json.loads(answer.body) == {"error": "Service unavailable"}


V1 = {"ENABLE_RATINGS": "false"}
V2 = {"ENABLE_RATINGS": "true", "STAR_COLOR": "black"}
V3 = {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"}


@pytest.mark.parametrize(("version", "rating"), [(V1, None), (V2, {"stars": 5, "color": "black"}), (V3, {"stars": 5, "color": "red"})])
def test_versions_of_reviews_differ_by_their_stars(version: dict[str, str], rating: Any) -> None:
    with served(ratings.app({})) as behind, served(reviews.app({**version, **where(ratings=behind), "HOSTNAME": "pod-1"})) as port:
        content = json.loads(ask(port, "/reviews/0")[1])
    assert (content["id"], content["podname"], content["clustername"]) == ("0", "pod-1", "null")
    assert [each["reviewer"] for each in content["reviews"]] == ["Reviewer1", "Reviewer2"]
    assert content["reviews"][0].get("rating") == rating


@pytest.mark.parametrize("reply", [serving.as_json({}, 500), serving.as_json({}), serving.as_text("no JSON"), None])
def test_reviews_without_ratings_say_so(reply: Reply | None) -> None:
    with ExitStack() as stack:
        behind = closed() if reply is None else stack.enter_context(served(Recorder(reply)))
        port = stack.enter_context(served(reviews.app({**V2, **where(ratings=behind)})))
        content = json.loads(ask(port, "/reviews/0")[1])
    assert [each["rating"] for each in content["reviews"]] == [{"error": "Ratings service is currently unavailable"}] * 2


def slowly(seconds: float) -> App:
    """A service that answers when its caller no longer waits."""
    over = threading.Event()

    def answer(_: Request) -> Reply:
        over.wait(seconds)
        return serving.as_json({"id": 0, "ratings": ratings.STARS})

    return answer


def test_red_stars_wait_shorter_than_black_ones() -> None:
    """2.5 s and 10 s: at 2.8 s red has given up and black has not."""
    with served(slowly(2.8)) as behind, ExitStack() as stack:
        found, took = {}, {}
        for name, version in (("red", V3), ("black", V2)):
            port = stack.enter_context(served(reviews.app({**version, **where(ratings=behind)})))
            began = time.monotonic()
            found[name] = json.loads(ask(port, "/reviews/0")[1])["reviews"][0]["rating"]
            took[name] = time.monotonic() - began
    assert found["red"] == {"error": "Ratings service is currently unavailable"}
    assert 2.4 <= took["red"] < 2.8
    assert found["black"] == {"stars": 5, "color": "black"}
    assert (reviews.PATIENCE_BLACK, reviews.PATIENCE_OTHERS) == (10.0, 2.5)


def test_page_shows_the_book_its_details_and_its_stars(shop: Callable[..., int]) -> None:
    status, text, headers = ask(shop(), "/productpage")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    for expected in ("<title>Simple Bookstore App</title>", "The Comedy of Errors", "Book Details", "PublisherA", "Book Reviews"):
        assert expected in text
    assert "Reviews served by: reviews-pod" in text
    assert text.count("color:red") == 2
    assert "★★★★★<" in text
    assert "★★★★☆<" in text
    assert not re.search(r"(?:src|href)=.https?:", text), "the page needs nothing from elsewhere"


def test_api_gives_products_details_reviews_and_ratings(shop: Callable[..., int]) -> None:
    port = shop()
    (book,) = json.loads(ask(port, "/api/v1/products")[1])
    assert (book["id"], book["title"]) == (0, "The Comedy of Errors")
    assert json.loads(ask(port, "/api/v1/products/0")[1])["year"] == 1595
    assert json.loads(ask(port, "/api/v1/products/0/reviews")[1])["reviews"][1]["rating"] == {"stars": 4, "color": "red"}
    assert json.loads(ask(port, "/api/v1/products/0/ratings")[1])["ratings"]["Reviewer1"] == 5
    assert ask(port, "/health")[1] == "Product page is healthy"
    assert 'request_result_total{destination_app="reviews",response_code="200"} 1.0' in ask(port, "/metrics")[1]
    assert "reviews" in ask(port, "/")[1]
    assert ask(port, "/api/v1/products/0/authors")[0] == 404


@pytest.mark.parametrize("service", ["details", "reviews", "ratings"])
def test_failing_service_is_named_and_its_status_passed_on(shop: Callable[..., int], service: str) -> None:
    failing = Recorder(serving.as_json({}, 503))
    path = {"details": "", "reviews": "/reviews", "ratings": "/ratings"}[service]
    status, text, _ = ask(shop(V1, **{service: failing}), f"/api/v1/products/0{path}")
    assert status == 503
    assert json.loads(text) == {"error": f"Sorry, product {service} are currently unavailable for this book."}
    assert len(failing.requests) == (2 if service == "reviews" else 1)


def test_page_says_what_is_missing_and_is_still_a_page(shop: Callable[..., int]) -> None:
    failing = Recorder(serving.as_json({}, 500))
    status, text, _ = ask(shop(details=failing, reviews=failing), "/productpage")
    assert status == 200
    assert "Error fetching product details" in text
    assert "Sorry, product details are currently unavailable for this book." in text
    assert "Error fetching product reviews" in text
    assert "Sorry, product reviews are currently unavailable for this book." in text
    assert "The Comedy of Errors" in text


def test_service_that_is_not_there_gives_500(shop: Callable[..., int]) -> None:
    with served(productpage.app(where(details=closed(), reviews=closed(), ratings=closed()))) as port:
        assert ask(port, "/api/v1/products/0")[0] == 500


def test_slow_reviews_cost_three_seconds_twice(shop: Callable[..., int]) -> None:
    began = time.monotonic()
    status, text, _ = ask(shop(reviews=slowly(3.4)), "/api/v1/products/0/reviews")
    assert 5.8 <= time.monotonic() - began < 6.8
    assert status == 500
    assert "product reviews are currently unavailable" in text
    assert productpage.PATIENCE == 3.0


def test_headers_travel_to_every_service(shop: Callable[..., int]) -> None:
    behind = {
        "ratings": Recorder(serving.as_json({"id": 0, "ratings": ratings.STARS})),
        "details": Recorder(serving.as_json({"id": 0})),
    }
    sent = {name: f"value of {name}" for name in calling.PROPAGATED} | {"cookie": "session=jason; theme=dark", "x-other": "stays"}
    ask(shop(**behind), "/productpage", headers=sent)
    for service, recorder in behind.items():
        (request,) = recorder.requests
        assert request.headers["x-request-id"] == "value of x-request-id", service
        assert {name: request.headers.get(name) for name in calling.PROPAGATED} == {name: sent[name] for name in calling.PROPAGATED} | {
            "end-user": "jason"
        }
        assert "x-other" not in request.headers


@pytest.mark.parametrize("user", ["jason", "Jürgen", "李雷", "a; b=c"])
def test_signing_in_sends_the_name_to_all_services_until_signing_out(shop: Callable[..., int], user: str) -> None:
    behind = Recorder(serving.as_json({}))
    port = shop(details=behind)
    body = "username=" + "".join(f"%{byte:02X}" for byte in user.encode()) + "&passwd="
    form = {"content-type": "application/x-www-form-urlencoded", "referer": "http://shop/productpage"}
    status, _, headers = ask(port, "/login", "POST", form, body)
    assert (status, headers["location"]) == (302, "http://shop/productpage")
    cookie = headers["set-cookie"].partition(";")[0]
    text = ask(port, "/productpage", headers={"cookie": cookie})[1]
    assert behind.requests[-1].headers["end-user"].encode("latin-1").decode() == user
    assert "sign out" in text
    status, _, headers = ask(port, "/logout", headers={"cookie": cookie})
    assert (status, headers["location"]) == (302, "/productpage")
    assert headers["set-cookie"].startswith("session=; ")
    ask(port, "/productpage", headers={"cookie": "session="})
    assert "end-user" not in behind.requests[-1].headers


def test_name_that_would_break_a_header_is_nobody(shop: Callable[..., int]) -> None:
    behind = Recorder(serving.as_json({}))
    ask(shop(details=behind), "/productpage", headers={"cookie": "session=a%0d%0ax-evil: 1"})
    assert not {"end-user", "x-evil"} & set(behind.requests[0].headers)


def test_user_names_are_shown_as_text_not_as_html(shop: Callable[..., int]) -> None:
    text = ask(shop(), "/productpage", headers={"cookie": "session=%3Cscript%3Ealert(1)%3C/script%3E"})[1]
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_flood_sends_more_requests_to_reviews() -> None:
    behind = Recorder(serving.as_json({"reviews": []}))
    with served(behind) as port, served(productpage.app({**where(details=port, reviews=port, ratings=port), "FLOOD_FACTOR": "5"})) as front:
        ask(front, "/productpage")
        until(lambda: len(behind.requests) >= 7, 5)
    assert [request.path for request in behind.requests].count("/reviews/0") == 6


def test_helloworld_says_version_and_host() -> None:
    with served(helloworld.app({"SERVICE_VERSION": "v2", "HOSTNAME": "pod-7"})) as port:
        assert ask(port, "/hello")[1] == "Hello version: v2, instance: pod-7\n"


def test_tomcat_serves_files_and_says_what_it_is(tmp_path: Path) -> None:
    root = tmp_path / "webapps" / "ROOT"
    (root / "WEB-INF").mkdir(parents=True)
    (root / "WEB-INF" / "web.xml").write_text("secret")
    (root / "a.txt").write_text("plain")
    (tmp_path / "outside.txt").write_text("secret")
    with served(tomcat.app({"CATALINA_HOME": str(tmp_path)})) as port:
        status, text, headers = ask(port, "/a.txt")
        assert (status, text) == (200, "plain")
        assert "server" not in headers
        for path in ("/", "/missing", "/WEB-INF/web.xml", "/../../outside.txt", "/%2e%2e/outside.txt"):
            assert ask(port, path)[0] == 404, path
        (root / "index.html").write_text("<h1>mine</h1>")
        assert ask(port, "/")[1] == "<h1>mine</h1>"
    shipped = bookinfo.APPS.parent / "files" / "tomcat" / "usr" / "local" / "tomcat" / "webapps" / "ROOT" / "index.html"
    assert "not Apache Tomcat" in shipped.read_text()


@pytest.mark.parametrize(("environment", "path", "slept"), [({}, "/slow?seconds=3", 3), ({}, "/slow", 3), ({"DELAY_SECONDS": "2"}, "/", 2)])
def test_tomcat_can_be_slow(environment: dict[str, str], path: str, slept: float) -> None:
    pauses: list[float] = []
    with served(tomcat.app(environment, pauses.append)) as port:
        ask(port, path)
    assert sum(pauses) == slept


@pytest.mark.parametrize("seconds", ["-1", "x", "301", "nan"])
def test_tomcat_is_not_slow_beyond_reason(seconds: str) -> None:
    with served(tomcat.app({})) as port:
        assert ask(port, f"/slow?seconds={seconds}")[0] == 400


def test_connections_are_kept_and_requests_run_side_by_side() -> None:
    meeting = threading.Barrier(8, timeout=10)

    def meet(_: Request) -> Reply:
        meeting.wait()
        return serving.as_text("met")

    with served(meet) as port:
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(8)]
        for _ in range(2):
            for each in connections:
                each.request("GET", "/")
            assert [each.getresponse().read() for each in connections] == [b"met"] * 8
        for each in connections:
            each.close()


def test_program_error_is_500_and_the_next_request_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(request: Request) -> Reply:
        return serving.as_text(str(1 / int(request.query["by"])))

    with served(broken) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for by, status in (("0", 500), ("1", 200)):
            connection.request("GET", f"/?by={by}")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_head_has_no_body_and_a_huge_body_is_refused() -> None:
    with served(details.app({})) as port:
        status, text, headers = ask(port, "/details/0", "HEAD")
        assert (status, text) == (200, "")
        assert int(headers["content-length"]) > 100
        assert ask(port, "/details/0", "POST", {"content-length": str(1 << 21)})[0] == 413


def test_program_starts_as_a_container_starts_it_and_ends_at_once_on_sigterm() -> None:
    port = closed()
    words = [sys.executable, *bookinfo.start("details", port)[1:]]
    environment = {**bookinfo.ENVIRONMENT, "PYTHONPATH": str(bookinfo.APPS.parent)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == f"listening on port {port}\n"
        assert ask(port, "/details/0")[0] == 200
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == -signal.SIGTERM
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("hub", ["istio", "docker.io/istio", "registry.istio.io/release", "gcr.io/istio-release"])
@pytest.mark.parametrize("tag", ["1.16.4", "1.17.0", "1.20.3"])
def test_any_version_of_the_samples_images_is_served_and_said_to_be_ours(hub: str, tag: str) -> None:
    for sample in ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"):
        found = images.find(f"{hub}/examples-bookinfo-{sample}:{tag}")
        assert "meshcourse" in found.stand_in
        assert found.command[3] == "-m"
