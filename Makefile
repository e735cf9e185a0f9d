# Everything on a fresh machine: `make demo` and `make test` set up what is missing, build, and run.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check
SYSTEM := g++ libhwy-dev liblilv-dev libportaudio2 python3-dev python3-venv
TEST_SYSTEM := libebur128-1 jackd2 chromium clang firefox-esr g++-aarch64-linux-gnu qemu-user dpf-source lilv-utils lv2-dev mda-lv2 sordi x42-plugins xdotool xvfb zam-plugins
# TWINRACK_WERROR: our C++ has no warnings, so one stops the build.
BUILD_FLAGS := -Ccmake.define.TWINRACK_WERROR=ON
SOURCES := $(shell find cpp plugins python CMakeLists.txt pyproject.toml \( -name '*.h' -o -name '*.cc' -o -name '*.toml' -o -name '*.txt' -o -path '*/build/*.py' \) 2>/dev/null)

help: ## list what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

system: ## install missing system packages (Debian, Ubuntu)
	@bash tools/system_packages.sh $(SYSTEM)

$(VENV)/tools: constraints.txt
	@$(MAKE) --no-print-directory system
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt torch scikit-build-core pybind11 pydantic ninja cmake
	@touch $@

# What training and the demo need; what the checks need on top.
$(VENV)/built: $(VENV)/tools $(SOURCES)
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt --no-build-isolation $(BUILD_FLAGS) --editable '.[train,live]'
	@touch $@

$(VENV)/checks: $(VENV)/built
	@bash tools/system_packages.sh $(TEST_SYSTEM)
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt --no-build-isolation $(BUILD_FLAGS) --editable '.[train,live,test,dev,docs]'
	@touch $@

$(VENV)/zig: $(VENV)/built
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt 'ziglang>=0.17'
	@touch $@

build: $(VENV)/built ## environment and build

demo: web ## train, render and report once, from nothing
	$(BIN)/twinrack demo

test: $(VENV)/checks lint types realtime web pytest docs ## every check: style, types, real-time, tests, docs

pytest: $(VENV)/checks web ## the tests: several at once, then those that need the machine for themselves
	$(BIN)/python -m pytest -m "not alone" --numprocesses logical --dist worksteal
	$(BIN)/python -m pytest -m alone

lint: $(VENV)/checks ## style of Python and C++
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'cpp/*.h' 'cpp/*.cc' 'plugins/*.h' 'tests/cpp/*.h' 'tests/cpp/*.cc' 'benchmarks/*.h' 'benchmarks/*.cc')

format: $(VENV)/checks ## put both into that style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'cpp/*.h' 'cpp/*.cc' 'plugins/*.h' 'tests/cpp/*.h' 'tests/cpp/*.cc' 'benchmarks/*.h' 'benchmarks/*.cc')

types: $(VENV)/checks ## types of the Python surface
	$(BIN)/mypy

stubs: $(VENV)/checks ## write anew the types of the extension
	$(BIN)/python tools/stubs.py

realtime: $(VENV)/checks ## the compiler's proof that nothing on the audio thread allocates, locks or throws
	$(BIN)/python tools/realtime_check.py

targets: $(VENV)/checks ## the same sound on every instruction set, on NEON under an emulator, and from Clang
	$(BIN)/python -m pytest tests/engine/test_targets.py -s

clang: $(VENV)/checks ## Clang builds everything without a warning, and it makes the same sound
	$(BIN)/python -m pytest tests/engine/test_targets.py -s -k clang

# Beside the built extension, so that the next import finds it there.
web: $(VENV)/zig ## the engine for pages (WebAssembly)
	$(BIN)/python tools/web_module.py build/web/twinrack_web.wasm
	$(BIN)/python -c "import twinrack"

portable: $(VENV)/checks ## the engine compiles for Windows and macOS, to the letter of the standard
	$(BIN)/python tools/portable_check.py

plugin-library: $(VENV)/checks ## the library of exported plugins, for any Linux with glibc 2.17
	$(BIN)/python tools/plugin_library.py

sanitize: $(VENV)/checks ## the engine under storm, with address, undefined-behaviour and thread sanitizers
	$(BIN)/python tools/sanitize.py

soak: $(VENV)/checks ## the long proofs, hours: start it in the evening
	TWINRACK_CERTIFY_RACKS=10000 $(BIN)/python -m pytest tests/explain/test_certify.py -s
	TWINRACK_PARITY_CASES=400 $(BIN)/python -m pytest tests/twins/test_parity.py -s
	TWINRACK_LIMITER_SIGNALS=1000000 $(BIN)/python -m pytest tests/effects/test_limiter.py -s
	TWINRACK_STORM_BLOCKS=10000000 $(BIN)/python tools/sanitize.py
	TWINRACK_DRIFT_S=3600 $(BIN)/python -m pytest tests/engine/test_mixer.py -s -k drift
	TWINRACK_KILLS=100 $(BIN)/python -m pytest tests/stage/test_recovery.py -s -k leaks
	TWINRACK_SESSION_GRAPHS=1500 TWINRACK_TWIN_GRAPHS=400 $(BIN)/python -m pytest tests/session/test_session.py tests/session/test_session_twin.py -s
	TWINRACK_SESSION_KILLS=60 $(BIN)/python -m pytest tests/session/test_session_resume.py -s -k kill
	TWINRACK_FLAT_EDITS=100000 $(BIN)/python -m pytest tests/plugin_files -s -k damaged
	TWINRACK_BYTE_EDITS=10000 $(BIN)/python -m pytest tests/rack/test_trail.py -s
	TWINRACK_LISTENERS=200 $(BIN)/python -m pytest tests/listening/test_listening_server.py -s -k killed
	TWINRACK_WISHES=200 TWINRACK_BURSTS=200 $(BIN)/python -m pytest tests/explain/test_counterfactuals.py tests/explain/test_evidence.py -s
	TWINRACK_BATCH_FILES=10000 $(BIN)/python -m pytest tests/render/test_batch.py -s -k "rest or left"

bench: $(VENV)/checks ## speed beside pedalboard, LV2 plugins and zita-convolver, and of training beside dasp and torchcomp
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt pedalboard dawdreamer minihost dasp-pytorch torchcomp
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/session.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/silence.py
	$(BIN)/python benchmarks/calls.py
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/plugin_hosts.py

docs: $(VENV)/checks web ## the pages, strict
	$(BIN)/python tools/reference_pages.py
	$(BIN)/mkdocs build --strict --quiet

clean: ## what was built, without the environment
	rm -rf build site docs/effects docs/schema $(VENV)/built $(VENV)/checks

.PHONY: help system build demo test pytest lint format types stubs realtime targets clang web portable plugin-library sanitize soak bench docs clean
