"""Racks as other programs' plugins: LV2 and CLAP, from one library that needs no Python; and back."""
