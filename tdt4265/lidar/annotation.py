"""The annotations of a frame: boxes as a person would draw them by hand, visible masks, keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from .sensor import COLUMNS, ROWS, Frame

CATEGORIES = ("car", "truck", "bus", "motorcycle", "bicycle", "scooter", "person", "rider")  # ids 1 to 8
HUMANS = ("person", "rider")
# COCO's lines between keypoints, by their numbers from 1.
SKELETON = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10]]
SKELETON += [[9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]]

# Nobody draws a box that is smaller than this: about the first percentile of the real boxes.
MIN_PIXELS, MIN_WIDTH = 6, 2.0
MIN_HEIGHT = {"person": 8.0, "rider": 8.0}  # of the others:
MIN_HEIGHT_ELSE = 7.0
# A road user of which less than this share is visible is not recognised, unless it is that many pixels.
MIN_SHARE, ENOUGH_PIXELS = 0.35, 200
FILLED = 0.6  # share of its box that a road user fills when nothing hides it
POINTS_HEIGHT = 16.0  # rows; nobody could point at the wrists of someone smaller


@dataclass(frozen=True)
class Slack:
    """How far a hand-drawn box lies outside its road user: pixels, negative where the box cuts into it.

    heights: of the road user, in rows. aside (left and right), above, below: the slack at each of those heights,
    linear between them and constant beyond. jitter: standard deviation of each edge.
    """

    heights: tuple[float, ...]
    aside: tuple[float, ...]
    above: tuple[float, ...]
    below: tuple[float, ...]
    jitter: float

    def at(self, height: float) -> np.ndarray:
        """Slack of the left, upper, right and lower edge, float64 [4]."""
        aside, above, below = (np.interp(height, self.heights, slack) for slack in (self.aside, self.above, self.below))
        return np.array([aside, above, aside, below])


# Cars and riders: fitted to the median lower edge of the real boxes by height (`check.LOWER_EDGE`). Cars and persons:
# also to the edges that detectors trained on simulated frames predict for real objects (`benchmarks/transfer.py`), on
# 14 frames of a few objects. For persons that is the only evidence: lower edges alone would ask for less.
# Nothing was measured for the other classes: above and below, their slack is constant.
SLACK = {
    "car": Slack((22, 40, 60), aside=(1.9, 1.7, 1.5), above=(-0.9, -0.3, 1.4), below=(0.1, 0.1, 1.4), jitter=0.8),
    "person": Slack((20, 30, 46), aside=(0.8, 1.0, 1.1), above=(-1.8, -0.6, 2.5), below=(0.2, 0.5, 2.3), jitter=0.5),
    "rider": Slack((20, 30, 46), aside=(1.0, 1.2, 1.4), above=(-1.0, 0.0, 1.4), below=(0.2, 0.6, 1.2), jitter=0.5),
    "bicycle": Slack((10, 30), aside=(1.1, 1.8), above=(0.8, 0.8), below=(0.8, 0.8), jitter=0.5),
    "scooter": Slack((10, 30), aside=(0.8, 0.8), above=(0.8, 0.8), below=(0.8, 0.8), jitter=0.5),
}
SLACK_ELSE = Slack((10, 30), aside=(1.4, 1.4), above=(1.4, 1.4), below=(1.4, 1.4), jitter=0.8)


def labels(frame: Frame, categories: list[int], rng: np.random.Generator) -> list[dict]:
    """Annotations, in COCO format but without ids, of what a frame shows.

    categories: each road user's, 0 for one without labels. rng: for the unevenness of boxes drawn by hand.

    As in the real dataset a box encloses the whole of its road user, whatever hides a part of it, and ends at the
    image's edges; one across the seam of the ring gets a box at either edge. A road user of whom less than about a
    third (`MIN_SHARE`) is seen gets none, unless that is 200 pixels, nor do parts of less than 6 visible pixels,
    narrower than 2 columns or lower than 7 rows (people: 8). `segmentation` is the visible part, as far as it lies in
    the box. People and riders at least `POINTS_HEIGHT` rows high have `keypoints` and `num_keypoints`; of one across
    the seam each part has its own.
    Beyond COCO's format: `track_id` (the road user's index) and `distance` (metres).
    """
    found = []
    for user in np.unique(frame.users[frame.users >= 0]):
        mask = frame.users == user
        if not categories[user] or mask.sum() < min(MIN_SHARE * _silhouette(frame, user), ENOUGH_PIXELS):
            continue
        name = CATEGORIES[categories[user] - 1]
        for (x1, y1, x2, y2), part in split_at_seam(loosened(frame.boxes[user], name, rng), mask):
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            least = MIN_HEIGHT.get(name, MIN_HEIGHT_ELSE)
            if part.sum() < MIN_PIXELS or width < MIN_WIDTH or height < least:
                continue
            code = coco_mask.encode(np.asfortranarray(part & _within(x1, y1, x2, y2), np.uint8))
            points = frame.keypoints.get(user) if height >= POINTS_HEIGHT else None
            found.append(
                {
                    "category_id": int(categories[user]),
                    "bbox": [round(x1, 2), round(y1, 2), width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "segmentation": {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode()},
                    "track_id": int(user),
                    "distance": round(float(frame.distances[user]), 1),
                    **({} if points is None else _keypoints_of(points, x1, x2)),
                }
            )
    return found


def _within(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    """The pixels whose middle lies in a box: bool [128, 1024]."""
    rows, columns = np.arange(ROWS) + 0.5, np.arange(COLUMNS) + 0.5
    return ((rows > y1) & (rows < y2))[:, None] & ((columns > x1) & (columns < x2))


def _keypoints_of(points: np.ndarray, x1: float, x2: float) -> dict:
    """COCO's entries of those of a human's keypoints [17, 3] (as in `Frame`) that lie in a part of its box, from x1 to
    x2: of one that lies elsewhere, or above or below the image, three zeros."""
    x, y, visibility = points.T
    x = x - COLUMNS * np.round((x - (x1 + x2) / 2) / COLUMNS)
    inside = (x >= max(x1 - 1, 0)) & (x < min(x2 + 1, COLUMNS)) & (y >= 0) & (y < ROWS)
    # Whole numbers are the middles of pixels.
    rows = np.stack([(x - 0.5).round(1), (y - 0.5).round(1), visibility], axis=1) * inside[:, None]
    flat = [int(value) if place % 3 == 2 else float(value) for place, value in enumerate(rows.ravel())]
    return {"keypoints": flat, "num_keypoints": int(inside.sum())}


def _silhouette(frame: Frame, user: int) -> float:
    """About how many pixels a road user would take if nothing hid it."""
    x1, y1, x2, y2 = frame.boxes[user]
    filled = FILLED * (x2 - x1) * (np.clip(y2, 0, ROWS) - np.clip(y1, 0, ROWS))
    return max(float((frame.unhidden == user).sum()), filled)


def loosened(box: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """The box x1, y1, x2, y2 as somebody would draw it, upper and lower edge within the image."""
    slack = SLACK.get(name, SLACK_ELSE)
    drawn = box + slack.at(box[3] - box[1]) * [-1, -1, 1, 1] + rng.normal(0, slack.jitter, 4)
    drawn[[1, 3]] = np.clip(drawn[[1, 3]], 0, ROWS)
    return drawn


def split_at_seam(box: np.ndarray, mask: np.ndarray) -> list[tuple[list[float], np.ndarray]]:
    """Box and mask [H, W] of what lies within the image: as one part, or as a left and a right one across the seam.

    box: x1, y1, x2, y2 with x1 < 0 or x2 > W where it runs across.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    turn = np.floor(x1 / COLUMNS) * COLUMNS
    x1, x2 = x1 - turn, x2 - turn
    if x2 <= COLUMNS:
        return [([x1, y1, x2, y2], mask)]
    left, right = mask.copy(), mask.copy()
    gap = round((x1 + x2 - COLUMNS) / 2)  # the middle of the columns that the box does not reach
    left[:, gap:], right[:, :gap] = False, False
    return [([0.0, y1, min(x2 - COLUMNS, COLUMNS), y2], left), ([x1, y1, float(COLUMNS), y2], right)]
