"""Sidecar injection: namespaces' labels, the webhooks, and what they would do to a pod."""
