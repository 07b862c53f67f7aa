"""The site: executed chapters as pages to read without a cluster."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Final

from meshcourse.authoring import notebooks, pictures, rehearsal
from meshcourse.checks import chapters as registry
from meshcourse.core import errors, lean_imports, settings
from meshcourse.core.json_types import Json
from meshcourse.course.chapters import Chapter
from meshcourse.lab.stills import PLOTLY

PAGES: Final = Path(__file__).parent / "pages"
FOLDERS: Final = ("manifests", pictures.FOLDER)
WORDS: Final = "words.html"
"""The page of notebooks/words.md, to which the chapters link."""
SCRIPT: Final = "plotly.min.js"
_WIDGET: Final = "application/vnd.jupyter.widget-view+json"
_INJECTED: Final = "injected-parameters"
_PAGE_LINK: Final = re.compile(r'href="([\w./-]*?)(\w+)\.(?:ipynb|md)(#[^"]*)?"')
"""A link to another notebook, or to the words."""
_FOLD: Final = ("meshcourse-fold-begins", "meshcourse-fold-ends")
_LIVE: Final = (
    '<p class="live">A live panel is here in the notebook. It needs a kernel and a cluster; the picture is from an automatic run.</p>'
)


@dataclass(frozen=True)
class Page:
    """One chapter's page. `first` is its first paragraph, as plain text."""

    chapter: Chapter
    first: str
    body: str
    executed: str

    @property
    def name(self) -> str:
        """Its file."""
        return f"{self.chapter.stem}.html"


def build(executed: Path, course: Path, out: Path) -> tuple[Path, ...]:
    """Write the site of all notebooks in `executed` into `out`, which is emptied first; returns the pages, the index first.

    Raises CourseError when a chapter of `course` has not been executed.
    """
    stems = [path.stem for path in notebooks.chosen(course / "source", "py", ())]
    missing = [stem for stem in stems if not (executed / f"{stem}.done.ipynb").is_file()]
    if missing:
        raise errors.CourseError(
            f"{', '.join(missing)} has not been executed.",
            why=f"there is no copy in {executed}",
            next="meshcourse notebooks run --solutions",
        )
    pages = [page(json.loads((executed / f"{stem}.done.ipynb").read_text(encoding="utf-8")), stem) for stem in stems]
    return write(pages, course, out)


def write(pages: Sequence[Page], course: Path, out: Path) -> tuple[Path, ...]:
    """Lay out the folder."""
    from plotly import offline  # noqa: PLC0415 - only the site needs its JavaScript

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(course / name, out / name)
    shutil.copyfile(PAGES / "style.css", out / "style.css")
    (out / SCRIPT).write_text(offline.get_plotlyjs(), encoding="utf-8")
    written = [out / "index.html"]
    written[0].write_text(_whole("meshcourse: Istio by doing", _index(pages), pages, made=_made(pages)), encoding="utf-8")
    for number, each in enumerate(pages):
        before = pages[number - 1] if number else None
        after = pages[number + 1] if number + 1 < len(pages) else None
        path = out / each.name
        title = f"{each.chapter.number} · {each.chapter.title}"
        path.write_text(_whole(title, each.body, pages, before=before, after=after, made=_made([each])), encoding="utf-8")
        written.append(path)
    text = (course / WORDS).with_suffix(".md").read_text(encoding="utf-8")
    explained = _body({"cells": [_markdown(text)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    written.append(out / WORDS)
    written[-1].write_text(_whole("Words", explained, pages, made=_made(pages)), encoding="utf-8")
    return tuple(written)


def page(notebook: Json, stem: str) -> Page:
    """One executed notebook as a page's content."""
    body = _body({**notebook, "cells": list(prepared(notebook["cells"]))})
    started = notebook["metadata"].get("papermill", {}).get("start_time", "")
    return Page(rehearsal.of(stem), first_paragraph(notebook["cells"]), body, started)


def _body(notebook: Json) -> str:
    lean_imports.import_schemas()
    import nbformat  # noqa: PLC0415 - it takes a moment, and only the site needs it
    from nbconvert import HTMLExporter  # noqa: PLC0415 - the same

    content = nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(content)
    body = body.replace(_FOLD[0], "<details><summary>A solution</summary>").replace(_FOLD[1], "</details>")
    return _PAGE_LINK.sub(r'href="\1\2.html\3"', body)


def _markdown(text: str) -> Json:
    return {"cell_type": "markdown", "id": "words", "metadata": {}, "source": text}


def prepared(cells: Sequence[Json]) -> Iterator[Json]:
    """The cells that a reader should see, as nbconvert can show them."""
    panel: Json | None = None
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if notebooks.PARAMETERS in tags or _INJECTED in tags or "lab.parametrise(" in _text(cell["source"]):
            continue
        made = _plain(cell)
        if panel is not None and notebooks.HEADLESS in tags:  # its stills are in place of the panel
            panel["outputs"] += [output for output in made["outputs"] if output["output_type"] == "display_data"]
            continue
        if panel is not None:
            yield panel
        panel = made if any(_WIDGET in output.get("data", {}) for output in cell.get("outputs", ())) else None
        if panel is None:
            yield from _folded(made) if notebooks.SOLUTION in tags else [made]
    if panel is not None:
        yield panel


def _plain(cell: Json) -> Json:
    """Without papermill's notes, which no page needs, and with outputs that a page can show."""
    made = {**cell, "metadata": {}, "source": _text(cell["source"])}
    if cell["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": [_shown(output) for output in _joined(cell["outputs"])]}
    return made


def _folded(cell: Json) -> Iterator[Json]:
    """A solution between two marks: nbconvert cleans HTML that opens in one cell and closes in another."""
    yield {"cell_type": "raw", "metadata": {}, "source": _FOLD[0], "id": f"{cell['id']}-fold"}
    yield cell
    yield {"cell_type": "raw", "metadata": {}, "source": _FOLD[1], "id": f"{cell['id']}-end"}


def _joined(outputs: Sequence[Json]) -> Iterator[Json]:
    """Merge consecutive streams: papermill keeps each print separately."""
    kept: Json | None = None
    for output in outputs:
        if kept and output["output_type"] == "stream" and output["name"] == kept["name"]:
            kept["text"] = _text(kept["text"]) + _text(output["text"])
            continue
        if kept:
            yield kept
            kept = None
        if output["output_type"] == "stream":
            kept = {**output, "text": _text(output["text"])}
        else:
            yield output
    if kept:
        yield kept


def _shown(output: Json) -> Json:
    data = output.get("data", {})
    if _WIDGET in data:
        return {"output_type": "display_data", "metadata": {}, "data": {"text/html": _LIVE}}
    if PLOTLY in data:
        return {"output_type": "display_data", "metadata": {}, "data": {"text/html": figure(data[PLOTLY])}}
    return (
        {**output, "data": {kind: _text(value) if isinstance(value, list) else value for kind, value in data.items()}} if data else output
    )


def figure(content: Json) -> str:
    """A plotly figure as HTML that plotly.js, loaded once by the page, draws."""
    text = json.dumps({"data": content["data"], "layout": content["layout"]}).replace("</", "<\\/")
    return f'<div class="meshcourse-figure"><script type="application/json">{text}</script></div>'


_DRAW: Final = """<script defer src="plotly.min.js"></script>
<script>
addEventListener("DOMContentLoaded", () => {
  for (const script of document.querySelectorAll(".meshcourse-figure > script")) {
    const place = script.parentElement, figure = JSON.parse(script.textContent);
    Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displayModeBar: false});
  }
});
</script>
"""


def first_paragraph(cells: Sequence[Json]) -> str:
    """The first paragraph of the first markdown cell, without its marks."""
    text = next((_text(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), "")
    paragraphs = [part for part in text.split("\n\n") if part.strip() and not part.startswith(("#", "!", "|"))]
    return re.sub(r"[*`_]|\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraphs[0].split())) if paragraphs else ""


def _index(pages: Sequence[Page]) -> str:
    rows = []
    for each in pages:
        count = sum(int(number.partition(".")[0]) == each.chapter.number for number in registry.EXERCISES)
        facts = f"{each.chapter.minutes} minutes" + (f", {count} exercises" if count else "")
        rows.append(
            f'<li><a href="{each.name}"><img src="{pictures.FOLDER}/{each.chapter.stem}.svg" alt=""></a>'
            f'<span class="number">{each.chapter.number}</span> <a href="{each.name}">{html.escape(each.chapter.title)}</a>'
            f'<p>{html.escape(each.first)}</p><p class="facts">{facts}</p></li>'
        )
    intro = (
        "<h1>Istio by doing</h1><p>Each page is a notebook that was executed on a real Kubernetes, a real Istio and real Envoys: every "
        "output is what came back. To do it yourself you need Linux and Python: <code>make course</code>, and no Docker. "
        f'Words that are new to you are links to <a href="{WORDS}">one page</a>.</p>'
    )
    return f'{intro}<ol class="map">{"".join(rows)}</ol>'


def _whole(title: str, body: str, pages: Sequence[Page], *, before: Page | None = None, after: Page | None = None, made: str = "") -> str:
    text = Template((PAGES / "page.html").read_text(encoding="utf-8"))
    return text.substitute(
        title=html.escape(title),
        body=body,
        total=len(pages),
        script=_DRAW if "meshcourse-figure" in body else "",
        before=f'<a href="{before.name}">← {html.escape(before.chapter.title)}</a>' if before else "<span></span>",
        after=f'<a href="{after.name}">{html.escape(after.chapter.title)} →</a>' if after else "<span></span>",
        made=made,
    )


def _made(pages: Sequence[Page]) -> str:
    """When, and on which versions."""
    moments = sorted(each.executed for each in pages if each.executed)
    on = f" on {datetime.fromisoformat(moments[0]):%Y-%m-%d}" if moments else ""
    return f"Executed{on}: Kubernetes {settings.KUBERNETES}, Istio {settings.ISTIO}, Envoy {settings.ENVOY}."


def _text(source: object) -> str:
    return "".join(source) if isinstance(source, list) else str(source)
