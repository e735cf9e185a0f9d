"""What is compared: each work with our settings, and the peers with the nearest settings that they have.

What a peer only shows (graphs, spectra) is switched off. A work whose effect the engine does not have yet is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sounds import FRAMES, RATE, bursts, noise
from twinrack.rack.card import Value
from workers import Effects, Lv2, Ours, Pedalboard, Scipy, Side, Zita

LSP = "http://lsp-plug.in/plugins/lv2/"
CALF = "http://calf.sourceforge.net/plugins/"
X42 = "http://gareus.org/oss/lv2/"

Plugin = tuple[str, dict[str, float]]  # of pedalboard


@dataclass(frozen=True)
class Work:
    """A row: `bound` is what is known of the least number of cycles a frame; `worst` puts it into the second table."""

    name: str
    ours: Ours
    peers: tuple[Side, ...]
    blocks: tuple[int, ...] = (512, 64)
    bound: str = ""
    worst: bool = True
    sound: Callable[[Path], Path] = noise
    audible: bool = True  # the sound must come out changed
    least_frames: int = RATE // 100  # of a turn: covers whatever comes round rarely


def amplitude(db: float) -> float:
    return math.pow(10, db / 20)


def lsp(name: str, **controls: float) -> Lv2:
    return Lv2(f"LSP {name}", package="lsp-plugins-lv2", uri=f"{LSP}{name}", controls=controls)


def calf(name: str, **controls: float) -> Lv2:
    return Lv2(f"Calf {name}", package="calf-plugins", uri=CALF + name, controls=controls)


def x42(name: str, label: str = "", **controls: float) -> Lv2:
    return Lv2(label or f"x42 {name}", package="x42-plugins", uri=f"{X42}{name}#stereo", controls=controls)


FREQUENCIES = (60, 150, 400, 1000, 2500, 5000, 9000, 14000)
SIXTEEN = tuple(round(40 * 400 ** (i / 15), 1) for i in range(16))


def gain(band: int) -> float:
    return 3.0 if band % 2 == 0 else -3.0


def bells(frequencies: tuple[float, ...]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for i, f in enumerate(frequencies):
        band = f"band{i + 1}."
        values |= {f"{band}type": "bell", f"{band}frequency_hz": f, f"{band}gain_db": gain(i), f"{band}q": 1.0}
    return values


def peaks(frequencies: tuple[float, ...]) -> tuple[tuple[str, dict[str, float]], ...]:
    return tuple(("PeakFilter", {"cutoff_frequency_hz": f, "gain_db": gain(i), "q": 1.0}) for i, f in enumerate(frequencies))


def lsp_bells(frequencies: tuple[float, ...]) -> Lv2:
    controls: dict[str, float] = {"fft": 0, "fftv_l": 0, "fftv_r": 0, "mode": 0}
    for i, f in enumerate(frequencies):
        controls |= {f"ft_{i}": 1, f"f_{i}": f, f"g_{i}": amplitude(gain(i)), f"q_{i}": 1.0}
    return lsp("para_equalizer_x16_stereo", **controls)


def sections(frequencies: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Peaking filters after R. Bristow-Johnson's cookbook."""
    rows = []
    for i, f in enumerate(frequencies):
        w, a = 2 * math.pi * f / RATE, amplitude(gain(i) / 2)
        alpha = math.sin(w) / 2
        b, d = (1 + alpha * a, -2 * math.cos(w), 1 - alpha * a), (1 + alpha / a, -2 * math.cos(w), 1 - alpha / a)
        rows.append(tuple(x / d[0] for x in (*b, *d)))
    return tuple(rows)


def calf_eight() -> Lv2:
    """Its eight bands: two cuts of 12 dB per octave, two shelves, four bells."""
    controls: dict[str, float] = {"hp_active": 1, "hp_mode": 0, "lp_active": 1, "lp_mode": 0, "ls_active": 1, "hs_active": 1}
    controls |= {"ls_level": amplitude(3), "hs_level": amplitude(-3), "analyzer": 0}
    for i, f in enumerate(FREQUENCIES[2:6]):
        controls |= {f"p{i + 1}_active": 1, f"p{i + 1}_freq": f, f"p{i + 1}_level": amplitude(gain(i))}
    return calf("Equalizer8Band", **controls)


def fil4() -> Lv2:
    """Its eight bands: two cuts, two shelves, four bells."""
    controls: dict[str, float] = {"HighPass": 1, "HPfreq": 30, "LowPass": 1, "LPfreq": 18000}
    controls |= {"LSgain": 3, "LSfreq": 60, "HSgain": -3, "HSfreq": 5000}
    for i, f in enumerate(FREQUENCIES[1:5]):
        controls |= {f"freq{i + 1}": f, f"gain{i + 1}": gain(i), f"q{i + 1}": 1.4}
    return x42("fil4", **controls)


QUIET = {"pause": 1, "slv": 0, "elv": 0, "grv": 0, "ilv_l": 0, "ilv_r": 0, "olv_l": 0, "olv_r": 0}  # LSP's graphs
QUIET_LIMITER = {"pause": 1, **{f"{graph}_{side}": 0 for graph in ("igv", "ogv", "scgv", "grgv") for side in "lr"}}
PLAIN: dict[str, Value] = {"threshold_db": -24, "ratio": 4, "attack_ms": 5, "release_ms": 100}
FULL: dict[str, Value] = {
    **PLAIN,
    "knee_db": 6,
    "detector": "rms",
    "sidechain_low_cut_hz": 80,
    "lookahead_ms": 5,
    "mix": 0.8,
    "auto_makeup": True,
}
GATE: dict[str, Value] = {"threshold_db": -30, "attack_ms": 1, "release_ms": 100, "range_db": 40}
LIMITER: dict[str, Value] = {"ceiling_db": -10, "release_ms": 50, "lookahead_ms": 5}
PB_COMPRESSOR: Plugin = ("Compressor", {"threshold_db": -24, "ratio": 4, "attack_ms": 5, "release_ms": 100})
PB_GATE: Plugin = ("NoiseGate", {"threshold_db": -30, "ratio": 10, "attack_ms": 1, "release_ms": 100})
PB_LIMITER: Plugin = ("Limiter", {"threshold_db": -10, "release_ms": 50})


def lsp_compressor() -> Lv2:
    curve = {"al": amplitude(-24), "at": 5, "rt": 100, "cr": 4, "kn": amplitude(-6), "mk": amplitude(9)}
    detector = {"scm": 1, "scr": 10, "sla": 5, "shpm": 1, "shpf": 80, "scs": 5}
    return lsp("compressor_stereo", **curve, **detector, cdr=0.2, cwt=0.8, **QUIET)


def calf_compressor() -> Lv2:
    curve = {"threshold": amplitude(-24), "ratio": 4, "attack": 5, "release": 100, "knee": amplitude(6), "makeup": amplitude(9)}
    return calf("Compressor", **curve, detection=0, stereo_link=1, mix=0.8)


def lsp_gate() -> Lv2:
    detector = {"scm": 0, "scs": 5}
    return lsp("gate_stereo", gt=amplitude(-30), gz=0.5, at=1, rt=100, gr=amplitude(-40), **detector, **QUIET)


def lsp_limiter() -> Lv2:
    return lsp("limiter_stereo", th=amplitude(-10), lk=5, at=5, rt=20, alr=0, boost=0, ovs=0, dith=0, **QUIET_LIMITER)


def calf_gate() -> Lv2:
    curve = {"threshold": amplitude(-30), "ratio": 10, "attack": 1, "release": 100, "range": amplitude(-40)}
    return calf("Gate", **curve, detection=1, stereo_link=1)


def calf_limiter() -> Lv2:
    return calf("Limiter", limit=amplitude(-10), attack=5, release=50, asc=0, oversampling=1, auto_level=0)


EQUALISED: Effects = (("parametric_eq", bells(FREQUENCIES)), ("compressor", PLAIN))
LOW_CUT: dict[str, Value] = {"band1.type": "low_cut", "band1.frequency_hz": 80}
SIX_BANDS = bells((100, 250, 800, 2000, 5000, 10000)) | {"band1.type": "low_shelf", "band6.type": "high_shelf"}
STRIP: Effects = (
    ("parametric_eq", LOW_CUT),
    ("gate", GATE),
    ("parametric_eq", SIX_BANDS),
    ("compressor", PLAIN),
    ("limiter", LIMITER),
)
PB_STRIP: tuple[Plugin, ...] = (
    ("HighpassFilter", {"cutoff_frequency_hz": 80}),
    PB_GATE,
    ("LowShelfFilter", {"cutoff_frequency_hz": 100, "gain_db": 3}),
    *peaks((250, 800, 2000, 5000)),
    ("HighShelfFilter", {"cutoff_frequency_hz": 10000, "gain_db": -3}),
    PB_COMPRESSOR,
    PB_LIMITER,
)


def convolution(seconds: float, bound: str) -> Work:
    return Work(
        f"convolution, {seconds:g} s",
        Ours(effects=(("convolution_reverb", {}),), impulse_s=seconds),
        (
            Zita(label="zita-convolver, partition = block", seconds=seconds),
            Zita(label="zita-convolver, partitions to 8192", seconds=seconds, largest=8192),
            Pedalboard(label="pedalboard Convolution", impulse_s=seconds),
        ),
        least_frames=4 * 8192,
        bound=bound,
    )


FOLLOWER = "8: from a follower's state to the next, subtraction, multiply-add, maximum"


def works() -> tuple[Work, ...]:
    mono = Ours(label="twinrack, 16 x mono", effects=EQUALISED, channels=1, copies=16)
    strip = Ours(effects=EQUALISED)
    return (
        Work("empty chain", Ours(), (Pedalboard(),), audible=False),
        Work(
            "gain",
            Ours(effects=(("gain", {"gain_db": -6}),)),
            (Pedalboard(plugins=(("Gain", {"gain_db": -6}),)),),
            bound="1: load, multiply, store",
        ),
        Work(
            "equaliser, 8 bands",
            Ours(effects=(("parametric_eq", bells(FREQUENCIES)),)),
            (
                Pedalboard(label="pedalboard, 8 PeakFilter", plugins=peaks(FREQUENCIES)),
                lsp_bells(FREQUENCIES),
                calf_eight(),
                fil4(),
                Scipy(sections=sections(FREQUENCIES)),
            ),
            bound="8: from a filter's state to the next, two multiply-adds",
        ),
        Work(
            "equaliser, 16 bands",
            Ours(effects=(("parametric_eq", bells(SIXTEEN)),)),
            (lsp_bells(SIXTEEN),),
            bound="14: 28 multiply-adds, two a cycle",
        ),
        Work(
            "compressor, plain", Ours(effects=(("compressor", PLAIN),)), (Pedalboard(plugins=(PB_COMPRESSOR,)),), bound=FOLLOWER
        ),
        Work(
            "compressor, all features",
            Ours(effects=(("compressor", FULL),)),
            (
                lsp_compressor(),
                calf_compressor(),
                x42("darc", threshold=-24, Ratio=0.75, attack=0.005, release=0.1),
                Pedalboard(label="pedalboard (threshold, ratio, times only)", plugins=(PB_COMPRESSOR,)),
            ),
            bound=f"{FOLLOWER}; another 8 for the low cut, which goes before",
        ),
        Work(
            "gate, bursts",
            Ours(effects=(("gate", GATE),)),
            (Pedalboard(plugins=(PB_GATE,)), lsp_gate(), calf_gate()),
            sound=bursts,
            least_frames=FRAMES,
            bound=FOLLOWER,
        ),
        Work(
            "limiter",
            Ours(effects=(("limiter", LIMITER),)),
            (
                lsp_limiter(),
                calf_limiter(),
                x42("dpl", threshold=-10, release=0.05, truepeak=1),
                x42("dpl", label="x42 dpl, samples only", threshold=-10, release=0.05, truepeak=0),
                Pedalboard(label="pedalboard (no lookahead)", plugins=(PB_LIMITER,)),
            ),
            bound="14: 6 for the points between the samples, 8 for the release",
        ),
        Work(
            "saturation, tanh, 4x oversampled",
            Ours(effects=(("saturation", {"curve": "tanh", "drive_db": 12, "oversampling": "4"}),)),
            (
                Pedalboard(label="pedalboard Distortion (not oversampled)", plugins=(("Distortion", {"drive_db": 12}),)),
                calf("Saturator", drive=5, blend=0),
            ),
            bound="26: 18 for 2 x 144 coefficients, 8 for tanh",
        ),
        Work(
            "reverb",
            Ours(effects=(("fdn_reverb", {"mix": 0.3}),)),
            (
                Pedalboard(label="pedalboard Reverb (freeverb)", plugins=(("Reverb", {"wet_level": 0.3, "dry_level": 0.7}),)),
                calf("Reverb", decay_time=1.5, amount=0.3, dry=0.7),
            ),
            bound="32: 12 for the filters of 16 lines, 12 to turn them over, 8 for the mixing",
        ),
        Work(
            "delay",
            Ours(effects=(("delay", {"time_ms": 350, "feedback": 0.4, "mix": 0.3}),)),
            (
                Pedalboard(
                    label="pedalboard Delay (no filters)",
                    plugins=(("Delay", {"delay_seconds": 0.35, "feedback": 0.4, "mix": 0.3}),),
                ),
                calf("VintageDelay", timing=1, time_l=7, time_r=7, feedback=0.4, amount=0.3),
            ),
        ),
        Work(
            "chorus, one voice",
            Ours(effects=(("chorus", {"voices": "1", "delay_ms": 7, "depth_ms": 2, "rate_hz": 1}),)),
            (
                Pedalboard(
                    label="pedalboard Chorus",
                    plugins=(("Chorus", {"rate_hz": 1, "depth": 0.25, "centre_delay_ms": 7, "feedback": 0, "mix": 0.5}),),
                ),
                calf("MultiChorus", min_delay=5, mod_depth=2, mod_rate=1, voices=1),
            ),
        ),
        Work(
            "phaser, 6 stages",
            Ours(effects=(("phaser", {"stages": "6", "rate_hz": 1, "feedback": 0.3}),)),
            (
                Pedalboard(
                    label="pedalboard Phaser",
                    plugins=(
                        ("Phaser", {"rate_hz": 1, "depth": 0.5, "centre_frequency_hz": 700, "feedback": 0.3, "mix": 0.5}),
                    ),
                ),
                calf("Phaser", base_freq=700, mod_depth=2400, mod_rate=1, feedback=0.3, stages=6),
            ),
        ),
        Work(
            "flanger",
            Ours(effects=(("flanger", {"rate_hz": 0.3, "feedback": 0.3}),)),
            (calf("Flanger", min_delay=1, mod_depth=3, mod_rate=0.3, feedback=0.3),),
        ),
        Work(
            "rotary speaker",
            Ours(effects=(("rotary", {"rate_hz": 6.7}),)),
            (calf("RotarySpeaker"),),
        ),
        Work(
            "de-esser",
            Ours(effects=(("deesser", {"mode": "bell", "threshold_db": -20, "ratio": 6}),)),
            (calf("Deesser", mode=1, threshold=0.05, ratio=6),),
        ),
        convolution(0.5, "92: 60 for six transforms, 16 for the head, 16 for 32 parts"),
        convolution(3.0, "141: 80 for eight transforms, 16 for the head, 45 for 1440 bytes of parts from the second cache"),
        Work(
            "channel strip",
            Ours(effects=STRIP),
            (Pedalboard(label="pedalboard, 10 plugins", plugins=PB_STRIP),),
            bound="46: the sum of its parts",
        ),
        Work(
            "equaliser and compressor, 1-frame blocks",
            strip,
            (Ours(label="twinrack, 64-frame blocks", effects=EQUALISED, block=64),),
            blocks=(1,),
            worst=False,
        ),
        Work("equaliser and compressor, 16 channels", Ours(effects=EQUALISED, channels=16), (mono,), worst=False),
        Work(
            "equaliser and compressor, 100 strips",
            Ours(effects=EQUALISED, copies=100),
            (Pedalboard(label="pedalboard, Mix of 100", plugins=(*peaks(FREQUENCIES), PB_COMPRESSOR), copies=100),),
            blocks=(64,),
        ),
    )
