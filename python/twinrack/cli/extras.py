"""Packages that only some commands need."""

from __future__ import annotations


def need_train_extra() -> None:
    """Raise ValueError with the command that installs them, where training and explanations lack packages."""
    try:
        import auraloss  # noqa: F401
        import jinja2  # noqa: F401
        import plotly  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(
            f"training and explanations need {error.name}; in the clone of twinrack: pip install '.[train]'"
        ) from None
