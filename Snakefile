# Tables and figures from records, records from recipes, benchmarks and seeds. `make tables` calls this.
#
# A finished file is made again only when the code behind it has changed; a job that was killed continues inside
# `udalib run`. To use a cluster, give Snakemake one of its executors, such as --executor slurm.

from udalib.runs import code_version
from udalib.tables import TABLES

PROFILE = config.get("profile", "quick")
SEEDS = range(int(config.get("seeds", 1)))
TABLE = TABLES["self_training"]
RECIPES = [row.recipe for row in TABLE.rows]
NOTEBOOKS = glob_wildcards("notebooks/{name,[0-9]+_[a-z_]+}.ipynb").name
RECORD = "results/records/{profile}/{benchmark}/{recipe}/seed{seed}.json"


def records(recipes, seeds):
    return expand(RECORD, profile=PROFILE, benchmark=TABLE.benchmark, recipe=recipes, seed=seeds)


rule all:
    input:
        "figures/tables/self_training.md",
        "figures/self_training.png",
        "figures/streets.png",
        expand("results/notebooks/{profile}/{name}.ipynb", profile=PROFILE, name=NOTEBOOKS),


def start(wildcards):
    """The run that a recipe starts from comes first, so that no job waits for another one's lock."""
    ends = "source", "oracle"
    return [] if wildcards.recipe in ends else RECORD.replace("{recipe}", "source")


rule run:
    message:
        "{wildcards.recipe} on {wildcards.benchmark}, profile {wildcards.profile}, seed {wildcards.seed}"
    input:
        start,
    output:
        RECORD,
    params:
        code=code_version("udalib.recipes"),
    threads: workflow.cores
    resources:
        gpu=1,
    retries: 1
    shell:
        "OMP_NUM_THREADS={threads} udalib run {wildcards.recipe} --benchmark {wildcards.benchmark}"
        " --profile {wildcards.profile} --seed {wildcards.seed} --record {output}"


rule table:
    message:
        "table of self-training"
    input:
        records(RECIPES, SEEDS),
    output:
        multiext("figures/tables/self_training", ".csv", ".md", ".records.json"),
    params:
        code=code_version("udalib.tables"),
    shell:
        "udalib table self_training {input} --out figures/tables"


rule figure:
    message:
        "picture of self-training"
    input:
        records(["source", "st"], 0),
    output:
        "figures/self_training.png",
    params:
        code=code_version("udalib.figures"),
    threads: workflow.cores
    shell:
        "OMP_NUM_THREADS={threads} udalib figure self_training {input} --out figures"


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
        records(RECIPES, 0),
    output:
        "results/notebooks/{profile}/{name}.ipynb",
    params:
        code=code_version("udalib.course"),
    threads: workflow.cores
    resources:
        gpu=1,
    retries: 1
    shell:
        "OMP_NUM_THREADS={threads} udalib notebook {wildcards.name} -p profile {wildcards.profile}"
        " --out results/notebooks/{wildcards.profile}"
