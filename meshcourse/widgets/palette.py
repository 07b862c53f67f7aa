"""Colours that colour-blind readers can distinguish, on JupyterLab's light and dark backgrounds.

Source: Okabe and Ito, "Color Universal Design" (2008), without its yellow, invisible on white, and its black, invisible on dark.
"""

from __future__ import annotations

from typing import Final

SERIES: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK: Final = "#808080"
"""Grey with a contrast of about 4 on white and 5 on near-black."""
GRID: Final = "rgba(128,128,128,0.25)"


def series(number: int) -> str:
    """The colour of series `number`, from 0; they repeat after six."""
    return SERIES[number % len(SERIES)]


def faint(colour: str, share: float = 0.18) -> str:
    """`#rrggbb` as a transparent fill."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
