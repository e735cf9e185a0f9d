"""The delay: where repeats come, on which side, and what holds or ends them."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import music

RATE = 48000


def repeats(seconds: float = 1.0, **values: object) -> np.ndarray:
    """What one impulse on the left gives, the repeats alone."""
    plain = {"low_cut_hz": 10.0, "high_cut_hz": 20000.0, "mix": 1.0}
    x = np.zeros((2, int(seconds * RATE)), np.float32)
    x[0, 0] = 1.0
    return tr.Rack([tr.Delay(**{**plain, **values})])(x, RATE)


def places(y: np.ndarray) -> list[int]:
    """Frames of the peaks, each the largest within 10 ms."""
    found = []
    for n in np.flatnonzero(np.abs(y) > 0.02):
        if np.abs(y[n]) == np.abs(y[max(n - 480, 0) : n + 480]).max():
            found.append(int(n))
    return found


def test_the_time_is_that_of_the_note():
    for note, beats in (("1_4", 1.0), ("1_8_dotted", 0.75), ("1_8_triplet", 1.0 / 3.0)):
        y = repeats(sync=note, tempo_bpm=150.0, feedback=0.0)
        assert places(y[0]) == [round(beats * 60.0 / 150.0 * RATE)]


def test_ping_pong_takes_turns():
    y = repeats(mode="ping_pong", time_ms=100.0, feedback=0.8)
    left, right = places(y[0]), places(y[1])
    assert left[:3] == [4800, 14400, 24000]
    assert right[:3] == [9600, 19200, 28800]


def test_sides_may_have_their_own_times_and_feed_each_other():
    y = repeats(time_ms=100.0, right_percent=150.0, feedback=0.5, cross=1.0)
    assert places(y[0])[0] == 4800
    assert places(y[1])[0] == 4800 + 7200  # round the other side


def test_each_repeat_loses_what_the_feedback_says():
    y = repeats(time_ms=50.0, feedback=0.5)[0]
    turn = np.exp(-2j * np.pi * 1000 / RATE * np.arange(100))
    first, second, third = (abs(np.sum(turn * y[k * 2400 - 20 : k * 2400 + 80])) for k in (1, 2, 3))  # at 1 kHz
    assert second / first == pytest.approx(0.5, abs=0.01)
    assert third / second == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("more", [{}, {"cross": 0.6}, {"mode": "ping_pong"}])
def test_frozen_it_stays_as_it_is(more):
    rack = tr.Rack([tr.Delay(time_ms=101.3, feedback=0.3, mix=1.0, saturation=0.5, depth_ms=1.0, **more)])
    rack.prepare(RATE, 2)
    x = music(2, 48000, RATE, 1)
    rack.process(x)
    rack.set("delay.freeze", True)
    rack.process(x[:, :24000])  # the switch fades, the head comes to rest
    period = round(0.1013 * RATE)
    y = rack.process(np.zeros((2, 40 * period), np.float32))
    assert float(np.abs(y).max()) > 1e-3
    assert np.array_equal(y[:, -period:], y[:, :period])


def test_with_the_input_off_the_repeats_ring_out():
    rack = tr.Rack([tr.Delay(time_ms=100.0, feedback=0.5, mix=0.5)])
    rack.prepare(RATE, 2)
    x = music(2, 48000, RATE, 2)
    rack.process(x)
    rack.set("delay.input", False)
    ringing = rack.process(np.zeros((2, 9600), np.float32))
    assert float(np.abs(ringing[:, 4800:]).max()) > 0.01
    rack.process(np.zeros((2, 2 * RATE), np.float32))
    quiet = rack.process(np.ascontiguousarray(x[:, :9600]))
    assert np.allclose(quiet, 0.5 * x[:, :9600], atol=1e-6)  # the sound itself goes on, and nothing is repeated


def test_ducking_turns_repeats_down_while_it_is_loud():
    x = np.zeros((1, RATE), np.float32)
    x[0, : RATE // 2] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)
    wet = [tr.Rack([tr.Delay(time_ms=100.0, mix=1.0, feedback=0.0, ducking_db=db)])(x, RATE)[0] for db in (0.0, 12.0)]
    loud = slice(int(0.3 * RATE), int(0.45 * RATE))
    assert 20 * np.log10(np.std(wet[1][loud]) / np.std(wet[0][loud])) == pytest.approx(-12.0 * 0.5 / 0.53, abs=0.6)


def test_a_change_of_time_at_most_doubles_the_pitch():
    """A tone, while the time jumps from 450 ms back to 50 ms: it sounds an octave higher, and nothing above that."""
    rack = tr.Rack([tr.Delay(time_ms=50.0, mix=1.0, feedback=0.0)])
    rack.prepare(RATE, 1)
    t = np.arange(3 * RATE) / RATE
    x = (0.5 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)[None]
    parts = [rack.process(np.ascontiguousarray(x[:, :RATE]))]
    for time, part in ((450.0, slice(RATE, 2 * RATE)), (50.0, slice(2 * RATE, None))):
        rack.set("delay.time_ms", time)
        parts.append(rack.process(np.ascontiguousarray(x[:, part])))
    y = np.concatenate(parts, 1)[0]
    spectrum = np.abs(np.fft.rfft(y[2 * RATE : 2 * RATE + 24000] * np.hanning(24000)))
    hertz = np.fft.rfftfreq(24000, 1 / RATE)
    assert spectrum[hertz > 1100].max() < 0.003 * spectrum.max()
    assert abs(hertz[np.argmax(spectrum)] - 1000) < 30
