"""tomcat: a small web server of ours on port 8080 that says that it stands in for Tomcat (apps/tomcat.py), in Tomcat's folders."""

from __future__ import annotations

from meshcourse.node.images import bookinfo, host_python
from meshcourse.node.images.image import Image

HOME = "/usr/local/tomcat"

IMAGES = (
    Image(
        names=("docker.io/library/tomcat",),
        identity="meshcourse's stand-in for Tomcat",
        command=bookinfo.start("tomcat", 8080),
        environment={**bookinfo.ENVIRONMENT, "CATALINA_HOME": HOME},
        working_dir=HOME,
        programs=bookinfo.PROGRAMS,
        links=host_python.HERE.links,
        tree="tomcat",
        folders={f"{HOME}/logs": 0o755, f"{HOME}/conf": 0o755},
        stand_in="a small web server of meshcourse, no Tomcat: files of webapps/ROOT, and /slow?seconds=3; no servlets, no JSP",
    ),
)
