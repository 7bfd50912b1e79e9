"""The simulator's sensor and its folders, in worlds small enough to know what must come out."""

import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tdt4265.lidar import check, folder, sensor
from tdt4265.lidar.__main__ import main
from tdt4265.lidar.scene import Material, Mesh, World

HEIGHT = 2.0
MATERIALS = [
    Material("asphalt", 0.2), Material("wall", 0.5, grain=0.0), Material("paint", 0.4),
    Material("mirror", 0.1, retroreflection=10.0), Material("window", 0.1, dropout=1.0),
]  # fmt: skip


def box(x, y, z, size, material):
    """An upright box [length, width, height] whose base stands centred on x, y, z."""
    corners = np.array([[i, j, k] for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (0, 1)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    faces += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    vertices = (corners * size + (x, y, z)).astype(np.float32)
    return Mesh(vertices, np.array(faces, np.int32), np.full(12, material, np.int16))


def join(*meshes):
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
        np.concatenate([m.materials for m in meshes]),
    )


class Box:
    """A road user that is a box and drives along x."""

    def __init__(self, category, x, y, size, material=2, speed=0.0):
        self.category, self.x, self.y, self.size, self.material, self.speed = category, x, y, size, material, speed

    def mesh(self, t):
        return box(self.x + self.speed * t, self.y, 0, self.size, self.material)


def world(*users, static=(), **changes):
    ground = box(0, 0, -1, (600, 600, 1), 0)
    defaults = {
        "materials": MATERIALS,
        "static": join(ground, *static),
        "users": list(users),
        "sensor_path": np.tile([0.0, 0.0, HEIGHT, 0.0], (10, 1)),
        "sun": np.array([0.6, 0.0, 0.8]),
        "clouds": 0.2,
    }
    return World(**{**defaults, **changes})


def street(clip, split, seed, frames):
    """A tiny world of its own for each clip."""
    place = clip + (5 if split == "val" else 0) + 0.1 * seed
    return world(
        Box(1, -8, 0, (4, 2, 1.5), speed=0.3), Box(7, 9, 3 + place, (0.5, 0.5, 1.8)), Box(0, 6, -4, (1, 1, 1)),
        static=[box(30, 0, 0, (1, 20 + place, 9), 1)], cloud_seed=clip,
    )  # fmt: skip


def shot(w, t=0.0, seed=0):
    return sensor.Sensor(w).render(t, np.random.default_rng(seed))


def column_of(azimuth):
    """Column (fractional) in which a direction, in radians counter-clockwise from ahead, is seen."""
    return (np.pi - azimuth) / (2 * np.pi) * 1024 % 1024


def test_ground_and_wall_are_where_geometry_puts_them():
    frame = shot(world(static=[box(20.5, 0, 0, (1, 40, 30), 1)]))
    depression = np.radians(22.5 - 0.5 * 45 / 128)  # of the lowest row
    assert frame.range[127, 200] == pytest.approx(HEIGHT / np.sin(depression), rel=1e-4)
    assert 4.9 < frame.range[127, 200] < 5.5
    rays = sensor.beams()
    expected = 20 / rays[20:60, 450:575, 0]  # the wall's near face lies at x = 20
    np.testing.assert_allclose(frame.range[20:60, 450:575], expected, rtol=1e-4)
    assert np.isinf(frame.range[:60, :100]).all(), "nothing but sky behind"


def test_a_box_lands_in_the_columns_and_rows_of_its_corners():
    frame = shot(world(Box(7, 10, 5, (1, 1, 1.8))))
    x, y = np.meshgrid([9.5, 10.5], [4.5, 5.5])
    columns = column_of(np.arctan2(y, x)).ravel()
    seen = np.flatnonzero((frame.users == 0).any(0))
    assert abs(seen[0] - columns.min()) <= 1 and abs(seen[-1] + 1 - columns.max()) <= 1
    feet = np.degrees(np.arctan2(HEIGHT, np.hypot(9.5, 4.5)))
    rows = np.flatnonzero((frame.users == 0).any(1))
    assert abs(rows[-1] + 1 - (64 + feet / 45 * 128)) <= 1


def test_heading_turns_the_picture():
    turned = world(Box(1, 10, 0, (2, 2, 1.5)), sensor_path=np.tile([0, 0, HEIGHT, np.pi / 2], (10, 1)))
    columns = np.flatnonzero((shot(turned).users == 0).any(0))
    assert columns.mean() == pytest.approx(768, abs=1), "ahead is +y, so +x lies to the right"


def test_tilt_moves_the_horizon_down():
    level, tilted = (shot(world(noise={"tilt": degrees})) for degrees in (0.0, 45 / 128 * 4))
    np.testing.assert_array_equal(np.isinf(level.range[:-4]), np.isinf(tilted.range[4:]))
    assert np.isfinite(level.range[66]).all() and np.isinf(tilted.range[66]).all()


def test_the_sensor_drives_between_the_points_of_its_path():
    path = np.array([[0, 0, HEIGHT, np.pi - 0.1], [2, 0, HEIGHT, -np.pi + 0.1]])
    np.testing.assert_allclose(sensor.Sensor(world(sensor_path=path)).pose(0.05), [1, 0, HEIGHT, np.pi])


def test_channels_of_sky_glass_and_mirrors():
    walls = [box(0, 15, 0, (4, 1, 8), 4), box(0, -15, 0, (4, 1, 8), 3), box(15, 0, 0, (1, 8, 8), 1)]
    frame = shot(world(static=walls))
    image = frame.image.astype(int)
    sky = np.isinf(frame.range)
    assert (image[sky][:, 2] == 0).all() and image[sky][:, 1].mean() > 150
    glass, mirror, wall = image[45:60, 250:262], image[45:60, 762:774], image[45:60, 500:524]
    assert image[sky][:, 0].mean() < 0.3 * wall[..., 0].mean()
    assert glass[..., 0].mean() < 0.3 * wall[..., 0].mean()
    # Half of the light comes back from the room behind the pane, from various depths.
    assert 0.3 < (glass[..., 2] == 0).mean() < 0.7 and np.ptp(glass[..., 2][glass[..., 2] > 0]) > 10
    assert (mirror[..., 0] == 255).all() and (wall[..., 2] > 0).mean() > 0.95


def test_ambient_light_has_shadows():
    sun = np.array([0.6, 0.0, 0.8])
    frame = shot(world(static=[box(8, 0, 0, (0.5, 6, 3), 1)], sun=sun))
    # The box's shadow falls towards -x, 3 * 0.6 / 0.8 = 2.25 m long: x = 5.5 to 7.75.
    ahead = frame.image[:, 512, 1].astype(float)
    reach = frame.range[:, 512] * sensor.beams()[:, 512, 0]
    ground = frame.range[:, 512] * sensor.beams()[:, 512, 2] < -1.99
    shadow = ground & (reach > 5.7) & (reach < 7.5)
    assert shadow.sum() > 10 and (ground & (reach < 5.4)).sum() > 2
    assert ahead[shadow].mean() < 0.6 * ahead[ground & (reach < 5.4)].mean()


def test_weak_returns_are_lost():
    near, far = (shot(world(static=[box(x, 0, 0, (1, 60, 60), 0)])) for x in (20, 250))
    middle = np.s_[40:60, 500:524, 2]
    assert (near.image[middle] == 0).mean() < 0.05 and (far.image[middle] == 0).mean() > 0.9


def test_exposure_is_linear_between_two_percentiles():
    channel = np.linspace(0, 1, 1001).reshape(7, 143)
    picture = sensor.expose(channel, 5, 90)
    assert picture.ravel()[50] == 0 and picture.ravel()[900] == round(0.9 * 255) and picture.max() == 255
    expected = np.clip((channel - 0.05) / 0.85 * 0.9, 0, 1) * 255
    np.testing.assert_allclose(picture, expected, atol=0.51)
    empty = sensor.expose(channel, 5, 90, measured=np.zeros_like(channel, bool))
    assert (empty == 0).all()


def test_a_material_the_world_lacks_is_named():
    with pytest.raises(ValueError, match="material 7"):
        sensor.Sensor(world(static=[box(9, 0, 0, (1, 1, 1), 7)]))


def test_a_road_user_across_the_seam_gets_a_box_at_either_edge():
    frame = shot(world(Box(1, -8, 0.5, (4, 2, 1.5)), Box(7, 9, 3, (0.5, 0.5, 1.8))))
    found = folder.labels(frame.users, frame.unhidden, [1, 7])
    assert [a["category_id"] for a in found] == [1, 1, 7]
    left, right, person = (a["bbox"] for a in found)
    assert left[0] == 0 and right[0] + right[2] == 1024 and left[2] + right[2] < 200
    masks = [coco_mask.decode(a["segmentation"]) for a in found]
    np.testing.assert_array_equal(masks[0] + masks[1], frame.users == 0)
    np.testing.assert_array_equal(masks[2], frame.users == 1)
    assert coco_mask.toBbox(found[2]["segmentation"]).tolist() == person, "pycocotools finds the same box"
    assert found[2]["area"] == person[2] * person[3]


def test_what_stands_in_front_takes_pixels_and_shrinks_the_box():
    person = Box(7, 12, 0, (0.6, 0.6, 1.8))
    alone, hidden = shot(world(person)), shot(world(person, Box(1, 9, 0, (1, 2, 1.0))))
    whole, part = (frame.users == 0 for frame in (alone, hidden))
    assert 0 < part.sum() < whole.sum() and not (part & ~whole).any()
    assert (hidden.users[whole & ~part] == 1).all()
    boxes = [folder.labels(frame.users, frame.unhidden, [7, 1])[0]["bbox"] for frame in (alone, hidden)]
    assert boxes[1][1] == boxes[0][1] and boxes[1][3] < boxes[0][3], "the head is seen, the legs are not"


def test_what_is_tiny_or_of_no_category_gets_no_label():
    users = np.full((128, 1024), -1)
    users[10:30, 10:20], users[10:30, 50], users[60:65, 60:90], users[70:76, 70:72] = 0, 1, 2, 3
    assert [a["category_id"] for a in folder.labels(users, users, [0, 7, 7, 5])] == [5]
    assert [a["category_id"] for a in folder.labels(users, users, [3, 7, 7, 5])] == [3, 5]


def test_what_the_street_hides_nearly_wholly_gets_no_label():
    frame = shot(world(Box(7, 12, 0, (0.6, 0.6, 1.8)), static=[box(9, 0, 0, (1, 2, 1.6), 1)]))
    whole, seen = (frame.unhidden == 0).sum(), (frame.users == 0).sum()
    assert 0 < seen < 0.2 * whole
    assert folder.labels(frame.users, frame.unhidden, [7]) == []
    assert len(folder.labels(frame.unhidden, frame.unhidden, [7])) == 1


def digest(out):
    """Every visible file of a folder with its hash."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return folder.generate(tmp_path_factory.mktemp("sim") / "a", 2, 1, 3, 5, workers=1, make_world=street)


def test_the_layout_is_the_real_datasets(finished):
    names = [path for path in digest(finished) if not path.startswith(".")]
    pictures = [f"images/train/sim_Video0000{c}_{f}.png" for c in range(2) for f in range(3)]
    pictures += [f"images/val/sim_Video00002_{f}.png" for f in range(3)]
    assert sorted(names) == sorted([*pictures, "train_annotations.json", "val_annotations.json"])
    content = json.loads((finished / "train_annotations.json").read_text())
    assert [i["file_name"] for i in content["images"]] == pictures[:6]
    assert content["images"][0] == {"id": 1, "width": 1024, "height": 128, "file_name": pictures[0]}
    assert content["categories"][0] == {"id": 1, "name": "car", "supercategory": ""} and len(content["categories"]) == 8
    ids = [a["id"] for a in content["annotations"]]
    assert len(set(ids)) == len(ids) >= 12
    assert {a["image_id"] for a in content["annotations"]} == set(range(1, 7))


def test_workers_and_interruption_change_nothing(finished, tmp_path):
    """Killed in the middle, gone on with by two processes: the files of an undisturbed run, and no others."""
    command = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_lidar; from tdt4265.lidar import folder\n"
        "folder.generate(sys.argv[1], 2, 1, 3, 5, workers=1, make_world=test_lidar.street)"
    )
    out = tmp_path / "b"
    arguments = [sys.executable, "-c", command, str(out), os.path.dirname(__file__)]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("images/train/*.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = list(out.glob("images/*/*.png"))
    assert 2 <= len(done) < 9 and not (out / "val_annotations.json").exists()
    whole = digest(finished)
    assert all(digest(out)[str(p.relative_to(out))] == whole[str(p.relative_to(out))] for p in done)

    with pytest.raises(ValueError, match="was begun with seed 5, not seed 6"):
        folder.generate(out, 2, 1, 3, 6, make_world=street)
    folder.generate(out, 2, 1, 3, 5, workers=2, make_world=street)
    assert digest(out) == whole


def test_a_finished_folder_is_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    folder.generate(finished, 2, 1, 3, 5, make_world=street)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_clips_and_seeds_differ(finished, tmp_path):
    names = ("train/sim_Video00000_0", "train/sim_Video00001_0", "val/sim_Video00002_0")
    files = digest(finished)
    assert len({files[f"images/{name}.png"] for name in names}) == 3
    other = folder.generate(tmp_path / "other", 1, 0, 1, 6, workers=1, make_world=street)
    assert digest(other)[f"images/{names[0]}.png"] != files[f"images/{names[0]}.png"]
    assert not (other / "val_annotations.json").exists(), "no val clips, no val labels"


def test_the_sample_is_a_frame_of_each_of_twelve_clips(tmp_path):
    out = folder.sample(tmp_path, workers=1, make_world=street)
    names = [p.stem for split in ("train", "val") for p in sorted(out.glob(f"images/{split}/*.png"))]
    assert names == [f"sim_Video{clip:05d}_50" for clip in range(12)]
    assert len(json.loads((out / "val_annotations.json").read_text())["images"]) == 4


def test_the_command_writes_a_street(tmp_path, capsys):
    out = tmp_path / "sim"
    assert main([str(out), "--train-clips", "1", "--val-clips", "0", "--frames", "1", "--workers", "1"]) == 0
    assert json.loads((out / "train_annotations.json").read_text())["annotations"], "somebody is always about"
    assert main([str(out), "--train-clips", "2"]) == 2
    assert "was begun with train_clips 1, val_clips 0, frames 1, not" in capsys.readouterr().err


def test_bad_requests_get_one_line(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("not to be mixed with frames")
    with pytest.raises(ValueError, match="holds other files"):
        folder.generate(tmp_path, make_world=street)
    with pytest.raises(ValueError, match="frames is 0: give 1 or more"):
        folder.generate(tmp_path / "c", frames=0, make_world=street)
    assert main(["--check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "train_annotations.json: isn't there" in error and error.count("\n") == 1


def test_check_measures_and_flags(finished, capsys):
    rows = {row.name: row for row in check.measure(finished)}
    content = json.loads((finished / "train_annotations.json").read_text())
    assert rows["boxes a frame"].measured == len(content["annotations"]) / 6 and not rows["boxes a frame"].ok
    assert rows["motorcycle share"].ok and not rows["bus share"].ok, "an absent class is off, save the motorcycle"
    pixels = np.stack([np.asarray(folder.Image.open(p)) for p in sorted(finished.glob("images/train/*.png"))]) / 255
    for channel, name in enumerate(check.CHANNELS):
        assert rows[f"{name} mean"].measured == pytest.approx(pixels[..., channel].mean())
        assert rows[f"{name} std"].measured == pytest.approx(pixels[..., channel].std())
    assert rows["zero range share"].measured == pytest.approx((pixels[..., 2] == 0).mean())
    assert main(["--check", str(finished)]) == 1
    table = capsys.readouterr().out
    assert "bus share" in table and " off" in table and " ok" in table


def test_tolerances_include_their_ends():
    assert check.within("", 0.06, 0.0, 0.06).ok and not check.within("", 0.061, 0.0, 0.06).ok
    assert check.factor("", 15, 10, 1.5).ok and check.factor("", 10 / 1.5, 10, 1.5).ok
    assert not check.factor("", 15.1, 10, 1.5).ok and not check.factor("", float("nan"), 10, 1.5).ok
    assert check.between("", 9, 9, 15).ok and not check.between("", 15.1, 9, 15).ok


def test_labels_are_copied_without_masks(finished, tmp_path):
    folder.copy_labels(finished, tmp_path / "labels")
    whole = json.loads((finished / "train_annotations.json").read_text())
    copied = json.loads((tmp_path / "labels" / "train_annotations.json").read_text())
    assert copied["images"] == whole["images"] and len(copied["annotations"]) == len(whole["annotations"]) > 0
    assert [a["bbox"] for a in copied["annotations"]] == [a["bbox"] for a in whole["annotations"]]
    assert all(a["segmentation"] == [] for a in copied["annotations"])
