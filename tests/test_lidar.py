"""The simulator's sensor and its folders, in worlds small enough to know what must come out."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_erosion

from tdt4265 import data
from tdt4265.lidar import annotation, check, folder, optics, people, road_users, sensor, shapes, tracing
from tdt4265.lidar.__main__ import main
from tdt4265.lidar.scene import Material, Mesh, World
from tdt4265.paths import FolderError, claim, write_whole

HEIGHT = 2.0
MATERIALS = [
    Material("asphalt", 0.2), Material("wall", 0.5, grain=0.0), Material("paint", 0.4, gloss=True),
    Material("mirror", 0.1, retroreflection=10.0), Material("window", 0.1, dropout=1.0, pane=True, gloss=True),
    Material("cloth", 0.5, grain=0.0), Material("leaves", 0.5, grain=0.0, translucent=True),
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


def street(clip, split, seed, seconds):
    """A tiny world of its own for each clip."""
    place = clip + (5 if split == "val" else 0) + 0.1 * seed
    return world(
        Box(1, -18, 0, (4, 2, 1.5), speed=0.6), Box(7, 19, 3 + place, (0.5, 0.5, 1.8)), Box(0, 16, -4, (1, 1, 1)),
        static=[box(30, 0, 0, (1, 20 + place, 9), 1)], cloud_seed=clip,
    )  # fmt: skip


def shot(w, t=0.0, seed=0):
    return sensor.Sensor(w).render(t, np.random.default_rng(seed))


def column_of(azimuth):
    """Column (fractional) in which a direction, in radians counter-clockwise from ahead, is seen."""
    return (np.pi - azimuth) / (2 * np.pi) * 1024 % 1024


def test_ground_and_wall_are_where_geometry_puts_them():
    frame = shot(world(static=[box(20.5, 0, 0, (1, 40, 30), 1)]))
    depression = np.radians(11.25 - 0.5 * 22.5 / 128)  # of the lowest row
    assert frame.range[127, 200] == pytest.approx(HEIGHT / np.sin(depression), rel=1e-4)
    assert 10 < frame.range[127, 200] < 10.5
    rays = sensor.beams()
    expected = 20 / rays[20:60, 450:575, 0]  # the wall's near face lies at x = 20
    np.testing.assert_allclose(frame.range[20:60, 450:575], expected, rtol=1e-4)
    assert np.isinf(frame.range[:60, :100]).all(), "nothing but sky behind"


def test_a_pixel_is_twice_as_wide_as_it_is_high():
    frame = shot(world(Box(7, 20, 0, (0.1, 2, 2))))
    seen = frame.users == 0
    width, height = np.ptp(np.flatnonzero(seen.any(0))) + 1, np.ptp(np.flatnonzero(seen.any(1))) + 1
    assert height / width == pytest.approx(2, abs=0.15)


def test_a_box_lands_in_the_columns_and_rows_of_its_corners():
    frame = shot(world(Box(7, 30, 15, (1, 1, 1.8))))
    x, y = np.meshgrid([29.5, 30.5], [14.5, 15.5])
    columns = column_of(np.arctan2(y, x)).ravel()
    seen = np.flatnonzero((frame.users == 0).any(0))
    assert abs(seen[0] - columns.min()) <= 1 and abs(seen[-1] + 1 - columns.max()) <= 1
    feet = 64 + np.degrees(np.arctan2(HEIGHT, np.hypot(29.5, 14.5))) / 22.5 * 128
    rows = np.flatnonzero((frame.users == 0).any(1))
    assert abs(rows[-1] + 1 - feet) <= 1
    x1, _, x2, y2 = frame.boxes[0]
    np.testing.assert_allclose([x1, x2], [columns.min(), columns.max()], atol=1e-3)
    assert y2 == pytest.approx(feet, abs=1e-3) and frame.distances[0] == pytest.approx(np.hypot(30, 15), rel=0.01)


def test_projecting_undoes_the_beams():
    turn = sensor.orientation(0.7, 0.02, -0.01)
    for corners in (False, True):
        column, row = sensor.project(sensor.beams(turn, 0.03, corners).reshape(-1, 3).astype(float), turn, 0.03)
        grid = np.indices((128 + corners, 1024)).reshape(2, -1) + (0.0 if corners else 0.5)
        np.testing.assert_allclose(row, grid[0], atol=2e-3)
        # At the seam, column 0 and column 1024 are the same direction.
        np.testing.assert_allclose((column - grid[1] + 512) % 1024 - 512, 0, atol=2e-3)


def test_heading_turns_the_image():
    turned = world(Box(1, 20, 0, (2, 2, 1.5)), sensor_path=np.tile([0, 0, HEIGHT, np.pi / 2], (10, 1)))
    columns = np.flatnonzero((shot(turned).users == 0).any(0))
    assert columns.mean() == pytest.approx(768, abs=1), "ahead is +y, so +x lies to the right"


def test_tilt_moves_the_horizon_down():
    level, tilted = (shot(world(noise={"tilt": degrees})) for degrees in (0.0, 22.5 / 128 * 4))
    np.testing.assert_array_equal(np.isinf(level.range[:-4]), np.isinf(tilted.range[4:]))
    assert np.isfinite(level.range[66]).all() and np.isinf(tilted.range[66]).all()


def test_the_sensor_drives_between_the_points_of_its_path():
    path = np.array([[0, 0, HEIGHT, np.pi - 0.1], [2, 0, HEIGHT, -np.pi + 0.1]])
    np.testing.assert_allclose(sensor.Sensor(world(sensor_path=path)).pose(0.05), [1, 0, HEIGHT, np.pi])


def test_channels_of_sky_glass_and_mirrors():
    # The pane stands askew: what it mirrors of the laser goes elsewhere.
    walls = [turned_wall(0, 15, 0.5, 4), box(0, -15, 0, (8, 1, 8), 3), box(15, 0, 0, (1, 8, 8), 1)]
    frame = shot(world(static=walls))
    image = frame.image.astype(int)
    sky = binary_erosion(np.isinf(frame.range), np.ones((3, 3)))  # at an edge a corner of a pixel may meet a wall
    assert (image[sky][:, 2] == 0).all() and image[sky][:, 1].mean() > 150
    glass, mirror, wall = image[20:50, 250:262], image[20:50, 762:774], image[20:50, 500:524]
    assert image[sky][:, 0].mean() < 0.3 * wall[..., 0].mean()
    assert glass[..., 0].mean() < 0.3 * wall[..., 0].mean()
    # Half of the light comes back from the room behind the pane, from various depths.
    assert 0.3 < (glass[..., 2] == 0).mean() < 0.7 and np.ptp(glass[..., 2][glass[..., 2] > 0]) > 10
    assert (mirror[..., 0] == 255).all() and (wall[..., 2] > 0).mean() > 0.95


def turned_wall(x, y, angle, material):
    mesh = box(0, 0, 0, (12, 1, 8), material)
    c, s = np.cos(angle), np.sin(angle)
    mesh.vertices[:, :2] = mesh.vertices[:, :2] @ np.array([[c, s], [-s, c]], np.float32) + np.float32([x, y])
    return mesh


def hits_on(material, normal, view=(1.0, 0.0, 0.0), distance=20.0):
    """One hit on a surface whose normal looks towards the sensor."""
    normal, view = (np.array([v], np.float32) / np.linalg.norm(v) for v in (normal, view))
    one = np.array([0])
    point = np.float32([[distance, 0, 1]])
    return tracing.Hits(one, view, np.float32([distance]), point, normal, one + material, one - 1)


def test_gloss_mirrors_the_laser_back_at_right_angles_only():
    surfaces = optics.Optics(world())
    facing, askew = hits_on(2, (-1, 0, 0)), hits_on(2, (-1, 0.5, 0))
    reflectivity = np.float32([0.4])
    straight = (optics.COAT_DIFFUSE + optics.FLAKES) * 0.4 + optics.COAT_HIGHLIGHT
    assert surfaces.returned(reflectivity, facing)[0] == pytest.approx(straight)
    cosine = askew.cosine[0]
    spread = 0.4 * (optics.COAT_DIFFUSE * cosine + optics.FLAKES * cosine**optics.FLAKES_EXPONENT)
    assert surfaces.returned(reflectivity, askew)[0] == pytest.approx(spread + 1.2 * cosine**30)
    assert spread + 1.2 * cosine**30 < 0.3 * straight
    rough = hits_on(5, (-1, 0.5, 0))
    assert surfaces.returned(reflectivity, rough)[0] == pytest.approx(0.4 * rough.cosine[0] ** optics.ROUGHNESS)


def test_a_bonnet_mirrors_the_sky_and_a_door_the_street():
    surfaces = optics.Optics(world(sunlight=0.0, skylight=1.0))
    dull = np.float32([0.0])  # black paint: what is left is mirrored
    along = np.array([1.0, 0, -0.3])
    bonnet = surfaces.daylight(dull, hits_on(2, (-0.3, 0, 1), along), [])
    door = surfaces.daylight(dull, hits_on(2, (-1, 0, 0), along), [])
    assert bonnet[0] > 3 * door[0] > 0
    assert surfaces.daylight(dull, hits_on(5, (-0.3, 0, 1), along), [])[0] == 0, "black cloth mirrors nothing"


def test_upright_surfaces_are_lit_from_the_ground():
    surfaces = optics.Optics(world(sunlight=1.0, skylight=0.4))
    shaded = hits_on(5, (-1, 0, 0))  # turned away from the sun, which stands at x > 0
    light = surfaces.daylight(np.float32([0.5]), shaded, [])[0]
    ground = 0.8 + 0.4
    assert light == pytest.approx(0.5 * (0.4 * 0.5 + optics.GROUND_LIGHT * ground * 0.5), rel=1e-4)


def test_visible_clutter_is_counted_by_kind():
    """One bench is visible, the other is hidden behind a wall. The wall is not clutter."""
    bench, hidden = (box(x, 0, 0, (0.5, 1.7, 0.9), 1) for x in (8, 30))
    wall = box(20, 0, 0, (1, 9, 5), 1)
    things = np.repeat([-1, 0, 1, -1], 12).astype(np.int32)
    frame = shot(world(static=[bench, hidden, wall], clutter=["bench", "bench"], clutter_of_face=things))
    assert frame.clutter == {"bench": 1}
    assert shot(world(static=[bench])).clutter == {}
    parked = world(Box(1, 6, 0, (1, 4, 3)), static=[bench], clutter=["bench"], clutter_of_face=things[:24])
    assert shot(parked).clutter == {}, "a car hides it"


def test_leaves_glow_against_the_sun_and_cloth_does_not():
    surfaces = optics.Optics(world(sunlight=1.0, skylight=0.0))
    leaf, cloth = (surfaces.daylight(np.float32([0.5]), hits_on(m, (-1, 0, 0)), [])[0] for m in (6, 5))
    assert leaf > 2 * cloth


def test_edges_are_averaged_over_a_pixels_five_rays():
    ramp = np.concatenate([np.zeros(128 * 1024), np.zeros(129 * 1024)]).astype(np.float32)
    corner = ramp[128 * 1024 :].reshape(129, 1024)
    corner[40, 0] = 8.0
    mean = sensor._average(ramp)
    # The corner belongs to the pixels right and left of it, above and below: across the seam too.
    assert mean[39:41, [0, 1023]].tolist() == [[1, 1], [1, 1]] and mean.sum() == 4


def test_a_range_is_the_strongest_rays_and_some_are_lost_at_edges():
    posts = [box(20, y, 0, (0.2, 0.2, 9), 1) for y in range(-9, 10)]
    frame = shot(world(static=[box(40, 0, 0, (1, 60, 60), 1), *posts]))
    distance = frame.range[40, 450:575]
    near = np.abs(distance - 20) < 2
    assert 5 < near.sum() < 60
    image = frame.image[20:60, 450:575, 2]
    lost = (image == 0).mean()
    assert 0.01 < lost < 0.08, "about 8 % of the pixels at the posts' edges, hardly any elsewhere"
    plain = shot(world(static=[box(40, 0, 0, (1, 60, 60), 1)])).image[20:60, 450:575, 2]
    assert (plain == 0).mean() < 0.005


def test_beams_differ_by_the_same_gains_in_every_clip():
    walls = [world(static=[box(30, 0, 0, (1, 300, 60), 1)], cloud_seed=k) for k in (1, 2)]
    first, second = (shot(w, seed=k).image[:50, 480:544, 0].astype(float).mean(1) for k, w in enumerate(walls))
    relative = [rows / rows.mean() - 1 for rows in (first, second)]
    assert np.corrcoef(*relative)[0, 1] > 0.9
    assert 0.025 < sensor.GAINS[0].std() < 0.045 and sensor.GAINS[1].std() < 0.01


def test_ambient_light_has_shadows():
    sun = np.array([0.6, 0.0, 0.8])
    frame = shot(world(static=[box(24, 0, 0, (0.5, 12, 9), 1)], sun=sun))
    # The box's shadow falls towards -x, 9 * 0.6 / 0.8 = 6.75 m long: x = 17 to 23.75.
    ahead = frame.image[:, 512, 1].astype(float)
    reach = frame.range[:, 512] * sensor.beams()[:, 512, 0]
    ground = frame.range[:, 512] * sensor.beams()[:, 512, 2] < -1.99
    shadow = ground & (reach > 17.5) & (reach < 23.2)
    assert shadow.sum() > 8 and (ground & (reach < 16.5)).sum() > 5
    assert ahead[shadow].mean() < 0.6 * ahead[ground & (reach < 16.5)].mean()


def test_weak_returns_are_lost():
    near, far = (shot(world(static=[box(x, 0, 0, (1, 60, 60), 0)])) for x in (20, 250))
    middle = np.s_[40:60, 500:524, 2]
    assert (near.image[middle] == 0).mean() < 0.05 and (far.image[middle] == 0).mean() > 0.9


def test_exposure_is_linear_between_two_percentiles():
    channel = np.linspace(0, 1, 1001).reshape(7, 143)
    image = sensor.expose(channel, 5, 90)
    assert image.ravel()[50] == 0 and image.ravel()[900] == round(0.9 * 255) and image.max() == 255
    expected = np.clip((channel - 0.05) / 0.85 * 0.9, 0, 1) * 255
    np.testing.assert_allclose(image, expected, atol=0.51)
    empty = sensor.expose(channel, 5, 90, measured=np.zeros_like(channel, bool))
    assert (empty == 0).all()


def test_a_material_the_world_lacks_is_named():
    with pytest.raises(ValueError, match="material 7"):
        sensor.Sensor(world(static=[box(9, 0, 0, (1, 1, 1), 7)]))


class Steady:
    """In place of the labels' chance: no unevenness."""

    def normal(self, mean, spread, size):
        return np.full(size, float(mean))


def labelled(frame, categories):
    return annotation.labels(frame, categories, Steady())


def inside(bbox):
    """The pixels whose middle lies in x, y, width, height: a mask ends there, as in COCO."""
    x, y, width, height = bbox
    rows, columns = np.arange(128)[:, None] + 0.5, np.arange(1024) + 0.5
    return (rows > y) & (rows < y + height) & (columns > x) & (columns < x + width)


def test_a_road_user_across_the_seam_gets_a_box_at_either_edge():
    frame = shot(world(Box(1, -18, 0.5, (4, 2, 1.5)), Box(7, 19, 6, (0.5, 0.5, 1.8))))
    found = labelled(frame, [1, 7])
    assert [a["category_id"] for a in found] == [1, 1, 7] and [a["track_id"] for a in found] == [0, 0, 1]
    left, right, person = (a["bbox"] for a in found)
    assert left[0] == 0 and right[0] + right[2] == pytest.approx(1024) and left[2] + right[2] < 100
    masks = [coco_mask.decode(a["segmentation"]) for a in found]
    np.testing.assert_array_equal(masks[0] + masks[1], (frame.users == 0) & (inside(left) | inside(right)))
    assert (masks[0] + masks[1]).sum() > 0.85 * (frame.users == 0).sum()
    assert not masks[0][:, 512:].any() and not masks[1][:, :512].any()
    np.testing.assert_array_equal(masks[2], (frame.users == 1) & inside(person))
    assert found[2]["area"] == pytest.approx(person[2] * person[3], abs=0.01)
    assert found[2]["distance"] == pytest.approx(np.hypot(19, 6), abs=0.2)


def test_a_box_is_as_loose_as_real_ones():
    frame = shot(world(Box(1, 20, 0, (4, 2, 1.5)), Box(7, 22, 8, (0.5, 0.5, 1.8))))
    car, person = labelled(frame, [1, 7])
    for entry, user, name in ((car, 0, "car"), (person, 1, "person")):
        x1, y1, x2, y2 = frame.boxes[user]
        left, above, right, below = annotation.SLACK[name].at(y2 - y1)
        drawn = [x1 - left, y1 - above, x2 - x1 + left + right, y2 - y1 + above + below]
        np.testing.assert_allclose(entry["bbox"], drawn, atol=0.011)
    drawings = [annotation.labels(frame, [1, 7], np.random.default_rng(k)) for k in range(200)]
    for user, exact, jitter in ((0, car, 0.8), (1, person, 0.5)):
        uneven = [drawing[user]["bbox"][0] for drawing in drawings]
        assert np.std(uneven) == pytest.approx(jitter, rel=0.2)
        assert np.mean(uneven) == pytest.approx(exact["bbox"][0], abs=0.2)


@pytest.mark.parametrize("name", ["car", "person", "rider"])
def test_boxes_of_small_road_users_are_tight_and_of_large_ones_loose(name):
    """Real boxes do. With the same slack on every box, small objects stand too far away for their height."""
    sides = [annotation.SLACK[name].at(height) for height in (10, 20, 30, 45, 60)]
    upright = [above + below for _, above, _, below in sides]
    assert upright[0] < 0 < upright[-1] and (np.diff(upright) >= 0).all()
    assert all(left == right > 0 for left, _, right, _ in sides)
    small, large = (annotation.loosened(np.array([9.0, 60, 30, 60 + h]), name, Steady()) for h in (14, 55))
    assert small[3] - small[1] < 14 and large[3] - large[1] > 55


def test_a_box_runs_on_behind_what_hides_it_and_the_mask_does_not():
    person = Box(7, 32, 0, (0.6, 0.6, 1.8))
    alone, hidden = shot(world(person)), shot(world(person, Box(1, 25, 0, (1, 2, 1.0))))
    whole, part = (frame.users == 0 for frame in (alone, hidden))
    assert 0 < part.sum() < whole.sum() and not (part & ~whole).any()
    assert (hidden.users[whole & ~part] == 1).all()
    boxes = [labelled(frame, [7, 1])[0] for frame in (alone, hidden)]
    assert boxes[0]["bbox"] == boxes[1]["bbox"]
    np.testing.assert_array_equal(coco_mask.decode(boxes[1]["segmentation"]), part & inside(boxes[1]["bbox"]))


def test_boxes_end_at_the_lower_edge():
    frame = shot(world(Box(1, 7, 0, (2, 2, 1.5))))
    assert frame.boxes[0][3] > 140, "the wheels are below the lowest beam"
    _, y, _, height = labelled(frame, [1])[0]["bbox"]
    assert y + height == 128


def frame_of(*users):
    """A frame in which each user, x1, y1, x2, y2, is seen as a filled box and nothing hides anything."""
    seen = np.full((128, 1024), -1)
    for index, (x1, y1, x2, y2) in enumerate(users):
        seen[y1:y2, x1:x2] = index
    boxes = np.array(users, float)
    return sensor.Frame(np.zeros((128, 1024, 3), np.uint8), seen, seen, np.zeros((128, 1024)), boxes, boxes[:, 0])


def test_what_is_tiny_or_of_no_category_gets_no_label():
    frame = frame_of((10, 10, 20, 30), (60, 60, 90, 62), (70, 70, 72, 77), (80, 90, 83, 98))
    assert [a["track_id"] for a in labelled(frame, [0, 1, 5, 7])] == [2], "no category; 2 rows; fine; a low person"
    assert [a["track_id"] for a in labelled(frame, [3, 1, 5, 1])] == [0, 2, 3]


def test_what_is_hidden_nearly_wholly_gets_no_label():
    person = Box(7, 32, 0, (0.6, 0.6, 1.8))
    frame = shot(world(person, static=[box(25, 0, 0, (1, 2, 1.7), 1)]))
    whole, seen = (frame.unhidden == 0).sum(), (frame.users == 0).sum()
    assert 0 < seen < 0.3 * whole
    assert labelled(frame, [7]) == []
    behind = shot(world(person, Box(1, 25, 0, (1, 2, 1.7))))
    assert [a["category_id"] for a in labelled(behind, [7, 1])] == [1], "neither behind another road user"


def test_who_moves_and_who_stands():
    still, fast = Box(1, 9, 0, (4, 2, 1.5)), Box(1, 9, 0, (4, 2, 1.5), speed=2.0)
    assert not folder._moves(still, 10.0) and folder._moves(fast, 10.0) and folder._moves(fast, 0.0)


def digest(out):
    """Every visible file of a folder with its hash."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


SMALL = {"train_clips": 2, "val_clips": 1, "train_frames": 3, "val_frames": 2, "interval": 0.5}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return folder.generate(tmp_path_factory.mktemp("sim") / "a", **SMALL, seed=5, workers=1, make_world=street)


def test_the_layout_is_the_real_datasets(finished):
    names = [path for path in digest(finished) if not path.startswith(".")]
    images = [f"images/train/sim_Video0000{c}_{f}.png" for c in range(2) for f in (0, 5, 10)]
    images += [f"images/val/sim_Video00002_{f}.png" for f in (0, 5)]
    labels = [f"{split}_{kind}.json" for split in ("train", "val") for kind in ("annotations", "keypoints")]
    assert sorted(names) == sorted([*images, *labels])
    content = json.loads((finished / "train_annotations.json").read_text())
    assert [i["file_name"] for i in content["images"]] == images[:6]
    first = {"id": 1, "width": 1024, "height": 128, "file_name": images[0], "clutter": {}}
    assert content["images"][0] == first
    assert content["categories"][0] == {"id": 1, "name": "car", "supercategory": ""} and len(content["categories"]) == 8
    ids = [a["id"] for a in content["annotations"]]
    assert len(set(ids)) == len(ids) >= 12
    assert {a["image_id"] for a in content["annotations"]} == set(range(1, 7))
    tracks = {a["track_id"]: a["moves"] for a in content["annotations"]}
    assert tracks == {0: True, 1: False, 1000: True, 1001: False}, "the car drives, the person stands"


def test_workers_and_interruption_change_nothing(finished, tmp_path):
    """Killed in the middle, gone on with by two processes: the files of an undisturbed run, and no others."""
    command = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_lidar; from tdt4265.lidar import folder\n"
        "folder.generate(sys.argv[1], **test_lidar.SMALL, seed=5, workers=1, make_world=test_lidar.street)"
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
    assert 2 <= len(done) < 8 and not (out / "val_annotations.json").exists()
    whole = digest(finished)
    assert all(digest(out)[str(p.relative_to(out))] == whole[str(p.relative_to(out))] for p in done)

    with pytest.raises(ValueError, match="was begun with seed 5, not seed 6"):
        folder.generate(out, **SMALL, seed=6, make_world=street)
    folder.generate(out, **SMALL, seed=5, workers=2, make_world=street)
    assert digest(out) == whole


def test_a_finished_folder_is_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    folder.generate(finished, **SMALL, seed=5, make_world=street)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_clips_and_seeds_differ(finished, tmp_path):
    names = ("train/sim_Video00000_0", "train/sim_Video00001_0", "val/sim_Video00002_0")
    files = digest(finished)
    assert len({files[f"images/{name}.png"] for name in names}) == 3
    other = folder.generate(tmp_path / "other", 1, 0, 1, seed=6, workers=1, make_world=street)
    assert digest(other)[f"images/{names[0]}.png"] != files[f"images/{names[0]}.png"]
    assert not (other / "val_annotations.json").exists(), "no val clips, no val labels"


def test_the_sample_is_a_frame_of_each_of_twelve_clips(tmp_path):
    out = folder.sample(tmp_path, workers=1, make_world=street)
    names = [p.stem for split in ("train", "val") for p in sorted(out.glob(f"images/{split}/*.png"))]
    assert names == [f"sim_Video{clip:05d}_50" for clip in range(12)]
    assert len(json.loads((out / "val_annotations.json").read_text())["images"]) == 4


def test_the_command_writes_a_street(tmp_path, capsys):
    out = tmp_path / "sim"
    small = ["--train-clips", "1", "--val-clips", "0", "--workers", "1"]
    assert main([str(out), *small, "--frames", "2", "--interval", "0.1"]) == 0
    content = json.loads((out / "train_annotations.json").read_text())
    assert content["annotations"], "somebody is always about"
    assert [i["file_name"][-7:] for i in content["images"]] == ["0_0.png", "0_1.png"]
    assert main([str(out), "--train-clips", "2"]) == 2
    assert "was begun with train_clips 1, val_clips 0, val_frames 2, interval 0.1, not" in capsys.readouterr().err


def test_a_folder_knows_the_simulator_that_made_it(finished, tmp_path):
    assert not folder.is_stale(finished) and not folder.is_stale(tmp_path), "no simulation is no stale one"
    (tmp_path / folder.SETTINGS).write_text(json.dumps({"version": folder.VERSION - 1}))
    assert folder.is_stale(tmp_path)


SIMULATE = (
    "import sys; sys.path.insert(0, sys.argv[2]); import test_lidar; from tdt4265.lidar import folder\n"
    "folder.generate(sys.argv[1], **test_lidar.SMALL, seed=5, workers=1, make_world=test_lidar.street, cached={})"
)


@pytest.mark.parametrize("cached", [False, True])
def test_a_second_simulation_in_a_folder_is_refused_or_waits(finished, tmp_path, cached):
    out = tmp_path / "b"
    with claim(out):
        command = [sys.executable, "-u", "-c", SIMULATE.format(cached), str(out), os.path.dirname(__file__)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if cached:
            assert other.stdout.readline() == f"{out}: another process writes there; waiting for its end\n"
        else:
            said = other.communicate(timeout=60)[1].splitlines()[-1]
            assert said.endswith(f"{out}: another process writes there; wait for its end, or give another folder")
    other.communicate(timeout=120)
    assert (other.returncode == 0) == cached
    assert not cached or digest(out) == digest(finished)


def test_a_full_disk_is_one_line_and_the_simulation_goes_on(finished, tmp_path, monkeypatch):
    out, written = tmp_path / "b", []

    def fills_up(path, content):
        written.append(path)
        if len(written) == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, content)

    monkeypatch.setattr(folder, "write_whole", fills_up)
    with pytest.raises(FolderError, match=r"cannot be written to \(No space left on device\); make room") as error:
        folder.generate(out, **SMALL, seed=5, workers=1, make_world=street)
    assert "\n" not in str(error.value) and str(out) in str(error.value)
    monkeypatch.setattr(folder, "write_whole", write_whole)
    folder.generate(out, **SMALL, seed=5, workers=1, make_world=street)
    assert digest(out) == digest(finished)


def test_what_killed_simulations_left_half_written_is_removed(finished, tmp_path):
    left = [tmp_path / "b" / place / ".file.1.partial" for place in ("", "images/train", folder.PARTS)]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("ha")
    (tmp_path / "b" / folder.SETTINGS).write_text((finished / folder.SETTINGS).read_text())
    folder.generate(tmp_path / "b", **SMALL, seed=5, workers=1, make_world=street)
    assert digest(tmp_path / "b") == digest(finished)


def test_the_courses_world_has_a_name_that_does_not_depend_on_its_file(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_make", lambda out, settings, *_: write_whole(out / "settings", json.dumps(settings)))
    folder.generate(tmp_path, **SMALL, seed=5)
    assert json.loads((tmp_path / "settings").read_text())["world"] == "street"
    assert json.loads((finished / folder.SETTINGS).read_text())["world"].endswith("test_lidar.street")


def test_a_damaged_marker_gets_one_line(tmp_path):
    (tmp_path / folder.SETTINGS).write_text("[1")
    with pytest.raises(ValueError, match=r"\.simulation\.json: is damaged; delete"):
        folder.generate(tmp_path, make_world=street)


def test_bad_requests_get_one_line(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("not to be mixed with frames")
    with pytest.raises(ValueError, match="holds other files"):
        folder.generate(tmp_path, make_world=street)
    with pytest.raises(ValueError, match="train_frames is 0: give 1 or more"):
        folder.generate(tmp_path / "c", train_frames=0, make_world=street)
    with pytest.raises(ValueError, match=r"interval is 0.25: give tenths of a second"):
        folder.generate(tmp_path / "c", interval=0.25, make_world=street)
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
    assert rows["cars that stand"].measured == 0
    assert main(["--check", str(finished)]) == 1
    table = capsys.readouterr().out
    assert "bus share" in table and " off" in table and " ok" in table


def test_check_reads_geometry_off_boxes():
    """Boxes of known places: distances, seam, lower edge, pairs, and how far boxes move."""
    images = [{"id": k + 1, "file_name": f"images/train/sim_Video00000_{k}.png"} for k in range(2)]
    categories = [{"id": i, "name": name} for i, name in enumerate(annotation.CATEGORIES, 1)]

    def entry(image, category, bbox, **more):
        return {"image_id": image, "category_id": category, "bbox": bbox, **more}

    high = np.degrees(np.arctan(1.55 / 32)) / 22.5 * 128  # a car of 1.55 m at 32 m
    annotations = [
        entry(1, 1, [100, 60, 2 * high, high]), entry(1, 1, [100 + 0.4 * high, 60, 2 * high, high]),
        entry(1, 1, [0, 100, 50, 28]), entry(1, 7, [300, 66 + 10 * 1.17 - 10, 4, 10]),
        entry(2, 7, [302, 66 + 10 * 1.17 - 10, 4, 10]), entry(2, 7, [300, 66 + 20 * 1.17 - 20, 5.5, 20]),
    ]  # fmt: skip
    boxes = check.Boxes.of({"images": images, "annotations": annotations, "categories": categories})
    rows = check.share_rows(boxes) + check.size_rows(boxes) + check.place_rows(boxes) + check.motion_rows(images, boxes)
    found = {row.name: row.measured for row in rows}
    assert found["car distance, m"] == pytest.approx(32, rel=1e-3)
    assert found["boxes at the bottom"] == found["boxes at the seam"] == pytest.approx(1 / 6)
    assert found["cars at the seam"] == pytest.approx(1 / 3)
    assert found["cars that overlap by IoU 0.3"] == pytest.approx(2 / 3), "1.6 of 2.4 shared"
    assert found["horizon, row"] == pytest.approx(66)
    assert found["person width at height 20"] == pytest.approx(5.5)
    assert found["IoU 0.1 s later"] == pytest.approx(0.0), "median of 0, 0, 0 and 1/3"


def boxes_of(entries, frames=1):
    """`check.Boxes` of (class, x1, y1, x2, y2, frame)."""
    label, *numbers, frame = zip(*entries, strict=True)
    return check.Boxes(np.array(label), np.array(numbers, float).T, np.array(frame), frames)


def test_check_finds_crowds():
    """Four people side by side have three neighbours each. A taller person and one in another frame do not count."""
    row = [("person", x, 60, x + 6, 90, 0) for x in (100, 110, 120, 129)]
    far = [("person", 300, 60, 306, 90, 0), ("person", 112, 60, 118, 90, 1), ("person", 115, 40, 127, 108, 0)]
    found = {row.name: row for row in check.crowd_rows(boxes_of([*row, *far], frames=3))}
    assert found["persons with 3 or more neighbours"].measured == pytest.approx(4 / 7)
    assert found["persons a frame, most"].measured == 6 and found["persons a frame, median"].measured == 1
    assert found["persons over 40 pixels"].measured == found["persons over 60 pixels"].measured == pytest.approx(1 / 7)
    assert not check.crowd_rows(boxes_of([("car", 0, 0, 9, 9, 0)]))[3].ok, "a frame without persons has no crowd"


def test_check_measures_how_high_boxes_are_drawn_by_their_height():
    cars = [("car", 100, lower - 15, 100 + wide, lower, 0) for lower, wide in ((84, 12), (86, 15), (99, 30))]
    cut = [("car", 200, 107, 220, 127.5, 0), ("car", 0.5, 70, 20, 85, 0), ("person", 300, 70, 304, 85, 0)]
    found = {row.name: row for row in check.geometry_rows(boxes_of(cars + cut))}
    edge, shape = (found[f"car of 12 to 18 rows, {what}"] for what in ("lower edge", "width / height"))
    assert (edge.measured, edge.count, edge.ok) == (86, 3, True), "boxes that an edge cuts do not count"
    assert (shape.measured, shape.ok) == (1, True)
    assert found["person of 12 to 18 rows, lower edge"].ok is None, "shown beside the real figures without a verdict"
    assert found["car of 25 to 35 rows, lower edge"].ok is False, "no such box"


def test_check_counts_clutter():
    rows = check.clutter_rows([{"clutter": {"bench": 2}}, {"clutter": {}}])
    found = {row.name: row for row in rows}
    assert found["bench, visible a frame"].measured == 1 and found["bench, visible a frame"].ok
    assert not found["trailer, visible a frame"].ok and check.clutter_rows([{"file_name": "real.png"}]) == []
    row = check.Row("x", 1.0, "real 1", None, 12)
    assert check.table([row]).splitlines()[1].split() == ["x", "1.000", "12", "real", "1", "shown"]


def test_check_tells_soft_edges_and_uneven_rows():
    sharp = np.tile(np.repeat([0.0, 200.0], 8), (128, 64))
    soft = sharp.copy()
    soft[:, 1:-1] = (sharp[:, :-2] + sharp[:, 1:-1] + sharp[:, 2:]) / 3
    assert check._soft_edges(sharp) == 0 and check._soft_edges(soft) > 0.3
    rows = 100 * np.tile(1 + 0.04 * np.array([1, -1, 1, -1]), 32)[:, None] * np.ones((128, 100))
    assert check._gains_spread(rows) == pytest.approx(0.08, rel=0.02), "relative to neighbours that err the other way"
    assert check._gains_spread(np.full((128, 100), 100.0)) == 0


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


# Keypoints ------------------------------------------------------------------------------------------------------------


def human(**settings):
    """Somebody who stands 10 m ahead of the sensor and looks at it, and a world of nobody else."""
    palette = shapes.Palette()
    body = people.make_body(np.random.default_rng(0), palette)
    motion = road_users.Motion(np.array([[10.0, 0.0, 0.0, np.pi, 0.0]]), np.zeros(1))
    user = road_users.Person(road_users.PERSON, body, motion, **settings)
    floor = shapes.box((60, 60, 0.1), palette.add("floor", 0.2), (0, 0, -0.05))
    path = np.array([[0, 0, 1.2, 0]])
    return World(palette.materials, floor, [user], path, np.array([0.0, 0, 1]), noise={"tilt": 0.0})


def test_keypoints_lie_on_the_body_from_head_to_foot():
    world = human()
    points = dict(zip(road_users.KEYPOINTS, world.users[0].keypoints(0.0), strict=True))
    mesh = world.users[0].mesh(0.0)
    for point in points.values():
        assert np.linalg.norm(mesh.vertices - point, axis=1).min() < 0.2
    low, high = mesh.vertices[:, 2].min(), mesh.vertices[:, 2].max()
    order = [points[f"left_{name}"][2] for name in ("ankle", "knee", "hip", "elbow", "shoulder", "ear")]
    assert order == sorted(order) and order[0] - low < 0.15 and high - order[-1] < 0.25
    # Who looks at the sensor has the left hand at larger y behind the mirror: to the viewer's right.
    assert all(points[f"left_{name}"][1] < points[f"right_{name}"][1] for name in ("eye", "shoulder", "wrist", "knee"))


def test_keypoints_in_the_image_are_where_the_body_is():
    frame = sensor.Sensor(human()).render(0.0, np.random.default_rng(0))
    x, y, visibility = frame.keypoints[0].T
    x1, y1, x2, y2 = frame.boxes[0]
    assert ((x > x1) & (x < x2) & (y > y1) & (y < y2)).all()
    assert visibility[[0, 1, 2, 5, 6, 11, 12]].tolist() == [2] * 7  # nobody hides face, shoulders, hips
    left = np.arange(1, 17, 2)
    assert (x[left] > x[left + 1]).all()  # as one looks at somebody


def test_a_face_seen_from_behind_is_hidden():
    world = human()
    world.users[0].motion.poses[0, 3] = 0.0
    frame = sensor.Sensor(world).render(0.0, np.random.default_rng(0))
    assert frame.keypoints[0][:3, 2].tolist() == [1, 1, 1]


def test_who_stands_behind_a_wall_has_hidden_keypoints():
    world = human()
    wall = shapes.box((0.1, 8, 1.0), 0, (5, 0, 0.5))
    world.static = shapes.join([world.static, wall])
    frame = sensor.Sensor(world).render(0.0, np.random.default_rng(0))
    visibility = dict(zip(road_users.KEYPOINTS, frame.keypoints[0][:, 2], strict=True))
    assert visibility["nose"] == 2 and visibility["left_knee"] == visibility["right_ankle"] == 1


def test_keypoints_across_the_seam_go_to_their_part():
    points = np.stack([np.linspace(1020, 1028, 17), np.full(17, 60.0), np.full(17, 2)], axis=1)
    left, right = (annotation._keypoints_of(points, *part) for part in ((0.0, 5.0), (1019.0, 1024.0)))
    assert left["num_keypoints"] + right["num_keypoints"] == 17 and left["num_keypoints"] == 9
    assert left["keypoints"][-3:] == [3.5, 59.5, 2] and left["keypoints"][:3] == [0, 0, 0]
    assert right["keypoints"][:3] == [1019.5, 59.5, 2] and right["keypoints"][-3:] == [0, 0, 0]


def test_the_samples_keypoints_lie_in_their_boxes():
    _, val = data.load("sample", tasks=("bbox", "keypoints"))
    assert val.keypoint_names == list(road_users.KEYPOINTS) and len(val.flip_pairs) == 8
    plain = data.load("sample")[1]
    people = 0
    for index in range(len(val)):
        _, target = val[index]
        assert torch.equal(target["boxes"], plain[index][1]["boxes"])
        for box, label, points in zip(target["boxes"], target["labels"], target["keypoints"], strict=True):
            seen = points[points[:, 2] > 0, :2]
            assert label in (7, 8) or len(seen) == 0
            people += len(seen) > 0
            assert (seen > box[:2] - 3).all() and (seen < box[2:] + 3).all()
    assert people > 10
