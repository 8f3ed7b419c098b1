"""Captions are true of their pictures, vary, and keep what is held out for tests out of training."""

import re
from dataclasses import replace

import numpy as np
import pytest
from small_street import CAMERA, DAY, FORWARD, NIGHT, make_actor, make_drive, make_town

from sceneminer.data.synth.captions import Caption, caption, clip_caption_rows, object_captions
from sceneminer.data.synth.catalog import COLOR_NAMES, PALETTE
from sceneminer.data.synth.facts import FINE_PX, GENERAL, LEAST_PX, SceneFacts, Sight, describes, view_facts
from sceneminer.data.synth.facts_clip import clip_facts
from sceneminer.data.synth.grammar import has_held_out_form, held_out_look, held_out_pair, state_of
from sceneminer.data.synth.grammar_clip import EGO_WORDS, EVENT_KINDS
from sceneminer.data.synth.grammar_reserved import RESERVED
from sceneminer.data.synth.grammar_words import COLOR_WORDS, COUNTS, NOUNS, PLACES, SKY, STATES
from sceneminer.data.synth.render import CameraView, Renderer, camera_image
from sceneminer.data.synth.scene import KERB_M, MATERIAL_ID, Event
from sceneminer.labels.prompts import BACKGROUND_PROMPTS, TAG_NEGATIVES, TAG_PROMPTS

RED, BLUE = PALETTE["red"], PALETTE["blue"]
PROMPTS = [p for words in (*TAG_PROMPTS.values(), *TAG_NEGATIVES.values(), BACKGROUND_PROMPTS) for p in words]
DRESSED = ("person", "child", "worker", "cyclist")


def make_scene(rng: np.random.Generator) -> SceneFacts:
    """A scene that may hold anything that can be said, however unlikely together."""

    def some(words, most: int) -> list[str]:
        return [words[int(k)] for k in rng.choice(len(words), size=int(rng.integers(most + 1)), replace=False)]

    kinds = list(NOUNS)
    looks = [*COLOR_NAMES, "dark clothes", "light clothes"]
    states = sorted({state for group in STATES.values() for state in group})
    sights = []
    for k in range(int(rng.integers(7))):
        kind = kinds[int(rng.integers(len(kinds)))]
        look = [looks[int(rng.integers(len(looks)))]] if kind not in ("cone", "barrier", "dog") else []
        look = [w for w in look if kind in DRESSED or "clothes" not in w]
        state = [s for s in some(states, 12) if state_of(kind, s) is not None]
        side = ("left", "right", "middle", "ahead", "behind")[int(rng.integers(5))]
        share = float(rng.uniform(0.001, 0.05))
        sights.append(Sight(kind, tuple(look), tuple(state), side, share, 10.0, k, (1, 2, 30, 40)))
    counts = tuple(
        ("person" if w == "none" else kinds[int(rng.integers(len(kinds)))], w) for w in some(list(COUNTS), 2)
    )
    sky, places = tuple(some(list(SKY), 2)) or ("day",), tuple(some(list(PLACES), 4))
    ego = tuple(some(sorted(EGO_WORDS), 1)) if rng.random() < 0.3 else ()
    events = tuple((event, "cyclist") for event in some(sorted(EVENT_KINDS), 1)) if rng.random() < 0.3 else ()
    return SceneFacts(tuple(sights), counts, sky, places, ego, events)


def write_many(n: int, grammar, seed: int) -> list[Caption]:
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng) for _ in range(max(n // 20, 1))]
    return [caption(scenes[int(rng.integers(len(scenes)))], rng, grammar=grammar) for _ in range(n)]


def write_objects(n: int, grammar, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [text for _ in range(n) for text, _ in object_captions(make_scene(rng), rng, grammar=grammar)]


def plain(text: str) -> str:
    return text.lower().rstrip(".")


def words_of(texts) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z'-]+", text.lower())}


@pytest.fixture(scope="module", params=[2000, pytest.param(20000, marks=pytest.mark.slow)])
def train(request) -> list[Caption]:
    return write_many(request.param, "train", 1)


@pytest.fixture(scope="module")
def train_objects(train: list[Caption]) -> list[str]:
    return write_objects(len(train) // 4, "train", 2)


@pytest.fixture(scope="module")
def held_out() -> list[Caption]:
    return write_many(1000, "held_out", 3)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(make_town())


def see(renderer: Renderer, drive, time_s: float = 0.2) -> tuple[CameraView, SceneFacts]:
    view = camera_image(renderer, drive, time_s, ego_from_camera=FORWARD, camera=CAMERA)
    return view, view_facts(drive, time_s, view, ego_from_camera=FORWARD, camera=CAMERA)


def changed(actor, **more):
    return replace(actor, braking=np.zeros(len(actor.states), bool), **more)


def red_car(**more):
    return make_actor(11, "vehicle.car", (-8.0, -2.0, 0.0, 0.0), rgb=RED, variant=6, **more)


def test_a_near_red_car_ahead_is_a_red_car_ahead(renderer: Renderer) -> None:
    _, scene = see(renderer, make_drive(renderer.town, actors=(red_car(speed_mps=5.0),)))
    assert {
        ("object", "car", "red", "moving", "middle"),
        ("count", "car", "one"),
        ("count", "person", "none"),
    } <= scene.facts
    assert ("object", "vehicle", "", "", "") in scene.facts
    assert not any(fact[2] == "blue" for fact in scene.facts if fact[0] == "object")


def test_what_is_hidden_or_far_or_black_in_the_night_is_not_told(renderer: Renderer) -> None:
    wall = make_actor(12, "vehicle.truck", (-9.0, -2.0, 0.0, np.pi / 2), variant=4)
    behind = make_actor(13, "human.pedestrian.adult", (-2.0, -2.0, 0.0, 0.0))
    far = make_actor(14, "human.pedestrian.adult", (55.0, 5.5, KERB_M, 0.0))
    view, scene = see(renderer, make_drive(renderer.town, actors=(wall, behind)))
    assert (view.actor_id == 13).sum() < 40
    assert not any(sight.actor_id == 13 for sight in scene.sights)
    assert any(sight.actor_id == 12 for sight in scene.sights)
    view, scene = see(renderer, make_drive(renderer.town, actors=(far,)))
    assert 0 < (view.actor_id == 14).sum() < 40
    assert not any(sight.actor_id == 14 for sight in scene.sights)
    dark = make_actor(15, "vehicle.car", (25.0, 2.0, 0.0, 0.0), rgb=PALETTE["black"], variant=6)
    _, scene = see(renderer, make_drive(renderer.town, NIGHT, actors=(dark,)))
    assert not any(sight.looks for sight in scene.sights)


def test_fog_swallows_what_is_far(renderer: Renderer) -> None:
    car = make_actor(11, "vehicle.car", (10.0, -2.0, 0.0, 0.0), rgb=RED, variant=6)
    seen = [see(renderer, make_drive(renderer.town, replace(DAY, fog_m=m), actors=(car,)))[1] for m in (20000.0, 45.0)]
    assert seen[0].sights and not seen[1].sights
    assert ("sky", "fog") in seen[1].facts and ("sky", "sunny") in seen[0].facts


def test_told_objects_and_colours_have_their_pixels(renderer: Renderer) -> None:
    rng = np.random.default_rng(4)
    told = 0
    for k in range(12):
        cars = []
        for n in range(4):
            look = PALETTE[COLOR_NAMES[int(rng.integers(len(COLOR_NAMES)))]]
            place = (float(rng.uniform(-14, 12)), (-2.0, 2.0)[n % 2], 0.0, (0.0, np.pi)[n % 2])
            cars.append(make_actor(20 + n, "vehicle.car", place, rgb=look, variant=int(rng.integers(6))))
            place = (float(rng.uniform(-12, 12)), float(rng.choice([-5.6, 5.2, 0.0])), KERB_M * (n % 2), 0.0)
            cars.append(make_actor(30 + n, "human.pedestrian.adult", place, rgb=look, standing=True))
        view, scene = see(renderer, make_drive(renderer.town, (DAY, NIGHT)[k % 2], actors=tuple(cars)))
        scale = 128 * 224 / view.actor_id.size
        for sight in scene.sights:
            told += 1
            mine = view.actor_id == sight.actor_id
            assert mine.sum() * scale >= max(LEAST_PX.get(sight.kind, 40), FINE_PX.get(sight.kind, 0))
            u0, v0, u1, v1 = sight.box
            assert mine[v0:v1, u0:u1].sum() == mine.sum() and mine[v0].any() and mine[:, u1 - 1].any()
            for look in set(sight.looks) & {"red", "blue", "green", "yellow", "orange", "purple"}:
                paint = np.isin(view.material_id, [MATERIAL_ID[m] for m in ("car_paint", "engine_hood", "cloth")])
                shown = view.rgb[mine & paint].astype(float)
                shown -= shown.mean(1, keepdims=True)
                want = np.array(PALETTE[look]) - np.mean(PALETTE[look])
                alike = shown @ want / (np.linalg.norm(shown, axis=1) + 1e-9) / np.linalg.norm(want)
                assert np.mean(alike > 0.6) > (0.15 if sight.kind == "person" else 0.4), look
    assert told > 30


def test_people_are_where_the_caption_says(renderer: Renderer) -> None:
    town = replace(renderer.town)
    near = replace(make_drive(town), ego=np.tile([22.0, -2.0, 0.0, 0.0, 0.0], (141, 1)))

    def walker(x: float, y: float, z: float):
        rows = np.repeat(np.array([[x, y, z, np.pi / 2, 1.3]]), 101, 0)
        return changed(make_actor(40, "human.pedestrian.adult", (x, y, z, 0.0)), states=rows)

    for place, state in (
        ((31.5, 0.0, 0.0), "crosswalk"),
        ((36.5, 0.0, 0.0), "jaywalking"),
        ((32.0, -5.0, KERB_M), "pavement"),
    ):
        _, scene = see(renderer, replace(near, actors=(walker(*place),)))
        found = [sight.states for sight in scene.sights if sight.kind == "person"]
        assert found and state in found[0], (place, found)
        assert not ({"crosswalk", "jaywalking", "pavement"} - {state}) & set(found[0])


def test_a_zebra_crossing_and_lights_are_seen_from_near_only(renderer: Renderer) -> None:
    far = make_drive(renderer.town, actors=())
    near = replace(far, ego=np.tile([8.0, -2.0, 0.0, 0.0, 0.0], (141, 1)))
    assert ("place", "zebra crossing") not in see(renderer, far)[1].facts
    near_facts = see(renderer, replace(near, ego=near.ego + np.eye(5)[0] * 14.0))[1].facts
    assert ("place", "zebra crossing") in near_facts
    lights = see(renderer, near)[1].facts
    assert ("place", "traffic light") in lights and ("place", "red traffic light") not in lights


def test_facts_are_true_of_a_scene_when_it_shows_all_of_them(renderer: Renderer) -> None:
    _, scene = see(renderer, make_drive(renderer.town, actors=(red_car(speed_mps=5.0),)))
    blue = changed(red_car(), rgb=BLUE)
    _, other = see(renderer, make_drive(renderer.town, actors=(blue,)))
    assert describes(frozenset({("object", "vehicle", "", "", "middle")}), scene)
    assert describes(frozenset({("object", "car", "red", "", ""), ("sky", "sunny")}), scene)
    assert not describes(frozenset({("object", "car", "red", "", "")}), other)
    # A red car here and a car on the left there do not make a red car on the left.
    both = (Sight("car", ("red",), (), "right", 0.1, 5.0, 1), Sight("car", ("blue",), (), "left", 0.1, 5.0, 2))
    two = SceneFacts(both, (("car", "two"),), ("day",), ())
    assert describes(frozenset({("object", "car", "red", "", "right"), ("object", "car", "", "", "left")}), two)
    assert not describes(frozenset({("object", "car", "red", "", "left")}), two)


@pytest.mark.parametrize("grammar", ["train", "held_out"])
def test_every_caption_is_true_of_its_own_scene(grammar) -> None:
    rng = np.random.default_rng(8)
    for _ in range(600):
        scene = make_scene(rng)
        told = caption(scene, rng, grammar=grammar)
        assert told.facts and describes(told.facts, scene), told
        assert "{" not in told.text and "  " not in told.text and "a a" not in f" {told.text} ".split(" "), told.text


def test_captions_name_no_kind_that_is_not_there(train: list[Caption]) -> None:
    nouns = {word: kind for kind, noun in NOUNS.items() for word in noun.one if kind in GENERAL or kind == "dog"}
    for told in train[:4000]:
        named = {fact[1] for fact in told.facts if fact[0] in ("object", "count")} | {
            f[2] for f in told.facts if f[0] == "event"
        }
        named |= {wide for kind in named for wide in (GENERAL.get(kind, kind),)}
        for word in ("bus", "ambulance", "excavator", "dog", "stroller", "moped"):
            if re.search(rf"\b{word}\b(?! stop| shelter)", told.text.lower()):
                assert nouns[word] in named or any(nouns[word] in n for n in named), told


def test_the_same_generator_writes_the_same_texts() -> None:
    assert write_many(50, "train", 5) == write_many(50, "train", 5)
    assert write_objects(20, "train", 5) == write_objects(20, "train", 5)
    assert [c.text for c in write_many(50, "train", 5)] != [c.text for c in write_many(50, "train", 6)]


def test_texts_vary(train: list[Caption]) -> None:
    assert len({plain(told.text) for told in train[:10000]}) > 0.5 * len(train[:10000])
    assert len({told.form for told in train}) > 30


def test_held_out_sentence_forms_are_not_in_training(
    train: list[Caption], train_objects: list[str], held_out: list[Caption]
) -> None:
    assert not [text for text in (*(c.text for c in train), *train_objects) if has_held_out_form(text)]
    assert all(has_held_out_form(told.text) for told in held_out)
    assert len({told.form for told in held_out}) > 11


def test_held_out_colours_of_kinds_are_not_in_training(train: list[Caption], train_objects: list[str]) -> None:
    held = [(look, kind) for look in COLOR_NAMES for kind in NOUNS if kind not in DRESSED and held_out_look(look, kind)]
    assert 15 < len(held) < 60
    text = "\n".join([*(c.text.lower() for c in train), *train_objects])
    others = {word for noun in NOUNS.values() for word in noun.one}
    for look, kind in held:
        for word in (*NOUNS[kind].one, *NOUNS[kind].rare):
            if sum(word in noun.one or word in noun.rare for noun in NOUNS.values()) > 1:
                continue
            longer = [w[len(word) :] for w in others if w.startswith(word + " ")]
            for color in COLOR_WORDS.get(look, (look,)):
                found = re.findall(
                    rf"\b{color} {re.escape(word)}\b(?!{'|'.join(map(re.escape, longer)) or '$^'})", text
                )
                assert not found, found
    assert re.search(r"\bred (bus|city bus)\b", text) or held_out_look("red", "bus")


def test_held_out_pairs_of_place_and_kind_are_not_in_training(train: list[Caption], held_out: list[Caption]) -> None:
    def pairs(told: Caption) -> set[tuple[str, str]]:
        kinds = {fact[1] for fact in told.facts if fact[0] in ("object", "count")}
        kinds |= {fact[2] for fact in told.facts if fact[0] == "event"}
        return {(f[1], kind) for f in told.facts if f[0] in ("sky", "place") for kind in kinds}

    assert not [told for told in train if any(held_out_pair(*pair) for pair in pairs(told))]
    assert sum(any(held_out_pair(*pair) for pair in pairs(told)) for told in held_out) > 20


def test_held_out_words_are_all_learnable(
    train: list[Caption], train_objects: list[str], held_out: list[Caption]
) -> None:
    if len(train) < 20000:
        pytest.skip("rare words take many texts")
    known = words_of([*(c.text for c in train), *train_objects])
    unseen = words_of([*(c.text for c in held_out), *write_objects(400, "held_out", 4)])
    assert unseen - known == set()


def test_training_knows_the_words_of_the_prompts_but_no_prompt(train: list[Caption], train_objects: list[str]) -> None:
    texts = [*(c.text for c in train), *train_objects]
    if len(train) >= 20000:  # rare words take many texts
        assert words_of(PROMPTS) - words_of(texts) <= {"junctions"}
    assert {plain(text) for text in texts} & {plain(p) for p in PROMPTS} == set()


def test_every_prompt_is_reserved() -> None:
    assert {plain(p) for p in PROMPTS} == RESERVED


def test_clips_tell_of_turns_and_events_in_their_own_time() -> None:
    drive = make_drive(make_town())
    events = (Event("turn_left", 0.0, 2.0, (-1,), False), Event("cut_in", 3.0, 5.0, (11, -1), True))
    drive = replace(drive, events=events)
    early, late = clip_facts(drive, 0.0, 2.0), clip_facts(drive, 2.5, 5.0)
    assert ("ego", "turning left") in early.facts and ("ego", "turning left") not in late.facts
    assert late.events == (("cut_in", "pickup"),) or late.events[0][0] == "cut_in"
    assert not early.events


def test_clip_rows_cover_the_drive() -> None:
    drive = make_drive(make_town())
    start = 1_700_000_000_000_000
    rows = clip_caption_rows(drive, start_us=start, rng=np.random.default_rng(1))
    assert rows == clip_caption_rows(drive, start_us=start, rng=np.random.default_rng(1))
    assert rows[0]["start"] == start and rows[-1]["end"] == start + 5_000_000
    assert all(set(row) == {"start", "end", "text", "kind"} for row in rows)
    assert all(2_000_000 <= int(row["end"]) - int(row["start"]) <= 8_000_000 for row in rows)
