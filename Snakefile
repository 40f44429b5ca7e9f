# Tables and figures from records, records from recipes, benchmarks and seeds. `make tables` calls this.
#
# A finished file is made again only when the code behind it has changed; a job that was killed continues inside
# `udalib run`. To use a cluster, give Snakemake one of its executors, such as --executor slurm.

import os
import shlex
from functools import cache

from udalib.data import REAL_PAIRS
from udalib.figures import TABLE_OF, WRITERS
from udalib.runs import code_version
from udalib.tables import TABLES, Row, find

PROFILE = config.get("profile", "quick")
SEEDS = range(int(config.get("seeds", 1)))
ROOT = os.path.expanduser(config.get("root") or "")  # of real datasets; without it, "all" leaves their tables out
CHOSEN = str(config.get("tables", "self_training")).split()
if CHOSEN == ["all"]:
    CHOSEN = [name for name, table in TABLES.items() if ROOT or not set(table.benchmarks) & set(REAL_PAIRS)]
CHOSEN = [find(name).name for name in CHOSEN]

# A notebook is executed with the tables it shows, so that the default stays a matter of minutes.
SHOWN = {
    "03_class_balancing": ["class_balance"],
    "04_spatial_priors": ["class_balance", "label_study", *(["label_study_camvid"] if ROOT else [])],
    "05_curriculum": ["curriculum"],
    "06_alignment": ["alignment"],
    "07_proxies": ["proxies", "gate_study"],
    "08_multi_level": ["multi_level", "window_study"],
    "09_instance_adaptive": ["instance_adaptive", "instance_study"],
    "10_five_papers": CHOSEN,  # it shows whatever there is
    "11_own_domain": ["camvid"] if ROOT else [],  # without real images it shows its own alone
}
NOTEBOOKS = [
    name
    for name in glob_wildcards("notebooks/{name,[0-9]+_[a-z_]+}.ipynb").name
    if set(SHOWN.get(name, ["self_training"])) <= set(CHOSEN)
]

# A setting that is not the recipe's own stands in the file's name: cbst-sp,portion=0.1,step=0.05
RECORD = "results/records/{profile}/{benchmark}/{recipe}{settings}/seed{seed}.json"


def in_name(settings):
    """Settings as they stand in the name of a record's file."""
    return "".join(f",{key}={value}" for key, value in settings.items())


def records(rows, seeds):
    """The records of these rows, each once."""
    return list(
        dict.fromkeys(
            RECORD.format(
                profile=PROFILE,
                benchmark=row.benchmark,
                recipe=row.recipe,
                settings=in_name(row.settings),
                seed=seed,
            )
            for row in rows
            for seed in seeds
        )
    )


def of_tables(names, seeds):
    """The records of these tables, each once, for as many seeds as a table asks for."""
    return list(dict.fromkeys(r for name in names for r in records(TABLES[name].rows, seeds[: TABLES[name].seeds])))


FIGURES = {
    "self_training": records([Row("", recipe) for recipe in ("source", "st")], [0]),
    "class_balance": records([Row("", recipe) for recipe in ("source", "st", "cbst", "cbst-sp")], [0]),
    **{name: of_tables([TABLE_OF.get(name, name)], SEEDS) for name in WRITERS},
}


wildcard_constraints:
    benchmark="[a-z0-9-]+",
    recipe="[a-z-]+",
    settings="(,[a-z_]+=[^,/]+)*",
    figure="|".join(FIGURES),


rule all:
    input:
        expand("figures/tables/{table}.md", table=CHOSEN),
        expand("figures/{figure}.png", figure=[name for name in FIGURES if TABLE_OF.get(name, name) in CHOSEN]),
        "figures/streets.png",
        expand("results/notebooks/{profile}/{name}.ipynb", profile=PROFILE, name=NOTEBOOKS),


def start(wildcards):
    """The run that a recipe starts from comes first, so that no job waits for another one's lock."""
    from udalib import recipes

    before = recipes.start_of(wildcards.recipe, wildcards.benchmark, PROFILE, **words(wildcards.settings))
    if before is None:
        return []
    settings = wildcards.settings if before.recipe == wildcards.recipe else in_name(before.settings)
    return RECORD.format(**{**dict(wildcards.items()), **before._asdict(), "settings": settings})


def words(settings):
    """The settings in a file's name on which it depends what a run starts from."""
    chosen = dict(pair.split("=") for pair in settings.split(",")[1:])
    kinds = {"start": str, "warmup": str, "network": str, "labelled_share": float}
    return {key: kind(chosen[key]) for key, kind in kinds.items() if key in chosen}


@cache
def code_of(recipe, network=None):
    from udalib import recipes

    return recipes.code_version(recipe, recipes.settings(recipe, PROFILE, **({"network": network} if network else {})))


rule run:
    message:
        "{wildcards.recipe}{wildcards.settings} on {wildcards.benchmark}, profile {wildcards.profile}, seed {wildcards.seed}"
    input:
        start,
    output:
        RECORD,
    params:
        code=lambda wildcards: code_of(wildcards.recipe, words(wildcards.settings).get("network")),
        settings=lambda wildcards: wildcards.settings.replace(",", " --set ", 1).replace(",", " "),
        root=lambda wildcards: f" --root {shlex.quote(ROOT)}" if wildcards.benchmark in REAL_PAIRS and ROOT else "",
    threads: workflow.cores
    resources:
        gpu=1,
    retries: 1
    shell:
        "OMP_NUM_THREADS={threads} udalib run {wildcards.recipe} --benchmark {wildcards.benchmark}"
        " --profile {wildcards.profile} --seed {wildcards.seed} --record {output}{params.root}{params.settings}"


rule table:
    message:
        "table {wildcards.table}"
    input:
        lambda wildcards: of_tables([wildcards.table], SEEDS),
    output:
        multiext("figures/tables/{table}", ".csv", ".md", ".records.json"),
    params:
        code=code_version("udalib.tables"),
    shell:
        "udalib table {wildcards.table} {input} --out figures/tables"


rule figure:
    message:
        "picture {wildcards.figure}"
    input:
        lambda wildcards: FIGURES[wildcards.figure],
    output:
        "figures/{figure}.png",
    params:
        code=code_version("udalib.figures"),
    threads: workflow.cores
    shell:
        "OMP_NUM_THREADS={threads} udalib figure {wildcards.figure} {input} --out figures"


rule streets:
    message:
        "contact sheet of the embedded streets"
    output:
        "figures/streets.png",
    params:
        code=[code_version("udalib.data.streets"), code_version("udalib.show")],
    shell:
        "udalib figure streets --out figures"


# The notebooks ask for the runs with seed 0 too; as these are there, they only read them.
rule notebook:
    message:
        "notebook {wildcards.name}, profile {wildcards.profile}"
    input:
        "notebooks/{name}.ipynb",
        lambda wildcards: of_tables(SHOWN.get(wildcards.name, ["self_training"]), [0]),
    output:
        "results/notebooks/{profile}/{name}.ipynb",
    params:
        code=code_version("udalib.course"),
        root=f"UDALIB_DATA_ROOT={shlex.quote(os.path.abspath(ROOT))} " if ROOT else "",
    threads: workflow.cores
    resources:
        gpu=1,
    retries: 1
    shell:
        "{params.root}OMP_NUM_THREADS={threads} udalib notebook {wildcards.name} -p profile {wildcards.profile}"
        " --out results/notebooks/{wildcards.profile}"
