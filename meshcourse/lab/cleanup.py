"""lab.clean_up: leave the cluster as the chapter found it.

Works from another kernel too, and repeatedly. Objects that the learner made in a namespace of their own stay.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from meshcourse.core import errors
from meshcourse.course import chapters
from meshcourse.kube import commands, resources
from meshcourse.lab import istio_before, panels, session
from meshcourse.lab.output import say
from meshcourse.lab.session import Session
from meshcourse.mesh.injection import namespaces as injection
from meshcourse.mesh.install import installation


def clean_up(*, done: bool = True) -> None:
    """Remove what the chapter made. With `done=False` only list it, so that *Run All* keeps your work."""
    begun = session.current()
    connection, chapter = begun.connection, begun.chapter
    change = injection.brought(connection, begun.namespace, by=chapter.key)
    installed = injection.brought(connection, installation.NAMESPACE, by=chapter.key) is injection.Change.CREATED
    if not done:
        what = "namespace" if change is injection.Change.CREATED else "this chapter's objects in namespace"
        say(f"Set done=True and run this cell again to delete {what} {begun.namespace}.")
        return
    panels.stop()
    before = "" if chapter.profile else istio_before.recalled(begun)
    if change is not injection.Change.CREATED:
        _objects(begun)
    namespaces = (begun.namespace, *chapter.more_namespaces)
    with ThreadPoolExecutor(max_workers=8) as several:  # deleting a namespace takes six seconds, even when it is empty
        undone = list(several.map(lambda name: injection.undo(connection, name, by=chapter.key), namespaces))
    for name, happened in zip(namespaces[1:], undone[1:], strict=True):
        if happened is injection.Change.CREATED:
            say(f"✔ namespace {name} is gone, with everything in it")
    say(f"✔ {_words(change, begun.namespace)}")
    if installed:
        installation.uninstall(connection)
        say("✔ Istio, which this chapter installed, is gone too")
    restored = istio_before.restore(begun, before, report=say)
    if restored:
        say(f"✔ {restored}")
    say("  The cluster keeps running; `meshcourse down` stops it.")


def _objects(begun: Session) -> None:
    """Delete what the chapter's manifests and exercises make, where the namespace itself existed before the chapter."""
    for manifest in sorted((chapters.folder() / "manifests" / begun.chapter.stem).glob("*.yaml"), reverse=True):
        try:
            resources.delete(begun.connection, manifest, namespace=begun.namespace)
        except errors.KubernetesError as error:
            if "no matches for kind" not in error.why:  # Istio is uninstalled, and its kinds with all their objects
                raise
    for thing in begun.chapter.objects:
        arguments = ["kubectl", "-n", begun.namespace, "delete", thing, "--ignore-not-found", "--wait"]
        done = commands.run(begun.connection, arguments, timeout=60.0)
        if done.code and "doesn't have a resource type" not in done.stderr:
            raise resources.refusal(done, f"the deletion of {thing}")


def _words(change: injection.Change, namespace: str) -> str:
    if change is injection.Change.CREATED:
        return f"namespace {namespace} is gone, with everything in it"
    if change is injection.Change.LABELLED:
        return f"this chapter's objects are gone from namespace {namespace}, and so is the label istio-injection"
    return f"this chapter's objects are gone from namespace {namespace}; the namespace was there before and stays"
