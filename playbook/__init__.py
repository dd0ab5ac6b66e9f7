"""A shop's operations, month by month: one join from spend to cohort to value to stock
to decision.
"""

__version__ = "0.1.0"
