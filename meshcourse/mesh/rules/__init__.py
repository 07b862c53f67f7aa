"""Istio's objects that lessons write: weights, limits, timeouts, faults, retries."""
