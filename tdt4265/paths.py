"""Where the course keeps its files: the same answer whatever folder a notebook, papermill or a shell runs in."""

import os
from pathlib import Path


def assets() -> Path:
    """The folder of pictures, sample frames and recorded results.

    It lies inside the package when the package was installed as a wheel (Colab) and beside it in a checkout.
    """
    package = Path(__file__).resolve().parent
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent / "assets"


def cache() -> Path:
    """The folder for what is generated or downloaded, absolute: TDT4265_CACHE, or ~/.cache/tdt4265."""
    return Path(os.environ.get("TDT4265_CACHE") or "~/.cache/tdt4265").expanduser().absolute()
