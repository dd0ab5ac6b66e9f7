"""Figures of a shop that several chapters read, and the dictionary of metrics."""
