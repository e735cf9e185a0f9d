"""Runs while the package is built, and not after: cards are checked and turned into C++ tables, registries and type stubs."""
