# %% [markdown]
# # 7 · Timeouts
#
# A server that says *no* is a problem. A server that says **nothing** is a bigger one: whoever called it waits, holds a connection and memory while
# waiting, and soon answers nobody itself. So one slow database can stop everything that needs it. A **timeout** says how long to wait.
#
# **You will** let nginx pass requests on to Tomcat, set a timeout between the two without touching either, see who gave up and who went on working for
# nobody, and look at a single request hop by hop.
#
# **You will learn** whose Envoy keeps a timeout, how to read `504 UT` and `DC`, three traps around nginx and injected delays, why timeouts must grow from
# the inside out, and why a page takes six seconds when its author wrote three.
#
# **You need** about 50 minutes. No earlier chapter is needed.

# %% [markdown]
# ![A client asks nginx, nginx asks tomcat. The Envoy beside nginx waits one second, then says 504 UT. tomcat works on for nobody.](pictures/07_timeouts.svg)
#
# **Envoy** is the proxy that Istio puts beside each program, in the same pod, as its *sidecar*: all that the program sends and gets passes it.
#
# The clock runs **beside the one who waits**, in the caller's Envoy. When the time is over, that Envoy answers 504 in place of the server. The server
# does not know, and goes on working.

# %%
from meshcourse import lab

lab.chapter("07-timeouts")

# %% [markdown]
# ## 1 · Two servers and somebody who asks
#
# nginx in front, Tomcat behind, as in many a company, and a `client` with busybox's `wget`. Each gets a sidecar; nginx and tomcat get a Service, which is a name.

# %% language="bash"
# kubectl delete virtualservice/tomcat virtualservice/nginx virtualservice/reviews --ignore-not-found   # in case that you have been here before
# kubectl apply -f manifests/07_timeouts/01-nginx-tomcat.yaml -f manifests/07_timeouts/02-services.yaml
# for name in nginx tomcat client; do kubectl rollout status deployment/$name --timeout=120s | tail -1; done
# kubectl get pods

# %% [markdown]
# `http://tomcat:8080/slow?seconds=2` takes two seconds: a page with a slow query behind it. (On the embedded cluster a small program answers in place
# of Tomcat; `kubectl describe pod` says so. With the real one, the same page is a JSP.)
#
# ## 2 · Tell nginx where Tomcat is, inside its pod
#
# The guide opens a shell in nginx's pod (`kubectl exec -it deploy/nginx -c nginx -- sh`), edits `/etc/nginx/conf.d/default.conf` with `vi`, and reloads
# nginx. A notebook has no keyboard inside a pod, so the same is done with `tee`:

# %% language="bash"
# kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < manifests/07_timeouts/nginx-http10.conf
# kubectl exec deploy/nginx -c nginx -- nginx -s reload 2>&1

# %% [markdown]
# Ask nginx, as the guide does, from a busybox pod that exists for one question only. (In a terminal: `kubectl run busybox --image=busybox
# --restart=Never --rm -it -- sh`, and then type `wget` as often as you like. Here `echo` types it.)

# %% language="bash"
# echo 'wget -q -O - http://nginx/' | kubectl run busybox --image=busybox --restart=Never --rm -i --quiet -- sh 2>&1 || true

# %% [markdown]
# ### First trap: HTTP/1.0
#
# `426 Upgrade Required`. nginx is fine, Tomcat is fine, and still nothing works. Who answers 426?

# %%
lab.access_log(" 426 ", workload="tomcat", lines=1)

# %% [markdown]
# `DPE low_version`: the Envoy in front of Tomcat. nginx was told to speak **HTTP/1.0** to the server behind it, as it did by default for twenty years,
# and Envoy does not accept HTTP/1.0. (nginx's own Envoy did not even look inside and passed the bytes on; no rule of yours would have been kept.) One
# line helps, `proxy_http_version 1.1`:

# %% language="bash"
# kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < manifests/07_timeouts/nginx.conf
# kubectl exec deploy/nginx -c nginx -- nginx -s reload 2>&1
# sleep 0.5   # nginx starts its new workers
# kubectl exec deploy/client -c client -- wget -q -O - http://nginx/

# %% [markdown]
# Tomcat's page, through nginx.
#
# > **Then and now.** From nginx 1.29.7 on (March 2026) HTTP/1.1 is the default, and the line is no longer needed. The images of the guide's time need it.
# >
# > And a warning: what you change by `kubectl exec` is gone with the pod, and nobody sees that it was ever there. Put the file into a ConfigMap if you want to keep it.
#
# ## 3 · How long does everybody wait?

# %% language="bash"
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - "http://nginx/slow?seconds=1.5"' 2>&1 | grep -v -E "user|sys"

# %% [markdown]
# As long as it takes. **Istio's default is no timeout at all**: it cannot know whether your page is a login or a report of ten minutes. (nginx would
# give up after 60 s of silence.)
#
# ## 4 · One second is enough
#
# A `VirtualService` says what becomes of the requests for a host. This one is for the host `tomcat`:

# %% language="bash"
# cat manifests/07_timeouts/03-virtualservice-timeout.yaml
# kubectl apply -f manifests/07_timeouts/03-virtualservice-timeout.yaml

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - "http://nginx/slow?seconds=3"' 2>&1 | grep -E "wget|real"

# %% [markdown]
# **504 Gateway Timeout, after one second**, not after three. No line of nginx, Tomcat or wget was changed.
#
# ## 5 · Who gave up, and who does not know yet?
#
# Three Envoys saw that request. The client's sidecar first, then the two directions of nginx's, then tomcat's:

# %%
lab.access_log("/slow?seconds=3", workload="client", lines=1)
lab.access_log("/slow?seconds=3", workload="nginx", lines=2)
lab.access_log("/slow?seconds=3", workload="tomcat", lines=1)

# %% [markdown]
# | where | what it says | what it means |
# |---|---|---|
# | nginx's Envoy, `outbound\|8080\|\|tomcat` | `504 UT response_timeout`, 1000 ms | *upstream timeout*: **this one gave up** |
# | nginx's Envoy, `inbound\|80\|\|` and the client's | `504 - via_upstream` | passed that answer on |
# | tomcat's Envoy | `0 DC` | *downstream disconnect*: the caller closed the connection, and no answer went back |
#
# So the rule for the host `tomcat` lies in the sidecar of the one who **asks** tomcat, here nginx's. And Tomcat itself? It needed two more seconds. Its
# Envoy closed the connection, but this page does not look at that, and went on working for nobody. **A timeout helps the one who waits, not the one who
# works.** If callers come faster than the work gets done, you need a breaker too (chapter 6).
#
# Envoy holds the rule as a number in its route:

# %% language="bash"
# istioctl proxy-config routes deploy/nginx --name 8080 -o json | grep -E '"name": "(pages|tomcat)|"timeout": "1s"'

# %% [markdown]
# ## 6 · Second trap: the Host header
#
# Nearly every nginx example on the web has this line. It tells the server behind nginx which name the user typed:

# %% language="bash"
# kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < manifests/07_timeouts/nginx-host.conf | grep Host
# kubectl exec deploy/nginx -c nginx -- nginx -s reload 2>&1
# sleep 0.5
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - "http://nginx/slow?seconds=2"' 2>&1 | grep -v -E "user|sys"

# %% [markdown]
# Two seconds, and no timeout! Where did the rule go?

# %%
lab.access_log("allow_any", workload="nginx", lines=1)

# %% [markdown]
# An Envoy chooses the route by the **Host header**. nginx now sends `Host: nginx` to port 8080, no Service of that name has that port, so Envoy passes
# the request through to the address as it is: `PassthroughCluster`. It arrives, and *every* rule for tomcat is skipped: timeouts, retries, weights,
# mutual TLS. Nothing fails, which makes it so hard to find. Back to the good file:

# %% language="bash"
# kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < manifests/07_timeouts/nginx.conf > /dev/null
# kubectl exec deploy/nginx -c nginx -- nginx -s reload 2>&1

# %% [markdown]
# ## 7 · Third trap: a delay that Istio injects
#
# You need no slow server to try a timeout; Istio can inject a delay (chapter 8 is about that). The tempting thing is to write both into one rule:

# %% language="bash"
# tail -11 manifests/07_timeouts/05-virtualservice-delay.yaml
# kubectl apply -f manifests/07_timeouts/05-virtualservice-delay.yaml

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - http://nginx/' 2>&1 | grep -v -E "user|sys"

# %% [markdown]
# `timeout: 1s`, and yet 200 after two seconds. In an Envoy, the filter that injects faults comes **before** the router, and the timeout is the
# router's: its clock starts when the delay is over. The timeout belongs **one hop earlier**, where the delay looks like a slow answer. That is the
# arrangement of the guide:

# %% language="bash"
# cat manifests/07_timeouts/06-virtualservice-nginx.yaml
# kubectl apply -f manifests/07_timeouts/06-virtualservice-nginx.yaml

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - http://nginx/' 2>&1 | grep -E "wget|real"

# %%
lab.access_log(" UT ", workload="client", lines=1)

# %% [markdown]
# Now it is the **client's** sidecar that measures the time for the host `nginx`, and it says `UT` after one second. Back to the simple rule:

# %% language="bash"
# kubectl delete virtualservice nginx
# kubectl apply -f manifests/07_timeouts/03-virtualservice-timeout.yaml
# kubectl apply -f manifests/07_timeouts/04-door.yaml

# %% [markdown]
# ## 8 · One request, hop by hop
#
# The last manifest opened a way in from outside: `slow.example.com`, through the ingress gateway to nginx. So two clocks can run now, the gateway's and
# that of nginx's Envoy. **Send one request**, look at the bars, then move a slider and send another. (The hops are read from the proxies' access logs,
# which Envoy writes once a second; so the lower bars come a moment later.)

# %%
lab.wait()
lab.timeout_panel()

# %% tags=["headless"]
panel = lab.panel()
panel.set_timeout("tomcat", 0.5)
panel.set_delay(1.5)
lab.wait()
journey = panel.wait_journey(panel.send().number)
assert journey.status == 504
assert journey.quitter.place.name == "nginx's Envoy to tomcat"
assert 0.4 < journey.quitter.seconds < 1.0
panel.widgets.timeouts[1].value = 1.0
panel.set_delay(0.3)
journey = panel.wait_journey(panel.send().number)
assert (journey.status, journey.quitter) == (200, None)
assert panel.set_timeout("tomcat", 1.0) == 1.0
lab.still(panel)

# %% [markdown]
# Things to try:
#
# 1. Tomcat takes 2 s, nginx's Envoy waits 1 s. Who is orange, who is pink? The bar with only a frame is Tomcat.
# 2. Let the **gateway** wait 0.5 s and nginx's Envoy 1 s. Who gives up now? What would nginx have had to say, and to whom?
# 3. Both at 0. How long is everybody's bar?
#
# <details>
# <summary>What you should have seen</summary>
#
# 1. nginx's Envoy gives up after 1 s (it says 504 `UT`), the Envoys before it pass that on, and Tomcat works for its 2 s.
# 2. The gateway gives up after 0.5 s. nginx would have had its answer, a 504, after 1 s, and nobody is there to hear it.
# 3. No timeout: all bars are as long as Tomcat's.
#
# </details>
#
# The second is a common mistake. **Timeouts must grow from the inside out:** whoever is nearer to the work gives up first, so that the callers outside
# are still there and can show a friendly page or try another server.
#
# ## 9 · Six seconds: who wrote that?
#
# Programs have timeouts of their own, and the mesh does not know them. Three services of Istio's Bookinfo: `productpage` asks `reviews`, `reviews` asks
# `ratings`. Whoever has the cookie `speed=slow` gets ratings that take seven seconds. Reviews would wait ten for them.

# %% language="bash"
# kubectl apply -f manifests/07_timeouts/07-bookinfo.yaml -f manifests/07_timeouts/08-virtualservice-ratings.yaml > /dev/null
# for name in ratings-v1 reviews-v2 productpage-v1; do kubectl rollout status deployment/$name --timeout=120s | tail -1; done

# %%
lab.wait()

# %% language="bash"
# kubectl exec deploy/client -c client -- wget -q -O - http://productpage:9080/api/v1/products/0/reviews | cut -c 1-200
# echo; echo "--- with slow ratings:"
# kubectl exec deploy/client -c client -- sh -c 'time wget -q -O - --header "Cookie: speed=slow" http://productpage:9080/api/v1/products/0/reviews' 2>&1 | grep -E "wget|real"

# %% [markdown]
# An error after **six** seconds. Not seven, not ten, and nobody wrote six anywhere. The log of productpage's sidecar knows:

# %%
lab.access_log(" DC ", workload="productpage-v1", lines=2)

# %% [markdown]
# Two requests to reviews, each ended after three seconds with `DC`: productpage itself closed the connection. Its code has a timeout of 3 s,
# hard-coded, and it **tries twice**. Twice three is six.
#
# Two lessons. A timeout in the mesh does not replace those in the code: **the shorter one wins.** And attempts multiply waiting: whoever sets a timeout
# must know how often it will be waited for. The second exercise is about that.
#
# ## Exercises
#
# Two more names for the tomcat pod, and a configuration with which nginx shows a page of its own when it gets no answer from Tomcat in time:

# %% language="bash"
# kubectl apply -f manifests/07_timeouts/09-exercises.yaml
# kubectl apply -f manifests/07_timeouts/03-virtualservice-timeout.yaml
# kubectl exec -i deploy/nginx -c nginx -- tee /etc/nginx/conf.d/default.conf < manifests/07_timeouts/nginx-sorry.conf
# kubectl exec deploy/nginx -c nginx -- nginx -s reload 2>&1

# %% [markdown]
# ### 7.1 · People wait a second, jobs three
#
# The Service `orders` is asked from inside the mesh by people, and at night by jobs, whose requests carry the header `x-client: batch`. Write a
# VirtualService called **`orders`**: people wait one second at most, jobs three.

# %% tags=["exercise"] exercise="7.1"
lab.apply("""
# Exercise 7.1: your VirtualService `orders` goes here.
""")

# %% tags=["solution"] exercise="7.1"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: orders
spec:
  hosts:
  - orders
  http:
  - name: jobs
    match:
    - headers:
        x-client: {exact: batch}
    route:
    - destination: {host: orders}
    timeout: 3s
  - name: people
    route:
    - destination: {host: orders}
    timeout: 1s
""")

# %% tags=["nbval-check-output"]
lab.check("7.1")

# %% [markdown]
# ### 7.2 · A page within a second and a half
#
# Leave `ratings` as slow as they are. Write a VirtualService called **`reviews`** so that productpage answers within 1.5 s even with the cookie
# `speed=slow` (an error in place of the reviews is all right), and shows the reviews to everybody else.

# %% tags=["exercise"] exercise="7.2"
lab.apply("""
# Exercise 7.2: your VirtualService `reviews` goes here.
""")

# %% tags=["solution"] exercise="7.2"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination: {host: reviews}
    timeout: 500ms
""")

# %% tags=["nbval-check-output"]
lab.check("7.2")

# %% [markdown]
# ### 7.3 · From the inside out
#
# The help desk's site, `help.example.com`, comes in through the Gateway `front` to nginx. Write a VirtualService called **`desk`** for it, so that
#
# * visitors see **nginx's own** page ("Sorry, we are busy") when Tomcat is slow, not the gateway's bare `504`;
# * and nobody ever waits longer than **three seconds**, not even for pages below `/archive/`, which nginx fetches from the Service `archive`, for which no timeout is set at all.

# %% tags=["exercise"] exercise="7.3"
lab.apply("""
# Exercise 7.3: your VirtualService `desk` goes here.
""")

# %% tags=["solution"] exercise="7.3"
lab.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: desk
spec:
  hosts:
  - help.example.com
  gateways:
  - front
  http:
  - route:
    - destination: {host: nginx}
    timeout: 3s
""")

# %% tags=["nbval-check-output"]
lab.check("7.3")

# %% [markdown]
# ## Take away
#
# * `timeout` in a VirtualService is measured by the Envoy of the one who **asks** that host. Without it Istio waits for ever.
# * `504 UT`: this Envoy gave up. `0 DC`: its caller hung up. `504 via_upstream`: passed on.
# * A timeout helps the one who waits; the server goes on working.
# * nginx in a mesh: HTTP/1.1, and a Host header that names the Service, or every rule is skipped (`PassthroughCluster`).
# * An injected delay is not cut by a timeout on the same route. One hop earlier it is.
# * Timeouts grow from the inside out, the shortest of all wins, and attempts multiply them.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it leaves the cluster as this chapter found it.

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
