"""Packages that only some commands need."""

from __future__ import annotations

from ..system import interrupt


def need_train_extra() -> None:
    """Raise ValueError with the command that installs them, where training and explanations lack packages."""
    try:
        with interrupt.deferred():  # torch's own C++ imports Python, and ends the process when that is interrupted
            import auraloss  # noqa: F401
            import jinja2  # noqa: F401
            import plotly  # noqa: F401
            import torch  # noqa: F401

            from ..twins import rack_twin  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(
            f"training and explanations need {error.name}; in the clone of twinrack: pip install '.[train]'"
        ) from None


def need_listen_extra() -> None:
    """Raise ValueError with the command that installs them, where statistics of listening tests lack packages."""
    need_train_extra()
    try:
        import pandas  # noqa: F401
        import scipy.stats
        import statsmodels  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"statistics need {error.name}; in the clone of twinrack: pip install '.[train,listen]'") from None
    del scipy
