"""What kind's and the engine's words about a failure mean, and what to type next. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NOISE: Final = re.compile(r"[IW]\d{4} |\s|[\w./@-]+\.(?:\(\*\w+\)\.)?\w+$")
"""kubeadm's own log and Go's stacks, which kind prints after its error."""
_LINES: Final = 14
"""So many lines of a long story are shown; the whole is in the container's log."""
_SIGNS: Final[Sequence[tuple[str, str]]] = (
    ("address already in use", "ss -ltnp    # who has the port?"),
    ("port is already allocated", "docker ps    # which container has the port?"),
    ("too many open files", "sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288"),
    ("no space left on device", "docker system df    # then: docker system prune"),
    ("exec format error", "docker image inspect IMAGE --format '{{.Architecture}}'    # it is for another kind of processor"),
    ("failed to pull image", "meshcourse up ... --images made    # makes the images on this machine; no registry is asked"),
    ("cannot connect to the docker daemon", "sudo systemctl start docker    # it ended meanwhile; then the same again"),
    (
        "unable to apply caps",
        "this machine may not give containers every capability, and kind asks for all    # docs/kind.md says what helps",
    ),
    ("context deadline exceeded", "uptime    # is the machine busy with something else? then the same again"),
    ("failed to init node with kubeadm", "docker info    # 8 GB of memory? cgroups v2 for Kubernetes 1.35 and newer?"),
    ("timed out waiting", "kubectl get pods -A    # with the kubeconfig of `kind get kubeconfig`"),
)


def advice(words: str) -> str:
    """What to type next after kind's own words about a failure."""
    return next((command for sign, command in _SIGNS if sign in words.lower()), "kind export logs    # and read kubelet.log there")


def reason(words: str) -> str:
    r"""Kind's own words from its error on: before it stand warnings, and one line for each step that went well.

    >>> reason("WARNING: cgroup v1 is deprecated\nCreating cluster ...\nERROR: failed to create cluster: port is taken")
    'ERROR: failed to create cluster: port is taken'
    """
    lines = words.strip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.lstrip(" ✗").startswith("ERROR:")), 0)
    kept = [lines[first], *(line for line in lines[first + 1 :] if line and not _NOISE.match(line))] if lines else []
    return "\n".join(kept if len(kept) <= _LINES else [kept[0], "...", *kept[2 - _LINES :]])
