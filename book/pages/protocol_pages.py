"""Parts of the pages about the protocol: the cards of all benchmarks, and what each setting changes (profile tiny)."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape
from matplotlib import pyplot

from book.checkout import Layout, chapter_key, chapter_stamp
from book.pages.rendering import paragraph, shown, write_fragments
from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS
from proxyclip.data.protocol_card import published_card
from proxyclip.supplement import figures
from proxyclip.supplement.figures.palette import MUTED, style_of
from proxyclip.supplement.figures.tables import Shown, boxed
from proxyclip.system.atomic import write_text

#: The set and the number of scenes behind the page *What moves the number*.
DIAGNOSED, SCENES = "tiny/voc", 24
#: Where its result is, in the folder of the chapters' records.
DIAGNOSIS = "diagnosis.json"
#: Settings side by side in a table of cards, as many as fit on a page.
COLUMNS = 5
#: What a card says where it has no remark.
NOTHING = "–"
#: The smallest change that a table shows, in points.
SHOWN = 0.005
#: What a card says of each method's threshold if the set has no background class.
NO_BACKGROUND = re.compile(r"^none \(no background class, so none\)$")


def cards_page() -> Markup:
    """What all cards have in common, what differs between them, and their background words and hashes, as HTML."""
    cards = [published_card(name) for name in (*BENCHMARKS, *VARIANTS)]
    entries = [dict(card.lines()) for card in cards]
    shared = [what for what in entries[0] if len({entry[what] for entry in entries}) == 1]
    differing = [what for what in entries[0]
                 if what not in (*shared, "name", "background", "class list sha256", "sha256")]
    common = boxed(["setting", "in every card"], [[what, _words(entries[0][what])] for what in shared],
                   caption="What all protocol cards have in common.")
    columns = _columns(differing, entries)
    parts = [list(columns)[start : start + COLUMNS] for start in range(0, len(columns), COLUMNS)]
    apart = [boxed(["card", *part], [[card.name, *(_words(columns[what][row]) for what in part)]
                                     for row, card in enumerate(cards)
                                     if any(columns[what][row] != NOTHING for what in part)],
                   caption=f"What differs between the protocol cards, part {number} of {len(parts)}.")
             for number, part in enumerate(parts, start=1)]
    words = [[card.name, entry["background"], Markup("<code>{}</code>").format(card.sha256[:16])]
             for card, entry in zip(cards, entries, strict=True)]
    background = boxed(["card", "words that stand for background", "SHA-256, first 16 digits"], words,
                       caption="Background words and the hash of each card.")
    return Markup("\n").join(map(shown, (common, *apart, background)))


def _words(text: str) -> Markup:
    """Text of a card as HTML, with its code marked as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.replace(" - ", "\u00a0-\u00a0"))))


def _columns(settings: list[str], entries: list[dict[str, str]]) -> dict[str, list[str]]:
    """Each setting's values by card; settings with the same value on every card share a column."""
    names: dict[tuple[str, ...], list[str]] = {}
    for what in settings:
        names.setdefault(tuple(entry[what] for entry in entries), []).append(what)
    found = {}
    for values, shared in names.items():
        kind = shared[0].partition(", ")[0]
        rest = [what.removeprefix(f"{kind}, ") for what in shared[1:]]
        found[", ".join([shared[0], *rest])] = [NO_BACKGROUND.sub("none", value) for value in values]
    return found


def diagnosis_page(record: dict[str, Any]) -> Markup:
    """A diagnosis (:meth:`proxyclip.diagnosis.setting_costs.Diagnosis.record`) and its explanations, as HTML."""
    settings, first = record["settings"], record["settings"][0]
    clear = [row for row in settings if abs(row["cost"]) > max(2 * row["error"], SHOWN)]
    gains = [row for row in clear if row["cost"] < 0]
    sentences = [
        f"On {record['images']} scenes of {record['dataset']} the protocol gives an mIoU of {record['miou']:.1f} "
        f"± {record['error']:.1f} (card {record['card']['name']}, rule {record['rule']}, profile tiny).",
        f"The setting that moves it most is “{first['setting']}” ({first['changed']}): {-first['cost']:+.1f} points.",
        f"Of {len(settings)} settings that can be changed here, {len(clear)} move the number by more than two standard "
        f"errors; {len(gains)} of these raise it.",
        f"All of it took as many passes of the backbones as {record['evaluations']:.1f} evaluations.",
    ]
    rows = [[row["setting"], row["card"], row["changed"], f"{row['miou']:.1f}",
             f"{_points(-row['cost'])} ± {row['error']:.2f}"] for row in settings]
    table = boxed(["setting", "the card", "changed to", "mIoU, %", "change, points"], rows, caption=(
        f"mIoU on {record['images']} scenes of {record['dataset']} with one setting changed at a time; behind ±: the "
        "standard error of the change (profile tiny)."))
    others = boxed(["setting", "why it is not measured here"], list(record["left_out"].items()),
                   caption="Settings that are not measured here.")
    planted = record["planted"]
    answers = boxed(["explanation", "leads to", "away from it"], [
        [" and ".join(one["settings"]) or "the protocol itself", f"{one['miou']:.1f} ± {one['error']:.1f}",
         f"{one['distance']:.2f}"] for one in planted["explanations"]], caption=(
            "Settings, or pairs of them, that lead to the reported number within the error; mIoU in %."))
    question = (f"Suppose somebody reports {planted['observed']:.1f} on these scenes. These settings lead to within "
                "the error of that number, single ones first, then pairs with costs added:")
    figure = _changes(pd.DataFrame(settings)[::-1])
    return Markup("").join([paragraph(" ".join(sentences)), shown(figure), shown(table), shown(others),
                            paragraph(question), shown(answers)])


def _changes(costs: pd.DataFrame) -> Shown:
    """What each setting does to the mIoU, as a dot with two standard errors, around a line at zero."""
    figures.theme()
    figure, axes = pyplot.subplots(figsize=(figures.WIDTH, 1 + len(costs) / 3))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.errorbar(-costs["cost"], costs["setting"], xerr=2 * costs["error"], fmt="o", capsize=3,
                  color=style_of("ProxyCLIP").light)
    axes.set(xlabel="change of the mIoU, points", title="One setting at a time")
    axes.grid(axis="y", visible=False)
    listed = "; ".join(f"{name}: {_points(-cost)}" for name, cost in zip(costs["setting"], costs["cost"], strict=True))
    caption = "What a changed setting does to the mIoU, with two standard errors (profile tiny)."
    return figures.captioned(figure, caption, f"{listed}.")


def _points(change: float) -> str:
    """A change with its sign, and without one where it rounds to nothing."""
    return f"{change:+.2f}" if abs(change) >= SHOWN else "0.00"


def _measured() -> dict[str, Any]:
    """The diagnosis of the tiny profile, with explanations of the mIoU under the second most expensive setting."""
    from proxyclip.data.datasets import dataset
    from proxyclip.diagnosis.engine import diagnose
    from proxyclip.loading import load

    found = diagnose(load("tiny"), dataset(DIAGNOSED, length=SCENES))
    record = found.record()
    observed = round(record["settings"][1]["miou"], 1)
    explanations = [asdict(one) for one in found.explain(observed, most=6)]
    return {**record, "planted": {"observed": observed, "explanations": explanations}}


def save_diagnosis(layout: Layout, page: Path) -> None:
    """Measure what each setting changes, for a page, and save it among the records of the chapters."""
    saved = layout.records / DIAGNOSIS
    write_text(saved, json.dumps(_measured(), indent=1))
    chapter_stamp(layout, page).write(chapter_key(layout, page), [saved])


def write_protocol_pages(layout: Layout) -> None:
    """Write the generated parts of both pages; the diagnosis was saved before."""
    record = json.loads((layout.records / DIAGNOSIS).read_text(encoding="utf-8"))
    write_fragments(layout.generated, {"protocol_cards": cards_page(), "what_moves_the_number": diagnosis_page(record)})
