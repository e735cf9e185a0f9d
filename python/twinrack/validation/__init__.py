"""Validation: what a rack promises against controlled signals, degraded sounds and the recordings that it was trained on."""
