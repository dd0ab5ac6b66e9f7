"""The forecaster of series, and calibrated intervals from past errors."""
