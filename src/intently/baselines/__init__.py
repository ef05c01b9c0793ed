"""Simple and strong opponents: each a predictor in one file."""
