"""One of Istio's networking objects: read as a whole, changed by a patch.

Blocking; a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from meshcourse.core import errors
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection

TIMEOUT: Final = 10.0
_PATCH: Final = {list: "application/json-patch+json", dict: "application/merge-patch+json"}


@dataclass(frozen=True)
class Rule:
    """A VirtualService, or another kind.

    `made_by` is the command that creates it, for the error when it does not exist; empty: list those that do.
    """

    connection: Connection
    namespace: str
    name: str
    kind: str = "VirtualService"
    made_by: str = ""

    def read(self) -> dict[str, Any]:
        """The object. Raises KubernetesError when it does not exist or the API server does not answer."""
        return self._answer(self.connection.custom().get_namespaced_custom_object, f"{self.kind} {self.name} cannot be read.")

    def patch(self, body: list[dict[str, Any]] | dict[str, Any], what: str) -> dict[str, Any]:
        """Change `what` (such as `new weights`) by a JSON patch, which is a list, or a merge patch; returns the object as changed.

        Raises KubernetesError when the API server or Istio's webhook refuses.
        """
        call = self.connection.custom().patch_namespaced_custom_object
        return self._answer(call, f"The {what} of {self.kind} {self.name} were refused.", body, _content_type=_PATCH[type(body)])

    def _answer(self, call: object, refusal: str, *body: object, **options: object) -> dict[str, Any]:
        plural = f"{self.kind.lower()}s"
        try:
            found = resources.ask(
                call,
                *api_versions.networking(self.connection),
                self.namespace,
                plural,
                self.name,
                *body,
                refusal=refusal,
                _request_timeout=TIMEOUT,
                **options,
            )
        except errors.KubernetesError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            raise errors.KubernetesError(
                f"There is no {self.kind} {self.name} in namespace {self.namespace}.",
                why=error.why,
                next=self.made_by or f"kubectl -n {self.namespace} get {plural}",
                status=error.status,
            ) from error
        return cast("dict[str, Any]", found)
