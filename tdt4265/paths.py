"""Where the course keeps its files: the same answer whatever folder a notebook, papermill or a shell runs in."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

PARTIAL = ".partial"  # how the names of files end that are not written to their end yet
LOCK = ".lock"  # the file by which a folder is claimed


class FolderError(OSError):
    """A folder that this process cannot write to, or not alone: one line that names it and the mend."""


def assets() -> Path:
    """The folder of images, sample frames and recorded results.

    It lies inside the package when the package was installed as a wheel (Colab) and beside it in a checkout.
    """
    package = Path(__file__).resolve().parent
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent / "assets"


def cache() -> Path:
    """The folder for what is generated or downloaded, absolute: TDT4265_CACHE, or ~/.cache/tdt4265."""
    return expanded(os.environ.get("TDT4265_CACHE") or "~/.cache/tdt4265")


def expanded(path: str | Path) -> Path:
    """The path, absolute, a leading ~ or ~NAME replaced by that home folder where there is one."""
    return Path(os.path.expanduser(path)).absolute()


def write_whole(path: str | Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write a file, and its folder where there is none; a reader finds the old file or the new one, never half of one.

    It is written under another name beside its place, `.NAME.PROCESS.partial`, and then moved there. Where that fails
    the old file stays; a process that is killed may leave the other one (`remove_partial`).

    content: text (written as UTF-8), bytes, or a function that writes to the path it is given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_partial(folder: str | Path) -> None:
    """Removes what killed processes left of files that they were writing in a folder; nobody may be writing there."""
    for left in Path(folder).glob(f".*{PARTIAL}"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def claim(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Makes a folder, if need be, and has it for this process alone until the end; a killed process's claim is gone.

    wait: for the end of another process that has it, with a line that says so.

    Raises FolderError: another process has it, or it cannot be written to.
    """
    folder = Path(folder)
    lock = filelock.FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            if not wait:
                mend = "wait for its end, or give another folder"
                raise FolderError(f"{folder}: another process writes there; {mend}") from None
            print(f"{folder}: another process writes there; waiting for its end", flush=True)
            lock.acquire()
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written to ({error.strerror or error}); give another folder") from None
    try:
        remove_partial(folder)
        yield
    finally:
        lock.release()
