"""Bands fitted to a curve of gain over frequency: many starts at once, by Levenberg and Marquardt on the responses.

A band that fits nothing ends at a harmless place and stays there, while another one stands for two. So bands are also taken
away and put to where the most is missing, as long as that helps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from twinrack.plugins.parametric_eq.idle import WITH_GAIN
from twinrack.plugins.parametric_eq.idle import WITH_SLOPE as CUTS

from twinrack.rack.card import Parameter
from twinrack.rack.effect import Effect
from twinrack.train.starts import Numbers
from twinrack.twins.constrain import at_position
from twinrack.twins.filter_design import cut_section_q, magnitude_db
from twinrack.twins.recursions import design_filters

BANDS = 16
NAMES = ("frequency_hz", "gain_db", "q")
STEP = 1e-3  # of the differences of responses
LONGEST = 0.15  # of a step
EXCHANGED = 2  # answers in which bands change places
OFFSET_DB = 10.0  # of the curve, for a step of 1
DIFFERENT = (0.01, 0.02)  # positions of frequency and gain that make two answers different
Shape = tuple[str, str]  # type and slope in dB per octave


@dataclass
class Answers:
    """Sets of bands, the best first: positions (sets, bands, 3), offsets and errors (sets,), residuals (sets, points) in dB."""

    places: Numbers
    offsets: Numbers
    errors: Numbers
    residuals: Numbers

    def take(self, index: Sequence[int] | Numbers) -> Answers:
        i = np.asarray(index, int)
        return Answers(self.places[i], self.offsets[i], self.errors[i], self.residuals[i])

    def __len__(self) -> int:
        return len(self.places)


def joined(parts: Sequence[Answers]) -> Answers:
    """All answers, the best first."""
    every = Answers(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("places", "offsets", "errors", "residuals"))
    )
    return every.take(np.argsort(every.errors))


class BandFit:
    """Fits the bands of an equaliser to a curve.

    Args:
        effect: whose bands, ranges and warping are meant.
        shapes: type and slope of each band.
        hertz, target_db, weight: the curve, (points,).
        rate: Hz.
        offset: the whole curve may lie higher or lower by any amount.
        bend: dB from which on an error counts only linearly.
        fixed: values that stay, by (band's place in `shapes`, name).
    """

    def __init__(
        self,
        effect: Effect,
        shapes: Sequence[Shape],
        hertz: Numbers,
        target_db: Numbers,
        weight: Numbers,
        rate: float,
        *,
        offset: bool = True,
        bend: float = 3.0,
        fixed: dict[tuple[int, str], float] | None = None,
    ) -> None:
        self.shapes, self.hertz, self.target = list(shapes), hertz, target_db
        self.weight = weight / max(float(weight.sum()), 1e-30)
        self.rate, self.bend = rate, bend
        self.cards: list[Parameter] = [effect.card.addresses[f"band1.{name}"] for name in NAMES]
        self.low, self.high = (np.array([p.position(p.expected[end]) for p in self.cards]) for end in (0, 1))
        self._match = effect.get("warping") == "matched"
        self._at = torch.from_numpy(np.ascontiguousarray(hertz, np.float64))
        moves = np.ones((len(self.shapes), 3), bool)
        self._fixed: dict[tuple[int, int], float] = {}
        for (band, name), value in (fixed or {}).items():
            number = NAMES.index(name)
            self._fixed[band, number] = self.cards[number].position(value)
        for band, (kind, _) in enumerate(self.shapes):
            moves[band, 1] = kind in WITH_GAIN
        for band, number in self._fixed:
            moves[band, number] = False
        self._moves = np.append(moves.reshape(-1), offset)

    def _value(self, number: int, places: Numbers) -> torch.Tensor:
        return at_position(self.cards[number], torch.from_numpy(np.ascontiguousarray(places)))

    def responses(self, places: Numbers) -> Numbers:
        """Of all bands at (sets, bands, 3) positions: (sets, bands, points), in dB."""
        return self._of_bands(places, range(len(self.shapes)))

    def response(self, band: int, places: Numbers) -> Numbers:
        """Of one band at (3,) positions: (points,), in dB."""
        return self._of_bands(places[None, None], [band])[0, 0]

    def _of_bands(self, places: Numbers, bands: Sequence[int]) -> Numbers:
        f, gain, q = (self._value(i, places[..., i]) for i in range(3))
        kinds, columns, qs = [], [], []
        for column, band in enumerate(bands):
            kind, slope = self.shapes[band]
            stages = int(slope) // 12 if kind in CUTS else 1
            for stage in range(stages):
                kinds.append(kind)
                columns.append(column)
                qs.append(cut_section_q(stage, stages, q[:, column]) if kind in CUTS else q[:, column])
        numbers = (f[:, columns], gain[:, columns], torch.stack(qs, 1))
        sections = design_filters(kinds, self._match, *(n.unsqueeze(1) for n in numbers), self.rate)[:, 0]
        each = magnitude_db(sections.flatten(0, 1), self._at, self.rate).clamp(min=-120.0).numpy()
        each = each.reshape(len(places), len(columns), -1)
        if len(columns) == len(bands):
            return np.asarray(each)
        total = np.zeros((len(places), len(bands), each.shape[2]))
        np.add.at(total, (slice(None), columns), each)
        return total

    def _energies(self, residuals: Numbers) -> Numbers:
        bent = np.sqrt(1.0 + (residuals / self.bend) ** 2) - 1.0
        return np.asarray(2.0 * self.bend**2 * (self.weight * bent).sum(-1))

    def refined(self, places: Numbers, offsets: Numbers, iterations: int, thinned_at: Sequence[int] = ()) -> Answers:
        """Each set of bands moved to the nearest minimum.

        Args:
            places: (sets, bands, 3); offsets: (sets,).
            thinned_at: iterations after which a third of the sets goes on, the best.
        """
        places, offsets = places.clip(0.0, 1.0), offsets.copy()
        for (band, number), position in self._fixed.items():
            places[:, band, number] = position
        bands, points = len(self.shapes), len(self.hertz)
        moving = np.flatnonzero(self._moves)
        unit = np.eye(len(moving))
        damping = np.full(len(places), 1e-2)
        each = self.responses(places)
        residuals = each.sum(1) + offsets[:, None] - self.target
        energies = self._energies(residuals)
        for iteration in range(iterations):
            slopes = np.zeros((len(places), 3 * bands + 1, points))
            moved = np.repeat(places[None], 3, 0)
            for number in range(3):
                moved[number, ..., number] += STEP
            after = self.responses(moved.reshape(-1, bands, 3)).reshape(3, *each.shape)
            for number in range(3):
                slopes[:, number : 3 * bands : 3] = (after[number] - each) / STEP
            slopes[:, -1] = OFFSET_DB
            slopes = slopes[:, moving]
            weight = self.weight / np.sqrt(1.0 + (residuals / self.bend) ** 2)
            normal = np.matmul(slopes * weight[:, None], slopes.transpose(0, 2, 1))
            gradient = np.matmul(slopes, (weight * residuals)[..., None])
            scale = np.maximum(np.einsum("sii->si", normal), 1e-9)
            for _ in range(3):
                damped = normal + (damping[:, None] * scale)[:, :, None] * unit + 1e-6 * unit
                move = np.zeros((len(places), 3 * bands + 1))
                move[:, moving] = -np.linalg.solve(damped, gradient)[..., 0].clip(-LONGEST, LONGEST)
                tried = (places + move[:, :-1].reshape(places.shape)).clip(0.0, 1.0)
                tried_offsets = offsets + OFFSET_DB * move[:, -1]
                tried_each = self.responses(tried)
                tried_residuals = tried_each.sum(1) + tried_offsets[:, None] - self.target
                tried_energies = self._energies(tried_residuals)
                better = tried_energies < energies
                for now, new in (
                    (places, tried), (offsets, tried_offsets), (each, tried_each), (residuals, tried_residuals),
                    (energies, tried_energies),
                ):  # fmt: skip
                    now[better] = new[better]
                damping = np.where(better, damping / 4.0, damping * 6.0).clip(1e-9, 1e6)
                if better.mean() > 0.3:
                    break
            if iteration in thinned_at:
                index = np.argsort(energies)[: max(len(places) // 3, 12)]
                places, offsets, each = places[index], offsets[index], each[index]
                residuals, energies, damping = residuals[index], energies[index], damping[index]
        order = np.argsort(energies)
        return Answers(places, offsets, np.sqrt(energies), residuals).take(order)

    def from_anywhere(self, count: int, random: np.random.Generator) -> Answers:
        """Refined from `count` random sets within what the card expects."""
        places = self.low + (self.high - self.low) * random.random((count, len(self.shapes), 3))
        places[..., 1] = 0.5 + 0.5 * (places[..., 1] - 0.5)
        # in half of the sets the bands stand in the usual order: what begins with low below, what begins with high above
        order = sorted(range(len(self.shapes)), key=lambda b: (self._rank(b), b))
        places[: count // 2, order, 0] = np.sort(places[: count // 2, :, 0], axis=1)
        return self.refined(places, np.zeros(count), 24, (7, 13))

    def _rank(self, band: int) -> int:
        kind = self.shapes[band][0]
        return -1 if kind.startswith("low_") else 1 if kind.startswith("high_") else 0

    def relocated(self, answers: Answers, random: np.random.Generator, kept: int = 6) -> Answers:
        """The answers, and others in which one band stands where most is missing without it."""
        places, offsets = [], []
        for i in range(min(kept, len(answers))):
            for band in range(len(self.shapes)):
                missing = self.response(band, answers.places[i, band]) - answers.residuals[i]
                for hertz, gain in self._spots(missing, 7, 3, random):
                    moved = answers.places[i].copy()
                    moved[band] = self.place(hertz, gain, float(random.random()))
                    places.append(moved)
                    offsets.append(answers.offsets[i])
            for swapped, offset in self._swapped(answers.places[i]) if self._moves[-1] else ():
                places.append(swapped)
                offsets.append(answers.offsets[i] + offset)
            for swapped in self._exchanged(answers.places[i]) if i < EXCHANGED else ():
                places.append(swapped)
                offsets.append(answers.offsets[i])
        new = self.refined(np.array(places), np.array(offsets), 20, (4, 9))
        return different(joined([answers.take(range(min(kept, len(answers)))), new]), kept)

    def _swapped(self, places: Numbers) -> list[tuple[Numbers, float]]:
        """Sets in which a low and a high shelf change places: nearly the same curve, but for an offset."""
        low, high = self._bands_of("low_shelf"), self._bands_of("high_shelf")
        sets = []
        for a in low:
            for b in high:
                swapped = places.copy()
                swapped[a], swapped[b] = places[b], places[a]
                swapped[[a, b], 1] = 1.0 - swapped[[a, b], 1]
                gains = [float(self.cards[1].at(places[i, 1])) for i in (a, b)]
                sets.append((swapped, sum(gains)))
        return sets

    def _exchanged(self, places: Numbers) -> list[Numbers]:
        """Sets in which two bands of different types change places, or stand together where one of them stands."""
        sets = []
        for a, b in itertools.permutations(range(len(self.shapes)), 2):
            if self.shapes[a] != self.shapes[b]:
                together = places.copy()
                together[a, 0] = places[b, 0]
                sets.append(together)
                if a < b:
                    exchanged = together.copy()
                    exchanged[b, 0] = places[a, 0]
                    sets.append(exchanged)
        return sets

    def crossed(self, places: Numbers) -> bool:
        """Whether a low shelf stands above a high shelf, as nobody sets them."""
        low, high = (places[self._bands_of(kind), 0] for kind in ("low_shelf", "high_shelf"))
        return bool(low.size and high.size and low.max() > high.min())

    def with_one_more(self, before: Answers, random: np.random.Generator) -> Answers:
        """The best answer for all bands but the last, and the last where it helps most, all refined."""
        kind = self.shapes[-1][0]
        places = []
        for hertz, gain in self._spots(-before.residuals[0], 9, 6, random):
            last = self.place(hertz, gain, 0.35 if kind in CUTS else float(random.random()))
            places.append(np.concatenate([before.places[0], last[None]]))
        return self.refined(np.array(places), np.repeat(before.offsets[:1], len(places)), 12, (4,))

    def _spots(self, missing: Numbers, count: int, whole: int, random: np.random.Generator) -> Iterator[tuple[float, float]]:
        """Frequencies for a band and gains in dB: three where most is missing, the others anywhere; the first `whole` have all
        that is missing there, the others half."""
        most = np.convolve(np.sqrt(self.weight) * np.abs(missing), np.ones(3) / 3.0, "same")
        for number in range(count):
            at = int(np.argmax(most)) if number < 3 else int(random.integers(len(most)))
            most[max(at - 6, 0) : at + 7] = 0.0
            yield float(self.hertz[at]), float(missing[at]) * (1.0 if number < whole else 0.5)

    def _bands_of(self, kind: str) -> list[int]:
        return [b for b, (own, _) in enumerate(self.shapes) if own == kind]

    def place(self, hertz: float, gain_db: float, of_q: float) -> Numbers:
        """Positions of a band; `of_q` is where its Q stands in the expected range, 0 to 1."""
        f, g = self.cards[0], self.cards[1]
        return np.array([
            f.position(float(np.clip(hertz, f.min, f.max))),
            g.position(float(np.clip(gain_db, 0.95 * g.min, 0.95 * g.max))),
            self.low[2] + (self.high[2] - self.low[2]) * of_q,
        ])  # fmt: skip


def different(answers: Answers, most: int) -> Answers:
    """The best answers, each once."""
    chosen: list[int] = []
    places = answers.places
    for i in range(len(answers)):
        near = (
            np.abs(np.sort(places[i, :, 0]) - np.sort(places[j, :, 0])).max() < DIFFERENT[0]
            and np.abs(places[i, :, 1] - places[j, :, 1]).max() < DIFFERENT[1]
            for j in chosen
        )
        if not any(near):
            chosen.append(i)
        if len(chosen) >= most:
            break
    return answers.take(chosen)
