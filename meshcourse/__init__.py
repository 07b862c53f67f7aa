"""meshcourse: learn Istio by doing, on a real Kubernetes and real Envoys, without Docker or root.

Notebooks import `meshcourse.lab`; terminals call `meshcourse` (see `meshcourse --help`).
"""

__version__ = "0.1.0"
