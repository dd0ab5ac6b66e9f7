"""The mathematics, one file per method and paper."""
