"""One module of exercises for each chapter; this file lists them all."""

from __future__ import annotations

from typing import Final

from meshcourse.checks.chapters import (
    ch00_start,
    ch01_components,
    ch02_install_uninstall,
    ch03_injection,
    ch04_bookinfo,
    ch05_canary,
    ch06_circuit_breaking,
    ch07_timeouts,
    ch08_faults_retries,
    ch09_beyond,
    ch10_capstone,
)
from meshcourse.checks.exercises import Exercise

_CHAPTERS: Final = (
    ch00_start,
    ch01_components,
    ch02_install_uninstall,
    ch03_injection,
    ch04_bookinfo,
    ch05_canary,
    ch06_circuit_breaking,
    ch07_timeouts,
    ch08_faults_retries,
    ch09_beyond,
    ch10_capstone,
)
EXERCISES: Final[dict[str, Exercise]] = {exercise.number: exercise for chapter in _CHAPTERS for exercise in chapter.EXERCISES}
