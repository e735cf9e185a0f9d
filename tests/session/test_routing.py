"""Routing: every feature that changes the sound is noticed by the engine, the twin and the hashes alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch

import twinrack as tr
from session_support import RATE
from support import error_db
from twinrack.session.fingerprint import Fingerprints
from twinrack.session.routing import Node, Route, Routing

FRAMES = 9600


def clip(seed: int, **more: object) -> tr.Clip:
    """Noise that is never silent, so that whatever moves at any time is heard."""
    return tr.Clip((0.05 * np.random.default_rng(seed).standard_normal((2, FRAMES))).astype(np.float32), **more)


def small() -> tr.Session:
    """Two tracks, a group, two returns, and a track whose compressor listens to another."""
    session = tr.Session("small", RATE)
    session.add_return("room", rack=[tr.ParametricEQ(bands=[tr.Band("bell", gain_db=4)])])
    session.add_return("hall", gain_db=-3)
    session.add_group("band", rack=[tr.Limiter(lookahead_ms=2, ceiling_db=-6)], gain_db=-1)
    session.add_track("a", clips=[clip(1), clip(2, start="1000 frames")], output="band", gain_db=-2, pan=0.2)
    session["a"].send("room", -6)
    duck = tr.Compressor(threshold_db=-40, ratio=6, key="kick")
    session.add_track("b", clips=[clip(3)], rack=[duck], width=0.8, delay="0.25 beats")
    session.add_track("kick", clips=[clip(4)], gain_db=-9)
    return session


def set_output(session: tr.Session, name: str, to: str | None) -> None:
    session[name].output = to


def set_clip(session: tr.Session, **more: object) -> None:
    session["a"].clips = [session["a"].clips[0].with_(**more), *session["a"].clips[1:]]


def set_attribute(session: tr.Session, name: str, attribute: str, value: object) -> None:
    setattr(session[name], attribute, value)


CHANGES: dict[str, Callable[[tr.Session], object]] = {
    "solo": lambda s: set_attribute(s, "a", "solo", True),
    "solo of a group": lambda s: set_attribute(s, "band", "solo", True),
    "solo of a return": lambda s: set_attribute(s, "room", "solo", True),
    "mute": lambda s: s.set("a.mute", True),
    "automated mute": lambda s: s.automate("a.mute", [(0, False), (0.05, True)]),
    "output to a group": lambda s: set_output(s, "b", "band"),
    "output to the master": lambda s: set_output(s, "a", "master"),
    "output to nowhere": lambda s: set_output(s, "a", None),
    "output of a group": lambda s: set_output(s, "band", "hall"),
    "a send more": lambda s: s["b"].send("hall", -3),
    "a send less": lambda s: s["a"].sends.clear(),
    "send to another": lambda s: setattr(s["a"].send_to("room"), "to", "hall"),
    "send before the fader": lambda s: setattr(s["a"].send_to("room"), "tap", "pre"),
    "level of a send": lambda s: s.set("a.sends.room.gain_db", -12),
    "pan of a send": lambda s: s.set("a.sends.room.pan", -0.5),
    "width of a send": lambda s: s.set("a.sends.room.width", 0.3),
    "law of a send": lambda s: s.set("a.sends.room.law", "linear_6db"),
    "mute of a send": lambda s: s.set("a.sends.room.mute", True),
    "automation of a send": lambda s: s.automate("a.sends.room.gain_db", [(0, -6), (0.1, -20)]),
    "send from a return": lambda s: s["room"].send("hall", -3),
    "polarity": lambda s: set_attribute(s, "b", "polarity", "invert"),
    "polarity of the left": lambda s: set_attribute(s, "b", "polarity", "invert_left"),
    "polarity of the right": lambda s: set_attribute(s, "b", "polarity", "invert_right"),
    "polarity of a group": lambda s: set_attribute(s, "band", "polarity", "invert"),
    "delay": lambda s: set_attribute(s, "b", "delay", 0.02),
    "delay below 0": lambda s: set_attribute(s, "b", "delay", "-640 frames"),
    "delay of a group": lambda s: set_attribute(s, "band", "delay", "100 frames"),
    "tempo, and so a delay in beats": lambda s: setattr(s, "tempo", (tr.Tempo(0, 100),)),
    "sidechain from another": lambda s: s["b"].keys.update(kick=("a", "post")),
    "sidechain before the fader": lambda s: s["b"].keys.update(kick=("kick", "pre")),
    "fader of what a sidechain listens to": lambda s: s.set("kick.gain_db", -15),
    "mute of a clip": lambda s: set_clip(s, mute=True),
    "level of a clip": lambda s: set_clip(s, gain_db=-4),
    "start of a clip": lambda s: set_clip(s, start="320 frames"),
    "level": lambda s: s.set("a.gain_db", -5),
    "pan": lambda s: s.set("a.pan", -0.4),
    "width": lambda s: s.set("a.width", 0.2),
    "law": lambda s: s.set("a.law", "constant_power_3db"),
    "automation of a fader": lambda s: s.automate("band.gain_db", [(0, -1), (0.1, -9)]),
    "value of an effect": lambda s: s.set("room.parametric_eq.band1.gain_db", -4),
    "automation of an effect": lambda s: s.automate("b.compressor.threshold_db", [(0, -40), (0.1, -10)]),
    "end": lambda s: setattr(s, "end", "5000 frames"),
}  # fmt: skip


def mixed(session: tr.Session) -> np.ndarray:
    y = session.render()
    return np.pad(y, ((0, 0), (0, max(2 * FRAMES - y.shape[1], 0))))[:, : 2 * FRAMES]


def by_twin(session: tr.Session, frames: int) -> np.ndarray:
    twin = session.twin()
    with torch.no_grad():
        return twin({n: torch.from_numpy(x)[None] for n, x in twin.sources(frames).items()})[0].numpy()


@pytest.fixture(scope="module")
def base() -> tuple[tr.Session, np.ndarray, np.ndarray, str]:
    session = small()
    return session, mixed(session), by_twin(session, 2 * FRAMES), Fingerprints(session).whole()


@pytest.mark.parametrize("change", CHANGES)
def test_engine_twin_and_hashes_notice_a_change(base, change):
    _, engine_before, twin_before, hash_before = base
    session = small()
    CHANGES[change](session)
    engine, twin = mixed(session), by_twin(session, 2 * FRAMES)
    frames = min(session.render().shape[1], engine.shape[1]) - 1000  # a tail that the session's end cuts is in the twin
    assert error_db(engine, engine_before) > -60
    if change != "end":  # a twin has no end: it computes what it is given
        assert error_db(twin, twin_before) > -60
    assert error_db(twin[:, :frames], engine[:, :frames]) < -90
    assert Fingerprints(session).whole() != hash_before


def test_the_same_session_is_the_same_for_all(base):
    session, engine, twin, hash_before = base
    copy = session.copy()
    assert np.array_equal(mixed(copy), engine)
    assert np.array_equal(by_twin(copy, 2 * FRAMES), twin)
    assert Fingerprints(copy).whole() == hash_before


def test_the_changes_cover_all_that_routing_says():
    """A new field of a node or a route fails here until a change above moves it."""

    def said(session: tr.Session) -> dict[str, list[object]]:
        nodes = sorted(Routing(session), key=lambda node: node.name)
        values: dict[str, list[object]] = {f"Node.{f.name}": [getattr(n, f.name) for n in nodes] for f in fields(Node)}
        routes = [r for n in nodes for r in (*n.inputs, *n.keys.values())]
        return values | {f"Route.{f.name}": [getattr(r, f.name) for r in routes] for f in fields(Route)}

    before, moved = said(small()), set()
    for change in CHANGES.values():
        session = small()
        change(session)
        after = said(session)
        moved |= {name for name in before if before[name] != after[name]}
    assert moved == set(before)


def test_routes_stand_in_the_order_of_the_session():
    session = small()
    routing = Routing(session)
    names = [node.name for node in routing]
    assert names[-1] == "master"
    for node in routing:
        for route in (*node.inputs, *node.keys.values()):
            assert names.index(route.source.name) < names.index(node.name)
    assert [route.source.name for route in routing.master.inputs] == ["room", "hall", "band", "b", "kick"]
    assert routing["room"].inputs == (Route(session["a"], "post", session["a"].send_to("room")),)
    assert routing["b"].keys == {"kick": Route(session["kick"], "post")}
    assert routing["b"].delay == RATE // 8
    assert routing.into("master") == set(names)
    assert routing.into("band") == {"band", "a"}
    assert (routing.receives("band"), routing.receives("kick")) == (True, False)


def test_what_only_a_sidechain_hears_goes_on_in_solo():
    session = tr.Session("solo", RATE)
    session.add_group("drums")
    session.add_track("kick", clips=[tr.Clip(np.full((2, 9600), 0.5, np.float32))], output="drums")
    ducked = tr.Compressor(threshold_db=-40, ratio=20, attack_ms=1, key="drums")
    session.add_track("bass", clips=[tr.Clip(np.full((2, 9600), 0.3, np.float32))], rack=[ducked], solo=True)
    y = session.render()
    assert abs(y[0, -1]) < 0.1
