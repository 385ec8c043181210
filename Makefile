# make run [PORT=8000] · make test · make test-all · make check · make bench · make coverage · make lock · make messages
# What each needs is installed into .venv first: pinned, hashed wheels only, no compiler.
PYTHON ?= python3
PORT ?= 8000
PY = manage.py config apps verify bench tests
PIP = .venv/bin/python -m pip --quiet --disable-pip-version-check
LOCK = .venv/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
	--no-emit-trusted-host --no-emit-find-links
MANAGE = DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python manage.py
export PYTHONUNBUFFERED = 1

.PHONY: run test test-all check bench coverage lock messages
.DEFAULT_GOAL := run

run: .venv/installed
	@exec .venv/bin/python -m config.run --port $(PORT)

test: .venv/installed-dev
	@.venv/bin/python -m tests.run

test-all: .venv/installed-dev
	@.venv/bin/python -m tests.run --all

check: .venv/installed-dev
	.venv/bin/ruff check $(PY)
	.venv/bin/ruff format --check $(PY)
	.venv/bin/mypy $(PY)
	$(MANAGE) makemigrations --check --dry-run
	.venv/bin/pytest -q tests/test_architecture.py tests/config/test_checks.py

bench: .venv/installed-dev
	.venv/bin/python -m bench

coverage: .venv/installed-dev
	@.venv/bin/python -m tests.covering

lock: .venv/bin/python
	$(PIP) install pip-tools
	$(LOCK) --output-file requirements.txt requirements.in
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in

messages: .venv/installed-dev
	$(MANAGE) makemessages --locale zh_Hans --no-wrap --add-location file --ignore tests --ignore bench --ignore var --ignore staticfiles
	$(MANAGE) compilemessages --locale zh_Hans --ignore .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Habeas needs Python 3.11 or newer; %s is %s. Name another one: make run PYTHON=python3.11" % (sys.executable, sys.version.split()[0]))'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 -m venv does not work here: install it (Debian, Ubuntu: apt install python3-venv)."; exit 1; }

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing what Habeas needs (once) …"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing what tests and checks need (once) …"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@
