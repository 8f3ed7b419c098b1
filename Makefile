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
	$(PY) -m pytest -n 2 --dist loadgroup

check: setup
	.venv/bin/ruff format --check src tests benchmarks
	.venv/bin/ruff check src tests benchmarks
	.venv/bin/pyright

# References from the code, then the site in site/; nothing is fetched.
docs: setup
	$(PY) -m sceneminer.cli.reference docs/reference
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

clean:
	rm -rf .venv .venv-oracle out runs site

.venv-oracle/.installed: requirements-oracle.txt
	python3 -m venv .venv-oracle
	.venv-oracle/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-oracle.txt
	touch $@

# The official devkit opens a town, renders a sample and rasterises its map; compared with ours.
oracle: setup .venv-oracle/.installed
	rm -rf out/oracle out/oracle-masks
	$(PY) -m sceneminer synth out/oracle --logs 2 --seed 7 --split val
	$(PY) benchmarks/oracle_masks.py out/oracle out/oracle-masks
	.venv-oracle/bin/python benchmarks/oracle_devkit.py out/oracle out/oracle-masks
	rm -rf out/oracle-export
	$(PY) benchmarks/oracle_export.py out/oracle-export out/oracle
	.venv-oracle/bin/python benchmarks/oracle_export_devkit.py out/oracle-export
