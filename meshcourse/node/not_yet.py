"""The reason why a step of a pod cannot be done now, with kubelet's words, for the pod's status and events."""

from __future__ import annotations


class NotYet(Exception):  # noqa: N818 - reads as the sentence it is
    """`reason` is one word, such as ErrImagePull; `message` says what is missing. `for_good`: this node can never do it."""

    def __init__(self, reason: str, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.for_good = for_good
