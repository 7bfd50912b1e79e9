"""The files around the package agree with each other."""

import re
from pathlib import Path

import pytest
import yaml

from tdt4265 import records

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


def test_ci_runs_the_readmes_test_command():
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("module", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "tdt4265").rglob("*.py")))
def test_every_module_says_what_it_is_for(module):
    source = (ROOT / module).read_text()
    assert source.startswith('"""'), f"{module}: begin with a docstring"


def test_the_readmes_table_is_that_of_the_records():
    readme = (ROOT / "README.md").read_text()
    table = readme.partition(records.TABLE_MARKS[0] + "\n")[2].partition(records.TABLE_MARKS[1])[0]
    assert table == records.markdown(records.all_records()), "run `make readme`"
