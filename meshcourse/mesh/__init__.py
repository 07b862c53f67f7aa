"""Istio and Kubernetes through istioctl, kubectl and the Kubernetes client. Knows no backend."""
