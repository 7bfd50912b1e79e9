"""Where the course keeps its files: the same answer whatever folder a notebook, papermill or a shell runs in."""

import os
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".partial"  # how the names of files end that are not written to their end yet


def assets() -> Path:
    """The folder of images, sample frames and recorded results.

    It lies inside the package when the package was installed as a wheel (Colab) and beside it in a checkout.
    """
    package = Path(__file__).resolve().parent
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent / "assets"


def cache() -> Path:
    """The folder for what is generated or downloaded, absolute: TDT4265_CACHE, or ~/.cache/tdt4265."""
    return Path(os.environ.get("TDT4265_CACHE") or "~/.cache/tdt4265").expanduser().absolute()


def write_whole(path: str | Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write a file, and its folder where there is none; a reader finds the old file or the new one, never half of one.

    It is written under another name beside its place, `.NAME.partial`, and then moved there. Where that fails the old
    file stays; a process that is killed may leave the other one, which the next call writes over.

    content: text (written as UTF-8), bytes, or a function that writes to the path it is given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
