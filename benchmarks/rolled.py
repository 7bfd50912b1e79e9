"""What trained detectors make of the same val frames turned by some columns, which is an exact symmetry of a ring.

    python benchmarks/rolled.py OUT.csv RUN_FOLDER [RUN_FOLDER ...] [--columns 0 64 300] [--every 3]

Writes a row for each run and number of columns: recipe, seed, columns, frames, map, car (the AP of cars), and the same
two where boxes at the seam of the frame as it was recorded do not count. RUN_FOLDER is what `python -m tdt4265.train`
left: checkpoint and record. Frames are every third of its dataset's val split.
"""

import argparse
from pathlib import Path

import pandas as pd
from torch.utils.data import Dataset

from tdt4265 import data, evaluation
from tdt4265.recipes import ALL_RECIPES
from tdt4265.ring import roll
from tdt4265.training import load_checkpoint


class Rolled(Dataset):
    """Every n-th frame of a dataset, turned; `coco` holds the labels that go with it."""

    def __init__(self, dataset: data.CocoDetection, columns: int, every: int):
        self.columns, self.width = columns, dataset.coco["images"][0]["width"]
        self.frames = [roll(*dataset[index], columns) for index in range(0, len(dataset), every)]
        self.coco = {"info": {}, "images": [], "annotations": [], "categories": dataset.coco["categories"]}
        for image, target in self.frames:
            height, width = image.shape[-2:]
            self.coco["images"].append({"id": target["image_id"], "width": width, "height": height, "file_name": ""})
            per_box = (target[key].tolist() for key in ("boxes", "labels", "area", "iscrowd"))
            for (x1, y1, x2, y2), label, area, crowd in zip(*per_box, strict=True):
                entry = {"id": len(self.coco["annotations"]) + 1, "image_id": target["image_id"], "category_id": label}
                entry |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": crowd}
                self.coco["annotations"].append(entry)

    def leave_out_the_seam(self) -> int:
        """Makes boxes at the seam that the frames were recorded with crowds, which COCO's metrics leave out."""
        at_seam = [entry for entry in self.coco["annotations"] if self._reaches_the_old_seam(entry["bbox"])]
        for entry in at_seam:
            entry["iscrowd"] = 1
        return len(at_seam)

    def _reaches_the_old_seam(self, bbox: list[float]) -> bool:
        left, right = bbox[0], bbox[0] + bbox[2]
        return any(left <= seam + 1 and right >= seam - 1 for seam in (self.columns, self.columns + self.width))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int):
        return self.frames[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--columns", type=int, nargs="+", default=[0, 64, 300])
    parser.add_argument("--every", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for folder in options.runs:
        state = load_checkpoint(Path(folder))
        header = state["header"]
        recipe = ALL_RECIPES[header["recipe"]]
        model = (recipe if header["size"] == "report" else recipe.small()).build_model(pretrained=False)
        model.load_state_dict(state["model"])
        _, val = data.load(header["dataset"]["name"])
        for columns in options.columns:
            turned = Rolled(val, columns, options.every)
            results = evaluation.predict(model, turned)
            row = {"recipe": header["recipe"], "seed": header["seed"], "columns": columns, "frames": len(turned)}
            metrics = evaluation.coco_metrics(turned.coco, results)
            row |= {"map": metrics.map, "car": metrics.per_class["car"]}
            row |= {"at the seam": turned.leave_out_the_seam(), "boxes": len(turned.coco["annotations"])}
            metrics = evaluation.coco_metrics(turned.coco, results)
            rows.append({**row, "map off the seam": metrics.map, "car off the seam": metrics.per_class["car"]})
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(options.out, index=False, float_format="%.6f")


if __name__ == "__main__":
    main()
