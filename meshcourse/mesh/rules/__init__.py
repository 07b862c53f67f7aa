"""Istio's objects that lessons change: weights, limits, timeouts, faults, retries."""
