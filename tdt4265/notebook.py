"""What notebooks ask of the package around their own matter: the parameters they got, and answers to exercises."""

from __future__ import annotations

import ast
import math

from IPython import get_ipython

PARAMETERS = ("epochs", "dataset", "size", "seed", "devices", "batch_size", "lr", "output_dir")


class UnknownParameter(ValueError):
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
