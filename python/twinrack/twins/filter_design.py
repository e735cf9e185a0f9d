"""From frequency, gain and Q to the coefficients of state-variable filters: the twin of `cpp/dsp/svf_design.h`.

All inputs are tensors that broadcast; all results are (…, 5): g, k, m0, m1, m2. bilinear: A. Simper 2013. matched: the
magnitude of the analogue prototype over a frequency axis that stays finite at Nyquist; `svf_design.h` says how.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .curves import together

BUTTERWORTH_Q = math.sqrt(0.5)


def prewarped(frequency_hz: Tensor, sample_rate: float) -> Tensor:
    """tan(w / 2) of the bilinear transform; above 0.49 of the sample rate what lies at 0.49 of it keeps its place."""
    held = frequency_hz.clamp(max=0.49 * sample_rate)
    return torch.tan(math.pi * held / sample_rate) * (frequency_hz / held)


def _prototype(shape: str, gain_db: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pole frequency relative to the nominal one, damping, and the mix of input, band pass and low pass."""
    one, zero = torch.ones_like(k), torch.zeros_like(k)
    a = torch.exp(gain_db * (math.log(10.0) / 40.0))
    if shape == "bell":
        return one, k / a, one, k / a * (a * a - 1.0), zero
    if shape == "low_shelf":
        return 1.0 / torch.sqrt(a), k, one, k * (a - 1.0), a * a - 1.0
    if shape == "high_shelf":
        return torch.sqrt(a), k, a * a, k * (1.0 - a) * a, 1.0 - a * a
    if shape == "low_cut":
        return one, k, one, -k, -one
    if shape == "high_cut":
        return one, k, zero, zero, one
    if shape == "notch":
        return one, k, one, -k, zero
    if shape == "band_pass":
        return one, k, zero, k, zero
    return one, k, one, -2.0 * k, zero


def _warp(w: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and delta of W² = alpha t / (1 + delta t), t = tan²(w / 2), for a filter at w radians a frame."""
    last = 0.9 * math.pi
    exact = w.clamp(max=last)
    tangent = torch.tan(0.5 * exact)
    place = exact / last
    delta = 0.52 - 0.14 * place * place + 0.12 * (1.0 - last / w).clamp(min=0.0)
    return exact * exact * (1.0 / (tangent * tangent) + delta), delta


def _factor(n0: Tensor, n1: Tensor, n2: Tensor, gamma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """The squared magnitude (n0 - n2 W²)² + n1² W² in t is that of s² square + s √line + n0, up to (1 + delta t)²."""
    d, cross = n0 * delta - n2 * gamma, n1 * n1 * gamma * delta
    square = torch.sqrt(d * d + cross)
    falling = d < 0.0
    total = torch.where(falling, cross / (square + d.abs()), square + d)  # without cancellation
    return square, n1 * n1 * gamma + 2.0 * n0 * total


def _matched(shape: str, p: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], w: Tensor) -> Tensor:
    shift, damping, m0, m1, m2 = p
    alpha, delta = _warp(w)
    gamma = alpha / (w * shift) ** 2
    one = torch.ones_like(gamma)
    square, line = _factor(one, damping, one, gamma, delta)
    g, k = 1.0 / torch.sqrt(square), torch.sqrt(line / square)
    n0, n1, n2 = m0 + m2, m0 * damping + m1, m0
    if shape == "all_pass":
        mix = (torch.ones_like(k), -2.0 * k, torch.zeros_like(k))
    elif shape in ("low_cut", "notch"):  # zeros on the circle, or both on the real axis
        top = (n2 * gamma - n0 * delta) / square
        mix = (top, -top * k, n0 - top)
    else:
        n_square, n_line = _factor(n0, n1, n2, gamma, delta)
        top = n_square / square
        mix = (top, torch.sqrt(n_line / square) - top * k, n0 - top)
    return torch.stack(together(g, k, *mix), -1)


def design_svf(shape: str, match: bool, frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: float) -> Tensor:
    """Coefficients of one filter.

    Args:
        shape: one of `card.FILTER_SHAPES`.
        match: True follows the analogue prototype up to Nyquist, False is the bilinear transform.
        frequency_hz, gain_db, q: tensors that broadcast.
    """
    frequency_hz, gain_db, q = together(frequency_hz, gain_db, q)
    p = _prototype(shape, gain_db, 1.0 / q)
    if match:
        return _matched(shape, p, 2.0 * math.pi * frequency_hz / sample_rate)
    shift, k, m0, m1, m2 = p
    return torch.stack([prewarped(frequency_hz, sample_rate) * shift, k, m0, m1, m2], -1)


def magnitude_db(c: Tensor, frequency_hz: Tensor, sample_rate: float) -> Tensor:
    """Of filters (…, 5) at frequencies (n,), in dB: (…, n)."""
    g, k, m0, m1, m2 = (t.unsqueeze(-1) for t in c.unbind(-1))
    x = torch.tan(math.pi * frequency_hz / sample_rate) / g  # the frequency relative to the poles
    real, imaginary = m0 * (1.0 - x * x) + m2, (m0 * k + m1) * x
    power = (real * real + imaginary * imaginary) / ((1.0 - x * x) ** 2 + (k * x) ** 2)
    return (10.0 / math.log(10.0)) * torch.log(power.clamp(min=1e-12))


def cut_section_q(section: int, sections: int, q: Tensor) -> Tensor:
    """Q of one section of a steep cut: Butterworth, the most resonant section scaled by the user's Q."""
    if sections == 1:
        return q
    butterworth = 0.5 / math.cos(math.pi * (2 * section + 1) / (4 * sections))
    return butterworth * q * math.sqrt(2.0) if section == sections - 1 else torch.full_like(q, butterworth)


def monotonous_shelf(low: bool, ratio: Tensor, frequency_hz: Tensor, sample_rate: float) -> Tensor:
    """A second-order shelf between two Butterworth polynomials, monotonous in frequency; `ratio` is its end's gain."""
    ratio, frequency_hz = together(ratio, frequency_hz)
    quarter = torch.sqrt(torch.sqrt(ratio))
    root = quarter * quarter
    w0 = prewarped(frequency_hz, sample_rate)
    k = torch.full_like(ratio, math.sqrt(2.0))
    one = torch.ones_like(ratio)
    if low:
        return torch.stack([w0 / quarter, k, one, k * (root - 1.0), ratio - 1.0], -1)
    return torch.stack([w0 * quarter, k, ratio, k * (root - ratio), 1.0 - ratio], -1)
