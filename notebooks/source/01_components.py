# %% [markdown]
# # 1 · What Istio is made of
#
# The guide describes Istio as a team: **Pilot** is the leader, every service has a bodyguard called **Envoy**, **Galley** keeps the files in order, the **ingressgateway** is the doorman,
# and the **egressgateway** is the secretary who deals with the world outside. Pictures of teams are easily drawn. In this chapter you watch each of them at work.
#
# **You will** catch a request on its way through a pod's bodyguard, time an order of the leader to the millisecond, have a broken file refused, let somebody in by the door, and send
# somebody out through the secretary's office.
#
# **You will learn** which program does what in Istio 1.31, what became of Pilot, Galley, Citadel and Mixer, and which port talks to whom.
#
# **You need** about 40 minutes. No earlier chapter is needed.

# %% [markdown]
# ![istiod gives orders to three Envoys: the ingress gateway, the one beside your service, and the egress gateway; requests go from left to right through them.](pictures/01_components.svg)
#
# Dashed arrows are orders, solid ones are requests. Note that no request ever passes istiod.

# %%
from meshcourse import lab

lab.chapter("01-components")

# %% [markdown]
# ## 1 · The team, then and now

# %% language="bash"
# kubectl get pods -n istio-system
# istioctl version

# %% [markdown]
# Where are Pilot and Galley? In a guide for Istio 1.4 you would see a dozen pods here.
#
# > **Then and now.** Up to Istio 1.4 the team had a pod for each role. In **1.5** (March 2020) they moved together into one program, **istiod**:
# >
# > | name | its work | today |
# > |---|---|---|
# > | **Pilot** | turns your objects and Kubernetes' Services into configuration for every Envoy | in istiod. Its name lives on in `pilot-discovery`, istiod's program, and in variables such as `PILOT_...` |
# > | **Galley** | checks configuration before it is stored, and hands it on | in istiod: the webhook of section 4 |
# > | **Citadel** | gives every workload a certificate | in istiod: the proxies ask it on port 15012 |
# > | **sidecar-injector** | puts Envoy into pods | in istiod: chapter 3 |
# > | **Mixer** | policy and metrics, asked at every request | **gone** in 1.8: it was slow. Envoy does it itself |
# >
# > One program for all is easier to run, and nothing in your files changed. The roles are the same, and so are the analogies.
#
# ## 2 · Envoy, the bodyguard
#
# Two services: `client` calls, `web` answers ([the file](manifests/01_components/01-team.yaml)).

# %% language="bash"
# kubectl apply -f manifests/01_components/01-team.yaml
# kubectl rollout status deployment client --timeout=60s
# kubectl rollout status deployment web --timeout=60s
# kubectl exec deploy/client -c client -- curl -s http://web/ip

# %% [markdown]
# `web` was asked for the caller's address, and says `127.0.0.6`: an address **inside its own pod**. Whoever called, it was not `client`. It was the bodyguard who stands in front of `web`.
#
# How does he get hold of every connection, when `client` asked plainly for `http://web`? By **iptables** rules in the pod's network. A container of the pod may not read them (it has no right to), but
# `istio-init`, which wrote them, has logged them:

# %% language="bash"
# kubectl logs deploy/web -c istio-init | sed -n '/Final iptables state/,/COMMIT/p' | grep '^-A'

# %% [markdown]
# Read four of them; the rest are exceptions:
#
# | rule | in words |
# |---|---|
# | `PREROUTING -p tcp -j ISTIO_INBOUND` | whatever comes in to the pod ... |
# | `ISTIO_IN_REDIRECT ... --to-ports 15006` | ... goes to Envoy's port **15006** |
# | `OUTPUT -j ISTIO_OUTPUT` then `ISTIO_REDIRECT ... --to-ports 15001` | whatever the pod sends goes to Envoy's port **15001** |
# | `--uid-owner 1337 -j RETURN` | but not what Envoy itself sends. It runs as user 1337; else it would talk to itself for ever |
#
# Those two ports are listeners of Envoy. This is what the bodyguard of `web` does with what goes out at 15001, and with what comes in at 15006:

# %% language="bash"
# istioctl proxy-config listeners deploy/web --port 15001
# istioctl proxy-config listeners deploy/web --port 15006

# %% [markdown]
# 15001 only takes hold: each connection is handed to the listener for the port that it was meant for, and `PassthroughCluster` is where that leads which has none.
# Of 15006 the last two lines are for `web`'s own port 8080: with mutual TLS (`tls`) or without (`raw_buffer`), then on to the container. The lines above them are for all other ports.
#
# A bodyguard counts. This pod asked to keep two more groups of counters (the annotation in its file). Before, ten requests, after:

# %%
lab.stats("web", "http.inbound_0.0.0.0_8080", "downstream_rq_total")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null 'http://web/get?[1-10]'")
lab.stats("web", "http.inbound_0.0.0.0_8080", "downstream_rq_total")

# %% [markdown]
# Ten more. And `web`'s own program knows nothing of it.
#
# ## 3 · Pilot, the leader
#
# When anything changes in the team, the leader tells everybody. Let us give him something to tell: this VirtualService adds a header to all answers of `web`.

# %% language="bash"
# cat manifests/01_components/02-greeting.yaml

# %% [markdown]
# `lab.push_time` stores it, as `kubectl apply` would, and then asks both Envoys every few milliseconds whether they have it:

# %%
lab.push_time("manifests/01_components/02-greeting.yaml")

# %% [markdown]
# Somewhere above **100 ms**, and both at nearly the same time. The 100 ms are no slowness: istiod **waits** that long for more changes, so that ten objects applied together become one order. The rest is
# the work: translate, send, take over.
#
# There it is, in the Envoy of `client`, since it is the **caller's** bodyguard who chooses the way (look at the last column):

# %% language="bash"
# istioctl proxy-config routes deploy/client --name 80
# kubectl exec deploy/client -c client -- curl -s -i http://web/get | grep x-order-from

# %% [markdown]
# Nobody restarted anything. `client` and `web` were not asked.
#
# Give more orders, and see how the times vary. What would you expect: does the second order take longer than the first?

# %%
lab.push_panel("web")

# %% tags=["headless"]
panel = lab.panel()
arrivals = panel.push(3)
assert len(arrivals) == 2 and all(len(found) == 3 and None not in found for found in arrivals.values())
assert all(milliseconds > 50 for found in arrivals.values() for milliseconds in found)
lab.still(panel)

# %% [markdown]
# Who belongs to the team right now? istiod knows, since every Envoy keeps a line open to it:

# %% language="bash"
# istioctl proxy-status

# %% [markdown]
# `CDS, LDS, EDS, RDS` are the four kinds of orders: clusters (groups of addresses), listeners, endpoints (the addresses), routes. `istioctl proxy-config` shows each of them, from the Envoy itself. When
# *I applied it and nothing happens*, these two commands tell you whether the order was given and whether it arrived.
#
# ## 4 · Galley, who keeps the files in order
#
# A file is checked **before** it is stored. This one was written on a Friday:

# %% language="bash"
# cat manifests/01_components/03-broken.yaml
# kubectl apply -f manifests/01_components/03-broken.yaml 2>&1 || true

# %% [markdown]
# *Denied the request*: the Kubernetes API asked the webhook `validation.istio.io`, which is istiod in Galley's role, and it names **both** mistakes at once. Nothing was stored, and no Envoy has heard of it.
#
# Two kinds of mistakes it does **not** find: a name that does not exist (it may come a second later), and a rule that is valid and wrong. For the first there is `istioctl analyze` (chapter 5), for the
# second only trying. You can have the same check without a cluster, in your own pipeline:

# %% language="bash"
# istioctl validate -f manifests/01_components/03-broken.yaml 2>&1 || true
# istioctl validate -f manifests/01_components/02-greeting.yaml 2>&1

# %% [markdown]
# ## 5 · The ingressgateway, the doorman
#
# The doorman is an Envoy too, without a service beside it. It stands at port 80 of its Service, which is open on every node as a NodePort. Somebody knocks:

# %%
lab.request("/get", host="front.example.com")

# %% [markdown]
# If *no answer* came: **there is no door.** Envoy does not even listen on that port until a `Gateway` says so. (If you see *404*, another chapter has left a Gateway here: a door, though not for you.)
#
# Now the door, and only the door:

# %%
lab.apply("manifests/01_components/04-gateway.yaml")
lab.request("/get", host="front.example.com")

# %% [markdown]
# **404** from `istio-envoy`: the doorman is there, looks into his book, and nothing is written there about `front.example.com`. The book is a `VirtualService` that is bound to this Gateway:

# %%
lab.apply("manifests/01_components/05-route.yaml")
lab.request("/status/200", host="front.example.com")

# %% [markdown]
# **200.** Door and book are two objects on purpose: in a company the platform team owns the doors, and each application team writes its own page of the book.
#
# ## 6 · The egressgateway, the secretary
#
# Now the other way. A partner company offers an API at `api.partner.example`. **This cluster has no way out to the internet**, so a namespace without sidecars,
# [components-outside](manifests/01_components/06-outside.yaml), stands for the world outside, and a line in the hosts file of `client` stands for its DNS. What the mesh does is the same.

# %% language="bash"
# kubectl apply -f manifests/01_components/06-outside.yaml
# kubectl -n components-outside rollout status deployment partner --timeout=60s
# kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\n' -m 15 http://api.partner.example/get

# %%
lab.access_log("api.partner.example", workload="client", lines=1)

# %% [markdown]
# Look for `PassthroughCluster`: the bodyguard does not know that name, so he lets the request go wherever it wants to. (Nobody lives at that address, hence the 503.) For unknown names this is Istio's default. It means that
# **anything in your cluster can talk to anybody outside**, and nobody has a list.
#
# A `ServiceEntry` makes the name known:

# %% language="bash"
# cat manifests/01_components/07-serviceentry.yaml

# %%
lab.apply("manifests/01_components/07-serviceentry.yaml")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\\n' -m 5 http://api.partner.example/get")
lab.access_log("outbound|80||api.partner.example", workload="client", lines=1)

# %% [markdown]
# 200, and the log has a name for it: `outbound|80||api.partner.example`. But still each pod talks to the partner itself. The partner wants **one** address to let in; your security team wants **one** place to watch. That is
# the secretary's office: every call out goes through it.

# %% language="bash"
# cat manifests/01_components/08-egress.yaml

# %% [markdown]
# One VirtualService, two rules, for two readers: the sidecars (`mesh`) send to the secretary, and the secretary (`way-out`) sends to the partner.

# %%
lab.apply("manifests/01_components/08-egress.yaml")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\\n' -m 5 http://api.partner.example/get")
lab.access_log("api.partner.example", workload="istio-egressgateway", namespace="istio-system", lines=1)

# %% [markdown]
# That line is from the **egress gateway's** log: `client` (its pod's address stands in quotes after the sizes) asked it for `api.partner.example`, and it passed the request on by the route `out-of-the-house`.
#
# One warning. A rule is not a wall: a pod without a sidecar, or one that asks for another address, still gets out past the secretary. Chapter 9 closes the other ways (`REGISTRY_ONLY`); in a real cluster a NetworkPolicy or firewall belongs to it.
#
# ## 7 · Who talks to whom
#
# Now look at the whole team. The next cells start one slow request through the secretary, so that there is something to see, one through the door, and one question to the webhook. Then `lab.mesh_map` asks the kernel
# of each pod which TCP connections are open **at this moment**, and draws them:

# %% language="bash"
# kubectl exec deploy/client -c client -- curl -s -o /dev/null -m 20 http://api.partner.example/delay/9 > /dev/null 2>&1 &
# kubectl exec deploy/client -c client -- curl -s -o /dev/null http://web/get
# curl -s -o /dev/null -H "Host: front.example.com" "$INGRESS_URL/get"
# kubectl run nobody --image=nginx --dry-run=server

# %%
lab.mesh_map("components-outside")

# %% [markdown]
# | port | whose | what for |
# |---|---|---|
# | **15012** | istiod | orders (xDS) and certificates, over TLS: **every Envoy has a line to it** |
# | 15010 | istiod | the same in plain text; hardly used |
# | **15017** | istiod | webhooks, called by the Kubernetes API: injection and validation. The Service has it as 443 |
# | 15014 | istiod | its own metrics, for Prometheus |
# | **15001**, **15006** | each sidecar | what the pod sends, what it gets: where iptables sends it |
# | 15021 | each Envoy | *ready?* The kubelet asks, and so does a cloud's load balancer |
# | 15090 | each Envoy | Envoy's metrics, for Prometheus |
# | 443 | Kubernetes API | istiod watches Services, pods, and your objects |
#
# (An arrow from `client` straight to `partner` is the connection of its earlier call, before the office was open: Envoy keeps connections for the next request.)
#
# Find in the picture: no arrow with a request touches istiod. What follows? If istiod dies, **traffic goes on** with the last orders. Only nothing changes any more: no new routes, no new pods with a sidecar, and after a
# day the certificates run out.
#
# ## Exercises
#
# ### 1.1 · A door and a rule
#
# Let `hello.example.com` in: write a Gateway **`hello`** and a VirtualService **`hello`**, so that its requests are answered by `web`. (Two objects in one manifest are separated by a line `---`.)

# %% tags=["exercise"] exercise="1.1"
lab.apply("""
# Exercise 1.1: your Gateway `hello` and your VirtualService `hello` go here.
""")

# %% tags=["solution"] exercise="1.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: hello
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts:
    - hello.example.com
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: hello
spec:
  hosts:
  - hello.example.com
  gateways:
  - hello
  http:
  - route:
    - destination: {host: web}
""")

# %% tags=["nbval-check-output"]
lab.check("1.1")

# %% [markdown]
# ### 1.2 · Count the Envoys
#
# How many Envoys take their orders from istiod at this moment? Find the number, and give it in place of the dots. (In a Python cell, `lines = !command` puts what a command prints into a list of lines.)

# %% tags=["exercise"] exercise="1.2"
lab.answer("1.2", ...)

# %% tags=["solution"] exercise="1.2"
lines = get_ipython().getoutput("istioctl proxy-status")
lab.answer("1.2", len(lines) - 1)

# %% tags=["nbval-check-output"]
lab.check("1.2")

# %% [markdown]
# ### 1.3 · A second way out
#
# The partner has a second API, `billing.partner.example`, at the same place. ServiceEntry and Gateway know it already, but `client` still calls it directly. Write a VirtualService **`billing`**, so that these calls go
# through the secretary's office too. The check sends a request from `client` and looks for it in the egress gateway's log.

# %% tags=["exercise"] exercise="1.3"
lab.apply("""
# Exercise 1.3: your VirtualService `billing` goes here.
""")

# %% tags=["solution"] exercise="1.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: billing
spec:
  hosts:
  - billing.partner.example
  gateways:
  - mesh
  - way-out
  http:
  - match:
    - gateways: [mesh]
    route:
    - destination:
        host: istio-egressgateway.istio-system.svc.cluster.local
        port: {number: 80}
  - match:
    - gateways: [way-out]
    route:
    - destination: {host: billing.partner.example}
""")

# %% tags=["nbval-check-output"]
lab.check("1.3")

# %% [markdown]
# ## Take away
#
# * **istiod** is Pilot, Galley, Citadel and the injector in one program. It gives orders and never touches a request.
# * **Envoy** gets hold of a pod's traffic by iptables: out through 15001, in through 15006. The caller's Envoy chooses the way.
# * An order takes a tenth of a second to wait for more, and a moment to arrive. `istioctl proxy-status` and `proxy-config` show whether it did.
# * The **webhook** refuses what cannot be valid, before it is stored.
# * The **ingressgateway** needs two things: a Gateway (the door) and a VirtualService (the book).
# * The **egressgateway** is used only by those whose VirtualService sends them there.
#
# ## Clean up

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
