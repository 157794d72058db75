# Each target first installs what it needs on a fresh machine. Start with `make demo` or `make test`.
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n 2 --dist worksteal
UV := $(shell command -v uv || echo python3 -m uv)
SHELL := /bin/bash
# Many containers set this variable. Without stored bytecode each Ray process compiles all modules
# that it imports, which takes half of the CPU time of a small run. Empty: Python stores bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help env dev ffmpeg rgw sounds browser lock test test-all test-gpu check demo bench bundled mini scores sbom audit clean mini-zeroshot
.DEFAULT_GOAL := test

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.run  ## create .venv with the packages to run the job (requirements.lock)

dev: .venv/.dev  ## create .venv with all extras and the tests' packages too (requirements-dev.lock)

.venv/bin/python:
	@$(UV) --version >/dev/null 2>&1 || python3 -m pip install --quiet --user uv \
	  || python3 -m pip install --quiet --break-system-packages uv
	@$(UV) venv --quiet --python '>=3.11,<3.13' .venv

# `install` only adds packages, so `make demo` after `make test` removes none.
.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch $@

# requirements-dev.lock contains all packages of requirements.lock, in the same versions.
.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/python
	@$(UV) pip sync --quiet --python $(PYTHON) --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch .venv/.run $@

ffmpeg:  ## install ffmpeg if it is missing
	@bash tools/ensure_ffmpeg.sh

rgw:  ## install Ceph's object gateway if it is missing: a strict S3 store for tests
	@bash tools/ensure_rgw.sh

sounds:  ## install espeak-ng, fluidsynth, a soundfont and npm if they are missing
	@bash tools/ensure_sounds.sh

browser:  ## install Chromium and npm if they are missing, fetch axe-core into .axe/
	@bash tools/ensure_browser.sh

test: dev ffmpeg  ## run the default tests, which need only ffmpeg
	$(PYTEST)

check: dev ffmpeg rgw sounds browser  ## run the gate: lint, types, all tests but the slowest
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright
	$(PYTEST) --durations=10 -m '(not slow or check) and not gpu'

test-all: dev ffmpeg rgw sounds browser  ## run all tests but those on a GPU
	SEPARATOR_EXAMPLES=20 $(PYTEST) -m 'not gpu'

test-gpu: dev  ## run the tests that need a CUDA device
	$(PYTHON) -m pytest -m gpu

demo: env ffmpeg  ## make a small library in demo/ and run the job on it
	$(PYTHON) -m jobs.demo demo --recordings

bench: dev  ## compare the engine's speed with the plain network's; writes benchmarks/results/
	$(PYTHON) benchmarks/engine.py
	$(PYTHON) benchmarks/engine.py --net unet --work 10x1,10x4 --variants 'eager fp32,eager bf16'

bundled: dev  ## compare the bundled models on held-out sounds; updates the tables in README and docs
	$(PYTHON) -m benchmarks.bundled

mini: dev ffmpeg sounds  ## train the bundled mini again (hours on 2 cores) and replace it in separator/weights/
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

mini-zeroshot: dev  ## the same of mini-zeroshot, on the sounds that `make mini` made
	$(PYTHON) -m jobs.train configs/train-mini-zeroshot-detector.yaml output=runs
	$(PYTHON) -m jobs.mine "$$(ls -td runs/mini-zeroshot-detector/checkpoint_*/ | head -1)model.safetensors" \
	  sounds/train/sounds.jsonl sounds/real/train.jsonl sounds/mined.parquet
	$(PYTHON) -m jobs.train configs/train-mini-zeroshot.yaml output=runs \
	  encoder="$$(ls -td runs/mini-zeroshot-detector/checkpoint_*/ | head -1)model.safetensors"
	$(PYTHON) -m jobs.convert --force --dtype bf16 \
	  "$$(ls -td runs/mini-zeroshot/checkpoint_*/ | head -1)model.safetensors" separator/weights/mini-zeroshot.safetensors

scores: dev sounds  ## measure mini on held-out sounds, for the tables of docs/model_card.md
	for level in -10 -5 0 5 10; do $(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/at$$level --levels=$$level; done
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/paraphrase --style paraphrase
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/absent --style absent
	$(PYTHON) -m jobs.evaluate mini sounds/test/sounds.jsonl runs/scores/three --sounds 3
	$(PYTHON) -m jobs.sounds real sounds/real
	$(PYTHON) -m jobs.evaluate mini sounds/real/held_out.jsonl runs/scores/real

# The larger lock constrains the smaller one, so pins of the extras (numpy < 2) apply to both.
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header --python-version 3.11 --group build pyproject.toml
lock:  ## update both lock files from pyproject.toml
	$(COMPILE) --all-extras -o requirements-dev.lock
	$(COMPILE) --constraint requirements-dev.lock -o requirements.lock

# The next two tools are not part of the product: uv downloads each when it is called.
sbom: | .venv/bin/python  ## list the packages of requirements.lock, with hashes, in sbom.json (CycloneDX)
	$(UV) tool run --quiet --from 'cyclonedx-bom>=7,<8' cyclonedx-py requirements --output-reproducible \
	  --output-file sbom.json requirements.lock

audit: | .venv/bin/python  ## look for known vulnerabilities of the packages in requirements.lock; needs the network
	$(UV) tool run --quiet --from 'pip-audit>=2.7,<3' pip-audit --disable-pip --require-hashes -r requirements.lock

clean:  ## remove .venv and caches
	rm -rf .venv .axe .pytest_cache .ruff_cache
