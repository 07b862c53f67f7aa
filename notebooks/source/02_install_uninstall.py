# %% [markdown]
# # 2 · Install and uninstall
#
# Installing Istio is one line. Knowing **which** version and profile, what that line changed in a cluster, and how to get all of it out again without
# harm: that is this chapter.
#
# **You will** check versions, take Istio off the gentle way, compare profiles, install, look at everything that came, take it off the thorough way, and
# count what is left after each. It begins with taking off, because your cluster most probably has Istio already: you see first what a running installation consists
# of, and then make a new one yourself.
#
# **You will learn** what survives an uninstall and what does not, why pods may answer 503 after a reinstallation though nobody changed them, and how an
# installation is changed.
#
# **You need** about 35 minutes. No earlier chapter is needed.
#
# **A warning before you begin.** This chapter takes Istio off this cluster, twice. Pods of other chapters keep running, but the second way deletes
# **all Gateways, VirtualServices and so on, of all chapters**. At the end Istio is there again; the other chapters' objects come back when you run
# their cells again.

# %% [markdown]
# ![istioctl install makes istiod and two gateways in istio-system, and 15 kinds, webhooks and roles for the whole cluster; config maps, sidecars and your own objects are in other namespaces.](pictures/02_install_uninstall.svg)
#
# One command, three places. Remember the picture: *uninstall* has to look into all of them.

# %%
from meshcourse import lab

lab.chapter("02-install-uninstall")

# %% [markdown]
# ## 1 · Which version?
#
# Each Istio runs on a few Kubernetes versions, those that were new when it was released:

# %% language="bash"
# kubectl version
# istioctl version 2>&1

# %% [markdown]
# | | Kubernetes | Istio | the rule behind it |
# |---|---|---|---|
# | the guide, first track | 1.23 (up to 1.23) | **1.13.1** | Istio 1.13 is for Kubernetes 1.20 to 1.23 |
# | the guide, second track | 1.28.1 (1.24 and up) | **1.18.2** | Istio 1.18 is for 1.24 to 1.27. So 1.28 is one more than was tested; it works for what the guide does |
# | Istio 1.24 | 1.28 to 1.31 | | |
# | Istio 1.28 | 1.30 to 1.34 | | |
# | **here** | what the cell above shows | what the cell above shows | Istio 1.31 wants Kubernetes 1.32 at least |
#
# Older is not safer: a version gets security fixes for less than a year. Those of the guide have had none since 2022 and 2024.
#
# > **Then and now.** The guide downloads `istio-1.13.1-linux-amd64.tar.gz`, unpacks it and copies `istioctl` to a folder on the PATH. That is still the way; here `istioctl` is on the PATH already. To try the guide's own
# > pairs you need old Kubernetes too, which [kind](https://kind.sigs.k8s.io) offers: `kind create cluster --image kindest/node:v1.23.17` with istioctl 1.13.1, or `kindest/node:v1.28.15` with 1.18.2. (That needs Docker. It was
# > not tried for this text.)
#
# Before you change a cluster, ask whether it is ready for Istio:

# %% language="bash"
# istioctl x precheck 2>&1

# %% [markdown]
# ## 2 · The gentle way off
#
# If the first cell said that Istio is here, it goes now; if not, this step has nothing to do. First, look at what is there:

# %%
lab.remnants()

# %% [markdown]
# `--revision default` means: **this istiod and what belongs to it**. The tool first warns you of proxies that will have no istiod any more:

# %% language="bash"
# if kubectl get deployment istiod -n istio-system > /dev/null 2>&1
# then istioctl uninstall --revision default -y 2>&1 | grep -v -E '^[^ ]+$|Role'    # without every proxy's name and every role
# else echo "Istio is not installed: nothing to take off"
# fi

# %%
lab.remnants()

# %% [markdown]
# Gone: istiod, the webhooks, the roles, the gateways. (The gateways may still be listed for some seconds: an Envoy first lets its requests finish.)
#
# **Left:** the namespace `istio-system`, the secret `istio-ca-secret` (the key with which istiod signs certificates), all **kinds**
# (CustomResourceDefinitions), and with them **every Gateway and VirtualService** that anybody wrote. If you install again now, all goes on where it
# stopped. Use this way to try another version or to change the profile.
#
# What about pods with a sidecar? They run, and their Envoys keep their last configuration. Nobody tells them of changes any more.
#
# > **Then and now.** Older guides write `istioctl manifest generate --set profile=demo | kubectl delete -f -`. It keeps the namespace and a few other things, as the guide says, and it deletes the kinds: your objects go with them, without any warning.
#
# ## 3 · Which profile?
#
# A **profile** is a named set of choices. `istioctl manifest generate` prints the objects that it would install, and installs nothing:

# %% language="bash"
# istioctl manifest generate --set profile=demo | grep '^kind:' | sort | uniq -c | sort -rn

# %% [markdown]
# Now compare. (Each profile takes a second the first time.) Look for: which one has an egress gateway? Which writes an access log? Which can you run on
# a laptop? (In the table, `10m` is an amount of processor, a hundredth of a core; a *HorizontalPodAutoscaler* changes the number of pods by their load;
# *extensionProviders* are the programs to which Envoy may send logs, metrics and traces.)

# %%
lab.profile_panel()

# %% tags=["headless"]
panel = lab.panel()
rows = {row.what: row for row in panel.choose("default", "demo")}
assert (rows["Deployment istio-egressgateway"].one, rows["Deployment istio-egressgateway"].other) == ("", "✔")
assert (rows["mesh: accessLogFile"].one, rows["mesh: accessLogFile"].other) == ("(none)", "/dev/stdout")
assert {row.what for row in panel.choose("minimal", "default") if not row.same} >= {"Deployment istio-ingressgateway"}
lab.still(panel)

# %% [markdown]
# | profile | for |
# |---|---|
# | **demo** | learning: everything is on, access logs too, and hardly any resources are asked for. **Not** for production: tracing every request costs |
# | **default** | production's starting point: istiod and the ingress gateway, each scaled by load |
# | **minimal** | istiod alone; gateways are installed by the teams that own them |
# | **empty** | nothing, to be filled by you |
# | **ambient** | another architecture, without sidecars. This course does not treat it |
#
# > **Then and now.** The guide looks into a profile with `istioctl profile dump demo`. `istioctl profile` was there up to 1.23; since 1.24 `istioctl manifest generate` is the way.
#
# ## 4 · Install
#
# The command of the guide, word for word:

# %% language="bash"
# istioctl install --set profile=demo -y 2>&1

# %% [markdown]
# *Core* are kinds and roles; then istiod, because the gateways get their configuration from it; then the gateways. (An empty box at the end of a line is a picture that your
# fonts do not have.) The three pods:

# %% language="bash"
# kubectl get pods -n istio-system
# kubectl get services -n istio-system

# %%
lab.remnants()

# %% [markdown]
# What is all that?
#
# | what | for |
# |---|---|
# | **15 CustomResourceDefinitions** | the new kinds: `VirtualService` and so on. Kubernetes had never heard of them |
# | **MutatingWebhookConfiguration** | *ask istiod before a pod is made*: injection (chapter 3) |
# | **ValidatingWebhookConfiguration** | *ask istiod before one of its objects is stored* (chapter 1, section 4) |
# | ConfigMap **istio** | the mesh's settings, such as the access log |
# | ConfigMap **istio-sidecar-injector** | what a sidecar looks like |
# | ConfigMap **values** | what you chose at the installation |
# | Secret **istio-ca-secret** | the key of the mesh's certificate authority. Whoever has it can pretend to be any program of the mesh |
# | ConfigMap **istio-ca-root-cert** in nearly every namespace | the public half, by which each sidecar knows the right istiod |
# | ConfigMap **istio-ca-crl** beside it | a list for certificates that are no longer valid; empty here |
#
# Does it work? One web server with a sidecar, a Gateway, a VirtualService:

# %% language="bash"
# kubectl label namespace install istio-injection=enabled --overwrite
# kubectl delete deployment web --ignore-not-found
# kubectl apply -f manifests/02_install_uninstall/01-web.yaml
# kubectl rollout status deployment web --timeout=60s

# %%
lab.apply("manifests/02_install_uninstall/02-door.yaml")
lab.request("/", host="install.example.com")

# %% [markdown]
# ## 5 · The thorough way off
#
# `--purge` takes **all** of Istio off the cluster, every version of it. With the kinds go all objects of these kinds, in all namespaces, **whoever
# wrote them**. So first look at whose work that would be:

# %% language="bash"
# kubectl get gateways,virtualservices,destinationrules,serviceentries -A

# %% [markdown]
# What is in no file anywhere is lost after the next command. At work, stop here and ask. The guide does it with two commands. Here is the first:

# %% language="bash"
# istioctl uninstall --purge -y 2>&1 | tail -4

# %%
lab.remnants()

# %% [markdown]
# The kinds are gone, and *yours* is empty. (Kubernetes may take some seconds to clear away the last kinds.) The namespace is still there, and in it the
# key. The second command:

# %% language="bash"
# kubectl delete namespace istio-system

# %%
lab.remnants()

# %% [markdown]
# Much is gone, and still not everything. All three side by side:
#
# | | after the gentle way | after `--purge` | and after `delete namespace` |
# |---|---|---|---|
# | istiod, gateways, webhooks, roles | gone | gone | gone |
# | kinds, and your objects of them | **stay** | gone | gone |
# | namespace istio-system, key of the authority | **stay** | **stay** | gone |
# | config maps `istio-ca-...` in other namespaces | **stay** | **stay** | **stay** |
# | the label `istio-injection` on namespaces | **stays** | **stays** | **stays** |
# | sidecars in running pods | **stay** | **stay** | **stay** |
#
# ## Exercises
#
# ### 2.1 · Leave no trace
#
# The next team wants this cluster clean. Delete the config maps that istiod left, in **all** namespaces. (The label and the sidecars may stay: they are
# yours.) `lab.remnants()` shows what is still there.

# %% tags=["exercise"] exercise="2.1" language="bash"
# # Exercise 2.1: your command goes here. `kubectl delete configmap NAME` works on one namespace at a time.
# kubectl get configmaps -A

# %% tags=["solution"] exercise="2.1" language="bash"
# for each in $(kubectl get namespaces -o jsonpath='{.items[*].metadata.name}')
# do kubectl -n $each delete configmap istio-ca-root-cert istio-ca-crl --ignore-not-found
# done

# %% tags=["nbval-check-output"]
lab.check("2.1")

# %% [markdown]
# ### 2.2 · A choice of your own
#
# Your platform team wants: istiod, an **ingress** gateway, **no egress** gateway, and the access log **on** (written to `/dev/stdout`). Install that.
# Section 3 has shown which profile comes nearest, and which setting is missing. A setting of the mesh is given by `--set meshConfig.NAME=VALUE`.

# %% tags=["exercise"] exercise="2.2" language="bash"
# # Exercise 2.2: your istioctl command goes here.
# istioctl version 2>&1

# %% tags=["solution"] exercise="2.2" language="bash"
# istioctl install --set profile=default --set meshConfig.accessLogFile=/dev/stdout -y 2>&1

# %% tags=["nbval-check-output"]
lab.check("2.2")

# %% [markdown]
# ## 6 · Back again, and a trap
#
# The other chapters need the demo profile. An installation is changed by installing again: `istioctl install` compares, adds and takes away.

# %% language="bash"
# istioctl install --set profile=demo -y 2>&1

# %% [markdown]
# And `web`? Its pod has run all the time, with its sidecar. Its door went with the kinds; here it is again:

# %%
lab.apply("manifests/02_install_uninstall/02-door.yaml")
lab.request("/", host="install.example.com")

# %%
lab.access_log("install.example.com", lines=1)

# %% [markdown]
# **503**, and the log says why: `CERTIFICATE_VERIFY_FAILED`. With the namespace went the **key** of the certificate authority. The new istiod made a
# new one; the gateway has a certificate of the new authority, `web`'s sidecar still one of the old. They do not trust each other. (After the gentle way
# this does not happen: the key stayed.)
#
# So: whoever deletes `istio-system` must have **every pod with a sidecar created again**. This does it for all namespaces with the label, those of
# other chapters too:

# %% language="bash"
# for each in $(kubectl get namespaces -l istio-injection=enabled -o jsonpath='{.items[*].metadata.name}')
# do kubectl -n $each rollout restart deployment 2>&1
# done
# kubectl rollout status deployment web --timeout=60s

# %%
lab.wait("web")
lab.request("/", host="install.example.com")

# %% [markdown]
# **200.** Nobody changed `web`; it only needed a new certificate.
#
# ## Take away
#
# * Each Istio is for a few Kubernetes versions. `istioctl x precheck` before, `istioctl version` after.
# * **demo** to learn, **default** to start for production. `istioctl manifest generate` shows what a profile would install.
# * `istioctl uninstall --revision default`: gentle. Kinds, your objects and the key stay.
# * `istioctl uninstall --purge` and `kubectl delete namespace istio-system`: thorough. Your objects and the key go, config maps and sidecars stay.
# * New key: restart every pod that has a sidecar.
# * An installation is changed by installing again, with other choices.
#
# ## Clean up
#
# If Istio was here when you first opened this chapter, it is here afterwards; if it was not, it goes.

# %% tags=["exercise"] exercise="clean-up"
lab.clean_up(done=False)

# %% tags=["solution"] exercise="clean-up"
lab.clean_up(done=True)
