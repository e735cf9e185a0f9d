"""Audio file formats: where the samples lie, how many there really are, and what a file says of itself."""
