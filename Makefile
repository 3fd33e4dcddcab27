# make demo      the whole path on real parts, narrated: bundle, carry, install, build, run
# make test      all tests
# make test-all  all tests, with slow emulated builds, then hundreds of seeded faults and kills, and
#                an arm64 server's whole way; writes tests/campaigns/results.*, tests/native/results.md
# make check     format, lint and types
# make bench     real tools side by side; takes long: make bench ARGS='--sizes 100MB'
# make bench-replay  what recording and replaying builds cost: ARGS='--rounds 3'
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all unit integration e2e parts check bench bench-replay clean

demo: .venv/ready
	$(BIN)/python scripts/demo

test: unit integration e2e

test-all: export AIRGAP_TEST_ALL = 1
test-all: test
	$(BIN)/python -m tests.campaigns
	$(BIN)/python -m tests.native

# Without a network: a test that needs one is no unit test. The examples in docstrings run, too.
unit: .venv/ready
	unshare --net $(BIN)/pytest -q -n 2 --doctest-modules airgap tests/unit

integration: parts
	$(BIN)/pytest -q -n 2 tests/integration

e2e: parts
	$(BIN)/pytest -q tests/e2e

# The lab's engines, images and root file systems: long the first time, then kept in a cache.
parts: .venv/ready
	$(BIN)/python scripts/lab prepare

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	for script in build-programs demo lab lock-tool; do $(BIN)/mypy scripts/$$script || exit 1; done

bench: .venv/bench
	$(BIN)/python -m benchmarks $(ARGS)

bench-replay: parts
	$(BIN)/python -m benchmarks.replay $(ARGS)

.venv/bench: .venv/ready
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
