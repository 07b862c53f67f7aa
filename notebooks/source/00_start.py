# %% [markdown]
# # 0 · Start here
#
# This course runs on a **real** Kubernetes with a **real** Istio. Nothing is simulated: what you type here you can type at work tomorrow.
#
# **You will** look at what runs on your machine, send one request through an Envoy, read what Envoy wrote about it, and do two small exercises to
# see how exercises work.
#
# **You will learn** how to use these notebooks, what an access log line says, and how to tell an answer of your application from an answer of Envoy.
#
# **You need** about 20 minutes. You should have used Docker, and have heard of a Kubernetes pod. You need not know what a service mesh is.
#
# Some chapters speak of **the guide**. That is a written guide to Istio 1.13 and 1.18, from which this course grew. You need not have it: where it differs from
# today, a box called *Then and now* says how.

# %% [markdown]
# ![You send requests to the ingress gateway, an Envoy; it hands them to the Envoy in the pod hello, and that one to the application.](pictures/00_start.svg)
#
# Solid arrows are requests, dashed ones are instructions. **Envoy** is a program that passes requests on; one stands at the way in, and one beside each
# application. **istiod** tells all of them what to do. That is a service mesh, and you are about to use one.
#
# ## 1 · How a notebook works
#
# The boxes with code in them are **cells**. Click into one and press **Shift+Enter**: it runs, and what it prints appears below it. `[*]` beside a cell means
# *running*, a number means *finished*. Run the cells from top to bottom.
#
# The next cell looks at this machine, then starts a cluster or finds the one that runs. The very first start takes about 15 seconds.

# %%
from meshcourse import lab

print(lab.doctor())
lab.chapter("00-start")

# %% [markdown]
# The first lines are the **doctor's**: whether your machine has what it needs. A line with ✘ comes with the command that mends it. The other lines are what
# `lab.chapter` found or did. Every chapter begins with such a cell, so **you can open any chapter first**.
#
# ## 2 · Two kinds of cells
#
# A cell that begins with `%%bash` is for the **shell**. `kubectl` and `istioctl` are there, and they already point to this cluster:

# %% language="bash"
# kubectl get nodes
# kubectl get pods -n istio-system

# %% [markdown]
# One node, and three pods of Istio: `istiod`, which tells the Envoys what to do, and two gateways: one Envoy at the way in, one at the way out.
#
# All other cells are **Python**. You need not know Python: the cells use a few ready-made calls that begin with `lab.`. Each says what it did, and most show the
# command that does the same in a terminal.
#
# Do you like a **terminal** better? *File → New → Terminal* opens one beside this notebook, with `kubectl`, `istioctl` and `meshcourse`. Its prompt begins with
# the namespace on which it acts, here `(start)`, the namespace of the chapter whose first cell you ran last.
#
# Words that may be new to you are links, such as [namespace](words.md#namespace). `lab.word("namespace")` in a new cell shows the same.
#
# ## 3 · One request
#
# Here is an application to talk to: [hello](manifests/00_start/01-hello.yaml), a web server that tells you what it was sent.

# %% language="bash"
# kubectl apply -f manifests/00_start/01-hello.yaml
# kubectl rollout status deployment/hello --timeout=120s
# kubectl get pods

# %% [markdown]
# **`2/2`**: you asked for one container and got two. The second is an Envoy. Istio put it there; chapter 3 shows how.
#
# Now a door for the host name `start.example.com`, and a rule that says where its requests go. For Istio the door is a [Gateway](words.md#Gateway) and the rule a
# [VirtualService](words.md#VirtualService); both are in [one file](manifests/00_start/02-route.yaml), and both are called `hello`:

# %%
lab.apply("manifests/00_start/02-route.yaml")
lab.request("/headers", host="start.example.com")

# %% [markdown]
# **HTTP 200.** The first line is the `curl` command that does the same; try it in the terminal.
#
# `hello` sent back the headers that reached it. You sent hardly any of them: `X-Request-Id`, `X-Forwarded-For` and the others were added **on the way**, by
# the two Envoys. The application was not changed for it.
#
# ## 4 · What Envoy wrote about it
#
# Each Envoy writes one line for each request. It is long. `lab.explain_log` takes the newest line of the gateway that holds some text, and reads it
# field by field.
#
# In the table below, **upstream** is the side to which a proxy sends the request (for the gateway: the pod `hello`), and **downstream** is the side from which it
# came (you). A *cluster* is, in Envoy's words, a group of addresses to which it can send.

# %%
lab.explain_log("start.example.com")

# %% [markdown]
# Three things are worth remembering, since they answer most questions:
#
# * **`code`** and **`flags`**: how it ended. A `-` for flags means: nothing went wrong in Envoy's view;
# * **`code_details`**: who said so. `via_upstream` means that the answer came from the other side, here the application, and not from this Envoy;
# * **`upstream_host`**: which address the request was sent to: the pod's.
#
# The same request passed a second Envoy, the sidecar beside `hello`. It has a line of its own:

# %%
lab.access_log("/headers", workload="hello", lines=1)

# %% [markdown]
# Compare the long id in both: it is the same **request id**. The gateway gave it to the request, and every proxy behind it keeps it. So you can follow
# one request through a mesh with a hundred services.
#
# ## 5 · Who said 404?
#
# *Page not found.* By whom? First a page that `hello` does not have; then a host name that the gateway has no rule for:

# %%
print(lab.request("/no/such/page", host="start.example.com"))
print(lab.request("/headers", host="nobody.example.com"))

# %% [markdown]
# The same number twice, for two quite different reasons. The log tells them apart:

# %%
lab.access_log("/no/such/page", lines=1)
lab.access_log("nobody.example.com", lines=1)

# %% [markdown]
# `404 - via_upstream`: the **application** has no such page. Look for the mistake there. `404 NR route_not_found`: **Envoy** had *no route*, and
# nothing was sent to the application. Look for the mistake in the rules. That difference saves hours of looking in the wrong place.
#
# ## 6 · How exercises work
#
# 1. Change the exercise's cell and run it.
# 2. Run the cell with `lab.check(...)` below it, as often as you like. It looks at what the mesh **does**, not at what you typed. It says *not attempted*,
#    *not yet* (with what it saw and a hint), *passed*, or *cannot tell* (that is the cluster's trouble, not yours).
# 3. Stuck? `lab.hint("0.1")` in a new cell gives one hint at a time. `lab.solution("0.1")` shows a solution.
#
# Try one.
#
# ### 0.1 · A teapot
#
# `hello` answers `/status/418` with the status 418, *I'm a teapot* (a joke of the people who wrote HTTP's rules, and a number that nothing else uses).
# Ask for that path **through the ingress gateway**, with `curl`, as the host `start.example.com`. The variable `$INGRESS_URL` holds the gateway's
# address.

# %% tags=["exercise"] exercise="0.1" language="bash"
# # Exercise 0.1: your curl command goes here. lab.request showed one that is nearly right.
# echo "the gateway is at $INGRESS_URL"

# %% tags=["solution"] exercise="0.1" language="bash"
# curl -s -i -H "Host: start.example.com" "$INGRESS_URL/status/418"

# %% tags=["nbval-check-output"]
lab.check("0.1")

# %% [markdown]
# ### 0.2 · Which request was it?
#
# A user complains about that teapot and gives you the **request id** from their browser's developer tools. Find the id of your request with status 418
# in the log of `hello`'s sidecar, and give it as your answer, in quotes in place of the dots.
#
# (`lab.explain_log` takes `workload="hello"` too. What it returns can be asked for one field: `line["code"]`.)

# %% tags=["exercise"] exercise="0.2"
lab.answer("0.2", ...)

# %% tags=["solution"] exercise="0.2"
line = lab.explain_log("/status/418", workload="hello")
lab.answer("0.2", line["request_id"])

# %% tags=["nbval-check-output"]
lab.check("0.2")

# %% [markdown]
# ## 7 · When something goes wrong
#
# | you see | do this |
# |---|---|
# | a cell runs and runs | press ■ in the toolbar (in a terminal: Ctrl-C), then run the cell again. If it was installing Istio, run the chapter's **first cell**: it finishes the installation |
# | everything is odd | *Kernel → Restart Kernel*, then run **the first cell** again, and go on where you were. The cluster has kept your objects |
# | red broken chains, or *Error displaying widget: model not found*, where a panel was | its kernel has ended (restarted, or yesterday's): run **the first cell** and the panel's cell again |
# | *The cluster does not answer* | `meshcourse status` in a terminal says why; `meshcourse down` and `meshcourse up` give you a new, empty one |
# | an error with *Why* and *Next* | type what *Next* says |
# | `SyntaxError` from a cell with `kubectl` or `curl` in it | its first line must be `%%bash` |
#
# Closing the notebook stops nothing. The cluster runs until `meshcourse down`, and begins empty at the next `meshcourse up`.
#
# In a terminal **outside** JupyterLab, `eval "$(meshcourse env --chapter 0)"` gives you the same commands and this chapter's namespace.
#
# <details>
# <summary>Other kinds of cluster</summary>
#
# | backend | what it is |
# |---|---|
# | `embedded` | Kubernetes and Istio as ordinary processes of this machine. No Docker. Nothing of it is left after `meshcourse down` |
# | `kind` | a kind cluster in Docker or Podman: `meshcourse up --backend kind` |
# | `existing` | any cluster that you have a kubeconfig for: `meshcourse up --backend existing` |
#
# </details>
#
# ## 8 · What comes next
#
# What you have passed is kept on this machine. `lab.progress()` shows it, and so does `meshcourse progress` in a terminal:

# %%
lab.progress()

# %% [markdown]
# The chapters are in a good order for learning, but each stands by itself. Short of time? Chapters 3, 5, 6, 7 and 8 are what people use at work every day.
#
# ## Take away
#
# * A mesh is **an Envoy beside every application**, and [istiod](words.md#istiod), which tells them all what to do.
# * Each Envoy writes a line for each request. `code`, `flags`, `code_details` and `upstream_host` answer most questions.
# * `via_upstream`: the application gave this answer. `NR route_not_found`: Envoy did.
# * The request id is the same in every proxy on the way.
#
# ## Clean up
#
# Finished? Change `done=False` to `done=True` and run the cell: it takes away what this chapter made. Every chapter ends so.

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
