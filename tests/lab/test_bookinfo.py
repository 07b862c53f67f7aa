"""What lab.page, lab.stars and lab.follow show for given answers; and signing in to the course's own productpage."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator

import pytest

from meshcourse.core.errors import TrafficError
from meshcourse.lab.bookinfo import PLOTLY, Page, Stars
from meshcourse.lab.request_path import Journey
from meshcourse.lab.requests import Answer
from meshcourse.measure import access_logs
from meshcourse.measure.request_hops import Hop
from meshcourse.mesh.install import installation
from meshcourse.node.images.apps import productpage, reviews, serving
from meshcourse.node.images.apps.page import Outcome, product
from meshcourse.node.images.apps.serving import Request
from meshcourse.traffic import bookstore

REVIEWS = {"podname": "reviews-v3-1", "reviews": [{"reviewer": "R", "text": "Good & short.", "rating": {"stars": 4, "color": "red"}}]}


def page(body: str, status: int = 200) -> Page:
    return Page(Answer("curl", status, {}, body, 0.0123), "/productpage", "jason")


def test_page_reads_as_text_where_there_is_no_browser() -> None:
    shown = repr(page(product(productpage.BOOK, Outcome(200, {"pages": 200}), Outcome(200, REVIEWS), "jason")))
    lines = shown.splitlines()
    assert lines[0] == "GET /productpage as jason: HTTP 200, 12 ms"
    for expected in ("The Comedy of Errors", "Pages 200", "Good & short.", "★★★★☆", "Reviews served by: reviews-v3-1"):
        assert expected in lines
    assert "font:" not in shown, "styles are no words"
    assert len(lines) < 25


def test_page_is_shown_in_a_frame_that_runs_nothing() -> None:
    body = '<html><body><script>alert("x")</script><a href="/">out</a></body></html>'
    shown = page(body)._repr_html_()
    assert 'sandbox=""' in shown
    found = re.search(r'srcdoc="([^"]*)"', shown)
    assert found
    assert html.unescape(found[1]) == body
    assert "<script" not in shown, "the page's own text stands inside the attribute only"


def test_page_that_did_not_come_says_so() -> None:
    assert repr(Page(Answer("curl", 0, {}, "connection refused", 0.0), "/", "")).startswith("GET / as nobody: no answer")


def test_stars_are_counted_and_shown_in_their_order() -> None:
    seen = Stars(("none", "red", "red", "503"), "jane")
    assert (seen["red"], seen["black"]) == (2, 0)
    text = repr(seen)
    assert "the stars of 4 answers as jane" in text
    assert re.search(r"red +2 +50\.0%", text)
    assert re.search(r"503 +1 +25\.0%", text)
    assert "-RR!" in text
    bundle = seen._repr_mimebundle_()
    assert bundle["text/plain"] == text
    bars = bundle[PLOTLY]["data"][-1]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == {"503": 1, "red": 2, "black": 0, "none": 1}


@pytest.mark.parametrize(("version", "colour"), [("v1", "none"), ("v2", "black"), ("v3", "red")])
def test_colour_is_read_from_the_json_of_each_version(version: str, colour: str) -> None:
    rating = {"v1": None, "v2": "black", "v3": "red"}[version]
    one = {"reviewer": "R", "text": "T", **({"rating": {"stars": 5, "color": rating}} if rating else {})}
    body = serving.as_json({"reviews": [one]}).body
    assert bookstore.stars(200, {}, body) == colour
    assert bookstore.stars(200, {}, body.replace(b": ", b":")) == colour


def test_missing_ratings_are_no_version() -> None:
    answer = reviews.app({"ENABLE_RATINGS": "true", "RATINGS_HOSTNAME": "127.0.0.1", "RATINGS_SERVICE_PORT": "9"})(
        Request("GET", "/reviews/0")
    )
    assert bookstore.stars(200, {}, answer.body) == ""
    assert bookstore.stars(404, {}, b"nothing") == ""


@pytest.fixture
def shop() -> Iterator[str]:
    with serving.Server(productpage.app({}), 0, "127.0.0.1") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()


def test_signing_in_gives_the_sessions_cookie(shop: str) -> None:
    assert bookstore.sign_in(shop, "") == {}
    headers = bookstore.sign_in(shop, "jason")
    assert productpage.user_of(Request("GET", "/", headers=headers)) == "jason"


def test_nobody_signs_in_where_there_is_no_bookstore() -> None:
    with pytest.raises(TrafficError, match="Signing in as jason failed"):
        bookstore.sign_in("http://127.0.0.1:9", "jason")


def entry(at: str, path: str, cluster: str, took: int, flags: str = "-") -> access_logs.Entry:
    line = (
        f'[2026-09-01T10:00:00.{at}Z] "GET {path} HTTP/1.1" 200 {flags} via_upstream - "-" 0 100 {took} {took} "-" "curl" "id-1" '
        f'"reviews:9080" "10.0.0.1:9080" {cluster} 10.0.0.2:1 10.0.0.1:9080 10.0.0.2:2 - default'
    )
    (found,) = access_logs.parse([line])
    return found


def test_journey_shows_each_proxys_part() -> None:
    hops = (
        Hop("ingress-1", installation.INGRESS, entry("000", "/productpage", "outbound|9080||productpage.shop.svc.cluster.local", 20)),
        Hop("productpage-v1-1", "productpage-v1", entry("001", "/productpage", "inbound|9080||", 19)),
        Hop("productpage-v1-1", "productpage-v1", entry("005", "/reviews/0", "outbound|9080|v2|reviews.shop.svc.cluster.local", 9)),
    )
    lines = repr(Journey(hops)).splitlines()
    assert lines[0] == "x-request-id id-1, the same in 3 lines of 2 proxies:"
    assert re.match(r"\+0 +ingress gateway +productpage +GET /productpage +200 +20$", lines[2])
    assert re.match(r"\+1 +productpage-v1 +its own application +GET /productpage +200 +19$", lines[3])
    assert re.match(r"\+5 +productpage-v1 +reviews \(v2\) +GET /reviews/0 +200 +9$", lines[4])
