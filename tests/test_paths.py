"""Folders are the same whatever folder a process runs in."""

from pathlib import Path

import pytest

from tdt4265 import paths


@pytest.mark.parametrize("setting", [None, ""])
def test_without_a_setting_the_cache_is_in_the_home_folder(monkeypatch, tmp_path, setting):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    if setting is None:
        monkeypatch.delenv("TDT4265_CACHE", raising=False)
    else:
        monkeypatch.setenv("TDT4265_CACHE", setting)
    assert paths.cache() == tmp_path / ".cache" / "tdt4265"


def test_the_cache_is_where_the_setting_says_and_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDT4265_CACHE", "frames")
    assert paths.cache() == tmp_path / "frames"


def test_assets_are_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (paths.assets() / "sample" / "train_annotations.json").is_file()


def test_assets_of_an_installed_wheel_lie_inside_the_package(monkeypatch, tmp_path):
    (tmp_path / "tdt4265" / "assets").mkdir(parents=True)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "tdt4265" / "paths.py"))
    assert paths.assets() == Path(tmp_path / "tdt4265" / "assets").resolve()
