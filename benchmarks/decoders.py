"""What the curriculum costs with its two decoders, next to one on the source. Run: python benchmarks/decoders.py

Both recipes train on the embedded benchmark as they always do, reading and augmenting included, for as many steps;
setting up, scoring and reports are not counted. Times are processor time, compared within one run.
"""

import os
import tempfile
import time
from unittest.mock import patch

import torch

from udalib import recipes, runs, train

STEPS, REPEATS = 60, 3
ALL_OF_IT = {"start": "", "weights": "source", "easy_mining": True, "hard_mining": True}


def seconds_of_training(seed: int, recipe: str, **settings) -> float:
    """Processor time of the training within one run of a recipe."""
    spent = []
    fit = train.fit

    def timed(*args, **options):
        started = time.process_time()
        curve = fit(*args, **options)
        spent.append(time.process_time() - started)
        return curve

    with patch.object(train, "fit", timed):
        recipes.run(recipe, "game-city", seed=seed, report=lambda _: None, steps=STEPS, **settings)
    return sum(spent)


def main() -> None:
    images = runs.home() / "streets"
    with tempfile.TemporaryDirectory() as home:
        images.mkdir(parents=True, exist_ok=True)
        os.symlink(images.resolve(), f"{home}/streets")  # drawn once, for all runs
        os.environ["UDALIB_HOME"] = home
        pairs = [
            (seconds_of_training(seed, "source"), seconds_of_training(seed, "curriculum", **ALL_OF_IT))
            for seed in range(REPEATS)
        ]
    one, two = (min(times) for times in zip(*pairs, strict=True))
    print(f"{STEPS} steps of source and of curriculum, {torch.get_num_threads()} threads, least of {REPEATS}")
    print(f"one decoder:  {1000 * one / STEPS:.0f} ms of processor time per step")
    print(f"two decoders: {1000 * two / STEPS:.0f} ms, {two / one:.2f} times as much")


if __name__ == "__main__":
    main()
