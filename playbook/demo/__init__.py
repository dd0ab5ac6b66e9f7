"""The demo shop: a simulated shop whose truth is known, in sizes and kinds, and as a
closed loop.
"""
