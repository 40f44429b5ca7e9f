"""Streets: generated street scenes with the 19 Cityscapes classes, in eight domains."""

from udalib.data.streets.cache import load
from udalib.data.streets.domains import DOMAINS, Domain, domain
from udalib.data.streets.render import render

__all__ = ["DOMAINS", "Domain", "domain", "load", "render"]
