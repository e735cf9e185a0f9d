"""The Python surface of the rack: arrays in any form, addresses, errors, structure, tail."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import twinrack as tr
from support import error_db, music


def test_addresses_names_and_equality():
    rack = tr.Rack([tr.Compressor(), tr.Gain(), tr.Compressor(ratio=8), tr.Gain(name="trim")])
    assert list(rack.addresses()) == ["compressor", "gain", "compressor_2", "trim"]
    rack.set("compressor_2.ratio", 2)
    assert rack.get("compressor_2.ratio") == 2.0
    assert rack["trim"].gain_db == 0
    assert rack == rack.copy()
    assert rack != tr.Rack([tr.Compressor()])
    assert eval(repr(rack), vars(tr)) == rack
    for action, words in (
        (lambda: rack.get("compresor.ratio"), "no effect 'compresor'; did you mean 'compressor"),
        (lambda: rack.set("compressor.ration", 3), "no parameter 'ration'; did you mean 'ratio'"),
        (lambda: rack.set("compressor_2.ratio", 0.5), r"compressor_2.ratio = 0.5 is below 1"),
        (lambda: tr.Rack([tr.Gain(name="a"), tr.Gain(name="a")]), "two effects are called 'a'"),
        (lambda: tr.Gain(name="my gain"), "cannot be addressed"),
    ):
        with pytest.raises(ValueError, match=words):
            action()
    with pytest.raises(TypeError, match="holds effects"):
        tr.Rack([3])
    gain = tr.Gain()
    with pytest.raises(ValueError, match="twice"):
        tr.Rack([gain, gain])


def test_arrays_of_every_kind():
    rack = tr.Rack([tr.Gain(gain_db=-6)])
    x = music(1, 4800, 48000, 1)[0]
    y = rack(x, 48000)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert np.allclose(rack(x.astype(np.float64), 48000), y)
    assert np.allclose(rack((x * 32767).astype(np.int16), 48000), y, atol=2e-4)
    assert np.allclose(rack((x * (2**31 - 1)).astype(np.int32), 48000), y, atol=1e-6)
    assert np.allclose(rack((x * 127 + 128).astype(np.uint8), 48000), y, atol=1e-2)
    assert np.allclose(rack(np.stack([x, x])[:, ::-1], 48000), np.stack([y, y])[:, ::-1])  # any strides
    assert np.allclose(rack(x.tolist(), 48000), y)
    for bad, words in (
        (np.zeros((4800, 2)), r"looks like \(frames, channels\); give \(channels, frames\): x.T"),
        (np.zeros((17, 4800)), "17 channels; 1 to 16"),
        (np.zeros((0, 100)), "0 channels"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros(8, complex), "complex128; give floats or integers"),
        (np.zeros(8, np.int64), "full scale is known"),
    ):
        with pytest.raises(ValueError, match=words):
            rack(bad, 48000)
    with pytest.raises(ValueError, match="sample rate 4000 Hz is outside 8000 to 384000"):
        rack(x, 4000)


def test_processing_without_a_copy_too_many():
    """The input is not changed, and a contiguous float32 block takes the short way."""
    rack = tr.Rack([tr.Gain(gain_db=-6)])
    rack.prepare(48000, 2)
    x = music(2, 512, 48000, 1)
    before = x.copy()
    y = rack.process(x)
    assert np.array_equal(x, before)
    assert y is not x
    with pytest.raises(ValueError, match="1 channels, the stream 2"):
        rack.process(x[0])
    with pytest.raises(RuntimeError, match=r"call rack\.prepare"):
        tr.Rack([]).process(x)


def test_tail():
    rack = tr.Rack([tr.FDNReverb(decay_s=1.0, mix=0.5)])
    x = music(2, 9600, 48000, 1)
    short, longer = rack(x, 48000), rack(x, 48000, tail="auto")
    assert longer.shape[1] > 9600 + 1.5 * 48000
    assert np.array_equal(longer[:, :9600], short)
    assert np.max(np.abs(longer[:, -1])) > 0  # it ends where it falls below -140 dBFS
    assert rack(x, 48000, tail=0.25).shape[1] == 9600 + 12000
    assert tr.Rack([tr.Gain()])(x, 48000, tail="auto").shape[1] == 9600
    with pytest.raises(ValueError, match="outside 0 to 3600"):
        rack(x, 48000, tail=-1.0)
    with pytest.raises(ValueError, match='give "auto"'):
        rack(x, 48000, tail="long")


def test_latency_is_compensated_in_a_render_and_reported_in_a_stream():
    rack = tr.Rack([tr.Compressor(ratio=1, lookahead_ms=5)])
    x = music(1, 4800, 48000, 1)
    assert np.allclose(rack(x, 48000), x, atol=1e-7)
    rack.prepare(48000, 1)
    assert rack.latency_frames == 240
    assert not np.any(rack.process(x)[:, :240])


def test_sidechain_errors():
    rack = tr.Rack([tr.Compressor(key="voice"), tr.Compressor(key="drums")])
    x = music(2, 480, 48000, 1)
    with pytest.raises(ValueError, match="listens to sidechain"):
        rack(x, 48000)
    with pytest.raises(ValueError, match="2 sidechain inputs"):
        rack(x, 48000, sidechain=x)
    with pytest.raises(ValueError, match="no sidechain 'voise'"):
        rack(x, 48000, sidechain={"voise": x, "drums": x})
    with pytest.raises(ValueError, match="10 frames, the audio 480"):
        rack(x, 48000, sidechain={"voice": x[:, :10], "drums": x})
    assert rack(x, 48000, sidechain={"voice": x, "drums": x}).shape == x.shape


def test_automation_errors():
    rack = tr.Rack([tr.Compressor()])
    x = music(1, 480, 48000, 1)
    for automation, words in (
        ({"compressor.ratoi": [2]}, "did you mean 'ratio'"),
        ({"compressor.ratio": []}, "is empty"),
        ({"compressor.ratio": [2, 99]}, "99 is above 50"),
        ({"compressor.lookahead_ms": [2]}, "sets the latency"),
        ({"gain.gain_db": [2]}, "no effect 'gain'"),
    ):
        with pytest.raises(ValueError, match=words):
            rack(x, 48000, automation=automation)


def test_structure_while_a_stream_runs():
    rack = tr.Rack([tr.Gain(), tr.Compressor()])
    rack.prepare(48000, 1)
    x = music(1, 4800, 48000, 1)
    rack.process(x)
    rack.insert(1, tr.Gain(gain_db=-6, name="trim"))
    assert rack.remove("compressor") is not None
    with pytest.raises(ValueError, match="sidechain inputs cannot change"):
        rack.append(tr.Compressor(key="voice"))
    assert list(rack.addresses()) == ["gain", "trim"]
    rack.process(x)
    assert np.allclose(rack.process(x), x * 10 ** (-6 / 20), atol=1e-6)


def test_glide_takes_the_cards_time_and_arrives_exactly():
    rack = tr.Rack([tr.Gain()])
    x = np.ones((1, 9600), np.float32)
    _, curves = rack.trace(x, 48000, changes=[(3200, "gain.gain_db", -24.0)])
    curve = curves["gain.gain_db"]
    start, ticks = 100, 30  # tick 100; 20 ms are 30 ticks
    assert np.all(curve[:start] == 0)
    assert curve[start + ticks - 1] == -24
    t = np.arange(1, ticks + 1) / ticks
    assert np.allclose(curve[start : start + ticks], -24 * t * t * (3 - 2 * t), atol=1e-4)  # a smooth step


def test_copies_are_independent():
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)]), tr.Parallel([[], [tr.Gain(name="trim")]])], name="a")
    rack.provenance = {"made_by": "a test"}
    rack.prepare(48000, 1)
    for other in (rack.copy(), copy.deepcopy(rack), pickle.loads(pickle.dumps(rack))):
        assert other == rack
        assert other.provenance == rack.provenance
        other.set("trim.gain_db", -40)
        assert np.allclose(rack.process(np.ones(9600, np.float32))[-1], rack.process(np.ones(64, np.float32))[-1])
        assert rack.get("trim.gain_db") == 0
    assert copy.deepcopy(tr.Band("bell", q=2)) == tr.Band("bell", q=2)


def test_an_effect_belongs_to_one_rack():
    gain = tr.Gain()
    first = tr.Rack([gain], name="first")
    with pytest.raises(ValueError, match=r"the gain is already in rack 'first'; use effect\.copy"):
        tr.Rack([gain])
    tr.Rack([gain.copy()])
    first.remove("gain")
    tr.Rack([gain])


def test_decays_follow_until_they_are_set():
    reverb = tr.FDNReverb(decay_s=6)
    assert reverb.decay_high_s == pytest.approx(3.6)
    reverb.decay_s = 2
    assert reverb.decay_high_s == pytest.approx(1.2)
    reverb.decay_high_s = 0.5
    reverb.decay_s = 4
    assert (reverb.decay_high_s, reverb.decay_low_s) == (0.5, pytest.approx(4.4))
    assert reverb.copy().decay_high_s == 0.5


def test_a_sidechain_is_held_back_by_what_stands_before():
    """An effect with lookahead in front must not let the key come early: the same sound as in two racks in a row."""
    rate = 48000
    x, key = music(2, 24000, rate, 1), music(1, 24000, rate, 2)
    key[:, 8000:16000] = 0.0
    before = tr.Compressor(lookahead_ms=7.3, threshold_db=-30)
    ducked = tr.Compressor(threshold_db=-45, ratio=10, key="voice", attack_ms=0.5)
    both = tr.Rack([before, tr.Parallel([[], [tr.Gain(), ducked]])])
    alone = tr.Rack([tr.Parallel([[], [tr.Gain(), ducked.copy()]])])
    y = both(x, rate, sidechain=key)
    wanted = alone(tr.Rack([before.copy()])(x, rate), rate, sidechain=key)
    assert error_db(y, wanted) < -130
    import torch

    with torch.no_grad():
        z = both.twin(rate)(torch.from_numpy(x)[None], sidechain=torch.from_numpy(key)[None])[0].numpy()
    assert error_db(z, y) < -120
    both.prepare(rate, 2)
    parts = [both.process(x[:, i : i + 700], sidechain=key[:, i : i + 700]) for i in range(0, 24000, 700)]
    latency = both.latency_frames
    assert np.array_equal(np.concatenate(parts, 1)[:, latency:], y[:, : 24000 - latency])
