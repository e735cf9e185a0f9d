"""Takes as sessions: what hands did live is automation, and sounds the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

import twinrack as tr
from session_support import RATE
from support import CARD_IDS, error_db, make, music, random_values
from twinrack.session.channel import why_fixed
from twinrack.stage.gestures import read_take
from twinrack.stage.take import FORMAT, VERSION


def played(folder: Path, racks: dict[str, tr.Rack], events: list[dict], x: np.ndarray) -> None:
    """A take on disk, as the recorder writes it."""
    folder.mkdir()
    soundfile.write(folder / "dry.wav", x.T, RATE, subtype="FLOAT")
    soundfile.write(folder / "processed.wav", x.T, RATE, subtype="FLOAT")
    lines = []
    for name, rack in racks.items():
        rack.save(folder / f"{name}.rack.json")
        lines.append({"name": name, "rack": f"{name}.rack.json", "inputs": [1, 2], "outputs": [1, 2], "level_db": 0.0,
                      "mute": False, "sidechain": {}})  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
    safety = {"limiter": False, "ceiling_db": -0.3, "mute_on_fault": True, "howl_duck": True}
    head = {"format": FORMAT, "version": VERSION, "sample_rate": RATE, "first_frame": 640, "exact_from": 0,
            "frames": x.shape[1], "lines": lines, "inputs": 2, "outputs": 2, "complete": True, "sha256": {},
            "safety": safety}  # fmt: skip
    (folder / "take.json").write_text(json.dumps(head), encoding="utf-8")


def test_histories_become_automation(tmp_path):
    """Of every card, set again and again, also before the last glide has ended: the engine's own sound."""
    errors = []
    for seed, card in enumerate(CARD_IDS * 2):
        rng = np.random.default_rng(seed)
        x = music(2, 24000, RATE, seed)
        effect = make(tr.CARDS[card], random_values(tr.CARDS[card], rng, "expected"))
        rack = tr.Rack([effect], name="line")
        start = rack.copy()
        rack.prepare(RATE, 2, first_frame=640)
        parts, events, at = [], [], 0
        for _ in range(12):
            step = 32 * int(rng.integers(1, 90))
            parts.append(rack.process(x[:, at : at + step]))
            at += step
            for name, value in random_values(tr.CARDS[card], rng, "expected").items():
                if rng.random() < 0.15 and not why_fixed(effect, name):
                    rack.set(f"{card}.{name}", value)
                    events.append({"frame": 640 + at, "line": "line", "set": f"{card}.{name}", "to": value})
        parts.append(rack.process(x[:, at:]))
        latency = rack.latency_frames
        y = np.concatenate(parts, 1)[:, latency:]
        folder = tmp_path / f"{seed}"
        played(folder, {"line": start}, events, x)
        session, left = read_take(folder)
        assert left == []
        if card in ("fdn_reverb",):
            continue  # its modulation counts from the stream's first frame, 640 before the session's
        z = session.render()[:, : y.shape[1]]
        errors.append(error_db(z, y))
    print(f"\n{len(errors)} takes: worst {max(errors):.1f} dB, half below {np.median(errors):.1f} dB")
    assert np.median(errors) < -120
    assert max(errors) < -90


def test_what_cannot_be_carried_is_said(tmp_path):
    rack = tr.Rack([tr.Compressor(), tr.Gain()], name="line")
    events = [
        {"frame": 704, "line": "line", "bypass": "compressor", "to": True},
        {"frame": 800, "line": "line", "set": "compressor.lookahead_ms", "to": 3.0},
        {"frame": 960, "line": "line", "set": "gain.gain_db", "to": -6.0},
        {"frame": 1600, "line": "line", "rack": "line.rack.json"},
        {"frame": 1920, "line": "line", "set": "gain.gain_db", "to": 0.0},
    ]
    played(tmp_path / "take", {"line": rack}, events, music(2, 9600, RATE, 1))
    session, left = read_take(tmp_path / "take")
    assert len(left) == 3
    assert "line.compressor was bypassed" in left[0]
    assert "lookahead_ms was changed" in left[1]
    assert "got another rack" in left[2]
    assert [p.value for p in session["line"].automation["gain.gain_db"]] == [0.0, 0.0, -6.0]
    session.save(tmp_path / "take" / "x.session.json")
    loaded = tr.Session.load(tmp_path / "take" / "x.session.json")
    assert np.array_equal(loaded.render(), session.render())
