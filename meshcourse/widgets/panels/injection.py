"""The injection panel: choose labels, guess, and let the API server decide whether a sidecar is injected.

A prediction reads the cluster's own webhooks; a proof is a dry-run create of a pod: istiod is called, and nothing is stored. The trial
namespaces' names start with `prefix`. For code: `choose`, `predict`, `guess`, `prove_all`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import dry_run, webhooks
from meshcourse.mesh.injection.dry_run import Trial
from meshcourse.mesh.injection.webhooks import Decision
from meshcourse.widgets.figures import injection as picture
from meshcourse.widgets.figures.injection import Place, Proof, View
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts

NAMESPACES: Final[Mapping[str, Mapping[str, str]]] = {
    "no label": {},
    "istio-injection=enabled": {webhooks.INJECTION: "enabled"},
    "istio-injection=disabled": {webhooks.INJECTION: "disabled"},
    "istio.io/rev=default": {webhooks.REVISION: "default"},
}
PODS: Final[Mapping[str, Mapping[str, str]]] = {
    "no label": {},
    "sidecar.istio.io/inject=true": {webhooks.INJECT: "true"},
    "sidecar.istio.io/inject=false": {webhooks.INJECT: "false"},
}
SUFFIXES: Final = dict(zip(NAMESPACES, ("plain", "enabled", "disabled", "revision"), strict=True))
"""The trial namespace's name for each label, after the prefix."""
GUESSES: Final = {"1/1, no sidecar": False, "2/2, with a sidecar": True}
ALL: Final = 60.0
"""Seconds within which all twelve proofs are done, on a slow machine too."""


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment: its selected cell, the proofs, the last message, and the error line."""

    chosen: Place
    proofs: Mapping[Place, Proof]
    said: str
    error: str


class InjectionPanel(Panel[Parts, Snapshot]):
    """Construction does no I/O; the first use reads the webhooks."""

    def __init__(self, connection: Connection, *, prefix: str, by: str) -> None:
        super().__init__(str(connection.kubeconfig), prefix)
        self._connection = connection
        self._prefix, self._by = prefix, by
        self._proofs: dict[Place, Proof] = {}
        self._guessed: dict[Place, bool] = {}
        self._ready: set[str] = set()
        self._turn = asyncio.Lock()
        self._webhooks: tuple[webhooks.Webhook, ...] = ()

    def _build(self) -> Parts:
        self._webhooks = webhooks.read(self._connection)
        if not self._webhooks:
            raise errors.PanelError(
                "This cluster injects no sidecars.",
                why="there is no injection webhook: Istio is not installed",
                next="istioctl install --set profile=demo -y",
            )
        self.namespace = parts.toggles(list(NAMESPACES), "namespace", "mc-namespace")
        self.pod = parts.toggles(list(PODS), "pod", "mc-pod")
        self.guesses = {text: parts.button(text, f"mc-guess-{'sidecar' if said else 'none'}") for text, said in GUESSES.items()}
        for text, button in self.guesses.items():
            button.on_click(lambda _, said=GUESSES[text]: self._later(self._judge(said)))
        self.all = parts.button("Prove all twelve", "mc-prove-all")
        self.all.on_click(lambda _: self._later(self._everything()))
        self.said, self.table, self.alt, alert = (parts.words(name) for name in ("mc-said", "mc-table", "mc-alt", "mc-error"))
        for toggle in (self.namespace, self.pod):
            toggle.observe(self._moved, names="value")
        self.said.value = _line("Choose a label for each, then guess what a new pod will show under READY.")
        self._draw()
        buttons = parts.row(ipywidgets.Label("your guess:"), *self.guesses.values(), self.all)
        box = parts.boxed("mc-injection-panel", self.namespace, self.pod, buttons, self.said, alert, self.table, self.alt)
        return Parts(box, alert, (self.namespace, self.pod, *self.guesses.values(), self.all))

    # -- for code --------------------------------------------------------------------------------------------------------------------

    def choose(self, namespace: str, pod: str) -> Decision:
        """Select a cell of the table, by the names on the buttons; returns the prediction. Raises PanelError for unknown names."""
        self.open()
        for wanted, known in ((namespace, NAMESPACES), (pod, PODS)):
            if wanted not in known:
                raise errors.PanelError(f"There is no choice {wanted!r}.", why=f"there are {', '.join(known)}", next="choose one of them")
        self.namespace.value, self.pod.value = namespace, pod
        return self.predict()

    def predict(self) -> Decision:
        """The decision of the cluster's webhooks for the chosen labels."""
        self.open()
        return self._predicted(self._chosen())

    def guess(self, *, sidecar: bool) -> Trial:
        """Guess, and have it proved; returns what the API server answered."""
        return self._wait(self._judge(sidecar), within=ALL)

    def prove_all(self) -> Mapping[Place, Proof]:
        """Prove all twelve cells."""
        self._wait(self._everything(), within=ALL)
        return dict(self._proofs)

    async def _snapshot(self) -> Snapshot:
        return Snapshot(self._chosen(), dict(self._proofs), str(self.said.value), self._error)

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _judge(self, guessed: bool) -> Trial:  # noqa: FBT001 - a button's meaning
        place = self._chosen()
        trial = await self._prove(place)
        decision = self._predicted(place)
        self._guessed[place] = trial.injected is guessed
        verdict = "✔ You were right." if trial.injected is guessed else "✘ Not so."
        because = f"{decision.why} ({decision.webhook})" if decision.webhook else decision.why
        if trial.injected != decision.injected:
            because = f"the webhooks' selectors decide differently ({decision.why}) from istiod"
        self.said.value = _line(
            f"{verdict} {trial.ready}: {', '.join(trial.containers)}. Why: {because}.", f"$ {trial.command}", strong=verdict
        )
        self._complain(None)
        return trial

    async def _everything(self) -> None:
        for namespace in NAMESPACES:
            for pod in PODS:
                await self._prove((namespace, pod))
        agreed = sum(proof.as_predicted for proof in self._proofs.values())
        right = sum(self._guessed.values())
        guesses = f"your guesses: {right} of {len(self._guessed)} right" if self._guessed else "you have guessed none of them"
        summary = f"{agreed} of {len(self._proofs)} follow the three sentences; {guesses}."
        self.said.value = _line(f"{len(self._proofs)} dry runs, no pod created. {summary}")
        self._complain(None)

    async def _prove(self, place: Place) -> Trial:
        """One dry run at a time, however often a button is pressed."""
        async with self._turn:
            trial = await asyncio.to_thread(self._attempt, place)
        self._proofs[place] = Proof(trial.ready, trial.injected, trial.injected == self._predicted(place).injected)
        self._draw()
        return trial

    def _attempt(self, place: Place) -> Trial:
        name = f"{self._prefix}-{SUFFIXES[place[0]]}"
        if name not in self._ready:
            dry_run.prepare(self._connection, name, NAMESPACES[place[0]], by=self._by)
            self._ready.add(name)
        return dry_run.attempt(self._connection, name, PODS[place[1]])

    # -- showing -----------------------------------------------------------------------------------------------------------------------

    def _chosen(self) -> Place:
        return str(self.namespace.value), str(self.pod.value)

    def _predicted(self, place: Place) -> Decision:
        return webhooks.decide(self._webhooks, NAMESPACES[place[0]], PODS[place[1]])

    def _moved(self, _: object) -> None:
        self.said.value = _line("What will a new pod show under READY?")
        self._draw()

    def _draw(self) -> None:
        view = View(tuple(NAMESPACES), tuple(PODS), self._chosen(), dict(self._proofs))
        self.table.value = picture.table(view)
        self.alt.value = parts.aloud(picture.describe(view))


def _line(text: str, command: str = "", *, strong: str = "") -> str:
    shown = html.escape(text)
    if strong:
        shown = shown.replace(html.escape(strong), f"<b>{html.escape(strong)}</b>", 1)
    return shown + (f"<br><code>{html.escape(command)}</code>" if command else "")
