# %% [markdown]
# # 8 · Faults and retries
#
# Networks lose packets, pods restart, one request in a thousand fails and nobody finds out why. A **retry** hides such a failure: ask again, and most
# of the time it works. And **fault injection** makes requests fail on purpose, so that you learn at a time of your choice what your system does then.
#
# **You will** abort and delay requests without touching any program, let Envoy try again and see each attempt, see one way to combine the two that
# looks right and does nothing, and make twenty-seven requests out of one user's request.
#
# **You will learn** where in Envoy faults and retries happen, what `attempts`, `perTryTimeout` and `retryOn` really say, how many tries are
# enough, and why retries at every hop make a small failure a big one.
#
# **You need** about 65 minutes. No earlier chapter is needed: the first cell below brings the cluster to where it has to be.

# %% [markdown]
# ![You ask the ingress gateway, which asks nginx again when it fails. nginx asks Tomcat through its own Envoy, and that Envoy is where the fault is injected.](pictures/08_faults_retries.svg)
#
# **Envoy** is the proxy that Istio puts beside each program, in the same pod, as its *sidecar*; each gateway is one too.
#
# nginx stands in front of Tomcat, as in chapter 7. Two Envoys take part: the one **in front of** nginx (the gateway's, or the one beside whoever
# calls), which can try again, and the one **beside** nginx, which sees every call that nginx makes to Tomcat and can make it fail.

# %%
from meshcourse import lab

lab.chapter("08-faults-retries")

# %% [markdown]
# ## 1 · nginx and Tomcat, and no rule yet
#
# The guide begins this chapter with a deletion: *remove the VirtualService of the timeout chapter*. There is a reason. Two VirtualServices for one host
# are not combined: inside the mesh the older one wins and the newer is ignored. (This notebook has a namespace of its own, so there is nothing to
# delete, and the command says nothing. Keep the habit.)

# %% language="bash"
# kubectl delete virtualservice tomcat --ignore-not-found
# kubectl get virtualservices 2>&1

# %% language="bash"
# kubectl apply -f manifests/08_faults_retries/01-services.yaml
# kubectl apply -f manifests/08_faults_retries/02-door.yaml

# %%
lab.wait("nginx", "tomcat")
lab.request("/", host="store.example.com")

# %% [markdown]
# (The page says so itself: on the embedded cluster a small program answers in place of Tomcat. What this chapter shows happens in the Envoys, and they are real.)
#
# How will we see a second attempt? Envoy counts: **it puts `x-envoy-attempt-count` into every request that it sends on.** The nginx of
# [01-services.yaml](manifests/08_faults_retries/01-services.yaml) gives that number back in the answer, as `x-attempt`:

# %%
lab.request("/", host="store.example.com").headers["x-attempt"]

# %% [markdown]
# ## 2 · Break it: an abort
#
# No program is changed, no pod restarted. A [VirtualService](words.md#VirtualService) says what happens to the requests for a host. This one for
# `tomcat` says that half of all calls end in a 503:

# %% language="bash"
# cat manifests/08_faults_retries/03-abort.yaml
# kubectl apply -f manifests/08_faults_retries/03-abort.yaml

# %%
lab.wait()
lab.attempts(200)

# %% [markdown]
# About half fail, and each with its first and only attempt. (*95 % band*: in one run of twenty the true value lies outside it, so do not be surprised
# by a band without 50 %.) Who said 503? Tomcat did not: it never saw these calls. Ask the Envoy beside nginx:

# %%
lab.access_log(" FI ", workload="nginx", lines=1)

# %% [markdown]
# `503 FI fault_filter_abort`: the flag `FI` is *fault injected*. And in place of the address of a Tomcat pod there is a `-`: nothing was sent. **The
# fault is injected on the caller's side**, in the Envoy of whoever calls `tomcat`.
#
# ## 3 · Make it slow: a delay
#
# The other kind of fault. A slow service is worse than a dead one, because everybody waits for it:

# %% language="bash"
# cat manifests/08_faults_retries/04-delay.yaml
# kubectl apply -f manifests/08_faults_retries/04-delay.yaml

# %%
lab.wait()
lab.attempts(8)

# %%
lab.access_log(" DI ", workload="nginx", lines=1)

# %% [markdown]
# All answered, all after two seconds, flag `DI`, *delay injected*. One detail is easy to miss: `percentage` is **not optional** in practice. A
# fault without it is accepted and then happens to 0 % of the requests. Nothing warns you.
#
# Now set both yourself. Press **Start load** and move **abort** and **delay**; then choose **only x-chaos: yes**: half of the load carries that header,
# and only that half is hit. This is how a fault is tried out in production: on your own requests, and on nobody else's.

# %%
lab.fault_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.start()
panel.set_faults(abort=30, delay=40, seconds=0.5, chosen=True)
panel.wait_wanted()
lab.still(panel)
panel.stop()

# %% [markdown]
# ## 4 · The trap: fault and retry in one place
#
# Now let Envoy try again. The most natural thing is to write both into one route, and you will find this in many tutorials:

# %% language="bash"
# cat manifests/08_faults_retries/05-same-route.yaml
# kubectl apply -f manifests/08_faults_retries/05-same-route.yaml

# %%
lab.wait()
lab.attempts(200)

# %% [markdown]
# Three retries, and still half of the requests fail? Did Envoy get the retries at all? It did:

# %% language="bash"
# istioctl proxy-config routes deployment/nginx --name 8080 -o yaml | sed -n '/name: tomcat$/,$p' | grep -m 2 -E 'numRetries|retryOn'

# %%
lab.stats("nginx", "outbound|8080||tomcat", "upstream_rq_retry")

# %% [markdown]
# `upstream_rq_retry: 0`. Not one retry. The reason is the order of work inside one Envoy:
#
# | 1 · filter *fault* | 2 · filter *router* |
# |---|---|
# | decides at random; an abort **answers at once** and the request goes no further | chooses a pod, sends, waits, **and is the one that retries** |
#
# The retries live in the router. A request that the fault filter has answered never gets there. The same holds for a route's `timeout`: it does not
# cut an injected delay of the same route. So **a fault tests those who call, never the route that it is on.**
#
# ## 5 · What works: one hop apart
#
# The fault stays where it is, between nginx and Tomcat. The retries move one hop up, to whoever calls nginx:

# %% language="bash"
# cat manifests/08_faults_retries/06-retries.yaml
# kubectl apply -f manifests/08_faults_retries/03-abort.yaml
# kubectl apply -f manifests/08_faults_retries/06-retries.yaml

# %%
lab.wait()
lab.attempts(200)

# %% [markdown]
# Now there are second, third and fourth attempts. For the gateway, nginx is a real service that really answers 503, and it asks again. Compare with the formula:

# %%
lab.with_retries(0.5, attempts=3, n=200)

# %% [markdown]
# Read `attempts: 3` twice: it counts the tries **after** the first. Three attempts are four tries.
#
# What is left fails on the fourth try. The gateway marks it in its log: `URX`, *upstream retry limit exceeded*.

# %%
lab.access_log(" URX ", lines=1)

# %% [markdown]
# One line, although four requests went out: **the access log of the caller has one line for each request, not for each try.** The callee's has all four,
# with the same `x-request-id`:

# %%
lab.access_log(lab.explain_log(" URX ")["request_id"], workload="nginx", lines=8)

# %% [markdown]
# Two lines for each try: what nginx asked of Tomcat (`outbound`, aborted: `FI`), and what it answered (`inbound`).
#
# ### From inside, as the guide does it
#
# The VirtualService `nginx` is bound to `door` **and** to `mesh`. So it holds for every sidecar too, here for the one of a busybox:

# %% language="bash"
# kubectl run busybox --image=busybox --restart=Never --rm -i -q --image-pull-policy=IfNotPresent -- sh <<'END'
# for i in 1 2 3 4 5 6; do wget -S -O /dev/null http://nginx/ 2>&1 | grep -E 'HTTP/|x-attempt'; done
# END

# %% [markdown]
# Mostly 200, some at a later attempt, and busybox knows nothing of it: it asked once.
#
# ### What is worth a retry?
#
# Leave `retryOn` out, and see what Istio does unasked:

# %% language="bash"
# cat manifests/08_faults_retries/07-no-condition.yaml
# kubectl apply -f manifests/08_faults_retries/07-no-condition.yaml

# %%
lab.wait()
lab.attempts(100)

# %% [markdown]
# Nothing is retried. Without `retryOn` Istio retries what surely was not processed: `connect-failure`, `refused-stream`, and two gRPC codes. An
# answer of 503 may have done half of its work already, so you have to ask for it: `5xx`, `gateway-error` (502, 503, 504), or codes such as `503,429`.
#
# > **Then and now.** In the guide's Istio 1.13 and 1.18, and up to 1.23, a 503 was retried unasked. Since 1.24 it is not. What you see here is Istio 1.31.
#
# ## 6 · A limit for each try
#
# A retry also helps against slowness, if a try may be given up. `perTryTimeout` is that limit. Half of the calls of Tomcat are slow now:

# %% language="bash"
# cat manifests/08_faults_retries/08-per-try-timeout.yaml
# kubectl apply -f manifests/08_faults_retries/08-per-try-timeout.yaml

# %%
lab.wait()
lab.attempts(60)

# %% [markdown]
# Nobody waits two seconds any more. The slowest waited for four tries of 0.3 s, and about one request in sixteen got a 504, because all four of its
# tries were slow. (No `x-attempt` stands in a 504: it is the gateway's own answer, no nginx was asked for it.)

# %%
lab.access_log(" 504 ", lines=1)

# %% [markdown]
# `UT` is *upstream timeout*, `upstream_per_try_timeout` says which one. Three numbers limit one request now:
#
# * `perTryTimeout`: for each try;
# * `attempts`: how many tries may follow the first;
# * the route's `timeout`: for all tries together. A `timeout: 500ms` here would leave no time for a third try.
#
# ## 7 · The storm
#
# Retries work. So every team adds them, each at its own hop. Here is an example, [three services in a row](manifests/08_faults_retries/09-chain.yaml),
# and [retries everywhere](manifests/08_faults_retries/10-retries-everywhere.yaml): two at each hop. `back` is httpbin; it fails when its path says so.

# %% language="bash"
# kubectl apply -f manifests/08_faults_retries/09-chain.yaml
# cat manifests/08_faults_retries/10-retries-everywhere.yaml | grep -E 'name:|retries'

# %%
lab.wait("front", "middle", "back")
lab.apply("manifests/08_faults_retries/10-retries-everywhere.yaml")
lab.amplification(10, path="/status/200")

# %% [markdown]
# As long as nothing fails, ten requests are ten requests at every hop. Now `back` fails, and **one** user asks **once**:

# %%
lab.amplification(1, path="/status/503")

# %% [markdown]
# One request became **27**. Each hop tries three times, and the tries multiply: 3 × 3 × 3. They all reach the one service that has a problem already.
# It failed for a moment; now it has 27 times the load, and it cannot recover while everybody keeps asking. That is called a *retry storm*.
#
# The counts come from the sidecars' own counters. By hand it is one line:

# %% language="bash"
# kubectl exec deployment/back -c istio-proxy -- pilot-agent request GET stats 2>/dev/null | grep -E 'inbound.*upstream_rq_(total|503)'

# %% [markdown]
# And Envoy does not ask whether a repeat is harmless. A POST is retried like a GET:

# %% language="bash"
# curl -s -X POST -D - -o /dev/null -H "Host: chain.example.com" $INGRESS_URL/status/503 | grep -E 'HTTP|x-attempt'

# %% [markdown]
# The third attempt, so front got this POST three times, and back got it 27 times. If it books a flight, those may be 27 flights. **Retry only what may be
# done twice**, or let the rule with `retries` match `method: {exact: GET}`.
#
# What helps:
#
# * **Retry at one place**, best next to the service that fails: it repeats the least work. (Exercise 8.3.)
# * **A budget**: `retryBudget` in a DestinationRule lets retries be at most, say, 20 % of the running requests. A few failures are still retried,
#   an outage is not.
# * **A circuit breaker** (chapter 6), which stops asking.
# * Time between tries. Envoy waits up to 25 ms before the first retry and longer before each next, at random, so that not all ask at once.
#
# ## 8 · Set them yourself
#
# The panel sends load through the chain. It begins with what is in the mesh now: two retries at every hop, and no fault. **fault** aborts that share of
# the calls from middle to back; **attempts** sets the retries; *gateway only* takes them away from the sidecar of front. Watch three things: the
# observed success beside the predicted 1 - pⁿ (p: the share of calls that fail, n: the number of tries), how many tries requests took, and how many
# requests arrive at each hop for each one that a user sent. The bars are observed, the grey lines predicted. (`back` has no bar of its own: the fault
# is injected before it, so it only gets what is left.)

# %%
lab.retry_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.start(rate=60)
panel.who.value = "gateway only"
panel.fault.value = 50
panel.wait_predicted()
panel.who.value = "every hop"
found = panel.wait_predicted()
assert found.hops[1] > max(1.3, found.hops[0])
lab.still(panel)
panel.stop()

# %% [markdown]
# Three things to try:
#
# 1. Fault 50 %: how many attempts until 99 % succeed? What does that cost at `front`?
# 2. Fault 10 %, one attempt. Is the second attempt worth having?
# 3. Fault 100 %, two attempts, first *gateway only*, then *every hop*. What does each retry buy now, and what does it cost?
#
# <details>
# <summary>What the formula says</summary>
#
# 1. 0.5⁶ = 1.6 % and 0.5⁷ = 0.8 % fail: seven tries, `attempts: 6`. They cost about two requests at `front` for each one of a user.
# 2. One attempt: 10 % × 10 % = 1 % fail. The second: 0.1 %. Whether that is worth one request more in a hundred, you decide.
# 3. Nothing succeeds, however often it is tried. *Gateway only*: three requests for one. *Every hop*: three at `front` and nine at `middle`. (The retries of middle's own Envoy do nothing: the fault is on the same route, as in section 4.)
#
# </details>
#
# ## Exercises
#
# Write a manifest between the quotes and run the cell. Then run its check, as often as you like. Stuck? `lab.hint("8.1")` in a new cell gives one hint at a
# time, and `lab.solution("8.1")` shows a solution.
#
# ### 8.1 · Chaos, for those who ask for it
#
# Faults for a few are safer than faults for everybody. Write a VirtualService **`chaos`** for the host `chaos.example.com`, on the Gateway `door`, which sends
# everything to the Service `back` on port 8000, and:
#
# * a request with the header `x-chaos: abort` always gets **503**;
# * a request with `x-chaos: delay` always waits **500 ms** and is then answered;
# * of all other requests **10 %** get **500**, and the rest are answered.

# %% tags=["exercise"] exercise="8.1"
lab.apply("""
# Exercise 8.1: your VirtualService `chaos` goes here.
""")

# %% tags=["solution"] exercise="8.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: chaos
spec:
  hosts:
  - chaos.example.com
  gateways:
  - door
  http:
  - name: abort
    match:
    - headers:
        x-chaos: {exact: abort}
    fault:
      abort: {httpStatus: 503, percentage: {value: 100}}
    route:
    - destination: {host: back, port: {number: 8000}}
  - name: delay
    match:
    - headers:
        x-chaos: {exact: delay}
    fault:
      delay: {fixedDelay: 500ms, percentage: {value: 100}}
    route:
    - destination: {host: back, port: {number: 8000}}
  - name: everybody
    fault:
      abort: {httpStatus: 500, percentage: {value: 10}}
    route:
    - destination: {host: back, port: {number: 8000}}
""")

# %% tags=["nbval-check-output"]
lab.check("8.1")

# %% [markdown]
# ### 8.2 · Enough tries, and not more
#
# `back` answers `/unstable?failure_rate=0.3` with a 500 in three tries out of ten, at random. Write a VirtualService **`patient`** for the host
# `patient.example.com`, on the Gateway `door`, that sends everything to `back` on port 8000, so that
#
# * **fewer than one request in a hundred** fails,
# * and no request is tried more than **five times**.

# %% tags=["exercise"] exercise="8.2"
lab.apply("""
# Exercise 8.2: your VirtualService `patient` goes here.
""")

# %% tags=["solution"] exercise="8.2"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: patient
spec:
  hosts:
  - patient.example.com
  gateways:
  - door
  http:
  - name: patient
    retries: {attempts: 3, retryOn: 5xx}
    route:
    - destination: {host: back, port: {number: 8000}}
""")

# %% tags=["nbval-check-output"]
lab.check("8.2")

# %% [markdown]
# ### 8.3 · Calm the storm
#
# First bring back the retries at every hop; the panel has changed them.

# %%
lab.apply("manifests/08_faults_retries/10-retries-everywhere.yaml")

# %% [markdown]
# Now change the VirtualServices `front`, `middle` and `back` so that
#
# * one request that fails reaches `back` **four times at most**, not 27 times,
# * and still **nineteen requests in twenty** succeed when `back` fails three times in ten.
#
# With `attempts: 0`, Istio refuses a `retryOn`. Of several objects in one manifest `lab.apply` applies all or none.

# %% tags=["exercise"] exercise="8.3"
lab.apply("""
# Exercise 8.3: what you change of `front`, `middle` and `back` goes here.
""")

# %% tags=["solution"] exercise="8.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: front
spec:
  hosts: [chain.example.com]
  gateways: [door]
  http:
  - name: front
    retries: {attempts: 0}
    route:
    - destination: {host: front}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: middle
spec:
  hosts: [middle]
  http:
  - name: middle
    retries: {attempts: 0}
    route:
    - destination: {host: middle}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: back
spec:
  hosts: [back]
  http:
  - name: back
    retries: {attempts: 2, retryOn: 5xx}
    route:
    - destination: {host: back}
""")

# %% tags=["nbval-check-output"]
lab.check("8.3")

# %% [markdown]
# ## Take away
#
# * A fault is injected in the **caller's** Envoy, before the router: flags `FI` (abort) and `DI` (delay). Without `percentage` it never happens.
# * Retries live in the router. **A fault on a route is not retried by that route**; test one hop up.
# * `attempts: 3` are four tries; a request fails with chance p⁴. Without `retryOn`, answers of 5xx are not retried (since Istio 1.24).
# * `perTryTimeout` bounds a try, `timeout` all of them. Flags: `UT` timed out, `URX` the last retry failed too.
# * Tries **multiply** from hop to hop. Retry at one place, with a budget, and only what may be done twice.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it. (It does nothing before, so that *Run
# All Cells* does not take your work away.)

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
