# %% [markdown]
# # 9 · Beyond the guide: security, mirroring, egress
#
# A mesh can do more than route and retry. Every request already passes two Envoys, the proxies that Istio puts beside each program as its *sidecar*, so
# they can also answer the questions of security: **who is calling? may they? what goes out?** And it can send a copy of real traffic to a version that
# is not ready for users.
#
# **You will** look at a pod's certificate, refuse callers that have none, decide who may call what, test a broken version with real requests without any
# user noticing, close the way out of a namespace and open it for one site, and find four mistakes with one command.
#
# **You will learn** what an identity is in a mesh, how `PeerAuthentication` and `AuthorizationPolicy` differ, what a mirror can and cannot tell, and why
# *may it call out?* is a question for a `Sidecar` and a `ServiceEntry`.
#
# **You need** about 55 minutes. No earlier chapter is needed: the first cell below brings the cluster to where it has to be.

# %% [markdown]
# ![In namespace beyond, shop and intern call orders and billing with mutual TLS; a stranger outside the mesh has no certificate. Calls to web sites outside leave through the sidecar.](pictures/09_beyond.svg)

# %%
from meshcourse import lab

lab.chapter("09-beyond")

# %% [markdown]
# ## 1 · Who are you?
#
# Two services, `orders` and `billing`, and two callers, `shop` and `intern`. Look at [01-shop.yaml](manifests/09_beyond/01-shop.yaml): each runs under a
# **ServiceAccount** of its own. In Kubernetes that is an account for talking to the API server. In the mesh it is the pod's **name**.
#
# In a second namespace, without sidecars, there is a `stranger`.

# %% language="bash"
# kubectl apply -f manifests/09_beyond/01-shop.yaml
# kubectl apply -f manifests/09_beyond/02-outside.yaml

# %%
lab.wait("orders-v1", "billing", "shop", "intern")
lab.sh("kubectl -n beyond-outside rollout status deployment/stranger deployment/partner --timeout=120s")

# %% [markdown]
# The shop asks orders which headers arrive there (orders is httpbin, which can tell):

# %%
lab.call("shop", "http://orders:8000/headers", lines=30)

# %% [markdown]
# Look at `X-Forwarded-Client-Cert`. The shop's curl spoke plain HTTP, and yet orders has seen a **certificate**:
# `URI=spiffe://cluster.local/ns/beyond/sa/shop`. The sidecar of the shop showed it, the sidecar of orders demanded and checked it. That is *mutual
# TLS*: both sides show who they are, and nobody between them can read what they send. You configured nothing for it.
#
# Where does the certificate come from? Each sidecar made a key when its pod started, and had istiod sign it. Envoy holds it as a *secret*:

# %% language="bash"
# istioctl proxy-config secret deployment/orders-v1

# %%
lab.certificate("orders-v1")

# %% [markdown]
# The name is a **SPIFFE identity**: [trust domain](words.md#trust-domain) (`cluster.local`, the name of the whole mesh), namespace, ServiceAccount. It
# does not hold an IP address, which the next pod will have, nor a host name, which anybody can claim. It is valid for one day, and the sidecar has it
# renewed long before. The key never leaves the pod.
#
# > **Then and now.** Up to Istio 1.4 a component of its own, *Citadel*, signed certificates. Since 1.5 (2020) istiod does it. This is Istio 1.31.
#
# ## 2 · No certificate, no service
#
# And the stranger?

# %%
lab.call("stranger", "http://orders.beyond:8000/get", namespace="beyond-outside")

# %% [markdown]
# Answered. By default Istio is **PERMISSIVE**: mutual TLS with whoever can, plaintext with everybody else. That is what lets you move an existing system into
# a mesh pod by pod. But as long as plaintext is accepted, nobody has to encrypt. `STRICT` changes that:

# %% language="bash"
# cat manifests/09_beyond/03-strict.yaml
# kubectl apply -f manifests/09_beyond/03-strict.yaml

# %%
lab.call("stranger", "http://orders.beyond:8000/get", namespace="beyond-outside", until=0)

# %%
lab.call("shop", "http://orders:8000/get", until=200)

# %% [markdown]
# The stranger's connection is **reset**: no 403, no HTTP at all, because without TLS this Envoy accepts no connection. The shop goes on as before. The
# log of orders' sidecar says `NR filter_chain_not_found`: [NR](words.md#NR) is *no route*, here *no way to accept such a connection*.

# %%
lab.access_log("filter_chain_not_found", workload="orders-v1", lines=1)

# %% [markdown]
# `PeerAuthentication` settles **how** one may connect. It says nothing about who may do what: the intern has a valid certificate too.
#
# ## 3 · You may, you may not
#
# That is an `AuthorizationPolicy`. This one says: at orders, the shop may `GET`.

# %% language="bash"
# cat manifests/09_beyond/04-only-the-shop.yaml
# kubectl apply -f manifests/09_beyond/04-only-the-shop.yaml

# %%
lab.call("intern", "http://orders:8000/get", until=403)

# %%
lab.call("shop", "http://orders:8000/get", until=200, lines=1)

# %%
lab.call("shop", "http://orders:8000/post", method="POST", until=403)

# %% [markdown]
# `RBAC: access denied`. Nothing in the policy forbids the intern anything. But **as soon as one ALLOW policy selects a workload, whatever no policy allows is
# refused.** And it is the sidecar of *orders* that refuses, so it does not matter what the caller's side thinks:

# %%
lab.access_log("rbac_access_denied", workload="orders-v1", lines=1)

# %% [markdown]
# `rbac_access_denied_matched_policy[none]`: no policy fitted. (Policies reach Envoy after about a second, and a connection that was open may carry one more
# request by the old rules. `lab.call` with `until` repeats the call until the answer changes.)
#
# `DENY` is for exceptions. It is asked **first**, and no ALLOW can overrule it:

# %% language="bash"
# cat manifests/09_beyond/05-deny.yaml
# kubectl apply -f manifests/09_beyond/05-deny.yaml

# %%
lab.call("shop", "http://orders:8000/headers", until=403)

# %% [markdown]
# The order, always: **DENY, then ALLOW; where no ALLOW policy selects the workload, the rest means yes.** (`CUSTOM`, which asks a program of yours,
# comes before both.) For the rest of the chapter orders is open again:

# %% language="bash"
# kubectl delete authorizationpolicy orders-allow orders-deny

# %%
lab.call("intern", "http://orders:8000/get", until=200, lines=1)

# %% [markdown]
# ## 4 · A mirror
#
# Version 2 of orders is ready and its tests pass, but nobody knows how it works with real requests. A canary (chapter 5) would show it to some users. A
# **mirror** shows it to none: users are answered by v1, and Envoy sends a *copy* of some of their requests to v2 and throws the answers away.
#
# First the rule, then the pods: without a rule the Service would hand v2 its share of real users at once.

# %% language="bash"
# cat manifests/09_beyond/06-mirror.yaml
# kubectl apply -f manifests/09_beyond/06-mirror.yaml
# kubectl apply -f manifests/09_beyond/07-v2.yaml

# %%
lab.wait("orders-v2")

# %% [markdown]
# A hundred orders from the shop:

# %% language="bash"
# kubectl exec deploy/shop -- sh -c 'for i in $(seq 100); do curl -s -o /dev/null -w "%{http_code}\n" http://orders:8000/get; done' | sort | uniq -c

# %% [markdown]
# A hundred times 200. And v2?

# %%
lab.stats("orders-v2", "cluster.inbound", "upstream_rq_5xx")

# %%
lab.access_log("GET /get", workload="orders-v2", lines=1)

# %% [markdown]
# About fifty requests, and **every one failed with 500**. No user noticed; you did, before the release.
#
# Know the limits too. A copy is a real request: a mirrored `POST` is done **twice**, so mirror only what may be done twice, or give v2 a database of its own. Nobody
# compares the two answers for you; all you see is v2's own log and counters. And v2 must be able to take the load.
#
# > **Then and now.** Up to Istio 1.27 mirrored requests carried `-shadow` at the end of their host name. Since 1.28 they look like any other.
#
# ## 5 · The way out
#
# Up to here it was about calls that come in. What may a pod call **outside**? Chapter 1 sends calls out through the egress gateway. Here it is about
# the rule that comes before: which calls are allowed at all.
#
# (The embedded cluster has no way to the Internet. Three web sites, `www.partner.example`, `files.example` and `evil.example`, are played by one pod in
# the namespace `beyond-outside`, which is hidden from Istio. [01-shop.yaml](manifests/09_beyond/01-shop.yaml) tells curl the address, as DNS would.)

# %%
lab.call("shop", "http://www.partner.example/", until=200)

# %%
lab.call("shop", "http://evil.example/", until=200)

# %%
lab.access_log("evil.example", workload="shop", lines=1)

# %% [markdown]
# Both are answered. The log says `PassthroughCluster`: Envoy does not know this host and lets the call through, as it came. That is the default,
# `ALLOW_ANY`. It is convenient, and stolen data can leave the same way.
#
# `REGISTRY_ONLY` is the opposite: only hosts that the mesh knows. It can be set for the whole mesh; a [Sidecar](words.md#Sidecar) object sets it for
# **one namespace**, which is a good way to begin:

# %% language="bash"
# cat manifests/09_beyond/08-registry-only.yaml
# kubectl apply -f manifests/09_beyond/08-registry-only.yaml

# %%
lab.call("shop", "http://evil.example/", until=502)

# %%
lab.access_log(" 502 ", workload="shop", lines=1)

# %% [markdown]
# **502**, route `block_all`. On a port where the mesh knows no HTTP, Envoy cannot answer 502. There the connection ends in `BlackHoleCluster`, a
# [cluster](words.md#cluster) (for Envoy: a group of addresses) that never has an address:

# %%
lab.call("shop", "http://partner.beyond-outside:81/", until=0)

# %%
lab.access_log("BlackHoleCluster", workload="shop", lines=1)

# %% [markdown]
# But the partner is shut out as well. A `ServiceEntry` makes a host known to the mesh:

# %% language="bash"
# cat manifests/09_beyond/09-serviceentry.yaml
# kubectl apply -f manifests/09_beyond/09-serviceentry.yaml

# %%
lab.call("shop", "http://www.partner.example/", until=200)

# %%
lab.access_log("outbound|80||www.partner.example", workload="shop", lines=1)

# %% [markdown]
# It has a cluster of its own now, `outbound|80||www.partner.example`, like any Service. So all rules work on it too: timeouts, retries, weights, a circuit breaker.
#
# A rule can also answer **in place of** the other side, with `directResponse`. This one answers every call for `/old` with 410, and nothing leaves the pod:
#
# %% language="bash"
# cat manifests/09_beyond/11-direct-response.yaml
# kubectl apply -f manifests/09_beyond/11-direct-response.yaml

# %%
lab.call("shop", "http://www.partner.example/old/prices", until=410)

# %%
lab.call("shop", "http://www.partner.example/", until=200)

# %% [markdown]
# (The order counts, as in every VirtualService: the first rule that fits answers.)
#
# Know the limit of all this: it keeps **programs that you trust** inside. A pod without a sidecar does not follow it. Against an attacker in one of
# your pods you need a NetworkPolicy as well.
#
# ## 6 · Four mistakes, one command
#
# Here is a manifest with four mistakes in it. Kubernetes would accept all of it without a warning. Do you find them?

# %% language="bash"
# cat manifests/09_beyond/10-mistakes.yaml

# %% [markdown]
# Write down what you have found. Then let the tool look: `istioctl analyze FILE` looks at the file **together with what is in the cluster**, before you
# apply anything:

# %% language="bash"
# istioctl analyze manifests/09_beyond/10-mistakes.yaml 2>&1 || true

# %% [markdown]
# All four, with line numbers. Errors make it end with exit code 79, so it can be used in a build pipeline before `kubectl apply`. (Here `|| true` keeps
# the notebook going.)
#
# ## Exercises
#
# Write a manifest between the quotes and run the cell. Then run its check, as often as you like: it lets the pods call each other and judges what comes back. Stuck?
# `lab.hint("9.1")` in a new cell gives one hint at a time, and `lab.solution("9.1")` shows a solution.
#
# ### 9.1 · One old caller
#
# The namespace is STRICT. But an old cash register, which will never get a sidecar, must reach `billing`. Write a PeerAuthentication called **`billing`** so that
#
# * `billing` takes plaintext **and** mutual TLS,
# * everything else in the namespace stays STRICT.

# %% tags=["exercise"] exercise="9.1"
lab.apply("""
# Exercise 9.1: your PeerAuthentication `billing` goes here.
""")

# %% tags=["solution"] exercise="9.1"
lab.apply("""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: billing
spec:
  selector:
    matchLabels: {app: billing}
  mtls:
    mode: PERMISSIVE
""")

# %% tags=["nbval-check-output"]
lab.check("9.1")

# %% [markdown]
# ### 9.2 · Only the shop reads bills
#
# Write an AuthorizationPolicy called **`billing`** so that at `billing`
#
# * the shop may `GET /get`,
# * nobody may do anything else, neither the shop nor the intern nor a stranger.
#
# `orders` must not be touched by it. (The check calls from three pods and takes about ten seconds.)

# %% tags=["exercise"] exercise="9.2"
lab.apply("""
# Exercise 9.2: your AuthorizationPolicy `billing` goes here.
""")

# %% tags=["solution"] exercise="9.2"
lab.apply("""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: billing
spec:
  selector:
    matchLabels: {app: billing}
  action: ALLOW
  rules:
  - from:
    - source:
        principals: [cluster.local/ns/beyond/sa/shop]
    to:
    - operation:
        methods: [GET]
        paths: [/get]
""")

# %% tags=["nbval-check-output"]
lab.check("9.2")

# %% [markdown]
# ### 9.3 · One site, and only one part of it
#
# The shop needs price lists from `http://files.example/public/...`. Write a ServiceEntry **`files`** and a VirtualService **`files`** so that
#
# * `http://files.example/public/...` is answered,
# * every other page of `files.example` gets **403** from the sidecar, without leaving the pod,
# * all other sites stay shut out.
#
# A rule can answer by itself, without sending the request anywhere: `directResponse: {status: 418}` stands in place of its `route:`.

# %% tags=["exercise"] exercise="9.3"
lab.apply("""
# Exercise 9.3: your ServiceEntry `files` and your VirtualService `files` go here, with `---` between them.
""")

# %% tags=["solution"] exercise="9.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: files
spec:
  hosts:
  - files.example
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  resolution: DNS
  endpoints:
  - address: partner.beyond-outside.svc.cluster.local
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: files
spec:
  hosts:
  - files.example
  http:
  - name: public
    match:
    - uri: {prefix: /public/}
    route:
    - destination: {host: files.example}
  - name: rest
    directResponse: {status: 403}
""")

# %% tags=["nbval-check-output"]
lab.check("9.3")

# %% [markdown]
# ### 9.4 · Four mistakes
#
# Copy the file of section 6 between the quotes, mend all four mistakes and apply it. `http://desk.example.com/get` and
# `http://desk.example.com/anything` must both be answered by v1 of orders.
#
# One thing to know: the VirtualService `orders` of section 4 sends the mesh's calls to v1, but a gateway does not read it. So **both** rules of `desk`
# must name the subset themselves. If `istioctl analyze` says *IST0140 Subset in virtual service ... has no effect on ingress gateway*, that is what it
# means.

# %% tags=["exercise"] exercise="9.4"
lab.apply("""
# Exercise 9.4: the mended Gateway and VirtualService `desk` go here.
""")

# %% tags=["solution"] exercise="9.4"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: desk
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts:
    - desk.example.com
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: desk
spec:
  hosts:
  - desk.example.com
  gateways:
  - desk
  http:
  - match:
    - uri: {prefix: /anything}
    route:
    - destination: {host: orders, subset: v1, port: {number: 8000}}
  - route:
    - destination: {host: orders, subset: v1, port: {number: 8000}}
""")

# %% tags=["nbval-check-output"]
lab.check("9.4")

# %% [markdown]
# ## Take away
#
# * A pod's name in the mesh is its **ServiceAccount**, in a certificate that istiod signs for a day: `spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
# * `PeerAuthentication` says **how** one may connect: PERMISSIVE while you move into the mesh, STRICT when all have a sidecar. Refused: no TLS, no HTTP, a reset.
# * `AuthorizationPolicy` says **who may do what**. DENY first; where there is one ALLOW, everything that none allows is refused. Refused: `403 RBAC: access denied`.
# * A **mirror** tests a version with real requests and no users. It doubles what it copies.
# * **Out**: `Sidecar` with REGISTRY_ONLY refuses unknown hosts (`502`, `block_all`), a `ServiceEntry` makes one host known, which can then be routed like any Service.
# * `istioctl analyze FILE` before `kubectl apply`.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it. (It does nothing before, so that *Run
# All Cells* does not take your work away.)

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
