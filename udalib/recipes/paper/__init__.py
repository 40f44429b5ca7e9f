"""The papers' own settings, one file per recipe: the profiles `paper` (as printed) and `paper-released` (as released).

Each file has a table `printed` and, where there is code, a table `released` of what the code does otherwise. `like`
names the recipe whose file it starts from. Comments say where a value comes from, and under "Not settings yet" what our
recipes can't be told. What is set there beyond a recipe's own settings is described in `recipes.paper_experiment`.
Recipes of no paper that a method is held against have a file too; studies of labels have none.
"""

import tomllib
from pathlib import Path
from typing import Any

PROFILES = {"paper": ("printed",), "paper-released": ("printed", "released")}
PURPOSES = {
    "paper": "the papers' settings as printed, on real datasets: GPUs, days",
    "paper-released": "the same as in the authors' code, where there is some",
}
FOLDER = Path(__file__).parent


def recipes() -> list[str]:
    """The recipes that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def settings(recipe: str, profile: str) -> dict[str, Any]:
    """The settings of a recipe under "paper" or "paper-released", for `recipes.settings`.

    Raises ValueError for a recipe that has no file.
    """
    if recipe not in recipes():
        raise ValueError(
            f"Recipe {recipe!r} has no settings for the profile {profile!r}; "
            f"choose another profile, or one of: {', '.join(recipes())}."
        )
    content = tomllib.loads((FOLDER / f"{recipe}.toml").read_text())
    values = settings(content["like"], profile) if "like" in content else {}
    for part in PROFILES[profile]:
        values |= content.get(part, {})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
