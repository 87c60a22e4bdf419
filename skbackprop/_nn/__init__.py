"""Vocabulary: what a network is, and the tables of its components."""
