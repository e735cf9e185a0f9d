"""From frequency, gain and Q to the coefficients of state-variable filters: the twin of `cpp/dsp/svf_design.h`.

All inputs are tensors that broadcast; all results are (…, 5): g, k, m0, m1, m2. bilinear: A. Simper 2013. matched: poles
mapped exactly, zeros so that the magnitude agrees with the analogue prototype at 0, near the centre and at Nyquist
(M. Vicanek 2016).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .curves import together

SHAPES = ("bell", "low_shelf", "high_shelf", "low_cut", "high_cut", "notch", "band_pass", "all_pass")
BUTTERWORTH_Q = math.sqrt(0.5)


def audible_frequency(frequency_hz: Tensor, sample_rate: float) -> Tensor:
    return frequency_hz.clamp(max=0.49 * sample_rate)


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


def _power(p: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    """Squared magnitude of a prototype at a frequency relative to its poles."""
    _, k, m0, m1, m2 = p
    n1, n0 = m0 * k + m1, m0 + m2
    real, imaginary, den = n0 - m0 * x * x, n1 * x, 1.0 - x * x
    return (real * real + imaginary * imaginary) / (den * den + k * k * x * x)


def _chord(z: Tensor) -> Tensor:
    """2 - 2 cos(√z), continued to 2 - 2 cosh(√-z) below 0; smooth at 0."""
    small = z.abs() < 1e-3
    size = torch.sqrt(torch.where(small, torch.ones_like(z), z.abs()))
    exact = torch.where(z > 0, 4.0 * torch.sin(0.5 * size) ** 2, -4.0 * torch.sinh(0.5 * size.clamp(max=600.0)) ** 2)
    series = z * (1.0 - z / 12.0 * (1.0 - z / 30.0 * (1.0 - z / 56.0)))
    return torch.where(small, series, exact)


def _matched(shape: str, p: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], w: Tensor) -> Tensor:
    shift, damping, m0, _, m2 = p
    wp = (w * shift).clamp(max=0.98 * math.pi)
    zeta = 0.5 * damping
    r = torch.exp(-zeta * wp)
    chord = r * _chord(wp * wp * (1.0 - zeta * zeta))
    at_one = torch.expm1(-zeta * wp) ** 2 + chord  # |1 - pole|², and |1 + pole|²
    at_minus_one = (1.0 + r) ** 2 - chord
    product = -torch.expm1(-2.0 * zeta * wp)  # 1 - p1 p2
    g = torch.sqrt(at_one / at_minus_one)
    k = 2.0 * product / (at_minus_one * g)
    if shape == "all_pass":
        return torch.stack(together(g, k, torch.ones_like(k), -2.0 * k, torch.zeros_like(k)), -1)
    d = 4.0 / at_minus_one
    if shape == "notch":
        s2, c2 = torch.sin(0.5 * w) ** 2, torch.cos(0.5 * w) ** 2
        b_one = at_one
        b0 = at_one / (4.0 * s2)
        b_minus_one = 4.0 * b0 * c2
    else:
        wm = w.clamp(max=0.9 * math.pi)
        phi1 = torch.sin(0.5 * wm) ** 2
        phi0 = 1.0 - phi1
        a_middle = at_one**2 * phi0 + at_minus_one**2 * phi1 - 16.0 * (1.0 - product) * phi0 * phi1
        target = a_middle * _power(p, wm / (w * shift))
        if shape == "low_cut":
            b_one = torch.zeros_like(target)
            b0 = torch.sqrt(target) / (4.0 * phi1)
            b_minus_one = 4.0 * b0
        else:
            b_one = at_one * (m0 + m2).abs()
            b_minus_one = at_minus_one * torch.sqrt(_power(p, math.pi / (w * shift)))
            b2 = (target - b_one**2 * phi0 - b_minus_one**2 * phi1) / (4.0 * phi0 * phi1)
            half = 0.5 * (b_one + b_minus_one)
            b0 = 0.5 * (half + torch.sqrt(torch.maximum(half * half + b2, 1e-12 * half * half)))
    n0 = b_minus_one / at_minus_one
    n2 = b_one / at_one - n0
    n1 = ((b0 - n0) * d - n2 * g * g) / g
    return torch.stack(together(g, k, n0, n1, n2), -1)


def design_svf(shape: str, match: bool, frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: float) -> Tensor:
    """Coefficients of one filter.

    Args:
        shape: one of SHAPES.
        match: True follows the analogue prototype up to Nyquist, False is the bilinear transform.
        frequency_hz, gain_db, q: tensors that broadcast.
    """
    frequency_hz, gain_db, q = together(frequency_hz, gain_db, q)
    p = _prototype(shape, gain_db, 1.0 / q)
    w = 2.0 * math.pi * audible_frequency(frequency_hz, sample_rate) / sample_rate
    if match:
        return _matched(shape, p, w)
    shift, k, m0, m1, m2 = p
    return torch.stack([torch.tan(0.5 * w) * shift, k, m0, m1, m2], -1)


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
    w0 = torch.tan(math.pi * audible_frequency(frequency_hz, sample_rate) / sample_rate)
    k = torch.full_like(ratio, math.sqrt(2.0))
    one = torch.ones_like(ratio)
    if low:
        return torch.stack([w0 / quarter, k, one, k * (root - 1.0), ratio - 1.0], -1)
    return torch.stack([w0 * quarter, k, ratio, k * (root - ratio), 1.0 - ratio], -1)
