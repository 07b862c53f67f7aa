"""Istio and Kubernetes through their own tools: istioctl, kubectl and the Kubernetes client. Knows no backend."""
