"""lab.remnants: every object of Istio in the cluster, grouped so that before and after can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from meshcourse.lab import session
from meshcourse.mesh.install import remnants as installed
from meshcourse.mesh.install.remnants import Remnants, Thing

_LONGEST: Final = 96


@dataclass(frozen=True)
class Listing:
    """Remnants as text; one line for each kind, with their number and names."""

    remnants: Remnants

    def __repr__(self) -> str:
        found = self.remnants
        lines = ["in namespace istio-system" if found.namespace else "namespace istio-system: gone", *_kinds(found.system)]
        lines += ["for the whole cluster", *(_kinds(found.wide) or ["  nothing"])]
        lines += ["in other namespaces", *(_kinds(found.elsewhere, places=True) or ["  nothing"])]
        if found.labelled:
            lines.append(_line("label", len(found.labelled), found.labelled))
        lines += ["yours, of Istio's kinds", *(_kinds(found.yours, places=True) or ["  nothing"])]
        return "\n".join(lines)


def remnants() -> Listing:
    """Istio's objects in the cluster now. Raises KubernetesError when the cluster does not answer."""
    return Listing(installed.find(session.current().connection))


def _kinds(things: Iterable[Thing], *, places: bool = False) -> list[str]:
    by_kind: dict[str, list[str]] = {}
    for each in things:
        by_kind.setdefault(each.kind, []).append(f"{each.namespace}/{each.name}" if places else each.name)
    return [
        _line(kind, len(names), tuple(_gathered(names) if places and kind == "ConfigMap" else names)) for kind, names in by_kind.items()
    ]


def _gathered(names: Iterable[str]) -> Iterator[str]:
    """`istio-ca-root-cert in default, kube-system`: one config map has a copy in every namespace."""
    by_name: dict[str, list[str]] = {}
    for each in names:
        namespace, _, name = each.partition("/")
        by_name.setdefault(name, []).append(namespace)
    for name, namespaces in by_name.items():
        yield f"{name} in {', '.join(namespaces)}"


def _line(kind: str, count: int, names: Iterable[str]) -> str:
    text = ", ".join(names)
    return f"  {kind:<31} {count:>2}  {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"
