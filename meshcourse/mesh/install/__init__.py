"""Istio itself: istioctl, profiles, versions, and what remains after an uninstallation."""
