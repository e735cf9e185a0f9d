"""Every argument of the extension that measures or indexes memory, with extremes: an error or a result, never a crash.

Each callable of the extension is tried in a child process, so that a crash is seen as one: the call with which the package uses
it, with one argument after the other (and then two at a time) replaced by a hostile value. Arguments that are addresses of
foreign functions and memory cannot be checked and are named.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from twinrack import _engine

# Addresses by nature: whoever calls these gives a pointer.
POINTERS = {"use_thread_team": "the address of a function", "JackCallback": "the address of a function, and of ports"}
SWEEPS = {"sweep_forward", "sweep_backward"}  # tried with every sweep
WITHOUT_ARGUMENTS = {"cards", "sweep_names", "simd_target", "halfbands", "true_peak_phases", "before_fork"}

CALLS = """
import sys

import numpy as np
from twinrack import _engine as e

f32 = lambda *shape: np.zeros(shape, np.float32) + np.float32(0.1)
f64 = lambda *shape: np.zeros(shape) + 0.1

def node(effect="gain", **more):
    n = e.Node()
    n.kind, n.effect = e.NodeKind.effect, effect
    n.values = VALUES[effect]
    for name, value in more.items():
        setattr(n, name, value)
    return n

import twinrack as tr
VALUES = {c.id: [p.to_engine(p.default) for p in c.addresses.values()] for c in tr.CARDS.values()}

def tree(effect="gain", values=None, key=-1, drives=(), rows=None, kind="effect", children=0):
    n = node(effect)
    if values is not None:
        n.values = values
    n.key, n.drives = key, list(drives)
    n.kind = getattr(e.NodeKind, kind)
    if rows is not None:
        n.set_resource(rows)
    if children:
        n.children = [node()] * children
    return n

def engine(effect="gain", values=None, key=-1, drives=(), rows=None, kind="effect", children=0,
           sample_rate=48000.0, channels=2, first_frame=0, x=f32(2, 700)):
    made = e.Engine(tree(effect, values, key, drives, rows, kind, children), sample_rate, channels, first_frame)
    return made, [made.process(x) for _ in range(3)]

def used(name, *arguments, before=(), **more):
    made = e.Engine(node("compressor"), 48000.0, 2, 0)
    for call, given in before:
        getattr(made, call)(*given)
    result = getattr(made, name)(*arguments, **more)
    made.process(f32(2, 700))
    return result

def process(x, keys):
    return e.Engine(tree("compressor", key=0), 48000.0, 2, 0).process(x, keys)

def many(sample_rate, count, key, parameters, values, sound, sidechain, output, threads, check):
    outputs = [output.copy() if isinstance(output, np.ndarray) else output for _ in range(9)]
    roots = [tree("compressor", key=key)] * count
    keys = [[sidechain]] * 9 if key >= 0 else [[]] * 9
    return e.render_many(sample_rate, roots, parameters, values, [sound] * 9, keys, outputs, threads, check)

def render(x, y, keys):
    return e.Engine(tree("limiter", key=0), 48000.0, 2, 0).render(x, y, keys)

def mixer(start=(0, 1), keys=((0,),), to=(0, 1), inputs=2, outputs=2, sample_rate=48000.0, first_frame=0, x=f32(2, 700)):
    line = (e.Engine(tree("compressor", key=0), 48000.0, 2, 0), list(start), [list(k) for k in keys], list(to))
    made = e.Mixer([line], inputs, outputs, sample_rate, first_frame)
    return made, [made.process(x) for _ in range(2)]

def on_mixer(name, *arguments):
    made = mixer()[0]
    result = getattr(made, name)(*arguments)
    made.process(f32(2, 700))
    return result

def controlled(control, index, value):
    return on_mixer("set_control", control, index, value)

def recorded(seconds, frames):
    made = mixer()[0]
    made.read_record(8)
    made.record_into(seconds)
    made.process(f32(2, 700))
    return made.read_record(frames)

def bridge(channels, input_rate, output_rate, delay, x, time, frames):
    b = e.Bridge(channels, input_rate, output_rate, delay)
    for n in range(6):
        b.write(x, time + 0.01 * n)
        b.read(frames, time + 0.01 * n)

def worker_effect(channels, block, blocks, y, keys=1, ranges=((True, 0.0, 2.0, 1.0), (False, -1.0, 1.0, 0.0)), latency=8, file=-1,
                  wait_s=0.001):
    w = e.WorkerEffect(channels, block, blocks, keys, list(ranges), latency, file, wait_s)
    w.fetch(), w.deliver(y), w.discard(), w.let_wait(), w.reclaim(), w.frames_left, w.detach()

def loudness(sample_rate, channels, x, again):
    meter = e.LoudnessMeter(sample_rate, channels)
    meter.process(x, again)
    return meter.powers, meter.peak, meter.true_peak

def state(data):
    return used("load_state", data)

def flat_rack(effect="compressor", key=0, drives=(), rows=None, rates=(48000.0, 44100.0), channels=2, keys=("bass",), tail_s=1.0,
              index=2, id=7, options=("a", "b"), initial=0.5, patch=b"zip", preset=(0.25,)):
    f, p, other = e.FlatRack(), e.FlatParameter(), e.FlatPreset()
    f.id, f.name, f.description, f.made_by, f.patch, f.channels, f.keys, f.tail_s = "urn:a", "a", "", "", patch, channels, list(keys), tail_s
    p.index, p.id, p.symbol, p.options, p.is_switch, p.initial = index, id, "ratio", list(options), False, initial
    f.parameters = [p]
    other.name, other.values = "other", list(preset)
    f.presets = [other]
    for rate in rates:
        f.add_rate(rate, tree(effect, key=key, drives=drives, rows=rows))
    return e.FlatRack.from_bytes(f.to_bytes())

def flat_bytes(data):
    return e.Player(e.FlatRack.from_bytes(data), 48000.0).process(f32(2, 700))

def player(rate=48000.0, x=f32(2, 700), keys=(f32(2, 700),), parameter=1, value=0.5):
    p = e.Player(flat_rack(), rate)
    p.change(parameter, value), p.bypass(True), p.process(x, list(keys)), p.reset()
    return p.process(x), p.latency

def portaudio(with_mixer, channels):
    return e.PortAudioCallback(mixer()[0] if with_mixer else None, e.Bridge(channels, 48000.0, 44100.0, 256))


# Forwards and backwards through a sweep, as a twin asks for it.
def sweep_calls(name):
    sys.path.insert(0, TESTS)
    import torch
    from recursion_support import asked_by

    cards = [name.partition(".")[0]] if "." in name else tr.CARDS
    calls = (a for number in range(12) for card in cards for a in asked_by(card, number, 200, [torch.float32]))
    asked = next(a for a in calls if a.name == name)
    x, *given = (t.numpy() for t in asked.tensors)
    options = list(asked.options)
    _, memory = e.sweep_forward(name, x, given, options, 2)
    return {
        f"{name} forward": (e.sweep_forward, (name, x, given, options, 2)),
        f"{name} backward": (e.sweep_backward, (name, x, given, memory, x, options, 2)),
    }

lstm = (f32(2, 70, 3), f32(16, 7), f32(16), f32(4), f32(4), f32(4), False)
lstm_states = e.recurrent_forward(*lstm, 2)[1]

CALLS = {
    "Engine": (engine, dict(effect="compressor", values=VALUES["compressor"], key=0, drives=(), rows=None, kind="effect", children=0,
                            sample_rate=48000.0, channels=2, first_frame=0, x=f32(2, 700))),
    "Node": (engine, dict(effect="convolution_reverb", values=VALUES["convolution_reverb"], rows=f32(2, 900))),
    "NodeKind": (engine, dict(kind="parallel", children=3)),
    "adapter": (engine, dict(effect="adapter", values=VALUES["adapter"], rows=f32(1, 40))),
    "controller": (engine, dict(effect="controller", values=VALUES["controller"], drives=(0,), rows=f32(1, 40))),
    "process": (process, dict(x=f32(2, 700), keys=[f32(1, 700)])),
    "render_many": (many, dict(sample_rate=48000.0, count=9, key=-1, parameters=[0, 2], values=f32(9, 2), sound=f32(2, 700),
                               sidechain=f32(1, 700), output=f32(2, 700), threads=2, check=lambda: None)),
    "render_many_keyed": (many, dict(sample_rate=48000.0, count=9, key=0, parameters=[0], values=f32(9, 1), sound=f32(2, 700),
                                     sidechain=f32(1, 700), output=f32(2, 700), threads=2, check=lambda: None)),
    "process_plain": (used, dict(name="process_plain", arguments=(f32(2, 700),))),
    "render": (render, dict(x=f32(2, 700), y=f32(2, 700), keys=[f32(1, 700)])),
    "set_parameter": (used, dict(name="set_parameter", arguments=(0, 0.5))),
    "set_bypass": (used, dict(name="set_bypass", arguments=(0, True))),
    "swap": (used, dict(name="swap", arguments=(tree("compressor", key=0),))),
    "automate": (used, dict(name="automate", arguments=([0, 1], f32(2, 40), 0))),
    "enable_trace": (used, dict(name="enable_trace", arguments=(100,))),
    "load_state": (state, dict(data=b"twrs" + bytes(200))),
    "FlatRack": (flat_rack, dict(effect="compressor", key=0, drives=(), rates=(48000.0, 44100.0), channels=2, keys=("bass",),
                                 tail_s=1.0, patch=b"zip")),
    "FlatParameter": (flat_rack, dict(index=2, id=7, options=("a", "b"), initial=0.5)),
    "FlatPreset": (flat_rack, dict(preset=(0.25,))),
    "flat_resource": (flat_rack, dict(effect="convolution_reverb", key=-1, rows=f32(2, 900))),
    "from_bytes": (flat_bytes, dict(data=flat_rack().to_bytes())),
    "Player": (player, dict(rate=48000.0, x=f32(2, 700), keys=(f32(2, 700),), parameter=1, value=0.5)),
    "Mixer": (mixer, dict(start=(0, 1), keys=((0,),), to=(0, 1), inputs=2, outputs=2, sample_rate=48000.0, first_frame=0,
                          x=f32(2, 700))),
    "MixerControl": (controlled, dict(control=e.MixerControl.level, index=0, value=1.0)),
    "scope": (on_mixer, dict(name="scope", arguments=(0, True, 100))),
    "play": (on_mixer, dict(name="play", arguments=(f32(2, 500), f32(2, 500)))),
    "read_record": (recorded, dict(seconds=1, frames=64)),
    "Bridge": (bridge, dict(channels=2, input_rate=48000.0, output_rate=44100.0, delay=256, x=f32(480, 2), time=0.0, frames=441)),
    "WorkerEffect": (worker_effect, dict(channels=2, block=64, blocks=4, y=f32(2, 64), keys=1, latency=8, file=-1, wait_s=0.001)),
    "LoudnessMeter": (loudness, dict(sample_rate=48000.0, channels=2, x=f32(2, 700), again=2)),
    "PortAudioCallback": (portaudio, dict(with_mixer=True, channels=2)),
    "fdn_layout": (e.fdn_layout, dict(sample_rate=48000.0)),
    "effect_latency": (e.effect_latency, dict(effect="limiter", values=VALUES["limiter"], sample_rate=48000.0)),
    "mix": (e.mix, dict(sounds=[f32(2, 700)], matrices=[[1.0, 0.0, 0.5, 1.0]], channels=2, frames=700)),
    "unpack": (e.unpack, dict(data=bytes(1200), bytes=3, channels=2, frames=200)),
    "fir": (e.fir, (f32(2, 2, 700), [0.5, 0.2], False, 2)),
    "recurrent_forward": (e.recurrent_forward, (*lstm, 2)),
    "recurrent_backward": (e.recurrent_backward, (*lstm, lstm_states, f32(2, 70, 4), 2)),
    "gate_open": (e.gate_open, (np.zeros((2, 2, 70), np.uint8), np.zeros((2, 2, 70), np.uint8), np.zeros((2, 70), np.int32))),
    "design_filters": (e.design_filters, ([0, 1], True, f64(3, 2), f64(3, 2), f64(3, 2), 48000.0)),
    "cut_section_q": (e.cut_section_q, (0, 4, 0.7)),
    "after_fork": (e.after_fork, (False,)),
    **(sweep_calls(sys.argv[1].partition(" ")[0]) if " " in sys.argv[1] else {}),
}

SMALL = [-1, 0, 1, 3, 17, 33]
NUMBERS = [-(2**63), -(2**31), -320, -32, -1, 0, 1, 2, 3, 17, 31, 33, 65, 1000, 2**16, 2**31 - 1, 2**31, 2**40, 2**62 + 32,
           2**63 - 32, 2**63 - 1]
REALS = [float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e-300, 1e300, 7999.0, 384001.0]
HUGE = {2**16, 2**31 - 1, 2**31, 2**40}

def hostile(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, e.MixerControl)):
        return [*NUMBERS, *REALS[:3], "1", None] if isinstance(value, int) else [0, None]
    if isinstance(value, float):
        return [*REALS, 2**40, None]
    if isinstance(value, bytes):
        return [b"", value[:-1], value[: len(value) // 2], bytes(7), None]
    if isinstance(value, str):
        return ["", "no such", "\\0"]
    if isinstance(value, np.ndarray):
        shapes = [(0,) * value.ndim, value.shape[:-1] + (0,), value.shape[:-1] + (1,), value.shape[:-1] + (value.shape[-1] + 37,),
                  (value.shape[0] + 1,) + value.shape[1:], (1,) + value.shape[1:], (0,) + value.shape[1:],
                  value.shape + (1,), value.shape[1:], (70,) + value.shape[1:]]
        made = [np.full(s, 0.1, value.dtype) for s in shapes]
        made += [np.full(value.shape, v, value.dtype) for v in ((np.nan, np.inf, 1e30, -1e30, 255) if value.dtype.kind == "f" else (1,))]
        return [*made, None, value.astype(np.float64), value[..., ::2]]
    if isinstance(value, (list, tuple)):
        one = list(value)
        made = [[], one[:-1], one * 2, one * 40]
        for i in range(min(len(one), 3)):
            for h in hostile(one[i])[:24]:
                made.append(one[:i] + [h] + one[i + 1 :])
        return [*made, None]
    return [None]

import itertools, os, sys
name, seed = sys.argv[1], int(sys.argv[2])
function, given = CALLS[name]
keys = list(given) if isinstance(given, dict) else list(range(len(given)))
devnull = os.open(os.devnull, os.O_WRONLY)

def call(changed):
    now = {**given, **changed} if isinstance(given, dict) else [changed.get(i, v) for i, v in enumerate(given)]
    with open(sys.argv[3], "w") as file:
        file.write(f"{name} {changed!r}"[:400])
    try:
        if isinstance(now, list):
            function(*now)
        elif "arguments" in now:
            function(now["name"], *(now["arguments"] or ()))
        else:
            function(**now)
    except (TypeError, ValueError, IndexError, KeyError, RuntimeError, OverflowError, MemoryError, AttributeError):
        pass

call({})
rng = np.random.default_rng(seed)
choices = {k: hostile(given[k]) for k in keys if not (isinstance(given, dict) and k == "name")}
for k, values in choices.items():
    for value in values:
        call({k: value})
pairs = list(itertools.combinations(choices, 2))
for _ in range(PAIRS if pairs else 0):
    a, b = pairs[rng.integers(len(pairs))]
    call({a: choices[a][rng.integers(len(choices[a]))], b: choices[b][rng.integers(len(choices[b]))]})
print("survived")
"""  # noqa: E501

NAMES = [
    "Engine", "Node", "NodeKind", "adapter", "controller", "process", "process_plain", "render", "render_many",
    "render_many_keyed", "set_parameter", "set_bypass", "swap", "automate", "enable_trace", "load_state", "Mixer",
    "FlatRack", "FlatParameter", "FlatPreset", "flat_resource", "from_bytes", "Player",
    "MixerControl", "scope", "play", "read_record", "Bridge", "WorkerEffect", "LoudnessMeter", "PortAudioCallback",
    "fdn_layout", "effect_latency", "mix", "unpack", "fir", "recurrent_forward", "recurrent_backward", "gate_open",
    "design_filters", "cut_section_q", "after_fork",
    *(f"{sweep} {way}" for sweep in _engine.sweep_names() for way in ("forward", "backward")),
]  # fmt: skip


def test_every_callable_of_the_extension_is_tried():
    public = {n for n in dir(_engine) if not n.startswith("_") and callable(getattr(_engine, n))}
    results = {"EffectMeter", "OutputState"}  # only given back
    missing = public - set(NAMES) - set(POINTERS) - SWEEPS - WITHOUT_ARGUMENTS - results
    assert not missing
    methods = {n for n, f in inspect.getmembers(_engine.Engine) if not n.startswith("_") and callable(f)}
    assert methods <= {*NAMES, "collect", "keep_history", "history", "meters", "trace", "save_state", "stay_awake"}
    methods = {n for n, f in inspect.getmembers(_engine.Player) if not n.startswith("_") and callable(f)}
    assert methods == {"process", "change", "bypass", "reset"}
    methods = {n for n, f in inspect.getmembers(_engine.Mixer) if not n.startswith("_") and callable(f)}
    assert methods <= {*NAMES, "set_control", "keep_history", "history", "output_state", "output_peaks", "record_into"}


@pytest.mark.parametrize("name", NAMES)
def test_hostile_arguments_never_crash(name, tmp_path):
    limits = "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
    code = limits + textwrap.dedent(CALLS).replace("PAIRS", "80").replace("TESTS", repr(str(Path(__file__).parents[1])))
    last = tmp_path / "last"
    done = subprocess.run(
        [sys.executable, "-c", code, name, "1", str(last)], capture_output=True, text=True, timeout=600, check=False
    )
    told = last.read_text() if last.exists() else ""
    assert done.returncode == 0, f"exit {done.returncode} after {told}: {done.stderr[-400:]}"
    assert done.stdout.strip() == "survived"


@pytest.mark.parametrize("first", [-32, -320, -1, 1, 33, 2**63 - 32, 2**63 - 1])
def test_a_first_frame_off_the_grid_is_one_sentence(first):
    import twinrack as tr

    with pytest.raises(
        ValueError, match=f"^first_frame must be a multiple of 32 from 0 to 2\\^62, on which values move, got {first}$"
    ):
        tr.Rack([tr.Compressor()]).prepare(48000, 2, first_frame=first)
