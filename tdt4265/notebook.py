"""What notebooks ask of the package around their own matter: the parameters they got, and answers to exercises."""

from __future__ import annotations

import ast
import copy
import math
import reprlib
from collections.abc import Callable, Sequence

import torch
from IPython import get_ipython
from torch.testing import assert_close

from tdt4265.errors import OneLineError

PARAMETERS = ("epochs", "dataset", "size", "seed", "devices", "batch_size", "lr", "output_dir")


class UnknownParameter(OneLineError):
    """papermill was given a name that the notebook does not have; one line."""


def assigned_names(source: str) -> set[str]:
    """The names that a cell of plain assignments sets."""
    statements = ast.parse(source).body
    return {target.id for line in statements if isinstance(line, ast.Assign) for target in line.targets}


def check_parameters(names: tuple[str, ...] = PARAMETERS) -> None:
    """Refuses a misspelt `papermill -p`: papermill only warns, and the run would go on with the default.

    papermill puts what it was given into a cell of its own, `# Parameters`, behind the notebook's. names: those the
    notebook has. Raises UnknownParameter.
    """
    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell else []
    injected = [source for source in cells if source.lstrip().startswith("# Parameters\n")]
    for source in injected:
        unknown = sorted(assigned_names(source) - set(names))
        if unknown:
            raise UnknownParameter(f"this notebook has no parameter {unknown[0]!r}: it has {', '.join(names)}")


def check(answer: float | None, expected: float, hint: str, tolerance: float = 1e-3) -> None:
    """Says whether an exercise's answer is right: within `tolerance`, relative. A wrong one gets the hint."""
    if answer is None:
        print("not answered yet")
    elif math.isclose(answer, expected, rel_tol=tolerance):
        print("right")
    else:
        print(f"{answer} is not it. {hint}")


def check_function(answer: Callable, solution: Callable, cases: Sequence[tuple], hint: str) -> None:
    """Says whether an exercise's function is right: it gives what the solution gives, to 1e-4, for each case.

    cases: the arguments of each call. The first case that comes out different, or fails, is shown with the hint.
    "not answered yet" is all that is said of a function without a body, which returns None.
    """
    if answer is None or _has_no_body(answer, cases[0]):
        print("not answered yet")
        return
    for arguments in cases:
        expected = solution(*copy.deepcopy(arguments))
        try:
            found = answer(*copy.deepcopy(arguments))
            assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-4, atol=1e-4, check_dtype=False)
        except Exception as error:  # whatever a reader's function may raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            shown = ", ".join(" ".join(reprlib.repr(argument).split()) for argument in arguments)  # in one line
            print(f"not for ({shown}), where {reprlib.repr(expected)} is expected: {reason}. {hint}")
            return
    print("right")


def _has_no_body(function: Callable, arguments: tuple) -> bool:
    try:
        return function(*copy.deepcopy(arguments)) is None
    except Exception:  # it has one, and fails
        return False
