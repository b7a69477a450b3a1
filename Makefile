SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The interpreter .venv is made from; empty takes the first of 3.11, 3.12 and 3.13 that is found.
PYTHON ?=
# Tools that `make interop` builds, each into .tools/NAME@VERSION.
TOOLS := github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
	github.com/sigstore/cosign/v3/cmd/cosign@v3.1.2 \
	oras.land/oras/cmd/oras@v1.3.6

export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## list the targets
	@echo "make [PYTHON=python3.12] TARGET, where TARGET is one of"
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: venv
venv: ## make .venv from lockfiles/dev/requirements.txt
	@.ci/venv "$(PYTHON)"

.PHONY: demo
demo: venv ## lock, fetch, build, sign, verify, run and inspect the example model
	@target=//examples/digits
	export MPBUILD_KEY_PASSPHRASE=
	say() { printf '\n== %s\n' "$$1"; }
	mpbuild() { echo "\$$ mpbuild $$*"; .venv/bin/mpbuild -C . "$$@"; }
	rm -rf dist/digits dist/digits.pex dist/demo.key dist/demo.pub
	mkdir -p dist
	say "The locks pin every wheel and Debian package by sha256. Do they still fit the spec?"
	mpbuild lock --check "$$target"
	say "Everything that the CPU variant needs comes into the store; what follows needs no network."
	mpbuild fetch "$$target" --accelerator cpu
	say "A key pair for this demo, without a passphrase; real keys are kept elsewhere."
	mpbuild keygen dist/demo
	say "Build and sign: a sandboxed step trains the model, all other bytes are derived from locked inputs; a signed provenance says who built it and from which bytes. With one accelerator of three the package is a partial one."
	mpbuild build "$$target" --accelerator cpu --offline --sign --key dist/demo.key --output dist/digits
	say "Verify, with the public key alone: the provenance is good, and the package is derived again from what it names."
	mpbuild verify dist/digits --key dist/demo.pub --offline
	say "Predict, inside the image that was built: three pictures, how probable each of ten digits is."
	mpbuild run dist/digits --input examples/digits/request.json
	say "The same model as a PEX, a folder that a Python 3.11 of this machine runs; it brings its provenance along."
	mpbuild export dist/digits --pex dist/digits.pex
	mpbuild verify dist/digits.pex --key dist/demo.pub
	say "Derived again, and the training run again, from nothing but the package: the same digest."
	mpbuild reproduce dist/digits --rebuild --offline
	say "What is in the package. Its digest is its identity: build again anywhere, it is the same."
	mpbuild inspect dist/digits
	say "dist/digits is an OCI layout, which other tools read too, such as:"
	echo "podman run --rm -i oci:dist/digits:1.4.0 < examples/digits/request.json"

# Which tests `make test` runs, by their markers.
MARKERS := not interop and not soak

.PHONY: test
test: venv ## run the tests, without interop and soak
	@.venv/bin/python -m pytest -n 2 -m "$(MARKERS)"

.PHONY: lint
lint: venv ## check style, types and which room imports which
	@.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

.PHONY: bench
bench: venv ## measure, and compare with the budgets
	@.venv/bin/python benchmarks/run.py

# pytest exits 5 where no test carries the marker.
.PHONY: interop
interop: venv ## build other tools with Go and test against them
	@if ! command -v go >/dev/null; then
		echo "interop: skipped, Go is not installed (the tools are built by go install)"
		exit 0
	fi
	for tool in $(TOOLS); do
		folder="$$PWD/.tools/$${tool##*/}"
		name="$${tool##*/}"
		if [[ ! -x "$$folder/$${name%@*}" ]]; then
			echo "building $$tool"
			GOBIN="$$folder" CGO_ENABLED=0 GOFLAGS=-trimpath go install "$$tool"
		fi
		PATH="$$folder:$$PATH"
	done
	PATH="$$PATH" .venv/bin/python -m pytest -m interop || [[ $$? == 5 ]]

.PHONY: soak
soak: venv ## run the long kill, fault and fuzz tests
	@.venv/bin/python -m pytest -m soak || [[ $$? == 5 ]]

.PHONY: lock-dev
lock-dev: venv ## renew lockfiles/dev/requirements.txt from pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock-dev" .venv/bin/uv pip compile pyproject.toml --quiet \
		--extra dev --universal --python .venv/bin/python --python-version 3.11 \
		--no-build --generate-hashes --upgrade --output-file lockfiles/dev/requirements.txt
	echo "lockfiles/dev/requirements.txt is renewed; the next make remakes .venv if it changed"

.PHONY: lock-toolchain
lock-toolchain: venv ## renew lockfiles/toolchain, the locks of what mpbuild itself runs
	@.venv/bin/python -c 'from mpbuild.app.build.toolchain import renew; renew()'
	echo "lockfiles/toolchain is renewed"

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
