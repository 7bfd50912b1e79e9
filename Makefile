# make run   makes .venv and executes the RetinaNet notebook to runs/05_retinanet.ipynb
# make test  makes .venv and runs the unit tests and all notebooks, strictly compared
# make check makes .venv and runs lint and the unit tests, about a minute
# make records  makes the recorded runs that are missing or stale, the shortest first (hours)
# make lint | notebooks | readme | sample
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: run test check records lint notebooks readme sample

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.version_info >= (3, 10) or sys.exit('Python 3.10 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

run: $(READY)
	mkdir -p runs
	$(BIN)/papermill notebooks/05_retinanet.ipynb runs/05_retinanet.ipynb --log-output

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest tests -n 2

test: check
	$(BIN)/python -m pytest --nbval notebooks -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .

# Executes every notebook in place, as the tests do, and strips what differs between machines.
notebooks: $(READY)
	$(BIN)/python notebooks/execute.py

# Full-length runs on a GPU, the small protocol without; stopped, the same command goes on.
records: $(READY)
	$(BIN)/python -m tdt4265.make_records

# The tables of recorded runs and of the transfer to real frames.
readme: $(READY)
	$(BIN)/python -c "from tdt4265 import recipes, records; \
	    table = records.markdown(records.all_records(), list(recipes.ALL_RECIPES)); \
	    records.renew_table('README.md', table); \
	    transfer = records.transfer_markdown('assets/records/transfer.csv'); \
	    records.renew_table('README.md', transfer, records.TRANSFER_MARKS)"

# The twelve simulated frames that the notebooks' default runs use, and the labels of the simulated clips.
sample: $(READY)
	$(BIN)/python -m tdt4265.lidar --sample assets/sample
	$(BIN)/python -c "from tdt4265 import data; data.load('sim-clips')"
	$(BIN)/python -c "from tdt4265 import paths; from tdt4265.lidar import copy_labels; \
	    copy_labels(paths.cache() / 'sim-clips', 'assets/sim_labels')"
