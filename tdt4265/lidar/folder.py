"""A simulated dataset on disk: frames, labels, and a way to go on after an interruption.

A frame's image is written first, then a file with its labels in the hidden folder `.parts`; a frame with such a file
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
from tqdm.auto import tqdm

from ..paths import LOCK, PARTIAL, FolderError, claim, remove_partial, write_whole
from .annotation import CATEGORIES, HUMANS, SKELETON, labels
from .road_users import KEYPOINTS
from .scene import World
from .sensor import COLUMNS, ROWS, Sensor

VERSION = 5  # to be raised when the same seed gives other images or labels
SETTINGS = ".simulation.json"
PARTS = ".parts"
CHUNK = 10  # frames a worker renders before it reports, and may turn to another clip

# What `generate` writes by default, and what "sim-clips" is: the real dataset's own shape.
STREETS = {"train_clips": 1600, "val_clips": 100, "train_frames": 2, "val_frames": 3, "interval": 2.0}
CLIPS = {"train_clips": 16, "val_clips": 3, "train_frames": 100, "val_frames": 100, "interval": 0.1}

SAMPLE_SEED = 1

WorldMaker = Callable[..., World]


@dataclass(frozen=True)
class Clip:
    """One clip to be rendered: its number in the file names, its number within the split, its frames (tenths of a
    second since its start)."""

    split: str
    number: int
    index: int
    frames: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return max(self.frames) / 10


def generate(
    out: str | Path,
    train_clips: int = STREETS["train_clips"],
    val_clips: int = STREETS["val_clips"],
    train_frames: int = STREETS["train_frames"],
    val_frames: int = STREETS["val_frames"],
    interval: float = STREETS["interval"],
    seed: int = 0,
    workers: int | None = None,
    *,
    make_world: WorldMaker | None = None,
    cached: bool = False,
) -> Path:
    """Write a simulated dataset in the real one's layout into the folder `out`, and return the folder.

    Each clip is another street, seen in `train_frames` or `val_frames` frames that are `interval` seconds apart (tenths
    of a second; the frame's number in its file's name counts those). A finished folder is left as it is; one that was
    begun is gone on with. The files depend on all arguments but `workers` (processes; one for each core by default).
    make_world(clip, split, seed, seconds) gives a clip's `World` (`world.make_world` by default); with several workers
    it must be importable.
    cached: the folder is a cache: another process that fills it is waited for, and what another version of the
    simulator made is made anew. Otherwise both are refused.

    Raises ValueError, in one line, when a number makes no sense, or when `out` holds something else or another
    simulation; FolderError when another process writes there, or `out` cannot be written to (a full disk).
    """
    for name, value, least in (
        ("train_clips", train_clips, 1), ("val_clips", val_clips, 0), ("seed", seed, 0),
        ("train_frames", train_frames, 1), ("val_frames", val_frames, 1), ("interval", interval, 0.1),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} is {value}: give {least} or more")
    step = round(10 * interval)
    if abs(step - 10 * interval) > 1e-6:
        raise ValueError(f"interval is {interval}: give tenths of a second")
    settings = {"train_clips": train_clips, "val_clips": val_clips, "train_frames": train_frames}
    settings |= {"val_frames": val_frames, "interval": interval, "seed": seed}
    clips = [Clip("train", i, i, tuple(range(0, train_frames * step, step))) for i in range(train_clips)]
    val = tuple(range(0, val_frames * step, step))
    clips += [Clip("val", train_clips + i, i, val) for i in range(val_clips)]
    return _simulate(Path(out), settings, clips, seed, workers, make_world, cached)


def sample(out: str | Path, workers: int | None = None, *, make_world: WorldMaker | None = None) -> Path:
    """Write the small sample the course's repository holds: one frame of each of 8 train and 4 val clips, whose seed is
    not the default dataset's. Otherwise as `generate`."""
    clips = [Clip("train", i, i, (50,)) for i in range(8)] + [Clip("val", 8 + i, i, (50,)) for i in range(4)]
    return _simulate(Path(out), {"sample": True, "seed": SAMPLE_SEED}, clips, SAMPLE_SEED, workers, make_world)


def is_stale(out: Path) -> bool:
    """Whether a folder holds a simulation, begun or finished, of another version of the simulator."""
    try:
        return json.loads((out / SETTINGS).read_text())["version"] != VERSION
    except (OSError, ValueError, KeyError, TypeError):
        return False  # no simulation at all


def copy_labels(source: str | Path, out: str | Path) -> Path:
    """Writes a finished folder's labels to OUT without the masks: for what counts boxes and needs no image."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        content = json.loads(_labels_file(Path(source), split).read_text())
        content["annotations"] = [annotation | {"segmentation": []} for annotation in content["annotations"]]
        text = json.dumps(content, separators=(",", ":"))
        write_whole(_labels_file(Path(out), split), text)
    return Path(out)


def _simulate(out, settings, clips, seed, workers, make_world, cached=False) -> Path:
    # The course's own world has a fixed name, which stays when its file moves.
    world = "street" if make_world is None else f"{make_world.__module__}.{make_world.__qualname__}"
    if make_world is None:
        from .world import make_world
    settings = {"version": VERSION, "world": world, **settings}
    if not (cached and is_stale(out)):
        _refuse_other(out, settings)
        if _is_finished(out, clips):
            return out
    with claim(out, wait=cached):
        if cached and is_stale(out):
            print(f"{out}: made by another version of the simulator, so it is made anew")
            _clear(out)
        _refuse_other(out, settings)
        if not _is_finished(out, clips):  # another process, waited for, may have finished it
            try:
                _make(out, settings, clips, seed, workers, make_world)
            except OSError as error:
                mend = "make room there, or name another folder; the same command goes on"
                raise FolderError(f"{out}: cannot be written to ({error.strerror or error}); {mend}") from None
    return out


def _make(out, settings, clips, seed, workers, make_world) -> None:
    write_whole(out / SETTINGS, json.dumps(settings))
    splits = sorted({clip.split for clip in clips})
    for folder in (out / PARTS, *(out / "images" / split for split in splits)):
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
    _render_all(out, clips, seed, workers, make_world)
    for split in splits:
        if not _labels_file(out, split).exists():
            _merge(out, [clip for clip in clips if clip.split == split])
    shutil.rmtree(out / PARTS, ignore_errors=True)


def _is_finished(out: Path, clips: list[Clip]) -> bool:
    return all(_labels_file(out, split).exists() for split in {clip.split for clip in clips})


def _clear(out: Path) -> None:
    """Empties a folder that this process has claimed."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _refuse_other(out: Path, settings: dict) -> None:
    """Raises ValueError for a folder that was begun with other settings, or holds something else."""
    marker = out / SETTINGS
    if not marker.exists():
        if out.exists() and (not out.is_dir() or not all(map(_is_ours, out.iterdir()))):
            raise ValueError(f"{out}: holds other files than a simulation's; name a new or an empty folder")
        return
    begun = _read_settings(marker)
    if begun != settings:
        other = ", ".join(f"{k} {begun.get(k)}" for k in settings if begun.get(k) != settings[k])
        asked = ", ".join(f"{k} {settings[k]}" for k in settings if begun.get(k) != settings[k])
        raise ValueError(
            f"{out}: was begun with {other or 'other settings'}, not {asked or 'these'}; "
            "use the same settings or name another folder"
        )


def _is_ours(path: Path) -> bool:
    """Whether a simulation that was ended before its first step may have left it."""
    return path.name in (PARTS, LOCK) or path.suffix == PARTIAL


def _read_settings(marker: Path) -> dict:
    try:
        return dict(json.loads(marker.read_text()))
    except (ValueError, TypeError):
        raise ValueError(f"{marker}: is damaged; delete {marker.parent}, or name another folder") from None


def _render_all(out, clips, seed, workers, make_world) -> None:
    left = []
    for clip in clips:
        if not _labels_file(out, clip.split).exists():
            missing = [frame for frame in clip.frames if not _part(out, clip, frame).exists()]
            left += [(clip, missing[i : i + CHUNK]) for i in range(0, len(missing), CHUNK)]
    if not left:
        return
    total = sum(len(clip.frames) for clip in clips)
    to_do = sum(len(frames) for _, frames in left)
    workers = min(workers or os.cpu_count() or 1, len(left))
    bar = tqdm(total=total, initial=total - to_do, unit="frame", desc="simulating")
    with bar:
        if workers == 1:
            for clip, frames in left:
                for frame in frames:
                    _render_chunk(out, clip, [frame], seed, make_world)
                    bar.update()
            return
        # New interpreters, not forks: the caller may hold threads (torch, a notebook) that a fork would cut off.
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        with ProcessPoolExecutor(workers, context, initializer=_prepare_worker, initargs=(stop,)) as pool:
            jobs = {
                pool.submit(_render_chunk, out, clip, frames, seed, make_world): len(frames) for clip, frames in left
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
_last_sensor: tuple = (None, None, None)  # the last clip's: its street takes longer to prepare than a frame


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


def _render_chunk(out, clip: Clip, frames, seed, make_world) -> None:
    global _last_sensor
    key = (make_world, seed, clip)
    if _last_sensor[0] != key:
        world = make_world(clip.index, clip.split, seed, clip.seconds)
        _last_sensor = (key, Sensor(world), [_moves(user, clip.seconds) for user in world.users])
    _, sensor, moves = _last_sensor
    categories = [user.category for user in sensor.world.users]
    for frame in frames:
        if _worker_stop is not None and _worker_stop.is_set():
            return
        noise = np.random.SeedSequence([seed, ("train", "val").index(clip.split), clip.index, frame])
        shot_noise, label_noise = (np.random.default_rng(s) for s in noise.spawn(2))
        shot = sensor.render(frame / 10, shot_noise)
        found = labels(shot, categories, label_noise)
        for entry in found:
            entry |= {"moves": moves[entry["track_id"]], "track_id": 1000 * clip.number + entry["track_id"]}
        png = io.BytesIO()
        Image.fromarray(shot.image).save(png, "png", compress_level=3)
        write_whole(out / _file_name(clip, frame), png.getvalue())
        write_whole(_part(out, clip, frame), json.dumps({"annotations": found, "clutter": shot.clutter}))


def _moves(user, seconds: float) -> bool:
    """Whether a road user gets anywhere in a clip (in the first second, where the clip is a single moment)."""
    first, last = user.mesh(0.0), user.mesh(max(seconds, 1.0))
    if first is None or last is None:
        return first is not last
    return bool(np.linalg.norm(last.vertices.mean(0) - first.vertices.mean(0)) > 0.5)


def _merge(out: Path, clips: list[Clip]) -> None:
    """One split's annotation file, from the label parts of its frames, and before it the one with keypoints."""
    images, annotations = [], []
    for clip in clips:
        for frame in clip.frames:
            part = json.loads(_part(out, clip, frame).read_text())
            image = {"id": len(images) + 1, "width": COLUMNS, "height": ROWS, "file_name": _file_name(clip, frame)}
            images.append(image | {"clutter": part["clutter"]})
            for entry in part["annotations"]:
                annotations.append({"id": len(annotations) + 1, "image_id": image["id"], **entry})
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(CATEGORIES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    human = [
        one | ({"keypoints": KEYPOINTS, "skeleton": SKELETON} if one["name"] in HUMANS else {}) for one in categories
    ]
    write_whole(_keypoints_file(out, clips[0].split), json.dumps(content | {"categories": human}))
    of_points = ("keypoints", "num_keypoints")
    content["annotations"] = [{key: v for key, v in one.items() if key not in of_points} for one in annotations]
    write_whole(_labels_file(out, clips[0].split), json.dumps(content))


def _labels_file(out: Path, split: str) -> Path:
    return out / f"{split}_annotations.json"


def _keypoints_file(out: Path, split: str) -> Path:
    return out / f"{split}_keypoints.json"


def _file_name(clip: Clip, frame: int) -> str:
    return f"images/{clip.split}/sim_Video{clip.number:05d}_{frame}.png"


def _part(out: Path, clip: Clip, frame: int) -> Path:
    return out / PARTS / f"{clip.number:05d}_{frame:05d}.json"
