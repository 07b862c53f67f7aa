"""The bar of long checks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshcourse.lab import waiting


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.5, 12), (0.99, 23), (3.0, 23), (1.0, 24)])
def test_the_bar_is_full_only_at_the_end(share: float, filled: int) -> None:
    assert waiting.bar("checking 10.2", share).count("█") == filled
    assert len(waiting.bar("x", share)) == 2 + waiting.WIDTH


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_outside_a_notebook_the_work_is_just_done(seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert waiting.shown(lambda: 7, "work", seconds) == 7
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("work", "said"), [("6 * 7", "42"), ("1 / 0", "ZeroDivisionError")])
def test_in_ipython_there_is_a_bar_and_then_the_result_or_the_error(work: str, said: str) -> None:
    script = f"from meshcourse.lab import waiting; print(waiting.shown(lambda: {work}, 'checking 10.2', 5.0))"
    words = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "checking 10.2 ░" in done.stdout
    assert said in done.stdout + done.stderr
