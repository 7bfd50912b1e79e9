"""Write a simulated dataset of LiDAR panoramas, or print its figures beside the real dataset's (--check)."""

from __future__ import annotations

import argparse
import sys

from . import check, folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.lidar", description=__doc__)
    parser.add_argument("out", metavar="OUT", help="folder to write, or to check")
    shape = folder.STREETS
    parser.add_argument("--train-clips", type=int, help=f"streets to train on; default: {shape['train_clips']}")
    parser.add_argument("--val-clips", type=int, help=f"streets to evaluate on; default: {shape['val_clips']}")
    parser.add_argument(
        "--frames",
        type=int,
        help=f"of each clip; default: {shape['train_frames']} of train, {shape['val_frames']} of val",
    )
    parser.add_argument("--interval", type=float, help=f"seconds between frames; default: {shape['interval']:g}")
    parser.add_argument(
        "--clips", action="store_true", help="the real dataset's shape: 16 + 3 clips of 100 frames, 10 a second"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--workers", type=int, help="processes; default: one for each core")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--check", action="store_true", help="print OUT's figures beside the wanted; 1 if any is off")
    other.add_argument("--sample", action="store_true", help="write the repository's small sample instead")
    args = parser.parse_args(arguments)
    given = {"train_clips": args.train_clips, "val_clips": args.val_clips, "interval": args.interval}
    given |= {"train_frames": args.frames, "val_frames": args.frames}
    shape = (folder.CLIPS if args.clips else folder.STREETS) | {k: v for k, v in given.items() if v is not None}
    try:
        if args.check:
            rows = check.measure(args.out)
            print(check.table(rows))
            return 1 if any(row.ok is False for row in rows) else 0
        if args.sample:
            folder.sample(args.out, args.workers)
        else:
            folder.generate(args.out, **shape, seed=args.seed, workers=args.workers)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: the same command goes on with {args.out}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
