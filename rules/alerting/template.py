"""Templates of alerts: Go's text/template with Prometheus's functions and data, expanding to plain text.

`$labels`, `$externalLabels`, `$externalURL` and `$value` are defined as in Prometheus; a missing label is the empty
string. A template that cannot be expanded says why in Go's words, with the place in the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rules.alerting.errors import TemplateError
from rules.alerting.template_functions import FUNCTIONS, NO_WORLD, World
from rules.alerting.template_nodes import Text, Tree, asks, by_labels
from rules.alerting.template_parser import parse
from rules.alerting.template_plain import Part, plain_parts
from rules.alerting.template_run import Run
from rules.alerting.template_values import AlertData, Value

_DEFINITIONS = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}"
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
_DEFINED = _DEFINITIONS.count("{{")
_MAX_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `name` stands in the messages of errors."""

    source: str
    name: str
    tree: Tree
    plain: tuple[Part, ...] | None = None

    @property
    def constant(self) -> bool:
        """Whether it has no action, so that it always expands to the same text."""
        return all(isinstance(node, Text) for node in self.tree.nodes)

    @property
    def text(self) -> str:
        """What is outside of its actions; of a constant template, everything it says."""
        return "".join(node.text for node in self.tree.nodes if isinstance(node, Text))

    @property
    def by_labels(self) -> bool:
        """Whether its text surely depends on labels only, not on the value, a query or anything unseen."""
        return by_labels(self.tree.nodes)

    @property
    def asks(self) -> bool:
        """Whether its text may depend on a query or the clock, so that it may change while the alert does not."""
        return asks(self.tree.nodes)


def parse_template(source: str, name: str = "alert") -> Template:
    """Parse the template of the alert called `name`; raises TemplateError."""
    if len(source) > _MAX_CHARS:
        raise TemplateError(f"template is longer than {_MAX_CHARS} characters")
    name = f"__alert_{name}"
    if "{{" not in source:
        return Template(source, name, Tree((Text(source),) if source else ()))
    try:
        tree = parse(_DEFINITIONS + source, FUNCTIONS.__contains__)
    except RecursionError:
        raise TemplateError("template is nested too deeply") from None
    # What the definitions set is handed in at each expansion.
    tree.nodes = tree.nodes[_DEFINED:]
    return Template(source, name, tree, plain_parts(tree))


def expand(
    template: Template,
    labels: Mapping[str, str],
    value: float,
    *,
    external_labels: Mapping[str, str] | None = None,
    world: World = NO_WORLD,
) -> str:
    """The text of a template for one alert. Raises TemplateError when it cannot be expanded."""
    plain = template.plain
    if plain is not None:
        return "".join([part if isinstance(part, str) else part(labels, value) for part in plain])
    if template.constant:
        return template.text
    data = AlertData(labels, external_labels or {}, world.external_url, float(value))
    variables: list[tuple[str, Value]] = [
        ("$", data),
        ("$labels", labels),
        ("$externalLabels", data.ExternalLabels),
        ("$externalURL", world.external_url),
        ("$value", data.Value),
    ]
    run = Run(template.name, _DEFINITIONS + template.source, template.tree, world)
    try:
        return run.text(data, variables)
    except RecursionError:
        raise TemplateError(f"error executing template {template.name}: exceeded maximum depth") from None


def expand_all(
    templates: Sequence[tuple[str, Template]],
    labels: Mapping[str, str],
    value: float,
    *,
    external_labels: Mapping[str, str] | None = None,
    world: World = NO_WORLD,
) -> dict[str, str]:
    """Every text by its name; one that cannot be expanded says so, as in Prometheus."""
    texts: dict[str, str] = {}
    for name, template in templates:
        try:
            texts[name] = expand(template, labels, value, external_labels=external_labels, world=world)
        except TemplateError as error:
            texts[name] = f"<error expanding template: {error.message}>"
    return texts
