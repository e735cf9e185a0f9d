"""Other makers' plugins, each in a process of its own: what there is, what they are, and whether they keep their word."""
