"""Istio itself: istioctl, profiles, versions, and what stays after an uninstallation."""
