"""Evaluation: figures of merit, and the tables that `streamfx eval` prints."""
