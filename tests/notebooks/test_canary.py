"""Chapter 5 from its first cell to its last, on the real cluster: solved, untouched, and once more by nbval."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
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


def test_solved_chapter_passes_every_check_and_leaves_nothing(
    cluster: Any, clean: None, course: Callable[..., Path], execute: Callable[..., Any]
) -> None:
    done = execute(course(solutions=True) / "05_canary.ipynb")
    checks = shown(done, "lab.check(")
    assert len(checks) == 2
    for text in checks:
        assert "passed" in text
    assert "1000 requests" in checks[0]
    assert cluster.kubectl("get", "namespace", "canary", "--ignore-not-found") == ""
    assert "3/3" not in cluster.kubectl("get", "pods", "-n", "istio-system")
    assert "istiod" in cluster.kubectl("get", "pods", "-n", "istio-system"), "Istio was there before the chapter, so it stays"


def test_untouched_chapter_says_not_attempted_and_keeps_its_work(
    cluster: Any, clean: None, course: Callable[..., Path], execute: Callable[..., Any]
) -> None:
    done = execute(course(solutions=False) / "05_canary.ipynb")
    checks = shown(done, "lab.check(")
    assert len(checks) == 2
    for text in checks:
        assert "not attempted" in text
    assert "virtualservice" in cluster.kubectl("-n", "canary", "get", "virtualservices", "-o", "name")


def test_steps_show_what_the_text_says_of_them(clean: None, course: Callable[..., Path], execute: Callable[..., Any]) -> None:
    done = execute(course(solutions=False) / "05_canary.ipynb")
    first, unnamed, working = shown(done, 'lab.wait()\nlab.request("/")')
    assert "HTTP 404, server: istio-envoy" in first
    assert "HTTP 503" in unnamed
    assert "This is version v" in working
    (log,) = shown(done, "lab.access_log(")
    assert " 503 NC " in log
    (analysis,) = shown(done, "%%bash\nistioctl analyze")
    assert "IST0101" in analysis
    (service,) = shown(done, "%%bash\nkubectl -n istio-system get service")
    assert "80:31718/TCP" in service
    half, whole, back = shown(done, "lab.wait()\nlab.traffic(500)")
    assert "v1" in half
    assert "v2" in half
    assert "v1" not in whole
    assert "v1" in back
    for text in (half, whole, back):
        assert "failed" not in text
    header, cookie, user = shown(done, "lab.wait()\nprint(")
    for text in (header, cookie):
        assert text.index("version v2") < text.index("version v1")
    assert user.count("100.0%") == 2


def test_executed_chapter_can_be_executed_again_with_the_same_verdicts(
    cluster: Any, clean: None, course: Callable[..., Path], execute: Callable[..., Any], tmp_path: Path
) -> None:
    folder = course(solutions=True)
    done = execute(folder / "05_canary.ipynb")
    (folder / "05_canary.ipynb").unlink()
    (path,) = folder.glob("*.done.ipynb")
    nbformat.write(done, path)
    assert nbval(cluster, folder, path, tmp_path).returncode == 0
    spoilt = path.read_text(encoding="utf-8").replace("Exercise 5.1: passed", "Exercise 5.1: not yet")
    assert spoilt != path.read_text(encoding="utf-8")
    path.write_text(spoilt, encoding="utf-8")
    again = nbval(cluster, folder, path, tmp_path)
    assert again.returncode == 1, "a verdict that differs must fail, or the pass before proves nothing"
    assert "mismatch" in again.stdout


def nbval(cluster: Any, folder: Path, path: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    rules = tmp_path / "sanitize.cfg"
    rules.write_text(SANITIZE)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        f"--nbval-sanitize-with={rules}",
        "--nbval-cell-timeout=120",
    ]
    words += ["--rootdir", str(folder), "-c", "/dev/null", str(path)]
    return subprocess.run(words, cwd=folder, env=dict(cluster.environment), capture_output=True, text=True, timeout=300, check=False)
