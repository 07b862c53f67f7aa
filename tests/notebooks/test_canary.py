"""Chapter 5, executed: each step shows what the text says about it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from executed import read, shown

from meshcourse.authoring.rehearsal import Run
from meshcourse.authoring.transcript import Variant

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_steps_show_what_the_text_says_of_them(performed: Callable[[str, Variant], Run]) -> None:
    untouched = read(performed("05_canary", Variant.UNTOUCHED).path)
    first, unnamed, working = shown(untouched, 'lab.wait()\nlab.request("/")')
    assert "HTTP 404, server: istio-envoy" in first
    assert "HTTP 503" in unnamed
    assert "This is version v" in working
    (log,) = shown(untouched, "lab.access_log(")
    assert " 503 NC " in log
    (analysis,) = shown(untouched, "%%bash\nistioctl analyze")
    assert "IST0101" in analysis
    (service,) = shown(untouched, "%%bash\nkubectl -n istio-system get service")
    assert re.search(r"80:3[0-2]\d{3}/TCP", service), "31718, or another one where that is taken"
    half, whole, back = shown(untouched, "lab.wait()\nlab.traffic(500)")
    assert "v1" in half
    assert "v2" in half
    assert "v1" not in whole
    assert "v1" in back
    for text in (half, whole, back):
        assert "failed" not in text
    header, cookie, user = shown(untouched, "lab.wait()\nprint(")
    for text in (header, cookie):
        assert text.index("version v2") < text.index("version v1")
    assert user.count("100.0%") == 2
    (clean,) = shown(untouched, "lab.clean_up(done=False)")
    assert "Set done=True" in clean


def test_solved_chapter_says_how_sure_it_is_and_keeps_its_driven_panel(performed: Callable[[str, Variant], Run]) -> None:
    solved = read(performed("05_canary", Variant.SOLVED).path)
    split, _ = shown(solved, "lab.check(")
    assert re.search(r"how sure: [\d,]+ requests, .*20 % is refused at most once in 10,000 checks", split)
    assert "25 % passes at most once in 100 checks" in split
    cell, _, inspected = [cell for cell in solved.cells if cell.source.startswith("panel = lab.panel()")]  # the second drives the rollout
    words, picture = cell.outputs
    assert "requests/s: <b>200</b>" in words.data["text/html"]
    observed = next(trace for trace in picture.data["application/vnd.plotly.v1+json"]["data"] if trace["name"] == "v2 observed")
    reached = [share for share in observed["y"] if share is not None]
    assert max(reached) > 30  # the cell itself waits for 50 %, which 30 answers at least must allow: 33 % of them do
    assert min(reached) < 20
    assert "log says the same: it went to web v2" in inspected.outputs[0].data["text/html"]
