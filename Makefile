# make lab   makes .venv and opens JupyterLab on a copy of the notebooks, in lab/
# make run   makes .venv, runs a trained detector on unseen frames, and executes the RetinaNet notebook, to runs/
# make test  makes .venv and runs the unit tests and all notebooks, strictly compared
# make check makes .venv and runs lint and the unit tests, about four minutes
# make records  makes the recorded runs that are missing or stale, the shortest first (hours)
# make lint | notebooks | readme | sample
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: lab run test check records lint notebooks readme sample

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.version_info >= (3, 10) or sys.exit('Python 3.10 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

# Notebooks that are in lab/ already are the reader's, and stay as they are.
lab: $(READY)
	mkdir -p lab
	for notebook in notebooks/*.ipynb; do test -e lab/$$(basename $$notebook) || cp $$notebook lab/; done
	$(BIN)/jupyter lab lab

run: $(READY)
	mkdir -p runs
	$(BIN)/python -m tdt4265.detect bifpn sample:val --out runs/detections
	$(BIN)/papermill notebooks/05_retinanet.ipynb runs/05_retinanet.ipynb --log-output

check: lint
	$(BIN)/python -m pytest tests -n 2

test: check
	$(BIN)/python -m pytest --nbval notebooks -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check notebooks

# Executes every notebook in place, as the tests do, and strips what differs between machines.
notebooks: $(READY)
	$(BIN)/python tools/execute.py

# Full-length runs on a GPU, the small protocol without; stopped, the same command goes on.
records: $(READY)
	$(BIN)/python -m tdt4265.make_records

# The tables of recorded runs, the story in the README and all of them beside the records, and of the transfer.
readme: $(READY)
	$(BIN)/python tools/tables.py

# The twelve simulated frames that the notebooks' default runs use, and the labels of the simulated clips.
sample: $(READY)
	$(BIN)/python -m tdt4265.lidar --sample assets/sample
	$(BIN)/python -c "from tdt4265 import data; data.load('sim-clips')"
	$(BIN)/python -c "from tdt4265 import paths; from tdt4265.lidar import copy_labels; \
	    copy_labels(paths.cache() / 'sim-clips', 'assets/sim_labels')"
