SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The interpreter for .venv; if empty, the first found of 3.11, 3.12 and 3.13.
PYTHON ?=
# The tools that `make interop` builds, each in .tools/NAME@VERSION.
TOOLS := github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
	github.com/sigstore/cosign/v3/cmd/cosign@v3.1.2 \
	oras.land/oras/cmd/oras@v1.3.6

export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## list the targets
	@echo "make [PYTHON=python3.12] TARGET, where TARGET is one of:"
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: venv
venv: ## create .venv from lockfiles/dev/requirements.txt
	@.ci/venv "$(PYTHON)"

.PHONY: demo
demo: venv ## lock, fetch, build, sign, verify, run and inspect the example model
	@target=//examples/digits
	export MPBUILD_KEY_PASSPHRASE=
	say() { printf '\n== %s\n' "$$1"; }
	mpbuild() { echo "\$$ mpbuild $$*"; .venv/bin/mpbuild -C . "$$@"; }
	rm -rf dist/digits dist/digits.pex dist/demo.key dist/demo.pub
	mkdir -p dist
	say "Check that the locks, which pin every wheel and Debian package by sha256, match the spec."
	mpbuild lock --check "$$target"
	say "Fetch all inputs of the CPU variant into the store; the remaining commands need no network."
	mpbuild fetch "$$target" --accelerator cpu
	say "Create a key pair for this demo, without a passphrase; keep real keys elsewhere."
	mpbuild keygen dist/demo
	say "Build and sign: a sandboxed step trains the model, and all other bytes are derived from locked inputs. A signed provenance states who built the package and from which bytes. With one accelerator of three, the package is partial."
	mpbuild build "$$target" --accelerator cpu --offline --sign --key dist/demo.key --output dist/digits
	say "Verify with only the public key: check the provenance, and derive the package again from the inputs that it names."
	mpbuild verify dist/digits --key dist/demo.pub --offline
	say "Predict inside the built image: the probability of each of ten digits, for three pictures."
	mpbuild run dist/digits --input examples/digits/request.json
	say "Export and verify the same model as a PEX, a folder that runs on this machine's Python 3.11 and includes its provenance."
	mpbuild export dist/digits --pex dist/digits.pex
	mpbuild verify dist/digits.pex --key dist/demo.pub
	say "Derive the package again and rerun the training, from the package alone: the digest is the same."
	mpbuild reproduce dist/digits --rebuild --offline
	say "List the contents of the package. Its digest is its identity: a build on any machine gives the same one."
	mpbuild inspect dist/digits
	say "dist/digits is an OCI layout, which other tools can read as well, for example:"
	echo "podman run --rm -i oci:dist/digits:1.4.0 < examples/digits/request.json"

# The tests that `make test` runs, selected by marker.
MARKERS := not interop and not soak

.PHONY: test
test: venv ## run the tests, except interop and soak
	@.venv/bin/python -m pytest -n 3 --dist worksteal -m "$(MARKERS)"

.PHONY: lint
lint: venv ## check style, types and imports between rooms
	@.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

.PHONY: bench
bench: venv ## run the benchmarks and compare them with their budgets
	@.venv/bin/python benchmarks/run.py

# pytest exits with 5 if no test has the marker.
.PHONY: interop
interop: venv ## test with third-party tools, some of which Go builds
	@command -v go >/dev/null || echo "Go is not installed: tests of the tools that it builds will skip"
	for tool in $(TOOLS); do
		command -v go >/dev/null || continue
		folder="$$PWD/.tools/$${tool##*/}"
		name="$${tool##*/}"
		if [[ ! -x "$$folder/$${name%@*}" ]]; then
			echo "building $$tool"
			GOBIN="$$folder" CGO_ENABLED=0 GOFLAGS=-trimpath go install "$$tool"
		fi
		PATH="$$folder:$$PATH"
	done
	PATH="$$PATH" .venv/bin/python -m pytest -n 3 --dist worksteal -m interop || [[ $$? == 5 ]]

.PHONY: soak
soak: venv ## run the long-running kill, fault and fuzz tests
	@.venv/bin/python -m pytest -m soak || [[ $$? == 5 ]]

.PHONY: lock-dev
lock-dev: venv ## renew lockfiles/dev/requirements.txt from pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock-dev" .venv/bin/uv pip compile pyproject.toml --quiet \
		--extra dev --universal --python .venv/bin/python --python-version 3.11 \
		--no-build --generate-hashes --upgrade --output-file lockfiles/dev/requirements.txt
	echo "renewed lockfiles/dev/requirements.txt; if it changed, the next make recreates .venv"

.PHONY: lock-toolchain
lock-toolchain: venv ## renew lockfiles/toolchain, the locks of mpbuild's own toolchain
	@.venv/bin/python -c 'from mpbuild.app.build.toolchain import renew; renew()'
	echo "renewed lockfiles/toolchain"

.PHONY: clean
clean: ## remove everything that make created
	@rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
