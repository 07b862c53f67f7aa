"""The site: pages that load nothing from other servers, links that work, and a text in place of what no page can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcourse.authoring import links, site
from meshcourse.core import errors
from meshcourse.lab import stills

COURSE = Path(__file__).parents[2] / "notebooks"
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox(children=...)"}
FIGURE = {"data": [{"type": "scatter", "x": [0, 1], "y": [1, 2], "name": "v2 </script> observed"}], "layout": {}}


def code(source: str, *outputs: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    metadata = {"tags": list(tags), "papermill": {"duration": 1.0}}
    return {
        "cell_type": "code",
        "id": f"c{abs(hash(source))}",
        "metadata": metadata,
        "source": [source],
        "execution_count": 1,
        "outputs": list(outputs),
    }


def words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": f"m{abs(hash(text))}", "metadata": {}, "source": [text]}


def shown(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def said(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": [text]}


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"papermill": {"start_time": "2026-01-02T03:04:05+00:00"}},
    "cells": [
        code("seconds = 0", tags=("parameters",)),
        code("seconds = 4", tags=("injected-parameters",)),
        code("lab.parametrise(seconds=seconds)", tags=("headless",)),
        words("# 5 · Canary\n\n**A canary** is a [bird](06_circuit_breaking.ipynb) of one [subset](words.md#subset)."),
        words("![a picture](pictures/05_canary.svg) and [a file](manifests/05_canary/01-web.yaml)"),
        code("%%bash\nkubectl get pods", said("web-v1\n"), said("web-v2\n")),
        code("lab.weight_panel()", shown(**WIDGET)),
        code(
            "panel = lab.panel()",
            said("driven"),
            shown(**{"text/html": "<i>v2: 50</i>"}),
            shown(**{stills.PLOTLY: FIGURE}),
            tags=("headless",),
        ),
        words("after the panel"),
        code("lab.apply('solved')", tags=("solution",)),
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    site.write([site.page(NOTEBOOK, "05_canary"), site.page(NOTEBOOK, "06_circuit_breaking")], COURSE, out)
    return out


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "05_canary.html").read_text()


def test_links_lead_somewhere_and_nothing_is_fetched_from_elsewhere(folder: Path, page: str) -> None:
    assert links.check(folder) == ()
    assert 'href="06_circuit_breaking.html"' in page
    assert 'href="words.html#subset"' in page
    assert "DestinationRule" in (folder / "words.html").read_text()
    assert ".ipynb" not in page


def test_broken_links_and_fetched_things_are_noticed(folder: Path, tmp_path: Path) -> None:
    text = '<a href="gone.html">x</a><a href="#gone">x</a><a href="05_canary.html#gone">x</a><script src="https://cdn.example.com/a.js"></script>'
    (tmp_path / "index.html").write_text(
        text + '<img src="//cdn.example.com/a.png"><a href="https://istio.io/">fine</a><a href="#here" id="here">x</a>'
    )
    (tmp_path / "05_canary.html").write_text("<p>")
    complaints = "\n".join(links.check(tmp_path))
    assert complaints.count("\n") == 4
    assert "gone.html, which does not exist" in complaints
    assert "#gone, but index.html has no such id" in complaints
    assert "#gone, but 05_canary.html has no such id" in complaints
    assert "loads https://cdn.example.com/a.js" in complaints
    assert "loads //cdn.example.com/a.png" in complaints


def test_cells_for_machines_are_left_out(page: str) -> None:
    for text in ("seconds = 0", "seconds = 4", "parametrise", "lab.panel()", "driven"):
        assert text not in page


def test_panel_is_its_still_in_its_own_place(page: str) -> None:
    assert "VBox" not in page
    parts = [page.index(text) for text in ("weight_panel", "A live panel", "v2: 50", 'class="meshcourse-figure"', "after the panel")]
    assert parts == sorted(parts)


def test_figure_is_drawn_by_the_sites_own_plotly_and_cannot_break_out_of_its_script(folder: Path, page: str) -> None:
    assert (folder / site.SCRIPT).stat().st_size > 1_000_000
    assert f'src="{site.SCRIPT}"' in page
    assert "v2 <\\/script> observed" in page


def test_solution_is_folded_and_prints_stand_together(page: str) -> None:
    fold = page[page.index("<details>") : page.index("</details>")]
    assert "solved" in fold
    assert "web-v1\nweb-v2" in page


def test_index_has_the_way_through_the_chapters_and_pages_lead_on(folder: Path, page: str) -> None:
    index = (folder / "index.html").read_text()
    assert index.index("05_canary.html") < index.index("06_circuit_breaking.html")
    assert "A canary is a bird of one subset." in index
    assert '<img src="pictures/05_canary.svg" alt="">' in index
    assert "60 minutes, 2 exercises" in index
    assert "Executed on 2026-01-02" in index
    assert 'href="06_circuit_breaking.html">Circuit breaking →' in page
    assert 'href="index.html"' in page


def test_chapter_that_was_not_executed_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(errors.CourseError) as caught:
        site.build(tmp_path, COURSE, tmp_path / "site")
    assert "notebooks run" in caught.value.next
    assert not (tmp_path / "site").exists()
