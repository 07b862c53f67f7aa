# %% [markdown]
# # 1 · What Istio is made of
#
# Istio is one control plane, **istiod**, and many proxies, the **Envoys**. The guide (see chapter 0) describes the same as a team: **Pilot** is the leader,
# every service has a bodyguard called **Envoy**, **Galley** keeps the files in order, the **ingressgateway** is the doorman, and the **egressgateway** is the
# secretary who deals with the world outside. In this chapter you watch each of them at work.
#
# **You will** catch a request on its way through a pod's Envoy, measure how long istiod takes to tell the Envoys something new, have a broken file
# refused, let requests in through the ingress gateway, and send some out through the egress gateway.
#
# **You will learn** which program does what in Istio 1.31, what became of Pilot, Galley, Citadel and Mixer, and which port talks to whom.
#
# **You need** about 50 minutes. No earlier chapter is needed.

# %% [markdown]
# ![istiod gives orders to three Envoys: the ingress gateway, the one beside your service, and the egress gateway; requests go from left to right through them.](pictures/01_components.svg)
#
# Dashed arrows are configuration, the "orders" of istiod; solid arrows are requests. Note that no request ever passes istiod.

# %%
from meshcourse import lab

lab.chapter("01-components")

# %% [markdown]
# ## 1 · The team, then and now

# %% language="bash"
# kubectl get pods -n istio-system
# istioctl version

# %% [markdown]
# Where are Pilot and Galley? In Istio 1.4 you would have seen a dozen pods here.
#
# > **Then and now.** Up to Istio 1.4 the team had a pod for each role. In **1.5** (March 2020) they moved together into one program, **istiod**:
# >
# > | name | its work | today |
# > |---|---|---|
# > | **Pilot** | turns your objects and Kubernetes' Services into configuration for every Envoy | in istiod. Its name lives on in `pilot-discovery`, istiod's program, and in variables such as `PILOT_...` |
# > | **Galley** | checks configuration before it is stored, and hands it on | in istiod: the [webhook](words.md#webhook) of section 4, a program that the Kubernetes API asks before it stores an object |
# > | **Citadel** | gives every workload a certificate | in istiod: the proxies ask it on port 15012 |
# > | **sidecar-injector** | puts Envoy into pods | in istiod: chapter 3 |
# > | **Mixer** | policy and metrics, asked at every request | **gone** in 1.8: it was slow. Envoy does it itself |
# >
# > One program for all is easier to run, and nothing in your files changed. The roles are the same.
#
# ## 2 · Envoy, beside every program
#
# Two services: `client` calls, `web` answers ([the file](manifests/01_components/01-team.yaml)).

# %% language="bash"
# kubectl apply -f manifests/01_components/01-team.yaml
# kubectl rollout status deployment client --timeout=60s
# kubectl rollout status deployment web --timeout=60s
# kubectl exec deploy/client -c client -- curl -s http://web/ip

# %% [markdown]
# `web` was asked for the caller's address, and says `127.0.0.6`: an address **inside its own pod**. Whoever called, it was not `client`. It was the
# [Envoy](words.md#Envoy) in the pod of `web`, its [sidecar](words.md#sidecar).
#
# How does this Envoy get every connection, when `client` asked simply for `http://web`? By **iptables** rules in the pod's network. A container of the
# pod may not read them (it has no right to), but `istio-init`, which wrote them, has logged them:

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
# | `--uid-owner 1337 -j RETURN` | but not what Envoy itself sends (it runs as user 1337): otherwise it would send to itself for ever |
#
# Those two ports are listeners of Envoy. This is what the Envoy of `web` does with what goes out at 15001, and with what comes in at 15006:

# %% language="bash"
# istioctl proxy-config listeners deploy/web --port 15001
# istioctl proxy-config listeners deploy/web --port 15006

# %% [markdown]
# 15001 only receives: each connection is handed to the [listener](words.md#listener) for the port that it was meant for. A connection for which there is no listener goes to
# [PassthroughCluster](words.md#PassthroughCluster): Envoy lets it go where it wanted to. Of 15006 the last two lines are for `web`'s own port 8080: with
# [mutual TLS](words.md#mutual-TLS) (`tls`: encrypted, and both sides show a certificate) or without (`raw_buffer`), then on to the container. The lines above them are for all other ports.
#
# Envoy counts what passes it. This pod asked to keep two more groups of counters (the annotation in its file). One counter before, ten requests, and
# the same counter after:

# %%
lab.stats("web", "http.inbound_0.0.0.0_8080", "downstream_rq_total")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null 'http://web/get?[1-10]'")
lab.stats("web", "http.inbound_0.0.0.0_8080", "downstream_rq_total")

# %% [markdown]
# Ten more. And `web`'s own program knows nothing about it.
#
# ## 3 · Pilot: istiod tells the Envoys
#
# When anything changes in the mesh, istiod tells all Envoys that need to know. So change something: this [VirtualService](words.md#VirtualService), a
# rule for the requests to a host, adds a header to all answers of `web`.

# %% language="bash"
# cat manifests/01_components/02-greeting.yaml

# %% [markdown]
# `lab.push_time` stores it, as `kubectl apply` would, and then asks both Envoys every few milliseconds whether they have it:

# %%
lab.push_time("manifests/01_components/02-greeting.yaml")

# %% [markdown]
# Somewhere above **100 ms**, and both at nearly the same time. istiod is not slow: it **waits** 100 ms for more changes, so that objects which are
# applied together are sent together. The rest is the work: translate, send, take over.
#
# There it is, in the Envoy of `client`, because the **caller's** Envoy chooses the way. Each line is a route, and the last word names the
# VirtualService that it came from:

# %% language="bash"
# istioctl proxy-config routes deploy/client --name 80 | grep -E 'NAME|web'
# kubectl exec deploy/client -c client -- curl -s -i http://web/get | grep x-order-from

# %% [markdown]
# Nobody restarted anything. `client` and `web` were not asked.
#
# Send more of them, and see how the times vary. What do you expect: does the second one take longer than the first?

# %%
lab.push_panel("web")

# %% tags=["headless"]
panel = lab.panel()
arrivals = panel.push(3)
assert len(arrivals) == 2 and all(len(found) == 3 and None not in found for found in arrivals.values())
assert all(milliseconds > 50 for found in arrivals.values() for milliseconds in found)
lab.still(panel)

# %% [markdown]
# No: the second takes as long as the first. Each is a change of its own, and each waits its 100 ms.
#
# Which Envoys are in the mesh right now? istiod knows, because every Envoy keeps a connection open to it:

# %% language="bash"
# istioctl proxy-status

# %% [markdown]
# `CDS, LDS, EDS, RDS` are the four kinds of configuration: clusters (groups of addresses), listeners, endpoints (the addresses), routes. Together they
# are called [xDS](words.md#xDS). `istioctl proxy-config` shows each of them, from the Envoy itself. If you have applied something and nothing happens,
# these two commands tell you whether istiod has sent it and whether it has arrived.
#
# ## 4 · Galley: every file is checked
#
# A file is checked **before** it is stored. This one has two mistakes:

# %% language="bash"
# cat manifests/01_components/03-broken.yaml
# kubectl apply -f manifests/01_components/03-broken.yaml 2>&1 || true

# %% [markdown]
# *Denied the request*: the Kubernetes API asked the webhook `validation.istio.io`, which is istiod in Galley's role, and it names **both** mistakes at once. Nothing was stored, and no Envoy was told.
#
# Two kinds of mistakes it does **not** find: a name that does not exist (the object may come a second later), and a rule that is valid but does not do
# what you want. For the first there is `istioctl analyze` (chapter 5); the second you find only by trying. You can have the same check without a
# cluster, in your own pipeline:

# %% language="bash"
# istioctl validate -f manifests/01_components/03-broken.yaml 2>&1 || true
# istioctl validate -f manifests/01_components/02-greeting.yaml 2>&1

# %% [markdown]
# ## 5 · The ingress gateway, the way in
#
# The ingress gateway is an Envoy too, without a service beside it. Its Service has port 80, which is open on every machine of the cluster as a
# [NodePort](words.md#NodePort). Send it a request:

# %%
lab.request("/get", host="front.example.com")

# %% [markdown]
# If no answer came: Envoy does not listen on that port until a [Gateway](words.md#Gateway) says so. (You may read *reset* in place of *refused*. The
# port on this machine is open and takes your connection; behind it, in the gateway's pod, nobody does. If you see *404*, another chapter has left a
# Gateway here: a door, but not for this name.)
#
# Now the door, and only the door:

# %% language="bash"
# cat manifests/01_components/04-gateway.yaml

# %% [markdown]
# `selector` says which gateway's Envoy opens the port: the one whose pod has the label `istio: ingressgateway`.

# %%
lab.apply("manifests/01_components/04-gateway.yaml")
lab.request("/get", host="front.example.com")

# %% [markdown]
# **404** from `istio-envoy`: the port is open now, and there is no rule for `front.example.com`. The rule is a `VirtualService` that is bound to this
# Gateway by `gateways`:

# %% language="bash"
# cat manifests/01_components/05-route.yaml

# %%
lab.apply("manifests/01_components/05-route.yaml")
lab.request("/status/200", host="front.example.com")

# %% [markdown]
# **200.** They are two objects on purpose: in a company the platform team owns the Gateways, and each application team writes the VirtualServices of
# its own services.
#
# ## 6 · The egress gateway, a way out
#
# Now the other way. A partner company offers an API at `api.partner.example`. **This cluster has no way out to the internet**, so a namespace without
# sidecars, [components-outside](manifests/01_components/06-outside.yaml), stands for the world outside, and a line in the hosts file of `client` stands
# for its DNS. What the mesh does is the same.

# %% language="bash"
# kubectl apply -f manifests/01_components/06-outside.yaml
# kubectl -n components-outside rollout status deployment partner --timeout=60s
# kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\n' -m 15 http://api.partner.example/get

# %%
lab.access_log("api.partner.example", workload="client", lines=1)

# %% [markdown]
# Look for `PassthroughCluster`: this Envoy does not know that name, so it lets the request go where it wanted to. (There is nobody at that address,
# hence the 503, and the flag `UF`: *upstream connection failure*.) For unknown names this is Istio's default. It means that **anything in your cluster
# can talk to anybody outside**, and nobody has a list.
#
# A [ServiceEntry](words.md#ServiceEntry) makes the name known:

# %% language="bash"
# cat manifests/01_components/07-serviceentry.yaml

# %%
lab.apply("manifests/01_components/07-serviceentry.yaml")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\\n' -m 5 http://api.partner.example/get")
lab.access_log("outbound|80||api.partner.example", workload="client", lines=1)

# %% [markdown]
# 200, and the log has a name for it: `outbound|80||api.partner.example`. But still each pod talks to the partner itself. The partner wants **one** address to let in; your security team wants **one** place to watch. That is the egress gateway: every call out goes through it.

# %% language="bash"
# cat manifests/01_components/08-egress.yaml

# %% [markdown]
# One VirtualService, two rules, for two readers: the sidecars (`mesh`) send to the egress gateway, and the egress gateway (`way-out`) sends to the partner.

# %%
lab.apply("manifests/01_components/08-egress.yaml")
lab.sh("kubectl exec deploy/client -c client -- curl -s -o /dev/null -w 'HTTP %{http_code}\\n' -m 5 http://api.partner.example/get")
lab.access_log("api.partner.example", workload="istio-egressgateway", namespace="istio-system", lines=1)

# %% [markdown]
# That line is from the **egress gateway's** log: `client` (its pod's address stands in quotes after the sizes) asked it for `api.partner.example`, and
# it passed the request on by the rule `out-of-the-mesh`.
#
# One warning. A rule is not a wall: a pod without a sidecar, or one that calls another address, still gets out without the egress gateway. Chapter 9
# closes the other ways (`REGISTRY_ONLY`); a real cluster needs a NetworkPolicy or a firewall as well.
#
# ## 7 · Who talks to whom
#
# Now look at all of them together. The next cells start one slow request through the egress gateway, so that there is something to see, one through the
# ingress gateway, and one question to the webhook. Then `lab.mesh_map` asks the kernel of each pod which TCP connections are open **at this moment**,
# and draws them:

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
# | **15012** | istiod | configuration (xDS) and certificates, over TLS: **every Envoy has a connection to it** |
# | 15010 | istiod | the same in plain text; hardly used |
# | **15017** | istiod | webhooks, called by the Kubernetes API: injection and validation. The Service has it as 443 |
# | 15014 | istiod | its own metrics, for Prometheus |
# | **15001**, **15006** | each sidecar | what the pod sends, what it gets: where iptables sends it |
# | 15021 | each Envoy | *ready?* The kubelet asks, and so does a cloud's load balancer |
# | 15090 | each Envoy | Envoy's metrics, for Prometheus |
# | 443 | Kubernetes API | istiod watches Services, pods, and your objects |
#
# (An arrow from `client` straight to `partner` is the connection of its earlier call, before the rule for the egress gateway was there: Envoy keeps
# connections for the next request.)
#
# Find in the picture: no arrow with a request touches istiod. What follows? If istiod dies, **traffic goes on** by the last configuration. But nothing
# changes any more: no new routes, no new pods with a sidecar, and after a day the certificates end.
#
# ## Exercises
#
# ### 1.1 · A door and a rule
#
# Let `hello.example.com` in: write a Gateway **`hello`** and a VirtualService **`hello`**, so that its requests are answered by `web`. Section 5 has
# shown two such objects: `manifests/01_components/04-gateway.yaml` and `05-route.yaml`. (Two objects in one manifest are separated by a line `---`.)

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
# How many Envoys get their configuration from istiod at this moment? Find the number, and give it in place of the dots. (In a Python cell, `lines =
# !command` puts what a command prints into a list of lines.)

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
# The partner has a second API, `billing.partner.example`, at the same place. ServiceEntry and Gateway know it already, but `client` still calls it
# directly. Write a VirtualService **`billing`**, so that these calls go through the egress gateway too. The check sends a request from `client` and
# looks for it in the egress gateway's log.

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
# * **istiod** is Pilot, Galley, Citadel and the injector in one program. It sends configuration and never touches a request.
# * **Envoy** gets a pod's traffic by iptables: out through 15001, in through 15006. The caller's Envoy chooses the way.
# * A change takes a tenth of a second, in which istiod waits for more, and a moment to arrive. `istioctl proxy-status` and `proxy-config` show whether it did.
# * The **webhook** refuses what cannot be valid, before it is stored.
# * The **ingressgateway** needs two things: a Gateway (the door) and a VirtualService (the rule).
# * The **egressgateway** is used only by those whose VirtualService sends them there.
#
# ## Clean up

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
