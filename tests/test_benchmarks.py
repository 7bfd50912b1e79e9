"""The figures that benchmarks compute before they print them."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import transfer


class Frames(list):
    def __init__(self, frames):
        super().__init__(frames)
        self.categories = {1: "car", 7: "person"}


def target(image_id, *boxes):
    """One frame's labels, from (label, x1, y1, x2, y2)."""
    return torch.empty(0), {
        "image_id": torch.tensor(image_id),
        "labels": torch.tensor([label for label, *_ in boxes]),
        "boxes": torch.tensor([box for _, *box in boxes], dtype=torch.float32).reshape(-1, 4),
    }


def result(image_id, label, x1, y1, x2, y2, score):
    return {"image_id": image_id, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}


def test_edge_errors_use_the_best_scored_detection_that_overlaps():
    cars = target(1, (1, 10, 50, 30, 70), (7, 100, 40, 110, 90)), target(2), target(3, (1, 0, 0, 9, 9))
    frames = Frames(cars)
    results = [
        result(1, 1, 11, 48, 30, 73, 0.9),  # overlaps by 0.75
        result(1, 1, 10, 50, 30, 70, 0.2),  # exact, but less sure
        result(1, 1, 60, 50, 80, 70, 0.99),  # elsewhere
        result(1, 7, 10, 50, 30, 70, 0.95),  # another class
        result(2, 1, 0, 0, 9, 9, 0.9),  # another frame
    ]
    errors = transfer.edge_errors(frames, results)
    assert errors.to_dict("records") == [
        {"class": "car", "height": 20.0, "left": 1.0, "top": -2.0, "right": 0.0, "bottom": 3.0}
    ], "the person and the third frame's car are not found"


def test_edge_table_groups_errors_by_class_and_height():
    rows = [("car", 20, 1, 2), ("car", 24, 3, 4), ("car", 30, -9, 0), ("person", 25, 5, 5)]
    errors = pd.DataFrame(
        [{"frames of": "real", "class": c, "height": h, "left": 0, "top": top, "right": 0, "bottom": bottom}
         for c, h, top, bottom in rows]
    )  # fmt: skip
    table = transfer.edge_table(errors).set_index(["class", "height"])
    assert table.loc["car", "n"].to_dict() == {"under 25": 2, "25 to 45": 1, "all": 3}
    assert table.loc[("car", "under 25"), ["top", "bottom"]].tolist() == [2, 3]
    assert table.loc[("car", "all"), "top"] == pytest.approx(1)
    assert table.loc["person", "n"].to_dict() == {"25 to 45": 1, "all": 1}
