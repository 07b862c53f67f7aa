"""A few of Kubernetes' conformance specs with every run of the tests, where the programs for it have been built."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import quick_set
import suite_programs
from suite_results import all_specs

BUILT = suite_programs.folder()
needs_programs = pytest.mark.skipif(
    not BUILT.is_dir(), reason="the conformance programs are not built: `make conformance` does that, in twenty minutes"
)


@needs_programs
@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("nc") and shutil.which("dig")), reason="needs nc and dig")
def test_the_quick_set_passes() -> None:
    words = [sys.executable, str(Path(__file__).with_name("run.py")), "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_programs
def test_every_pattern_of_the_quick_set_means_one_spec() -> None:
    specs = all_specs(BUILT / "conformance.yaml")
    for each in quick_set.pattern(limits_hold=True).split("|"):
        assert len([name for name in specs if re.search(each, name)]) == 1, each
