"""Reading an executed notebook: verdicts, times, and each output that a reader should not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshcourse.authoring import transcript
from meshcourse.authoring.transcript import Variant
from meshcourse.checks import outcome
from meshcourse.checks.display import Card


def cell(source: str, *outputs: dict[str, Any], seconds: float = 1.0) -> dict[str, Any]:
    metadata = {"papermill": {"duration": seconds}}
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": metadata}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def result(shown: object) -> dict[str, Any]:
    return {"output_type": "execute_result", "data": {"text/plain": repr(shown), "text/html": "<p>" * 500}}


def read(*cells: dict[str, Any], variant: Variant = Variant.SOLVED) -> transcript.Reading:
    start = cell('lab.chapter("05-canary")', stream("✔ cluster runs\n"), seconds=3.0)
    return transcript.read({"cells": [{"cell_type": "markdown", "source": "# Title"}, start, *cells]}, variant)


PASSED = cell('lab.check("5.1")', result(Card(replace(outcome.passed("it works"), exercise="5.1"))), seconds=4.0)
UNTOUCHED = cell("lab.check('5.2')", result(Card(replace(outcome.not_attempted("no VirtualService"), exercise="5.2"))), seconds=0.5)


def test_times_and_verdicts_are_read() -> None:
    found = read(PASSED)
    assert found == transcript.Reading({"5.1": "passed"}, 7.0, 3.0, 4.0, ())


def test_each_variant_wants_its_own_verdict() -> None:
    assert read(UNTOUCHED, variant=Variant.UNTOUCHED).complaints == ()
    assert "exercise 5.2: not attempted" in read(UNTOUCHED).complaints[0]
    assert "exercise 5.1: passed" in read(PASSED, variant=Variant.UNTOUCHED).complaints[0]


def test_check_that_says_nothing_is_noticed() -> None:
    assert "printed nothing" in read(cell('lab.check("5.1")')).complaints[0]


def test_stderr_warning_and_failure_are_noticed_and_name_their_cell() -> None:
    shell = cell("%%bash\nkubectl get pods", stream("no ", "stderr"), stream("resources\n", "stderr"))
    (complaint,) = read(shell).complaints
    assert "%%bash / kubectl get pods" in complaint
    assert "no resources" in complaint
    assert "shows a warning" in read(cell("1", stream("x.py:1: DeprecationWarning: old"))).complaints[0]
    failed = cell("lab.apply(x)", {"output_type": "error", "ename": "MeshError", "evalue": "no such kind", "traceback": []})
    assert "MeshError: no such kind" in read(failed).complaints[0]


def test_what_istioctl_analyze_finds_is_no_warning_of_the_notebook() -> None:
    assert read(cell("%%bash\nistioctl analyze", stream("Warning [IST0103] (Pod web.canary) ...\n"))).complaints == ()


def test_more_than_a_screen_is_noticed_and_html_does_not_count() -> None:
    assert read(cell("a", stream("line\n" * 45))).complaints == ()
    assert "46 lines" in read(cell("a", stream("line\n" * 45), result(1))).complaints[0]


def test_a_style_for_the_whole_page_is_noticed() -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<svg><style>text{text-anchor:middle}</style></svg>"}}
    assert "brings a <style>" in read(cell("lab.mesh_map()", output)).complaints[0]


def test_slow_first_cell_is_noticed() -> None:
    slow = transcript.read({"cells": [cell("lab.chapter('x')", seconds=15.1)]}, Variant.SOLVED)
    assert "15.1 s" in slow.complaints[0]
