"""A trained detector on anybody's images: in a notebook by `detect`, from a shell on files, folders and splits.

    python -m tdt4265.detect lite photo.jpg FOLDER sample:val --out OUT --json --gif
    python -m tdt4265.detect runs/retinanet-small-mine-seed0 FOLDER

The same in a notebook: `model = tdt4265.load("lite")`, then `detect(model, ["photo.jpg"])`.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from tdt4265 import data, plots, results, weights
from tdt4265.devices import DeviceError, torch_device
from tdt4265.errors import OneLineError
from tdt4265.evaluation import coco_results, evaluating
from tdt4265.paths import FolderError, claim, write_whole

SCORE_THRESH = 0.3
FRAMES_A_SECOND = 10  # of a clip: the sensor's


class DetectError(OneLineError):
    """What is asked for can't be done: one line that says why, and the mend."""


@torch.no_grad()
def detect(
    model: nn.Module,
    images: Iterable[Tensor | Image.Image | np.ndarray | str | Path],
    *,
    score_thresh: float = SCORE_THRESH,
    device: torch.device | str | None = None,
) -> list[dict[str, Tensor]]:
    """What a detector finds in images of any size, one after the other.

    Args:
        model: of `tdt4265.load`, or any other under torchvision's contract.
        images: float tensors [3, H, W] in 0..1, PIL images, uint8 arrays [H, W, 3], or the names of files.
        score_thresh: detections that score less are left out.
        device: where to run; None is where the model's parameters are.

    Returns:
        A dict an image, best score first, on the CPU: boxes float32 [N, 4], xyxy in pixels; labels int64 [N], which
        `model.categories` names; scores float32 [N]; where the model has them masks float32 [N, 1, H, W] and keypoints
        float32 [N, P, 3].

    Raises:
        DataError: a file that is no image; the line names it.
    """
    found = []
    with evaluating(model, device) as device:
        for image in images:
            output = model([as_tensor(image).to(device)])[0]
            keep = output["scores"] >= score_thresh
            found.append({key: value[keep].cpu() for key, value in output.items() if len(value) == len(keep)})
    return found


def as_tensor(image: Tensor | Image.Image | np.ndarray | str | Path) -> Tensor:
    """Float32 [3, H, W] in 0..1 of an image, or of the name of its file."""
    if isinstance(image, Tensor):
        return image.as_subclass(Tensor)
    pixels = data.read_pixels(Path(image), upright=True) if isinstance(image, str | Path) else image
    pixels = np.array(pixels.convert("RGB")) if isinstance(pixels, Image.Image) else pixels
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).contiguous().float().div_(255)


# The command ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """An image to be looked at.

    Attributes:
        name: where its output belongs, a path in the output folder without a suffix.
        source: what it is called in messages, as it was given.
        path: its file, an image or a recording of many.
        image_id: its id in the labels that it comes from; None: it comes from none.
    """

    name: str
    source: str
    path: Path
    image_id: int | None = None


def pictures(given: Sequence[str]) -> tuple[list[Picture], dict[str, int]]:
    """The images of files, folders and splits ("sample:val", "FOLDER:train"), and the category ids of splits by name.

    A recording of the sensor (`data.read_recording`) is one of them here; `opened` gives its frames.

    Raises DetectError for what is neither, and DataError for a split that can't be read.
    """
    found, known, suffixes = [], {}, (*data.SUFFIXES, *data.RECORDINGS)
    for one in given:
        path = Path(os.path.expanduser(one))
        source, colon, split = one.rpartition(":")
        with data.refusing_os_errors(path):
            is_folder, is_there = path.is_dir(), path.exists()
        if is_folder:
            inside = [p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
            inside = sorted(inside, key=lambda p: data.natural_key(str(p.relative_to(path))))
            if not inside:
                raise DetectError(f"{one}: holds no image ({', '.join(suffixes)})")
            found += [Picture(str(p.relative_to(path).with_suffix("")), str(p), p) for p in inside]
        elif is_there:
            found.append(Picture(path.stem, one, path))
        elif colon and split in ("train", "val"):
            frames = data.CocoDetection(data.source_folder(source), split)
            ids = {name: label - frames.labels.id_shift for label, name in frames.categories.items()}
            if any(known.get(name, label) != label for name, label in ids.items()):
                raise DetectError(f"{one}: numbers its classes otherwise than a split before it; look at them apart")
            known |= ids
            for image in frames.labels.coco["images"]:
                name = image["file_name"]
                found.append(Picture(str(Path(name).with_suffix("")), name, frames.folder / name, image["id"]))
        else:
            raise DetectError(f'{one}: no such file or folder (a split of labelled data is "sample:val", "FOLDER:val")')
    return [replace(p, name=name) for p, name in zip(found, _different(found), strict=True)], known


def _different(found: Sequence[Picture]) -> Iterator[str]:
    """Names of output files without two that are the same: the second `name` is `name-2`."""
    seen: Counter[str] = Counter()
    for picture in found:
        name = picture.name.replace("..", "_").lstrip("/")
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


def opened(picture: Picture) -> Iterator[tuple[Picture, Tensor]]:
    """The picture and its image; of a recording each frame. Raises DataError."""
    if picture.path.suffix.lower() not in data.RECORDINGS:
        yield picture, as_tensor(picture.path)
        return
    for number, pixels in enumerate(data.read_recording(picture.path)):
        name, source = f"{picture.name}/{number:05d}", f"{picture.source}, frame {number}"
        yield replace(picture, name=name, source=source), as_tensor(pixels)


def look(
    model: nn.Module, given: Sequence[Picture], out: Path, *, score_thresh: float, device: torch.device, clip: bool
) -> tuple[list[tuple[Picture, tuple[int, int], dict]], list[str], list[np.ndarray]]:
    """Detects in each picture and writes it with what was found.

    Returns:
        (picture, (height, width), what was found) of each; a line for each that could not be read; the clip's frames.
    """
    found, failures, frames = [], [], []
    recordings = any(picture.path.suffix.lower() in data.RECORDINGS for picture in given)  # nobody knows how long
    with tqdm(total=None if recordings else len(given), unit="image", mininterval=0.5) as bar:
        for whole in given:
            try:
                for picture, image in opened(whole):
                    (one,) = detect(model, [image], score_thresh=score_thresh, device=device)
                    figure = draw(image, one, model.categories)
                    write_whole(out / f"{picture.name}.png", _png(figure))
                    if clip:
                        frames.append(_bare(figure))
                    plt.close(figure)
                    found.append((picture, tuple(image.shape[-2:]), one))
                    bar.update()
            except data.DataError as error:
                failures.append(str(error))
                bar.write(str(error), file=sys.stderr)
    return found, failures, frames


def draw(image: Tensor, found: dict, categories: dict[int, str]) -> Figure:
    """An image with what was found in it: boxes, class names and scores, masks and keypoints where there are any."""
    masks = found["masks"][:, 0] if "masks" in found else None
    what = {"masks": masks, "keypoints": found.get("keypoints")}
    boxes = (found["boxes"], found["labels"], found["scores"])
    return plots.panorama(image, *boxes, **what, categories=categories)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _bare(figure: Figure) -> np.ndarray:
    """The figure without axes and legend, as uint8 [H, W, 3]."""
    for ax in figure.axes:
        ax.axis("off")
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight", pad_inches=0.02)
    return np.array(Image.open(buffer).convert("RGB"))


def save_clip(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Frames [H, W, 3] of one size as an animated GIF, FRAMES_A_SECOND: shades of gray, and the classes' colours.

    A palette made of the frames themselves would have no room for the colours of thin lines.
    """
    shades = [(round(255 * n / 39),) * 3 for n in range(40)]
    colours = [tuple(round(255 * part * share) for part in to_rgb(c)) for c in plots.COLOURS for share in (1, 0.6)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in [*shades, *colours] for value in colour])
    first, *rest = (Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames)
    settings = {"save_all": True, "append_images": rest, "duration": 1000 // FRAMES_A_SECOND, "loop": 0}
    write_whole(path, lambda place: first.save(place, format="GIF", **settings))


def save_results(out: Path, found: Sequence[tuple], named: dict[int, str], ids: dict[str, int]) -> None:
    """`results.json`, a COCO results file, and `images.json`, which says what its ids mean.

    named: the model's classes, {label: name}. ids: category ids by name, those of the split's labels, where a picture
    comes from one; it keeps its own id then, too.
    """
    label_ids = {label: ids.get(name, label) for label, name in named.items()}
    known = {picture.image_id for picture, _, _ in found}
    fresh = (number for number in itertools.count(1) if number not in known)
    lines, images = [], []
    for picture, (height, width), one in found:
        image_id = next(fresh) if picture.image_id is None else picture.image_id
        images.append({"id": image_id, "file_name": picture.source, "width": width, "height": height})
        lines += [r | {"category_id": label_ids[r["category_id"]]} for r in coco_results(image_id, one)]
    what = [{"id": label_ids[label], "name": name} for label, name in named.items()]
    results.save_results(out / "results.json", lines)
    write_whole(out / "images.json", json.dumps({"images": images, "annotations": [], "categories": what}))


def table(found: Sequence[tuple], categories: dict[int, str]) -> pd.DataFrame:
    """A row a class that was found: how many objects, in how many images, the best score."""
    rows = [
        (categories.get(label, str(label)), picture.name, score)
        for picture, _, one in found
        for label, score in zip(one["labels"].tolist(), one["scores"].tolist(), strict=True)
    ]
    each = pd.DataFrame(rows, columns=["class", "image", "score"]).groupby("class", sort=False)
    counted = each.agg(objects=("score", "size"), images=("image", "nunique"), best=("score", "max"))
    return counted.sort_values("objects", ascending=False, kind="stable").reset_index()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 if some pictures could not be read, 2 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    out = Path(options.out)
    try:
        if not 0 <= options.score_thresh <= 1:
            raise DetectError(f"--score-thresh is {options.score_thresh:g}: it is a number from 0 to 1")
        device = torch_device(options.device)
        model = weights.load(options.what)
        given, ids = pictures(options.pictures)
        with claim(out):
            how = {"score_thresh": options.score_thresh, "device": device, "clip": options.gif}
            found, failures, frames = look(model, given, out, **how)
            if not found:
                raise DetectError("none of the images can be read")
            if options.json:
                save_results(out, found, model.categories, ids)
            clip_written = options.gif and _save_clip_if_even(out / "clip.gif", frames)
    except (DetectError, weights.WeightsError, data.DataError, DeviceError, FolderError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was looked at so far stays", file=sys.stderr)
        return 130
    summary = table(found, model.categories)
    if len(summary):
        print(summary.to_string(index=False, float_format="{:.2f}".format))
    more = [name for name, there in (("results.json", options.json), ("clip.gif", clip_written)) if there]
    total = f"{int(summary.objects.sum())} objects in {len(found)} images"
    print(f"{total}, score at least {options.score_thresh:g}: {', '.join([str(out), *more])}")
    if failures:
        print(f"not read: {len(failures)} of {len(given)}", file=sys.stderr)
    return 1 if failures else 0


def _save_clip_if_even(path: Path, frames: Sequence[np.ndarray]) -> bool:
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        print(f"no clip: the images are of {len(sizes)} sizes, and a clip has one", file=sys.stderr)
        return False
    save_clip(path, frames)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.detect", description="Detect objects in images.")
    parser.add_argument("what", help="a recipe whose weights come with the course, a run's folder, or a checkpoint")
    pictures = "images, recordings (.pcap, .osf), folders of them, or splits as sample:val"
    parser.add_argument("pictures", nargs="+", help=pictures)
    parser.add_argument("--out", default="detections", help="folder of the drawn images (default: detections)")
    thresh = f"default: {SCORE_THRESH}; give 0.05 where --json shall be scored"
    parser.add_argument("--score-thresh", type=float, default=SCORE_THRESH, help=thresh)
    parser.add_argument("--device", default="auto", help="auto (default: a GPU if there is one), cpu or cuda")
    parser.add_argument("--gif", action="store_true", help="also clip.gif, the images in their order, ten a second")
    parser.add_argument("--json", action="store_true", help="also results.json (COCO results) and images.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
