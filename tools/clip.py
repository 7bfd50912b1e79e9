"""Makes the README's clip, assets/detections.webp: a drive through a street of its own, seen by a trained detector.

    python tools/clip.py
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image

import tdt4265
from tdt4265 import detect, lidar

OUT = Path(__file__).resolve().parents[1] / "assets" / "detections.webp"
SEED, FRAMES = 11, 24  # no training saw a street of this seed
WIDTH = 860  # pixels, as wide as GitHub shows a README


def main() -> None:
    model = tdt4265.load("bifpn")
    with tempfile.TemporaryDirectory() as folder:
        lidar.generate(folder, train_clips=1, train_frames=1, val_clips=1, val_frames=FRAMES, interval=0.1, seed=SEED)
        given, _ = detect.pictures([f"{folder}:val"])
        how = {"score_thresh": 0.3, "device": torch.device("cpu"), "clip": True}
        _, _, frames = detect.look(model, given, Path(folder) / "detections", **how)
    sizes = [(WIDTH, round(WIDTH * len(frame) / frame.shape[1])) for frame in frames]
    small = [Image.fromarray(f).resize(size, Image.Resampling.LANCZOS) for f, size in zip(frames, sizes, strict=True)]
    first, *rest = small[::2]
    first.save(OUT, save_all=True, append_images=rest, duration=200, loop=0, quality=60, method=6)


if __name__ == "__main__":
    main()
