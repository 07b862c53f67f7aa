"""Remembers whether Istio was installed before a chapter that uninstalls and installs it, and restores that.

The note survives a new kernel and a second run. The former profile is unknown, so the demo profile is installed, which all other chapters
need.
"""

from __future__ import annotations

from typing import Final

from meshcourse.core import settings
from meshcourse.kube import resources
from meshcourse.kube.commands import Report
from meshcourse.lab.session import Session
from meshcourse.mesh.install import installation

NOTE: Final = "meshcourse.dev/istio-before"
"""Annotation on the chapter's namespace: `installed` or `absent`."""
WHOLE: Final = {"istiod", installation.INGRESS, installation.EGRESS}
"""The Deployments of the demo profile."""


def remember(begun: Session) -> None:
    """Note whether Istio is installed, unless an earlier run of the chapter has done so."""
    core = begun.connection.core()
    found = resources.read(core.read_namespace, begun.namespace)
    if found is None or NOTE in (found.metadata.annotations or {}):
        return
    there = "installed" if installation.status(begun.connection) else "absent"
    resources.read(core.patch_namespace, begun.namespace, {"metadata": {"annotations": {NOTE: there}}})


def recalled(begun: Session) -> str:
    """`installed`, `absent`, or empty when nothing was noted. To be read before the namespace is deleted."""
    found = resources.read(begun.connection.core().read_namespace, begun.namespace)
    return "" if found is None else str((found.metadata.annotations or {}).get(NOTE, ""))


def restore(begun: Session, before: str, *, report: Report) -> str:
    """Restore Istio's state to `before`; returns what was done, as text, or an empty text."""
    core = begun.connection.core()
    resources.read(core.patch_namespace, begun.namespace, {"metadata": {"annotations": {NOTE: None}}})
    now = installation.status(begun.connection)
    if before == "installed" and (now is None or not {name for name, _, _ in now.deployments} >= WHOLE):
        report(f"$ istioctl install --set profile={settings.DEFAULT_PROFILE} -y")
        return f"Istio was installed before this chapter, and is installed again: {installation.install(begun.connection)}"
    if before == "absent" and now is not None:
        installation.uninstall(begun.connection)
        return "Istio was not installed before this chapter, and is uninstalled again"
    return ""
