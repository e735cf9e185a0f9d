"""`fit`: values from recordings, of a rack or of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, overload

from ..rack.rack import Rack, as_rack
from ..rack.signatures import spelled_out
from ..session.session import Session
from .data import Source
from .fit_rack import InterruptedFitError as InterruptedFitError
from .fit_rack import fit_rack as fit_rack
from .mixdown import MixResult, fit_mix
from .result import FitResult
from .settings import FitSettings, MixFitSettings


@overload
def fit(
    rack: Session, dry: Source | None, *, sample_rate: float | None = None, **settings: Unpack[MixFitSettings]
) -> MixResult: ...


@overload
def fit(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    **settings: Unpack[FitSettings],
) -> FitResult: ...


@spelled_out(fit_rack)
def fit(
    rack: Rack | Session,
    dry: Source | Sequence[Source] | None,
    wet: Source | Sequence[Source] | None = None,
    sample_rate: float | None = None,
    *,
    levels: bool | None = None,
    prune: bool | None = None,
    **settings: Any,
) -> FitResult | MixResult:
    """Find the values with which `rack` turns `dry` into `wet`, or with which a session's clips become a mix.

    Args:
        rack: structure and start values; it is not changed. A Rack, or a Session: then `dry` is the mix that is to be reached
            (or None, with `loss=` of targets), and `wet` is left out.
        dry, wet, sample_rate: as in `fit_rack`, or `mixdown.fit_mix`.
        levels, prune: of a session only, as in `mixdown.fit_mix`.
        settings: all others of those: steps, learn, freeze, choices, starts, loss, checkpoint, …

    Returns:
        Of a rack a `FitResult`, of a session a `MixResult`.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.
    """
    if isinstance(rack, Session):
        if wet is not None:
            raise ValueError("a session brings its own recordings; give the mix alone: fit(session, mix)")
        settings |= {name: value for name, value in (("levels", levels), ("prune", prune)) if value is not None}
        return fit_mix(rack, dry, sample_rate, **settings)  # type: ignore[arg-type]
    if wet is None or dry is None:
        raise ValueError("give the dry and the wet recording: fit(rack, dry, wet)")
    rack = as_rack(rack)
    if levels is not None or prune is not None:
        raise TypeError("levels and prune are for a session, not for a rack; leave them out")
    return fit_rack(rack, dry, wet, sample_rate, **settings)
