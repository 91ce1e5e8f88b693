# Two commands do everything: `make serve` and `make test`. Both make .venv and install into it first.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
# Set TORCH_INDEX to a package index to take torch from there, such as PyTorch's own index of CPU builds.
TORCH_INDEX ?=

BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.PHONY: serve test coverage test-slow test-web test-ray bench performance audit lint format clean

serve: .venv/service
	$(BIN)/dmsr serve --host $(HOST) --port $(PORT)

test: .venv/dev
	@echo "Running the tests that need no GPU and no browser; test-slow, test-web and test-ray run the others."
	$(BIN)/python -m pytest

# The same tests, and which lines of app and model none of them runs
coverage: .venv/dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow --timeout 3600

# The page in the system's Chromium, which is asked for before anything else; on Debian: apt-get install chromium
test-web: .venv/dev
	$(BIN)/python -m pytest tests/web -m web

# The Serve application on a cluster of two nodes, which are processes of this machine
test-ray: .venv/ray
	$(BIN)/python -m pytest tests/deploy -m ray

# One measurement: make bench BENCH=tiles ARGS='--network w48d16 --profile'; docs/performance.md lists them all.
bench: .venv/dev $(if $(filter peers,$(BENCH)),.venv/peers/ready)
	$(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

# Every measurement, one after the other, and then the tables of docs/performance.md from what they wrote.
MEASUREMENTS := "photos" "tiles --profile" "tiles --network w48d16 --profile --rounds 3" "start" "memory" "stages" "load" "load --network w48d16" "batching" \
	"batching --network w16d4" "flood" "overload" "peers --model plain" "peers --model runner"
performance: .venv/dev .venv/peers/ready
	for bench in $(MEASUREMENTS); do $(BIN)/python -m benchmarks.$$bench || exit 1; done
	$(BIN)/python -m benchmarks.tables

# The peers want other versions of what the service uses, so they have an environment of their own.
.venv/peers/ready: .venv/torch benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	.venv/peers/bin/pip install --quiet --requirement benchmarks/peers/requirements.txt
	touch $@

# Asks the advisory databases about every pinned package; needs the open network, so CI does not run it.
audit: .venv/dev
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv

.venv/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; set PYTHON=python3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Once: installing into .venv. PyTorch is the large part: 0.2 GB to download and 1 GB on disk as its CPU build, 5 GB on disk with CUDA."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	touch $@

.venv/service: .venv/torch pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/torch pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/service

.venv/ray: .venv/dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,ray]'
	touch $@
