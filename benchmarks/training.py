"""Speed of training beside other differentiable effects: forwards and backwards, by turns in one process.

Sixteen sounds of one second at 44.1 kHz, float32; a loss of one line (the mean square of what comes out), the gradients of
all parameters that a side has, one value per sound. x realtime is seconds of sound a second of time, the median over the
rounds. All sides keep their memory (`twinrack.twins.keep_memory`) and compute with as many threads as torch has. Peers that
are not installed are skipped with a sentence; all of them are there after

    pip install dasp-pytorch torchcomp torchlpc flamo

    python benchmarks/training.py [--rounds 15] [--only TEXT] [--threads 2]
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from twinrack.twins import apply, keep_memory

BATCH, RATE = 16, 44100
MOST_S = 10.0  # that a side is measured
Step = Callable[[], Tensor]  # gives what the loss is of


class Missing(Exception):  # noqa: N818 - it is no error
    """Why a peer is not measured."""


@dataclass(frozen=True)
class Work:
    name: str
    ours: Callable[[Tensor], Step]
    peers: dict[str, Callable[[Tensor], Step]]


def values(**each: float) -> dict[str, Tensor]:
    return {name: torch.full((BATCH,), value, requires_grad=True) for name, value in each.items()}


BANDS = {f"band{i + 1}": f for i, f in enumerate((80.0, 200.0, 500.0, 1500.0, 4000.0, 9000.0))}


def equalised(x: Tensor) -> Tensor:
    learned = {f"{b}.{n}": v for b, f in BANDS.items() for n, v in values(frequency_hz=f, gain_db=3.0, q=1.0).items()}
    return apply("parametric_eq", x, RATE, learned | {f"{b}.type": "bell" for b in BANDS})


def compressed(x: Tensor) -> Tensor:
    learned = values(
        threshold_db=-24.0, ratio=4.0, attack_ms=5.0, release_ms=100.0, knee_db=6.0, makeup_db=1.0, range_db=40.0, mix=0.9
    )
    return apply("compressor", x, RATE, learned)


def reverberated(x: Tensor) -> Tensor:
    learned = values(decay_s=2.0, decay_low_s=2.2, decay_high_s=1.2, mix=0.5, diffusion=0.7, low_cut_hz=40.0)
    return apply("fdn_reverb", x, RATE, learned)


def racked(x: Tensor) -> Tensor:
    return reverberated(apply("saturation", compressed(equalised(x)), RATE, values(drive_db=6.0, bias=0.1, mix=0.9)))


def response(x: Tensor) -> Tensor:
    decay = torch.exp(torch.arange(2 * RATE) * (-3.0 * math.log(10.0) / (2 * RATE)))
    return 0.02 * torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(1)) * decay


def convolved(x: Tensor) -> Step:
    h = response(x).requires_grad_()
    return lambda: apply("convolution_reverb", x, RATE, {"mix": 1.0}, resources={"impulse_response": h})


def plain_fft(x: Tensor) -> Step:
    h = response(x).requires_grad_()
    size = x.shape[-1] + h.shape[-1]
    return lambda: torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(h, size), size)[..., : x.shape[-1]]


def dasp(name: str, **each: float) -> Callable[[Tensor], Step]:
    def make(x: Tensor) -> Step:
        try:
            from dasp_pytorch import functional
        except ImportError as error:
            raise Missing("dasp-pytorch is not installed") from error
        return lambda: getattr(functional, name)(x, RATE, **values(**each))

    return make


EQ_BANDS = ("low_shelf", "band0", "band1", "band2", "band3", "high_shelf")
DASP_EQ = {
    f"{band}_{n}": v
    for band, f in zip(EQ_BANDS, BANDS.values(), strict=True)
    for n, v in {"gain_db": 3.0, "cutoff_freq": f, "q_factor": 1.0}.items()
}
DASP_COMPRESSOR = {
    "threshold_db": -24.0,
    "ratio": 4.0,
    "attack_ms": 5.0,
    "release_ms": 100.0,
    "knee_db": 6.0,
    "makeup_gain_db": 1.0,
}


def dasp_reverb(x: Tensor) -> Step:
    step = {f"band{i}_gain": 0.5 for i in range(12)} | {f"band{i}_decay": 0.5 for i in range(12)} | {"mix": 1.0}
    stereo = x.expand(-1, 2, -1)
    inner = dasp("noise_shaped_reverberation", **step)
    return inner(stereo)


def torchcomp(x: Tensor) -> Step:
    try:
        from torchcomp import avg, compexp_gain
    except ImportError as error:
        raise Missing("torchcomp is not installed") from error

    def step() -> Tensor:
        v = values(ct=-24.0, cr=4.0, et=-60.0, er=0.5, at=0.005, rt=0.0003)
        sound = x[:, 0]
        level = avg(sound.abs(), torch.full((BATCH,), 0.3, requires_grad=True))
        return sound * compexp_gain(level, v["ct"], v["cr"], v["et"], v["er"], v["at"], v["rt"])

    return step


def flamo(x: Tensor) -> Step:
    """Its sixteen-line network: orthogonal matrix, gains; two seconds of response, sampled in frequency."""
    try:
        from flamo.processor import dsp, system
    except ImportError as error:
        raise Missing("flamo is not installed") from error
    lines, size = 16, 2 * RATE
    at = {"nfft": size, "device": "cpu"}
    delays = dsp.parallelDelay(size=(lines,), max_len=3000, isint=True, **at)
    delays.assign_value(delays.sample2s(torch.linspace(500, 2600, lines).round()))
    mixing = dsp.Matrix(size=(lines, lines), matrix_type="orthogonal", requires_grad=True, **at)
    loss = dsp.parallelGain(size=(lines,), requires_grad=True, **at)
    loss.assign_value(torch.full((lines,), 0.9))
    loop = system.Recursion(fF=delays, fB=system.Series(mixing, loss))
    enter, leave = (dsp.Gain(size=s, requires_grad=True, **at) for s in ((lines, 1), (1, lines)))
    model = system.Shell(
        core=system.Series(enter, loop, leave),
        input_layer=dsp.FFT(size),
        output_layer=dsp.iFFT(size),
    )
    padded = torch.nn.functional.pad(x[:, 0], (0, size - x.shape[-1])).unsqueeze(-1)
    return lambda: model(padded)


def works() -> tuple[Work, ...]:
    def function(effect: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Step]:
        return lambda x: lambda: effect(x)

    return (
        Work("parametric EQ, 6 bands", function(equalised), {"dasp (sampled in frequency)": dasp("parametric_eq", **DASP_EQ)}),
        Work(
            "compressor, all parameters",
            function(compressed),
            {"torchcomp": torchcomp, "dasp (sampled in frequency)": dasp("compressor", **DASP_COMPRESSOR)},
        ),
        Work("FDN reverb, 16 lines, 2 s", function(reverberated), {"FLAMO (sampled in frequency)": flamo}),
        Work("convolution, 2 s", convolved, {"torch.fft": plain_fft, "dasp (1.5 s of shaped noise)": dasp_reverb}),
        Work("EQ, compressor, saturation, FDN reverb", function(racked), {}),
    )


def seconds(step: Step) -> float:
    began = time.perf_counter()
    step().square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    keep_memory()
    print(f"{datetime.date.today()}, {platform.machine()}, torch {torch.__version__}, {arguments.threads} threads\n")
    print("| work | twinrack | peer | its x realtime | ratio |\n| --- | ---: | --- | ---: | ---: |", flush=True)
    notes = []
    x = 0.1 * torch.randn(BATCH, 1, RATE)
    for work in works():
        if arguments.only not in work.name:
            continue
        sides = {"": work.ours(x)}
        for name, make in work.peers.items():
            try:
                sides[name] = make(x)
            except Missing as reason:
                notes.append(f"- {work.name}: {reason}")
        for step in sides.values():
            seconds(step)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for i in range(arguments.rounds):
            for name in list(sides) if i % 2 == 0 else list(sides)[::-1]:
                if sum(times[name]) < MOST_S:
                    times[name].append(seconds(sides[name]))
        speed = {name: BATCH / statistics.median(t) for name, t in times.items()}
        for name in list(sides)[1:] or [""]:
            peer = f"{name} | {speed[name]:.3g} | {speed[''] / speed[name]:.3g}" if name else "| |"
            print(f"| {work.name} | {speed['']:.0f} | {peer} |", flush=True)
    if notes:
        print("\nNot measured:\n\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
