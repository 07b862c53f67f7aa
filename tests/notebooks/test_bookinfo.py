"""Chapter 4, executed: each step shows what the text says about it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from executed import read, shown

from meshcourse.authoring.rehearsal import Run
from meshcourse.authoring.transcript import Variant

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def rate(table: str, source: str, target: str) -> float:
    found = re.search(rf"{source} +→ {target} +([\d.]+)/s", table)
    return float(found[1]) if found else -1.0


def test_steps_show_what_the_text_says_of_them(performed: Callable[[str, Variant], Run]) -> None:
    untouched = read(performed("04_bookinfo", Variant.UNTOUCHED).path)
    (pods,) = shown(untouched, "%%bash\nkubectl apply -f manifests/04_bookinfo/01-bookinfo.yaml")
    assert pods.count("2/2") == 6
    (title,) = shown(untouched, "%%bash\nkubectl exec deploy/ratings-v1")
    assert title == "<title>Simple Bookstore App</title>\n"
    everybody, jason = shown(untouched, 'lab.wait()\nlab.page("/productpage"')
    assert "Reviews served by: reviews-v" in everybody
    assert "★★★★★" in jason
    assert "Reviews served by: reviews-v2" in jason
    (closed,) = shown(untouched, 'lab.request("/ratings/0")')
    assert "HTTP 404, server: istio-envoy" in closed
    (mixed,) = shown(untouched, "lab.stars(60)")
    assert all(re.search(rf"{kind} +[1-9]", mixed) for kind in ("none", "black", "red"))
    (plain,) = shown(untouched, "lab.wait()\nlab.stars(60)")
    assert re.search(r"none +60 +100\.0%", plain)
    (both,) = shown(untouched, "print(lab.stars(20")
    assert re.search(r"black +20 +100\.0%", both.partition("as jane")[0])
    assert re.search(r"none +20 +100\.0%", both.partition("as jane")[2])


def test_graph_and_journey_are_those_of_the_text(performed: Callable[[str, Variant], Run]) -> None:
    untouched = read(performed("04_bookinfo", Variant.UNTOUCHED).path)
    (table,) = shown(untouched, "lab.topology(3)")
    assert rate(table, "reviews-v2", "ratings-v1") > 0
    assert rate(table, "reviews-v1", "ratings-v1") == -1, "v1 has no arrow to ratings"
    assert rate(table, "ratings-v1", "productpage-v1") == 0, "the learner's own curl"
    (counter,) = shown(untouched, "lab.stats(")
    assert re.search(r"cluster\.outbound\|9080\|\|reviews\.bookinfo\.svc\.cluster\.local;?\.upstream_rq_total: [1-9]", counter)
    (journey,) = shown(untouched, "lab.follow(")
    assert re.search(r"the same in (6 lines of 4|8 lines of 5) proxies", journey)
    assert re.search(r"productpage-v1 +reviews +GET /reviews/0 +200", journey)
    assert re.search(r"reviews-v\d +its own application +GET /reviews/0 +200", journey)
    (routes,) = shown(untouched, "%%bash\nistioctl proxy-config routes deploy/productpage-v1")
    assert "reviews.bookinfo" in routes
    assert "the ingress gateway knows no route for reviews" in routes
    (bad,) = shown(untouched, 'lab.topology(3, user="jason")')
    assert rate(bad, "reviews-v[23]", "ratings-v2") > 0
    assert re.search(r"ratings-v2 +[\d.]+/s +[1-9][\d.]*% failed", bad)


def test_solved_chapter_says_how_sure_it_is_and_keeps_its_driven_panel(performed: Callable[[str, Variant], Run]) -> None:
    solved = read(performed("04_bookinfo", Variant.SOLVED).path)
    who, half, tess = shown(solved, "lab.check(")
    assert "the Envoy of search counts calls to ratings" in who
    assert re.search(r"how sure: \d{3} requests, .*50 % is refused at most once in 10,000 checks", half)
    assert "62 % passes at most once in 100 checks" in half
    assert "of 60 requests failed; as jason and as nobody, none of 80" in tess
    (cell,) = [cell for cell in solved.cells if cell.source.startswith("panel = lab.panel()")]
    words, picture = cell.outputs
    assert "reviews-v3 calls ratings-v1" in words["data"]["text/html"]
    assert picture["data"]["application/vnd.plotly.v1+json"]["data"]
