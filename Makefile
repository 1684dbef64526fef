PY ?= .venv/bin/python

app:    ## open the app
	$(PY) -m streamlit run app.py
test:   ## run the tests
	$(PY) -m pytest
check:  ## format, lint, types, import contracts
	$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy && $(PY) -m pytest -q tests/project
bench:  ## the benchmarks, short form
	$(PY) benchmarks/ingest.py --quick && $(PY) benchmarks/sampling.py --quick && $(PY) benchmarks/pages.py
organism:  ## rebuild the offline organism (a GPU, or patience)
	$(PY) -m em_core.organism.build
.PHONY: app test check bench organism
