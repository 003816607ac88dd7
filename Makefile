# Commands for users and developers. `make` without a target lists them.
#
#   make run                    install what is missing, then run the whole site until Ctrl-C
#   make run PORT=8001          use another port (BIND=0.0.0.0 ALLOWED_HOSTS=<host name>: accept other machines)
#   make run ONCE=1             start the site, run one export and stop (ONCE_FORMAT=csv, ONCE_PERIOD=last-month)
#   make test                   run checks and tests (make faults: the long ones; make quick: the short ones)

PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
SITE := ../pyproject.toml --extra pdf --extra postgres --extra redis --extra push --extra metrics base.in

# Export these variables to the programs if they are given to make and not empty.
$(foreach name,PORT ONCE BIND VAR_DIR DATABASE_URL REDIS_URL BROKER_URL,$(if $($(name)),$(eval export $(name))))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-dev run test quick faults chaos bench check matrix docs reference lock flower doctor shell clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup:  ## install what the site needs (make run does this too)
	@$(PYTHON) -m deploy.bootstrap

setup-dev:
	@$(PYTHON) -m deploy.bootstrap --dev

run: setup  ## run the site until Ctrl-C; PORT=8001 sets the port, ONCE=1 runs one export and stops
	@exec $(BIN)/python -m deploy.run

test: setup-dev  ## run all checks and tests; database tests also run on PostgreSQL
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m tests.lanes
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

quick: setup-dev  ## lint, check types and run unit tests, in half a minute
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Run `.venv/bin/ruff format .`'; exit 1; }
	@$(BIN)/mypy
	@LIVES=4 $(BIN)/python -m pytest -q -n auto -m 'not slow' tests/unit

faults: setup-dev  ## run the long fault tests on whole sites; `make test` runs short versions of them
	@$(BIN)/python -m tests.lanes faults

chaos: setup-dev  ## run exports under random faults and count the results: N=3000 SEED=2 DB=sqlite BROKER=sentinel or rabbitmq CONTROL=1
	@$(BIN)/python -m tests.chaos $(if $(N),--number $(N)) $(if $(SEED),--seed $(SEED)) $(if $(DB),--database $(DB)) \
	$(if $(BROKER),--broker $(BROKER)) $(if $(LOAD),--load $(LOAD)) $(if $(RATE),--rate $(RATE)) $(if $(SHORT),--short) $(if $(CONTROL),--control)

bench: setup-dev  ## run the benchmarks and write docs/benchmarks.md with plots (ONLY=csv-1m: one line of the table)
	@$(BIN)/python -m benchmarks.run $(if $(ONLY),--only $(ONLY))

check: setup-dev  ## check lint, format, types, layers, dead code, migrations and the package
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Run `.venv/bin/ruff format .`'; exit 1; }
	@$(BIN)/djhtml --check --tabwidth 2 */templates templates 2>/dev/null || { echo 'Run `.venv/bin/djhtml --tabwidth 2 */templates templates`'; exit 1; }
	@$(BIN)/mypy --no-incremental
	@$(BIN)/python -m tests.snippets
	@$(BIN)/lint-imports
	@! $(BIN)/vulture | grep -v 'unused variable\|unused attribute'
	@$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs var/docs
	@dist=$$(mktemp -d) && trap 'rm -rf "$$dist"' EXIT && $(BIN)/python -m build --no-isolation --outdir "$$dist" > /dev/null \
	&& { checked=$$($(BIN)/twine --no-color check --strict "$$dist"/*) || { echo "$$checked"; exit 1; }; }
	@$(BIN)/python manage.py makemigrations --check --dry-run

matrix: setup-dev  ## test the built package on each Python and Django that it supports
	@$(BIN)/python -m tests.matrix

docs: setup-dev  ## build the documentation site in var/docs
	@$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs var/docs
	@echo 'Open var/docs/index.html.'

reference: setup-dev  ## write docs/reference/*.md from the code
	@$(BIN)/python -m tests.reference

lock: setup-dev  ## compile requirements/*.txt from requirements/*.in
	@cd requirements && ../$(COMPILE) $(SITE) -o base.txt
	@cd requirements && ../$(COMPILE) parquet.in -o parquet.txt
	@cd requirements && ../$(COMPILE) s3.in -o s3.txt
	@cd requirements && ../$(COMPILE) sqs.in -o sqs.txt
	@cd requirements && ../$(COMPILE) $(SITE) dev.in -o dev.txt
	@cd requirements && ../$(COMPILE) --no-deps flights.in -o flights.txt

flower: setup  ## show workers and tasks of a running site on port 5555 (FLOWER_PASSWORD=... FLOWER_PORT=...)
	@test -n "$$FLOWER_PASSWORD" || { echo 'Flower can show and stop tasks, so it needs a password: FLOWER_PASSWORD=... make flower (the user name is carryall).'; exit 1; }
	@PROCESS_NAME=flower FLOWER_BASIC_AUTH="carryall:$$FLOWER_PASSWORD" exec $(BIN)/python -m celery --quiet -A config.celery flower --address=127.0.0.1 --port=$${FLOWER_PORT:-5555}

doctor: setup  ## report what is wrong with this installation and how to fix it
	@$(BIN)/python manage.py doctor

shell: setup  ## open a Python shell with the models, the tasks and request_export imported
	@$(BIN)/python manage.py shell

clean:  ## remove caches; keep var/ (data, files, mail) and .venv/
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -not -path './.venv/*' -not -path './var/*' -prune -exec rm -rf {} +
	@echo 'Caches removed. var/ contains the database and the files: to delete them, stop `make run` and remove var/.'
