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


@pytest.mark.parametrize("content", ["brød", "brød".encode(), lambda path: path.write_text("brød", "utf-8")])
def test_a_file_is_written_whole_into_a_new_folder(tmp_path, content):
    path = tmp_path / "new" / "file.txt"
    paths.write_whole(path, content)
    assert path.read_text("utf-8") == "brød" and [*path.parent.iterdir()] == [path]


def test_a_file_that_fails_to_be_written_stays_as_it_was(tmp_path):
    def half(path):
        path.write_text("ha")
        raise OSError("no space left")

    paths.write_whole(tmp_path / "file.txt", "old")
    with pytest.raises(OSError, match="no space left"):
        paths.write_whole(tmp_path / "file.txt", half)
    assert (tmp_path / "file.txt").read_text() == "old" and len([*tmp_path.iterdir()]) == 1
