"""Readable racks of ours that do what another maker's plugin does."""
