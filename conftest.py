"""What `pytest --nbval` needs so that a notebook gives the same outputs on every machine."""

import os
from pathlib import Path

# Kernels inherit these: the order of sets, and of sums over threads, would differ from run to run.
KERNEL_ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
os.environ.update(KERNEL_ENVIRONMENT)

collect_ignore_glob = ["notebooks/out*.ipynb", "notebooks/runs/*", "runs/*"]


def pytest_configure(config):
    option = config.option
    if not getattr(option, "nbval", False):
        return
    option.nbval_current_env = True  # the kernel of this environment, whatever the notebook's metadata name
    option.nbval_sanitize_with = str(Path(__file__).parent / "tools" / "sanitize.cfg")
    option.nbval_cell_timeout = 600  # nbval waits 2,000 s for a kernel that died
    option.nbval_kernel_startup_timeout = 120
