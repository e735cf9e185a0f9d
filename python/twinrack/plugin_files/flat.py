"""A rack in the engine's flat form: all that is needed to play it without Python, with the patch inside."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from .. import _engine
from ..rack.compiling import compile_tree
from ..rack.describe import order_text
from ..rack.external_effect import ExternalEffect
from ..rack.rack import Rack, silent_keys
from ..system.disk import scratch
from ..version import __version__
from .parameters import HostParameter, host_parameters

# Hz. Resources such as impulse responses are made for each of them.
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
RATE = 48000.0
PATCH = "patch.rack.json"
MOST_FILES, LONGEST_FILE, LARGEST_PATCH = 16, 200, 1 << 30
OLDEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can say; the same rack gives the same bytes
CHECKED_FRAMES = 4800


def flatten(
    rack: Rack, channels: int, plugin_id: str, name: str, rates: Sequence[float] = RATES
) -> tuple[_engine.FlatRack, list[HostParameter], list[str]]:
    """The flat form, the values that a host may move, and sentences on what is not as in Python.

    Args:
        rack: it is not changed.
        channels: in and out, and of every sidechain.
        plugin_id, name: an address, and what a person reads.
        rates: in Hz, at which it is to play; a rack without resources plays at any.

    Raises:
        ValueError: an effect is a Python function, or the rack plays at no rate with so many channels.
    """
    for address, effect in rack.addresses().items():
        if isinstance(effect, ExternalEffect):
            raise ValueError(
                f"{address} is {effect.outside}, which cannot leave this program; remove it, or bounce=True where it is linear"
            )
    flat = _engine.FlatRack()
    flat.id, flat.name, flat.channels, flat.keys = plugin_id, name, channels, list(rack.sidechains)
    flat.made_by, flat.class_id = __version__, uuid5(NAMESPACE_URL, plugin_id).bytes
    flat.description = order_text(rack.root, {id(e): a for a, e in rack.addresses().items()})
    notes = _add_rates(flat, rack, channels, rates)
    parameters, fixed = host_parameters(rack)
    flat.parameters = [p.flat for p in parameters]
    flat.tail_s = _tail_s(rack, channels, flat.rates)
    flat.patch = pack(rack)
    return flat, parameters, [*notes, *fixed]


def _add_rates(flat: _engine.FlatRack, rack: Rack, channels: int, wanted: Sequence[float]) -> list[str]:
    """Prepare the rack for every rate that it can play at; sentences on the others."""
    if not any(e.resources for e in rack.addresses().values()):
        flat.add_rate(RATE, compile_tree(rack.running.structure, rack.name, RATE, channels)[0])
        return []
    refused: dict[str, list[float]] = {}
    for rate in wanted:
        try:
            node, _ = compile_tree(rack.running.structure, rack.name, float(rate), channels)
        except ValueError as error:
            refused.setdefault(re.sub(r" and the rack runs at .*", "", str(error)), []).append(rate)
            continue
        flat.add_rate(float(rate), node)
    if not flat.rates:
        raise ValueError("; ".join(refused))
    rates = ", ".join(f"{rate:g}" for rate in flat.rates)
    return [f"it plays at {rates} Hz only: {'; '.join(refused)}"] if refused else []


def main_rate(rates: list[float]) -> float:
    """48 kHz, or where that is not among them the first."""
    return RATE if RATE in rates else rates[0]


def _tail_s(rack: Rack, channels: int, rates: list[float]) -> float:
    """How long the rack sounds on after a burst of noise, until below -140 dBFS (at most 120 s)."""
    rate = main_rate(rates)
    frames = round(0.1 * rate)
    x = 0.1 * np.random.default_rng(0).standard_normal((channels, frames)).astype(np.float32)
    y = rack.copy()(x, rate, tail="auto", sidechain=silent_keys(rack, x))
    return float(y.shape[1] - frames) / rate


def check_flat(flat: bytes, rack: Rack) -> None:
    """Play noise through the flat form and through the rack; both must agree to the last bit.

    Raises:
        RuntimeError: they do not.
    """
    read = _engine.FlatRack.from_bytes(flat)
    rate = main_rate(read.rates)
    random = np.random.default_rng(0)
    x, *keys = (
        0.3 * random.standard_normal((read.channels, CHECKED_FRAMES)).astype(np.float32) for _ in range(1 + len(read.keys))
    )
    own = rack.copy()
    own.prepare(rate, read.channels)
    wanted = own.process(x, sidechain=dict(zip(read.keys, keys, strict=True)) or None)
    player = _engine.Player(read, rate)
    if not np.array_equal(player.process(x, keys), wanted):
        raise RuntimeError("the exported rack does not sound as this one; please report it with the patch")


def pack(rack: Rack) -> bytes:
    """The patch and its arrays as a zip archive."""
    packed = io.BytesIO()
    with scratch() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        rack.copy().save(folder / PATCH)
        for path in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name, OLDEST), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> Path:
    """Write what `pack` made into a folder, and return the patch's path.

    Raises:
        ValueError: it is none of that.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            members = archive.infolist()
            names = [m.filename for m in members]
            if PATCH not in names or not all(map(_is_plain, names)) or len(set(names)) < len(names):
                raise ValueError("its patch is not one that twinrack packed")
            if len(members) > MOST_FILES or sum(m.file_size for m in members) > LARGEST_PATCH:
                raise ValueError(f"its patch is larger than {LARGEST_PATCH >> 20} MB, or of more than {MOST_FILES} files")
            for name in names:
                (folder / name).write_bytes(archive.read(name))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
        raise ValueError("its patch is damaged") from None
    return folder / PATCH


def _is_plain(name: str) -> bool:
    """Whether a file of this name lands in the folder that it is put into."""
    return 0 < len(name) <= LONGEST_FILE and Path(name).name == name and not name.startswith(".") and name.isprintable()


def slug(name: str) -> str:
    """A name as small letters, digits and hyphens, for addresses and files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "rack"
