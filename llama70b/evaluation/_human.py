"""How people do on the 64 pairs of premises: published figures, for the map beside the models'."""

from __future__ import annotations

from typing import Final

SOURCE: Final = (
    "Khemlani and Johnson-Laird (2012), Theories of the syllogism: a meta-analysis, Psychological Bulletin 138(3), "
    "427-457: six studies of students, who said what follows from a pair of premises. Shown is the share of valid "
    "answers (of 'nothing follows', where nothing does), summed from the table of responses as published with "
    "Shadownox/cogsci-2023-multiplechoice, data/khemlani2012.csv (MIT licence)."
)
CAUTION: Final = (
    "People were asked what follows, the models whether a given conclusion does: compare the pattern over the pairs, "
    "not the height."
)
FIGURES: Final = (1, 2, 3, 4)
"""In the order of the text: 1 = A-B B-C, 2 = B-A C-B, 3 = A-B C-B, 4 = B-A B-C."""
HUMAN_PERCENT: Final[dict[str, tuple[float, float, float, float]]] = {
    "AA": (88.5, 54.5, 30.8, 16.0),
    "AI": (16.0, 90.4, 36.5, 83.3),
    "AE": (87.2, 1.3, 80.8, 7.7),
    "AO": (14.1, 17.3, 40.4, 53.8),
    "IA": (87.8, 11.5, 28.2, 81.4),
    "II": (33.3, 30.1, 50.6, 60.9),
    "IE": (44.2, 13.5, 19.9, 27.6),
    "IO": (33.3, 48.7, 53.2, 53.8),
    "EA": (2.6, 79.5, 83.3, 9.0),
    "EI": (7.7, 37.2, 21.2, 15.4),
    "EE": (44.2, 44.2, 76.3, 66.0),
    "EO": (27.6, 46.8, 48.7, 57.1),
    "OA": (19.9, 12.8, 35.9, 41.7),
    "OI": (35.9, 30.8, 48.7, 46.8),
    "OE": (37.2, 50.6, 47.4, 48.7),
    "OO": (37.2, 42.3, 64.1, 66.0),
}
"""Percent right by the letters of the premises, in the order of the text, and the four figures."""


def human(pair: str) -> float:
    """Return the percent of people who were right on a pair of premises ("AI1")."""
    return HUMAN_PERCENT[pair[:2]][int(pair[2]) - 1]
