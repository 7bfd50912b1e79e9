"""What all notebooks share: their shape, their parameters, and outputs that `pytest --nbval` really compares."""

import ast
import io
import re
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tdt4265.plots import COLOURS

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
TOOLS = FOLDER.parent / "tools"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
PARAMETERS = ["epochs", "dataset", "size", "seed", "devices", "batch_size", "lr", "output_dir"]
WITHOUT_TRAINING = {"00_exploration": ["dataset", "output_dir"]}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_format_is_valid(notebook):
    nbformat.validate(notebook)


def test_first_cell_is_the_title_and_says_what_it_takes(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert "What you will learn" in first.source
    assert "minute" in first.source


def test_set_up_cell_is_the_one_of_the_tool(notebook):
    assert code_cells(notebook)[0].source == runpy.run_path(str(TOOLS / "setup_cell.py"))["SETUP"]


def test_lines_of_code_are_not_clipped_in_a_browser(notebook):
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            assert len(line) <= 100, f"{len(line)} characters: {line}"


def test_parameters_are_the_same_names_in_all(path, notebook):
    cells = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    assert len(cells) == 1
    names = [node.targets[0].id for node in ast.parse(cells[0].source).body]
    assert names == WITHOUT_TRAINING.get(path.stem, PARAMETERS)


def test_every_compared_cell_was_executed(notebook):
    """nbval compares nothing for a cell without an execution count."""
    for cell in code_cells(notebook):
        assert cell.execution_count is not None, cell.source


def test_most_cells_are_compared(notebook):
    cells = code_cells(notebook)
    ignored = [cell for cell in cells if "nbval-ignore-output" in tags(cell)]
    assert len(ignored) <= 0.4 * len(cells)


def test_a_cell_that_is_not_compared_says_why(notebook):
    for cell in code_cells(notebook):
        if "nbval-ignore-output" in tags(cell) and cell is not code_cells(notebook)[0]:
            assert "# not compared:" in cell.source, cell.source


def test_no_output_is_an_error_or_a_warning(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", output.get("evalue")
            assert output.get("name") != "stderr", output.get("text")


def test_nothing_of_the_machine_that_made_it(path):
    text = path.read_text()
    assert "widgets" not in nbformat.read(path, as_version=4).metadata
    assert not re.search(r"/(home|root|Users|work)/", text), "a path of the machine that executed it"


def test_every_notebook_asserts_what_it_predicts(notebook):
    asserts = sum(len(re.findall(r"^\s*assert|assert_close", cell.source, re.M)) for cell in code_cells(notebook))
    assert asserts >= 5


def test_figures_have_an_alternative_text(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 20


def test_files_are_small_enough_to_be_read(path):
    """GitHub shows a notebook up to some megabytes, and each change of a figure is kept for ever."""
    assert path.stat().st_size < 1e6, "execute it with `make notebooks`, which gives figures a palette"


def test_a_palette_keeps_the_colours_of_thin_lines():
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(0, 256, (200, 400, 1), np.uint8), 3, axis=2)
    for row, hexes in enumerate(COLOURS[1:]):
        pixels[20 * row + 5, 50:80] = [int(hexes[i : i + 2], 16) for i in (1, 3, 5)]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    small = runpy.run_path(str(TOOLS / "palette.py"))["with_palette"](file.getvalue())
    got = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    assert len(small) < 0.5 * len(file.getvalue())
    assert np.abs(got - pixels).max() <= 12  # the gray nearest, and each class's own colour


def test_links_lead_to_files(path, notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                if not target.startswith(("http", "attachment:")):
                    assert (path.parent / target).exists(), f"{path.name} links to {target}"
