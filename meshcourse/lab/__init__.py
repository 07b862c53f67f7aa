"""What notebooks import: `from meshcourse import lab`, then plain synchronous calls.

A notebook imports nothing else. Each call shows what it did; each failure is a short error that says what happened, why, and what to type
next.
"""

from __future__ import annotations

from meshcourse.course.parameters import parametrise
from meshcourse.course.progress import progress
from meshcourse.lab.answers import answer
from meshcourse.lab.bookinfo import page, stars
from meshcourse.lab.cleanup import clean_up
from meshcourse.lab.diagnosis import doctor
from meshcourse.lab.exercises import check, hint, solution
from meshcourse.lab.glossary import word
from meshcourse.lab.istio_remnants import remnants
from meshcourse.lab.log_lines import explain_log
from meshcourse.lab.mesh_diagram import mesh_map
from meshcourse.lab.panels import (
    breaker_panel,
    fault_panel,
    injection_panel,
    inspector_panel,
    objective_panel,
    panel,
    profile_panel,
    push_panel,
    replay,
    retry_panel,
    rollout_panel,
    timeout_panel,
    topology_panel,
    weight_panel,
)
from meshcourse.lab.pod_calls import call, certificate
from meshcourse.lab.pods import diff_pods
from meshcourse.lab.push_timing import push_time
from meshcourse.lab.request_path import follow
from meshcourse.lab.requests import chance, how_many_requests, request, traffic
from meshcourse.lab.retries import amplification, attempts, with_retries
from meshcourse.lab.shell import access_log, apply, sh, stats, wait
from meshcourse.lab.start import chapter
from meshcourse.lab.stills import still
from meshcourse.lab.topologies import topology

__all__ = [
    "access_log",
    "amplification",
    "answer",
    "apply",
    "attempts",
    "breaker_panel",
    "call",
    "certificate",
    "chance",
    "chapter",
    "check",
    "clean_up",
    "diff_pods",
    "doctor",
    "explain_log",
    "fault_panel",
    "follow",
    "hint",
    "how_many_requests",
    "injection_panel",
    "inspector_panel",
    "mesh_map",
    "objective_panel",
    "page",
    "panel",
    "parametrise",
    "profile_panel",
    "progress",
    "push_panel",
    "push_time",
    "remnants",
    "replay",
    "request",
    "retry_panel",
    "rollout_panel",
    "sh",
    "solution",
    "stars",
    "stats",
    "still",
    "timeout_panel",
    "topology",
    "topology_panel",
    "traffic",
    "wait",
    "weight_panel",
    "with_retries",
    "word",
]
