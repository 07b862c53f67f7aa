"""The programs of our own images: Bookinfo's four services, helloworld, and a stand-in for Tomcat.

Each has a pure core, `app(environment)`, which tests call on loopback.

Interfaces, names, timeouts and messages are those of Istio's samples (samples/bookinfo and samples/helloworld in istio/istio); programs,
texts and pages are ours.
"""
