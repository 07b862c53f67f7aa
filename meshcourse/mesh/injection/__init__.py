"""Sidecar injection: namespaces' labels, the webhooks, and what they would change in a pod."""
