"""Where meshcourse keeps things: the user's cache and state folders, never the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache() -> Path:
    """Files that can be made again: the engine's programs, pulled images."""
    return Path(os.environ.get("MESHCOURSE_CACHE") or platformdirs.user_cache_path("meshcourse"))


def state() -> Path:
    """Files of running clusters and of the learner: kubeconfigs, logs, progress."""
    return Path(os.environ.get("MESHCOURSE_STATE") or platformdirs.user_state_path("meshcourse"))


def progress() -> Path:
    """The file with the learner's progress. MESHCOURSE_PROGRESS names another one, so that automated runs do not change it."""
    return Path(os.environ.get("MESHCOURSE_PROGRESS") or state() / "progress.json")


def clusters() -> Path:
    """One folder for each cluster that has a name here."""
    return state() / "clusters"


def cluster(name: str) -> Path:
    """The folder of the cluster called `name`: its kubeconfig, logs/, and its backend's records."""
    return clusters() / name
