# What people type. `make` alone lists it.
#
#   make run                    everything this machine needs, then the whole site, until Ctrl-C
#   make run PORT=8001          on another port (BIND=0.0.0.0 lets other machines in, with ALLOWED_HOSTS=their name for it)
#   make run ONCE=1             the same, but one export through it and the end (ONCE_FORMAT=csv, ONCE_PERIOD=last-month)
#   make test                   checks and tests (make faults: the long ones; make quick: the short ones)

PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

# A variable given to make reaches the programs that read it; an empty one does not.
$(foreach name,PORT ONCE BIND VAR_DIR DATABASE_URL REDIS_URL,$(if $($(name)),$(eval export $(name))))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-dev run test quick faults chaos bench check lock flower doctor shell clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup:  ## install what running needs (make run does it too)
	@$(PYTHON) -m deploy.bootstrap

setup-dev:
	@$(PYTHON) -m deploy.bootstrap --dev

run: setup  ## start everything and stay up; PORT=8001 moves it, ONCE=1 drives one export and ends
	@exec $(BIN)/python -m deploy.run

test: setup-dev  ## run the checks and all the tests, those of the database on PostgreSQL too
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m tests.lanes
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

quick: setup-dev  ## lint, types and unit tests, in half a minute
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Run `.venv/bin/ruff format .`'; exit 1; }
	@$(BIN)/mypy
	@LIVES=4 $(BIN)/python -m pytest -q -n auto tests/unit

faults: setup-dev  ## break whole sites in one way after the other, the long tests that `make test` has the short form of
	@$(BIN)/python -m tests.lanes faults

chaos: setup-dev  ## break everything while exports run, and count: N=3000 SEED=2 DB=sqlite BROKER=sentinel CONTROL=1
	@$(BIN)/python -m tests.chaos $(if $(N),--number $(N)) $(if $(SEED),--seed $(SEED)) $(if $(DB),--database $(DB)) \
	$(if $(BROKER),--broker $(BROKER)) $(if $(LOAD),--load $(LOAD)) $(if $(RATE),--rate $(RATE)) $(if $(SHORT),--short) $(if $(CONTROL),--control)

bench: setup-dev  ## measure, and write docs/benchmarks.md with its plots (ONLY=csv-1m for one line of the table)
	@$(BIN)/python -m benchmarks.run $(if $(ONLY),--only $(ONLY))

check: setup-dev  ## lint, format, types, layers, dead code, migrations, and the package
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Run `.venv/bin/ruff format .`'; exit 1; }
	@$(BIN)/mypy --no-incremental
	@$(BIN)/python -m tests.snippets
	@$(BIN)/lint-imports
	@! $(BIN)/vulture | grep -v 'unused variable\|unused attribute'
	@$(BIN)/python -m build --no-isolation --outdir var/dist > /dev/null
	@$(BIN)/python manage.py makemigrations --check --dry-run

lock: setup-dev  ## write requirements/*.txt anew from requirements/*.in
	@cd requirements && ../$(COMPILE) ../pyproject.toml base.in -o base.txt
	@cd requirements && ../$(COMPILE) parquet.in -o parquet.txt
	@cd requirements && ../$(COMPILE) s3.in -o s3.txt
	@cd requirements && ../$(COMPILE) ../pyproject.toml base.in dev.in -o dev.txt
	@cd requirements && ../$(COMPILE) --no-deps flights.in -o flights.txt

flower: setup  ## show workers and tasks at port 5555 (FLOWER_PASSWORD=... FLOWER_PORT=...), beside a running site
	@test -n "$$FLOWER_PASSWORD" || { echo 'Flower shows and stops tasks, so it needs a password: FLOWER_PASSWORD=... make flower (the user is carryall).'; exit 1; }
	@PROCESS_NAME=flower FLOWER_BASIC_AUTH="carryall:$$FLOWER_PASSWORD" exec $(BIN)/python -m celery --quiet -A config.celery flower --address=127.0.0.1 --port=$${FLOWER_PORT:-5555}

doctor: setup  ## say what is wrong with this installation, and how to fix it
	@$(BIN)/python manage.py doctor

shell: setup  ## a Python prompt with the models, the tasks and request_export
	@$(BIN)/python manage.py shell

clean:  ## remove caches; var/ (data, files, mail) and .venv/ stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -not -path './.venv/*' -not -path './var/*' -prune -exec rm -rf {} +
	@echo 'Caches are gone. var/ holds the database and the files: remove it yourself when no `make run` uses it.'
