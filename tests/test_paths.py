"""Folders are the same whatever folder a process runs in."""

import signal
import subprocess
import sys
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


def test_a_claimed_folder_is_one_processs_alone(tmp_path):
    folder = tmp_path / "new" / "run"
    claim = "import sys; from tdt4265.paths import claim\nwith claim(sys.argv[1]): print('mine')"
    with paths.claim(folder):
        other = subprocess.run([sys.executable, "-c", claim, folder], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        said = other.stderr.splitlines()[-1]
        assert said.endswith(f"{folder}: another process writes there; wait for its end, or give another folder")
    other = subprocess.run([sys.executable, "-c", claim, folder], capture_output=True, text=True, check=True)
    assert other.stdout == "mine\n"


def test_a_killed_process_leaves_no_claim_and_what_it_was_writing_is_removed(tmp_path):
    script = """
import os, signal, sys
from tdt4265 import paths
with paths.claim(sys.argv[1]):
    paths.write_whole(sys.argv[1] + "/file", lambda path: (path.write_text("ha"), os.kill(os.getpid(), signal.SIGKILL)))
"""
    killed = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL and any(path.suffix == ".partial" for path in tmp_path.iterdir())
    with paths.claim(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} <= {paths.LOCK}


def unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    return {
        "under a file": tmp_path / "file" / "run",
        "a dangling link": tmp_path / "link",
        "too long": tmp_path / ("x" * 300),
    }


@pytest.mark.parametrize("kind", ["under a file", "a dangling link", "too long"])
def test_a_folder_that_cannot_be_written_to_is_refused_in_one_line(tmp_path, kind):
    folder = unwritable(tmp_path)[kind]
    with (
        pytest.raises(paths.FolderError, match=r": cannot be written to \(.*\); give another folder") as refusal,
        paths.claim(folder),
    ):
        pass
    assert str(refusal.value).startswith(str(folder)) and "\n" not in str(refusal.value)


def test_two_processes_can_write_one_file(tmp_path):
    """Each under a name of its own: the last to finish wins, whole."""
    with pytest.MonkeyPatch.context() as patch:
        names = []
        patch.setattr(paths.os, "replace", lambda temporary, path: names.append(temporary.name))
        for process in (7, 8):
            patch.setattr(paths.os, "getpid", lambda process=process: process)
            paths.write_whole(tmp_path / "file", "text")
    assert names == [".file.7.partial", ".file.8.partial"]
