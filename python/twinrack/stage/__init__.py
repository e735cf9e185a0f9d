"""Live: racks between an audio interface's inputs and outputs, and everything that reaches into them while they sound."""
