"""From a network and images to probabilities, as a stream: nothing is kept, nothing is written."""

from udalib.predict.judged import judged
from udalib.predict.shared import shared
from udalib.predict.whole import whole
from udalib.predict.windows import window_corners, windows

__all__ = ["judged", "shared", "whole", "window_corners", "windows"]
