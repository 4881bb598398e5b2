# Two commands: `make up` sets everything up and does the main job, `make test` runs all the tests. `make help` lists the rest.
# An older make runs each line in its own shell, so pulumi would use the user's own settings, on the user's own cluster.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error This needs GNU make 3.82 or newer, this is $(MAKE_VERSION): on macOS run `brew install make`, then gmake in place of make)
endif
.SHELLFLAGS := -euc
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

STACK ?= dev
CACHE := $(or $(MTLS_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mtls-everywhere)
export STACK CONTEXT LAB_DIR LAB_APISIX_IMAGE MTLS_CACHE

# The Node.js in .node-version, from npm, if the one on PATH is older than 22.18 and so cannot run TypeScript directly.
NODE_VERSION := $(shell cat .node-version)
NODE_ARCH := $(subst aarch64,arm64,$(subst x86_64,x64,$(shell uname -m)))
NODE_OK := $(shell node -p "const [a, b] = process.versions.node.split('.'); +(a > 22 || (a == 22 && b >= 18))" 2>/dev/null)
NODE := $(if $(filter 1,$(NODE_OK)),,$(CACHE)/node/bin/node)
export PATH := $(if $(NODE),$(dir $(NODE)):)$(PATH)
export npm_config_cache := $(CACHE)/npm
export npm_config_update_notifier := false

# In two steps: a failing command in eval's argument would go unnoticed, and pulumi would use the user's own settings.
IN_LAB = exports="$$(node lab/cli.ts env)"; eval "$$exports"

.PHONY: help up preview verify test test-dates contract bench soak proofs env down clean-cache

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | sed 's/[$$][$$]/$$/' | sort | awk -F'|' '{ printf "%-13s%s\n", $$1, $$2 }'
	echo
	echo "CONTEXT=name uses a cluster from your kubeconfig instead of the lab, STACK=prod another environment."

up: node_modules/.stamp ## set everything up, run `pulumi up` and check every hop
	@node lab/cli.ts $(if $(CONTEXT),tools,up)
	$(IN_LAB)
	node tools/recover/cli.ts --stack $(STACK)
	pulumi up --yes --skip-preview --stack $(STACK)
	node tools/verify/cli.ts --stack $(STACK)

preview: node_modules/.stamp ## show what `make up` would change
	@$(IN_LAB)
	pulumi preview --diff --stack $(STACK)

verify: node_modules/.stamp ## check every hop of the running platform; REPORT=out.html (or .xml, .json) also writes a report
	@$(IN_LAB)
	node tools/verify/cli.ts --stack $(STACK) $(foreach file,$(REPORT),--report '$(file)')

test: node_modules/.stamp ## check types, lint and format, then run every test; the last line counts them
	@npm run --silent types
	npm run --silent lint
	npm run --silent format
	$(if $(filter Linux,$(shell uname -s)),node lab/cli.ts programs .test-programs)
	LAB_BIN="$(CURDIR)/.test-programs" node test/all.ts

test-dates: node_modules/.stamp ## run the tests that need no cluster with the date moved ahead a month, two and eleven years
	@node lab/cli.ts programs .test-programs
	LAB_BIN="$(CURDIR)/.test-programs" node test/dates.ts

contract: node_modules/.stamp ## compare the stand-ins with the recordings and print the result
	@rm -rf .contract
	mkdir .contract
	node lab/cli.ts programs .test-programs
	LAB_BIN="$(CURDIR)/.test-programs" npx mocha 'lab/test/contract/*.test.ts' > .contract/log || { cat .contract/log; exit 1; }
	tail -n 1 .contract/log
	node lab/test/contract/report.ts

bench: node_modules/.stamp ## measure the time from zero to verified and more, relative to a plain script (about 10 minutes)
	@node lab/bench/run.ts

soak: node_modules/.stamp ## renew leaves and rotate roots under load: what was seen and what must hold (about 25 minutes)
	@node lab/soak/cli.ts

proofs: node_modules/.stamp ## delete every object by hand, and change every key of the configuration (about an hour)
	@node lab/proofs/cli.ts deletions
	@node lab/proofs/cli.ts configuration

env: node_modules/.stamp ## print exports for plain `pulumi` and `kubectl`: eval "$$(make -s env)"
	@node lab/cli.ts env

down: ## remove everything but the cache, labs of killed runs included (with CONTEXT: what `make up` created on that cluster)
	@if [ ! -e node_modules/.stamp ]; then echo "Nothing was set up here."; exit 0; fi
	$(if $(CONTEXT),$(IN_LAB); pulumi destroy --run-program --yes --skip-preview --stack $(STACK))
	node lab/cli.ts down

clean-cache: ## delete the cache folder: the next `make up` starts cold
	@rm -rf "$(CACHE)"

node_modules/.stamp: package-lock.json | $(NODE)
	@command -v npm > /dev/null || { echo "There is no npm on PATH: install Node.js 24 with npm." >&2; exit 1; }
	echo "npm ci" >&2
	npm ci --no-audit --no-fund --loglevel=error >&2
	touch $@

$(CACHE)/node/bin/node:
	@if [ "$$(uname -s)" != Linux ] || ! command -v npm > /dev/null; then
		echo "Node.js on PATH is older than 22.18 or missing, or there is no npm: install Node.js 24 with npm." >&2
		exit 1
	fi
	echo "fetching Node.js $(NODE_VERSION)" >&2
	half="$(CACHE)/node.half-$$$$"
	mkdir -p "$$half"
	cd "$$half"
	npm pack --silent node-linux-$(NODE_ARCH)@$(NODE_VERSION) > /dev/null
	tar -xzf *.tgz
	rm -rf "$(CACHE)/node"
	mv package "$(CACHE)/node"
	rm -rf "$$half"
