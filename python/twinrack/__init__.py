"""Real-time audio effects that can be trained and understood.

Every effect exists twice: as C++ that runs live, and as a PyTorch module (its twin) that can be trained; both follow the
same card. Importing this loads neither torch nor anything that opens files or devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import moved
from .rack import effects as _effects
from .rack.card import CARDS, Card, find_card, hint_for
from .rack.effect import Effect, GroupItem
from .rack.effects import *  # noqa: F403
from .rack.python_effect import PythonEffect
from .rack.rack import Rack
from .rack.running import Meter
from .rack.tree import Bands, Chain, MidSide, Parallel, dry_wet
from .resources.network import ControlNetwork, Network
from .resources.noise_network import NoiseNetwork
from .resources.response import Response
from .system.waiting import wait_briefly
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import explain, room
    from .cloning.clone import Clone, clone
    from .explain.ablation import ablate
    from .explain.certify import Certificate, certify
    from .hosting.effect import Plugin
    from .measure.deconvolution import impulse_response_of
    from .measure.loudness import loudness
    from .plugin_files.export import Export, export, read_plugin
    from .rack.patch import load
    from .rack.presets import preset, presets
    from .rack.randomize import randomize
    from .render.many import render_many
    from .room.filters import linear_phase
    from .session.automation import Point
    from .session.channel import Channel, Send
    from .session.clip import Clip
    from .session.session import Session
    from .session.timeline import Tempo
    from .stage.hosts import devices
    from .stage.line import Line, Safety
    from .stage.stream import LiveStream, live
    from .train import losses, priors, targets
    from .train.fit import fit
    from .train.match import match
    from .train.noise_network import train_noise_network
    from .train.noise_profile import noise_profile
    from .train.result import FitResult
    from .train.search import search
    from .validation.validate import Validation, validate

moved.install()
wait_briefly()

_LAZY = {
    "load": "rack.patch",
    "preset": "rack.presets",
    "presets": "rack.presets",
    "randomize": "rack.randomize",
    "render_many": "render.many",
    "impulse_response_of": "measure.deconvolution",
    "loudness": "measure.loudness",
    "noise_profile": "train.noise_profile",
    "live": "stage.stream",
    "devices": "stage.hosts",
    "fit": "train.fit",
    "FitResult": "train.result",
    "Export": "plugin_files.export",
    "Plugin": "hosting.effect",
    "Clone": "cloning.clone",
    "clone": "cloning.clone",
    "export": "plugin_files.export",
    "read_plugin": "plugin_files.export",
    "Certificate": "explain.certify",
    "certify": "explain.certify",
    "Channel": "session.channel",
    "Clip": "session.clip",
    "Point": "session.automation",
    "Send": "session.channel",
    "Session": "session.session",
    "Tempo": "session.timeline",
    "Line": "stage.line",
    "LiveStream": "stage.stream",
    "Safety": "stage.line",
    "losses": "train.losses",
    "match": "train.match",
    "priors": "train.priors",
    "search": "train.search",
    "targets": "train.targets",
    "train_noise_network": "train.noise_network",
    "ablate": "explain.ablation",
    "explain": "explain",
    "linear_phase": "room.filters",
    "room": "room",
    "Validation": "validation.validate",
    "validate": "validation.validate",
}
_MODULES = ("explain", "losses", "loudness", "priors", "room", "targets")

__all__ = [
    "CARDS",
    "Bands",
    "Card",
    "Certificate",
    "Chain",
    "Channel",
    "Clip",
    "Clone",
    "ControlNetwork",
    "Effect",
    "Export",
    "FitResult",
    "GroupItem",
    "Line",
    "LiveStream",
    "Meter",
    "MidSide",
    "Network",
    "NoiseNetwork",
    "Parallel",
    "Plugin",
    "Point",
    "PythonEffect",
    "Rack",
    "Response",
    "Safety",
    "Send",
    "Session",
    "Tempo",
    "Validation",
    "ablate",
    "certify",
    "clone",
    "devices",
    "dry_wet",
    "explain",
    "export",
    "find_card",
    "fit",
    "impulse_response_of",
    "linear_phase",
    "live",
    "load",
    "losses",
    "loudness",
    "match",
    "noise_profile",
    "preset",
    "presets",
    "priors",
    "randomize",
    "read_plugin",
    "render_many",
    "room",
    "search",
    "targets",
    "train_noise_network",
    "validate",
]
__all__ += _effects.__all__


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _LAZY:
            module = import_module(f".{_LAZY[name]}", __name__)
            value = module if name in _MODULES else getattr(module, name)
            globals()[name] = value
            return value
        if name in moved.MOVED or name == "effects":
            return import_module(f".{name}", __name__)
        raise AttributeError(f"module 'twinrack' has no attribute {name!r}{hint_for(name, __all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
