"""The kinds of panels that the dashboards are made of, each with a title, the question that it answers, and a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = Builder[model.Panel]
Kind = TypeVar("Kind", bargauge.Panel, heatmap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)
Steps = Mapping[float, str]
"""From which value on a colour holds; below the first it is green, or what `lowest` says."""
Words: TypeAlias = Mapping[float, tuple[str, str]] | Mapping[str, tuple[str, str]]
"""A text and its colour for each value."""

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
RED, ORANGE, YELLOW, GREEN, BLUE, GREY, PLAIN = "red", "orange", "yellow", "green", "blue", "#5b6270", "text"


class Look(NamedTuple):
    """How one of several values looks. `link`: a text and where it leads. Colours come of steps or words."""

    unit: str = "none"
    steps: Steps | None = None
    lowest: str = GREEN
    words: Words | None = None
    decimals: int | None = None
    link: tuple[str, str] | None = None
    width: int | None = None

    def properties(self) -> list[model.DynamicConfigValue]:
        """As an override has it."""
        found: dict[str, object] = {"unit": self.unit}
        if self.words is not None or self.unit != "none":
            found["mappings"] = _words(self.words)
        if self.steps is not None:
            found |= {"thresholds": _steps(self.steps, self.lowest).build(), "color": {"mode": "thresholds"}}
        if self.decimals is not None:
            found["decimals"] = self.decimals
        if self.width is not None:
            found["custom.width"] = self.width
        if self.link is not None:
            found["links"] = [{"title": self.link[0], "url": self.link[1]}]
        return [model.DynamicConfigValue(name, value) for name, value in found.items()]


def query(expression: str, legend: str = "") -> prometheus.Dataquery:
    """A query over the time that the dashboard shows."""
    return prometheus.Dataquery().expr(expression).legend_format(legend or "__auto").range().datasource(DATASOURCE)


def now(expression: str, legend: str = "") -> prometheus.Dataquery:
    """A query at the end of that time alone."""
    return prometheus.Dataquery().expr(expression).legend_format(legend or "__auto").instant().datasource(DATASOURCE)


def lines(
    title: str,
    question: str,
    unit: str,
    *targets: prometheus.Dataquery,
    width: int = 8,
    stacked: bool = False,
    limit: float | None = None,
    empty: str = "no data",
) -> timeseries.Panel:
    """Lines over time, from 0 on, with a line at `limit` if there is one. `empty`: the text without data."""
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).show_legend(True)
    panel = _panel(timeseries.Panel(), title, question, unit, targets, width, 8).min(0)
    panel.legend(legend.placement(shapes.LegendPlacement.BOTTOM).calcs([]))
    panel.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    panel.fill_opacity(30 if stacked else 8).line_width(1).show_points(shapes.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if limit is not None:
        panel.thresholds(_steps({limit: RED}))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    return panel.no_value(empty)


def number(
    title: str, question: str, target: prometheus.Dataquery, look: Look, width: int = 4, height: int = 6
) -> stat.Panel:
    """A figure or a word to be read from afar, on its colour."""
    panel = _stat(title, question, look.unit, (target,), width, height)
    panel.text_mode(shapes.BigValueTextMode.VALUE).color_mode(shapes.BigValueColorMode.BACKGROUND)
    panel.mappings(_words(look.words)).thresholds(_steps(look.steps or {}, look.lowest))
    return panel if look.decimals is None else panel.decimals(look.decimals)


def named(
    title: str, question: str, target: prometheus.Dataquery, words: Words, width: int = 4, height: int = 6
) -> stat.Panel:
    """A word on its colour for each series, with the name of the series."""
    panel = _stat(title, question, "none", (target,), width, height).mappings(_words(words)).thresholds(_steps({}))
    panel.text(common.VizTextDisplayOptions().title_size(13).value_size(15))  # left to itself, too small to read
    return panel.text_mode(shapes.BigValueTextMode.VALUE_AND_NAME).color_mode(shapes.BigValueColorMode.BACKGROUND)


def figures(title: str, question: str, values: Mapping[str, tuple[prometheus.Dataquery, Look]]) -> stat.Panel:
    """Several figures with their names; those that have steps are in their colours."""
    panel = _stat(title, question, "none", [one.legend_format(name) for name, (one, _) in values.items()], 4, 6)
    panel.text_mode(shapes.BigValueTextMode.VALUE_AND_NAME).color_mode(shapes.BigValueColorMode.VALUE)
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(PLAIN))
    panel.text(common.VizTextDisplayOptions().title_size(16).value_size(36))
    for name, (_, look) in values.items():
        panel.override_by_name(name, look.properties())
    return panel


def bars(
    title: str, question: str, unit: str, *targets: prometheus.Dataquery, steps: Steps, lowest: str, width: int = 6
) -> bargauge.Panel:
    """Shares of a whole, as bars from 0 to 1."""
    panel = _panel(bargauge.Panel(), title, question, unit, targets, width, 6).min(0).max(1)
    panel.display_mode(shapes.BarGaugeDisplayMode.BASIC).orientation(shapes.VizOrientation.HORIZONTAL)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    return panel.thresholds(_steps(steps, lowest)).mappings(_words(None)).no_value("no data")


def heat(title: str, question: str, unit: str, buckets: str, width: int = 8) -> heatmap.Panel:
    """A histogram over time; `buckets` are the rates of its buckets, by `le`."""
    target = query(buckets, "{{le}}").format(PromQueryFormat.HEATMAP)
    panel = _panel(heatmap.Panel(), title, question, unit, (target,), width, 8)
    panel.calculate(False).y_axis(heatmap.YAxisConfig().unit(unit)).show_color_scale(False).cell_gap(1)
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return panel.color(colours.fill("dark-orange").reverse(False)).filter_values(heatmap.FilterValueRange().le(1e-9))


def states(
    title: str, question: str, *targets: prometheus.Dataquery, words: Words, width: int = 24, height: int = 6
) -> statetimeline.Panel:
    """A row for each series, and what it was when."""
    panel = _panel(statetimeline.Panel(), title, question, "none", targets, width, height)
    panel.mappings(_words(words)).show_value(shapes.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
    panel.legend(common.VizLegendOptions().show_legend(False).display_mode(shapes.LegendDisplayMode.LIST))
    return panel.fill_opacity(80).thresholds(_steps({}, GREY))


def rows(
    title: str,
    question: str,
    *targets: prometheus.Dataquery,
    names: Mapping[str, str],
    width: int = 24,
    height: int = 8,
    empty: str = "no data",
) -> table.Panel:
    """A table of what is now. `names` has its columns in order: a label or `Value #A`, and what it is called."""
    panel = table.Panel().show_header(True).cell_height(shapes.TableCellHeight.SM).min_width(70)
    _panel(panel, title, question, "none", [each.format(PromQueryFormat.TABLE) for each in targets], width, height)
    if len(targets) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    chosen = {"include": {"names": list(names)}}
    panel.with_transformation(model.DataTransformerConfig(id_val="filterFieldsByName", options=chosen))
    order = {"indexByName": {name: place for place, name in enumerate(names)}, "renameByName": dict(names)}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": {}, **order}))
    return panel.no_value(empty)


def column(panel: table.Panel, name: str, look: Look) -> table.Panel:
    """How a column of a table looks."""
    found = look.properties()
    if look.steps is not None or look.words is not None:
        found.append(model.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    return panel.override_by_name(name, found)


def colour(panel: timeseries.Panel, **colours: str) -> timeseries.Panel:
    """Give series of these names these colours, which mean something."""
    for name, one in colours.items():
        value = model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": one})
        panel.override_by_name(name, [value])
    return panel


def _stat(
    title: str, question: str, unit: str, targets: Sequence[prometheus.Dataquery], width: int, height: int
) -> stat.Panel:
    panel = _panel(stat.Panel(), title, question, unit, targets, width, height).no_value("no data")
    panel.graph_mode(shapes.BigValueGraphMode.NONE).justify_mode(shapes.BigValueJustifyMode.CENTER)
    panel.orientation(shapes.VizOrientation.HORIZONTAL)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))


def _panel(
    panel: Kind,
    title: str,
    question: str,
    unit: str,
    targets: Sequence[prometheus.Dataquery],
    width: int,
    height: int,
) -> Kind:
    panel.title(title).description(question).unit(unit).datasource(DATASOURCE).span(width).height(height)
    for letter, target in zip(ascii_uppercase, targets, strict=False):
        panel.with_target(target.ref_id(letter))
    return panel


def _steps(steps: Steps, lowest: str = GREEN) -> build.ThresholdsConfig:
    found = [model.Threshold(value=None, color=lowest)]
    found += [model.Threshold(value=value, color=one) for value, one in steps.items()]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def _words(words: Words | None) -> list[model.ValueMapping]:
    """Names of values. A figure needs no name, unless it is 0 divided by 0."""
    if words is None:
        nothing = model.ValueMappingResult("no traffic", GREY, index=0)
        special = model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NA_N, result=nothing)
        return [model.SpecialValueMap(options=special)]
    named = enumerate((f"{value:g}" if isinstance(value, float) else value, *word) for value, word in words.items())
    options = {value: model.ValueMappingResult(text, one, index=place) for place, (value, text, one) in named}
    return [model.ValueMap(options=options)]
