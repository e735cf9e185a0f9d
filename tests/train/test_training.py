"""Training: networks in the chain, conditions, drift that is said, steps that are too large, what a person is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music
from twinrack.measure.drift import Drift, figures
from twinrack.measure.gain_over_time import gain_trajectory, trajectory_error_db

RATE = 16000


def sound(seconds: float = 6.0, seed: int = 0, channels: int = 1) -> np.ndarray:
    return music(channels, int(seconds * RATE), RATE, seed)


def valve(x: np.ndarray) -> np.ndarray:
    """A device that no card describes: a bend with memory."""
    slow = np.zeros_like(x)
    for n in range(1, x.shape[1]):
        slow[:, n] = 0.98 * slow[:, n - 1] + 0.02 * np.abs(x[:, n])
    return (np.tanh(3.0 * x + slow) - np.tanh(slow)).astype(np.float32) / 2.0


def test_an_adapter_learns_what_is_left_between_blocks_that_can_be_read(tmp_path: Path):
    """An equaliser and a valve: the equaliser alone cannot, and with the adapter its bands are found again."""
    x = 0.5 * sound(8.0, 1)
    hidden = tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1500, gain_db=6, q=1.0)])
    y = valve(tr.Rack([hidden])(x, RATE))
    start = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1200, gain_db=1, q=1.0)])])
    alone = tr.fit(start, x, y, RATE, steps=60, window_s=1.0, progress=False)
    network = tr.Network.wavenet((8,), (1, 3, 9, 27, 81), sample_rate=RATE, seed=1, quiet=True)
    start = start.copy()
    start.append(tr.Adapter(network=network, connection="add"))
    settings = {"window_s": 1.0, "batch": 8, "progress": False, "freeze": ["adapter.*_db", "adapter.mix"], "patience": 50}
    result = tr.fit(start, x, y, RATE, steps=200, learn=["parametric_eq.*", "adapter.*"], **settings)
    print(f"equaliser alone {alone.fitted}; with the adapter {result.fitted}")
    assert result.fitted.error_db < alone.fitted.error_db - 6
    assert result.settings["learn"][-1] == "adapter.network"
    assert not np.array_equal(result.rack["adapter"].network.weights, network.weights)
    held_out = error_db(result.rack(x, RATE), y)
    assert held_out < alone.fitted.error_db - 6  # the engine plays what was learned
    result.rack.save(tmp_path / "valve.rack.json")
    assert tr.load(tmp_path / "valve.rack.json") == result.rack
    words = result.explain()
    assert f"parametric_eq: {tr.CARDS['parametric_eq'].purpose}" in words
    assert "network: <Network wavenet" in words
    assert "left out:" in words


def test_a_response_learns_when_it_is_named():
    x = sound(3.0, 2)
    rng = np.random.default_rng(0)
    true = rng.standard_normal(24) * np.exp(-np.arange(24) / 6.0)
    y = np.apply_along_axis(lambda s: np.convolve(s, true)[: s.size], 1, x).astype(np.float32)
    begin = tr.Response(0.1 * np.eye(1, 24)[0] + 1e-3, RATE)
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=begin, mix=1.0, normalise=False)])
    result = tr.fit(
        rack, x, y, RATE, learn=["convolution_reverb.impulse_response"], steps=250, network_learning_rate=3.0, progress=False
    )
    assert result.fitted.error_db < -25
    assert error_db(result.rack["convolution_reverb"].impulse_response.samples[0], true.astype(np.float32)) < -20


def test_settings_known_per_file_are_kept_and_knobs_learned():
    """Three recordings of one device: the ratio was written down, and a drive knob moves threshold and make-up."""
    x = [sound(3.0, seed) for seed in range(3)]
    ratios, knob = (2.0, 4.0, 8.0), (0.0, 0.5, 1.0)
    y = []
    for sound_in, ratio, drive in zip(x, ratios, knob, strict=True):
        y.append(tr.Rack([tr.Compressor(ratio=ratio, threshold_db=-20 - 14 * drive, makeup_db=2)])(sound_in, RATE))
    conditions = [{"compressor.ratio": r, "drive": k} for r, k in zip(ratios, knob, strict=True)]
    learn = ["compressor.threshold_db", "compressor.makeup_db", "compressor.ratio"]
    start = tr.Rack([tr.Compressor(threshold_db=-24)])
    result = tr.fit(start, x, y, RATE, conditions=conditions, learn=learn, steps=250, learning_rate=0.02, progress=False)
    assert "compressor.ratio" not in result.settings["learn"]
    assert result.fitted.error_db < -35
    for drive in knob:
        assert result.at(drive=drive)["compressor"].threshold_db == pytest.approx(-20 - 14 * drive, abs=1.0)
    with pytest.raises(ValueError, match="no knob is called 'gain'; there are drive"):
        result.at(gain=1)
    with pytest.raises(ValueError, match="3 pairs and 2 conditions"):
        tr.fit(start, x, y, RATE, conditions=conditions[:2], progress=False)
    with pytest.raises(ValueError, match="ratio = 900 is above"):
        tr.fit(start, x, y, RATE, conditions=[c | {"compressor.ratio": 900} for c in conditions], progress=False)
    with pytest.raises(ValueError, match=r"condition 2 names compressor\.ratio, the first"):
        tr.fit(start, x, y, RATE, conditions=[conditions[0], {"compressor.ratio": 2}, conditions[2]], progress=False)


PLANTED = {
    # a loss that only hears the peak: the shelf may go anywhere
    "spectrum": (tr.ParametricEQ(bands=[tr.Band("high_shelf", frequency_hz=800, gain_db=0)]), ["*.band1.gain_db"]),
    # magnitudes alone: an all-pass may turn every phase
    "phase": (tr.ParametricEQ(bands=[tr.Band("all_pass", frequency_hz=60, q=0.3)]), ["*.band1.frequency_hz"]),
    # the long-term level alone: a compressor may pump
    "envelope": (tr.Compressor(ratio=1.0, threshold_db=-40, attack_ms=1, release_ms=50), ["*.ratio", "*.makeup_db"]),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_drift_is_said(name: str):
    """The target is the dry sound; the loss asks for something else, which only one of the figures sees."""
    x = sound(4.0, 3)
    effect, learn = PLANTED[name]

    def lure(y: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if name == "phase":  # as unlike itself as an all-pass can make it
            return 1.0 + (y * target).mean() / (target**2).mean()
        if name == "spectrum":  # less of what moves fast
            return ((y[..., 1:] - y[..., :-1]) ** 2).mean() / (target**2).mean()
        crest = (y**4).mean() / (y**2).mean() ** 2
        return crest / 10.0

    rack = tr.Rack([effect.copy()])
    loss = tr.losses.Custom("lure", lure)
    result = tr.fit(rack, x, x, RATE, loss=loss, learn=learn, steps=150, learning_rate=0.03, window_s=1.0, progress=False)
    figures_seen = [row for row in result.history if f"drift.{name}" in row]
    assert len(figures_seen) > 5
    assert any(words.startswith(f"the {name} drifts") for words in result.warnings), [r[f"drift.{name}"] for r in figures_seen]
    assert f"the {name} drifts" in str(result)
    assert result.rack.provenance["warnings"] == result.warnings or "nothing better" in result.stopped


def test_a_fit_that_goes_well_says_nothing(tmp_path: Path):
    x = sound(4.0, 3)
    y = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)])(x, RATE)
    result = tr.fit(tr.Rack([tr.Compressor()]), x, y, RATE, steps=80, window_s=1.0, progress=False)
    assert not result.warnings
    assert result.trajectory_db is not None
    nothing, start, fitted = result.trajectory_db
    assert nothing > 3
    assert fitted < 0.01 < start
    assert "gain over time" in str(result)
    assert 'id="gain"' in result.report(tmp_path / "fit.html").read_text()


def test_the_gain_over_time_tells_what_a_waveform_does_not():
    """Two compressors that differ in their release: the waveforms are near each other, the gains are not."""
    x = sound(4.0, 9)
    y = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, release_ms=60)])(x, RATE)
    other = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, release_ms=400)])(x, RATE)
    seconds, gain = gain_trajectory(x, y, RATE)
    assert seconds[0] == pytest.approx(0.005)
    assert np.nanmin(gain) < -6
    assert np.nanmax(gain) < 0.5
    silent = np.concatenate([np.zeros_like(x), x], 1)
    assert np.isnan(gain_trajectory(silent, silent, RATE)[1][:300]).all()
    assert trajectory_error_db([(x, other, y)], RATE) > 2.0
    assert trajectory_error_db([(x, y, y)], RATE) == 0.0


def test_the_figures_of_drift():
    x = sound(2.0, 4, 2)
    same = figures([(x, x)], RATE)
    assert same == {"spectrum": 0.0, "phase": pytest.approx(1.0), "envelope": 0.0}
    louder = figures([(2 * x, x)], RATE)
    assert louder["spectrum"] < 1e-3
    assert louder["envelope"] < 1e-3
    assert figures([(-x, x)], RATE)["phase"] == pytest.approx(-1.0)
    watch = Drift()
    said = [watch.check(n, {"phase": v}) for n, v in enumerate((0.9, 0.95, 0.84, 0.96, 0.8, 0.8, 0.7))]
    assert [len(s) for s in said] == [0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("factor", [10.0, 100.0, 1000.0])
def test_no_step_size_breaks_a_training(factor: float):
    x = sound(2.0, 5)
    y = valve(0.5 * x)
    network = tr.Network.wavenet((4,), (1, 2, 4), sample_rate=RATE, seed=2)
    rack = tr.Rack([tr.Compressor(), tr.FDNReverb(mix=0.2), tr.Adapter(network=network)])
    result = tr.fit(
        rack,
        x,
        y,
        RATE,
        steps=30,
        learning_rate=0.012 * factor,
        network_learning_rate=0.003 * factor,
        polish_steps=0,
        window_s=0.5,
        progress=False,
    )
    assert np.isfinite(result.fitted.error_db)
    assert result.skipped_steps < 30
    for address, value in result.rack.values().items():
        effect, _, name = address.partition(".")
        p = result.rack[effect].card.addresses[name]
        assert p.check(value, "") == value
    assert np.isfinite(result.rack["adapter"].network.weights).all()
    tr.certify(result.rack)
    assert np.isfinite(result.rack(x, RATE)).all()


def test_a_checkpoint_holds_networks(tmp_path: Path):
    x = sound(2.0, 6)
    rack = tr.Rack([tr.Adapter(network=tr.Network.mlp((6,), 4, sample_rate=RATE, seed=1))])
    settings = {"window_s": 0.5, "progress": False, "polish_steps": 0, "steps": 40, "patience": 100}
    whole = tr.fit(rack, x, valve(x), RATE, **settings)

    def stop(step: int, loss: float) -> None:
        if step == 25:
            raise KeyboardInterrupt

    tr.fit(rack, x, valve(x), RATE, checkpoint=tmp_path / "a.ckpt", on_step=stop, **settings)
    again = tr.fit(rack, x, valve(x), RATE, checkpoint=tmp_path / "a.ckpt", **settings)
    assert np.array_equal(again.rack["adapter"].network.weights, whole.rack["adapter"].network.weights)


def test_tensorboard_has_the_history(tmp_path: Path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    x = sound(2.0, 7)
    y = tr.Rack([tr.Gain(gain_db=-6)])(x, RATE)
    result = tr.fit(tr.Rack([tr.Gain()]), x, y, RATE, steps=30, tensorboard=tmp_path / "runs", progress=False)
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"gain/gain_db", "held_out", "drift/spectrum", "loss/waveform", "error_db"} <= set(tags)
    assert events.Scalars("held_out")[0].value == pytest.approx(result.history[0]["held_out"], rel=1e-5)


def test_provenance_is_json():
    x = sound(1.0, 8)
    rack = tr.Rack([tr.Adapter(network=tr.Network.lstm(3, seed=1), connection="add")])
    result = tr.fit(rack, x, x * 0.5, RATE, steps=3, window_s=0.5, progress=False)
    json.dumps(result.rack.provenance)
    assert result.rack["adapter"].network.sample_rate == RATE  # it remembers, so from now on it belongs to this rate
