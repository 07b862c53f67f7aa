"""One workload as HTML: no text from a cluster becomes markup, and every table has its command."""

from __future__ import annotations

from meshcourse.measure import workloads
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.workloads import Held, Pod, Workload
from meshcourse.mesh.envoy.config_dump import Route, Share
from meshcourse.widgets.figures import workload as closeup

SEEN = Workload(
    "shop",
    "web-v1",
    (Pod("web-v1-1", "2/2", "10.0.0.2"),),
    "web-v1-1",
    routes=(Held("web:80", Route(("x-team exact <b>",), (Share("web", "v1", 1),)), "split"),),
    log=(Entry('[now] "GET /?<script>alert(1)</script> HTTP/1.1" 200', {}),),
)


def test_text_from_the_cluster_is_escaped() -> None:
    page = closeup.page(SEEN)
    assert "<script" not in page
    assert "GET /?&lt;script&gt;alert(1)&lt;/script&gt; HTTP/1.1" in page
    assert "x-team exact &lt;b&gt;" in page


def test_every_part_stands_under_its_command_and_an_empty_one_says_so() -> None:
    page = closeup.page(SEEN)
    for part in SEEN.parts():
        assert f"$ {part.command}</code>" in page
    assert "no Service of this namespace" in page
    assert page.count("<table") == 2


def test_outside_is_told_in_words_alone() -> None:
    page = closeup.page(Workload("shop", workloads.OUTSIDE))
    assert "no pod here" in page
    assert "<table" not in page
