"""Sections of the tiny world's pages that report findings: tables and sentences made from measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from book.tiny_world import findings
from book.tiny_world.findings import CONTROLS, DEFAULT_VFM
from book.tiny_world.requirements import (
    ALPHAS,
    FAMILIES,
    REAL_DINOV2,
    RUNS,
    TABLE_2_SET,
    correlations,
    fingerprints,
    judged,
    rows_of_table_2,
)
from proxyclip.supplement.paper import TABLE_2, TABLE_2_ALPHAS

_METHODS = {"vanilla": "vanilla", "qk": "q-k", "qq": "q-q", "kk": "k-k", "proxy": "proxy"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def tables(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = 4) -> str:
    """A table in Markdown, split for narrow screens into several of at most ``most`` columns behind the first."""
    columns = -(-(len(head) - 1) // -(-(len(head) - 1) // most))  # spread evenly
    return "\n\n".join(table((head[0], *head[k : k + columns]), [(row[0], *row[k : k + columns]) for row in rows])
                       for k in range(1, len(head), columns))


def code(name: str) -> str:
    return f"`{name}`"


def listed(names: Iterable[str]) -> str:
    """ "a, b and c", or "none"."""
    names = list(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def picture(name: str) -> str:
    """The directive for a figure that the build draws (:mod:`book.tiny_world.pictures`)."""
    return f"```{{raw}} html\n:file: generated/scenes_{name.partition('/')[2]}.html\n```"


def plateau(study: pd.DataFrame) -> str:
    """The grid of beta and gamma, by VFM and set."""
    found = findings.plateau(study)
    sets = list(dict.fromkeys(found["set"]))
    rows = [[code(proxy), *(f"{row.gap:.1f} ({row.beta:g},\u00a0{row.gamma:g})" for row in part.itertuples())]
            for proxy, part in found.groupby("proxy", sort=False)]
    default = found[found["proxy"] == DEFAULT_VFM].set_index("set")
    best = listed(f"({row.best_beta:g}, {row.best_gamma:g}) on {code(name)}" for name, row in default.iterrows())
    return f"""The table shows how many points of mIoU the worst (beta, gamma) of the grid lies below the best, and
which point is the worst:

{tables(("VFM", *map(code, sets)), rows)}

The best points of {code(DEFAULT_VFM)} are {best}.
"""


def hard_masks(study: pd.DataFrame) -> str:
    """The adaptive default against the best alpha of each VFM."""
    found = findings.hard_masks(study)
    rows = [(code(proxy), f"{row.alpha:g}", f"{row.hard:.1f}", f"{row.adaptive:.1f}",
             _margin(row.difference, row.spread)) for proxy, row in found.iterrows()]
    ahead = [code(proxy) for proxy, row in found.iterrows() if row.difference > 0]
    sets = listed(map(code, dict.fromkeys(study["set"])))
    printed = findings.hard_masks(study, highest=max(TABLE_2_ALPHAS))
    printed_ahead = [code(proxy) for proxy, row in printed.iterrows() if row.difference > 0]
    return f"""The table shows the mIoU averaged over {sets}, and by how much the adaptive rule is ahead of the best
alpha, with the standard deviation over the seeds:

{table(("VFM", "best alpha", "with it", "adaptive", "difference"), rows)}

The best alpha was chosen on the same scenes, so it is an upper bound. The adaptive rule beats it for {listed(ahead)}.
Among the alphas of Table 2, which end at {max(TABLE_2_ALPHAS)}, it beats the best one for {listed(printed_ahead)}.
"""


def order(scores: pd.DataFrame) -> str:
    """The order of vanilla CLIP, its own similarities and the proxy, by set."""
    found = findings.order(scores)
    rows = [[code(name) if name != "average" else name, *(f"{row[method]:.1f}" for method in _METHODS)]
            for name, row in found.iterrows()]
    sets = found.drop("average")
    broken = [code(name) for name, step in sets["step"].items() if step <= 0]
    below = [code(name) for name, row in sets.iterrows() if row["qk"] <= row["vanilla"]]
    parts = [f"The order holds on {len(sets) - len(broken)} of {len(sets)} sets; it is broken on {listed(broken)}."]
    if below:
        parts.append(f"q-k is not above vanilla CLIP on {listed(below)}. A possible reason, which has not been tested, "
                     "is that training reaches no query of the last block but the class token's.")
    return f"""The expected order is vanilla CLIP < q-k < q-q and k-k < proxy. The table shows the mIoU at the defaults;
the proxy is {code(DEFAULT_VFM)}:

{table(("set", *_METHODS.values()), rows)}

{" ".join(parts)}
"""


def controls(scores: pd.DataFrame) -> str:
    """The trained VFMs against raw colours, an untrained ViT and each patch's own value."""
    found, alone = findings.controls(scores), findings.identities(scores)
    families = findings.families(list(found.index))
    sets = found.drop(columns="average")
    beside = [(code(name), f"{row.identity:.1f}", f"{row.adaptive:.1f}", _margin(row.gain, row.spread))
              for name, row in alone.iterrows()]
    by_vfm = [(code(name), f"{found.loc[name, 'average']:+.1f}", f"{row.min():+.1f} ({code(row.idxmin())})",
               f"{int((row > 0).sum())} of {len(row)}") for name, row in sets.iterrows()]
    chosen = sets.loc[list(families.values())]
    ahead = listed(f"{int((chosen[name] > 0).sum())} on {code(name)}" for name in chosen)
    who = listed(f"{family} ({code(name)})" for family, name in families.items())
    return f"""Under `identity` each patch of the VFM's grid keeps CLIP's value there and looks at no other. What a
proxy scores beyond it comes from its similarities. The table shows the mIoU averaged over the sets, with the gain's
standard deviation over the seeds:

{table(("VFM", "identity", "adaptive", "gain"), beside)}

By how many points of mIoU is each VFM ahead of the best control ({listed(map(code, (*CONTROLS, findings.IDENTITY)))})
at the defaults?

{table(("VFM", "average", "smallest", "sets ahead"), by_vfm)}

One model represents each family: {who}. Of these {len(families)}, the following numbers are ahead of all controls:
{ahead}.
"""


def _margin(value: float, spread: float) -> str:
    return f"{value:+.1f}" if pd.isna(spread) else f"{value:+.1f} ±\u00a0{spread:.1f}"


def requirements(record: dict[str, Any]) -> str:
    """The requirements on the models, and which of them the earlier and the present weights meet."""
    seeds, count = listed(map(str, record["seeds"])), record["scenes"]
    found = judged(record)
    rows = [(str(one.number), one.asked,
             *(f"{'yes' if one.reached[run] else '**no**'}: {one.measured[run]}" for run in RUNS)) for one in found]
    missed = [one.asked for one in found if not one.reached["after"]]
    verdict = "meet all of them" if not missed else f"miss {len(missed)} of the {len(found)}"
    return f"""The foundation models got a geometry of their own by one more stage of training. The weights before
that stage and the present ones are compared on the same scenes with the same CLIP: {count} scenes per set and seed,
from seeds {seeds}, which are used for no training, no choice and no other figure. The mIoU is counted over the seeds
together. The present weights {verdict}.

{table(("", "requirement", *RUNS), rows)}

The rows on `{TABLE_2_SET}` beside the printed ones on COCO-Stuff, mIoU in per cent, with Spearman's correlation over
alpha:

{_rows_of_table_2(record)}
"""


def _rows_of_table_2(record: dict[str, Any]) -> str:
    form = lambda values: [f"{value:.1f}" for value in values]  # noqa: E731
    measured = {run: (rows_of_table_2(record, run), correlations(record, run)) for run in RUNS}
    rows = []
    for family, vfm in FAMILIES.items():
        for run, (found, correlation) in measured.items():
            rows.append((f"{code(vfm)} {run}", *form(found.loc[family]), f"{correlation[family]:.2f}"))
        rows.append((f"{family} as printed", *form(TABLE_2[family]), ""))
    return tables(("", *(f"{alpha:g}" for alpha in ALPHAS), "adaptive", "correlation"), rows)


def geometries(record: dict[str, Any], cards: dict[str, dict[str, Any]]) -> str:
    """What each family's geometry was aimed at, where that comes from, and what was reached, beside a real model."""
    aims = [(code(name), f"{target['base']:g}", f"{target['individual']:g}", target["source"])
            for name, card in cards.items() if (target := card.get("target"))]
    found = fingerprints(record, "after")
    rows = [(code(vfm), f"{of['mean']:.2f}", " ".join(f"{value:+.2f}" for value in of["quantiles"]),
             " ".join(f"{value:.0f}" for value in of["below"])) for vfm, of in found.items()]
    real = ("DINOv2 ViT-S/14, photographs", f"{REAL_DINOV2['mean']:.2f}",
            " ".join(f"{value:+.2f}" for value in REAL_DINOV2["quantiles"]), " ".join(map(str, REAL_DINOV2["below"])))
    return f"""{table(("model", "base", "individual part", "source of the target"), aims)}

Reached, over the windows of seeds {listed(map(str, record["seeds"]))}:

{table(("model", "mean cosine", "quantiles 5, 25, 50, 75, 95 %", "% below 0, .2, .4, .6, .8"), [*rows, real])}"""
