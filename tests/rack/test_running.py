"""The running side of a rack, without a device: what is sent, what listeners are told, and what moves on with a stream."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr

RATE = 48000
BLOCK = 4096  # longer than a crossfade


def last_of(rack: tr.Rack) -> float:
    return float(rack.process(np.full((1, BLOCK), 0.5, np.float32))[0, -1])


def test_witnesses_are_told_before_listeners_and_both_of_every_change():
    rack = tr.Rack([tr.Gain(), tr.Compressor()])
    rack.prepare(RATE, 1)
    told: list[tuple[str, int, dict[str, object]]] = []
    rack.running.witnesses.append(lambda number, change: told.append(("witness", number, change)))

    def listener(number: int, change: dict[str, object]) -> None:
        told.append(("listener", number, change))
        if change.get("set") == "gain.gain_db":
            rack["gain"].bypass = True  # a listener may change the rack

    rack.running.listeners.append(listener)
    rack["gain"].gain_db = -6.0
    rack.effects = rack.effects[:1]
    kinds = [(who, next(iter(change))) for who, _, change in told]
    assert kinds == [(who, what) for what in ("set", "bypass", "rack") for who in ("witness", "listener")]
    assert told[0][2] == {"set": "gain.gain_db", "to": -6.0}
    numbers = [number for who, number, _ in told if who == "witness"]
    assert numbers == sorted(set(numbers))
    assert min(numbers) > 0


def test_changes_are_kept_back_while_paused():
    rack = tr.Rack([tr.Gain()])
    rack.prepare(RATE, 1)
    assert last_of(rack) == 0.5
    rack.running.pause(True)
    rack["gain"].gain_db = -20.0
    assert last_of(rack) == 0.5
    rack.running.pause(False)
    assert last_of(rack) == pytest.approx(0.05, rel=1e-5)


def test_a_stream_moves_on_to_another_rack_with_its_listeners():
    first, second = tr.Rack([tr.Gain()], name="first"), tr.Rack([tr.Gain(gain_db=-20.0)], name="second")
    first.prepare(RATE, 1)
    told: list[dict[str, object]] = []
    first.running.listeners.append(lambda number, change: told.append(change))
    engine = first.running.engine
    first.running.hand_over(second.running)
    assert (first.running.engine, second.running.engine) == (None, engine)
    assert last_of(second) == pytest.approx(0.05, rel=1e-5)
    second["gain"].gain_db = 0.0
    assert told == [{"rack": second}, {"set": "gain.gain_db", "to": 0.0}]
    with pytest.raises(RuntimeError, match=r"call rack\.prepare"):
        last_of(first)


def test_a_rack_with_other_sidechains_is_refused_and_nothing_has_changed():
    first, other = tr.Rack([tr.Gain()], name="first"), tr.Rack([tr.Compressor(key="voice")], name="other")
    first.prepare(RATE, 1)
    with pytest.raises(ValueError, match=r"rack 'other' listens to other sidechains \(voice\)"):
        first.running.hand_over(other.running)
    assert other.running.engine is None
    assert last_of(first) == 0.5
