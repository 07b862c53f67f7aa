"""What the error messages of kind and the engine mean, and what to type next. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NOISE: Final = re.compile(r"[IW]\d{4} |\s|[\w./@-]+\.(?:\(\*\w+\)\.)?\w+$")
"""kubeadm's own log and Go's stacks, which kind prints after its error."""
_LINES: Final = 14
"""Lines of a long message that are shown; the container's log has all of it."""
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
    """What to type next after kind's error message."""
    return next((command for sign, command in _SIGNS if sign in words.lower()), "kind export logs    # and read kubelet.log there")


def reason(words: str) -> str:
    r"""Kind's output from its error on, without the warnings and the finished steps before it.

    >>> reason("WARNING: cgroup v1 is deprecated\nCreating cluster ...\nERROR: failed to create cluster: port is taken")
    'ERROR: failed to create cluster: port is taken'
    """
    lines = words.strip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.lstrip(" ✗").startswith("ERROR:")), 0)
    kept = [lines[first], *(line for line in lines[first + 1 :] if line and not _NOISE.match(line))] if lines else []
    return "\n".join(kept if len(kept) <= _LINES else [kept[0], "...", *kept[2 - _LINES :]])
