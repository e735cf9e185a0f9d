"""Losses: sums of weighted terms on the sound and on the values.

    loss = tr.losses.STFT() + 0.5 * tr.losses.Waveform() + 0.1 * tr.losses.Loudness() + 0.01 * tr.losses.Expected()
    tr.fit(rack, dry, wet, loss=loss)

Terms on the sound compare (batch, channels, time) with a target of the same shape; each is about 1 where nothing fits and 0
where all does, or says its unit. Terms on the values look at the twin that is trained. A loss of your own is
`Custom("name", function)`, with function(y, target) -> a scalar tensor.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..checks import brief, check_number, is_number, must_be
from ..functional import sosfilt
from ..measure.distances import stft_loss, waveform_loss
from ..perceptual.masking import Masking
from ..rack.card import Parameter, Value
from ..twins.constrain import from_value, value_at
from ..twins.precision import full_precision
from ..twins.rack_twin import RackTwin

if TYPE_CHECKING:
    from ..session.twin import SessionTwin

    Twin: TypeAlias = RackTwin | SessionTwin

FLOOR = 1e-10
MEL_FLOOR = 1e-7


class Term:
    """One part of a loss. `name` stands in reports."""

    name = "term"

    def __add__(self, other: Term | Loss) -> Loss:
        return Loss([(1.0, self)]) + other

    def __rmul__(self, weight: float) -> Loss:
        return Loss([(_weight(weight), self)])

    __mul__ = __rmul__


class SoundTerm(Term):
    """A term on the sound; `whole` is True where it must see all stretches of a step at once."""

    whole = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "__call__" in cls.__dict__:  # measured in float32 at least, also under autocast
            cls.__call__ = full_precision(like_sound=False)(cls.__call__)  # type: ignore[method-assign]

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        raise NotImplementedError


class ValueTerm(Term):
    """A term on the values of the twin, for the addresses that are trained."""

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        raise NotImplementedError


def _weight(weight: object) -> float:
    if isinstance(weight, bool):
        raise must_be("the weight of a loss", "a number of at least 0", weight)
    return check_number(weight, "the weight of a loss", 0.0)


@dataclass(frozen=True)
class Loss:
    """A weighted sum of terms."""

    terms: list[tuple[float, Term]] = field(default_factory=list)

    def __add__(self, other: Term | Loss) -> Loss:
        more = other.terms if isinstance(other, Loss) else [(1.0, other)]
        return Loss([*self.terms, *more])

    def __rmul__(self, weight: float) -> Loss:
        return Loss([(_weight(weight) * w, term) for w, term in self.terms])

    def __str__(self) -> str:
        return " + ".join(f"{w:g} {term.name}" for w, term in self.terms)

    def on_sound(self, groups: Sequence[tuple[Tensor, Tensor]], rate: float) -> dict[str, Tensor]:
        """Each weighted term on the sound, over groups of (result, target), (batch, channels, time) each."""
        count = sum(y.numel() for y, _ in groups)
        parts: dict[str, Tensor] = {}
        for weight, term in self.terms:
            if not isinstance(term, SoundTerm) or weight == 0.0:
                continue
            if term.whole:
                y, target = (torch.cat([g[i].reshape(-1) for g in groups]) for i in (0, 1))
                value = term(y, target, rate)
            else:
                value = torch.stack([term(y, target, rate) * (y.numel() / count) for y, target in groups]).sum()
            parts[term.name] = parts.get(term.name, torch.zeros(())) + weight * value
        return parts

    def on_values(self, twin: Twin, addresses: Sequence[str]) -> dict[str, Tensor]:
        """Each weighted term on the values."""
        parts: dict[str, Tensor] = {}
        for weight, term in self.terms:
            if isinstance(term, ValueTerm) and weight > 0.0:
                parts[term.name] = parts.get(term.name, torch.zeros(())) + weight * term(twin, addresses)
        return parts

    def weight_of(self, kind: type[Term]) -> float:
        return sum(w for w, term in self.terms if isinstance(term, kind))


# --- on the sound ----------------------------------------------------------------------------------------------------


class Waveform(SoundTerm):
    """Norm of the difference over norm of the target: 1 for silence, 0 for a match, and steep until there."""

    name, whole = "waveform", True

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        return waveform_loss(y, target)


class STFT(SoundTerm):
    """Multi-resolution STFT distance (R. Yamamoto et al., 2020), by auraloss."""

    name = "stft"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        return stft_loss(y, target)


@dataclass(frozen=True)
class Mel(SoundTerm):
    """Mean difference of log mel spectra in dB, over 20. (auraloss has one, for which it needs librosa.)

    Args:
        bands: how many, triangles on the mel scale of D. O'Shaughnessy (1987): 2595 log10(1 + f / 700).
        fft_size: frames; hops are a quarter of it.
    """

    bands: int = 64
    fft_size: int = 2048
    name = "mel"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        size = min(self.fft_size, 1 << (y.shape[-1].bit_length() - 1))
        bank = _mel_bank(float(rate), size, self.bands).to(y.device, y.dtype)
        window = torch.hann_window(size, dtype=y.dtype, device=y.device)

        def levels(x: Tensor) -> Tensor:
            power = torch.fft.rfft(x.unfold(-1, size, size // 4) * window).abs().square()
            return 10.0 * torch.log10(power @ bank.T + MEL_FLOOR)

        return (levels(y) - levels(target)).abs().mean() / 20.0


@functools.lru_cache(maxsize=16)
def _mel_bank(rate: float, size: int, bands: int) -> Tensor:
    """(bands, bins), triangles of area 1; those between two bins are left out."""
    mel = np.linspace(0.0, 2595.0 * np.log10(1.0 + 0.5 * rate / 700.0), bands + 2)
    edges = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    f = np.fft.rfftfreq(size, 1.0 / rate)
    up = (f - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - f) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.clip(np.minimum(up, down), 0.0, None)
    sums = bank.sum(1, keepdims=True)
    return torch.from_numpy((bank / np.maximum(sums, 1e-12))[sums[:, 0] > 0])


@dataclass(frozen=True)
class LogSpectrum(SoundTerm):
    """Mean difference of the long-term spectra in dB, over 20; in thirds of an octave.

    Args:
        low_hz, high_hz: where it is compared.
    """

    low_hz: float = 40.0
    high_hz: float = 16000.0
    name = "log spectrum"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        size = min(8192, 1 << (y.shape[-1].bit_length() - 1))
        edges = third_octaves(size, rate, self.low_hz, min(self.high_hz, 0.45 * rate)).to(y.dtype)
        window = torch.hann_window(size, dtype=y.dtype, device=y.device)

        def levels(x: Tensor) -> Tensor:
            frames = x.unfold(-1, size, size // 2) * window
            power = torch.fft.rfft(frames).abs().square().mean(-2)
            return 10.0 * torch.log10(power @ edges.T + FLOOR)

        return (levels(y) - levels(target)).abs().mean() / 20.0


@functools.lru_cache(maxsize=16)
def third_octaves(size: int, rate: float, low_hz: float, high_hz: float) -> Tensor:
    """(bands, bins): which bins each band sums; bands that hold no bin are left out."""
    frequencies = np.fft.rfftfreq(size, 1.0 / rate)
    centres = low_hz * 2.0 ** (np.arange(int(3 * math.log2(high_hz / low_hz)) + 1) / 3.0)
    rows = [(frequencies >= f / 2 ** (1 / 6)) & (frequencies < f * 2 ** (1 / 6)) for f in centres]
    return torch.from_numpy(np.array([r for r in rows if r.any()], np.float64))


@dataclass(frozen=True, repr=False)
class LoudnessDifference(SoundTerm):
    """Difference of the loudness contour in LU, over 10 (ITU-R BS.1770-4 weighting), differentiable. Users call it `Loudness`.

    Args:
        window_s: 3 is short-term, 0.4 momentary.
    """

    window_s: float = 0.4
    name = "loudness"

    def __repr__(self) -> str:  # as users write it
        return f"Loudness(window_s={self.window_s!r})"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        ours, theirs = (loudness_contour(x, rate, self.window_s) for x in (y, target))
        audible = theirs > -70.0
        return (ours - theirs)[audible].abs().mean() / 10.0 if bool(audible.any()) else (ours - ours).sum()


Loudness = LoudnessDifference  # `tr.losses.Loudness`


@functools.lru_cache(maxsize=16)
def k_weighting(rate: float) -> Tensor:
    """The two filters of ITU-R BS.1770-4 at any rate, as sections (2, 6): those it prints for 48 kHz, by their prototypes
    (B. De Man, 2018, in pyloudnorm)."""
    f0, gain, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k, vh = math.tan(math.pi * f0 / rate), 10.0 ** (gain / 20.0)
    vb = vh**0.4996667741545416
    a0 = 1.0 + k / q + k * k
    shelf = [(vh + vb * k / q + k * k) / a0, 2.0 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0]
    shelf += [1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0]
    f0, q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * f0 / rate)
    a0 = 1.0 + k / q + k * k
    cut = [1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0]
    return torch.tensor([shelf, cut], dtype=torch.float64)


def loudness_contour(x: Tensor, rate: float, window_s: float = 0.4) -> Tensor:
    """Loudness in LUFS of overlapping windows (three quarters), ungated: x (batch, channels, time) gives (batch, windows).

    All channels count alike, as left, right and centre do in ITU-R BS.1770-4. A sound shorter than a window is one window.
    """
    weighted = sosfilt(x, k_weighting(float(rate)))
    size = min(int(window_s * rate), x.shape[-1])
    power = weighted.square().unfold(-1, size, max(size // 4, 1)).mean(-1).sum(1)
    return -0.691 + 10.0 * torch.log10(power + FLOOR)


def _windows(x: Tensor, size: int) -> Tensor:
    """(…, time) to (…, windows, size); what does not fill a window is left out."""
    count = x.shape[-1] // size
    return x[..., : count * size].reshape(*x.shape[:-1], count, size)


@dataclass(frozen=True)
class Envelope(SoundTerm):
    """Mean difference of the level in short windows in dB, over 20, where the target is above -60 dBFS: what a compressor is
    judged by.

    Args:
        window_ms: of a level.
    """

    window_ms: float = 10.0
    name = "envelope"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        size = min(max(int(self.window_ms * 1e-3 * rate), 1), y.shape[-1])

        def levels(x: Tensor) -> Tensor:
            power = _windows(x, size).square().mean((1, 3))
            return 10.0 * torch.log10(power + FLOOR)

        ours, theirs = levels(y), levels(target)
        audible = theirs > -60.0
        return (ours - theirs)[audible].abs().mean() / 20.0 if bool(audible.any()) else (ours - ours).sum()


@dataclass(frozen=True)
class Smooth(SoundTerm):
    """How rough the change from the target's spectrum is: root mean square second difference of its level from third of an
    octave to third of an octave, over 10 dB. Beside what is to be reached (in `match` the target is the dry sound) it prefers a
    gentle change of the spectrum to narrow peaks.

    Args:
        low_hz, high_hz: the range that counts.
    """

    low_hz: float = 50.0
    high_hz: float = 16000.0
    name = "smooth"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        size = min(8192, y.shape[-1])
        bank = third_octaves(size, rate, self.low_hz, min(self.high_hz, 0.45 * rate)).to(y)
        window = torch.hann_window(size, dtype=y.dtype, device=y.device)

        def levels(x: Tensor) -> Tensor:
            power = torch.stft(x.flatten(0, 1), size, size // 2, window=window, return_complex=True).abs().square().mean(-1)
            return 10.0 * torch.log10(power @ bank.T + MEL_FLOOR)

        change = levels(y) - levels(target)
        rough = change[:, 2:] - 2.0 * change[:, 1:-1] + change[:, :-2]
        return torch.sqrt(rough.square().mean() + FLOOR) / 10.0


class Energy(SoundTerm):
    """How far the energy is from the target's, in dB over 10, by channel: what comes out should be as much as goes in (in
    `match`), or as it was (in `fit`)."""

    name = "energy"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        ours, theirs = (10.0 * torch.log10(x.square().mean(-1) + FLOOR) for x in (y, target))
        return (ours - theirs).abs().mean() / 10.0


class Audible(SoundTerm):
    """By how many dB the error stands above what the target masks, on average, over 10 (see `perceptual.Masking`): nothing
    where it is not heard.

    Args:
        full_scale_db_spl: sound pressure level at which a sine of 0 dBFS is heard.
    """

    name = "audible"

    def __init__(self, full_scale_db_spl: float = 100.0) -> None:
        self.full_scale_db_spl = full_scale_db_spl

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        return masking(rate, self.full_scale_db_spl)(y, target) / 10.0  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=16)
def masking(rate: float, full_scale_db_spl: float = 100.0) -> Masking:
    """The masking model for a sample rate."""
    return Masking(rate, full_scale_db_spl)


class Stereo(SoundTerm):
    """Difference of width and balance: side over mid, and left over right, in dB over 20, in windows of 50 ms."""

    name = "stereo"

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        if y.shape[1] != 2:
            raise ValueError(f"the stereo loss needs two channels, the sound has {y.shape[1]}")
        size = min(max(int(0.05 * rate), 1), y.shape[-1])

        def ratios(x: Tensor) -> Tensor:
            left, right = x[:, 0], x[:, 1]
            four = torch.stack([left, right, 0.5 * (left + right), 0.5 * (left - right)], 1)
            power = _windows(four, size).square().mean(-1)
            db = 10.0 * torch.log10(power + 1e-7)  # a side below -70 dBFS counts as silent
            return torch.stack([db[:, 0] - db[:, 1], db[:, 3] - db[:, 2]], 1)

        return (ratios(y) - ratios(target)).abs().mean() / 20.0


class Custom(SoundTerm):
    """Any function of result and target, (batch, channels, time) each, that gives a scalar tensor.

    Args:
        name: for reports.
        function: (y, target) -> scalar.
    """

    def __init__(self, name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.name, self._function = name, function

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        value = self._function(y, target)
        if not isinstance(value, Tensor) or value.dim() > 0:
            raise ValueError(
                f"the loss {brief(self.name)} gave {type(value).__name__}; it must give a tensor without dimensions"
            )
        return value


# --- on the values ---------------------------------------------------------------------------------------------------


def _trained(twin: Twin, addresses: Sequence[str]) -> list[tuple[str, Parameter, Tensor]]:
    """Address, parameter and trained number of each."""
    trained: list[tuple[str, Parameter, Tensor]] = []
    for address in addresses:
        effect, _, name = address.partition(".")
        trained.append((address, twin[effect].card.addresses[name], twin.raw_of(address)))
    return trained


class Expected(ValueTerm):
    """Mean square of how far values lie outside what their cards expect, as fractions of the whole range."""

    name = "expected"

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        parts = []
        for _, p, u in _trained(twin, addresses):
            low, high = (from_value(p, end) for end in p.expected)
            parts.append((low - u).clamp(min=0.0) ** 2 + (u - high).clamp(min=0.0) ** 2)
        return torch.stack(parts).mean().float() if parts else torch.zeros(())


class Near(ValueTerm):
    """Mean square distance from given values, as fractions of the whole range.

    Args:
        values: by address, in user units; others do not count.
        spread: by address, the usual standard deviation, as a fraction of the range (see `priors.learned`); 0.1 where it is
            not given.
    """

    name = "near"

    def __init__(self, values: Mapping[str, Value], spread: Mapping[str, float] | None = None) -> None:
        self._values, self._spread = dict(values), dict(spread or {})

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        parts = []
        for address, p, u in _trained(twin, addresses):
            value = self._values.get(address)
            if is_number(value):
                parts.append(((u - from_value(p, float(value))) / max(self._spread.get(address, 0.1), 1e-3)) ** 2)
        return torch.stack(parts).mean().float() if parts else torch.zeros(())


class Sparse(ValueTerm):
    """Mean magnitude of all trained gains in dB, over 20: bands that do little are let go."""

    name = "sparse"

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        parts = [value_at(p, u).abs() / 20.0 for _, p, u in _trained(twin, addresses) if p.id == "gain_db"]
        return torch.stack(parts).mean().float() if parts else torch.zeros(())


def usual(stft_weight: float, waveform_weight: float) -> Loss:
    """The loss of a `fit` that is given none."""
    return _weight(stft_weight) * STFT() + _weight(waveform_weight) * Waveform()
