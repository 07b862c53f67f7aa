"""A rehearsal: execute chapters, each on a cluster that no other chapter uses at that time.

As many chapters run at a time as there are clusters: one uninstalls Istio, and all use the same gateway. A solved chapter must leave the
cluster as it was, and may be executed again by nbval, which compares the outputs.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from meshcourse.authoring import inventory, notebooks, pictures, transcript
from meshcourse.authoring.clusters import Place
from meshcourse.authoring.execution import Execution
from meshcourse.authoring.transcript import Reading, Variant
from meshcourse.core import errors, tables
from meshcourse.course import chapters
from meshcourse.course.chapters import Chapter
from meshcourse.kube.connection import Connection

FOLDERS: Final = ("manifests", pictures.FOLDER, "source")
"""Folders beside the notebooks that cells read."""
HEADINGS: Final = ("notebook", "variant", "s", "first cell", "slowest check", "second pass", "checks", "result")


@dataclass(frozen=True)
class Run:
    """One executed chapter; `second_pass` is the time that nbval took in seconds, 0 without it."""

    stem: str
    variant: Variant
    path: Path
    reading: Reading
    second_pass: float
    complaints: tuple[str, ...]

    @property
    def result(self) -> str:
        """ok, or the number of complaints."""
        found = len(self.complaints)
        return "ok" if not found else f"{found} complaint{'s' if found > 1 else ''}"

    def row(self) -> tuple[str, ...]:
        """Its line in the table of run times."""
        reading = self.reading
        said = ", ".join(sorted(set(reading.verdicts.values())))
        checks = f"{len(reading.verdicts)} {said}" if said else "none"
        times = (f"{each:.1f}" if each else "-" for each in (reading.seconds, reading.first_cell, reading.slowest_check, self.second_pass))
        return (self.stem, self.variant.value, *times, checks, self.result)


class Rehearsal:
    """Executes chapters on `places`, one at a time on each; those in `compare`, solved, twice. Construct, submit, then close."""

    def __init__(
        self,
        course: Path,
        out: Path,
        places: Sequence[Place],
        *,
        parameters: Mapping[str, str] | None = None,
        compare: Collection[str] = (),
    ) -> None:
        self._course, self._out = course, out
        self._parameters, self._compare = dict(parameters or {}), frozenset(compare)
        self._execution = Execution()
        self._free: queue.Queue[Place] = queue.Queue()
        for place in places:
            self._free.put(place)
        self._pool = ThreadPoolExecutor(max(1, len(places)), thread_name_prefix="rehearsal")
        self._runs: dict[tuple[str, Variant], Future[Run]] = {}

    def submit(self, stem: str, variant: Variant) -> Future[Run]:
        """Execute a chapter. A chapter that was fine is not executed again, however often it is submitted."""
        if (stem, variant) not in self._runs or _wrong(self._runs[stem, variant]):
            folder = self._out / variant.value
            if not any(each is variant for _, each in self._runs):
                lay_out(self._course, folder)
            (notebook,) = notebooks.build(self._course / "source", folder, solutions=variant is Variant.SOLVED, names=[stem])
            self._runs[stem, variant] = self._pool.submit(self._perform, of(stem), notebook, variant)
        return self._runs[stem, variant]

    def close(self) -> None:
        """End all runs, and start no more."""
        for future in self._runs.values():
            future.cancel()
        self._execution.stop()
        self._pool.shutdown(wait=True)

    def _perform(self, chapter: Chapter, notebook: Path, variant: Variant) -> Run:
        place = self._free.get()
        chapter = chapter.belonging_to(place.connection.learner)
        try:
            inventory.clear(place.connection, chapter)
            return self._on(place, notebook, variant)
        finally:
            if not self._execution.stopped:
                inventory.clear(place.connection, chapter, wait=False)
            self._free.put(place)

    def _on(self, place: Place, notebook: Path, variant: Variant) -> Run:
        before = inventory.look(place.connection)
        done = notebook.with_name(f"{notebook.stem}.done.ipynb")
        environment = self._environment(place, notebook)
        given = self._parameters if variant is Variant.SOLVED else {}
        content, failure = self._execution.papermill(notebook, done, environment, parameters=given)
        reading = transcript.read(content, variant)
        complaints = list(reading.complaints)
        if failure and not complaints:
            complaints.append(failure)
        seconds = 0.0
        if variant is Variant.SOLVED and not failure:
            complaints += _left(before, place.connection)
            if notebook.stem in self._compare:
                started = time.monotonic()
                complaints += self._second(done, environment)
                seconds = time.monotonic() - started
        return Run(notebook.stem, variant, done, reading, seconds, tuple(complaints))

    def _environment(self, place: Place, notebook: Path) -> dict[str, str]:
        """The environment of a kernel; the run keeps its progress in a file of its own, never in the author's."""
        record = notebook.with_suffix(".progress.json")
        record.unlink(missing_ok=True)
        return {**place.environment, "MESHCOURSE_PROGRESS": str(record)}

    def _second(self, done: Path, environment: Mapping[str, str]) -> Iterable[str]:
        ended = self._execution.nbval(done, environment)
        if ended.code:
            yield f"executed again, its output differs: {ended.output[-3000:].strip()}"


def _wrong(run: Future[Run]) -> bool:
    return run.done() and not run.cancelled() and bool(run.exception() or run.result().complaints)


def of(stem: str) -> Chapter:
    """The chapter whose files are called `stem`. Raises CourseError when there is none."""
    return chapters.find(stem.replace("_", "-"))


def lay_out(course: Path, folder: Path) -> None:
    """Copy to `folder` what a learner has beside the notebooks, and the sources, which lab.solution reads."""
    for name in FOLDERS:
        if (course / name).is_dir():
            shutil.copytree(course / name, folder / name, dirs_exist_ok=True)


def _left(before: Collection[str], connection: Connection) -> Iterable[str]:
    try:
        after = inventory.look(connection)
    except errors.KubernetesError as error:
        yield f"after its clean-up Istio is missing: {error.why}"
        return
    for line in sorted(after - set(before)):
        yield f"its clean-up leaves {line} behind"
    for line in sorted(set(before) - after):
        yield f"its clean-up deletes {line}, which existed before"


def keep(runs: Sequence[Run], out: Path, *, wall: float) -> tuple[Path, Path]:
    """Write the table of run times into `out`, as JSON and as text; `wall` is the time from beginning to end in seconds."""
    content = {"wall": round(wall, 1), "processors": os.cpu_count(), "runs": [_entry(run) for run in runs]}
    lines = tables.columns([HEADINGS, *(run.row() for run in runs)])
    total = f"{sum(run.reading.seconds + run.second_pass for run in runs):.0f} s of notebooks in {wall:.0f} s"
    data, text = out / "runtimes.json", out / "runtimes.txt"
    data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text.write_text("\n".join([*lines, total]) + "\n", encoding="utf-8")
    return data, text


def _entry(run: Run) -> dict[str, Any]:
    reading = asdict(run.reading)
    del reading["complaints"]
    return {
        "notebook": run.stem,
        "variant": run.variant.value,
        **reading,
        "second_pass": run.second_pass,
        "complaints": list(run.complaints),
    }
