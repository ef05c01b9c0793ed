"""Comparing predictors: intervals, slices, calibration, cost, and the report."""
