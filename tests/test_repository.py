"""The files around the package agree with each other, and its modules import one way."""

import ast
import re
import runpy
import subprocess
import sys
import zlib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_conda_environment_lists_the_requirements():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == [*requirements(), "--editable ."]


def test_package_dependencies_are_among_the_requirements():
    dependencies = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.S | re.M)
    listed = re.findall(r'"([^"]+)"', dependencies.group(1))
    assert len(listed) > 5
    assert set(listed) <= set(requirements())


def test_colab_keeps_its_own_torch():
    """A bound that excludes the version Colab has would make pip replace torch but not what is built against it."""
    for line in requirements():
        assert "==" not in line and "<" not in line, f"requirements.txt: {line}: use a lower bound"


def test_readme_names_every_notebook_and_only_those():
    readme = (ROOT / "README.md").read_text()
    linked = set(re.findall(r"\(notebooks/([\w.]+\.ipynb)\)", readme))
    assert linked == {path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}


def test_readme_links_lead_to_files():
    readme = (ROOT / "README.md").read_text()
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", readme) if not t.startswith("http")]
    targets += re.findall(r'<img src="([^"]+)"', readme)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), f"README.md links to {target}, which is not there"


def test_nbval_at_the_root_runs_the_notebooks():
    """As anybody types it: `pytest --nbval`."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "--quiet"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert all(f"notebooks/{path.name}::" in found for path in (ROOT / "notebooks").glob("0*.ipynb"))
    assert "tests/test_repository.py::" in found


def test_ci_runs_the_readmes_test_command():
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("module", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "tdt4265").rglob("*.py")))
def test_every_module_says_what_it_is_for(module):
    source = (ROOT / module).read_text()
    assert source.startswith('"""'), f"{module}: begin with a docstring"


def test_the_tables_are_those_of_the_records():
    tables = runpy.run_path(str(ROOT / "tools" / "tables.py"))["tables"]()
    assert len(tables) == 4
    for (path, (start, end)), table in tables.items():
        text = path.read_text()
        assert start in text and end in text
        assert text.partition(start + "\n")[2].partition(end)[0] == table, f"{path}: run `make readme`"


@pytest.mark.parametrize("path", ["README.md", "assets/records/README.md"])
def test_links_of_a_table_lead_to_records(path):
    links = re.findall(r"\]\(([^)]*\.jsonl)\)", (ROOT / path).read_text())
    assert links and all(((ROOT / path).parent / link).is_file() for link in links)


# What each may import of the package, besides itself; one not named here, as `train`: anything but the simulator.
IMPORTS = {
    "errors": set(),
    "paths": set(),
    "data": {"contract", "paths", "lidar", "ring"},
    "ring": {"contract"},
    "lidar": {"paths"},
    "anchors": set(),
    "boxes": set(),
    "coverage": {"anchors"},
    "contract": set(),
    "losses": set(),
    "matching": {"boxes"},
    "models": {"boxes", "contract", "ring"},
    "evaluation": {"contract"},
    "results": {"contract", "data", "evaluation", "paths"},
    "export": {"boxes", "data", "evaluation", "losses", "models", "paths", "weights"},
    "speed": {"data", "devices", "evaluation", "export", "paths", "weights"},
    "intervals": {"evaluation"},
    "records": {"devices", "intervals", "paths"},
    "devices": set(),
    "training": {"contract", "devices", "evaluation", "paths", "records"},
    "plots": {"evaluation"},
    "notebook": set(),
    "exercises": {"boxes"},
    "recipes": {"anchors", "data", "losses", "matching", "models", "training"},
    "weights": {"contract", "models", "paths", "recipes", "records", "training"},
    "detect": {"data", "devices", "evaluation", "paths", "plots", "results", "weights"},
    "describe": {"recipes"},
}


def imported(path: Path) -> set[str]:
    """The parts of the package (modules or subpackages, by their first name) that a module imports."""
    package = ("tdt4265", *path.relative_to(ROOT / "tdt4265").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else node.module
            names |= {f"{base}.{alias.name}" for alias in node.names}
    parts = {name.split(".")[1] for name in names if name.startswith("tdt4265.")}
    return {part for part in parts if (ROOT / "tdt4265" / part).is_dir() or (ROOT / "tdt4265" / f"{part}.py").is_file()}


@pytest.mark.parametrize("path", sorted((ROOT / "tdt4265").rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path):
    part = path.relative_to(ROOT / "tdt4265").parts[0].removesuffix(".py")
    others = imported(path) - {part, "errors"}
    assert others <= IMPORTS.get(part, others - {"lidar"})


def test_the_imports_are_seen():
    assert imported(ROOT / "tdt4265" / "models" / "detector.py") == {"boxes", "contract"}
    assert imported(ROOT / "tdt4265" / "recipes.py") == IMPORTS["recipes"]
    assert imported(ROOT / "tdt4265" / "data" / "__init__.py") == {"data", "errors", "paths", "lidar"}
    assert imported(ROOT / "tdt4265" / "train.py") >= {"data", "evaluation", "recipes", "describe"}


def test_the_wheel_stays_under_40_megabytes():
    """What it brings, compressed as in a wheel: one detector of each recipe that is worth using, and the sample."""
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    left_out = setuptools["exclude-package-data"]["tdt4265.assets"]
    assets = [path for path in (ROOT / "assets").rglob("*") if path.is_file()]
    names = [path.relative_to(ROOT / "assets").as_posix() for path in assets]
    assert all(any(fnmatch(name, pattern) for name in names) for pattern in left_out), "a pattern of no file"
    brought = [path for path, name in zip(assets, names, strict=True) if not any(fnmatch(name, p) for p in left_out)]
    assert sum(len(zlib.compress(path.read_bytes(), 6)) for path in brought) < 39e6
    assert any("retinanet-sim-seed0" in path.name for path in brought)
