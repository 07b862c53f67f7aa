"""Kubernetes without Istio: how to reach a cluster, run kubectl against it, read and write its objects."""
