# Everything is done with relative paths, so that the folder's own path may contain spaces.
.DEFAULT_GOAL := help
.PHONY: help setup run test check lint types bench bench-security chaos clean lock

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name what; do \
		printf '  make %-14s %s\n' "$$name" "$$what"; done
	@echo '  ONCE=1 make run ends after the inbox; INBOX=file.jsonl takes requests of your own'

setup: ## make .venv with all that is needed (the others do it by themselves)
	@deploy/bootstrap.sh

run: setup ## start a whole fleet here and work through the inbox
	@exec .venv/bin/fleetctl up $${ONCE:+--once} $${INBOX:+--inbox "$$INBOX"}

test: setup ## run all tests
	@.venv/bin/pytest -n auto

check: lint types ## lint, types, import rules and unit tests
	@.venv/bin/pytest -n auto tests/unit

lint: setup ## ruff and import-linter
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports

types: setup ## mypy
	@.venv/bin/mypy

bench: setup ## measure; prints one figure a line
	@.venv/bin/python tests/bench $${ONLY:-}

bench-security: setup ## attack the gates with AgentDojo, and measure the rails; ONLY=gates
	@.venv/bin/python tests/bench/security $${ONLY:-}

chaos: setup ## kill workers and servers while tasks are at work; KILLS=200
	@.venv/bin/python tests/chaos

clean: ## remove environment, data, logs and caches
	@deploy/clean.sh

lock: ## choose and pin the newest versions allowed
	@deploy/uv.sh lock --upgrade
	@deploy/uv.sh export --quiet --frozen --format requirements-txt --all-packages --all-extras \
		--all-groups --no-emit-workspace --no-header --output-file requirements.lock >/dev/null
