"""From a network and images to probabilities, as a stream: nothing is kept, nothing is written."""

from udalib.predict.whole import whole

__all__ = ["whole"]
