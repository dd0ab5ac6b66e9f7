"""Pictures: the style and the recurring ones here, each chapter's own in a module named like the chapter."""

from playbook.plots.style import (
    HATCH,
    PALETTE,
    bars_with_intervals,
    end_labels,
    heat,
    line_with_band,
    month_ticks,
    new_axes,
    use_style,
    waterfall,
)

__all__ = ["HATCH", "PALETTE", "bars_with_intervals", "end_labels", "heat", "line_with_band", "month_ticks", "new_axes",
           "use_style", "waterfall"]
