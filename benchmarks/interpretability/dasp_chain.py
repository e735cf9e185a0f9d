"""A chain of dasp-pytorch (sampled in frequency): equaliser and compressor, trained by Adam on an STFT loss.

    pip install dasp-pytorch
    twinrack bench interpretability --method benchmarks/interpretability/dasp_chain.py:DaspChain

The equaliser has the shelves and two of the bells of the benchmark's, so that its values can be compared.
"""

from __future__ import annotations

import numpy as np
import torch
from dasp_pytorch import functional

from twinrack.bench.method import Account
from twinrack.bench.problems import VOCABULARY
from twinrack.measure.distances import stft_loss, waveform_loss

STEPS, LEARNING_RATE = 300, 0.02
BANDS = {"low_shelf": "band1", "band0": "band2", "band1": "band3", "high_shelf": "band4"}
NAMES = {"gain_db": "gain_db", "cutoff_freq": "frequency_hz", "q_factor": "q"}
COMPRESSOR = {
    "threshold_db": "threshold_db", "ratio": "ratio", "attack_ms": "attack_ms", "release_ms": "release_ms",
    "knee_db": "knee_db", "makeup_gain_db": "makeup_db",
}  # fmt: skip
OFF = {"gain_db": 0.0, "cutoff_freq": 1000.0, "q_factor": 0.7}


class DaspChain:
    name = "dasp (EQ + compressor)"

    def fit(self, dry, wet, sample_rate, seed):
        torch.manual_seed(seed)
        self._rate = sample_rate
        equaliser, compressor = (VOCABULARY[n]().card.addresses for n in ("parametric_eq", "compressor"))
        start = VOCABULARY["parametric_eq"]()
        self._cards, self._raw = {}, {}
        for theirs, ours in BANDS.items():
            for theirs_name, name in NAMES.items():
                self._add(
                    f"{theirs}_{theirs_name}", ("parametric_eq", f"{ours}.{name}"), equaliser, start.get(f"{ours}.{name}")
                )
        for theirs, ours in COMPRESSOR.items():
            self._add(theirs, ("compressor", ours), compressor, compressor[ours].default)
        self._add("makeup_gain_db", ("compressor", "makeup_db"), compressor, 0.0)
        x, y = (torch.from_numpy(np.ascontiguousarray(s))[None] for s in (dry, wet))
        optimizer = torch.optim.Adam(list(self._raw.values()), LEARNING_RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            played = self._play(x)
            loss = stft_loss(played, y) + waveform_loss(played, y)
            loss.backward()
            optimizer.step()
        self._dry = x

    def _add(self, name, place, cards, value):
        card = cards[place[1]]
        position = min(max(card.position(float(value)), 0.02), 0.98)
        self._cards[name] = (place, card)
        self._raw[name] = torch.tensor(float(np.log(position / (1.0 - position))), requires_grad=True)

    def _values(self):
        """In the cards' units: between the ends of each card's range, along its own scale."""
        values = {}
        for name, raw in self._raw.items():
            card, position = self._cards[name][1], torch.sigmoid(raw)
            if card.scale == "log":
                values[name] = (np.log(card.min) + position * np.log(card.max / card.min)).exp()
            else:
                values[name] = card.min + position * (card.max - card.min)
        return values

    def _play(self, x, equalise=True, compress=True):
        values = {name: v.reshape(1, 1) for name, v in self._values().items()}
        if equalise:
            off = {f"{band}_{k}": torch.full((1, 1), v) for band in ("band2", "band3") for k, v in OFF.items()}
            own = {name: values[name] for name in values if self._cards[name][0][0] == "parametric_eq"}
            x = functional.parametric_eq(x, self._rate, **own, **off)
        if compress:
            x = functional.compressor(x, self._rate, **{name: values[name] for name in COMPRESSOR})
        return x

    def process(self, dry, sample_rate):
        with torch.no_grad():
            return self._play(torch.from_numpy(np.ascontiguousarray(dry))[None])[0].numpy()

    def explain(self):
        with torch.no_grad():
            whole = self._play(self._dry)
            importance = {
                "parametric_eq": float((whole - self._play(self._dry, equalise=False)).square().sum()),
                "compressor": float((whole - self._play(self._dry, compress=False)).square().sum()),
            }
            values = {self._cards[name][0]: (float(v), None) for name, v in self._values().items()}
        return Account(len(values), 0.0, ["parametric_eq", "compressor"], values, frozenset(), importance)

    def change(self, dry, sample_rate, loudness_lufs):
        """Its makeup gain moves the loudness."""
        import twinrack as tr

        now = float(tr.loudness(self.process(dry, sample_rate), sample_rate).integrated)
        makeup = float(self._values()["makeup_gain_db"]) + loudness_lufs - now
        return {("compressor", "makeup_db"): min(max(makeup, -24.0), 36.0)}
