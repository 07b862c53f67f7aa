"""The programs of our own images: Bookinfo's four services, helloworld, and what stands in for Tomcat.

Comes in: HTTP requests, and the environment variables that a Deployment sets. Goes out: the replies that the originals give. Who
runs it: a container, as `python3 -m apps.productpage 9080`; nothing else of meshcourse is inside, so these modules import only the
standard library and each other. Each has a pure core, `app(environment)`, which tests call on loopback.

Interfaces, names, timeouts and messages are those of Istio's samples (samples/bookinfo and samples/helloworld in istio/istio);
programs, texts and pages are ours.
"""
