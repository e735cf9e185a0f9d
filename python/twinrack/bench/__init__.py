"""Benchmarks that any method can enter: how well is an effect understood that was learned from recordings?"""
