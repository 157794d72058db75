# Every target creates what it needs on a fresh machine. `make demo` and `make test` are the places
# to start.
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n 2 --dist worksteal
UV := $(shell command -v uv || echo python3 -m uv)
SHELL := /bin/bash
# Set in many containers. Without bytecode each process of Ray compiles all that it imports, which
# is half of the CPU time of a small run; empty means that Python keeps it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help env dev ffmpeg rgw sounds browser lock test test-all test-gpu check demo bench bundled mini scores sbom audit clean mini-zeroshot
.DEFAULT_GOAL := test

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.run  ## .venv with what running needs (requirements.lock)

dev: .venv/.dev  ## .venv with the extras and what the tests need too (requirements-dev.lock)

.venv/bin/python:
	@$(UV) --version >/dev/null 2>&1 || python3 -m pip install --quiet --user uv \
	  || python3 -m pip install --quiet --break-system-packages uv
	@$(UV) venv --quiet --python '>=3.11,<3.13' .venv

# `install` only adds, so that `make demo` after `make test` removes nothing.
.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch $@

# Holds all of requirements.lock, in the same versions.
.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/python
	@$(UV) pip sync --quiet --python $(PYTHON) --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch .venv/.run $@

ffmpeg:  ## install ffmpeg if it is missing
	@bash tools/ensure_ffmpeg.sh

rgw:  ## install Ceph's gateway if it is missing: a strict S3 store for tests
	@bash tools/ensure_rgw.sh

sounds:  ## install espeak-ng, fluidsynth, a soundfont and npm if they are missing
	@bash tools/ensure_sounds.sh

browser:  ## install Chromium and npm if they are missing, fetch axe-core into .axe/
	@bash tools/ensure_browser.sh

test: dev ffmpeg  ## the default tests: ffmpeg is all they need
	$(PYTEST)

check: dev ffmpeg rgw sounds browser  ## the gate: lint, types, all tests but the slowest
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright
	$(PYTEST) --durations=10 -m '(not slow or check) and not gpu'

test-all: dev ffmpeg rgw sounds browser  ## all tests but those on a GPU
	SEPARATOR_EXAMPLES=20 $(PYTEST) -m 'not gpu'

test-gpu: dev  ## tests on a CUDA device
	$(PYTHON) -m pytest -m gpu

demo: env ffmpeg  ## run the job on a small library that it makes, in demo/
	$(PYTHON) -m jobs.demo demo --recordings

bench: dev  ## compare the engine with the plain network; writes benchmarks/results/
	$(PYTHON) benchmarks/engine.py
	$(PYTHON) benchmarks/engine.py --net unet --work 10x1,10x4 --variants 'eager fp32,eager bf16'

bundled: dev  ## compare the bundled models on held-out sounds; renews its table in README and docs
	$(PYTHON) -m benchmarks.bundled

mini: dev ffmpeg sounds  ## train the bundled model again, into sounds/ and runs/: hours on 2 cores
	$(PYTHON) -m jobs.sounds sounds/train --takes 120 --seconds 6 --bank sounds/bank
	$(PYTHON) -m jobs.sounds sounds/test --takes 10 --seconds 8 --bank sounds/bank --first-seed 1000000 --held-out
	$(PYTHON) -m jobs.sounds real sounds/real
	test -f sounds/first.safetensors || \
	  $(PYTHON) -m jobs.train_encoder sounds/first.safetensors sounds/train/sounds.jsonl
	test -f sounds/encoder.safetensors || \
	  $(PYTHON) -m jobs.train_encoder sounds/encoder.safetensors sounds/train/sounds.jsonl sounds/real/train.jsonl \
	    --words-of sounds/first.safetensors --steps 1200 --batch 174
	$(PYTHON) -m jobs.train configs/train-mini.yaml output=runs encoder=sounds/encoder.safetensors
	$(PYTHON) -m jobs.convert --force --dtype bf16 \
	  "$$(ls -td runs/mini/checkpoint_*/ | head -1)model.safetensors" sounds/mini.safetensors
	$(PYTHON) -m jobs.calibrate --force sounds/mini.safetensors separator/weights/mini.safetensors
	$(MAKE) scores

mini-zeroshot: dev  ## train the bundled model of example sounds again, on the sounds that `make mini` made
	$(PYTHON) -m jobs.train configs/train-mini-zeroshot-detector.yaml output=runs
	$(PYTHON) -m jobs.mine "$$(ls -td runs/mini-zeroshot-detector/checkpoint_*/ | head -1)model.safetensors" \
	  sounds/train/sounds.jsonl sounds/real/train.jsonl sounds/mined.parquet
	$(PYTHON) -m jobs.train configs/train-mini-zeroshot.yaml output=runs \
	  encoder="$$(ls -td runs/mini-zeroshot-detector/checkpoint_*/ | head -1)model.safetensors"
	$(PYTHON) -m jobs.convert --force --dtype bf16 \
	  "$$(ls -td runs/mini-zeroshot/checkpoint_*/ | head -1)model.safetensors" separator/weights/mini-zeroshot.safetensors

scores: dev sounds  ## measure the bundled model on held-out sounds: the tables of docs/model_card.md
	for level in -10 -5 0 5 10; do $(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/at$$level --levels=$$level; done
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/paraphrase --style paraphrase
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/absent --style absent
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/three --sounds 3
	$(PYTHON) -m jobs.sounds real sounds/real
	$(PYTHON) -m jobs.evaluate mini sounds/real/held_out.jsonl runs/scores/real

# The smaller lock is constrained by the larger: pins of the extras (numpy < 2) bind both.
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header --python-version 3.11 --group build pyproject.toml
lock:  ## renew both locks from pyproject.toml
	$(COMPILE) --all-extras -o requirements-dev.lock
	$(COMPILE) --constraint requirements-dev.lock -o requirements.lock

# Tools of their own, not part of the product: uv fetches them when they are called.
sbom: | .venv/bin/python  ## list what requirements.lock pins, with hashes, in sbom.json (CycloneDX)
	$(UV) tool run --quiet --from 'cyclonedx-bom>=7,<8' cyclonedx-py requirements --output-reproducible \
	  --output-file sbom.json requirements.lock

audit: | .venv/bin/python  ## look for known weaknesses of what requirements.lock pins; needs the network
	$(UV) tool run --quiet --from 'pip-audit>=2.7,<3' pip-audit --disable-pip --require-hashes -r requirements.lock

clean:  ## remove .venv and caches
	rm -rf .venv .axe .pytest_cache .ruff_cache
