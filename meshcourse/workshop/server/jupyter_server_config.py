"""What a learner's server has besides JupyterLab, read by Jupyter itself: the gateway's page, and messages of the instructor."""

from meshcourse.workshop import gateway_handler, gateway_page

c = get_config()  # type: ignore[name-defined] # noqa: F821 - traitlets defines it
c.ServerProxy.servers = {
    "gateway": gateway_handler.Gateway(
        name="gateway",
        port=gateway_page.port(),
        rewrite_response=gateway_page.rewrite,
        launcher_entry={"title": "Ingress gateway", "category": "Other"},
    )
}
c.ServerApp.jpserver_extensions = {"meshcourse.workshop.messages": True, "jupyter_server_proxy": True}
