"""Sessions: a whole mix offline, as a DAW renders it, and as a twin that can be trained."""
