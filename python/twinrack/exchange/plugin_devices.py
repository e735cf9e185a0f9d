"""Other makers' plugins as the devices of DAWproject: which one, its state as a file, and the values that automation moves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np

from ..hosting.catalogue import by_address
from ..hosting.child import PluginDiedError, PluginError
from ..hosting.effect import Plugin
from ..hosting.plugin_card import PluginParameter
from ..hosting.preset_files import ENDINGS, preset_bytes, state_of_preset
from .text import plain
from .units import Scale

TAGS = {"clap": "ClapPlugin", "vst3": "Vst3Plugin", "lv2": "BuiltinDevice"}
STRAIGHT = 1e-5  # of the range, by which positions may lie off a line
Reads = Callable[[str], bytes]


def device_id(uri: str) -> str:
    """The plugin's address as DAWproject has it: CLAP's id, VST3's class id as a UUID; of LV2, which it lacks, the URI."""
    format, _, id = uri.partition(":")
    if format == "clap":
        return id
    return "-".join(re.findall("(.{8})(.{4})(.{4})(.{4})(.{12})", id)[0]).lower() if format == "vst3" else uri


def uri_of(e: ET.Element) -> str | None:
    """The address of the plugin that an element means; None where it means none that could be hosted."""
    id = e.get("deviceID", "")
    if e.tag == TAGS["clap"]:
        return f"clap:{id}"
    if e.tag == TAGS["vst3"]:
        return f"vst3:{re.sub('[-{}]', '', id).upper()}"
    return id if e.tag == TAGS["lv2"] and id.startswith(("http", "urn:")) else None


def state_file(effect: Plugin) -> tuple[str, bytes]:
    """Ending and content of the file that holds the whole state: values too.

    Raises:
        PluginError, PluginDiedError: the plugin gives none.
    """
    return ENDINGS[effect.uri_format], preset_bytes(effect.uri, effect.whole_state())


def scale_of(p: PluginParameter) -> Scale | None:
    """How a value stands in the file; None where straight lines of it would not be straight there."""
    if p.kind == "switch":
        return Scale(None)
    if p.positions is None:
        return Scale("linear")
    numbers, owns = np.array(p.positions.numbers), np.array(p.positions.owns)
    factor = (owns[-1] - owns[0]) / (numbers[-1] - numbers[0])
    offset = owns[0] - factor * numbers[0]
    return (
        Scale("normalized", float(factor), float(offset)) if np.abs(factor * numbers + offset - owns).max() < STRAIGHT else None
    )


def parameter_id(p: PluginParameter) -> int:
    """The plugin's number of a control, as the signed one that the schema wants."""
    return p.number - (1 << 32) if p.number >= 1 << 31 else p.number


def read_plugin(
    e: ET.Element, uri: str, name: str | None, bypass: bool, read: Reads, notes: Callable[[str], None]
) -> Plugin | None:
    """The effect of an element; None where it is not on this machine.

    Args:
        read: gives a file of the project.
        notes: takes a sentence on what is not carried.
    """
    label = plain(e.get("deviceName") or e.get("name") or uri)[:60]
    where = f"the plugin {label!r} ({plain(uri)[:120]}) is left out"
    try:
        listed = by_address(uri)
        if listed is None:
            notes(f"{where}, for it is not on this machine; install it and read again")
            return None
        effect = Plugin(listed, name=name, bypass=bypass)
    except (PluginError, PluginDiedError) as error:
        notes(f"{where}: {error}")
        return None
    state = e.find("State")
    if state is not None:
        try:
            effect.restore(state_of_preset(uri, read(state.get("path", ""))))
        except (ValueError, PluginDiedError) as error:
            notes(f"the state of the plugin {label!r} is left out, and it has its defaults: {error}")
    return effect
