"""Before the day: the plan, the preflight's code, names of the notebooks' links, attempts at a code, the sheet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from meshcourse.core.errors import CourseError
from meshcourse.lab import addresses
from meshcourse.workshop import gateway_page, plan, preflight, sheet, singleuser, users
from meshcourse.workshop.authenticator import ALLOWED, PAUSE, Attempts
from meshcourse.workshop.board import timetable
from meshcourse.workshop.record import Workshop


def test_a_plan_grows_with_the_learners_and_says_how_many_would_fit() -> None:
    few, many = (plan.need(count, "embedded", cores=4, has_memory=16e9) for count in (4, 30))
    assert few.fits
    assert not many.fits
    assert few.memory < many.memory
    assert few.learners <= many.most < many.learners
    assert plan.need(30, "existing", cores=4, has_memory=16e9).memory < many.memory


@pytest.mark.parametrize("report", [preflight.Report((True,) * 14, 16, 8), preflight.Report((True, False, True), 300 % 256, 1)])
def test_a_preflight_code_says_what_was_found_and_a_mistyped_one_is_told(report: preflight.Report) -> None:
    code = preflight.code(report)
    assert preflight.read(code.lower().replace("-", " ")) == report
    wrong = code[:-1] + ("A" if code[-1] != "A" else "B")
    for typed in (wrong, code[:-3], "", "hello"):
        with pytest.raises(CourseError):
            preflight.read(typed)


def test_a_plan_of_the_day_is_read_and_a_wrong_line_is_named() -> None:
    assert [(each.minute, each.text) for each in timetable.parse("0:00 one request\n\n 1:35 break\n")] == [
        (0, "one request"),
        (95, "break"),
    ]
    for wrong, said in (("0:00 a\nbreak", "Line 2"), ("1:00 a\n0:30 b", "Line 2"), ("0:60 a", "Line 1")):
        with pytest.raises(CourseError, match=said):
            timetable.parse(wrong)


@pytest.mark.parametrize("name", ["half day", "full day"])
def test_the_boards_plans_are_those_of_the_instructors_page(name: str) -> None:
    heading = {"half day": "## Half a day", "full day": "## A full day"}[name]
    page = (Path(__file__).parents[2] / "INSTRUCTOR.md").read_text(encoding="utf-8")
    section = page.split(heading, 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\d:\d\d) \| (.*?) \| *(\d+)?", section, re.MULTILINE)
    expected = [(at, f"{what} (chapter {chapter})" if chapter else what) for at, what, chapter in rows]
    found = timetable.parse((timetable.PLANS / f"{name}.txt").read_text(encoding="utf-8"))
    assert [(f"{each.minute // 60}:{each.minute % 60:02d}", each.text) for each in found][:-1] == expected
    assert found[-1].text == "end"


def test_links_in_the_text_lead_through_the_hub_and_commands_keep_their_address() -> None:
    lines = ["Open [http://127.0.0.1:31718/productpage](http://127.0.0.1:31718/productpage), [here](http://127.0.0.1:31718).\n"]
    notebook = {"cells": [{"cell_type": "markdown", "source": lines}, {"cell_type": "code", "source": ["curl http://127.0.0.1:31718/"]}]}
    found = json.loads(singleuser.adapted("04.ipynb", json.dumps(notebook).encode(), "/class/user/ada/gateway/"))
    assert found["cells"][0]["source"][0] == (
        "Open [/class/user/ada/gateway/productpage](/class/user/ada/gateway/productpage), [here](/class/user/ada/gateway/).\n"
    )
    assert found["cells"][1] == notebook["cells"][1]


def test_any_hubs_notebook_shows_a_link_and_plain_jupyterlab_none() -> None:
    url, hub = "http://127.0.0.1:31718", {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}
    assert addresses.in_browser(url, {}, proxied=True) == ""
    assert addresses.in_browser(url, hub, proxied=False) == ""
    assert addresses.in_browser(url, hub, proxied=True) == "/user/ada/proxy/31718/"
    assert addresses.in_browser(url, {**hub, addresses.VARIABLE: "/user/ada/gateway/"}, proxied=False) == "/user/ada/gateway/"


def test_pages_of_the_gateway_stay_below_the_learners_path(monkeypatch: pytest.MonkeyPatch) -> None:
    from tornado.httputil import HTTPHeaders  # noqa: PLC0415 - it comes with the extra

    monkeypatch.setenv(addresses.VARIABLE, "/class/user/ada/gateway/")
    headers = HTTPHeaders({"Content-Type": "text/html", "Location": "http://127.0.0.1:31718/productpage"})
    headers.add("Set-Cookie", "session=1; Path=/; HttpOnly")
    body = b"""<a href="/productpage">x</a><form action='/login'></form><a href="//istio.io">y</a><a href="https://istio.io/">z</a>"""
    response = SimpleNamespace(headers=headers, body=body)
    gateway_page.rewrite(response)
    assert b'href="/class/user/ada/gateway/productpage"' in response.body
    assert b"action='/class/user/ada/gateway/login'" in response.body
    assert b'"//istio.io"' in response.body
    assert headers["Location"] == "/productpage"  # the proxy itself puts the path before it
    assert "Path=/class/user/ada/gateway/;" in headers["Set-Cookie"]


def test_after_many_wrong_codes_that_address_waits_and_nobody_else() -> None:
    clock = [0.0]
    found = Attempts(lambda: clock[0])
    for _ in range(ALLOWED):
        assert not found.must_wait("ada", "10.0.0.1")
        found.failed("ada", "10.0.0.1")
    assert found.must_wait("ada", "10.0.0.1") == PAUSE
    assert not found.must_wait("ada", "10.0.0.2")
    assert not found.must_wait("bo", "10.0.0.1")
    clock[0] = PAUSE + 1
    assert not found.must_wait("ada", "10.0.0.1")


def test_the_sheet_has_every_learners_code_and_not_the_instructors() -> None:
    made = users.make(["Ada & Co", "王小明"])
    workshop = Workshop("0.0.0.0", 8000, "/class/", users.instructor(), made, public_url="https://class.example/")
    page = sheet.page(workshop)
    assert all(each.code in page for each in made)
    assert "Ada &amp; Co" in page
    assert "https://class.example/" in page
    assert workshop.instructor.code not in page
