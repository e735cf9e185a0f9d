"""Many sounds, or many values of one rack, rendered at once from arrays to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio, Layout, as_planar, check_rate, in_layout
from ..checks import brief, check_integer
from ..rack.compiling import compile_tree
from ..rack.external_effect import has_external
from ..rack.rack import Rack
from ..rack.running import Sidechain
from ..system.cores import cores
from ..system.interrupt import check
from ..system.memory import array_in_kept_memory

Sounds = npt.ArrayLike | Sequence[npt.ArrayLike]


def render_many(
    racks: Rack | Sequence[Rack],
    sounds: Sounds,
    sample_rate: float,
    values: Mapping[str, Sequence[Any] | npt.ArrayLike] | None = None,
    *,
    channels: Layout | None = None,
    sidechain: Sidechain = None,
    threads: int | None = None,
    out: Audio | None = None,
) -> Audio | list[Audio]:
    """Render many sounds, many racks, or many values of one rack at once: each from silence, and to the last bit what
    `rack(sound, sample_rate)` gives.

    Whatever there is one of serves all: one rack for many sounds, one sound for many racks or values. The renderings share the
    cores; where several have racks of one structure, they also share the lanes of a core's vectors.

    Args:
        racks: a rack, or one for each rendering. No stream is touched.
        sounds: one sound, (channels, frames) or (frames,); or one for each rendering: (n, channels, frames), or a list, whose
            sounds may differ in length and channels.
        sample_rate: Hz, 8000 to 384000, of all sounds.
        values: by address, such as "compressor.ratio", the values of all renderings, n of them or a single one. They stand in
            for the racks' own, which stay as they are.
        channels: as in a call of a rack.
        sidechain: as in a call of a rack; all renderings listen to it, so all sounds must be as long as it is.
        threads: how many at once; the number of cores when not given.
        out: (n, channels, frames) float32, C-contiguous, to write the result into.

    Returns:
        float32, (n, channels, frames), or (n, frames) where the sounds have one dimension; latency is compensated. Where sounds
        differ in shape, a list of arrays, each with the shape of its sound.

    Raises:
        ValueError: a value is outside its range, an address is unknown, or lengths do not fit; one sentence.
    """
    rate = check_rate(sample_rate)
    each_rack = _racks(racks)
    each_sound, flat = _sounds(sounds, channels)
    numbers = {} if values is None else {address: _Values(each_rack, address, given) for address, given in values.items()}
    counts = {"racks": len(each_rack), "sounds": len(each_sound), **{a: v.count for a, v in numbers.items()}}
    count = max(counts.values())
    for what, own in counts.items():
        if own not in (1, count):
            most = max(counts, key=lambda name: counts[name])
            raise ValueError(f"{what}: {own}, but {most}: {count}; give as many of both, or a single one")
    each_rack = each_rack * count if len(each_rack) == 1 else each_rack
    each_sound = each_sound * count if len(each_sound) == 1 else each_sound
    outputs, result = _outputs(each_sound, flat, out)
    number_of_threads = cores() if threads is None else check_integer(threads, "threads", 1)
    rebuilt = any(v.parameter.rebuilds for v in numbers.values())
    external = any(has_external(rack.addresses().values()) for rack in each_rack)
    if rebuilt or external:
        each_rack = [_with_values(rack, numbers, i) for i, rack in enumerate(each_rack)]
        numbers = {}
    if external:

        def play(which: int) -> None:
            outputs[which][:] = each_rack[which](each_sound[which], rate, sidechain=sidechain)

        with ThreadPoolExecutor(number_of_threads) as pool:  # plugins play in processes of their own meanwhile
            for _ in pool.map(play, range(count)):
                check()
        return result
    compiled = _Compiled(rate)
    _engine.render_many(
        rate,
        [compiled.node(rack, sound.shape[0]) for rack, sound in zip(each_rack, each_sound, strict=True)],
        [v.number for v in numbers.values()],
        np.stack([v.row(count) for v in numbers.values()], 1) if numbers else np.zeros((count, 0), np.float32),
        each_sound,
        [compiled.keys(rack, sidechain, sound.shape[1]) for rack, sound in zip(each_rack, each_sound, strict=True)],
        outputs,
        number_of_threads,
        check,
    )
    return result


def _racks(given: object) -> list[Rack]:
    items: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, Rack) else [given]
    for rack in items or [given]:
        if not isinstance(rack, Rack):
            files = "; files are rendered by twinrack.render.batch.render_many" if isinstance(rack, tuple) else ""
            raise TypeError(f"racks must be a rack or a list of racks, got {brief(rack)}{files}")
    return items


def _sounds(given: Any, channels: Layout | None) -> tuple[list[Audio], bool]:
    """The sounds, each (channels, frames), and whether all came as one dimension."""
    several = isinstance(given, list | tuple) and (not given or np.ndim(given[0]) > 0)
    if several or getattr(given, "ndim", 0) == 3:
        items = list(given)
        if not items:
            raise ValueError("sounds is empty; give at least one sound")
        planar = [as_planar(item, f"sound {i + 1} of {len(items)}") for i, item in enumerate(items)]
    else:
        planar = [as_planar(given, "sounds")]
    sounds = [in_layout(x, channels) for x, _ in planar]
    return sounds, all(flat and x.shape[0] == 1 for (_, flat), x in zip(planar, sounds, strict=True))


def _outputs(sounds: list[Audio], flat: bool, out: Audio | None) -> tuple[list[Audio], Audio | list[Audio]]:
    """Where each rendering is written, and what is returned."""
    shapes = {x.shape for x in sounds}
    if len(shapes) > 1:
        if out is not None:
            raise ValueError("out is one array, but the sounds differ in shape; leave it out")
        outputs = [np.empty(x.shape, np.float32) for x in sounds]
        return outputs, [y[0] for y in outputs] if flat else outputs
    shape = (len(sounds), *sounds[0].shape)
    if out is None:
        whole = array_in_kept_memory(shape)
        return list(whole), whole[:, 0] if flat else whole
    wanted = (shape[0], shape[2]) if flat and getattr(out, "ndim", 0) == 2 else shape
    right = isinstance(out, np.ndarray) and out.dtype == np.float32 and out.flags.c_contiguous and out.flags.writeable
    if not right or out.shape != wanted:
        given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else brief(out)
        raise ValueError(f"out must be a writeable, C-contiguous float32 array of shape {shape}, got {given}")
    if any(np.may_share_memory(out, x) for x in sounds):
        raise ValueError("out shares memory with the sounds; give another array")
    return list(out.reshape(shape)), out


class _Values:
    """The values of all renderings at one address.

    Attributes:
        address: such as "compressor.ratio".
        parameter: what it is.
        number: of the parameter, through all effects.
        given: one value for all renderings, or one for each.
        engine: the same as the engine's numbers, float32.
    """

    def __init__(self, racks: list[Rack], address: str, given: Sequence[Any] | npt.ArrayLike) -> None:
        places = {rack.running.structure.parameter(address, rack.name) for rack in racks}
        self.address = address
        (self.parameter, self.number), *others = places
        if others:
            raise ValueError(f"{address} is not at the same place in all racks; give values to racks of one structure")
        where = address.rpartition(".")[0]
        p = self.parameter
        if p.kind == "continuous" and isinstance(given, np.ndarray) and given.dtype.kind == "f":
            ends = (given.min(), given.max()) if given.size else ()  # many candidates are not checked one by one
            for end in ends:
                p.check(float(end), where)
            self.given = given.reshape(-1).tolist()
        else:
            one = isinstance(given, str) or np.ndim(given) == 0
            self.given = [p.check(value, where) for value in ([given] if one else given)]  # type: ignore[union-attr]
        self.engine = np.array([p.to_engine(value) for value in self.given], np.float32)
        if not self.engine.size:
            raise ValueError(f"the values of {address} are empty; give one for each rendering, or a single one")

    @property
    def count(self) -> int:
        return int(self.engine.size)

    def row(self, count: int) -> npt.NDArray[np.float32]:
        """As many as there are renderings."""
        return np.broadcast_to(self.engine, (count,))

    def value(self, which: int) -> Any:
        """The value of one rendering."""
        return self.given[which if len(self.given) > 1 else 0]


def _with_values(rack: Rack, values: Mapping[str, _Values], which: int) -> Rack:
    copied = rack.copy()
    for address, own in values.items():
        copied.set(address, own.value(which))
    return copied


class _Compiled:
    """The engine's trees of racks, each compiled once for every number of channels."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._nodes: dict[tuple[int, int], _engine.Node] = {}
        self._keys: dict[tuple[int, int], list[Audio]] = {}

    def node(self, rack: Rack, channels: int) -> _engine.Node:
        at = id(rack), channels
        if at not in self._nodes:
            self._nodes[at], _ = compile_tree(rack.running.structure, rack.name, self.rate, channels)
        return self._nodes[at]

    def keys(self, rack: Rack, sidechain: Sidechain, frames: int) -> list[Audio]:
        at = id(rack), frames
        if at not in self._keys:
            self._keys[at] = rack.running.key_arrays(sidechain, frames)
        return self._keys[at]
