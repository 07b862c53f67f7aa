# %% [markdown]
# # 5 · Canary releases
#
# You have a new version. It passed its tests, and still nobody knows how well it works with real users. A **canary release** shows it to a
# few of them first: one request in ten, or only your own team. If it works well it gets more; if not, you go back, and most users have not noticed anything.
#
# **You will** run two versions of a web server side by side, send 10 % of the traffic to the new one, move it to 50 % and 100 % while
# watching what really happens, retire the old version, roll back, and choose by header, by cookie and by user who sees what.
#
# **You will learn** what `Gateway`, `VirtualService` and `DestinationRule` each decide, why a 10 % split is hardly ever exactly 10 %, and
# the two mistakes that nearly everyone makes once.
#
# **You need** about 60 minutes. No earlier chapter is needed: the first cell below brings the cluster to where it has to be.

# %% [markdown]
# ![You ask the ingress gateway, an Envoy; it sends 90 of 100 requests to web-v1 and 10 to web-v2. istiod tells it the rules.](pictures/05_canary.svg)
#
# The decision is made in **one place**: the Envoy of the ingress gateway. istiod is not on the path of a request; it only tells Envoy
# the rules. Your nginx pods know nothing about any of this.

# %%
from meshcourse import lab

lab.chapter("05-canary")

# %% [markdown]
# ## 1 · Two versions, side by side
#
# The same nginx twice. Only the page differs: each says its version, so that we can see who answered. Have a look at
# [manifests/05_canary/01-web.yaml](manifests/05_canary/01-web.yaml): both pods carry the label `app: web`, and each its own `version`.
# Those two labels are all that the rest of this chapter builds on.

# %% language="bash"
# kubectl apply -f manifests/05_canary/01-web.yaml
# kubectl rollout status deployment/web-v1 --timeout=120s
# kubectl rollout status deployment/web-v2 --timeout=120s
# kubectl get pods -L version

# %% [markdown]
# **`READY 2/2`**: you asked for one container, nginx, and each pod has two. The second is the sidecar, an Envoy that Istio put in because
# the namespace has the label `istio-injection=enabled`. If you see `1/1`, the label came after the pod: delete the pod, and its
# successor gets a sidecar.
#
# ## 2 · One Service over both
#
# A Service selects pods by label. This one looks for `app: web` only, so **both** versions stand behind it.

# %% language="bash"
# cat manifests/05_canary/02-service.yaml
# kubectl apply -f manifests/05_canary/02-service.yaml
# kubectl get endpointslices -l kubernetes.io/service-name=web

# %% [markdown]
# Two addresses, one for each version. Kubernetes alone would now spread connections evenly over the *pods*: to give v2 10 % you would have to
# run nine pods of v1 for each pod of v2. With a mesh, how many pods you run and how much traffic each version gets are **two
# separate decisions**.
#
# One detail matters more than it looks: the port is called `http`. By that name Istio knows that it may read the requests and
# route by header and weight. A port called `tcp` is passed through as bytes by the sidecars, and at one called `web` they have to guess.
#
# ## 3 · A door: the Gateway
#
# Nothing outside the cluster reaches those pods yet. The ingress gateway is an ordinary Envoy pod with a Service of type `LoadBalancer`;
# its port 80 is also open as a **NodePort**:

# %% language="bash"
# kubectl -n istio-system get service istio-ingressgateway

# %% [markdown]
# Find `80:31718/TCP`. On a cluster of many machines you would use `http://<any node>:31718`. On the embedded cluster that port is on this
# machine: [http://127.0.0.1:31718](http://127.0.0.1:31718). (The first cell printed the address that is right for your cluster, and
# `$INGRESS_URL` holds it in every shell cell.)
#
# The [Gateway](words.md#Gateway) object opens the port and says for which host names. It does not say where requests go.

# %% language="bash"
# cat manifests/05_canary/03-gateway.yaml
# kubectl apply -f manifests/05_canary/03-gateway.yaml

# %%
lab.wait()
lab.request("/")

# %% [markdown]
# **404**, and look at `server: istio-envoy`: this is Envoy speaking, not nginx. The door is open, but there is no rule for what comes
# through it. (You saw *no answer* instead? The Gateway had not reached Envoy yet. Run the cell once more.)
#
# ## 4 · The rule: the VirtualService, 90 to 10
#
# The `VirtualService` says where requests go: 90 of 100 to the [subset](words.md#subset) `v1` of the Service, a part of its pods, and 10 to `v2`.

# %% language="bash"
# cat manifests/05_canary/04-virtualservice-90-10.yaml
# kubectl apply -f manifests/05_canary/04-virtualservice-90-10.yaml

# %%
lab.wait()
lab.request("/")

# %% [markdown]
# **503.** Kubernetes took the object without a word, and yet no request gets through. This is the first of the two mistakes that nearly everyone makes,
# and it was made here on purpose: **nothing says yet what `v1` and `v2` mean.** `subset: v1` is only a name. Envoy's access log, in the gateway's pod,
# says so in two letters. (Envoy writes its log in batches, so the line may take a second to appear; the cell waits for it.)

# %%
lab.access_log(" NC ", lines=1)

# %% [markdown]
# After the status `503` comes `NC`, *no cluster*: the route points to a group of pods (Envoy calls it a *cluster*) that does not exist. Istio
# cannot refuse such an object, because the missing half might arrive a second later. But there is a tool that looks at all objects
# together. It ends with an error code when it finds an error, hence the `|| true`:

# %% language="bash"
# istioctl analyze 2>&1 || true

# %% [markdown]
# `IST0101`: *referenced host+subset in destinationrule not found*. Type `istioctl analyze` first whenever something does not work; it finds
# most spelling mistakes faster than you will.
#
# ## 5 · What the names mean: the DestinationRule
#
# A subset is *those pods of the Service that carry these labels*:

# %% language="bash"
# cat manifests/05_canary/05-destinationrule.yaml
# kubectl apply -f manifests/05_canary/05-destinationrule.yaml

# %%
lab.wait()
lab.request("/")

# %% [markdown]
# It answers. In a real release apply the DestinationRule **first** and the VirtualService that uses its names **second**; when you take things
# away, the other way round. Then no request ever meets a name that means nothing.
#
# Open [http://127.0.0.1:31718](http://127.0.0.1:31718) in your browser and reload a few times: mostly the blue page, now and then the green one.
#
# What does Envoy itself hold now? istiod has turned your three objects into routes, and `istioctl` can read them out of the running proxy:

# %% language="bash"
# istioctl proxy-config routes deployment/istio-ingressgateway.istio-system --name "http.$INGRESS_PORT"

# %% [markdown]
# (`$INGRESS_PORT` is the port on which the gateway's Envoy listens inside its pod: 8080, where its Service's port 80 leads to.)
#
# The last column names the VirtualService that each route came from. If your object is not there, Envoy does not know of it, whatever
# `kubectl get` says. That takes a moment each time: `kubectl apply` returns when the API server has **stored** the object, then istiod
# translates it and **pushes** it to every proxy. `lab.wait()` above asks Envoy until it has arrived.
#
# ## 6 · Is it 90 to 10?
#
# Ten requests, three times over:

# %%
for turn in range(3):
    print(lab.traffic(10))

# %% [markdown]
# Was v2 at 10 % each time? Probably not. Envoy does not count off nine requests for v1 and then one for v2: **it decides each request at random**, with
# a chance of 10 %. So ten requests say almost nothing:

# %%
lab.chance(10, 0.10)

# %% [markdown]
# Whoever sends ten requests with curl and thinks that the weights are broken may only have seen chance. With a thousand it looks different:

# %%
lab.traffic(1000)

# %%
lab.chance(1000, 0.10)

# %% [markdown]
# And the question that matters before you say "it works": how many requests does it take to tell 10 % from 20 %?

# %%
lab.how_many_requests(0.10, 0.20)

# %% [markdown]
# The same sum says how long a canary has to run. At 5 requests a second, 500 requests take under two minutes. An error that strikes one
# request in a thousand needs far more than that, so a canary at 1 % for five minutes proves little.
#
# One more consequence: the weight counts **requests, not users.** For one user who loads a page with thirty pictures, Envoy decides thirty-one times,
# and may send a page of v2 with pictures of v1. Section 9 solves that.
#
# ## 7 · Move the weights yourself
#
# Press **Start load**, then move a slider. Each move patches the VirtualService `web`, just as `kubectl apply` would; the plot shows the share that you
# want and the share that is observed, with its 95 % band. As soon as Envoy holds the new weights the count starts again from zero: the observed share
# jumps at once, and its band is wide. The longer the rule stands, the more answers are counted and the narrower the band gets. The faint dots are single answers.

# %%
lab.weight_panel("web", route="split")

# %% tags=["headless"]
panel = lab.panel()
panel.start(rate=200)
panel.wait_observed("v2", 0.10)
panel.widgets.sliders["v2"].value = 50
panel.wait_observed("v2", 0.50)
assert panel.snapshot().weights == {"v1": 50, "v2": 50}
panel.widgets.rollback.click()
panel.wait_observed("v2", 0.10)
lab.still(panel)
panel.stop()

# %% [markdown]
# Three things to try:
#
# 1. Go from 10 to 50 in one step. How long until the band holds the new share?
# 2. Put v2 at 1. How long do you have to wait until you could tell 1 % from 2 %?
# 3. Leave the panel running and go on reading: the next cells change the same weights with `kubectl`, and the panel shows it. (Cells take some seconds longer while its load runs.)
#
# `panel = lab.panel()` and then `panel.record("run.film")` in new cells keep what the panel shows from now on; `lab.replay("run.film")` shows it again
# later, without a cluster.
#
# ## 8 · The release, step by step
#
# With files it looks as it would in your team's repository. The canary has done well at 10 %; now half and half:

# %% language="bash"
# kubectl apply -f manifests/05_canary/06-virtualservice-50-50.yaml

# %%
lab.wait()
lab.traffic(500)

# %% [markdown]
# No failures? Then all of it:

# %% language="bash"
# kubectl apply -f manifests/05_canary/07-virtualservice-0-100.yaml

# %%
lab.wait()
lab.traffic(500)

# %% [markdown]
# Not one request to v1. A weight of 0 is not *seldom*, it is *never*. Nobody uses the old version any more, so its pods can go:

# %% language="bash"
# kubectl scale deployment/web-v1 --replicas=0
# kubectl rollout status deployment/web-v1 --timeout=60s
# kubectl get deployments

# %% [markdown]
# ### And back again
#
# An hour later somebody finds that v2 loses orders. You must go back. Most people would put the weights back at once. But v1 has **no pods** at
# this moment, and a route to nobody answers 503 with the flag `UH`, *no healthy upstream*: that would be worse than v2. **Pods first, traffic second:**

# %% language="bash"
# kubectl scale deployment/web-v1 --replicas=1
# kubectl rollout status deployment/web-v1 --timeout=120s

# %% [markdown]
# Ready for Kubernetes is not yet ready for Envoy. istiod announces the pod, and Envoy may gather changes of health for up to a second before it
# acts on them: put the weights back in that second, and requests fail. `lab.wait` gives it the time. In a script of your own, wait two
# seconds here.

# %%
lab.wait("web-v1")

# %% language="bash"
# kubectl apply -f manifests/05_canary/04-virtualservice-90-10.yaml

# %%
lab.wait()
lab.traffic(500)

# %% [markdown]
# This is why v1 is still in the rule, with `weight: 0`, and why many teams keep the old pods for a day: then going back is one number, and takes effect
# in less than a second, on the next request.
#
# ### Let a rule do it
#
# Nobody watches a plot at three in the morning. What you did by hand can be a rule. (Flagger and Argo Rollouts do this in a cluster.) The rule of this panel:
#
# * It begins with all requests at v1. Then v2 gets 10 %, 25 %, 50 % and 100 %, one step after the other.
# * At each step only the answers of **v2** are judged: at most 1 % may fail, and 95 % must come within half a second.
# * It goes **on** only after 100 answers of v2. Too few answers prove nothing.
# * It goes **back** to v1 only when the whole confidence band of the failures lies above 1 %.
#
# Press **Begin rollout**, and wait for its end. Then begin once more, and tick **remove the pods of v2** while it runs. What
# happens, and at which weight? And what happens when you tick it after the end?

# %%
lab.rollout_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.start(rate=60)
panel.begin()
panel.wait_done()
lab.still(panel)
panel.stop()

# %% [markdown]
# ## 9 · Who sees it? Header, cookie, user
#
# A weight chooses *how many* see v2, at random. A `match` chooses *who*.
#
# ### By header
#
# Your own team first. Their requests carry `x-team: internal`, set by a browser extension or by the company's proxy:

# %% language="bash"
# cat manifests/05_canary/08-virtualservice-header.yaml
# kubectl apply -f manifests/05_canary/08-virtualservice-header.yaml

# %%
lab.wait()
print(lab.request("/", headers={"x-team": "internal"}))
print(lab.request("/"))

# %% [markdown]
# The second common mistake is the order. **Rules are tried from top to bottom, and the first that fits decides.** A rule without `match` fits
# everything, so everything below it is never reached. Names of headers may be written in capital or small letters, here and in the request; values must
# be exactly the same.
#
# ### By cookie
#
# Volunteers press *try the new page*, your site gives them the cookie `beta=yes`, and they keep seeing v2 until it expires. A browser sends **all** its
# cookies in one header, `session=4711; beta=yes; theme=dark`, so `exact: beta=yes` would fit almost nobody. So it takes a regular expression, which
# must fit the **whole** value. In YAML, put it in **single** quotes: in double ones YAML takes the backslash for the beginning of a special character,
# and refuses it.
#
# | part | stands for |
# |---|---|
# | `(.*;\s*)?` | other cookies before it, or none |
# | `beta=yes` | the cookie |
# | `(;.*)?` | other cookies after it, or none |

# %% language="bash"
# cat manifests/05_canary/09-virtualservice-cookie.yaml
# kubectl apply -f manifests/05_canary/09-virtualservice-cookie.yaml

# %%
lab.wait()
print(lab.request("/", cookies={"session": "4711", "beta": "yes", "theme": "dark"}))
print(lab.request("/", cookies={"session": "4711", "alphabeta": "yes"}))

# %% [markdown]
# ### By user
#
# This solves *requests, not users*. The system in front of yours knows who is logged in and passes it on as `x-user-id`. Let the users
# whose number ends in 0 see v2: **one user in ten, and each of them every time**, pictures included.

# %% language="bash"
# cat manifests/05_canary/10-virtualservice-user.yaml
# kubectl apply -f manifests/05_canary/10-virtualservice-user.yaml

# %%
lab.wait()
print(lab.traffic(50, headers={"x-user-id": "4710"}))
print(lab.traffic(50, headers={"x-user-id": "4711"}))

# %% [markdown]
# ### Which rule, and why?
#
# Some day a request goes where you did not want it. The inspector sends **one** request and shows the rules that the gateway's Envoy holds, in the order in
# which it tries them: which one it took, and what was missing in those before it. Under that stands what every proxy on the way wrote into its log. Type
# `x-user-id: 4711` as a header, press **Send one request**, then try 4710.

# %%
lab.inspector_panel()

# %% tags=["headless"]
panel = lab.panel()
missed = panel.ask(headers={"x-user-id": "4711"})
assert missed.steps[0].why == "x-user-id: 4711 does not match [0-9]*0 as a whole"
met = panel.ask(headers={"x-user-id": "4710"})
assert (met.taken.name, met.chosen.subset) == ("one-user-in-ten", "v2")
lab.still(panel)

# %% [markdown]
# A warning for real life: anybody can send a header. If v2 must stay secret, let the gateway remove such headers from outside requests, or route
# by a signed token instead.
#
# Put the split back before the exercises:

# %% language="bash"
# kubectl apply -f manifests/05_canary/04-virtualservice-90-10.yaml

# %% [markdown]
# ## Exercises
#
# Write a manifest between the quotes and run the cell. Then run its check, as often as you like: it sends requests of its own and judges
# what comes back, not what you typed. Stuck? `lab.hint("5.1")` in a new cell gives one hint at a time, and `lab.solution("5.1")` shows a solution.
#
# ### 5.1 · Ship v2 to a fifth of everyone, and to the whole team
#
# There is a second site, `shop.example.com`, served by the same Service `web` and let in by the same Gateway `web`. Write a VirtualService called
# **`shop`** for that host:
#
# * every request with the header `x-team: internal` goes to v2;
# * of all other requests 20 % go to v2 and 80 % to v1.
#
# (No DNS entry is needed: the check sends the name along in the `Host` header, as `lab.request("/", host="shop.example.com")` does.)

# %% tags=["exercise"] exercise="5.1"
lab.apply("""
# Exercise 5.1: your VirtualService `shop` goes here.
""")

# %% tags=["solution"] exercise="5.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
spec:
  hosts:
  - shop.example.com
  gateways:
  - web
  http:
  - name: team
    match:
    - headers:
        x-team: {exact: internal}
    route:
    - destination: {host: web, subset: v2}
  - name: everyone
    route:
    - destination: {host: web, subset: v1}
      weight: 80
    - destination: {host: web, subset: v2}
      weight: 20
""")

# %% tags=["nbval-check-output"]
lab.check("5.1")

# %% [markdown]
# ### 5.2 · Beta testers, with a way out
#
# A third site, `club.example.com`. Write a VirtualService called **`club`** for it, on the same Gateway and Service:
#
# * whoever has the cookie `beta=yes`, alone or among other cookies, sees v2;
# * cookies that only look like it (`alphabeta=yes`, `beta=yesterday`) do not count;
# * a request with the header `x-version: v1` gets v1 in any case, cookie or not: that is the support team's way out;
# * everybody else sees v1.

# %% tags=["exercise"] exercise="5.2"
lab.apply("""
# Exercise 5.2: your VirtualService `club` goes here.
""")

# %% tags=["solution"] exercise="5.2"
lab.apply(r"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: club
spec:
  hosts:
  - club.example.com
  gateways:
  - web
  http:
  - name: way-out
    match:
    - headers:
        x-version: {exact: v1}
    route:
    - destination: {host: web, subset: v1}
  - name: beta
    match:
    - headers:
        cookie: {regex: '(.*;\s*)?beta=yes(;.*)?'}
    route:
    - destination: {host: web, subset: v2}
  - name: everyone
    route:
    - destination: {host: web, subset: v1}
""")

# %% tags=["nbval-check-output"]
lab.check("5.2")

# %% [markdown]
# ## Take away
#
# * **Gateway** opens a port for host names, **VirtualService** chooses where requests go, **DestinationRule** says which pods a subset is. Define
#   subsets before you route to them; a route to an undefined one is `503 NC`.
# * How many pods run and how much traffic they get are separate decisions. Pods first, then traffic; for going back as well.
# * A weight is a chance, decided anew **for each request**. Ten requests prove nothing; ask how many it takes before you judge.
# * Rules are tried from top to bottom, and the first that fits decides. The rule without `match` comes last.
# * Want *the same users every time*? Match on something that stays with the user, not on a weight.
# * `istioctl analyze` finds wrong names, the access log's flags (`NC`, `UH`) say why Envoy failed, `istioctl proxy-config routes` shows what it holds.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it. (It does nothing before, so that *Run
# All Cells* does not take your work away.)

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
