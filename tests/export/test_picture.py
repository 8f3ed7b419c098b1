"""Pictures of clips: what lies where, in which colour."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from adapter_case import GREEN, RED
from PIL import Image

from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.log import Rig, Series
from sceneminer.data.synth.rig import rig_sensors
from sceneminer.export.bev import BevView, draw_bev
from sceneminer.export.cameras import GAP_PX, camera_tiles, draw_best_camera, draw_cameras
from sceneminer.export.card import Why, read_cards
from sceneminer.export.panel import DARK, LIGHT
from sceneminer.export.picture import (
    CAMERAS_PX,
    HEADER_PX,
    LINE_PX,
    MARGIN_PX,
    NARROW_PX,
    TIMELINE_PX,
    WIDTH_PX,
    compose,
    draw_clip,
)
from sceneminer.export.subject import Subject, open_subject
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.manage import move_root
from sceneminer.index.search import Index, open_index
from sceneminer.labels.ego import EGO_SIZE


def subject_of(index: Index, where: str = "true", *, category: str | None = None) -> Subject:
    """The first clip under a filter; with a category, as if such an agent were the riskiest."""
    clip_id = sorted(row["clip_id"] for row in index.store.read("clips", where=where).to_pylist())[0]
    subject = open_subject(index, read_cards(index, [clip_id])[clip_id])
    if category is None:
        return subject
    track = next(track for track in subject.tracks if track.category == category)
    why = Why(track.track_id, category, subject.instant_us, "ttc_s", 1.25)
    return replace(subject, focus=track.track_id, card=replace(subject.card, why_tracks=why, risk_tracks=0.6))


def near(image: Image.Image, colour, *, within: int = 24) -> np.ndarray:
    """Which pixels are of a colour, bool [y, x]."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.abs(pixels - np.array(colour[:3])).max(-1) <= within


def first_scene(index: Index) -> Subject:
    return subject_of(index, "log_name = 'scene-0001'", category="car")


def test_a_clip_becomes_a_png_with_cameras_view_from_above_and_timeline(town_index, tmp_path):
    subject = first_scene(town_index)
    out = tmp_path / "new" / "clip.png"
    draw_clip(town_index, subject.card.clip_id, out)
    with Image.open(out) as image:
        assert image.format == "PNG" and image.width == WIDTH_PX
        top = MARGIN_PX + HEADER_PX + 3 * LINE_PX + GAP_PX
        assert near(image.crop((0, 0, 700, top)), LIGHT.ink).sum() > 300  # words above the cameras
        cameras = image.crop((MARGIN_PX, top, WIDTH_PX // 2, top + 200))
        assert near(cameras, RED).sum() > 5000 and near(cameras, GREEN).sum() > 5000
        above = image.crop((WIDTH_PX - 400, MARGIN_PX, WIDTH_PX - MARGIN_PX, image.height - TIMELINE_PX - MARGIN_PX))
        assert near(above, LIGHT.drivable, within=2).mean() > 0.2
        chart = image.crop((0, image.height - TIMELINE_PX, WIDTH_PX, image.height))
        assert near(chart, LIGHT.ink).any() and near(chart, LIGHT.highlight).any()


def test_the_highlighted_box_lies_over_the_agent_in_the_image(town_index):
    subject = first_scene(town_index)
    tiles = camera_tiles(subject.log, (1100, CAMERAS_PX))
    sheet = draw_cameras(subject, tiles)
    front = tiles["CAM_FRONT"]
    marked = near(sheet.crop((front.x, front.y, front.x + front.width, front.y + front.height)), LIGHT.highlight)
    rows, columns = np.nonzero(marked)
    # The car's rear face is 15 - 4.5/2 - 1.5 = 11.25 m before the lens of 50 px, its middle 0.8 m below it.
    scale = front.width / 64
    assert columns.mean() == pytest.approx((31.5 + 0.5) * scale, abs=0.6 * scale)
    assert columns.max() - columns.min() == pytest.approx(1.9 * 50 / 11.25 * scale, abs=1.0 * scale)
    assert rows.max() == pytest.approx((17.5 + 0.5 + 50 * 1.6 / 11.25) * scale, abs=0.8 * scale)
    back = tiles["CAM_BACK"]
    assert not near(sheet.crop((back.x, back.y, back.x + back.width, back.y + back.height)), LIGHT.highlight).any()


def test_the_best_camera_is_the_one_that_shows_the_agent(town_index):
    subject = first_scene(town_index)
    picture = draw_best_camera(subject, (560, 340))
    assert picture is not None and near(picture, LIGHT.highlight).sum() > 50


def test_the_view_from_above_shows_agents_and_road_in_their_places(town_index):
    subject = first_scene(town_index)
    for palette in (LIGHT, DARK):
        image = draw_bev(subject, (600, 560), palette=palette)
        view = BevView(600, 560, 560 / 70.0)
        marked = near(image, palette.highlight, within=8)
        x, y = view.pixels(np.array([15.0, 0.0])).round().astype(int)  # the car keeps 15 m ahead
        assert marked[y - 3 : y + 4, x - 5 : x - 2].all()
        assert not marked[y + 100 :].any()
        # Ego stands at (100 + 8 t cos 0.3, 200 + ...); the road ends at y = 215 m: 30 m to the left is off it.
        on, off = view.pixels(np.array([[-6.0, -3.0], [0.0, 33.0]])).round().astype(int)
        pixels = np.asarray(image)
        assert np.abs(pixels[on[1], on[0]].astype(int) - palette.drivable).max() <= 3
        assert np.abs(pixels[off[1], off[0]].astype(int) - palette.ground).max() <= 3


@pytest.mark.parametrize("left_m", [2.2, -2.2])
def test_words_about_an_agent_beside_ego_do_not_hide_ego(town_index, left_m):
    subject = first_scene(town_index)
    world_from_ego = subject.log.poses_at(np.array([subject.instant_us]))[0][0]
    beside = world_from_ego @ np.array([1.4, left_m, 0.8, 1.0])
    track = next(t for t in subject.tracks if t.track_id == subject.focus)
    poses = track.world_from_box.copy()
    poses[:, :3, 3] = beside[:3]
    moved = replace(track, world_from_box=poses, size_lwh_m=np.full_like(track.size_lwh_m, 0.6))
    tracks = tuple(moved if t is track else t for t in subject.tracks)
    image = draw_bev(replace(subject, tracks=tracks), (600, 560))
    view = BevView(600, 560, 560 / 70.0)
    x, y = view.pixels(np.array([EGO_SIZE.rear_axle_to_center_m, 0.0])).round().astype(int)
    body = near(image, LIGHT.ego, within=8)[y - 10 : y + 11, x - 5 : x + 6]
    assert body.mean() > 0.95


def test_who_lies_outside_the_view_is_neither_drawn_nor_in_the_legend(town_index):
    subject = first_scene(town_index)
    track = next(t for t in subject.tracks if t.track_id == subject.focus)
    poses = track.world_from_box.copy()
    poses[:, 0, 3] += 500.0
    far = replace(subject, focus=None, tracks=(replace(track, category="bicycle", world_from_box=poses),))
    assert not near(draw_bev(far, (600, 560)), LIGHT.two_wheeler).any()


def test_a_broken_map_is_said_in_the_view_from_above(town_index, monkeypatch):
    def broken(self):
        raise MediaError(Issue("bad_table", "maps/x.json", "expected JSON, found none"))

    subject = first_scene(town_index)
    monkeypatch.setattr(type(subject.log.store), "read_map", broken)
    again = open_subject(town_index, subject.card)
    assert again.hdmap is None and again.log.has_map
    assert near(draw_bev(again, (600, 560)), LIGHT.faint).sum() > near(draw_bev(subject, (600, 560)), LIGHT.faint).sum()


def test_ego_heads_up_and_left_is_left():
    view = BevView(400, 300, 5.0)
    ego = view.pixels(np.zeros(2))
    assert view.pixels(np.array([10.0, 0.0])).tolist() == [ego[0], ego[1] - 50]
    assert view.pixels(np.array([0.0, 4.0])).tolist() == [ego[0] - 20, ego[1]]


def test_a_camera_without_an_image_is_a_grey_tile_that_says_so(town_index, tmp_path):
    subject = first_scene(town_index)
    index = Index(town_index.folder, town_index.store)
    root = tmp_path / "copy"
    shutil.copytree(town_index.folder.parent / "nuscenes", root)
    for path in root.rglob("CAM_FRONT/*.jpg"):
        path.unlink()
    moved = replace(subject, log=replace(subject.log, store=replace_root(subject.log.store, root)))
    sheet = draw_cameras(moved, (tiles := camera_tiles(subject.log, (1100, CAMERAS_PX))))
    front = tiles["CAM_FRONT"]
    tile = sheet.crop((front.x, front.y, front.x + front.width, front.y + front.height))
    assert near(tile, LIGHT.tile, within=2).mean() > 0.9
    assert near(tile, LIGHT.faint).sum() > 20  # words
    assert compose(index, moved).width == WIDTH_PX
    assert draw_best_camera(moved, (560, 340)) is not None


def replace_root(store, root):
    """The same store over a copy of its media."""
    return replace(store, media=replace(store.media, folder=root))


def test_a_moved_root_is_told_and_found_again(tower, tmp_path):
    from nuscenes_tree import make_nuscenes_tree

    from sceneminer.mine.run import mine

    root = make_nuscenes_tree(tmp_path / "old")
    mine(root, tmp_path / "index", model=tower)
    index = open_index(tmp_path / "index")
    clip_id = index.store.read("clips", columns=["clip_id"]).to_pylist()[0]["clip_id"]
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(IndexFault, match="sceneminer index move"):
        draw_clip(index, clip_id, tmp_path / "a.png")
    assert move_root(index, tmp_path / "old", tmp_path / "new") == 2
    draw_clip(index, clip_id, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_what_cannot_be_drawn_is_refused(town_index, tmp_path):
    with pytest.raises(QueryError, match="nobody"):
        draw_clip(town_index, "nobody+0000000", tmp_path / "a.png")
    clip_id = first_scene(town_index).card.clip_id
    with pytest.raises(DataError, match=r"clip\.gif"):
        draw_clip(town_index, clip_id, tmp_path / "clip.gif")


def test_cameras_alone_fill_a_narrower_picture(bare_index):
    image = compose(bare_index, subject_of(bare_index))
    assert image.width == NARROW_PX
    assert near(image, RED).sum() > 30_000 and near(image, GREEN).sum() > 30_000


def test_a_log_without_images_shows_the_view_from_above(blind_index):
    subject = subject_of(blind_index, "images = 0", category="car")
    assert not subject.log.cameras()
    image = compose(blind_index, subject)
    assert image.width == WIDTH_PX
    assert near(image, LIGHT.drivable, within=2).sum() > 20_000
    assert near(image, LIGHT.highlight).sum() > 100
    unposed = replace(subject.log, pose_times_us=np.zeros(0, np.int64), world_from_ego=np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="ego poses"):
        draw_bev(replace(subject, log=unposed), (100, 100))


def test_six_cameras_lie_where_they_look(town_index):
    log = first_scene(town_index).log
    sensors = {name: s for name, s in rig_sensors((90, 160)).sensors.items() if s.modality == "camera"}
    series = log.series["CAM_FRONT"]
    six: dict[str, Series] = {
        name: replace(series, name=name, calibrations=(sensors[name],) * len(series.calibrations)) for name in sensors
    }
    tiles = camera_tiles(replace(log, rig=Rig(sensors), series=six), (1200, 560))
    order = sorted(tiles, key=lambda name: (tiles[name].y, tiles[name].x))
    above = ["CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"]
    assert order == [*above, "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"]
    assert len({tiles[name].y for name in above}) == 1
    assert max(tile.x + tile.width for tile in tiles.values()) <= 1200
    assert max(tile.y + tile.height for tile in tiles.values()) <= 560


def test_the_riskiest_instant_is_drawn_where_somebody_comes_close(town_index):
    subject = first_scene(town_index)
    calm = replace(subject.card, risk_tracks=0.0)
    assert open_subject(town_index, calm).instant_us == (calm.start_us + calm.end_us) // 2
    assert open_subject(town_index, calm).focus is None
    at = subject.card.start_us + 300_000
    tense = open_subject(town_index, replace(subject.card, why_tracks=replace(subject.card.why_tracks, time_us=at)))
    assert (tense.instant_us, tense.focus) == (at, subject.focus)
