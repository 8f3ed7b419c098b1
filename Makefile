PY := .venv/bin/python
.PHONY: setup demo test check docs oracle clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

demo: setup
	$(PY) -m sceneminer demo

test: setup
	$(PY) -m pytest -n 2

check: setup
	.venv/bin/ruff format --check src tests benchmarks
	.venv/bin/ruff check src tests benchmarks
	.venv/bin/pyright

clean:
	rm -rf .venv .venv-oracle out runs
