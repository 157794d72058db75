# Every target creates what it needs on a fresh machine. `make test` is the place to start.
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n 2 --dist worksteal
SHELL := /bin/bash

.PHONY: env ffmpeg rgw lock test test-all test-gpu check demo bench mini scores clean
.DEFAULT_GOAL := test

env: .venv/.installed  ## .venv with the locked packages, and nothing else

.venv/.installed: requirements.lock pyproject.toml
	@command -v uv >/dev/null || python3 -m pip install --quiet --user uv || python3 -m pip install --quiet --break-system-packages uv
	@UV=$$(command -v uv || echo "python3 -m uv"); set -e; \
	[ -x $(PYTHON) ] || $$UV venv --quiet --python '>=3.11,<3.13' .venv; \
	$$UV pip sync --quiet --python $(PYTHON) --require-hashes requirements.lock; \
	$$UV pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e . ; \
	touch $@

ffmpeg:
	@bash tools/ensure_ffmpeg.sh

rgw:  ## a real S3 store for the storage tests, where it can be installed
	@bash tools/ensure_rgw.sh

test: env ffmpeg  ## the default suite, a few minutes
	$(PYTEST)

test-all: env ffmpeg  ## the slow tests too
	$(PYTEST) -m 'not gpu'

test-gpu: env  ## needs a CUDA device
	$(PYTHON) -m pytest -m gpu

check: env ffmpeg rgw  ## the one gate: lint, types, tests
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright
	$(PYTEST) --durations=10

demo: env ffmpeg  ## the job on a small library of its own making, in demo/
	$(PYTHON) -m jobs.demo demo

bench: env  ## the engine against the network run plainly; writes benchmarks/results/
	$(PYTHON) benchmarks/engine.py

mini: env  ## train the bundled model again, into sounds/ and runs/: hours on 2 cores
	$(PYTHON) -m jobs.sounds sounds/train --takes 120 --seconds 6 --bank sounds/bank
	$(PYTHON) -m jobs.sounds sounds/test --takes 10 --seconds 8 --bank sounds/bank --first-seed 1000000 --held-out
	$(PYTHON) -m jobs.train_encoder sounds/encoder.safetensors sounds/train/sounds.jsonl
	$(PYTHON) -m jobs.train configs/train-mini.yaml output=runs encoder=sounds/encoder.safetensors
	cp "$$(ls -td runs/mini/checkpoint_*/ | head -1)model.safetensors" separator/weights/mini.safetensors
	$(MAKE) scores

scores: env  ## the bundled model on sounds/test: the tables of docs/model_card.md
	for level in -10 -5 0 5 10; do $(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/at$$level --levels=$$level; done
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/paraphrase --style paraphrase
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/absent --style absent
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/three --sounds 3

lock:  ## renew requirements.lock from pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --python-version 3.11 --all-extras --group build pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .pytest_cache .ruff_cache
