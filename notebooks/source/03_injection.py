# %% [markdown]
# # 3 · Sidecar injection
#
# Every pod of the mesh has an Envoy beside its program, the **sidecar**. (The guide calls it the bodyguard of a service.) This chapter is about how it
# gets there: who adds it, how a namespace asks for one in every pod, and how a single pod says no.
#
# **You will** label a namespace and see a pod go from `1/1` to `2/2`, look at what changed in the pod, switch injection off in two ways, inject by
# hand, and prove the table of who gets a sidecar and who does not.
#
# **You will learn** why a label changes nothing for pods that run already, what `istio-init` does, and the two mistakes with labels that nearly
# everybody makes once.
#
# **You need** about 35 minutes. No earlier chapter is needed.

# %% [markdown]
# ![You ask the Kubernetes API for a pod; it asks istiod's webhook, which answers with a patch; the pod that runs has istio-init, istio-proxy and nginx.](pictures/03_injection.svg)
#
# You never write a sidecar. The Kubernetes API asks a **webhook** before it stores a pod: *any changes?* istiod's webhook answers with a patch that adds it.

# %%
from meshcourse import lab

lab.chapter("03-injection")

# %% [markdown]
# ## 1 · Before: 1/1
#
# This chapter's namespace has no label yet. (The first two commands make sure of it, in case you run the chapter again. *label not found* is fine.)

# %% language="bash"
# kubectl label namespace injection istio-injection-
# kubectl delete deployment web --ignore-not-found
# kubectl apply -f manifests/03_injection/01-web.yaml
# kubectl rollout status deployment web --timeout=60s
# kubectl get pods -l app=web

# %% [markdown]
# **`1/1`**: one container asked for, one running. The mesh knows nothing of this pod.
#
# ## 2 · The label
#
# This is the command of the guide, with this chapter's namespace in place of `default`:

# %% language="bash"
# kubectl label namespace injection istio-injection=enabled
# kubectl get namespace injection --show-labels
# kubectl get pods -l app=web

# %% [markdown]
# The namespace has the label, and the pod is still `1/1`. **The label is read when a pod is made, and never again.** A running pod cannot get one more
# container; it must be created again. That is the first of the two mistakes: to set the label and to expect that running pods change.
#
# So have it created again:

# %% language="bash"
# kubectl rollout restart deployment web
# kubectl rollout status deployment web --timeout=60s
# kubectl get pods -l app=web

# %% [markdown]
# **`2/2`** (if you see two pods, the old one is just being deleted). The file is the same, the Deployment is the same. Only the pod is different. How?
#
# ## 3 · What changed in the pod
#
# `lab.diff_pods` compares what the Deployment asked for with the pod that runs:

# %%
lab.diff_pods("web")

# %% [markdown]
# | what came | what it is for |
# |---|---|
# | `istio-init` | runs first, as root with `NET_ADMIN`: writes **iptables** rules that send all traffic of the pod to Envoy. Then it ends |
# | `istio-proxy` | the Envoy, as user 1337, whose own traffic those rules leave alone: otherwise it would send to itself for ever |
# | `istio-token` | a token by which the proxy shows istiod who it is, for a certificate |
# | `istiod-ca-cert` | the public certificate of istiod's authority, so that the proxy talks to the right istiod |
# | `istio-podinfo` | the pod's labels as a file |
# | label `tlsMode: istio` | tells all others: this one can speak mutual TLS |
# | annotation `status` | what was added, so that tools (and you) can tell |
#
# Your own container, `nginx`, was **not touched**.
#
# > **Then and now.** In the guide's versions (1.13, 1.18) `istio-proxy` stood among `containers`, beside yours. In Istio 1.31 it is a *native sidecar*: an init container with
# > `restartPolicy: Always`. It starts **before** your containers and ends **after** them. That solved two old problems: applications whose first request failed because Envoy was not up yet,
# > and Jobs that never ended because Envoy never did. `READY` counts it all the same.
#
# ## 4 · Who did that?

# %% language="bash"
# kubectl get mutatingwebhookconfigurations
# istioctl x check-inject deployment/web

# %% [markdown]
# `istioctl x check-inject` reads the webhooks' conditions and says which of them fits. `istio-sidecar-injector` is *deactivated* on purpose:
# `istio-revision-tag-default` does its work. (If a team runs two versions of istiod side by side, such a tag says which of them *enabled* means.)
#
# One thing to remember from these webhooks: their `failurePolicy` is `Fail`. **If istiod is down, no new pod can be made in a labelled namespace**,
# since nobody can answer the question. Istio prefers no pod to a pod without its sidecar.
#
# ## 5 · One pod says no
#
# Some pods should not have one: a database that speaks its own TLS, a job that needs raw network access. The pod says so itself
# ([the file](manifests/03_injection/02-loner.yaml)):

# %% language="bash"
# kubectl apply -f manifests/03_injection/02-loner.yaml
# kubectl rollout status deployment loner --timeout=60s
# kubectl get pods -L sidecar.istio.io/inject

# %% [markdown]
# `loner` is `1/1` in a namespace where all others are `2/2`. Two details of that file matter:
#
# * the label is **the pod's**: under `spec.template.metadata.labels`. On the Deployment itself it does nothing. That is the second mistake;
# * `"false"` has **quotes**. Labels are texts; without quotes YAML reads it as a boolean (true or false, not a text), and Kubernetes refuses it.
#
# ## 6 · Namespace and pod: who wins?
#
# Both can decide. Choose a label for each, **guess**, and let the API server answer: the panel asks it for a pod with `--dry-run=server`. Webhooks are
# called as for a real pod, and nothing is stored. Before you press *Prove all twelve*: in which rows can a pod's *yes* win, and in which its *no*?

# %%
lab.injection_panel()

# %% tags=["headless"]
panel = lab.panel()
assert panel.choose("istio-injection=disabled", "sidecar.istio.io/inject=true").injected is False
assert panel.guess(sidecar=True).ready == "1/1"
assert "Not so" in panel.snapshot().said
proofs = panel.prove_all()
assert len(proofs) == 12 and all(proof.as_predicted for proof in proofs.values())
lab.still(panel)

# %% [markdown]
# <details>
# <summary>The whole table in three sentences (guess first)</summary>
#
# 1. A pod's **no** always wins.
# 2. A pod's **yes** counts only where the namespace says **nothing**. In a namespace with `disabled` the webhook is not even asked.
# 3. Otherwise the namespace decides. (`istio.io/rev=default` says the same as `enabled`, by the name of an istiod.)
#
# </details>
#
# The panel makes four small namespaces for its questions, `injection-trial-...`. They hold no pods, and `lab.clean_up` at the end of the chapter deletes them.
#
# The same question in a terminal. You can use it at work, before you make anything:

# %% language="bash"
# istioctl x check-inject -n injection -l app=new,sidecar.istio.io/inject=false

# %% [markdown]
# ## 7 · Off again
#
# A label with a minus behind its name is taken away. The guide's command:

# %% language="bash"
# kubectl label namespace injection istio-injection-
# kubectl get pods -l app=web

# %% [markdown]
# Still `2/2`: the same rule, in the other direction. Pods keep the sidecar with which they were made. The next ones come without:

# %% language="bash"
# kubectl rollout restart deployment web
# kubectl rollout status deployment web --timeout=60s
# kubectl get pods -l app=web

# %% [markdown]
# ## 8 · By hand
#
# Where the webhook may not be used (a platform team does not allow it, or every line of a manifest must be reviewed), `istioctl kube-inject` makes the
# same patch, on your side, before you apply. How much longer does the file get?

# %% language="bash"
# istioctl kube-inject -f manifests/03_injection/03-byhand.yaml > byhand.yaml
# wc -l manifests/03_injection/03-byhand.yaml byhand.yaml
# kubectl apply -f byhand.yaml
# kubectl rollout status deployment byhand --timeout=60s
# kubectl get pods -l app=byhand

# %% [markdown]
# `2/2` in a namespace without any label. (Read `byhand.yaml`, the longer file: it lies beside this notebook.) The price: the sidecar now stands **in
# the Deployment**. At the next upgrade of Istio the webhook would have put in the new proxy at the next restart; here you must inject again, file by
# file.

# %%
lab.diff_pods("byhand")

# %% [markdown]
# *Nothing was added*: for the API server these containers are yours.
#
# ## Exercises
#
# ### 3.1 · Leave one out
#
# The namespace gets its label back:

# %% language="bash"
# kubectl label namespace injection istio-injection=enabled --overwrite
# cat manifests/03_injection/04-legacy.yaml

# %% [markdown]
# The old application `legacy` must run **without** a sidecar in this namespace, while the namespace stays labelled. Paste the file from above into the
# cell, change what has to be changed, and run it.

# %% tags=["exercise"] exercise="3.1"
lab.apply("""
# Exercise 3.1: your Deployment `legacy` goes here.
""")

# %% tags=["solution"] exercise="3.1"
lab.apply("""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: legacy
spec:
  selector:
    matchLabels: {app: legacy}
  template:
    metadata:
      labels:
        app: legacy
        sidecar.istio.io/inject: "false"
    spec:
      containers:
      - name: nginx
        image: nginx:1.25
""")

# %% tags=["nbval-check-output"]
lab.check("3.1")

# %% [markdown]
# ### 3.2 · One guest only
#
# Another team's namespace, `injection-guests`, has no label, and it must stay so. Three applications run there, all `1/1`:

# %% language="bash"
# kubectl apply -f manifests/03_injection/05-guests.yaml
# for each in local guest veteran; do kubectl -n injection-guests rollout status deployment $each --timeout=60s; done
# kubectl -n injection-guests get pods

# %% [markdown]
# Give **`guest`** a sidecar, by one command, without touching the namespace or the other two. (`kubectl patch` changes a part of an object: `-p
# '{"spec": {"replicas": 2}}'` sets one field of it. In the terminal `kubectl edit` would do as well.)

# %% tags=["exercise"] exercise="3.2" language="bash"
# # Exercise 3.2: your command goes here. It ends so: -n injection-guests
# kubectl -n injection-guests get pods

# %% tags=["solution"] exercise="3.2" language="bash"
# kubectl -n injection-guests patch deployment guest -p '{"spec": {"template": {"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}}}}'
# kubectl -n injection-guests rollout status deployment guest --timeout=60s

# %% tags=["nbval-check-output"]
lab.check("3.2")

# %% [markdown]
# ### 3.3 · The veteran
#
# Nobody knows where the file of **`veteran`** is, and here the webhook may not be used at all. Give it a sidecar **by hand**, from what runs in the
# cluster. No label, neither on the namespace nor on the pod.

# %% tags=["exercise"] exercise="3.3" language="bash"
# # Exercise 3.3: your command goes here. What does `kubectl -n injection-guests get deployment veteran -o yaml` print?
# kubectl -n injection-guests get pods

# %% tags=["solution"] exercise="3.3" language="bash"
# kubectl -n injection-guests get deployment veteran -o yaml | istioctl kube-inject -f - | kubectl apply -f -
# kubectl -n injection-guests rollout status deployment veteran --timeout=60s

# %% tags=["nbval-check-output"]
lab.check("3.3")

# %% [markdown]
# ## Take away
#
# * `kubectl label namespace NAME istio-injection=enabled` asks for a sidecar in every **new** pod. Pods that run already must be created again: `kubectl rollout restart`.
# * A webhook of istiod adds it. Nothing of Istio stands in your files.
# * `istio-init` redirects the pod's traffic, `istio-proxy` is the Envoy. Your containers are not touched.
# * A pod says no with the label `sidecar.istio.io/inject: "false"` on **the pod** (the template), with quotes. Its no always wins.
# * `istioctl x check-inject` answers *will it get one?* before you make anything.
# * `istioctl kube-inject` does it by hand, and at every upgrade you must do it again.
#
# ## Clean up

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
