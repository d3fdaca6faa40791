"""The renderer against closed forms; repeatability; names and errors of the public functions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import course_scenes as scenes
from course_scenes import catalogue, geometry, pool, rendering
from course_scenes.camera import Rays
from course_scenes.drawing import draw_stage, rotation_matrix
from course_scenes.families import Family, Model
from course_scenes.geometry import sphere, vector
from course_scenes.marching import (
    FAR,
    Bound,
    Solid,
    light_reaching,
    march,
    openness,
    surface_normal,
)
from course_scenes.noise import PERIOD, fractal_noise, noise
from course_scenes.parameters import BUNDLE, padded, stack, where
from course_scenes.shading import Material
from course_scenes.tracing import View

RADIUS, HEIGHT = 0.7, 0.9


class Ball(Model):
    """One ball above a plain floor."""

    def draw(self, stage, shape, **options):
        return draw_stage(stage, zoom=0.25, center=[0.0, HEIGHT, 0.0], bound=1.0, floor="plain")

    def derive(self, values):
        return {"middle": [0.0, HEIGHT, 0.0]}

    def solids(self, values):
        return [BALL]


def _paint(point, normal, p):
    return Material(np.full((3, point.shape[1]), 0.5, np.float32), part=4)


BALL = Solid(
    "ball",
    lambda point, p, detail: sphere(point - p.middle, RADIUS),
    _paint,
    lambda p: Bound(p.middle, RADIUS * 1.1),
    trust=1.0,
)


@pytest.fixture
def ball_family(monkeypatch):
    """Let the public functions know a family "ball"."""
    made = Family("ball", {"ball": Ball()}, {0: "background", 4: "ball"})
    for module in (catalogue, pool):
        monkeypatch.setattr(module, "family", lambda name: made)
    return made


@pytest.fixture
def cloud():
    """Random points, (3, 4096)."""
    return np.random.default_rng(0).uniform(-2, 2, (3, 4096)).astype(np.float32)


# ---------------------------------------------------------------- distances


def test_sphere_and_torus_are_exact(cloud):
    far = np.linalg.norm(cloud.astype(float), axis=0)
    np.testing.assert_allclose(sphere(cloud, 0.8), far - 0.8, atol=1e-6)
    ring = np.hypot(np.hypot(cloud[0], cloud[2]) - 1.1, cloud[1]) - 0.3
    np.testing.assert_allclose(geometry.torus(cloud, 1.1, 0.3), ring, atol=1e-6)


def test_box_is_exact(cloud):
    half = np.array([[0.5], [0.9], [0.3]], np.float32)
    outside = np.linalg.norm(np.maximum(np.abs(cloud) - half, 0).astype(float), axis=0)
    inside = np.minimum((half - np.abs(cloud)).min(0), np.inf)
    expected = np.where(outside > 0, outside, -inside)
    np.testing.assert_allclose(geometry.box(cloud, half, rounding=0.0), expected, atol=1e-6)


def test_cylinder_is_exact(cloud):
    across, along = np.hypot(cloud[0], cloud[2]) - 0.6, np.abs(cloud[1]) - 0.4
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    expected = np.where(outside > 0, outside, np.maximum(across, along))
    found = geometry.cylinder(cloud, 0.4, 0.6, rounding=0.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_capsule_is_the_distance_to_a_segment(cloud):
    start, end = np.array([-0.5, 0.2, 0.1]), np.array([0.8, -0.3, 0.4])
    share = ((cloud.T - start) @ (end - start) / ((end - start) @ (end - start))).clip(0, 1)
    nearest = start + share[:, None] * (end - start)
    expected = np.linalg.norm(cloud.T - nearest, axis=1) - 0.25
    found = geometry.capsule(cloud, vector(*start), vector(*end), 0.25, 0.25)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ellipsoid_is_zero_on_its_surface_and_cautious_inside_and_out(cloud):
    radii = vector(0.9, 0.5, 0.7)
    surface = cloud / np.linalg.norm(cloud, axis=0) * radii
    np.testing.assert_allclose(geometry.ellipsoid(surface, radii), 0, atol=1e-5)
    found = geometry.ellipsoid(cloud, radii)
    inside = ((cloud / radii) ** 2).sum(0) < 1
    assert ((found < 0) == inside).all()
    nearest = np.linalg.norm(cloud[:, :, None] - surface[:, None, ::4], axis=0).min(1)
    assert (found <= nearest * 1.02 + 1e-3).all()


def test_smooth_union_stays_within_its_bounds(cloud):
    first, second = sphere(cloud, 0.8), geometry.box(cloud, vector(0.5, 0.9, 0.3))
    width = 0.2
    found, hard = geometry.smooth_union(first, second, width), np.minimum(first, second)
    assert (found <= hard + 1e-7).all()
    assert (found >= hard - width / 4 - 1e-6).all()
    far = np.abs(first - second) >= width
    np.testing.assert_array_equal(found[far], hard[far])
    assert (found < hard - width / 5).any()
    cut = geometry.smooth_intersection(first, second, width)
    assert (cut >= np.maximum(first, second) - 1e-7).all()


def test_to_local_undoes_a_rotation_and_a_shift(cloud):
    rotation, shift = rotation_matrix(0.7, -0.4, 1.3), np.array([[0.3], [-1.0], [0.5]])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    world = (rotation @ cloud + shift).astype(np.float32)
    matrix = rotation.reshape(9, 1).astype(np.float32)
    found = geometry.to_local(world, matrix, shift.astype(np.float32))
    np.testing.assert_allclose(found, cloud, atol=2e-6)


def test_rotate_agrees_with_the_rotation_matrix(cloud):
    for axis, name in enumerate(("pitch", "yaw", "roll")):
        matrix = rotation_matrix(**{name: 0.6}).reshape(9, 1).astype(np.float32)
        np.testing.assert_allclose(
            geometry.rotate(cloud, axis, 0.6), geometry.to_local(cloud, matrix), atol=1e-6
        )


# ---------------------------------------------------------------- noise


def test_noise_is_a_smooth_function_of_the_point_alone(cloud):
    found = noise(cloud * 9)
    assert found.dtype == np.float32
    assert 0 <= found.min() < 0.1
    assert 0.9 < found.max() <= 1
    assert abs(found.mean() - 0.5) < 0.02
    np.testing.assert_array_equal(noise(cloud[:, 100:107] * 9), found[100:107])
    np.testing.assert_allclose(noise(cloud * 9 + PERIOD), found, atol=1e-4)
    assert np.abs(noise(cloud * 9 + 1e-3) - found).max() < 0.01
    assert 0 <= fractal_noise(cloud).min() <= fractal_noise(cloud).max() <= 1


# ---------------------------------------------------------------- marching


def test_bundles_are_filled_up_with_the_last_ray():
    assert len(padded(np.arange(1))) == BUNDLE
    assert len(padded(np.arange(BUNDLE))) == BUNDLE
    assert (padded(np.arange(BUNDLE + 3))[BUNDLE + 3 :] == BUNDLE + 2).all()
    assert len(where(np.zeros(9, bool))) == 0


def rays_towards_the_ball(count=2048):
    """Rays from one point, around a ball; analytic depth, and how near each passes its centre."""
    rng = np.random.default_rng(3)
    origin = np.array([[0.3], [1.5], [5.0]])
    middle = np.array([[0.0], [HEIGHT], [0.0]])
    aim = middle + rng.uniform(-1, 1, (3, count))
    direction = (aim - origin) / np.linalg.norm(aim - origin, axis=0)
    half = ((origin - middle) * direction).sum(0)
    inner = half**2 - ((origin - middle) ** 2).sum() + RADIUS**2
    depth = np.where(inner > 0, -half - np.sqrt(np.maximum(inner, 0)), FAR)
    passing = np.sqrt(((origin - middle) ** 2).sum() - half**2)
    p = stack([{"middle": [0.0, HEIGHT, 0.0], "light": [0.0, 1.0, 0.0]}])
    flat = np.zeros(count, np.float32)
    rays = Rays(
        origin.astype(np.float32), direction.astype(np.float32), flat, flat, flat.astype(int), p
    )
    return rays, depth, passing


def test_rays_meet_a_sphere_where_they_should():
    rays, depth, passing = rays_towards_the_ball()
    flat = np.zeros_like(rays.u)
    found = march(BALL, rays, flat, flat + FAR, np.full(1, 0.001, np.float32))
    clear = np.abs(passing - RADIUS) > 0.005  # rays that graze the edge may go either way
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(found[clear] == FAR, depth[clear] == FAR)
    hit = clear & (depth < FAR)
    assert 0.2 < hit.mean() < 0.8
    from_surface = np.linalg.norm(rays.at(found)[:, hit] - rays.p.middle, axis=0) - RADIUS
    assert np.abs(from_surface).max() < 1.5e-3
    steep = hit & (passing < 0.8 * RADIUS)
    np.testing.assert_allclose(found[steep], depth[steep], atol=2e-3)
    assert (march(BALL, rays, flat, flat + 2.0, np.full(1, 0.001, np.float32)) == FAR).all()


def test_normals_of_a_sphere_point_outwards():
    rays, depth, _ = rays_towards_the_ball()
    point = rays.at(depth.astype(np.float32))[:, depth < FAR]
    expected = (point - np.array([[0.0], [HEIGHT], [0.0]])) / RADIUS
    np.testing.assert_allclose(surface_normal(BALL, point, rays.p), expected, atol=5e-3)


def test_bounds_are_crossed_where_their_surface_is():
    rays, depth, _ = rays_towards_the_ball()
    ball = Bound(rays.p.middle, RADIUS)
    enter, leave = ball.crossing(rays.origin, rays.direction)
    np.testing.assert_array_equal(enter == FAR, depth == FAR)
    hit = depth < FAR
    np.testing.assert_allclose(enter[hit], depth[hit], atol=1e-4)
    on_far_side = rays.at(leave)[:, hit] - rays.p.middle
    np.testing.assert_allclose(np.linalg.norm(on_far_side, axis=0), RADIUS, atol=1e-4)
    axes = Bound(rays.p.middle, np.full((3, 1), RADIUS, np.float32), np.eye(3).reshape(9, 1))
    np.testing.assert_allclose(axes.crossing(rays.origin, rays.direction)[0], enter, atol=1e-4)
    assert ball.ahead(rays.origin, rays.direction, 0.0)[hit].all()
    behind = ball.ahead(rays.origin, -rays.direction, 0.0)
    assert not behind.any()


def test_cones_never_run_past_a_surface():
    scene = prepared(draw_ball())
    view = View([BALL], stack([scene]), 1, 48)
    u, v = rendering.pixel_grid(48)
    pixel = np.arange(48 * 48)
    tile = view.tile_of(np.zeros_like(pixel), pixel)
    rays = rendering_rays(view, u, v)
    flat = np.zeros_like(u)
    depth = march(BALL, rays, flat, flat + FAR, np.full(1, 1e-4, np.float32))
    start = view.tile_starts[0][tile]
    assert (start <= depth + 1e-3).all()
    assert (start[depth < FAR] > depth[depth < FAR] - 1.0).all()  # and they do run ahead
    assert (start == FAR).mean() > 0.3


def test_light_and_sky_near_a_sphere():
    p = stack([{"middle": [0.0, HEIGHT, 0.0], "light": [0.0, 1.0, 0.0]}])
    x = np.linspace(0, 3, 64, dtype=np.float32)
    floor = vector(x, np.zeros_like(x), np.zeros_like(x))
    light = light_reaching([BALL], floor, p)
    assert (light[x < 0.5 * RADIUS] == 0).all()
    assert (light[x > RADIUS + 0.3] == 1).all()
    assert (np.diff(light) >= 0).all()
    sky = openness([BALL], floor, vector(0.0, 1.0, 0.0), p)
    assert sky[0] < 1
    assert (sky[x > 2] == 1).all()
    assert (openness([], floor, vector(0.0, 1.0, 0.0), p) == 1).all()


# ---------------------------------------------------------------- pictures


def draw_ball():
    return Ball().draw(np.random.default_rng(1), np.random.default_rng(2))


def prepared(values):
    return rendering.prepare(Ball(), values)


def rendering_rays(view, u, v):
    from course_scenes.camera import cast

    return cast(view.p, np.zeros(len(u), int), u, v, np.zeros(len(u), int))


@pytest.mark.parametrize("size", [33, 64])
def test_mask_is_the_projection_of_the_sphere(size):
    values = draw_ball()
    _, masks = rendering.render_batch(Ball(), [values], size)
    scene = prepared(values)
    u, v = rendering.pixel_grid(size)
    direction = (
        scene["forward"][:, None]
        + scene["zoom"] * u * scene["right"][:, None]
        + scene["zoom"] * v * scene["upward"][:, None]
    )
    direction /= np.linalg.norm(direction, axis=0)
    to_middle = np.array([0, HEIGHT, 0]) - scene["eye"]
    along = to_middle @ direction
    passing = np.sqrt(to_middle @ to_middle - along**2).reshape(size, size)
    pixel = 2 / size * scene["zoom"] * np.linalg.norm(to_middle)
    clear = np.abs(passing - RADIUS) > 0.3 * pixel
    np.testing.assert_array_equal(masks[0][clear], np.where(passing < RADIUS, 4, 0)[clear])
    assert set(np.unique(masks)) == {0, 4}


def test_edges_are_smoother_with_more_rays(monkeypatch):
    values = draw_ball()
    smooth, masks = rendering.render_batch(Ball(), [values], 48)
    monkeypatch.setattr(rendering, "_smooth_edges", lambda *_: None)
    rough, same = rendering.render_batch(Ball(), [values], 48)
    np.testing.assert_array_equal(masks, same)
    changed = (smooth != rough).any(-1)[0]
    border = np.zeros_like(changed)
    for axis in (0, 1):
        for shift in (1, -1):
            border |= np.roll(masks[0], shift, axis) != masks[0]
    assert changed[border].mean() > 0.5
    assert changed.mean() < 0.3


def test_the_same_scene_gives_the_same_bytes(ball_family):
    drawn = scenes.draw("ball", 5, seed=4)
    together = scenes.render_scenes(drawn, 40, workers=1)
    again = scenes.render_scenes(drawn, 40, workers=1)
    np.testing.assert_array_equal(together.images, again.images)
    for index, scene in enumerate(drawn):
        alone = scenes.render_scenes([scene], 40)
        np.testing.assert_array_equal(alone.images[0], together.images[index])
        np.testing.assert_array_equal(alone.masks[0], together.masks[index])
    backwards = scenes.render_scenes(drawn[::-1], 40)
    np.testing.assert_array_equal(backwards.images[::-1], together.images)


@pytest.mark.parametrize(
    ("family", "part", "label"), [("cifar10", "trunk", 5), ("smoking", "cigarette", 1)]
)
@pytest.mark.parametrize("masks", ["parts", "solids"])
def test_scenes_that_lack_parts_are_rendered_with_whole_ones(family, part, label, masks):
    (whole,) = scenes.draw(family, 1, seed=4, labels=[label])
    some = [whole.changed(without=gone, masks=masks) for gone in ("", part, "*")]
    together = scenes.render_scenes(some, 40, workers=1)
    for index, scene in enumerate(some):
        alone = scenes.render_scenes([scene], 40)
        np.testing.assert_array_equal(alone.images[0], together.images[index])
        np.testing.assert_array_equal(alone.masks[0], together.masks[index])
    assert len({image.tobytes() for image in together.images}) == 3


def test_without_everything_only_the_background_is_left(ball_family):
    (scene,) = scenes.draw("ball", 1)
    empty = scenes.render_scenes([scene.changed(without="*")], 32)
    assert not empty.masks.any()
    with pytest.raises(ValueError, match="no 'cube' to leave out: it has ball"):
        scenes.render_scenes([scene.changed(without="cube")], 32)


def test_scenes_survive_json(ball_family):
    for scene in scenes.draw("ball", 3):
        line = json.dumps(scene.to_dict(), allow_nan=False)
        assert scenes.Scene.from_dict(json.loads(line)) == scene
    with pytest.raises(ValueError, match="parameters missing"):
        scenes.Scene.from_dict({"family": "ball", "class_name": "ball", "label": 0})


# ---------------------------------------------------------------- public functions


def test_scene_i_does_not_depend_on_how_many_there_are():
    few, many = scenes.draw("vegetables", 4, seed=9), scenes.draw("vegetables", 8, seed=9)
    assert few == many[:4]
    assert [scene.label for scene in many] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert scenes.draw("vegetables", 4, seed=10) != few


def test_processes_and_threads_change_nothing(monkeypatch):
    drawn = scenes.draw("vegetables", 6, seed=2)
    here = scenes.render_scenes(drawn, 32, workers=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    there = scenes.render_scenes(drawn, 32, workers=2, progress=False)
    np.testing.assert_array_equal(here.images, there.images)
    np.testing.assert_array_equal(here.masks, there.masks)
    assert there.scenes == drawn
    assert here.images.dtype == here.masks.dtype == np.uint8
    assert here.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes.draw("vegtables", 1), "did you mean 'vegetables'"),
        (lambda: scenes.draw("vegetables", 2, labels=[0]), "2 scenes need 2 labels, not 1"),
        (lambda: scenes.draw("vegetables", 1, labels=[3]), "no class 3.*0 cucumber"),
        (lambda: scenes.draw("vegetables", 1, backdrop="wod"), "did you mean 'wood'"),
        (lambda: scenes.render("vegetables", 1, 0), "1 to 4096, not 0"),
        (lambda: scenes.render("vegetables", 1, 8, workers=0), "at least 1, not 0"),
        (lambda: scenes.intervene(scenes.draw("vegetables", 1)[0], "remove_calix"), "remove_calyx"),
    ],
)
def test_errors_say_what_there_is(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_parameters_are_named():
    p = stack([{"size": 1.0}])
    with pytest.raises(AttributeError, match="no parameter 'sise'; there are size"):
        _ = p.sise
