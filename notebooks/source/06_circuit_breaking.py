# %% [markdown]
# # 6 · Circuit breaking
#
# One slow service can stop a whole company. Its callers wait, each waiting caller holds memory and a connection, soon *they* are slow, and
# so on upwards. A **circuit breaker** stops this where it begins: beside the caller. When too much is under way already, the next request
# gets an error at once instead of a place in an endless queue. To fail at once is better for everybody than to fail late.
#
# **You will** put a breaker in front of `httpbin`, trip it with two and three callers, count what it refused, see it take a broken replica out of
# service, and turn all of its limits yourself while load runs.
#
# **You will learn** what the fields of `connectionPool` and `outlierDetection` do in Envoy, how to read `UO` and `UH` in a log, why the percentages of
# such a test are never the point, and three surprises that have cost others a night's work.
#
# **You need** about 55 minutes. No earlier chapter is needed.

# %% [markdown]
# ![Three requests leave fortio; its Envoy lets one through, lets one wait and refuses the third with 503 UO. A broken replica gets nothing.](pictures/06_circuit_breaking.svg)
#
# **Envoy** is the proxy that Istio puts beside each program, in the same pod, as its *sidecar*: all that the program sends and gets passes it.
#
# The breaker is not a machine in the middle of the network. It is in the Envoy **of the caller**, which refuses the request before it is sent.
# ("Circuit breaker" is the name of the switch that cuts the electricity of a house when too much of it flows.)

# %%
from meshcourse import lab

lab.chapter("06-circuit-breaking")

# %% [markdown]
# ## 1 · A service, and somebody who calls it
#
# `httpbin` answers requests about requests: `/get` says what it got, `/status/503` fails, `/delay/0.5` takes half a second. `fortio` sends load and
# counts the answers. Both manifests have the names and ports of Istio's own samples.

# %% language="bash"
# kubectl delete destinationrule/httpbin deployment/httpbin-faulty --ignore-not-found   # in case that you have been here before
# kubectl apply -f manifests/06_circuit_breaking/01-httpbin.yaml
# kubectl apply -f manifests/06_circuit_breaking/02-fortio.yaml
# kubectl rollout status deployment/httpbin --timeout=120s
# kubectl rollout status deployment/fortio-deploy --timeout=120s
# kubectl get pods

# %% [markdown]
# One call, from inside fortio's pod:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio curl -quiet http://httpbin:8000/get 2>&1 | head -12

# %% [markdown]
# **200**, and `server: envoy`: fortio's own sidecar passed it on. It always does, in both directions; fortio believes that it talks to httpbin.
#
# ## 2 · Without a breaker
#
# Three callers at once (`-c 3`), thirty requests in all (`-n 30`), as fast as the answers come (`-qps 0`):

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 3 -qps 0 -n 30 http://httpbin:8000/get 2>&1 | grep "Code "

# %% [markdown]
# All answered. Istio sets **no limit** unless you ask for one: it would let ten thousand requests wait in front of one pod.
#
# ## 3 · A limit
#
# A [DestinationRule](words.md#DestinationRule) says how callers treat a service. This one: one connection to httpbin, and one request that may wait for
# it. That is absurdly little, so that three callers are enough to reach it:

# %% language="bash"
# cat manifests/06_circuit_breaking/03-limits.yaml
# kubectl apply -f manifests/06_circuit_breaking/03-limits.yaml

# %%
lab.wait()

# %% [markdown]
# | field | what Envoy does |
# |---|---|
# | `maxConnections: 1` | one TCP connection to the whole Service. HTTP/1.1 does one request at a time on it, so: **one request at work** |
# | `http1MaxPendingRequests: 1` | **one request waits** for a connection to become free |
# | `maxRequestsPerConnection: 1` | a connection is closed after one request, and the next request opens a new one. It is no limit on load |
#
# One caller alone, then two:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 1 -qps 0 -n 10 http://httpbin:8000/get 2>&1 | grep "Code "
# echo "--- two callers"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 2 -qps 0 -n 20 http://httpbin:8000/get 2>&1 | grep "Code "

# %% [markdown]
# One caller never meets the limit. Two may: while one request is at work and one waits, there is no room for a third, and closing a
# connection and opening the next takes a moment too. Now three callers:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 3 -qps 0 -n 30 http://httpbin:8000/get 2>&1 | grep "Code "

# %% [markdown]
# A good part of them is `503` now. Who said so? Not httpbin. Ask the log of **fortio's** sidecar:

# %%
lab.access_log(" UO ", workload="fortio-deploy", lines=1)

# %% [markdown]
# `503 UO`: *upstream overflow*, a limit was reached. Then `overflow` once more in the details, `0` milliseconds, and `"-"` where the address of a pod
# should be: the request never left fortio's pod. That is the whole point. httpbin did not even notice.
#
# ## 4 · What Envoy counted
#
# A log line is one request. For all of them there are counters, in the Envoy that refused. (fortio's manifest has an annotation that lets its sidecar keep
# them; by default Istio drops most of Envoy's counters to save memory.)

# %%
lab.stats("fortio-deploy", "httpbin", "pending")

# %% [markdown]
# `upstream_rq_pending_overflow` is the number to remember: **requests that found no place.** `upstream_rq_pending_total` counts those that found one.
# Is it the same number as fortio's `503`s? Ask before and after:

# %% language="bash"
# overflow() { kubectl exec deploy/fortio-deploy -c istio-proxy -- pilot-agent request GET stats 2>/dev/null | grep httpbin | grep pending_overflow | grep -o '[0-9]*$'; }
# before=$(overflow)
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 3 -qps 0 -n 30 http://httpbin:8000/get 2>&1 | grep "Code "
# echo "Envoy counted $(( $(overflow) - before )) more as overflow"

# %% [markdown]
# Mostly it is exactly the same number. (One or two may be missing: section 6 says why.)
#
# Were the refused requests tried again? Envoy can retry failures, if a VirtualService asks for it. So ask for it, for every 503, and send the thirty requests once more:

# %% language="bash"
# cat manifests/06_circuit_breaking/09-retry.yaml
# kubectl apply -f manifests/06_circuit_breaking/09-retry.yaml

# %%
lab.wait()
lab.stats("fortio-deploy", "httpbin", "upstream_rq_retry:")
lab.sh(
    "kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 3 -qps 0 -n 30 http://httpbin:8000/get 2>&1 | grep 'Code '"
)
lab.stats("fortio-deploy", "httpbin", "upstream_rq_retry:")

# %% [markdown]
# Many requests were refused, and hardly one was retried. **Envoy never retries an overflow, whatever `retryOn` says**: a request that was refused to
# protect a service must not come back at once. (A few retries are possible. They are 503s that come from *httpbin's* sidecar, section 6; for the
# caller's Envoy those are answers like any other.) Does the rule work at all? Four requests that httpbin itself answers with 503:

# %%
lab.sh(
    "kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 1 -qps 0 -n 4 http://httpbin:8000/status/503 2>&1 | grep 'Code '"
)
lab.stats("fortio-deploy", "httpbin", "upstream_rq_retry:")

# %% [markdown]
# Eight more: each of the four was tried twice again. Take the rule away:

# %% language="bash"
# kubectl delete -f manifests/06_circuit_breaking/09-retry.yaml

# %%
lab.wait()

# %% [markdown]
# > **Then and now.** Up to Istio 1.23 a 503 that came from the other side was retried twice by default, an overflow never. The guide was written for 1.13 and 1.18. Its `remaining_pending`
# > is gone: since 1.29 Envoy is no longer asked to count it.
#
# ## 5 · Why the percentages are not the lesson
#
# The same command, three times:

# %% language="bash"
# for turn in 1 2 3; do
#   kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 3 -qps 0 -n 30 http://httpbin:8000/get 2>&1 | grep "Code 200"
# done

# %% [markdown]
# Three results, and on your neighbour's machine three others. Istio's documentation once printed 63.3 % refused for this very run and once 36.7 %.
# Requests that take a millisecond overlap or not, by chance. So never write "40 % must fail" into a test. Ask what does not depend on chance: **is the
# limit in force, and does the counter rise when it must?**
#
# It must when the requests surely overlap. Six callers send one request each, and each takes half a second:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 6 -qps 0 -n 6 http://httpbin:8000/delay/0.5 2>&1 | grep "Code "

# %% [markdown]
# One at work and one waiting would make two. You see **three**, or two. Envoy has two worker threads, and each may keep *one* connection even when the limit
# of the whole is reached, or a thread without one could never send anything. Limits are made to stop far too many requests, not to count to one.
#
# ## 6 · First surprise: two Envoys apply your limit
#
# You wrote the rule for callers. But look at what **httpbin's own** sidecar holds for requests that come *in*:

# %% language="bash"
# istioctl proxy-config clusters deploy/httpbin --direction inbound --port 8080 -o json | grep -A 5 thresholds

# %% [markdown]
# The same limit of 1. Istio applies `connectionPool` on both sides, and the two count differently:
#
# * **each caller's** Envoy counts what *it* has under way. Ten pods of fortio with `maxConnections: 1` make ten connections;
# * **the server's** Envoy counts what comes from *all* callers together, and refuses what goes beyond.
#
# So if you think "each caller may open 100" and have twelve callers, the server's sidecar refuses many of their requests. See it with two callers. A
# second pod of fortio, and both send one request at a time, which takes half a second:
#
# %% language="bash"
# kubectl scale deployment/fortio-deploy --replicas=3
# kubectl rollout status deployment/fortio-deploy --timeout=120s
# for pod in $(kubectl get pods -l app=fortio -o name); do
#   kubectl exec $pod -c fortio -- /usr/bin/fortio load -quiet -c 1 -qps 0 -n 4 http://httpbin:8000/delay/0.5 2>&1 | grep "Code " &
# done; wait

# %% [markdown]
# No caller has more than one request under way, and still some get 503. Who said so?

# %%
lab.access_log(" UO ", workload="httpbin", lines=1)

# %% language="bash"
# kubectl scale deployment/fortio-deploy --replicas=1
# kubectl rollout status deployment/fortio-deploy --timeout=60s

# %% [markdown]
# `503 UO` in the log of **httpbin's** sidecar. The caller's log says `503 - via_upstream` for it, as if httpbin itself had failed.
#
# ## 7 · Second surprise: the rule from the documentation
#
# Istio's documentation, and the guide, add a second part to the rule: **outlier detection**. Limits stop too many requests. [Outlier
# detection](words.md#outlier-detection) watches each pod's answers, and sends nothing more to the one that keeps failing: the pod is *ejected*. (Many
# books call only this a circuit breaker; Istio calls both circuit breaking.)

# %% language="bash"
# cat manifests/06_circuit_breaking/04-destinationrule.yaml
# kubectl apply -f manifests/06_circuit_breaking/04-destinationrule.yaml

# %%
lab.wait()

# %% [markdown]
# `consecutive5xxErrors: 1`, `baseEjectionTime: 3m`. Let httpbin fail **once**, and then ask for something that works:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio curl -quiet http://httpbin:8000/status/503 2>&1 | head -1
# echo "--- and a page that works:"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio curl -quiet http://httpbin:8000/get 2>&1 | sed "s/command terminated.*//"

# %% [markdown]
# `no healthy upstream`, for three minutes, because of one single error. Ask Envoy what it thinks of the pod (`$NAMESPACE` is this chapter's namespace,
# in every shell cell):

# %% language="bash"
# istioctl proxy-config endpoints deploy/fortio-deploy --cluster "outbound|8000||httpbin.$NAMESPACE.svc.cluster.local"

# %%
lab.access_log(" UH ", workload="fortio-deploy", lines=1)

# %% [markdown]
# `HEALTHY` is what Kubernetes says of the pod, `FAILED` what outlier detection says. `UH` means *no healthy upstream*: no pod is left to send to.
#
# Think of section 6: many requests at once reach the limit in **httpbin's own** sidecar, the caller sees a 503 from that pod, one error is enough, and
# the healthy pod is gone for three minutes. The rule is made for a short demonstration. Do not copy it.
#
# ## 8 · A broken replica
#
# Now a failure as it happens in real life: one of two replicas is broken. Here it is an nginx that answers everything with 503; it has the
# label that the Service looks for.

# %% language="bash"
# kubectl delete destinationrule httpbin
# kubectl apply -f manifests/06_circuit_breaking/05-faulty.yaml
# kubectl rollout status deployment/httpbin-faulty --timeout=120s
# kubectl get pods -l app=httpbin

# %%
lab.wait("httpbin-faulty")

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 2 -qps 0 -n 100 http://httpbin:8000/get 2>&1 | grep "Code "

# %% [markdown]
# Both pods are `2/2`, `Running`, ready: a readiness probe looks at what it was told to look at, and this pod has none. Kubernetes goes on sending it its share,
# and since failing is quick, it looks *less busy* than the healthy one. About half of all requests fail.
#
# The rule for this has no tight limits. Three errors in a row, and out for ten seconds:

# %% language="bash"
# cat manifests/06_circuit_breaking/06-ejection.yaml
# kubectl apply -f manifests/06_circuit_breaking/06-ejection.yaml

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 2 -qps 0 -n 100 http://httpbin:8000/get 2>&1 | grep "Code "
# istioctl proxy-config endpoints deploy/fortio-deploy --cluster "outbound|8000||httpbin.$NAMESPACE.svc.cluster.local"

# %% [markdown]
# Three or four requests failed until the pod was ejected; after that none reached it. Nobody had to do anything.
#
# | field | meaning | if you leave it out |
# |---|---|---|
# | `consecutive5xxErrors` | so many errors in a row, from one pod | 5 |
# | `interval` | how often Envoy looks whether somebody may come back in | 10s |
# | `baseEjectionTime` | out for so long, *times the number of ejections until now* | 30s |
# | `maxEjectionPercent` | at most so many of the pods may be out | **10 %: of two pods that is none** |
# | `minHealthPercent` | with fewer pods in than this, ignore all ejections | 0: never |
#
# The moment when a pod comes back costs most. Envoy gathers changes of health for up to a second, so a pod that is let in and fails at once still gets
# **about a second of its share** before it is out again. You will see that in the panel.
#
# ## 9 · Third surprise: when all are out
#
# A database is slow, and for a moment *every* replica fails. Each is ejected, and although all are well again a second later, there is none left:
# outlier detection has made a long failure out of a short one, as in section 7. `minHealthPercent` prevents that. Below that share Envoy says "they
# cannot *all* be broken", and sends to everyone again. (Envoy calls it [panic mode](words.md#panic-mode).)

# %% language="bash"
# kubectl patch destinationrule httpbin --type=merge -p '{"spec":{"trafficPolicy":{"outlierDetection":{"minHealthPercent":50}}}}'

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 1 -qps 0 -n 12 http://httpbin:8000/status/503 2>&1 | grep "Code "
# istioctl proxy-config endpoints deploy/fortio-deploy --cluster "outbound|8000||httpbin.$NAMESPACE.svc.cluster.local"

# %% [markdown]
# Every replica has failed, and both are ejected. Now a page that works, ten times a second for three seconds:

# %% language="bash"
# kubectl exec deploy/fortio-deploy -c fortio -- /usr/bin/fortio load -quiet -c 1 -qps 10 -n 30 http://httpbin:8000/get 2>&1 | grep "Code "

# %%
lab.stats("fortio-deploy", "httpbin", "lb_healthy_panic")

# %% [markdown]
# Both are `FAILED`, and yet the healthy one answers about half. `lb_healthy_panic` counts the requests for which Envoy ignored the ejections. Without the field it
# would be 503 every time, as in section 7. (If the first second looks worse than the rest: that is Envoy gathering changes again.)
#
# ## 10 · Set the limits yourself
#
# The panel's callers come in through the ingress gateway to fortio, and fortio calls httpbin for them, so that its Envoy keeps the breaker as before:

# %% language="bash"
# kubectl apply -f manifests/06_circuit_breaking/07-door.yaml
# kubectl replace -f manifests/06_circuit_breaking/06-ejection.yaml

# %% [markdown]
# Each caller sends a request that takes a tenth of a second, waits for the answer, and asks again. **Left: what the callers got. Right: what Envoy
# counted. Below: which endpoint is in use, and which is ejected.** Press **Start load**, then move things. (When a rule changes, Envoy builds its group of
# endpoints anew: everybody is let in again, and some of its counters begin at 0, which shows as a small dent on the right.)

# %%
lab.breaker_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.set_failing(False)
panel.set_breaker(connections=0, waiting=0, errors=0)
panel.start(callers=8)
panel.wait_seen("answered", at_least=20)
panel.widgets.sliders["connections"].value = 1
panel.widgets.sliders["waiting"].value = 1
panel.wait_seen("over the limit", at_least=20)
assert (panel.snapshot().breaker.connections, panel.snapshot().breaker.waiting) == (1, 1)
panel.set_breaker(connections=0, waiting=0, errors=3, seconds=30)
panel.widgets.failing.value = True
(out,) = panel.wait_ejected()
assert "faulty" in out.name
panel.wait_seen("answered", at_least=20)
lab.still(panel)
panel.stop()

# %% [markdown]
# Things to try:
#
# 1. Untick **failing replica** and set `consecutive5xxErrors` to 0. Then 8 callers, `maxConnections` 1, `http1MaxPendingRequests` 1. Raise one of the two until nothing is refused. Which one makes callers *wait*, and which makes them *served*?
#    (The median under the sliders tells.)
# 2. Tick **failing replica** with `consecutive5xxErrors` 0, then 3. Then set `baseEjectionTime` to 5 and watch the replica come back, and what each visit costs.
# 3. The documentation's rule: 1, 1, and 1 error. Raise the callers. How long until *none left*? And with `minHealthPercent` 50?
#
# <details>
# <summary>What you should have seen</summary>
#
# 1. More `http1MaxPendingRequests` makes callers wait: nothing is refused any more, and the median rises. More `maxConnections` makes them served: nothing is refused, and the median stays near a tenth of a second.
# 2. With 0 the failing replica keeps its share of the requests. With 3 it is ejected after three errors; every five seconds or more it comes back, fails for about a second, and is ejected again, each time for longer.
# 3. As soon as the limit in httpbin's own sidecar refuses one request, the only good pod is ejected. With `minHealthPercent` 50 Envoy sends to it nevertheless.
#
# </details>
#
# ## Exercises
#
# Another pod, `reports`, and three Services for you. The pods of this chapter stay as they are, the broken one too:

# %% language="bash"
# kubectl apply -f manifests/06_circuit_breaking/08-exercises.yaml
# kubectl scale deployment/httpbin-faulty --replicas=1
# kubectl rollout status deployment/reports --timeout=120s
# kubectl rollout status deployment/httpbin-faulty --timeout=120s

# %% [markdown]
# ### 6.1 · Two at work, three waiting
#
# The Service `reports` makes big reports, and more than two at a time need more memory than it has. Write a DestinationRule called **`reports`**: two
# requests at work, three may wait, all others are refused at once. The check sends twelve at the same moment.

# %% tags=["exercise"] exercise="6.1"
lab.apply("""
# Exercise 6.1: your DestinationRule `reports` goes here.
""")

# %% tags=["solution"] exercise="6.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reports
spec:
  host: reports
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 2
      http:
        http1MaxPendingRequests: 3
""")

# %% tags=["nbval-check-output"]
lab.check("6.1")

# %% [markdown]
# ### 6.2 · Put out the broken one
#
# The Service `orders` stands over the two pods of this chapter, the good one and the broken one. Write a DestinationRule called **`orders`**: who fails
# three times in a row is ejected, for thirty seconds the first time, and never more than half of the pods.

# %% tags=["exercise"] exercise="6.2"
lab.apply("""
# Exercise 6.2: your DestinationRule `orders` goes here.
""")

# %% tags=["solution"] exercise="6.2"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: orders
spec:
  host: orders
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: 30s
      maxEjectionPercent: 50
""")

# %% tags=["nbval-check-output"]
lab.check("6.2")

# %% [markdown]
# ### 6.3 · Better the ejected than nobody
#
# The Service `tickets` sells tickets. Write a DestinationRule called **`tickets`**: who fails twice in a row is ejected for a minute, *all* pods if it
# must be. But when fewer than half of them are left, callers shall try the ejected ones rather than get nothing.

# %% tags=["exercise"] exercise="6.3"
lab.apply("""
# Exercise 6.3: your DestinationRule `tickets` goes here.
""")

# %% tags=["solution"] exercise="6.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: tickets
spec:
  host: tickets
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 2
      interval: 1s
      baseEjectionTime: 1m
      maxEjectionPercent: 100
      minHealthPercent: 50
""")

# %% tags=["nbval-check-output"]
lab.check("6.3")

# %% [markdown]
# ## Take away
#
# * The breaker is **beside the caller** and refuses at once: `503 UO` after 0 ms, and the service never hears of it.
# * `maxConnections` is how many are at work (with HTTP/1.1), `http1MaxPendingRequests` how many wait. Without the second the queue has no end.
# * `outlierDetection` ejects a **pod** that keeps failing, though Kubernetes calls it ready. `UH` means that no pod is left.
# * Three surprises: the server's sidecar keeps the same limits for all callers together; one single error ejects a pod, if you set it so; and when all are ejected there is none left, unless
#   `minHealthPercent` says otherwise.
# * `maxEjectionPercent` is 10 by default, and 10 % of a small Service is nobody.
# * Judge by counters (`upstream_rq_pending_overflow`, `ejections_active`), not by the percentages of one run.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it.

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
