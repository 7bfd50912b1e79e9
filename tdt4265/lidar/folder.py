"""A simulated dataset on disk: frames, labels, and a way to go on after an interruption.

A frame's picture is written first, then a file with its labels in the hidden folder `.parts`; a frame with such a file
is done. When all frames of a split are done their labels become the split's annotation file. Every file appears whole,
or not at all.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm.auto import tqdm

from .scene import World
from .sensor import COLUMNS, ROWS, Sensor

CATEGORIES = ("car", "truck", "bus", "motorcycle", "bicycle", "scooter", "person", "rider")  # ids 1 to 8
VERSION = 1  # to be raised when the same seed gives other pictures or labels
SETTINGS = ".simulation.json"
PARTS = ".parts"
CHUNK = 10  # frames a worker renders before it reports, and may turn to another clip

# Smaller than this, nobody would have drawn a box: about the first percentile of the real boxes.
MIN_PIXELS, MIN_WIDTH, MIN_HEIGHT = 12, 2, 6
# Less of a road user than this share, behind leaves and walls, is not recognised, unless it is that many pixels.
MIN_SHARE, ENOUGH_PIXELS = 0.2, 150

WorldMaker = Callable[..., World]


@dataclass(frozen=True)
class Clip:
    """One clip to be rendered: its number in the file names, its number within the split, its frames."""

    split: str
    number: int
    index: int
    frames: tuple[int, ...]


def generate(
    out: str | Path,
    train_clips: int = 16,
    val_clips: int = 3,
    frames: int = 100,
    seed: int = 0,
    workers: int | None = None,
    *,
    make_world: WorldMaker | None = None,
) -> Path:
    """Write a simulated dataset in the real one's layout into the folder `out`, and return the folder.

    A finished folder is left as it is; one that was begun is gone on with. The files depend on all arguments but
    `workers` (processes; one for each core by default). make_world(clip, split, seed, frames) gives a clip's
    `World` (`street.make_world` by default); with several workers it must be importable.

    Raises ValueError, in one line, when a number makes no sense, or when `out` holds something else or another
    simulation.
    """
    for name, value, least in (
        ("train_clips", train_clips, 1), ("val_clips", val_clips, 0), ("frames", frames, 1), ("seed", seed, 0)
    ):
        if value < least:
            raise ValueError(f"{name} is {value}: give {least} or more")
    settings = {"train_clips": train_clips, "val_clips": val_clips, "frames": frames, "seed": seed}
    times = tuple(range(frames))
    clips = [Clip("train", i, i, times) for i in range(train_clips)]
    clips += [Clip("val", train_clips + i, i, times) for i in range(val_clips)]
    return _simulate(Path(out), settings, clips, frames, seed, workers, make_world)


def sample(out: str | Path, workers: int | None = None, *, make_world: WorldMaker | None = None) -> Path:
    """Write the small sample the course's repository holds: one frame of each of 8 train and 4 val clips, whose seed is
    not the default dataset's. Otherwise as `generate`."""
    clips = [Clip("train", i, i, (50,)) for i in range(8)] + [Clip("val", 8 + i, i, (50,)) for i in range(4)]
    return _simulate(Path(out), {"sample": True, "seed": 1}, clips, 100, 1, workers, make_world)


def copy_labels(source: str | Path, out: str | Path) -> Path:
    """Writes a finished folder's labels to OUT without the masks: for what counts boxes and needs no picture."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        content = json.loads(_labels_file(Path(source), split).read_text())
        content["annotations"] = [annotation | {"segmentation": []} for annotation in content["annotations"]]
        text = json.dumps(content, separators=(",", ":"))
        _write(Path(out), _labels_file(Path(out), split), text.encode())
    return Path(out)


def _simulate(out, settings, clips, clip_length, seed, workers, make_world) -> Path:
    if make_world is None:
        from .street import make_world
    settings = {"version": VERSION, "world": f"{make_world.__module__}.{make_world.__qualname__}", **settings}
    _begin(out, settings)
    splits = sorted({clip.split for clip in clips})
    try:
        _render_all(out, clips, clip_length, seed, workers, make_world)
        for split in splits:
            if not _labels_file(out, split).exists():
                _merge(out, [clip for clip in clips if clip.split == split])
    except FileNotFoundError:
        # Another process simulated into the same folder and finished first.
        if not all(_labels_file(out, split).exists() for split in splits):
            raise
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return out


def _begin(out: Path, settings: dict) -> None:
    """Mark the folder with the settings, or see that it was begun with the same."""
    marker = out / SETTINGS
    if not marker.exists():
        if out.exists() and (not out.is_dir() or any(p.name != PARTS for p in out.iterdir())):
            raise ValueError(f"{out}: holds other files than a simulation's; name a new or an empty folder")
        (out / PARTS).mkdir(parents=True, exist_ok=True)
        _write(out / PARTS, marker, json.dumps(settings).encode())
    begun = json.loads(marker.read_text())
    if begun != settings:
        other = ", ".join(f"{k} {begun.get(k)}" for k in settings if begun.get(k) != settings[k])
        asked = ", ".join(f"{k} {settings[k]}" for k in settings if begun.get(k) != settings[k])
        raise ValueError(
            f"{out}: was begun with {other or 'other settings'}, not {asked or 'these'}; "
            "use the same settings or name another folder"
        )


def _render_all(out, clips, clip_length, seed, workers, make_world) -> None:
    for split in {clip.split for clip in clips}:
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
    left = []
    for clip in clips:
        if not _labels_file(out, clip.split).exists():
            missing = [frame for frame in clip.frames if not _part(out, clip, frame).exists()]
            left += [(clip, missing[i : i + CHUNK]) for i in range(0, len(missing), CHUNK)]
    if not left:
        return
    (out / PARTS).mkdir(exist_ok=True)
    total = sum(len(clip.frames) for clip in clips)
    to_do = sum(len(frames) for _, frames in left)
    workers = min(workers or os.cpu_count() or 1, len(left))
    bar = tqdm(total=total, initial=total - to_do, unit="frame", desc="simulating")
    with bar:
        if workers == 1:
            for clip, frames in left:
                for frame in frames:
                    _render_chunk(out, clip, [frame], clip_length, seed, make_world)
                    bar.update()
            return
        # New interpreters, not forks: the caller may hold threads (torch, a notebook) that a fork would cut off.
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        with ProcessPoolExecutor(workers, context, initializer=_prepare_worker, initargs=(stop,)) as pool:
            jobs = {
                pool.submit(_render_chunk, out, clip, frames, clip_length, seed, make_world): len(frames)
                for clip, frames in left
            }
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update(jobs[job])
            except BrokenProcessPool:
                raise RuntimeError(
                    f"{out}: a worker process ended early (out of memory, or a script without "
                    "`if __name__ == '__main__':`); run it again to go on, or with workers=1"
                ) from None
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise


_worker_stop = None  # in a worker: set when it should leave its chunk
_last_sensor: tuple = (None, None)  # the last clip's sensor: its street takes longer to prepare than a frame


def _prepare_worker(stop) -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone (kill -9)."""
    global _worker_stop
    _worker_stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _render_chunk(out, clip: Clip, frames, clip_length, seed, make_world) -> None:
    global _last_sensor
    key = (make_world, seed, clip.split, clip.index, clip_length)
    if _last_sensor[0] != key:
        _last_sensor = (key, Sensor(make_world(clip.index, clip.split, seed, clip_length)))
    sensor = _last_sensor[1]
    categories = [user.category for user in sensor.world.users]
    for frame in frames:
        if _worker_stop is not None and _worker_stop.is_set():
            return
        noise = np.random.SeedSequence([seed, ("train", "val").index(clip.split), clip.index, frame])
        shot = sensor.render(frame / 10, np.random.default_rng(noise))
        found = labels(shot.users, shot.unhidden, categories)
        png = io.BytesIO()
        Image.fromarray(shot.image).save(png, "png", compress_level=3)
        _write(out / PARTS, out / _file_name(clip, frame), png.getvalue())
        _write(out / PARTS, _part(out, clip, frame), json.dumps(found).encode())


def labels(users: np.ndarray, unhidden: np.ndarray, categories: list[int]) -> list[dict]:
    """Annotations, in COCO format but without ids, of what a frame shows.

    users: int [H, W], the road user seen in each pixel or -1. unhidden: the same without the street, as in
    `sensor.Frame`. categories: each road user's, 0 for one without labels.
    A box encloses the pixels in which its road user is seen; a road user across the seam of the ring gets one at
    either edge. Parts under 12 pixels, 2 columns or 6 rows get none, nor does a road user of whom the street leaves
    less than a fifth to be seen, unless that is 150 pixels.
    """
    found = []
    for user in np.unique(users[users >= 0]):
        mask = users == user
        enough = min(MIN_SHARE * (unhidden == user).sum(), ENOUGH_PIXELS)
        if not categories[user] or mask.sum() < enough:
            continue
        for part in split_at_seam(mask):
            rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
            width, height = float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)
            if part.sum() < MIN_PIXELS or width < MIN_WIDTH or height < MIN_HEIGHT:
                continue
            code = coco_mask.encode(np.asfortranarray(part, np.uint8))
            found.append(
                {
                    "category_id": int(categories[user]),
                    "bbox": [float(columns[0]), float(rows[0]), width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode()},
                }
            )
    return found


def split_at_seam(mask: np.ndarray) -> list[np.ndarray]:
    """The mask [H, W] as one part, or as a left and a right one when it runs across the seam of the ring.

    It does when it touches both edges; the widest run of empty columns then lies between its parts.
    """
    columns = np.flatnonzero(mask.any(0))
    if len(columns) == 0 or columns[0] > 0 or columns[-1] < mask.shape[1] - 1:
        return [mask]
    gaps = np.diff(columns)
    if gaps.max(initial=1) == 1:
        return [mask]
    first_right = columns[gaps.argmax() + 1]
    left, right = mask.copy(), mask.copy()
    left[:, first_right:] = False
    right[:, :first_right] = False
    return [left, right]


def _merge(out: Path, clips: list[Clip]) -> None:
    """One split's annotation file, from the label parts of its frames."""
    images, annotations = [], []
    for clip in clips:
        for frame in clip.frames:
            image = {
                "id": len(images) + 1, "width": COLUMNS, "height": ROWS, "file_name": _file_name(clip, frame)
            }
            images.append(image)
            for part in json.loads(_part(out, clip, frame).read_text()):
                annotations.append({"id": len(annotations) + 1, "image_id": image["id"], **part})
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(CATEGORIES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _write(out / PARTS, _labels_file(out, clips[0].split), json.dumps(content).encode())


def _labels_file(out: Path, split: str) -> Path:
    return out / f"{split}_annotations.json"


def _file_name(clip: Clip, frame: int) -> str:
    return f"images/{clip.split}/sim_Video{clip.number:05d}_{frame}.png"


def _part(out: Path, clip: Clip, frame: int) -> Path:
    return out / PARTS / f"{clip.number:05d}_{frame:05d}.json"


def _write(folder: Path, target: Path, content: bytes) -> None:
    """Write a file at once: under another name in `folder` first."""
    temporary = folder / f"{target.name}.{os.getpid()}.tmp"
    temporary.write_bytes(content)
    os.replace(temporary, target)
