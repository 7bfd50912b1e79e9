"""Executes the notebooks in place, under the tests' environment, and leaves in them what is the same everywhere.

    python tools/execute.py                   # all of them
    python tools/execute.py 05_retinanet      # some
"""

import base64
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from palette import with_palette
from setup_cell import SETUP

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
sys.path.insert(0, str(ROOT))
from conftest import KERNEL_ENVIRONMENT  # noqa: E402  (one place says what a kernel's environment is)
from tdt4265 import plots  # noqa: E402

KEPT_METADATA = ("kernelspec", "language_info")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def clean(notebook):
    """Strips what changes from run to run or breaks rendering: widget state, timings, bars of progress."""
    notebook.metadata = {key: notebook.metadata[key] for key in KEPT_METADATA if key in notebook.metadata}
    notebook.metadata["kernelspec"] = KERNELSPEC
    notebook.metadata.get("language_info", {}).pop("version", None)
    next(cell for cell in notebook.cells if cell.cell_type == "code").source = SETUP
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"  # random ids would make every run a change
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not (is_progress(output) or names_precision(output))]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    png = base64.b64decode(output["data"]["image/png"])
                    output["data"]["image/png"] = base64.b64encode(with_palette(png)).decode()
                    output["metadata"] = {"image/png": {"alt": alternative(cell.source)}}
    return notebook


def alternative(source: str) -> str:
    """What a screen reader says of a cell's figure: what the functions of `plots` that it calls say they draw."""
    names = dict.fromkeys(re.findall(r"\bplots\.(\w+)\(", source))
    documented = [getattr(plots, name).__doc__ or "" for name in names]
    first = [" ".join(text.split("\n\n")[0].split()) for text in documented if text]
    return " ".join(first) or "The figure that this cell draws; the text around it says what it shows."


def is_progress(output) -> bool:
    """A progress bar, which is a widget: of use while it runs, noise in a committed file.

    Standard error stays: what a cell warns of is to be seen, and a test refuses it.
    """
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def names_precision(output) -> bool:
    """Fabric's note that this processor has 16-bit arithmetic, which others have not."""
    return output.get("name") == "stderr" and output["text"].strip() == "Using bfloat16 Automatic Mixed Precision (AMP)"


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=1200, resources={"metadata": {"path": FOLDER}})
    client.execute()
    temporary = path.with_suffix(".ipynb.part")
    nbformat.write(clean(notebook), temporary)
    os.replace(temporary, path)
    print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells executed")


def main(names: list[str]) -> None:
    os.environ.update(KERNEL_ENVIRONMENT)
    paths = [FOLDER / f"{Path(name).stem}.ipynb" for name in names] or sorted(FOLDER.glob("[0-9]*.ipynb"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        there = ", ".join(path.stem for path in sorted(FOLDER.glob("[0-9]*.ipynb")))
        sys.exit(f"{missing[0]} is not in {FOLDER}: name one of {there}")
    for path in paths:
        execute(path)


if __name__ == "__main__":
    main(sys.argv[1:])
