"""Effects in notes follow a session's tempo, in the engine and in the twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music
from twinrack.session.automated import automation_of
from twinrack.session.automation import Lane

RATE = 48000


def session(effect, tempo, automation=None) -> tr.Session:
    made = tr.Session("song", sample_rate=RATE, tempo=tempo)
    made.add_track(
        "a", clips=[tr.Clip(music(2, 4 * RATE, RATE, 1), sample_rate=RATE)], rack=[effect.copy()], automation=automation
    )
    return made


@pytest.mark.parametrize("effect", [tr.Delay(sync="1_8_dotted"), tr.Tremolo(sync="1_4"), tr.Flanger(sync="1_2")])
def test_notes_follow_the_tempo(effect):
    own = effect.copy()
    own.tempo_bpm = 93.0
    assert np.array_equal(session(effect, 93.0).render(), session(own, 120.0).render())
    assert not np.array_equal(session(effect, 93.0).render(), session(effect, 120.0).render())


def test_a_tempo_of_its_own_stays():
    """One that is set, one that is automated, and one that counts in milliseconds."""
    for effect, automation in (
        (tr.Tremolo(sync="1_4", tempo_bpm=100), None),
        (tr.Tremolo(sync="1_4"), {"tremolo.tempo_bpm": [(0.0, 80.0), (2.0, 140.0)]}),
        (tr.Tremolo(rate_hz=3), None),
    ):
        a, b = (session(effect, tempo, automation) for tempo in (93.0, 120.0))
        assert np.array_equal(a.render(), b.render())


def test_a_map_is_followed_in_beats():
    """A line over beats: at each beat the tempo that the map has there."""
    made = session(tr.Tremolo(sync="1_4"), [(0, 60, True), (2, 120), (3, 500)])
    points = automation_of(made["a"], made.timeline)["tremolo.tempo_bpm"]
    assert [(p.time, p.value, p.curve) for p in points] == [
        ("0 beats", 60.0, "exponential"), ("2 beats", 120.0, "hold"), ("3 beats", 300.0, "hold"),
    ]  # fmt: skip
    lane = Lane("a", made["a"].parameter("tremolo.tempo_bpm"), points, made.timeline)
    for beat, bpm in ((0.5, 75.0), (1.0, 90.0), (1.75, 112.5), (2.5, 120.0)):
        tick = made.timeline.seconds(f"{beat} beats") * RATE / 32
        assert float(lane.curve(tick, 1)[0]) == pytest.approx(bpm, rel=1e-4)


def test_the_twin_follows_it_too():
    made = session(tr.Tremolo(sync="1_8", depth=0.8), [(0, 90, True), (6, 140)])
    twin = made.twin()
    with torch.no_grad():
        y = twin({name: torch.from_numpy(x)[None] for name, x in twin.sources().items()})[0].numpy()
    assert error_db(y, made.render()) < -100
