"""What stands before the loudspeakers, without a server: lines, levels, protection, and the bridge between two clocks."""

from __future__ import annotations

import os

import numpy as np
import pytest

import twinrack as tr
from support import SHARED, music, recording
from twinrack import _engine

RATE = 48000
MixerControl = _engine.MixerControl


def mixer(rack: tr.Rack, channels: int = 2, rate: int = RATE) -> _engine.Mixer:
    rack.prepare(rate, channels)
    made = _engine.Mixer([(rack.running.engine, list(range(channels)), [], list(range(channels)))], channels, channels, rate)
    made.set_control(MixerControl.fade, 0, 1.0)
    return made


def in_blocks(made: _engine.Mixer, x: np.ndarray, size: int | list[int]) -> np.ndarray:
    parts, at, sizes = [], 0, [size] if isinstance(size, int) else size
    for n in range(10**9):
        if at >= x.shape[1]:
            break
        step = sizes[n % len(sizes)]
        parts.append(made.process(np.ascontiguousarray(x[:, at : at + step])))
        at += step
    return np.concatenate(parts, 1)


def test_the_same_sound_in_any_blocks():
    """Levels, mutes, a limiter at work, a howl: all on the absolute grid."""
    t = np.arange(3 * RATE) / RATE
    howl = np.minimum(0.001 * np.exp(4.0 * t), 1.5) * np.sin(2 * np.pi * 2345.6 * t)
    x = np.stack([howl, howl]).astype(np.float32) + 0.3 * music(2, 3 * RATE, RATE, 1)
    x[:, : 2 * RATE] -= 0.3 * music(2, 3 * RATE, RATE, 1)[:, : 2 * RATE]
    found = []
    for sizes in (64, 4096, [1, 17, 512, 333]):
        made = mixer(tr.Rack([tr.Compressor(), tr.Gain(gain_db=3)]))
        made.set_control(MixerControl.level, 0, 0.7)
        parts = [in_blocks(made, x[:, : RATE + 7], sizes)]
        made.set_control(MixerControl.mute, 0, 1.0)
        parts.append(in_blocks(made, x[:, RATE + 7 : RATE + 3007], sizes))
        made.set_control(MixerControl.mute, 0, 0.0)
        parts.append(in_blocks(made, x[:, RATE + 3007 :], sizes))
        found.append(np.concatenate(parts, 1))
        assert made.output_state().howls > 0
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("channels", [2, 3])
def test_a_scope_of_sound_beyond_all_measure_is_finite(channels):
    """The sum of channels that just fit into float32 does not."""
    made = mixer(tr.Rack([tr.Gain()]), channels)
    in_blocks(made, np.full((channels, 640), 3.4e38, np.float32), 64)
    for after in (False, True):
        assert np.isfinite(made.scope(0, after, 640)).all()
    assert np.abs(made.scope(0, False, 1)).max() > 1e38


def test_the_limiter_holds_and_leaves_what_is_below_as_it_is(rng):
    rack = tr.Rack([tr.Gain()])
    x = (rng.standard_normal((2, RATE)) * 0.2).astype(np.float32).clip(-0.9, 0.9)
    made = mixer(rack)
    made.process(np.zeros((2, 4096), np.float32))
    assert np.array_equal(made.process(x), x)
    loud = (100 * rng.standard_normal((2, RATE))).astype(np.float32)
    y = made.process(loud)
    ceiling = 10 ** (-0.3 / 20)
    assert np.max(np.abs(y)) <= ceiling + 1e-4
    assert made.output_state().limiter_gain < 0.1
    made.set_control(MixerControl.limiter, 0, 0.0)
    assert np.array_equal(made.process(loud), loud)
    made.set_control(MixerControl.limiter, 0, 1.0)
    made.set_control(MixerControl.ceiling, 0, 0.25)
    assert np.max(np.abs(made.process(loud))) <= 0.2501


def test_several_lines_their_inputs_outputs_and_sidechains():
    voice, bass = tr.Rack([tr.Gain(gain_db=-6.0206)]), tr.Rack([tr.Compressor(threshold_db=-40, ratio=20, key="kick")])
    voice.prepare(RATE, 2)
    bass.prepare(RATE, 1)
    made = _engine.Mixer([(voice.running.engine, [0, 0], [], [0, 1]), (bass.running.engine, [1], [[2]], [1])], 3, 3, RATE)
    made.set_control(MixerControl.fade, 0, 1.0)
    x = np.zeros((3, RATE), np.float32)
    x[0], x[1] = 0.5, 0.25
    y = made.process(x)
    assert y[0, -1] == pytest.approx(0.25, rel=1e-5)
    assert y[1, -1] == pytest.approx(0.5, rel=1e-5)
    assert not y[2].any()
    made.set_control(MixerControl.level, 0, 0.0)
    x[2] = 0.9
    y = made.process(x)
    assert y[0, -1] == 0.0
    assert y[1, -1] < 0.03  # the kick turns the bass down
    with pytest.raises(ValueError, match="lacks"):
        _engine.Mixer([(voice.running.engine, [0, 7], [], [0, 1])], 3, 3, RATE)


def loop(gain_db: float, source: np.ndarray, *, duck: bool, seconds: float = 4.0) -> tuple[np.ndarray, _engine.Mixer, float]:
    """A microphone that hears its own loudspeaker across a room; what was heard, and when the first howl was noticed."""
    made = mixer(tr.Rack([tr.Gain(gain_db=gain_db)]), 1)
    made.set_control(MixerControl.howl_duck, 0, float(duck))
    rng = np.random.default_rng(4)
    room = rng.standard_normal(2400) * np.exp(-np.arange(2400) / 400)  # 50 ms, with a first path of 7 ms
    room[:336] = 0
    room /= np.max(np.abs(np.fft.rfft(room, 16384)))  # a loop gain of 0 dB at the loudest frequency
    past = np.zeros(2400 + 64)
    heard, noticed = [], -1.0
    for n in range(int(seconds * RATE / 64)):
        back = np.convolve(past, room, "valid")[-64:]
        part = source[n * 64 : n * 64 + 64] if (n + 1) * 64 <= len(source) else np.zeros(64)
        y = made.process((back + part)[None].astype(np.float32))[0]
        past = np.concatenate([past[64:], y])
        heard.append(y)
        if noticed < 0 and made.output_state().howls:
            noticed = n * 64 / RATE
    return np.concatenate(heard), made, noticed


def test_a_howl_is_heard_and_turned_down():
    source = 1e-3 * np.random.default_rng(1).standard_normal(RATE)
    free, made, _ = loop(3.0, source, duck=False)
    assert np.sqrt(np.mean(free[-RATE:] ** 2)) > 0.3  # it does howl
    ducked, made, noticed = loop(3.0, source, duck=True)
    loud = np.flatnonzero(np.abs(free) > 0.1)[0] / RATE
    hz = made.output_state().howl_hz
    print(f"loop gain 3 dB: louder than -20 dBFS after {loud:.2f} s; noticed after {noticed:.2f} s, {hz:.0f} Hz")
    assert 0 < noticed < loud + 0.3
    assert np.max(np.abs(ducked)) < 0.7
    assert np.sqrt(np.mean(ducked[-RATE:] ** 2)) < 0.1
    _, made, noticed = loop(-3.0, source, duck=True)
    assert noticed < 0  # a loop that does not run away is left alone


def test_a_tone_held_down_by_the_limiter_is_a_howl_in_any_blocks():
    t = np.arange(2 * RATE) / RATE
    tone = (3.0 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)[None]
    found = []
    for size in (64, 512, 4096, [17, 1000]):
        made = mixer(tr.Rack([tr.Gain()]), 1)
        found.append(in_blocks(made, tone, size))
        assert made.output_state().howls > 0
        assert np.array_equal(found[0], found[-1])


@pytest.mark.parametrize("rate", [48000, 96000, 192000])
def test_a_tone_that_begins_and_stays_is_no_howl(rate):
    t = np.arange(2 * rate) / rate
    for attack in (0.0, 0.01, 0.06):
        level = np.minimum(t / attack, 1.0) if attack else np.ones_like(t)
        swelling = 1.0 + 0.006 * np.minimum(t / 0.4, 1.0)
        tone = (0.3 * level * swelling * np.sin(2 * np.pi * 1234.5 * t)).astype(np.float32)
        made = mixer(tr.Rack([tr.Gain()]), 2, rate)
        made.process(np.zeros((2, 20000), np.float32))
        made.process(np.stack([tone, tone]))
        assert made.output_state().howls == 0, attack


def test_a_howl_in_opposite_polarity_is_heard():
    t = np.arange(2 * RATE) / RATE
    howl = (0.001 * np.exp(5.0 * t) * np.sin(2 * np.pi * 900 * t)).clip(-0.9, 0.9).astype(np.float32)
    made = mixer(tr.Rack([tr.Gain()]))
    made.process(np.stack([howl, -howl]))
    assert made.output_state().howls > 0


@pytest.mark.parametrize("name", ["guitar", "drums", "tabla", "piano", "speech"])
def test_music_and_speech_are_no_howl(name):
    x, rate = recording(f"{name}.flac")
    made = mixer(tr.Rack([tr.Gain(gain_db=6)]), 2, rate)
    made.process(x)
    assert made.output_state().howls == 0


def test_every_recording_through_every_processor_is_no_howl():
    pairs = sorted((SHARED / "pairs").glob("*.flac"))
    if not pairs:
        pytest.skip("the development recordings are not beside this checkout")
    wrong = []
    for path in pairs:
        x, rate = recording(f"pairs/{path.name}")
        made = mixer(tr.Rack([tr.Gain()]), x.shape[0], rate)
        made.process(x)
        if made.output_state().howls:
            wrong.append((path.name, made.output_state().howl_hz))
    print(f"{len(pairs)} recordings, taken for howls: {wrong}")
    assert not wrong


@pytest.mark.parametrize("mutes", [True, False])
def test_a_fault_is_muted_for_a_moment(mutes):
    made = mixer(tr.Rack([tr.Gain(gain_db=24)]), 1)
    made.set_control(MixerControl.limiter, 0, 0.0)
    made.set_control(MixerControl.mute_on_fault, 0, float(mutes))
    x = np.full((1, RATE), 0.25, np.float32)
    made.process(x)
    x[0, 1024:1100] = 3e38  # overflows
    y = made.process(x)[0]
    assert np.isfinite(y).all()
    assert made.output_state().fault_mutes == mutes
    after = y[1100 + 200 : 1100 + 4000]
    assert (np.max(np.abs(after)) == 0.0) == mutes
    assert y[-1] == pytest.approx(0.25 * 10 ** (24 / 20), rel=1e-4)  # it came back
    if mutes:
        assert np.max(np.abs(np.diff(y[1100 + 4000 :]))) < 0.05  # by a fade


# --- two clocks ---------------------------------------------------------------------------------------------------------


def drifting(ppm: float, seconds: float, blocks: tuple[int, int], rates: tuple[float, float], jitter_s: float = 2e-4):
    """Two devices whose clocks differ: what comes out, the bridge, and what waited in it, call by call."""
    rng = np.random.default_rng(3)
    write, read = blocks
    true_in, rate_out = rates[0] * (1 + ppm * 1e-6), rates[1]
    delay = 2 * write + read + round(0.002 * rates[0])
    bridge = _engine.Bridge(1, *rates, delay)
    period_in, period_out = write / true_in, read / rate_out
    wrote, heard, waiting = 0, [], []
    phase = 2 * np.pi * 997.0 / true_in * np.arange(write)
    for n in range(int(seconds / period_out)):
        now = (n + 1) * period_out
        while (wrote + 1) * period_in <= now:
            tone = np.sin(phase + 2 * np.pi * 997.0 / true_in * (wrote * write % true_in))
            bridge.write(0.5 * tone.astype(np.float32)[:, None], (wrote + 1) * period_in + abs(rng.normal(0, jitter_s)) / 2)
            wrote += 1
        heard.append(bridge.read(read, now + abs(rng.normal(0, jitter_s)) / 2)[0])
        waiting.append(bridge.waiting)
    return np.concatenate(heard), bridge, np.array(waiting)


@pytest.mark.parametrize("ppm", [-100.0, 100.0, 0.0])
@pytest.mark.parametrize(("blocks", "rates"), [((64, 64), (48000.0, 48000.0)), ((256, 128), (44100.0, 48000.0))])
def test_drift_is_followed_without_a_gap(ppm, blocks, rates):
    """TWINRACK_DRIFT_S=3600 is the hour."""
    seconds = float(os.environ.get("TWINRACK_DRIFT_S", "60"))
    y, bridge, waiting = drifting(ppm, seconds, blocks, rates)
    settled = waiting[len(waiting) // 2 :]
    swing = float(np.ptp(settled))
    found = f"found {bridge.drift_ppm:+.1f} ppm, waiting {settled.mean():.0f} ± {swing / 2:.1f} frames"
    print(f"{ppm:+.0f} ppm, {blocks}, {rates}: {found}")
    assert bridge.underruns == bridge.overruns == 0
    assert bridge.drift_ppm == pytest.approx(ppm, abs=8)
    assert swing < blocks[0] / 2
    late = y[-4 * RATE :].astype(np.float64)
    window = np.hanning(len(late))
    spectrum = np.abs(np.fft.rfft(late * window)) ** 2
    peak = int(np.argmax(spectrum))
    assert abs(peak * rates[1] / len(late) - 997.0) < 1.0
    side = spectrum.copy()
    side[max(0, peak - 40) : peak + 41] = 0
    purity = 10 * np.log10(side.sum() / spectrum.sum())
    print(f"beside the tone: {purity:.1f} dB")
    assert purity < -80


def test_a_bridge_that_ran_dry_goes_on():
    bridge = _engine.Bridge(1, 48000.0, 48000.0, 256)
    for n in range(100):
        bridge.write(np.full((64, 1), 0.5, np.float32), n / 750)
        bridge.read(64, n / 750)
    for n in range(100, 200):
        bridge.read(64, n / 750)
    assert bridge.underruns == 1
    for n in range(200, 300):
        bridge.write(np.full((64, 1), 0.5, np.float32), n / 750)
        y = bridge.read(64, n / 750)
    assert y[0, -1] == pytest.approx(0.5, abs=1e-3)


def test_the_loudness_of_the_outputs_is_that_of_a_meter():
    x = 0.3 * music(2, 3 * RATE, RATE, 1)
    alone = mixer(tr.Rack([tr.Gain()]))
    y = in_blocks(alone, x, [64, 1, 500])
    state = alone.output_state()
    assert state.weighted_frames == x.shape[1]
    lufs = -0.691 + 10 * np.log10(state.weighted_energy / state.weighted_frames)
    assert lufs == pytest.approx(tr.loudness(y, RATE).loudest_short_term, abs=0.05)  # of just 3 s
    # Outputs after the first two are another programme.
    wide = mixer(tr.Rack([tr.Gain()]), 4)
    in_blocks(wide, np.concatenate([x, x]), 512)
    assert wide.output_state().weighted_energy == pytest.approx(state.weighted_energy, rel=1e-9)
