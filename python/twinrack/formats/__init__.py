"""Audio file formats: the position and true number of their samples, and their metadata."""
