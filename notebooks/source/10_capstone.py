# %% [markdown]
# # 10 · Capstone: save the release
#
# It is Friday, ten past five. The new checkout, v2, was released at five, to everybody. Now one order in two fails, and the developers have gone home.
# You cannot repair the program. But between the users and the program there is a mesh.
#
# **You will** read a board of service-level objectives, find out what is wrong without reading the code, protect the users at once, and then bring v2
# back to half of them, with limits that keep its faults away from them.
#
# **You will use** what you have learned: weights and matches (chapter 5), outlier detection (6), timeouts (7), retries (8), and looking before acting (all of them).
#
# **You need** about 50 minutes. You should have done chapters 5 to 8; none of their objects is needed.

# %% [markdown]
# ![Users come through the ingress gateway, where weights, retries, limits and the circuit breaker are set. On Friday it sends everything to the three pods of v2 and nothing to the two of v1.](pictures/10_capstone.svg)

# %%
from meshcourse import lab

lab.chapter("10-capstone")

# %% [markdown]
# ## 1 · Friday, five o'clock
#
# This is what was shipped: [01-checkout.yaml](manifests/10_capstone/01-checkout.yaml) is the old version with two pods, the other file the new one with three.
# (Do not read the other one yet: in real life nobody writes into a manifest what is wrong with a release.)

# %% language="bash"
# kubectl apply -f manifests/10_capstone/01-checkout.yaml
# kubectl apply -f manifests/10_capstone/02-v2.yaml

# %%
lab.wait("checkout-v1", "checkout-v2-a", "checkout-v2-b")
lab.apply("manifests/10_capstone/03-incident.yaml")

# %% [markdown]
# ## 2 · The board
#
# Your company has written down what its users may expect. These are *service-level objectives*:
#
# | objective | what it protects |
# |---|---|
# | **success**: at least 99 % of the requests are answered well | the users |
# | **p95 latency**: 95 % of the answers come within 500 ms | their patience |
# | **share of v2**: 50 %, plus or minus 9 points | the release: it has to be tried, not switched off |
# | **load on v2**: at most 1.5 requests for each one that a user sent it | v2: it must not get far more requests than users sent, because of retries |
#
# The board sends 120 requests a second and judges the last 600, that is five seconds. Press **Start load** and leave it running: you need it for the
# rest of the chapter.

# %%
lab.objective_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.start()
friday = panel.wait_counted()
assert friday.score.met < friday.score.of
assert friday.marks[0].met is False
panel.stop()

# %% [markdown]
# ## 3 · Look before you act
#
# Who fails, the gateway or the pods? The access log of the gateway knows. Count its lines by status and flags:

# %%
lab.traffic(200, host="checkout.example.com")

# %% language="bash"
# sleep 1    # Envoy writes its log once a second
# # the words 5, 6 and 7 of a line are status, flags and details
# kubectl -n istio-system logs deployment/istio-ingressgateway --tail=150 | grep checkout.example.com \
#   | awk '{print $5, $6, $7}' | sort | uniq -c

# %% [markdown]
# `503 - via_upstream`: no flag, so it is not Envoy that fails. The pods themselves say 503. Do all pods fail alike? The same lines, by pod:

# %% language="bash"
# kubectl get pods -l version=v2 -o custom-columns='POD:metadata.name,ADDRESS:status.podIP'
# # word 18 is the pod's address
# kubectl -n istio-system logs deployment/istio-ingressgateway --tail=150 | grep checkout.example.com \
#   | awk '{print $18, $5}' | sort | uniq -c

# %% [markdown]
# One of the three fails **every time**; the other two only now and then. And how long do the good answers take?

# %% language="bash"
# # word 12 is the time in milliseconds
# kubectl -n istio-system logs deployment/istio-ingressgateway --tail=150 | grep checkout.example.com \
#   | awk '$5 == 200 {print ($12 > 1000 ? "over 1 s" : "under 1 s")}' | sort | uniq -c

# %% [markdown]
# So there are three problems, and for each you know what helps:
#
# | problem | how you saw it |
# |---|---|
# | one pod of three fails always | by pod |
# | the other two fail now and then | by pod |
# | about one good answer in seven takes over a second | by duration |
#
# Nothing in between: either well under 100 ms, or 1.2 s. Remember that when you choose a limit.
#
# ## Exercise 10.1 · Protect the users first
#
# Change the VirtualService **`checkout`** so that
#
# * **everybody** is served by v1, at once;
# * whoever sends the header `x-tester: yes` still gets v2: you will need it to look further. (In YAML a bare `yes` means true. The text is written `'yes'`.)
#
# Watch the board while you do it: success and latency recover within five seconds. The share of v2 does not, of course.

# %% tags=["exercise"] exercise="10.1"
lab.apply("""
# Exercise 10.1: the VirtualService `checkout`, changed, goes here.
""")

# %% tags=["solution"] exercise="10.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: checkout
spec:
  hosts:
  - checkout.example.com
  gateways:
  - shop
  http:
  - name: testers
    match:
    - headers:
        x-tester: {exact: 'yes'}
    route:
    - destination: {host: checkout, subset: v2}
  - name: everybody
    route:
    - destination: {host: checkout, subset: v1}
      weight: 100
    - destination: {host: checkout, subset: v2}
      weight: 0
""")

# %% tags=["nbval-check-output"]
lab.check("10.1")

# %% [markdown]
# The users are safe. But on Monday the company wants v2, and to repair it will take a week.
#
# ## Exercise 10.2 · Save the release
#
# Bring v2 back to **half** of the users, in steps if you like, with limits so that **all four objectives** hold. You may change the VirtualService
# `checkout` and the DestinationRule `checkout`, and nothing else: no pod is touched, and subset v2 stays the whole release, all three pods.
#
# The check sends the same load as the board, which rests meanwhile, and judges by the same objectives. Change one thing at a time and look at the
# board: each change moves another line. It takes about fifteen seconds. If you are stuck, `lab.hint("10.2")` helps step by step.

# %% tags=["exercise"] exercise="10.2"
lab.apply("""
# Exercise 10.2: the VirtualService and the DestinationRule `checkout`, changed, go here, with `---` between them.
""")

# %% tags=["solution"] exercise="10.2"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: checkout
spec:
  host: checkout
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 7
      interval: 1s
      baseEjectionTime: 3m
      maxEjectionPercent: 34
  subsets:
  - name: v1
    labels: {version: v1}
  - name: v2
    labels: {version: v2}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: checkout
spec:
  hosts:
  - checkout.example.com
  gateways:
  - shop
  http:
  - name: checkout
    timeout: 2s
    retries:
      attempts: 3
      perTryTimeout: 250ms
      retryOn: 5xx
    route:
    - destination: {host: checkout, subset: v1}
      weight: 50
    - destination: {host: checkout, subset: v2}
      weight: 50
""")

# %% tags=["headless"]
panel.start()
saved = panel.wait_met(held=1.0)
assert saved.score.met == saved.score.of
lab.still(panel)
panel.stop()

# %% tags=["nbval-check-output"]
lab.check("10.2")

# %% [markdown]
# Passed? Then look at what Envoy knows of v2's pods now. One of the three should read `FAILED` under `OUTLIER CHECK`:

# %% language="bash"
# istioctl proxy-config endpoints deployment/istio-ingressgateway.istio-system --cluster 'outbound|80|v2|checkout.capstone.svc.cluster.local'

# %% [markdown]
# ## What each change did
#
# When this chapter was written, 400 requests were sent at 50 a second after each step (Istio 1.31, embedded cluster):
#
# | what was in the mesh | success | p95 | requests at v2 for each of a user's |
# |---|---|---|---|
# | Friday: all to v2 | 46 % | 1,213 ms | 1.0 |
# | half to v2, nothing else | 78 % | 188 ms | 1.0 |
# | and three retries on 5xx | 99.8 % | **1,215 ms** | 1.6 |
# | and 250 ms for each try | 98.8 % | 296 ms | **1.8** |
# | and outlier detection | 100 % | 274 ms | 1.25 |
#
# Read it from the top: retries bring back success and cost time, a limit for each try brings back the time and costs load, and only the circuit breaker
# removes the cause: a pod that fails faster than the others can answer gets more and more of the requests. **No single setting saves the release; each
# makes up for the cost of the one before.**
#
# And one thing the mesh cannot do: it does not repair v2. Its errors are still in its log, and somebody has to repair it on Monday.
#
# ## Take away
#
# * **Protect the users first**: move the traffic away, leave the pods. It is one number, and takes less than a second.
# * **Look before you act**: by status and flag (Envoy or pod?), by pod (all or one?), by duration (how slow is slow?).
# * Say in numbers what *good* means before you change settings, and judge over enough requests: with 600 you can tell 99 % from 97 %.
# * Retry what fails, limit each try, eject what fails always; and watch what each of these costs.
#
# That was the course. On your production cluster every command is the same.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it. (It does nothing before, so that *Run
# All Cells* does not take your work away.)

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
