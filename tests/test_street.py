"""The simulator's worlds: what stands in them, who moves how, and that they are the same each time."""

import numpy as np
import pytest

from tdt4265.lidar import road_users, sensor, traffic
from tdt4265.lidar.scene import Mesh
from tdt4265.lidar.shapes import Palette, box, ellipsoid, join, tube
from tdt4265.lidar.street import KERB, make_street, make_world

CLIPS = [("train", clip) for clip in range(16)] + [("val", clip) for clip in range(3)]


@pytest.fixture(scope="module")
def worlds():
    return {(split, clip): make_world(clip, split) for split, clip in CLIPS}


def test_same_seed_same_world_and_another_clip_another():
    first, again, other = make_world(3), make_world(3), make_world(4)
    np.testing.assert_array_equal(first.static.vertices, again.static.vertices)
    np.testing.assert_array_equal(first.sensor_path, again.sensor_path)
    assert first.materials == again.materials
    for a, b in zip(first.users, again.users, strict=True):
        assert a.category == b.category
        one, two = a.mesh(2.35), b.mesh(2.35)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one.vertices, two.vertices)
    assert len(first.static.vertices) != len(other.static.vertices)


def test_worlds_are_whole(worlds):
    for world in worlds.values():
        meshes = [world.static] + [m for u in world.users if (m := u.mesh(4.2)) is not None]
        for mesh in meshes:
            assert np.isfinite(mesh.vertices).all()
            assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
            assert len(mesh.materials) == len(mesh.faces)
            assert 0 <= mesh.materials.min() and mesh.materials.max() < len(world.materials)
        assert 50_000 < len(world.static.faces) < 300_000
        names = {world.materials[i].name for i in np.unique(world.static.materials)}
        assert {"asphalt", "paving", "kerb", "bark", "glass", "window frame", "sign", "lamp post"} <= names
        assert world.sensor_path.shape == (101, 4)
        assert np.linalg.norm(world.sun) == pytest.approx(1.0) and world.sun[2] > 0


def test_casts_hold_every_class(worlds):
    seen = {"train": set(), "val": set()}
    for (split, _), world in worlds.items():
        seen[split] |= {user.category for user in world.users}
    assert seen["train"] == set(range(1, 9))
    assert seen["val"] >= {road_users.CAR, road_users.BUS, road_users.PERSON, road_users.RIDER}
    assert len(traffic.CASTS["train"]) == 16


def test_sensor_stands_free(worlds):
    """Nothing, neither street nor road user, is within a metre of the sensor, nor is it inside a solid."""
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    level = np.stack([np.cos(around), np.sin(around), 0 * around], 1)
    sloping = np.stack([np.cos(around), np.sin(around), -0.35 + 0 * around], 1)
    rays = np.concatenate([level, sloping, [[0, 0, 1]]]).astype(np.float32)
    for key, world in worlds.items():
        street = sensor.Tracer(world.static)
        for t in (0.0, 3.3, 6.6, 10.0):
            users = sensor.Tracer(join(u.mesh(t) for u in world.users))
            origin = world.sensor_path[round(10 * t), :3]
            distance = np.minimum(street.nearest(origin, rays)[0], users.nearest(origin, rays)[0])
            assert distance.min() > 1.0, (key, t, distance.min())
            assert np.median(distance) > 3.0, (key, t)


def test_motion_is_continuous_and_of_human_speed(worlds):
    limits = {road_users.PERSON: 2.0, road_users.RIDER: 6.5, road_users.CAR: 12.5, road_users.BUS: 12.5}
    for world in worlds.values():
        for user in world.users:
            speed = np.hypot(*np.diff(user.motion.poses[:, :2], axis=0).T) * 10
            assert speed.max() < 1.35 * limits.get(user.category, 10.0)  # 1.35: the outside of a bend
            a, b = user.motion.at(3.0)[0], user.motion.at(3.01)[0]
            assert np.abs(b[:2] - a[:2]).max() < 0.2


def test_vehicles_do_not_stand_in_one_another(worlds):
    large = {road_users.CAR, road_users.BUS, road_users.TRUCK}
    for key, world in worlds.items():
        at = np.array([u.motion.at(5.0)[0][:2] for u in world.users if u.category in large])
        apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) + 99 * np.eye(len(at))
        assert apart.min(initial=99) > 1.7, key


def test_users_have_their_real_size():
    rng, palette = np.random.default_rng(0), Palette()
    sizes = {
        road_users.make_car: ((3.3, 5.7), (1.6, 2.5), (1.35, 2.4)),
        road_users.make_bus: ((9, 19), (2.4, 3.2), (2.9, 3.7)),
        road_users.make_truck: ((5.9, 9.7), (2.4, 3.1), (2.2, 4.2)),
        road_users.make_bicycle: ((1.5, 2.0), (0.3, 0.7), (0.9, 1.3)),
        road_users.make_scooter: ((0.95, 1.3), (0.35, 0.6), (1.0, 1.35)),
        road_users.make_motorcycle: ((1.9, 2.3), (0.6, 0.9), (1.0, 1.4)),
    }
    for make, ranges in sizes.items():
        for _ in range(5):
            mesh = make(rng, palette)
            extent = np.ptp(mesh.vertices, axis=0)
            for length, (low, high) in zip(extent, ranges, strict=True):
                assert low < length < high, (make.__name__, extent)
            assert abs(mesh.vertices[:, 2].min()) < 0.06  # wheels on the ground


def test_walker_swings_its_legs_and_keeps_its_feet_on_the_ground():
    rng, palette = np.random.default_rng(1), Palette()
    street = make_street(rng, "street")
    time = np.arange(101) / 10
    motion = street.motion(-5 + 1.4 * time, 8.0, 0.0)
    person = road_users.Person(road_users.PERSON, road_users.make_body(rng, palette), motion)
    lengths, lowest, highest = [], [], []
    for t in np.arange(0, 2, 0.1):
        mesh, ground = person.mesh(t), motion.at(t)[0][2]
        along = np.array([np.cos(motion.at(t)[0][3]), np.sin(motion.at(t)[0][3])])
        lengths.append(np.ptp(mesh.vertices[:, :2] @ along))
        lowest.append(mesh.vertices[:, 2].min() - ground)
        highest.append(mesh.vertices[:, 2].max() - ground)
    assert max(lengths) - min(lengths) > 0.15
    assert max(np.abs(lowest)) < 0.15
    assert 1.4 < max(highest) < 2.1


def test_pavement_lies_a_kerb_above_the_road():
    street = make_street(np.random.default_rng(2), "street")
    s = street.blocks[1][0][0] + 3.0
    road = street.motion(s, 0.2, 0.0).poses[0, 2] - street.height(s, 0.2)
    pavement = street.motion(s, street.front(1) - 0.1, 0.0).poses[0, 2] - street.height(s, street.front(1) - 0.1)
    assert road == pytest.approx(0.0) and pavement == pytest.approx(KERB)


@pytest.mark.parametrize(
    "mesh",
    [
        box((1, 2, 3), 0),
        ellipsoid((1, 1, 1), 0, sides=24),
        tube(np.array([[0, 0, 0], [0, 0, 2.0]]), 0.5, 0, 24, caps=True),
    ],
)
def test_solids_are_closed(mesh: Mesh):
    """The volume by the divergence theorem is a closed solid's own (a sphere's, a cylinder's, a box's)."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    extent = np.ptp(mesh.vertices, axis=0).prod()
    assert 0.45 * extent < volume <= 1.001 * extent
