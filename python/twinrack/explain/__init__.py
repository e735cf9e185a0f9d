"""Explanations of a rack: proofs of stability, ablation, and reports of a fit."""
