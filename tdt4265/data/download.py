"""The real dataset: fetch, verify, unpack.

    python -m tdt4265.data.download [--extended]

The archive goes into a file beside the target folder, from which an interrupted download goes on; the folder appears,
whole, once every frame and label in it has been checked.
"""

import argparse
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from tdt4265 import paths
from tdt4265.data import CocoDetection, DataError, tdt4265_folder

URL = "https://folk.ntnu.no/haakohu/tdt4265_2022_dataset.zip"
EXTENDED_URL = "https://folk.ntnu.no/haakohu/tdt4265_2022_dataset_updated.zip"
LABELS = ("train_annotations.json", "val_annotations.json")
CHUNK = 1 << 20  # bytes read at a time


def download(url: str, folder: Path) -> Path:
    """Fetch the archive at `url` and unpack it as `folder`, which is returned; nothing is done if it is already there.

    Raises DataError, one line, if the address does not answer, the archive is broken, or it holds something else.
    """
    if (folder / LABELS[0]).is_file():
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: holds something else than the dataset: move it away, or set TDT4265_DATA elsewhere")
    archive = folder.with_name(folder.name + ".zip")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.is_file():
            fetch(url, archive)
        unpack(archive, folder)
    except (OSError, http.client.HTTPException) as error:
        mend = "run this again where network and disk allow it, or set TDT4265_DATA to a copy of the dataset"
        raise DataError(f"{url} -> {folder}: {error}: {mend}") from None
    archive.unlink()
    return folder


def fetch(url: str, archive: Path) -> None:
    """Stream `url` into `archive`, by way of `archive`.part, from which an interrupted download goes on."""
    part = archive.with_name(archive.name + ".part")
    there = part.stat().st_size if part.is_file() else 0
    try:
        response = request(url, there)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": what is there is no beginning of this file
            raise
        response = request(url, 0)
    with response:
        if response.status != 206:  # the server sends the file from its start
            there = 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        bar = tqdm(total=total, initial=there, unit="B", unit_scale=True, desc=archive.name)
        with part.open("ab" if there else "wb") as file, bar:
            while block := response.read(CHUNK):
                file.write(block)
                bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size != total:
        raise DataError(f"{url}: the connection ended after {size} of {total} bytes: run this again, it goes on there")
    os.replace(part, archive)


def request(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"Range": f"bytes={start}-"} if start else {}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack beside `folder`, check every label and image, then put the whole in its place.

    An archive that is broken or something else is removed, so that the next call fetches it anew.
    """
    work = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(work, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as bundle:
            root = work / dataset_root(bundle.namelist())
            for member in tqdm(bundle.infolist(), unit="file", desc=f"unpacking {archive.name}"):
                bundle.extract(member, work)  # checks size and CRC of each
        check(archive, work, root)
        if folder.is_dir():
            folder.rmdir()  # empty, as `download` made sure; Windows does not replace a folder
        os.replace(root, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise DataError(f"{archive}: not the dataset, whole ({error}): removed, run this again") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check(archive: Path, work: Path, root: Path) -> None:
    """Everything in both splits, as `load` does. The archive is whole, so it is kept for whoever wants to mend it."""
    try:
        for split in ("train", "val"):
            CocoDetection(root, split)
    except DataError as error:
        raise DataError(str(error).replace(str(work), str(archive))) from None


def dataset_root(names: list[str]) -> PurePosixPath:
    """The folder inside the archive that holds the labels: its root, or one further down. Raises BadZipFile."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise zipfile.BadZipFile(f"entry {name!r} points out of the archive")
    roots = [PurePosixPath(name).parent for name in names if PurePosixPath(name).name == LABELS[0]]
    root = min(roots, key=lambda path: len(path.parts), default=PurePosixPath())
    missing = [label for label in LABELS if (root / label).as_posix() not in names]
    if missing:
        raise zipfile.BadZipFile(f"no {missing[0]} in it")
    return root


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.data.download", description="Fetch the real dataset.")
    parser.add_argument("--extended", action="store_true", help="the extended dataset, into a folder of its own")
    extended = parser.parse_args(arguments).extended
    url, folder = (EXTENDED_URL, paths.cache() / "tdt4265_2022_extended") if extended else (URL, tdt4265_folder())
    try:
        download(url, folder)
    except DataError as error:
        raise SystemExit(str(error)) from None
    print(f'{folder}: load("{folder if extended else "tdt4265"}") reads it')


if __name__ == "__main__":
    main()
