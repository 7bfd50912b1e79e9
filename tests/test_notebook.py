"""A misspelt `papermill -p` is refused before any training."""

import copy
import itertools
import json
import math
from pathlib import Path

import nbformat
import papermill
import pytest
import torch

from tdt4265 import exercises, notebook

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture
def two_cells(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("epochs = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from tdt4265.notebook import check_parameters\ncheck_parameters(('epochs',))\nprint(epochs)"
        ),
    ]
    path = tmp_path / "two.ipynb"
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)
    return path


def test_a_parameter_of_the_notebook_is_taken(two_cells, tmp_path):
    papermill.execute_notebook(two_cells, tmp_path / "out.ipynb", parameters={"epochs": 3}, progress_bar=False)
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text == "3\n"


def test_a_misspelt_parameter_is_refused(two_cells, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="has no parameter 'epoch': it has epochs"):
        papermill.execute_notebook(two_cells, tmp_path / "out.ipynb", parameters={"epoch": 3}, progress_bar=False)


def settings_cell(path: Path) -> nbformat.NotebookNode:
    """The cell that decides everything about a notebook's run."""
    cells = nbformat.read(path, as_version=4).cells
    return next(cell for cell in cells if cell.cell_type == "code" and "settings = resolve(" in cell.source)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epochs": "many"}, "SettingsError: epochs is 'many': it is a whole number from 0"),
        ({"dataset": "/nowhere"}, "DataError: /nowhere: no such folder: give "),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_at_the_first_cell_in_one_line(given, line, tmp_path):
    path = next(path for path in NOTEBOOKS if path.stem == "05_retinanet")
    whole = nbformat.read(path, as_version=4)
    first = [cell for cell in whole.cells if "parameters" in cell.metadata.get("tags", ())]
    cells = [*first, settings_cell(path), nbformat.v4.new_code_cell("print('went on')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=whole.metadata), tmp_path / "first.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(
            tmp_path / "first.ipynb", tmp_path / "out.ipynb", parameters=given, progress_bar=False
        )
    said = [text for text in str(error.value).splitlines() if text and not text.startswith(("---", "Exception enc"))]
    assert len(said) == 1 and said[0].startswith(line)


def test_every_notebook_leaves_the_check_of_its_parameters_to_resolve():
    """An expression of one would fail with a traceback first."""
    with_settings = [path for path in NOTEBOOKS if path.stem != "00_exploration"]
    assert len(with_settings) > 10
    for path in with_settings:
        call = settings_cell(path).source.partition("resolve(")[2]
        assert "resume=epochs != 0," in call and ">" not in call.partition("settings.table")[0]


def test_outside_a_notebook_nothing_is_checked():
    notebook.check_parameters(())


def test_an_answer_is_right_wrong_or_missing(capsys):
    notebook.check(None, 4, "two and two")
    notebook.check(4.0, 4, "two and two")
    notebook.check(5, 4, "Two and two.")
    assert capsys.readouterr().out == "not answered yet\nright\n5 is not it. Two and two.\n"


def test_a_function_is_right_wrong_or_missing(capsys):
    cases = [(1, 2), (3, 4)]
    notebook.check_function(None, max, cases, "The larger one.")
    notebook.check_function(lambda a, b: b, max, cases, "The larger one.")
    notebook.check_function(lambda a, b: a, max, cases, "The larger one.")
    notebook.check_function(lambda a: a, max, cases, "The larger one.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["not answered yet", "right"]
    assert lines[2].startswith("not for (1, 2), where 2 is expected: ") and lines[2].endswith(". The larger one.")
    assert "positional argument" in lines[3] and len(lines) == 4


def test_a_function_without_a_body_is_not_answered_yet(capsys):
    def mine(a, b): ...

    notebook.check_function(mine, max, [(1, 2)], "The larger one.")
    assert capsys.readouterr().out == "not answered yet\n"


EXERCISES = [name for name, value in vars(exercises).items() if isinstance(value, exercises.Exercise)]


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_takes_its_solution_as_a_notebook_prints_it(name, capsys):
    """What stands folded below the question is right, and no constant is."""
    cells = [cell for path in NOTEBOOKS for cell in json.loads(path.read_text())["cells"]]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    asked = next(n for n, line in enumerate(lines) if line == f"check_function({name}, *exercises.{name})")
    start = next(n for n in range(asked, len(lines)) if lines[n].startswith(f"def {name}("))
    names = {"math": math, "torch": torch, "F": torch.nn.functional}
    exec("\n".join(itertools.takewhile(lambda line: not line.startswith("```"), lines[start:])), names)
    exercise = getattr(exercises, name)
    notebook.check_function(names[name], *exercise)
    notebook.check_function(lambda *_: torch.as_tensor(exercise.solution(*copy.deepcopy(exercise.cases[0]))), *exercise)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "right" and second.startswith("not for (")


def test_a_function_cannot_change_the_cases():
    tensor = torch.ones(2)
    notebook.check_function(lambda x: x.mul_(2), lambda x: x * 2, [(tensor,)], "Twice.")
    assert torch.equal(tensor, torch.ones(2))
