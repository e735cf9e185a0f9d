"""The twin of a session: the same mix as the engine's over random graphs, exact gradients, and values that come back."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import twinrack as tr
from session_support import RATE, random_session
from support import error_db, music

GRAPHS = int(os.environ.get("TWINRACK_TWIN_GRAPHS", "40"))


def mix(session: tr.Session, frames: int, dtype=torch.float32, **more) -> np.ndarray:
    twin = session.twin()
    stems = {n: torch.from_numpy(x).to(dtype)[None] for n, x in twin.sources(frames).items()}
    with torch.no_grad():
        return twin(stems, **more)[0].numpy()


def test_twin_equals_engine():
    """Any graph, with automation and mutes, sends before and after faders, sidechains, delays."""
    errors = []
    extra = 6000  # what sounds on must not be cut off where something is to come earlier
    for seed in range(GRAPHS):
        session = random_session(seed)
        y = session.render(tail=extra / RATE)
        keep = y.shape[1] - extra
        z = mix(session, y.shape[1])[:, :keep]
        loudest = max(float(np.max(np.abs(x))) for x in session.twin().sources(keep).values())
        # where filters take 60 dB and more away, what is left has the rounding of what went in
        size = max(float(np.max(np.abs(y[:, :keep]))), 1e-3 * loudest, 1e-4)
        errors.append(20 * np.log10(np.max(np.abs(z - y[:, :keep])) / size + 1e-15))
    print(f"\n{GRAPHS} random sessions, twin against engine: worst {max(errors):.1f} dB, half below {np.median(errors):.1f} dB")
    assert np.median(errors) < -115
    assert max(errors) < -80, f"session {int(np.argmax(errors))}"


def test_it_may_begin_later_and_takes_all_stems_in_one():
    session = tr.Session("later", RATE)
    for i in range(3):
        session.add_track(f"{i}", clips=[tr.Clip(0.1 * music(2, 9600, RATE, i))], rack=[tr.ParametricEQ(bands=[tr.Band()])])
        session.automate(f"{i}.gain_db", [(0, -20), (0.2, 0, "linear")])
    y = session.render()
    twin = session.twin()
    stacked = torch.from_numpy(np.concatenate(list(twin.sources().values())))[None]
    with torch.no_grad():
        assert error_db(twin(stacked)[0].numpy(), y) < -120
        late = twin(stacked[..., 3200:], first_frame=3200)[0].numpy()
    assert error_db(late[:, 2000:], y[:, 5200:]) < -60
    with pytest.raises(ValueError, match="not a multiple of 32"):
        twin(stacked, first_frame=5)
    with pytest.raises(ValueError, match=r"give \(batch, 6, time\): 2 for each of 0, 1, 2"):
        twin(stacked[:, :4])
    with pytest.raises(ValueError, match="has no channel 'x'"):
        twin({"x": stacked[:, :2]})


def test_what_moves_by_itself_stands_where_the_timeline_is():
    """A reverb whose modulation has gone on for a second is not that of the beginning."""
    reverb = tr.Rack([tr.Compressor(lookahead_ms=3), tr.FDNReverb(modulation_depth=1.0, modulation_rate_hz=0.7, decay_s=0.5)])
    x = np.zeros((2, 2 * RATE), np.float32)
    x[:, RATE:] = 0.1 * music(2, RATE, RATE, 3)
    y = reverb(x, RATE)[:, RATE:]
    late = torch.from_numpy(x[:, RATE:])[None]
    with torch.no_grad():
        there = reverb.twin(RATE)(late, first_frame=RATE)[0].numpy()
        each = reverb.twin(RATE)(late.expand(2, -1, -1), first_frame=torch.tensor([RATE, 0])).numpy()
        wrong = reverb.twin(RATE)(late)[0].numpy()
    assert error_db(there, y) < -120
    assert error_db(each[0], y) < -120
    assert error_db(wrong, y) > -40
    assert np.array_equal(each[1], wrong)


def small() -> tr.Session:
    session = tr.Session("small", RATE)
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0, decay_s=0.3)], pan=-0.1)
    session.add_group("band", rack=[tr.Compressor(threshold_db=-30, lookahead_ms=1)], pan=0.1)
    for i in range(2):
        rack = [tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)])]
        channel = session.add_track(f"{i}", clips=[tr.Clip(0.1 * music(2, 4800, RATE, i))], rack=rack, output="band", pan=0.2)
        channel.send("plate", -12, pan=0.3)
    session.add_track("ducked", clips=[tr.Clip(0.1 * music(2, 4800, RATE, 5))], rack=[tr.Compressor(key="0", threshold_db=-40)])
    session["ducked"].pan = session.master.pan = -0.2  # in the very middle a pan has a corner
    return session


def test_gradients_are_exact():
    """Against differences of the mix itself, for every value of the session."""
    twin = small().twin()
    stems = {n: torch.from_numpy(x).double()[None] for n, x in twin.sources().items()}
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, 4800)))

    def figure() -> torch.Tensor:
        return (twin(stems) * weight).sum()

    figure().backward()
    checked = 0
    for address in twin.learnable():
        if address.endswith("pre_delay_ms"):
            continue  # a line through samples has a corner at each
        u = twin.raw_of(address)
        gradient = 0.0 if u.grad is None else u.grad.item()  # of what has no part in the sound
        at, step = u.item(), 1e-5
        with torch.no_grad():
            u.fill_(at + step)
            above = figure().item()
            u.fill_(at - step)
            below = figure().item()
            u.fill_(at)
        wanted = (above - below) / (2 * step)
        assert gradient == pytest.approx(wanted, rel=2e-3, abs=2e-4), address
        checked += abs(wanted) > 1e-3
    assert checked > 20


def test_values_come_back():
    session = small()
    twin = session.twin()
    assert twin.to_session() == session
    with torch.no_grad():
        twin.raw_of("0.sends.plate.gain_db").add_(0.1)
        twin.raw_of("1.parametric_eq.band1.gain_db").add_(0.1)
    changed = tr.Session.from_twin(twin)
    assert changed.get("0.sends.plate.gain_db") > -12
    assert changed.get("1.parametric_eq.band1.gain_db") > 3
    assert changed.get("0.pan") == 0.2
    y = changed.render()
    assert error_db(mix(changed, y.shape[1]), y) < -110
    x = {n: torch.from_numpy(s)[None] for n, s in session.twin().sources().items()}
    with torch.no_grad():
        z = session.twin()(x, values={"0.pan": -1.0, "band.gain_db": torch.tensor([-6.0])})[0].numpy()
    session.set("0.pan", -1.0)
    session.set("band.gain_db", -6.0)
    assert error_db(z, session.render()) < -110
    with pytest.raises(ValueError, match="has no"):
        session.twin()(x, values={"0.pann": 1.0})


def test_automation_of_a_choice_has_no_twin():
    session = small()
    session.automate("band.compressor.detector", [(0, "peak", "hold")])
    with pytest.raises(ValueError, match=r"band\.compressor\.detector is a choice whose automation has no twin"):
        session.twin()


def test_automation_opens_a_muted_channel():
    """As in the engine, where a mute is automated, its points alone count."""
    session = tr.Session("muted", RATE)
    session.add(tr.Channel("a", clips=[tr.Clip(music(2, RATE // 2, RATE))], mute=True))
    session.automate("a.mute", [(0.0, True), (0.25, False)])
    y = session.render()
    assert np.abs(y[:, RATE // 3 :]).max() > 0.01
    assert error_db(mix(session, y.shape[1]), y) < -110
