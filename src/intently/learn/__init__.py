"""Readers of a log, and how they are fine-tuned."""
