"""Rendering to files: one, or whole folders; to a loudness where one is asked for."""

from .batch import render_many as render_many
from .file import Rendered as Rendered
from .file import render_file as render_file
