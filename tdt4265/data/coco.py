"""A folder in COCO format becomes a dataset, or one line that says what is wrong with it.

The layout is the TDT4265 dataset's: `train_annotations.json` (and `val_annotations.json`) beside the images that its
`file_name` entries point to, as `images/train/trip007_glos_Video00000_85.png`: clip, then frame number. Or it is that
of COCO 2017 as it is downloaded (`layouts`).
Everything is checked when the dataset is made, so that no run of an hour ends at a broken file.
"""

import contextlib
import copy
import hashlib
import itertools
import json
import math
import mmap
import posixpath
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from pycocotools import mask as rle
from torchvision import tv_tensors

from tdt4265.contract import MOST_CATEGORIES, TASKS
from tdt4265.data.layouts import FROM_YOLO, is_cocos, is_yolo, layout
from tdt4265.errors import OneLineError, plain, quoted, shown
from tdt4265.paths import expanded

# Labels drawn by hand touch the border; this much beyond it, in pixels, is rounding and is clipped, more is a mistake.
TOLERANCE = 1.0

# The bytes that end a complete file of each format: cheaper to look for than to decode every image.
END_MARK = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}


# Pixels that Pillow decodes of one image at most.
MOST_PIXELS = 178_956_970

FLOAT32_MAX = float(np.finfo(np.float32).max)

# Bytes of memory that a dataset's decoded frames may take: 4,000 panoramas.
HELD_BYTES = 3 * 2**29


class DataError(OneLineError):
    """Input that cannot be used: one line that names the file, the entry and the mend."""


@dataclass(frozen=True)
class Labels:
    """The labels of one annotation file, checked; no image is needed.

    path: the file. coco: its content as a COCO dict (`info`, `images`, `annotations`, `categories`): images in time
    order, boxes clipped to the image, `area` and `iscrowd` in every annotation, annotation ids from 1.
    has_clips: image names are those of a clip's frames; otherwise each image is a clip of its own, photographs say.
    id_shift: what was added to the file's category ids: 1 where one of them is 0, which is the background's here.
    """

    path: Path
    coco: dict
    has_clips: bool = True
    id_shift: int = 0

    @property
    def categories(self) -> dict[int, str]:
        """Names by category id, in the order of ids: {1: "car", ...}."""
        return {category["id"]: category["name"] for category in self.coco["categories"]}

    @property
    def images(self) -> pd.DataFrame:
        """A row a frame, in time order: image_id, clip, frame, width, height (pixels), file_name."""
        rows = [
            (
                image["id"],
                *self._clip_and_frame(image["file_name"]),
                image["width"],
                image["height"],
                image["file_name"],
            )
            for image in self.coco["images"]
        ]
        return pd.DataFrame(rows, columns=["image_id", "clip", "frame", "width", "height", "file_name"])

    def boxes(self) -> pd.DataFrame:
        """A row a box, frames in time order: image_id, clip, frame, category (name), x, y (upper left corner), width,
        height (pixels), area (square pixels)."""
        frames = {image["id"]: self._clip_and_frame(image["file_name"]) for image in self.coco["images"]}
        names = self.categories
        by_image = annotations_by_image(self.coco)
        rows = [
            (image_id, *frames[image_id], names[entry["category_id"]], *entry["bbox"], entry["area"])
            for image_id in frames
            for entry in by_image[image_id]
        ]
        columns = ["image_id", "clip", "frame", "category", "x", "y", "width", "height", "area"]
        return pd.DataFrame(rows, columns=columns)

    def _clip_and_frame(self, file_name: str) -> tuple[str, int]:
        return clip_and_frame(file_name) if self.has_clips else (file_name, 0)


class CocoDetection(torch.utils.data.Dataset):
    """Frames and boxes of one split of a folder, in time order; frames without boxes are kept.

    `dataset[i]` is (image, target):
        image: tv_tensors.Image, float32 [3, H, W] in 0..1; channels intensity, ambient, range.
        target: boxes tv_tensors.BoundingBoxes XYXY float32 [N, 4] in pixels; labels int64 [N], from 1; image_id int;
            area float32 [N], square pixels; iscrowd int64 [N]; with the task "segm" masks, tv_tensors.Mask uint8
            [N, H, W]; with the task "keypoints" keypoints float32 [N, P, 3], x, y and visibility, zeros for a point
            that is not labelled.

    tasks: what the targets hold besides boxes: "segm", "keypoints" (`contract.TASKS`); the labels must have them.

    held_bytes: how much memory decoded frames may take, so that each is decoded once; those beyond it are decoded each
    time they are asked for, with 0 all of them.

    Raises DataError when the folder, a label or an image is unusable.
    """

    def __init__(
        self, folder: str | Path, split: str, *, name: str | None = None, tasks: Sequence[str] = ("bbox",),
        transforms: Callable | None = None, held_bytes: int = HELD_BYTES,
    ):  # fmt: skip
        self.folder = expanded(folder)
        self.split = split
        self.name = name or self.folder.name
        self.tasks = tuple(tasks)
        if unknown := [task for task in self.tasks if task not in TASKS]:
            raise DataError(f"task {unknown[0]!r}: choose among {', '.join(TASKS)}")
        self.transforms = transforms
        with refusing_os_errors(self.folder):
            self.labels = read_split(self.folder, split, self.tasks)
            check_tasks(self.labels, self.tasks)
            check_image_files(self.folder, self.labels)
        self.coco = self.labels.coco
        self.categories = self.labels.categories
        self.num_classes = max(self.categories) + 1  # background is class 0
        self.image_ids = [image["id"] for image in self.coco["images"]]
        self._annotations = annotations_by_image(self.coco)
        self._held = HeldFrames([(image["height"], image["width"], 3) for image in self.coco["images"]], held_bytes)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, dict]:
        record = self.coco["images"][index]
        pixels = self._held.get(index)
        if pixels is None:
            pixels = read_pixels(self.folder / record["file_name"])
            self._held.put(index, pixels)
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255))
        target = self._target(record)
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def file_name(self, index: int) -> str:
        """The image's name as the labels give it, relative to the folder."""
        return self.coco["images"][index]["file_name"]

    @property
    def keypoint_names(self) -> list[str]:
        """What the P keypoints are called; [] where no category has any."""
        return next((list(c["keypoints"]) for c in self.coco["categories"] if c.get("keypoints")), [])

    @property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """The indices of keypoints that change places in a mirror: those named left_* and right_*."""
        names = self.keypoint_names if "keypoints" in self.tasks else []
        mirrored = {name: "right_" + name[5:] for name in names if name.startswith("left_")}
        return tuple((names.index(a), names.index(b)) for a, b in mirrored.items() if b in names)

    def with_transforms(self, transforms: Callable | None) -> "CocoDetection":
        """The same frames through another transform: a callable (image, target) -> (image, target), or None."""
        other = copy.copy(self)
        other.transforms = transforms
        return other

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits that change with the labels and with the name or size in bytes of any image.

        Keypoints do not count: detectors with and without them are compared by their boxes in the same frames.
        """
        sizes = [(self.folder / image["file_name"]).stat().st_size for image in self.coco["images"]]
        points = ("keypoints", "num_keypoints", "skeleton")
        without = {
            key: [{name: value for name, value in entry.items() if name not in points} for entry in self.coco[key]]
            for key in ("annotations", "categories")
        }
        content = json.dumps([self.coco | without, sizes], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def _target(self, record: dict) -> dict:
        entries = self._annotations[record["id"]]
        size = (record["height"], record["width"])
        boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
            "labels": torch.tensor([entry["category_id"] for entry in entries], dtype=torch.int64),
            "image_id": record["id"],
            "area": torch.tensor([entry["area"] for entry in entries], dtype=torch.float32),
            "iscrowd": torch.tensor([entry["iscrowd"] for entry in entries], dtype=torch.int64),
        }
        if "segm" in self.tasks:
            masks = np.zeros((len(entries), *size), np.uint8)
            for mask, entry in zip(masks, entries, strict=True):
                try:
                    mask[:] = decode_mask(entry["segmentation"], *size)
                except ValueError as error:
                    what = f"annotation id {entry['id']}: segmentation cannot be decoded ({error})"
                    raise DataError(f"{self.labels.path}: {what}: mend it, or load without masks") from None
            target["masks"] = tv_tensors.Mask(torch.from_numpy(masks))
        if "keypoints" in self.tasks:
            none = [0] * 3 * len(self.keypoint_names)
            points = torch.tensor([entry.get("keypoints", none) for entry in entries], dtype=torch.float32)
            points = points.reshape(len(entries), len(self.keypoint_names), 3)
            target["keypoints"] = points * (points[..., 2:] > 0)
        return target


class HeldFrames:
    """Images of known shapes, uint8, in memory that forked processes share: what one has decoded all of them find.

    So a training's workers, new in every epoch, need not begin anew, and hold no copies. A process that is not forked
    (a worker on Windows or macOS) gets an empty one, which holds nothing.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], most_bytes: int):
        sizes = itertools.accumulate(math.prod(shape) for shape in shapes)
        ends = [end for end in sizes if end <= most_bytes]
        self._shapes, self._ends = shapes[: len(ends)], ends
        if ends:  # a page of it takes memory from when it is first written
            self._there = np.frombuffer(mmap.mmap(-1, len(ends)), np.uint8)
            self._pixels = np.frombuffer(mmap.mmap(-1, ends[-1]), np.uint8)

    def __reduce__(self) -> tuple:
        return HeldFrames, ((), 0)

    def get(self, index: int) -> np.ndarray | None:
        """The image, or None where it is not held (yet)."""
        return self._place(index) if index < len(self._ends) and self._there[index] else None

    def put(self, index: int, pixels: np.ndarray) -> None:
        """Hold an image, if there is room for it."""
        if index < len(self._ends) and pixels.shape == self._shapes[index]:
            self._place(index)[:] = pixels
            self._there[index] = 1  # last: nobody sees half an image

    def _place(self, index: int) -> np.ndarray:
        end, shape = self._ends[index], self._shapes[index]
        return self._pixels[end - math.prod(shape) : end].reshape(shape)


def read_labels(path: str | Path) -> Labels:
    """Read and check an annotation file, or the `train_annotations.json` of a folder. Raises DataError."""
    path = expanded(path)
    with refusing_os_errors(path):
        if path.is_dir():
            path = path / "train_annotations.json"
        if not path.is_file():
            if not path.parent.is_dir():
                raise DataError(f"{path.parent}: no such folder: give a folder that holds {path.name} and its images")
            raise DataError(f"{path}: no such file: put the labels, in COCO format, there under this name")
    content = read_json(path)
    return Labels(path, checked(path, content), id_shift=id_shift(content["categories"]))


def read_split(folder: Path, split: str, tasks: Sequence[str] = ("bbox",)) -> Labels:
    """The labels of a split in the folder's own layout; image names are relative to the folder. Raises DataError."""
    found = layout(folder, split, tasks)
    if not found.labels.is_file() and is_yolo(folder):
        raise DataError(f"{folder}: is in YOLO's format: {FROM_YOLO}")
    if not found.is_coco:
        return read_labels(found.labels)
    if not found.labels.is_file():
        raise DataError(f"{found.labels}: no such file: put COCO's annotations of that name there")
    content = read_json(found.labels)
    check_structure(found.labels, content)
    content["annotations"], empty = with_sides(content["annotations"])
    if empty:
        print(f"{found.labels}: boxes without width or height, left out: {empty}")
    coco = checked(found.labels, content)
    for image in coco["images"]:
        image["file_name"] = f"{found.images}/{image['file_name']}"
    return Labels(found.labels, coco, has_clips=False, id_shift=id_shift(content["categories"]))


def read_checked(path: str | Path, tasks: Sequence[str] = ("bbox",)) -> dict:
    """The content of an annotation file, its ids and boxes as they are, after all the checks that a dataset makes.

    Nothing is looked up in its folder, so the file may have any name. Raises DataError.
    """
    path = Path(path)
    content = read_json(path)
    check_structure(path, content)
    if is_cocos(path):
        content["annotations"], _ = with_sides(content["annotations"])
    checked(path, content)
    check_tasks(Labels(path, content), tasks)
    if "segm" in tasks:
        check_runs(Labels(path, content))
    return content


def checked(path: Path, content: object) -> dict:
    """The content of a label file, normalised. Raises DataError."""
    check_structure(path, content)
    check_images(path, content["images"])
    check_categories(path, content["categories"])
    check_annotations(path, content)
    coco = normalised(content)
    check_sides(path, coco)
    return coco


def with_sides(annotations: list[dict]) -> tuple[list[dict], int]:
    """The annotations without those whose box has a width or a height of 0, and how many these are."""

    def has_sides(entry: dict) -> bool:
        bbox = entry["bbox"]
        return not (isinstance(bbox, list) and len(bbox) == 4 and 0 in bbox[2:])

    kept = [entry for entry in annotations if has_sides(entry)]
    return kept, len(annotations) - len(kept)


def clip_and_frame(file_name: str) -> tuple[str, int]:
    """("trip007_glos_Video00000", 85) of "images/train/trip007_glos_Video00000_85.png".

    A name that is a number alone belongs to the clip named as its folder; one without a number is frame 0 of itself.
    """
    path = Path(file_name)
    match = re.fullmatch(r"(.*?)_?(\d+)", path.stem)
    return (match[1] or path.parent.name, int(match[2])) if match else (path.stem, 0)


def natural_key(name: str) -> list:
    """Sorts numbers inside names by value: clip 2 before clip 10, frame 9 before frame 85."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def annotations_by_image(coco: dict) -> dict[int, list[dict]]:
    """The annotations of each image id, an empty list where a frame has none."""
    by_image = {image["id"]: [] for image in coco["images"]}
    for entry in coco["annotations"]:
        by_image[entry["image_id"]].append(entry)
    return by_image


# What is read ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def refusing_os_errors(path: Path) -> Iterator[None]:
    """Turns what the system says, of permissions or of names too long, into a DataError about `path`."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{shown(path)}: can't be read ({why}): give one that can be read") from None


def unrepeated(pairs: list[tuple[str, object]]) -> dict:
    """The object of these pairs; DataError where a key is there twice: JSON's readers would keep the last one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(duplicates(key for key, _ in pairs))
        raise DataError(f"{quoted(key)} is there twice in one object: remove one of the two")
    return found


def read_json(path: Path) -> object:
    """Raises DataError for what is no JSON, or has a key twice in an object."""
    with refusing_os_errors(path):
        content = path.read_bytes()
    try:
        return json.loads(content, object_pairs_hook=unrepeated)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno} ({error.msg})"
        raise DataError(f"{path}: invalid JSON at {where}: mend the file or fetch it again") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file: give one in JSON") from None
    except RecursionError:
        raise DataError(f"{path}: lists or objects are nested too deeply: mend the file or fetch it again") from None
    except ValueError:  # Python itself reads no whole number of more digits
        most = sys.get_int_max_str_digits()
        raise DataError(f"{path}: holds a number of more than {most} digits: mend the file or fetch it again") from None


# The formats that images are read from, and the suffixes by which they are found in a folder.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def read_pixels(path: Path, upright: bool = False) -> np.ndarray:
    """uint8 [H, W, 3] of an image of three channels, or of one, which is repeated; 16 bits become their upper 8.

    upright: turn a photograph as its EXIF entry says; labels are about the pixels as they are stored.

    Raises DataError for a file that is no image of FORMATS.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode.startswith("I"):  # PIL itself would cut the values at 255
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            return np.array((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError(f"{shown(path)}: is no image ({', '.join(FORMATS)}): replace it") from None
    except Exception as error:  # a damaged file makes PIL raise nearly anything
        why = quoted(" ".join(str(error).split()))
        raise DataError(f"{shown(path)}: cannot be decoded ({why}): replace the image") from None


def decode_mask(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    """uint8 [H, W], 1 where the object is, from COCO's polygons (`is_polygon`) or run-length code (compressed or not).

    Raises ValueError for a code that does not describe the whole image.
    """
    if isinstance(segmentation, list):
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, height, width)))
    runs = whole_runs(segmentation["counts"], height * width)
    return rle.decode(rle.frPyObjects({"size": [height, width], "counts": runs}, height, width))


def whole_runs(counts: object, pixels: int) -> list[int]:
    """The lengths of a mask's runs, from a list of them or from COCO's text.

    Raises ValueError unless they are whole numbers that fill an image of as many pixels: pycocotools believes whatever
    it gets, and reads and writes memory that is not its own.
    """
    runs = text_runs(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(is_integer(run) and run >= 0 for run in runs) or sum(runs) != pixels:
        raise ValueError("its runs do not fill the image")
    return runs


def text_runs(text: str) -> list[int]:
    """The numbers in COCO's text of a run-length code. Raises ValueError for another text.

    A character is 5 bits of a number, lowest first, and whether more follow; the highest bit is its sign. From the
    fourth on each is the difference to the last but one.
    """
    runs, value, shift = [], 0, 0
    for code in map(ord, text):
        code -= 48
        if not 0 <= code < 64 or shift > 30:
            raise ValueError("its counts are no run-length code")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code >> 4 & 1) << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("its counts end in the middle of a number")
    return runs


def normalised(content: dict) -> dict:
    """A COCO dict that pycocotools can score: what the file leaves out is filled in, frames come in time order."""
    images = sorted(content["images"], key=lambda image: natural_key(image["file_name"]))
    sizes = {image["id"]: (image["width"], image["height"]) for image in images}
    # COCOeval reads annotation id 0 as "no match" and would count that object as missed.
    shift = max(0, 1 - min((entry["id"] for entry in content["annotations"]), default=1))
    annotations, more = [], id_shift(content["categories"])
    for entry in content["annotations"]:
        bbox = clipped(entry["bbox"], *sizes[entry["image_id"]])
        filled = {"area": bbox[2] * bbox[3], "iscrowd": 0, **entry, "bbox": bbox, "id": entry["id"] + shift}
        annotations.append(filled | {"category_id": entry["category_id"] + more})
    categories = [category | {"id": category["id"] + more} for category in content["categories"]]
    categories = sorted(categories, key=lambda category: category["id"])
    return {"info": content.get("info", {}), "images": images, "annotations": annotations, "categories": categories}


def id_shift(categories: list[dict]) -> int:
    """What is added to category ids so that none is 0: some tools count classes from there."""
    return int(any(category["id"] == 0 for category in categories))


def clipped(bbox: list[float], width: int, height: int) -> list[float]:
    x, y, w, h = bbox
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        return bbox  # untouched, to the last digit
    left, top = max(x, 0.0), max(y, 0.0)
    return [left, top, min(x + w, width) - left, min(y + h, height) - top]


# What is checked ------------------------------------------------------------------------------------------------------


def refuse(path: Path, faults: Iterable[str], mend: str) -> None:
    """Raise one line that names the first fault and counts the others."""
    faults = list(faults)
    if faults:
        more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise DataError(f"{shown(path)}: {faults[0]}{more}: {mend}")


def is_integer(value: object) -> bool:
    """Whether it is a whole number that int64 holds."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_number(value: object) -> bool:
    """Whether it is a number that numpy can hold: a whole one beyond int64 would make arrays of Python's objects."""
    return isinstance(value, float) or is_integer(value)


def is_finite(number: float) -> bool:
    """Whether float32 holds it; a whole number may be too long for any float."""
    return -FLOAT32_MAX <= number <= FLOAT32_MAX


def duplicates(values: Iterable) -> Iterator:
    seen = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)


def check_structure(path: Path, content: object) -> None:
    """The three lists and, in each of their entries, the keys that everything else relies on."""
    needed = {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    if not isinstance(content, dict):
        raise DataError(f"{path}: not labels in COCO format: it needs the keys {', '.join(needed)}")
    missing = [key for key in needed if not isinstance(content.get(key), list)]
    refuse(path, (f'no list "{key}"' for key in missing), f"labels in COCO format need {', '.join(needed)}")
    for key, fields in needed.items():
        faults = (
            f'entry {position} of "{key}" has no "{field}"'
            for position, entry in enumerate(content[key])
            for field in fields
            if not isinstance(entry, dict) or field not in entry
        )
        refuse(path, faults, f"each of them needs {', '.join(fields)}")
        ids = (entry["id"] for entry in content[key])
        faults = (f'id {quoted(i)} in "{key}" is not an integer' for i in ids if not is_integer(i))
        refuse(path, faults, "number the entries")


def check_images(path: Path, images: list[dict]) -> None:
    if not images:
        raise DataError(f"{path}: no images: add at least one")
    repeated = duplicates(image["id"] for image in images)
    refuse(path, (f"image id {i} is there twice" for i in repeated), "ids must be unique")
    faults = (
        f"image id {image['id']}: file_name {quoted(image['file_name'])} is not a name"
        for image in images
        if not is_name(image["file_name"])
    )
    refuse(path, faults, "give the image's path, relative to the folder")
    paths = [posixpath.normpath(image["file_name"]) for image in images]
    outside = (name for name in paths if name.startswith("/") or name == ".." or name.startswith("../"))
    faults = (f"image {plain(name)} is outside the folder" for name in outside)
    refuse(path, faults, "put it, or a link to it, into the folder and give its path from there")
    repeated = duplicates(paths)
    refuse(path, (f"image {plain(name)} is there twice" for name in repeated), "list every image once")
    faults = (
        f"image id {image['id']}: width and height {quoted([image['width'], image['height']])} are no size in pixels"
        for image in images
        if not all(is_integer(image[side]) and image[side] > 0 for side in ("width", "height"))
        or image["width"] * image["height"] > MOST_PIXELS
    )
    refuse(path, faults, f"give width and height as positive integers, of {MOST_PIXELS} pixels at most")


def is_name(value: object) -> bool:
    """A path that file systems take, without control characters or breaks of lines."""
    if not isinstance(value, str) or not value or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", value):
        return False
    return len(value) <= 1000 and max(map(len, value.encode().split(b"/"))) <= 255


def check_categories(path: Path, categories: list[dict]) -> None:
    if not categories:
        raise DataError(f"{path}: no categories: add at least one")
    for key in ("id", "name"):
        repeated = duplicates(str(category[key]) for category in categories)
        faults = (f"category {key} {plain(value)} is there twice" for value in repeated)
        refuse(path, faults, f"every {key} must be unique")
    low = (f"category id {category['id']} is below 0" for category in categories if category["id"] < 0)
    refuse(path, low, "number categories from 1")
    high = (f"category id {category['id']} is too high" for category in categories if category["id"] > MOST_CATEGORIES)
    refuse(path, high, f"number categories from 1, to {MOST_CATEGORIES} at most")
    nameless = (c for c in categories if not isinstance(c["name"], str))
    refuse(path, (f"category id {c['id']}: name {quoted(c['name'])} is not text" for c in nameless), "name it")


def check_annotations(path: Path, content: dict) -> None:
    annotations = content["annotations"]
    repeated = duplicates(entry["id"] for entry in annotations)
    refuse(path, (f"annotation id {i} is there twice" for i in repeated), "ids must be unique")
    for field, listed in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in content[listed]}
        faults = (
            f"annotation id {entry['id']}: unknown {field} {quoted(entry[field])}"
            for entry in annotations
            if not is_integer(entry[field]) or entry[field] not in known
        )
        refuse(path, faults, f'add it to "{listed}" or remove the annotation')
    check_boxes(path, annotations, {image["id"]: (image["width"], image["height"]) for image in content["images"]})
    faults = (
        f"annotation id {entry['id']}: area {quoted(entry['area'])} is not a number of pixels"
        for entry in annotations
        if "area" in entry and not (is_number(entry["area"]) and 0 <= entry["area"] <= FLOAT32_MAX)
    )
    refuse(path, faults, "give square pixels, or leave area out")
    faults = (
        f"annotation id {entry['id']}: iscrowd {quoted(entry['iscrowd'])} is neither 0 nor 1"
        for entry in annotations
        if entry.get("iscrowd", 0) not in (0, 1)
    )
    refuse(path, faults, "give 0 or 1, or leave iscrowd out")


def check_boxes(path: Path, annotations: list[dict], sizes: dict[int, tuple[int, int]]) -> None:
    def faults(wrong: Callable[[dict], bool], what: str) -> Iterator[str]:
        for entry in annotations:
            if wrong(entry):
                width, height = sizes[entry["image_id"]]
                said = what.format(width=width, height=height)
                yield f"annotation id {entry['id']}: bbox {quoted(entry['bbox'])} {said}"

    def malformed(entry: dict) -> bool:
        bbox = entry["bbox"]
        return not (isinstance(bbox, list) and len(bbox) == 4 and {int, float} >= set(map(type, bbox)))

    def infinite(entry: dict) -> bool:
        return not all(map(is_finite, entry["bbox"]))

    def empty(entry: dict) -> bool:
        return entry["bbox"][2] <= 0 or entry["bbox"][3] <= 0

    def outside(entry: dict) -> bool:
        x, y, w, h = entry["bbox"]
        width, height = sizes[entry["image_id"]]
        beyond = max(-x, -y, x + w - width, y + h - height) > TOLERANCE
        return beyond or min(x + w, y + h) <= 0 or x >= width or y >= height

    refuse(path, faults(malformed, "is malformed"), "give four numbers, x, y, width, height")
    refuse(path, faults(infinite, "is not finite"), "give it finite numbers or remove it")
    refuse(path, faults(empty, "is empty"), "give it a positive width and height or remove it")
    if are_normalised(annotations, sizes):
        mend = "multiply x and width by the image's width, y and height by its height"
        refuse(path, ["boxes are parts of the image, in 0..1"], mend)
    refuse(path, faults(outside, "is outside the image of {width} x {height}"), "clip it to the image or remove it")


def are_normalised(annotations: list[dict], sizes: dict[int, tuple[int, int]]) -> bool:
    """Whether no box goes beyond 1, and not all of them are whole pixels, although an image is larger."""
    if not all(0 <= value <= 1 for entry in annotations for value in entry["bbox"]):
        return False
    broken = any(value not in (0, 1) for entry in annotations for value in entry["bbox"])
    return broken and max(map(max, sizes.values())) > 2


def check_sides(path: Path, coco: dict) -> None:
    """Boxes keep their sides in float32, wherever in the image a transform puts them, and after a change of size."""
    least = {
        image["id"]: [4 * float(np.spacing(np.float32(image[side]))) for side in ("width", "height")]
        for image in coco["images"]
    }
    faults = (
        f"annotation id {entry['id']}: bbox {quoted(entry['bbox'])} is too small to have a width and a height"
        for entry in coco["annotations"]
        if entry["bbox"][2] < least[entry["image_id"]][0] or entry["bbox"][3] < least[entry["image_id"]][1]
    )
    refuse(path, faults, "coordinates have seven digits here: make it larger or remove it")


def check_tasks(labels: Labels, tasks: Sequence[str]) -> None:
    """The labels hold what the tasks need besides boxes."""
    if "segm" in tasks:
        check_masks(labels)
    if "keypoints" in tasks:
        check_keypoints(labels)


def check_masks(labels: Labels) -> None:
    """Every annotation has a mask that fits its image; of a run-length code only the size is looked at."""
    sizes = {image["id"]: [image["height"], image["width"]] for image in labels.coco["images"]}
    unusable = (e for e in labels.coco["annotations"] if not is_mask(e.get("segmentation"), sizes[e["image_id"]]))
    mend = 'give it a "segmentation" (polygons in the image, or run-length code of its size), or load without masks'
    refuse(labels.path, (f"annotation id {entry['id']} has no usable mask" for entry in unusable), mend)


def check_runs(labels: Labels) -> None:
    """Every mask that is a run-length code fills its image; `decode_mask` looks only when a mask is served."""
    sizes = {image["id"]: image["height"] * image["width"] for image in labels.coco["images"]}
    faults = (
        f"annotation id {entry['id']}: segmentation cannot be decoded ({fault})"
        for entry in labels.coco["annotations"]
        if isinstance(entry["segmentation"], dict)
        and (fault := runs_fault(entry["segmentation"]["counts"], sizes[entry["image_id"]]))
    )
    refuse(labels.path, faults, "mend it, or do without masks")


def runs_fault(counts: object, pixels: int) -> str | None:
    try:
        whole_runs(counts, pixels)
    except ValueError as error:
        return str(error)
    return None


def is_mask(segmentation: object, size: list[int]) -> bool:
    if isinstance(segmentation, dict):
        return segmentation.get("size") == size and isinstance(segmentation.get("counts"), (str, list))
    is_list = isinstance(segmentation, list) and bool(segmentation)
    return is_list and all(is_polygon(polygon, *size) for polygon in segmentation)


def is_polygon(polygon: object, height: int, width: int) -> bool:
    """At least three points, x and y in turn, finite and in the image: pycocotools walks along the sides of any other
    until memory ends."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    if not {int, float} >= set(map(type, polygon)):
        return False
    xs, ys = polygon[0::2], polygon[1::2]
    inside = min(xs) >= -TOLERANCE and max(xs) <= width + TOLERANCE
    inside = inside and min(ys) >= -TOLERANCE and max(ys) <= height + TOLERANCE
    return inside and math.isfinite(sum(polygon))  # NaN passes min and max


def check_keypoints(labels: Labels) -> None:
    """Some category names its keypoints, and annotations that have them have three numbers for each."""
    named = {one["name"]: one["keypoints"] for one in labels.coco["categories"] if "keypoints" in one}
    if not any(named.values()):
        raise DataError(f'{labels.path}: no category has "keypoints": name them, or load without the task "keypoints"')
    bad = (f"category {quoted(name)}: keypoints {quoted(own)}" for name, own in named.items() if not is_names(own))
    refuse(labels.path, bad, "list the names of its points")
    first = next(own for own in named.values() if own)
    other = (name for name, own in named.items() if own not in ([], first))
    faults = (f"category {quoted(name)} has other keypoints than another category" for name in other)
    refuse(labels.path, faults, "give all categories with keypoints the same")
    numbers = 3 * len(first)
    faults = (
        f"annotation id {entry['id']}: keypoints {quoted(entry['keypoints'])}"
        for entry in labels.coco["annotations"]
        if "keypoints" in entry and not is_points(entry["keypoints"], numbers)
    )
    refuse(labels.path, faults, f"give {numbers} finite numbers: x, y and visibility (0, 1 or 2) of each point")


def is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def is_points(value: object, numbers: int) -> bool:
    right = isinstance(value, list) and len(value) == numbers and all(is_number(v) and is_finite(v) for v in value)
    return right and all(visibility in (0, 1, 2) for visibility in value[2::3])


def check_image_files(folder: Path, labels: Labels) -> None:
    """Every image is there, complete, of 8 bits a channel and of its label's size: files are read at both ends only."""
    images = labels.coco["images"]
    missing = (image for image in images if not (folder / image["file_name"]).is_file())
    faults = (f"image {plain(image['file_name'])} of image id {image['id']} is missing" for image in missing)
    refuse(labels.path, faults, f"put it into {folder}, or remove its image and annotations from the labels")
    faults = [image_fault(folder / image["file_name"], image["width"], image["height"]) for image in images]
    faults = [fault for fault in faults if fault]
    if faults:
        raise DataError(faults[0] + (f" (unusable images: {len(faults)})" if len(faults) > 1 else ""))


def image_fault(path: Path, width: int, height: int) -> str | None:
    """One line that says what is wrong with the image and how to mend it, or None."""
    name = shown(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.size != (width, height):
                size = f"{image.width} x {image.height}"
                return f"{name}: the image is {size}, its label says {width} x {height}: mend one of the two"
            if image.mode not in ("RGB", "L"):
                return f"{name}: the image's mode is {image.mode}: save it with 3 channels of 8 bits (RGB)"
            mark = END_MARK.get(image.format)
            if mark is None:
                image.load()  # a format whose end cannot be told: decode it all
            elif mark not in tail(path):
                return f"{name}: the image is truncated: replace it"
    except UnidentifiedImageError:
        return f"{name}: is no image ({', '.join(FORMATS)}): replace it"
    except Exception as error:  # a damaged file makes PIL raise nearly anything
        return f"{name}: cannot be read ({quoted(' '.join(str(error).split()))}): replace it"
    return None


def tail(path: Path, count: int = 64) -> bytes:
    """The last bytes: some writers pad a file after its end mark."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read()
