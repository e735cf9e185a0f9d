"""Training the network of a denoiser on mixes of voices and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import check_rate
from ..checks import check_integer
from ..resources.noise_network import NoiseNetwork
from ..twins.auditory_bands import band_powers
from ..twins.networks import conv_stack, unpacked
from ..twins.recursions import find_recursion
from ..twins.values import Context
from .process import training

Sound = npt.NDArray[np.float32]

SECONDS = 4.0
BATCH, AT_ONCE = 16, 12  # mixes of a step, and those that are made together
RATE_OF_LEARNING = 2e-3
REDUCTION_DB = 20.0  # that it is trained with
SNR_DB, LEVEL_DBFS = (-5.0, 28.0), (-42.0, -14.0)
ADAPTATION_S = 0.2
COMPRESSION = 0.2  # power of power in which voices are compared: about loudness
DAMAGE = 1.6  # how much more a voice that is lowered counts than noise that is left
RATIO_SHARE = 0.5


def train_noise_network(
    voices: Sequence[Sound],
    noises: Sequence[Sound],
    sample_rate: float,
    *,
    start: NoiseNetwork | None = None,
    mixes: int = 600,
    steps: int = 4000,
    seed: int = 0,
    progress: bool | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> NoiseNetwork:
    """Train the network of a `Denoiser` for these voices in these noises.

    First the mixes are made, of 4 s each: a voice from a random place at -42 to -14 dBFS, and a noise from another, from 5 dB
    above it to 28 dB below it. The network is to lower each band to what the voice has in it, by 20 dB at most; a voice that
    is lowered counts 1.6 times as much as noise that is left.

    Args:
        voices, noises: mono recordings, (frames,), each at least 4 s long; a voice with pauses, without noise.
        sample_rate: of all of them, Hz.
        start: a network that is trained on; without, a new one.
        mixes: how many; about 20 are made in a second on two cores, and each takes 0.8 MB of memory.
        steps: of 16 mixes each, about 15 a second.
        seed: of the mixes and of a new network.
        progress: shows a bar; None: where somebody watches.
        on_step: called after each step with its number and its loss.

    Returns:
        The network; also after an interrupt (Ctrl-C), as far as it has come.

    Raises:
        ValueError: no voice or noise, one that is too short, NaN or infinity in one, or digital silence alone.
    """
    rate = check_rate(sample_rate)
    check_integer(steps, "steps", 1)
    check_integer(mixes, "mixes", 1)
    frames = round(SECONDS * rate)
    voices, noises = _checked("voice", voices, frames), _checked("noise", noises, frames)
    net = NoiseNetwork(seed=seed) if start is None else start
    weights = torch.tensor(net.weights, requires_grad=True)
    optimiser = torch.optim.AdamW([weights], RATE_OF_LEARNING, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE_OF_LEARNING, steps, pct_start=0.05)
    rng = np.random.default_rng(seed)
    with training(steps, progress, None) as (bar, _):
        try:
            parts = [_mixed(rng, voices, noises, frames, rate) for _ in range(-(-mixes // AT_ONCE))]
            all_of = [torch.cat(of_all)[:mixes] for of_all in zip(*parts, strict=True)]
            for step in range(steps):
                chosen = torch.from_numpy(rng.integers(mixes, size=BATCH))
                loss = _loss(net, weights, *(t[chosen] for t in all_of))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_([weights], 1.0)
                optimiser.step()
                schedule.step()
                bar.step(step + 1, float(loss.detach()), {})
                if on_step is not None:
                    on_step(step, float(loss.detach()))
        except KeyboardInterrupt:
            pass
    source = f"trained on {len(voices)} voices and {len(noises)} noises"
    return NoiseNetwork(net.hidden, net.dilations, weights.detach().numpy(), source=source)


def _checked(what: str, given: Sequence[Sound], frames: int) -> list[Sound]:
    sounds = [np.asarray(x, np.float32) for x in given]
    if not sounds:
        raise ValueError(f"there is no {what} to train on; give at least one recording")
    for number, x in enumerate(sounds, 1):
        if x.ndim != 1:
            raise ValueError(f"{what} {number} has shape {x.shape}; give a list of recordings of one channel, (frames,) each")
        if len(x) < frames:
            raise ValueError(f"{what} {number} is shorter than {SECONDS:g} s; join recordings, or leave it out")
        if not np.isfinite(x).all():
            raise ValueError(f"{what} {number} holds NaN or infinity; repair the recording, or leave it out")
        if not np.any(x):
            raise ValueError(f"{what} {number} is silent; leave it out")
    return sounds


def _mix(
    rng: np.random.Generator, voices: Sequence[Sound], noises: Sequence[Sound], frames: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    voice, noise = (_piece(rng, sounds, frames) for sounds in (voices, noises))
    loud = np.abs(voice) > 0.03 * np.max(np.abs(voice), initial=0.0)
    power = float(np.mean(voice[loud] ** 2)) if loud.any() else 1.0
    gain = 10 ** (rng.uniform(*LEVEL_DBFS) / 20) / np.sqrt(power)
    beside = 10 ** (-rng.uniform(*SNR_DB) / 20) * np.sqrt(power / max(float(np.mean(noise**2)), 1e-20))
    return (gain * voice).astype(np.float32), (gain * beside * noise).astype(np.float32)


def _piece(rng: np.random.Generator, sounds: Sequence[Sound], frames: int) -> Sound:
    x = sounds[int(rng.integers(len(sounds)))]
    first = int(rng.integers(len(x) - frames + 1))
    return np.asarray(x[first : first + frames], np.float32)


@torch.no_grad()
def _mixed(
    rng: np.random.Generator, voices: Sequence[Sound], noises: Sequence[Sound], frames: int, rate: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Some mixes: what the network hears of them (mixes, 48, hops), and the power of the mix, its voice and its noise in each
    band, (mixes, 24, hops)."""
    pairs = [_mix(rng, voices, noises, frames) for _ in range(AT_ONCE)]
    voice, noise = (torch.from_numpy(np.stack(x)).unsqueeze(1) for x in zip(*pairs, strict=True))
    twin: Any = import_module("twinrack.plugins.denoiser.twin")  # which hears as the effect does
    at, hop = Context(rate, 1, frames), int(twin.hop_ticks(rate))
    powers = [band_powers(x, at).clamp(min=twin.FLOOR) for x in (voice + noise, voice, noise)]
    hops = powers[0].shape[-1] // hop
    powers = [p[..., : hops * hop] for p in powers]
    adaptation = torch.full((1, 1), ADAPTATION_S, dtype=torch.float64)
    tracked = find_recursion("denoiser.noise")(powers[0], twin.tracking(adaptation, at))
    x: Tensor = twin.features(powers[0], tracked[..., hop - 1 :: hop], hop).float()
    mix, own, other = (p.reshape(*p.shape[:-1], hops, hop).mean(-1).float() for p in powers)
    return x, mix, own, other


def _loss(net: NoiseNetwork, weights: Tensor, x: Tensor, mix: Tensor, voice: Tensor, noise: Tensor) -> Tensor:
    scale = (voice.mean((1, 2), keepdim=True) + 0.1 * noise.mean((1, 2), keepdim=True)).clamp(min=1e-9)
    ratio = (voice / (voice + noise)).clamp(min=10 ** (-REDUCTION_DB / 10))
    a = net.architecture
    before = torch.nn.functional.pad(x, (a.receptive_field - 1, 0))
    out = conv_stack(before, a, unpacked(a, weights, x.dtype), "")[:, : mix.shape[1]]
    gain_db = -REDUCTION_DB * torch.sigmoid(-out)
    gain_db = 0.5 * (gain_db + torch.cat([gain_db[..., :1], gain_db[..., :-1]], -1))  # it glides there
    gain = 10 ** (gain_db / 10)
    error = (gain * mix / scale) ** COMPRESSION - (voice / scale) ** COMPRESSION
    damage = torch.where(error < 0, DAMAGE, 1.0)
    weight = (mix / scale).clamp(max=10.0) ** (0.5 * COMPRESSION)
    return (damage * error.square()).mean() + RATIO_SHARE * ((gain**0.25 - ratio**0.25).square() * weight).mean()
