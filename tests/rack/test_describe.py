"""What `show`, `session show` and `effects` print: every value with its unit, names that are never cut."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import CARD_IDS, random_values
from twinrack.rack.describe import describe, value_text
from twinrack.rack.effect import CLASSES
from twinrack.rack.idle import idle
from twinrack.session.describe import describe as describe_session

RATE = 44100


def run(*words: object, columns: int = 80) -> str:
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "dumb"}
    command = [sys.executable, "-m", "twinrack", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout


@pytest.mark.parametrize("columns", [200, 80, 40, 20])
def test_a_card_never_cuts_a_name(columns: int):
    for card in ("compressor", "parametric_eq") if columns != 80 else CARD_IDS:
        lines = run("effects", card, columns=columns).splitlines()
        names = {line.strip() for line in lines}
        c = tr.CARDS[card]
        for p in [*c.parameters, *(p for g in c.groups for p in g.parameters)]:
            assert p.id in names
        assert not any(line.endswith("…") for line in lines)
    words = run("effects", columns=columns).split()
    assert set(CARD_IDS) <= set(words)


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_value_is_shown(card: str):
    """At its default and elsewhere, with its unit; what differs is marked, and only that."""
    for seed in range(5):
        effect = CLASSES[card](name="it")
        for address, value in random_values(effect.card, np.random.default_rng(seed), "expected").items():
            effect.set(address, value)
        text = describe(tr.Rack([effect]))
        assert max(map(len, text.splitlines())) < 110
        for p in effect.card.parameters:
            line = next(line for line in text.splitlines() if line.split()[:1] == [p.id])
            assert value_text(p, effect.get(p.id)) in line
            assert ("*" in line) == (effect.get(p.id) != effect.default(p.id))
        values = effect.values()
        for group, _, prefix in effect.card.groups_of():
            addresses = {f"{prefix}.{p.id}" for p in group.parameters}
            if values.get(f"{prefix}.type") != "off" and not effect.unused().issuperset(addresses):
                wanted = [p for p in group.parameters if f"{prefix}.{p.id}" not in idle(effect.card, values)]
                flat = re.sub(r"\s+", " ", text.partition(f"{prefix}: ")[2].partition("\n  band")[0])
                assert all(f"{p.id} {value_text(p, values[f'{prefix}.{p.id}'])}" in flat for p in wanted)


def test_words_of_values():
    assert value_text(tr.CARDS["compressor"].addresses["ratio"], 3.0) == "3:1"
    assert value_text(tr.CARDS["gate"].addresses["ratio"], 10.0) == "1:10"
    assert value_text(tr.CARDS["compressor"].addresses["auto_makeup"], True) == "on"
    assert value_text(tr.CARDS["parametric_eq"].addresses["band1.frequency_hz"], 12345.6) == "12345.6 Hz"
    assert value_text(tr.CARDS["compressor"].addresses["mix"], 0.25) == "0.25"


def test_the_tree_and_the_provenance():
    rack = tr.Rack([tr.Gain(), tr.Parallel([[], [tr.Gain(), tr.Limiter(bypass=True)]])], "mine")
    rack.provenance = {"date": "today", "held_out": {"fitted": {"error_db": -40.0}}, "not_determined": ["gain.balance"]}
    text = describe(rack)
    assert "gain → (dry | gain_2 → limiter)" in text
    assert "limiter (Limiter), bypassed" in text
    assert "fitted on today" in text
    assert "-40.0 dB" in text
    assert "not determined by the recording: gain.balance" in text
    assert "empty" in describe(tr.Rack())
    assert "a Python function" in describe(tr.Rack(tr.PythonEffect(lambda x, rate: x)))


def test_show_commands(tmp_path: Path):
    soundfile.write(tmp_path / "v.wav", np.full((RATE, 2), 0.1), RATE)
    session = tr.Session("song", RATE, tempo=[(0, 96), (16, 120)], metadata={"title": "Song"})
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0)])
    session.add_track("kick", clips=tmp_path / "v.wav", output=None)
    rack = [tr.Compressor(threshold_db=-24, key="drum")]
    clip = tr.Clip(tmp_path / "v.wav", start="4 beats", fade_in=0.01, name="take 2")
    vocals = session.add_track("vocals", clips=[clip], rack=rack, gain_db=-3, solo=True, keys={"drum": ("kick", "pre")})
    vocals.send("plate", -14, pan=0.5)
    session.automate("vocals.compressor.ratio", [("0 beats", 2), ("1:10", 4)])
    session.save(tmp_path / "s.session.json")
    text = run("session", "show", tmp_path / "s.session.json")
    for words in (
        "title: Song", "vocals (track) → master, solo", "gain_db -3 dB", "take 2", "from 4 beats", "fade_in 0.01 s",
        "compressor: threshold_db -24 dB", "drum: to kick, before its fader", "to plate: -14.0 dB, pan 0.5, after the fader",
        "compressor.ratio: 2 points, from 2:1 at 0 beats to 4:1 at 1:10", "kick (track) → out", "120 from beat 16",
    ):  # fmt: skip
        assert words in text, words
    assert text.rstrip() == describe_session(tr.Session.load(tmp_path / "s.session.json"))
    tr.Rack(tr.Compressor(ratio=4), "mine").save(tmp_path / "a.rack.json")
    shown = run("show", tmp_path / "a.rack.json")
    assert re.search(r"ratio +4:1 \* \(default 3:1\)", shown)
    assert re.search(r"threshold_db +-18 dB\n", shown)


# --- what does nothing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("card", ["parametric_eq", "compressor", "gate", "limiter", "fdn_reverb"])
def test_idle_values_do_nothing(card: str, channels: int):
    """Moved to either end of its range, a value that is said to be idle leaves the sound as it was."""
    rng = np.random.default_rng(5)
    x = (0.3 * rng.standard_normal((channels, 6000))).astype(np.float32)
    seen = set()
    for _ in range(12):
        effect = CLASSES[card](name="it")
        for address, value in random_values(effect.card, rng, "expected").items():
            if address != "lookahead_ms":
                effect.set(address, value)
        there = idle(effect.card, effect.values(), channels)
        before = tr.Rack([effect.copy()])(x, RATE)
        for address in there:
            p = effect.card.addresses[address]
            if address.endswith(".type") or (effect.values().get(f"{address.partition('.')[0]}.type") == "off"):
                continue
            for place in (0.0, 1.0):
                other = effect.copy()
                other.set(address, p.at(place))
                assert np.max(np.abs(tr.Rack([other])(x, RATE) - before)) < 1e-5, address
            seen.add(address.rpartition(".")[2])
    if channels == 1 or card in ("parametric_eq", "compressor", "gate"):
        assert seen
