"""The demo shop: a simulated shop whose truth is known, in sizes and kinds, and as a
closed loop.
"""

from playbook.demo.make import ensure_demo, make_demo
from playbook.demo.presets import DIFFICULTIES, INCIDENTS, PRESETS, UNREACHED
from playbook.demo.shop import Shop

__all__ = ["DIFFICULTIES", "INCIDENTS", "PRESETS", "UNREACHED", "Shop", "ensure_demo", "make_demo"]
