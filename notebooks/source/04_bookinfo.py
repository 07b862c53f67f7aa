# %% [markdown]
# # 4 · Bookinfo: a whole application in the mesh
#
# This chapter has a bookstore: four services, written in four languages by four teams, and one of them in three versions at once. It is
# Istio's own example, so you will meet it again in Istio's documentation.
#
# **You will** deploy the bookstore, let visitors in, find out why its stars keep changing, draw who calls whom while it runs, follow one request from
# Envoy to Envoy, send everybody to one version, and one user to another.
#
# **You will learn** where a call inside the mesh is decided (not where most people look first), what Envoy knows of your application without a line
# of code from you, and the one thing that your code still has to do.
#
# **You need** about 50 minutes. No earlier chapter is needed: the first code cell brings the cluster to where it has to be.

# %% [markdown]
# ![You ask the ingress gateway; it asks productpage; productpage asks details and one of three versions of reviews; v2 and v3 of reviews ask ratings.](pictures/04_bookinfo.svg)
#
# **productpage** makes the page from the answers of **details** and **reviews**. **reviews** v1 shows no stars; v2 and v3 ask **ratings** and show
# them in black and in red.

# %%
from meshcourse import lab

lab.chapter("04-bookinfo")

# %% [markdown]
# ## 1 · Deploy
#
# Four Services, six Deployments, one file. Have a look at [01-bookinfo.yaml](manifests/04_bookinfo/01-bookinfo.yaml) if you like; nothing in it is about
# Istio but one annotation, which section 4 explains.

# %% language="bash"
# kubectl apply -f manifests/04_bookinfo/01-bookinfo.yaml
# kubectl wait --for=condition=Available deployment --all --timeout=120s
# kubectl get pods -L app,version
# kubectl get services

# %% [markdown]
# Every pod is `2/2`: your program, and an Envoy that Istio put in because the namespace has the label `istio-injection=enabled`.
#
# **Six pods, four Services.** The Service `reviews` stands for three Deployments, since it selects by `app: reviews` and never looks at `version`. Remember
# that; it explains section 3.
#
# Does it work? Ask from inside, as Istio's documentation does, from the pod of ratings:

# %% language="bash"
# kubectl exec deploy/ratings-v1 -c ratings -- curl -sS productpage:9080/productpage | grep -o "<title>.*</title>"

# %% [markdown]
# > **Which programs are these?** On the embedded cluster small replacements, made for this course, answer (`meshcourse images` lists them): the same names, ports, headers,
# > timeouts and messages, but all in Python, so that they start at once. On a kind cluster the same file runs Istio's own images.
#
# ## 2 · Let visitors in
#
# A `Gateway` opens port 80 of the ingress gateway; a `VirtualService` says which paths are let through, and to whom. Chapter 5 has more on both.

# %% language="bash"
# cat manifests/04_bookinfo/02-gateway.yaml
# kubectl apply -f manifests/04_bookinfo/02-gateway.yaml
# kubectl get gateway,virtualservice

# %%
lab.wait()
lab.page("/productpage")

# %% [markdown]
# That is the page, fetched through the ingress gateway and shown here. In a browser on this machine it is
# [http://127.0.0.1:31718/productpage](http://127.0.0.1:31718/productpage) (or at the address that the first cell printed). Only the paths in the
# VirtualService are open:

# %%
lab.request("/ratings/0")

# %% [markdown]
# **404** from `istio-envoy`. ratings cannot be reached from outside, though every pod can call it. Visitors reach what you let through, and nothing else.
#
# ## 3 · The stars keep changing
#
# Run the page's cell above a few times, or reload in the browser: no stars, black stars, red stars, in no order. So ask sixty times. (`lab.stars` asks
# `/api/v1/products/0/reviews`, from which productpage makes the right half of the page.)

# %%
lab.stars(60)

# %% [markdown]
# About a third each, and no pattern. **Nobody chose.** productpage calls `http://reviews:9080`; behind that name are three pods, and its Envoy takes one of
# them for each call. Kubernetes alone would do the same, once for each connection.
#
# Three versions at once are a problem: a visitor who reloads the page sees another shop each time. Section 6 solves it.
#
# ## 4 · Who calls whom
#
# The picture at the top was drawn by hand. The next one is drawn **by the Envoys**: each counts the calls that it sends and receives, and the
# panel reads those counters once a second. Press **Start load**, and wait a few seconds.

# %%
lab.topology_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.start(rate=20)
panel.wait_for("reviews-v2", "ratings-v1")
panel.wait_for("reviews-v3", "ratings-v1")
assert panel.snapshot().edge("reviews-v1", "ratings-v1").rate == 0
lab.still(panel)
panel.stop()

# %% [markdown]
# What to look for:
#
# 1. Move the slider to 30. Four arrows leave `productpage-v1`: one to `details-v1`, and three to the versions of reviews. `reviews-v1` has **no** arrow to `ratings-v1`: that is why it shows no stars.
# 2. Rest the pointer on an arrow's head or on a circle: calls per second, failures, and how long half of the calls ([p50](words.md#p50)) and 99 % of them ([p99](words.md#p99)) took at most. Click a circle,
#    or choose it in the list, for its pods, what its Envoy holds and its last log lines.
# 3. The dotted arrow back from `ratings-v1` is your own `curl` from section 1. Envoy's counters go on from when it was started.
# 4. The padlocks: this caller's Envoy has made TLS handshakes for these calls, and both sides have shown a certificate. Nobody asked for it; chapter 9 looks closer.
#
# Press **Stop load**. The same in words now: this call sends requests of its own, ten a second (if the panel's load is still on, you see both together):

# %%
lab.topology(3)

# %% [markdown]
# No program was changed for this, and none of them counts anything. (Times lag behind: Envoy brings them up to date only every five seconds.)
#
# Where do the numbers come from? Each Envoy has counters for the calls that its program sends (`outbound`) and for those that come in for it
# (`inbound`). This is the counter of productpage's Envoy for calls to reviews:

# %%
lab.stats("productpage-v1", "outbound|9080||reviews", "rq_total")

# %% [markdown]
# Envoy could count thousands of things, so Istio lets it keep only a few. The annotation `proxy.istio.io/config` in the pods' template asks for these besides. In
# production you would not write it: Istio's own Envoy has ready-made metrics (`istio_requests_total`) for Prometheus, and Kiali draws this picture from them.
#
# ## 5 · One request from Envoy to Envoy
#
# Counters tell how many. The **access logs** tell what happened to one. `lab.follow` sends one request and collects its lines from the logs of all proxies:

# %%
lab.follow("/productpage")

# %% [markdown]
# Read it from top to bottom. Each call between two pods gives **two** lines: one of the caller's Envoy (*passes to reviews*), one of the Envoy at the other end
# (*passes to its own application*). The difference between the two times is what network and proxies cost.
#
# How do you know which lines of different proxies belong together? By the header `x-request-id`. The first Envoy chooses it. But productpage gets one request and
# sends two others, and **no proxy can know that these belong to it.** The program must copy the header. So must reviews. That is the one thing that your code
# has to do in a mesh: *hand on the headers for tracing*. All four programs of Bookinfo do; most programs need one line, or a library for OpenTelemetry.
#
# ## 6 · Everybody to v1
#
# A Service does not know versions. First say what `v1`, `v2` and `v3` mean: a [subset](words.md#subset) is those pods of a Service that have certain
# labels, under a name. A [DestinationRule](words.md#DestinationRule) for each service defines them; then a VirtualService sends everybody to one of
# them:

# %% language="bash"
# tail -24 manifests/04_bookinfo/03-destinationrules.yaml    # for reviews and ratings; the other two look the same
# kubectl apply -f manifests/04_bookinfo/03-destinationrules.yaml

# %% language="bash"
# cat manifests/04_bookinfo/04-reviews-v1.yaml
# kubectl apply -f manifests/04_bookinfo/04-reviews-v1.yaml

# %%
lab.wait()
lab.stars(60)

# %% [markdown]
# No stars, sixty times. And now the question that most newcomers answer wrong: **which Envoy decides this?** Not the ingress gateway; it only knows
# that `/productpage` goes to productpage. The call to reviews is made *later*, by productpage, and its own Envoy decides where that goes:

# %% language="bash"
# istioctl proxy-config routes deploy/productpage-v1 --name 9080 | grep -E "NAME|reviews"
# echo
# istioctl proxy-config routes deploy/istio-ingressgateway.istio-system | grep reviews || echo "(the ingress gateway knows no route for reviews)"

# %% [markdown]
# The last column says which VirtualService the route came from. **A rule for calls inside the mesh is carried out at the caller.** That is why
# `04-reviews-v1.yaml` has no `gateways:`. A VirtualService without it is for all sidecars; one with `gateways: [bookinfo-gateway]` is for that gateway
# alone, and would have no effect here.
#
# ## 7 · Another version for jason
#
# v2 should be tried by one person first. Whoever signs in as `jason` in a browser (any password will do; the page below is only a picture of it, its
# form does nothing) is known to productpage by that name, and productpage hands it on: every call that it makes for jason carries the header `end-user:
# jason`. A header is all that a rule needs.

# %% language="bash"
# cat manifests/04_bookinfo/05-reviews-jason-v2.yaml
# kubectl apply -f manifests/04_bookinfo/05-reviews-jason-v2.yaml

# %%
lab.wait()
lab.page("/productpage", user="jason")

# %%
print(lab.stars(20, user="jason"))
print(lab.stars(20, user="jane"))

# %% [markdown]
# Black stars for jason, each time; none for jane. (`lab.follow("/productpage", user="jason")` in a new cell shows jason's request on its way:
# productpage's Envoy passes it to `reviews (v2)`, and it goes on to ratings.)
#
# Who made `end-user`? **productpage did**, a program, and reviews handed it on to ratings. Istio does not know users; it sees headers. If you want to
# route by something, a program must put it into a header, and every program in between must pass it on.
#
# > **Then and now.** The guide ran Bookinfo 1.17 on Kubernetes 1.28, in the namespace `default`, from the files in Istio's archive. Those
# > files still have the same names (`samples/bookinfo/platform/kube/bookinfo.yaml`, `networking/virtual-service-reviews-test-v2.yaml`, ...), so all that you did here can be
# > done with them. Since Istio 1.20 their Gateway listens on port 8080 in place of 80. What you saw here came from Istio 1.31 on Kubernetes 1.36.
#
# Delete the rule before the exercises, so that all three versions answer again:

# %% language="bash"
# kubectl delete virtualservice reviews

# %% [markdown]
# ## Exercises
#
# Run an exercise's cell, then its check, as often as you like. Stuck? `lab.hint("4.1")` in a new cell gives one hint at a time, and `lab.solution("4.1")` shows
# a solution.
#
# ### 4.1 · Who else asks for ratings?
#
# The team of ratings complains: some program besides reviews calls ratings, day and night, about twice a second. They do not know which. Two more
# programs have been added to the namespace:

# %% language="bash"
# kubectl apply -f manifests/04_bookinfo/06-others.yaml
# kubectl wait --for=condition=Available deployment/newsletter deployment/search --timeout=120s

# %% [markdown]
# Find out **which Deployment calls ratings itself**, without reading the file that you have just applied. (At work you would not have it either.)

# %% tags=["exercise"] exercise="4.1"
lab.answer("4.1", ...)

# %% tags=["solution"] exercise="4.1"
# lab.topology() lists it: search → ratings-v1
lab.answer("4.1", "search")

# %% tags=["nbval-check-output"]
lab.check("4.1")

# %% [markdown]
# ### 4.2 · Half and half, and red stars for jason
#
# Write a VirtualService called **`reviews`**:
#
# * jason gets v3, red stars, each time;
# * everybody else, signed in or not, gets v1 and v2, half and half. Nobody but jason sees v3.
#
# Two things that you need. In `route`, each destination can have a `weight`, its share of 100 requests; with two destinations both need one:
#
# ```yaml
#   - route:
#     - destination: {host: reviews, subset: v1}
#       weight: 70
#     - destination: {host: reviews, subset: v3}
#       weight: 30
# ```
#
# And rules are tried from top to bottom: the first one whose `match` fits is taken. A request that fits none gets **404**, so the last rule has no `match`.

# %% tags=["exercise"] exercise="4.2"
lab.apply("""
# Exercise 4.2: your VirtualService `reviews` goes here.
""")

# %% tags=["solution"] exercise="4.2"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - name: jason
    match:
    - headers:
        end-user: {exact: jason}
    route:
    - destination: {host: reviews, subset: v3}
  - name: everyone
    route:
    - destination: {host: reviews, subset: v1}
      weight: 50
    - destination: {host: reviews, subset: v2}
      weight: 50
""")

# %% tags=["nbval-check-output"]
lab.check("4.2")

# %% [markdown]
# ### 4.3 · A bad version that only tess meets
#
# The team of ratings has a new version, v2. It has a fault: half of its answers are 503. They deploy it nevertheless, because only *tess*, their
# tester, is meant to see it:

# %% language="bash"
# kubectl apply -f manifests/04_bookinfo/07-ratings-v2.yaml
# kubectl rollout status deployment/ratings-v2 --timeout=120s

# %%
lab.topology(3, user="jason")

# %% [markdown]
# **Everybody** meets it now. The Service `ratings` takes all pods with `app: ratings`, and the new one is among them from the moment it is ready: arrows to
# `ratings-v2`, and failures on them. To deploy it was to release it.
#
# Correct that, without changing the Deployment or the Service: **tess** (`end-user: tess`) gets `ratings-v2`, **everybody else** `ratings-v1`. You need
# the VirtualService **`ratings`** and the DestinationRule **`ratings`** (it exists; what does it lack?). Two objects in one cell are separated by a
# line `---`.

# %% tags=["exercise"] exercise="4.3"
lab.apply("""
# Exercise 4.3: your DestinationRule and your VirtualService, both called `ratings`, go here.
""")

# %% tags=["solution"] exercise="4.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: ratings
spec:
  host: ratings
  subsets:
  - name: v1
    labels: {version: v1}
  - name: v2
    labels: {version: v2}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts:
  - ratings
  http:
  - name: tester
    match:
    - headers:
        end-user: {exact: tess}
    route:
    - destination: {host: ratings, subset: v2}
  - name: everyone
    route:
    - destination: {host: ratings, subset: v1}
""")

# %% tags=["nbval-check-output"]
lab.check("4.3")

# %% [markdown]
# So **write the rule for v1 before you deploy v2.** Then to deploy and to release are two steps.
#
# ## Take away
#
# * A Service knows labels, not versions. Each call goes to one of the versions behind it, at random, and a new pod gets traffic as soon as it is ready.
# * Every Envoy counts and logs. Who calls whom, how often, how well and how fast is known without a line of code.
# * **A call inside the mesh is decided by the caller's Envoy.** A VirtualService without `gateways:` is for the sidecars; look with `istioctl proxy-config routes` at the *caller*.
# * Your programs must hand on headers: `x-request-id` and the others for tracing, and whatever you want to route by, such as `end-user`.
# * Set the rule first, deploy second.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it. (It does nothing before, so that *Run
# All Cells* does not take your work away.)

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
