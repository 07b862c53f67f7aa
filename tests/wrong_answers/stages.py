"""Where answers are tried: each chapter's objects in a namespace of its own, restored after every answer."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wrong_answers.answers import Answer

from meshcourse.authoring import clusters
from meshcourse.backends.embedded import Embedded
from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Outcome
from meshcourse.checks.submissions import Submissions, remarked
from meshcourse.core import errors
from meshcourse.course import given as manifests_given
from meshcourse.course.chapters import CHAPTERS
from meshcourse.kube import manifests, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import answers as given
from meshcourse.lab import submissions
from meshcourse.lab.cluster_view import LiveClusterView
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests"


@dataclass(frozen=True)
class Setting:
    """What a chapter's exercises need: manifests by their numbers, Deployments to wait for, and commands that come last."""

    files: tuple[str, ...]
    ready: tuple[str, ...]
    outside: tuple[str, ...] = ()
    """Manifests that name namespaces of their own."""
    run: str = ""


BARE = 2
SETTINGS = {
    2: Setting((), ()),
    0: Setting(("01", "02"), ("hello",)),
    1: Setting(("01", "07", "08"), ("client", "web", "components-outside/partner"), outside=("06",)),
    3: Setting((), ("injection-guests/local", "injection-guests/guest", "injection-guests/veteran"), outside=("05",)),
    4: Setting(
        ("01", "02", "03", "06", "07"),
        ("productpage-v1", "details-v1", "ratings-v1", "ratings-v2", "reviews-v1", "reviews-v2", "reviews-v3", "newsletter", "search"),
    ),
    5: Setting(("01", "02", "03", "05"), ("web-v1", "web-v2")),
    6: Setting(("01", "02", "05", "08"), ("httpbin", "httpbin-faulty", "fortio-deploy", "reports")),
    7: Setting(
        ("01", "02", "03", "04", "07", "08", "09"),
        ("nginx", "tomcat", "client", "productpage-v1", "reviews-v2", "ratings-v1"),
        run=f"""
kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < {MANIFESTS}/07_timeouts/nginx-sorry.conf >/dev/null
kubectl exec deploy/nginx -c nginx -- nginx -s reload
""",
    ),
    8: Setting(("02", "09", "10"), ("front", "middle", "back")),
    9: Setting(
        ("01", "03", "06", "07", "08"),
        ("orders-v1", "orders-v2", "billing", "shop", "intern", "beyond-outside/stranger", "beyond-outside/partner"),
        outside=("02",),
    ),
    10: Setting(("01", "02", "03"), ("checkout-v1", "checkout-v2-a", "checkout-v2-b")),
}


class Stage:
    """One chapter's exercises on a running cluster."""

    def __init__(self, connection: Connection, chapter: int) -> None:
        self.chapter = next(each for each in CHAPTERS.values() if each.number == chapter)
        self.namespace = f"{self.chapter.namespace}-exercises"
        self.setting = SETTINGS[chapter]
        self.environment = {**connection.child_environment(), "NAMESPACE": self.namespace, "INGRESS_URL": connection.ingress_url}
        self.view = LiveClusterView(connection, self.namespace)
        self.folder = MANIFESTS / self.chapter.stem

    def begin(self) -> None:
        """Make the chapter's objects, and wait for them."""
        namespaces.enable(self.view.connection, self.namespace, by="tests")
        self._restore()

    def end(self) -> None:
        """Delete what was made, without waiting."""
        for namespace in {self.namespace, *(each.partition("/")[0] for each in self.setting.ready if "/" in each)}:
            self._bash(f"kubectl delete namespace {namespace} --ignore-not-found --wait=false")

    def _files(self, numbers: tuple[str, ...]) -> Iterator[Path]:
        for number in numbers:
            yield from self.folder.glob(f"{number}-*.yaml")

    def _restore(self) -> None:
        connection = self.view.connection
        for file in self._files(self.setting.outside):
            resources.apply(connection, file)
        for file in self._files(self.setting.files):
            resources.apply(connection, file, namespace=self.namespace)
        for each in self.setting.ready:
            where, _, name = each.rpartition("/")
            resources.wait_for_rollout(connection, where or self.namespace, [name])
        if self.setting.run:
            self._bash(self.setting.run)
        propagation.wait(connection, self.namespace)

    def _own(self) -> set[str]:
        """The objects of the setting, as kind/name."""
        texts = [file.read_text(encoding="utf-8") for file in self._files(self.setting.files)]
        return {f"{each['kind'].lower()}/{each['metadata']['name']}" for text in texts for each in manifests.parse(text)}

    def judged(self, answer: Answer) -> Outcome:
        """Give the answer as a learner would, and judge it as lab.check does."""
        made, exercise = Submissions(), chapters.EXERCISES[answer.number]
        self._bash(answer.before)
        path = Path(answer.answer.removeprefix("@")) if answer.answer.startswith("@") else None
        given.answer(answer.number, (path.read_text(encoding="utf-8") if path else answer.answer) or ...)
        refused = [not self._taken(manifest, made) for manifest in answer.manifests]
        assert any(refused) == answer.refused, "refused" if any(refused) else "the cluster took it"
        self._bash(answer.run)
        found = judging.judge(exercise, self.view, manifests_given.of(answer.number))
        pending = made.pending(exercise, chapters.EXERCISES)
        return remarked(found, pending, submissions.judged_at(exercise, self.view, made)) if pending else found

    def _taken(self, manifest: str, made: Submissions) -> bool:
        try:
            submissions.apply(self.view.connection, self._here(manifest), namespace=self.namespace, into=made)
        except errors.MeshcourseError:
            return False
        return True

    def again(self, answer: Answer) -> None:
        """Delete the objects of an answer, and restore those that it changed."""
        given.answer(answer.number, ...)
        own = self._own()
        named = {each for text in answer.manifests for each in submissions.submissions.objects(text)}
        mine = {each for one in chapters.EXERCISES.values() if one.number.startswith(f"{answer.chapter}.") for each in one.objects}
        for each in sorted((named | mine) - own):
            self._bash(f"kubectl delete {each} --ignore-not-found --wait=true 2>/dev/null || true")
        self._bash(answer.undo)
        if answer.run or answer.before or answer.undo or (named & own):
            self._restore()

    def _here(self, text: str) -> str:
        return text.replace(f"ns/{self.chapter.namespace}/", f"ns/{self.namespace}/").replace("$NAMESPACE", self.namespace)

    def _bash(self, commands: str) -> None:
        if not commands.strip():
            return
        words = f'kubectl() {{ command kubectl --namespace "$NAMESPACE" "$@"; }}; {commands}'
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            ["bash", "-c", words], env=environment, cwd=MANIFESTS.parent, timeout=180, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


@contextlib.contextmanager
def opened(connection: Connection, chapter: int) -> Iterator[Stage]:
    """A chapter's stage, deleted at the end; chapter 2 gets a cluster of its own."""
    with contextlib.ExitStack() as ends:
        if chapter == BARE:
            cluster = Embedded(f"bare-{os.getpid()}", ingress_port=0)
            ends.callback(cluster.down)
            cluster.up(lambda _: None)
            place = clusters.running(cluster.name)
            stage: Stage = BareStage(place.connection, chapter)
        else:
            stage = Stage(connection, chapter)
        ends.callback(stage.end)
        stage.begin()
        yield stage


class BareStage(Stage):
    """Chapter 2: a cluster of its own without Istio, in the state that section 5 leaves."""

    def begin(self) -> None:
        namespaces.create(self.view.connection, self.namespace, by="tests")
        self._maps()

    def end(self) -> None:
        """Stops the cluster."""

    def judged(self, answer: Answer) -> Outcome:
        if answer.number == "2.1" or not answer.run:
            self._bash("istioctl uninstall --purge -y >/dev/null 2>&1; kubectl delete namespace istio-system --ignore-not-found")
            self._maps()
        return super().judged(answer)

    def again(self, answer: Answer) -> None:
        self._bash(answer.undo)

    def _maps(self) -> None:
        each = "kubectl -n $n create configmap $c --from-literal=a=b --dry-run=client -o yaml | kubectl -n $n apply -f - >/dev/null"
        self._bash(f"for n in default kube-system {self.namespace}; do for c in istio-ca-root-cert istio-ca-crl; do {each}; done; done")
