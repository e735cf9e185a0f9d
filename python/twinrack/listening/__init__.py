"""Listening tests: what people hear, and which of the project's measures agrees with them."""
