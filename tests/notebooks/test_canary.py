"""Chapter 5 from its first cell to its last, on the real cluster: solved, untouched, and once more by nbval."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SANITIZE = "[digits]\nregex: \\d[\\d,]*\nreplace: N\n"


def shown(notebook: Any, source: str) -> list[str]:
    """What each cell whose source begins with `source` shows, as text."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(source)]
    return ["".join(str(each.get("text") or each.get("data", {}).get("text/plain", "")) for each in cell.outputs) for cell in cells]


@pytest.fixture(scope="module")
def untouched(cluster: Any, execute: Callable[..., Any], course: Callable[..., Path]) -> Iterator[Any]:
    """The learner's notebook, executed once."""
    delete(cluster)
    yield execute(course(solutions=False) / "05_canary.ipynb")
    delete(cluster)


def delete(cluster: Any) -> None:
    cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)


def test_untouched_chapter_says_not_attempted_and_keeps_its_work(cluster: Any, untouched: Any) -> None:
    checks = shown(untouched, "lab.check(")
    assert len(checks) == 2
    for text in checks:
        assert "not attempted" in text
    assert "virtualservice" in cluster.kubectl("-n", "canary", "get", "virtualservices", "-o", "name")


def test_steps_show_what_the_text_says_of_them(untouched: Any) -> None:
    first, unnamed, working = shown(untouched, 'lab.wait()\nlab.request("/")')
    assert "HTTP 404, server: istio-envoy" in first
    assert "HTTP 503" in unnamed
    assert "This is version v" in working
    (log,) = shown(untouched, "lab.access_log(")
    assert " 503 NC " in log
    (analysis,) = shown(untouched, "%%bash\nistioctl analyze")
    assert "IST0101" in analysis
    (service,) = shown(untouched, "%%bash\nkubectl -n istio-system get service")
    assert "80:31718/TCP" in service
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


def test_solved_chapter_passes_leaves_nothing_and_says_the_same_again(
    cluster: Any, execute: Callable[..., Any], course: Callable[..., Path], tmp_path: Path
) -> None:
    delete(cluster)
    folder = course(solutions=True)
    done = execute(folder / "05_canary.ipynb")
    checks = shown(done, "lab.check(")
    assert len(checks) == 2
    for text in checks:
        assert "passed" in text
    assert "1000 requests" in checks[0]
    assert cluster.kubectl("get", "namespace", "canary", "--ignore-not-found") == ""
    assert "istiod" in cluster.kubectl("get", "pods", "-n", "istio-system"), "Istio was there before the chapter, so it stays"
    again = nbval(cluster, folder / "05_canary.done.ipynb", tmp_path)
    assert again.returncode == 0, again.stdout[-4000:]
    assert f"{sum(cell.cell_type == 'code' for cell in done.cells)} passed" in again.stdout


def test_verdict_that_differs_fails_the_second_pass(cluster: Any, untouched: Any, tmp_path: Path) -> None:
    """The pass above proves something only if it can fail: here `passed` was saved, and nothing has been attempted."""
    copy = nbformat.from_dict(untouched)  # type: ignore[no-untyped-call]
    kept = ("from meshcourse import lab", "lab.check(")
    copy.cells = [cell for cell in copy.cells if cell.cell_type == "code" and cell.source.startswith(kept)]
    path = tmp_path / "spoilt.ipynb"
    path.write_text(nbformat.writes(copy).replace("not attempted", "passed"), encoding="utf-8")
    again = nbval(cluster, path, tmp_path)
    assert again.returncode == 1
    assert "mismatch" in again.stdout
    assert "2 failed" in again.stdout


def nbval(cluster: Any, path: Path, rules: Path) -> subprocess.CompletedProcess[str]:
    """Execute a notebook that has outputs, and compare the outputs of its checks, numbers aside."""
    (rules / "sanitize.cfg").write_text(SANITIZE)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        f"--nbval-sanitize-with={rules / 'sanitize.cfg'}",
    ]
    words += ["--nbval-cell-timeout=120", "--rootdir", str(path.parent), "-c", "/dev/null", str(path)]
    return subprocess.run(words, cwd=path.parent, env=dict(cluster.environment), capture_output=True, text=True, timeout=300, check=False)
