"""`twinrack.functional`: against scipy, by gradcheck, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torch.autograd import gradcheck

from twinrack.functional import envelope_follower, sosfilt, svf_cascade
from twinrack.twins import recursions


def error_db(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return 10 * np.log10(np.sum((a - b) ** 2) / np.sum(b**2) + 1e-30)


DESIGNS = [
    signal.butter(8, 0.2, output="sos"),
    signal.ellip(7, 1, 80, 0.05, "high", output="sos"),
    signal.cheby2(6, 50, [0.1, 0.4], "bandpass", output="sos"),
    signal.butter(1, 0.3, output="sos"),
    2.0 * signal.butter(3, 0.4, output="sos"),  # a0 is not 1
]


@pytest.mark.parametrize("sos", DESIGNS)
def test_sosfilt_is_scipys(sos):
    x = np.random.default_rng(0).standard_normal((3, 2, 4000))
    scaled = sos / sos[:, 3:4]
    y = sosfilt(torch.from_numpy(x), torch.from_numpy(sos))
    assert error_db(y, signal.sosfilt(scaled, x)) < -240
    single = sosfilt(torch.from_numpy(x).float(), torch.from_numpy(sos))
    assert single.dtype == torch.float32
    assert error_db(single, signal.sosfilt(scaled, x)) < -110
    for shape in ((4000,), (2, 4000), (2, 3, 2, 4000)):
        part = torch.from_numpy(np.broadcast_to(x[0, 0], shape).copy())
        assert error_db(sosfilt(part, torch.from_numpy(sos)), signal.sosfilt(scaled, part.numpy())) < -240


def test_sosfilt_of_a_batch():
    sos = np.stack([signal.butter(4, f, output="sos") for f in (0.1, 0.2, 0.5)])
    x = np.random.default_rng(1).standard_normal((3, 2, 500))
    y = sosfilt(torch.from_numpy(x), torch.from_numpy(sos))
    for i in range(3):
        assert error_db(y[i], signal.sosfilt(sos[i], x[i])) < -240


@pytest.mark.parametrize("path", ["fast", "reference"])
def test_gradients(path):
    sos = torch.from_numpy(signal.ellip(3, 1, 40, 0.3, output="sos")).requires_grad_()
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 40))).requires_grad_()
    assert gradcheck(lambda a, b: sosfilt(a, b, path), (x, sos), atol=1e-6)
    times = [torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True) for _ in range(2)]
    level = x.detach().abs().requires_grad_()
    assert gradcheck(lambda a, b, c: envelope_follower(a, b, c, 8000.0, path=path), (level, *times), atol=1e-6)


def test_the_follower_has_its_time_constants():
    x = torch.cat([torch.ones(4800), torch.zeros(4800)]).double()
    y = envelope_follower(x, 10.0, 20.0, 48000.0)
    assert y[479] == pytest.approx(1 - np.exp(-1), abs=1e-6)
    assert y[4800 + 959] / y[4799] == pytest.approx(np.exp(-1), abs=1e-6)


def test_refusals():
    x, sos = torch.zeros(2, 8), torch.from_numpy(signal.butter(4, 0.2, output="sos"))
    with pytest.raises(ValueError, match=r"give \(sections, 6\)"):
        sosfilt(x, sos[:, :5])
    with pytest.raises(ValueError, match="batch of 3"):
        sosfilt(x, sos.expand(3, -1, -1))
    unstable = sos.clone()
    unstable[1, 5] = 1.01
    with pytest.raises(ValueError, match="section 1 of sos is not stable"):
        sosfilt(x, unstable)
    with pytest.raises(ValueError, match="give a float tensor"):
        sosfilt(torch.zeros(8, dtype=torch.int64), sos)
    with pytest.raises(ValueError, match=r"give \(rows, ticks, sections, 5\)"):
        svf_cascade(x, sos)
    with pytest.raises(ValueError, match="attack_ms must be above 0"):
        envelope_follower(x, 0.0, 1.0, 48000.0)


def test_a_fixed_filter_is_scipys_and_its_own_transpose():
    rng = np.random.default_rng(3)
    taps = tuple(rng.standard_normal(37))
    x = torch.from_numpy(rng.standard_normal((3, 2, 333))).requires_grad_()
    y = recursions.fir(x, taps, "fast")
    assert error_db(y.detach(), signal.lfilter(taps, [1.0], x.detach().numpy())) < -280
    assert error_db(recursions.fir(x.detach().float(), taps), y.detach()) < -130
    assert error_db(y.detach(), recursions.fir(x.detach(), taps, "reference")) < -280
    small = x[:1, :, :50].detach().requires_grad_()
    assert gradcheck(lambda a: recursions.fir(a, taps, "fast"), (small,))
    assert torch.autograd.gradgradcheck(lambda a: recursions.fir(a, taps, "fast"), (small,))
    together = torch.vmap(lambda a: recursions.fir(a, taps, "fast"))(x.detach().unsqueeze(1))
    assert torch.equal(together.squeeze(1), y.detach())
