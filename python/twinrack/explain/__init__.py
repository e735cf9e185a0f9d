"""Explanations of a rack: its sound in words, evidence, counterfactuals, differences, ablation, stability, reports of fits."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ablation import Ablation, ablate
    from .attribution import (
        CausedFigure,
        DecisionAt,
        ErrorOf,
        Faithfulness,
        LevelAt,
        ReductionAt,
        Saliency,
        faithfulness,
        saliency,
    )
    from .counterfactuals import Counterfactual, counterfactual, louder
    from .evidence_map import Evidence, evidence
    from .intermediate import Stage, stages
    from .overview import Explanation, explanation
    from .rack_difference import RackDifference, differences
    from .relevance_map import Relevance, Rules, relevance
    from .sound_change import sound_difference
    from .wishes import BandMoves, ErrorBelow, Figure, GainReduction, LoudnessOf, StaysOpen, Wish, parse_wish

_LAZY = {
    "CausedFigure": "attribution",
    "DecisionAt": "attribution",
    "ErrorOf": "attribution",
    "Faithfulness": "attribution",
    "LevelAt": "attribution",
    "ReductionAt": "attribution",
    "Saliency": "attribution",
    "faithfulness": "attribution",
    "saliency": "attribution",
    "Ablation": "ablation",
    "ablate": "ablation",
    "Counterfactual": "counterfactuals",
    "counterfactual": "counterfactuals",
    "louder": "counterfactuals",
    "RackDifference": "rack_difference",
    "differences": "rack_difference",
    "sound_difference": "sound_change",
    "Evidence": "evidence_map",
    "evidence": "evidence_map",
    "Explanation": "overview",
    "explanation": "overview",
    "Stage": "intermediate",
    "stages": "intermediate",
    "Relevance": "relevance_map",
    "Rules": "relevance_map",
    "relevance": "relevance_map",
    "BandMoves": "wishes",
    "ErrorBelow": "wishes",
    "Figure": "wishes",
    "GainReduction": "wishes",
    "LoudnessOf": "wishes",
    "StaysOpen": "wishes",
    "Wish": "wishes",
    "parse_wish": "wishes",
}
__all__ = [
    "Ablation",
    "BandMoves",
    "CausedFigure",
    "Counterfactual",
    "DecisionAt",
    "ErrorBelow",
    "ErrorOf",
    "Evidence",
    "Explanation",
    "Faithfulness",
    "Figure",
    "GainReduction",
    "LevelAt",
    "LoudnessOf",
    "RackDifference",
    "ReductionAt",
    "Relevance",
    "Rules",
    "Saliency",
    "Stage",
    "StaysOpen",
    "Wish",
    "ablate",
    "counterfactual",
    "differences",
    "evidence",
    "explanation",
    "faithfulness",
    "louder",
    "parse_wish",
    "relevance",
    "saliency",
    "sound_difference",
    "stages",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module 'twinrack.explain' has no attribute {name!r}")
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
