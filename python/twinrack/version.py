"""The version of the package, as reports, patches and manifests state it."""

__version__ = "0.1.0"
