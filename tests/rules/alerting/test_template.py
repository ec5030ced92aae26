"""Templates expand to the very text that Debian's promtool sees, complaints about a template included."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.alerting.errors import TemplateError
from rules.alerting.go_format import go_quote, go_text, sprintf
from rules.alerting.template import expand, expand_all, parse_template
from rules.alerting.template_functions import World
from rules.alerting.template_values import CallError, SampleValue, Value

LABELS = {"__name__": "up", "device": "sw-1.example.cn:9100", "site": "市一医院", "path": "/a b?c=<d>&'e\""}
VALUES = [
    0.0,
    1.0,
    -1.0,
    0.5,
    99.95,
    1e-7,
    123456.0,
    999999.5,
    1e6,
    1234567.891,
    1e15,
    1e21,
    2.0**53,
    1.7e9,
    -93784.25,
]
VALUES += [float("inf"), float("-inf"), float("nan")]

TEXTS = [
    # values and verbs
    "{{ $value }} {{ .Value }} {{ printf `%v` $value }} {{ print $value 1 `a` 2 3 }}",
    "{{ printf `%f|%.0f|%.1f|%10.2f|%-10.2f|%+.2f|%010.2f|% .1f` $value $value $value $value $value $value $value $value }}",
    "{{ printf `%e|%E|%g|%G|%.3g|%.10g|%6g|%-8g|%+g` $value $value $value $value $value $value $value $value $value }}",
    "{{ printf `%d|%s|%t|%x|%q|%5v|%-5v|` $value $value $value 255 `a\"b` 7 8 }}",
    "{{ printf `%d %5d %-5d| %05d %+d %x %X %#x %o %b %c %q %U` 42 42 42 42 42 255 255 255 8 5 65 65 20013 }}",
    "{{ printf `%s|%10s|%-10s|%.2s|%q|%x|%X|%v` `héllo` `ab` `ab` `中文字` `tab\t` `hi` `hi` `x` }}",
    "{{ printf `%t %v %5t %s %d` true false true true true }}",
    "{{ printf `%[2]s %[1]s` `a` `b` }} {{ printf `%*d|%.*f` 5 42 2 3.14159 }} {{ printf `%[3]d` 1 }} {{ printf `%` }} {{ printf `%!` }}",
    "{{ printf `%s %s` `one` }} {{ printf `none` 1 `two` 3.5 }} {{ printf `100%%` }} {{ printf `%v %d` nil nil }} {{ printf `%z` 1 }}",
    "{{ printf `%v` $labels }} {{ printf `%s` $labels }} {{ $labels }} {{ . }} {{ printf `%T %T %T %T %T` 1 1.5 `a` true $labels }}",
    # people's units
    "{{ humanize $value }} {{ humanize1024 $value }} {{ $value | humanizeDuration }} {{ humanizePercentage $value }}",
    "{{ humanize 1234 }} {{ humanize `1234.5` }} {{ humanize1024 `1e9` }} {{ humanizeDuration 61 }} {{ humanizePercentage `0.1` }}",
    "{{ humanizeTimestamp 1700000000.123 }} {{ humanizeTimestamp -1.5 }} {{ humanizeTimestamp `0` }} {{ toTime 1.7e9 }}",
    "{{ (toTime 1.7e9).Format `2006-01-02 15:04:05 MST` }} {{ (toTime 1700000000).Unix }}",
    "{{ parseDuration `1h30m` }} {{ parseDuration `250ms` | humanizeDuration }} {{ `5m` | parseDuration | printf `%.1f` }}",
    # text
    "{{ title `hello wORLD foo-bar a_b 1st é` }} {{ toUpper `straße é` }} {{ toLower `ÀB` }} {{ len `中文` }} {{ len $labels }}",
    "{{ match `^sw-\\\\d` $labels.device }} {{ match `x` `y` }} {{ reReplaceAll `(\\\\w+)-(\\\\w+)` `$2 $1 ${1}x $1x $$` $labels.device }}",
    "{{ reReplaceAll `(?P<a>s)w` `<$a>${a}` $labels.device }} {{ reReplaceAll `:.*` `` $labels.device }} {{ reReplaceAll `` `-` `ab` }}",
    "{{ stripPort $labels.device }} {{ stripPort `[::1]:80` }} {{ stripPort `::1` }} {{ stripPort `a` }} {{ stripPort `a:` }}",
    "{{ stripDomain $labels.device }} {{ stripDomain `a.b.c` }} {{ stripDomain `10.0.0.1:80` }} {{ stripDomain `[::1]:80` }} {{ stripDomain `::1` }} {{ stripDomain `a` }}",
    "{{ graphLink `up{a=\"b\"} > 1` }} {{ tableLink `sum(rate(x[5m])) ~ /` }} {{ urlquery $labels.path }} {{ html $labels.path }} {{ js `a'b<c>` }} {{ safeHtml `<b>` }}",
    "{{ print `a` `b` 1 2 }}{{ println 1 `a` }}|{{ slice `abcdef` 1 3 }}{{ slice `abc` 1 }}{{ index `abc` 1 }}",
    # logic
    "{{ and 1 0 }} {{ and `a` `b` }} {{ or 0 `` `x` }} {{ not 0 }} {{ eq 1 2 1 }} {{ ne `a` `b` }} {{ lt 1 2 }} {{ ge 2.5 2.5 }} {{ le `a` `b` }} {{ gt $value 1.5 }}",
    "{{ eq $labels.site `市一医院` }} {{ eq $value 1.0 }} {{ if and (gt $value 0.0) (lt $value 10.0) }}in{{ else if ge $value 10.0 }}above{{ else }}below{{ end }}",
    "{{ with $labels.none }}x{{ else }}no{{ end }} {{ with $labels.site }}{{ . }}{{ end }} {{ with $x := 5 }}{{ $x }}{{ end }}",
    "{{ range $i, $c := args 1 `b` 2.5 }}{{ $i }}={{ $c }},{{ end }} {{ (args 1 2).arg1 }} {{ (args 1).none }} {{ range $k, $v := $labels }}{{ $k }};{{ end }}",
    "{{ range $k, $v := $labels }}{{ if eq $k `path` }}{{ continue }}{{ end }}{{ if eq $k `site` }}{{ break }}{{ end }}{{ $k }} {{ end }}",
    "{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ $b := 3 }}{{ $a }}{{ $b }}{{ end }}{{ $a }} {{ $ | len | printf `%v` }}",
    "{{ define `t` }}[{{ . }}{{ $ }}]{{ end }}{{ template `t` $value }}{{ template `t` }} {{ block `u` `arg` }}<{{ . }}>{{ end }}",
    "{{ index $labels `site` }}{{ index $labels `none` }} {{ $labels.none }}. {{ .Labels.site }} {{ $.Labels.device }} {{ .ExternalLabels }} {{ $externalURL }}",
    " a {{- ` b ` -}} c {{/* gone */}} d\n {{- /* gone */ -}} \n e {{ `{{` }} {{ \"\\u4e2d\\x41\\n\\101\" }} {{ 'a' }} {{ 0x1F }} {{ 1_000 }} {{ 010 }} {{ 1e2 }} {{ -5 }}",
    "{{ define `w` }}x{{ end }}",
    "a{{/* b */}}c",
    "{{ index `b` 0 }}",
    "{{ index `b` nil }}",
    "{{ index $labels nil }}",
    "{{ value nil }}",
    "{{ first nil }}",
    "{{ sortByLabel `a` nil | len }}",
    "{{ slice nil }}",
    "{{ lt $labels 1 }}",
    # queries
    "{{ with query `up` }}{{ . | first | value }} {{ (. | first).Labels.device }} {{ . | first | label `site` }} {{ first . | strvalue }}.{{ len . }}{{ end }}",
    "{{ range query `up` | sortByLabel `device` }}{{ .Labels.site }}={{ .Value | humanize }} {{ end }}{{ range query `none` }}{{ else }}nothing{{ end }}",
    "{{ query `up` | first }} {{ query `vector(1)` | first | value }} {{ printf `%.1f` (query `up * 0 + 2` | first | value) }}",
    # complaints
    "{{ toUpper $value }}", "{{ $value | toUpper }}", "{{ toUpper 5 }}", "{{ toUpper nil }}", "{{ len 3 }}", "{{ len nil }}",
    "{{ lt $value 1 }}", "{{ eq 1 `a` }}", "{{ eq $labels $labels }}", "{{ lt true false }}", "{{ eq 1 }}", "{{ lt 1 }}", "{{ not }}",
    "ab\n中 {{ humanize `x` }}", "{{ humanize nil }}", "{{ humanize true }}", "{{ humanize $labels }}", "{{ humanize ` 1` }}",
    "{{ .Foo }}", "{{ $labels.site.x }}", "{{ $value.x }}", "{{ .Labels.site.x.y }}", "{{ $labels.site 1 }}", "{{ .Value 1 }}", "{{ 1 2 }}", "{{ `a` 1 }}", "{{ nil }}",
    "{{ if true }}{{ index $labels 5 }}{{ end }}", "{{ index `abc` 9 }}", "{{ index 1 1 }}", "{{ index $labels `a` `b` }}", "{{ slice `abc` 2 1 }}", "{{ slice 1 }}",
    "{{ template `none` }}", "{{ template `none` $value }}", "{{ define `q` }}{{ .x }}{{ end }}{{ template `q` $value }}",
    "{{ range 5 }}{{ end }}", "{{ range $value }}{{ end }}", "{{ range `abc` }}{{ end }}", "{{ printf }}", "{{ printf 1 }}", "{{ $value | printf 1 }}",
    "{{ query `up{` }}", "{{ query 1 }}", "{{ first (query `none`) }}", "{{ query `none` | first | value }}", "{{ value $value }}", "{{ label `a` `b` }}", "{{ (query `up` | first).Foo }}",
    "{{ humanizeTimestamp 1e30 }}", "{{ parseDuration `abc` }}", "{{ parseDuration `` }}", "{{ reReplaceAll `(` `` `` }}", "{{ match `[` `a` }}", "{{ match 1 `a` }}", "{{ safeHtml 1 }}",
    "{{ with $x := $labels }}{{ $x.a.b }}{{ end }}", "{{ ($labels.site).x }}", "{{ $value | humanize | humanize }}", "{{ (1) 2 }}", "{{ and 1 (lt 1 `a`) }}", "{{ or 1 (lt 1 `a`) }}",
]  # fmt: skip


def ours(texts: dict[str, str], value: float) -> dict[str, str]:
    def query(expr: str) -> list[SampleValue]:
        if "{" in expr:
            raise CallError("1:4: parse error: unexpected end of input inside braces")
        if "none" in expr:
            return []
        known = {"vector(1)": ({}, 1.0), "up * 0 + 2": ({}, value * 0 + 2)}
        labels, number = known.get(expr, (LABELS, value))
        return [SampleValue(labels, number)]

    parsed = [(name, parse_template(text, "A")) for name, text in texts.items()]
    return expand_all(parsed, LABELS, value, world=World(query))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_every_text_is_prometheus_s(tmp_path: Path) -> None:
    texts = {f"t{i:03d}": text for i, text in enumerate(TEXTS)}
    rule = {"alert": "A", "expr": "up", "annotations": texts}
    (tmp_path / "r.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    shown = {k: v for k, v in LABELS.items() if k != "__name__"}
    series = "up{" + ",".join(f"{k}={go_quote(v)}" for k, v in shown.items()) + "}"
    cases = [
        {
            "eval_time": f"{i}m",
            "alertname": "A",
            "exp_alerts": [{"exp_labels": shown, "exp_annotations": ours(texts, value)}],
        }
        for i, value in enumerate(VALUES)
    ]
    numbers = " ".join(sprintf("%g", [value]) if value != 2**53 else str(2**53) for value in VALUES)
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": numbers}],
        "alert_rule_test": cases,
    }
    (tmp_path / "t.yml").write_text(json.dumps({"rule_files": ["r.yml"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "t.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, differences(done.stderr)


def differences(report: str) -> str:
    """Of promtool's report only the annotations that differ."""
    lines = [line.strip()[12:] for line in report.splitlines() if line.strip().startswith("Annotations:")]
    found = []
    for expected, got in zip(lines[::2], lines[1::2], strict=False):
        one, two = ({part[:4]: part for part in line.split(", t")} for line in (expected, got))
        found += [f"ours   {one[k]}\ntheirs {two.get(k)}" for k in one if one[k] != two.get(k)]
    return "\n".join(found) or report


def test_the_address_of_the_console() -> None:
    world = World(external_url="https://noc.example/zs")
    text = "{{ externalURL }} {{ pathPrefix }} {{ $externalURL }} {{ $externalLabels.city }}"
    shown = expand(parse_template(text), {}, 1.0, external_labels={"city": "杭州"}, world=world)
    assert shown == "https://noc.example/zs /zs https://noc.example/zs 杭州"


def test_a_template_that_never_ends_is_stopped() -> None:
    (shown,) = expand_all(
        [("a", parse_template('{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}'))], {}, 1.0
    ).values()
    assert "exceeded maximum template depth" in shown
    grow = '{{ define "x" }}{{ template "y" }}{{ template "y" }}{{ end }}'
    for one, two in zip("yzuvw", "zuvw!", strict=True):
        grow += f'{{{{ define "{one}" }}}}' + f'{{{{ template "{two}" }}}}' * 20 + "{{ end }}"
    grow += '{{ define "!" }}' + "x" * 2000 + '{{ end }}{{ template "x" }}'
    (shown,) = expand_all([("a", parse_template(grow))], {}, 1.0).values()
    assert "longer than" in shown


@pytest.mark.parametrize(
    ("text", "by_labels"),
    [
        ("{{ $labels.a }} {{ .Labels.b }}", True),
        ("{{ reReplaceAll `a` `b` $labels.a | toUpper }}", True),
        ("{{ $value }}", False),
        ("{{ .Value }}", False),
        ("{{ . }}", False),
        ("{{ $ }}", False),
        ("{{ if gt $value 1.0 }}a{{ end }}", False),
        ("{{ if true }}{{ $value }}{{ end }}", False),
        ("{{ query `up` | first | value }}", False),
        ("{{ range query `up` }}{{ .Labels.a }}{{ end }}", False),
        ("{{ $x := $value }}{{ $x }}", False),
        ("{{ (index $labels (printf `%v` $value)) }}", False),
    ],
)
def test_what_depends_on_labels_alone(text: str, *, by_labels: bool) -> None:
    assert parse_template(text).by_labels is by_labels


@given(st.floats(), st.sampled_from(["{{ $value }}", "{{ $value | humanize }}", "{{ printf `a %.2f%% b` $value }}", "{{ .Value | printf `%.0f` }}", "{{ humanizeDuration $value }}{{ $labels.a }}"]))  # fmt: skip
def test_the_short_way_and_the_long_way_agree(value: float, text: str) -> None:
    short, long = parse_template(text), parse_template(text + "{{ `` }}")
    assert short.plain is not None
    assert long.plain is None
    assert expand(short, {"a": "b"}, value) == expand(long, {"a": "b"}, value)


@given(st.text(max_size=20), st.lists(st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=3)), max_size=3))  # fmt: skip
def test_any_format_is_answered(form: str, args: list[Value]) -> None:
    assert isinstance(sprintf("%" + form, args), str)
    assert "(MISSING)" not in sprintf("plain", args)


@given(st.text(max_size=10))
def test_quotes_can_be_read_back(text: str) -> None:
    assert expand(parse_template("{{ " + go_quote(text) + " }}"), {}, 0.0) == text
    assert go_text(text) == text


WORDS = """$value $labels $labels.a . $ .Labels .Labels.a .Value 1 2.5 1.0 `a` "b" true nil | | ( ) printf humanize len eq lt ge
not and or index toUpper first value args if else end range with $x := = , define`t` template`t` break 'c' - {{ }} 0x1F 1e3
match title slice reReplaceAll humanizeDuration parseDuration stripPort html println label -3 +4 .5 5. 1_0 $value.x
.Labels.a.b (1).x $x.y 1a 1e999 `5m`""".split()  # noqa: SIM905 - easier to read
PHRASES = [
    "query `up` | len",
    "$x := 1",
    "$i, $v := $labels",
    "else if 1",
    "printf `%v`",
    "block `q` .",
    "/* c */",
    "sortByLabel `a`",
]
PIECES = [
    "{{ if $value }}",
    "{{ end }}",
    "{{ else }}",
    "{{ range $i, $v := $labels }}",
    "{{ with $x := 1 }}",
    " text ",
    "\n",
]
PIECES += ["{{ $x := 2 }}", "{{ $x }}", "{{ end }}"]
FRAMES = ["{{ %s }}", "{{- %s -}}", "{{%s}}", "{{- %s }}"]


def random_template(dice: random.Random) -> str:
    """Nonsense that is a template more often than one would think."""

    def action() -> str:
        words = [dice.choice(WORDS + PHRASES) for _ in range(dice.choice([1, 1, 2, 2, 3, 4]))]
        return dice.choice(FRAMES) % dice.choice(["", " ", " ", " "]).join(words)

    return "".join(
        action() if dice.random() < 0.55 else dice.choice(PIECES) for _ in range(dice.randint(1, 3))
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_random_templates_are_judged_and_expanded_alike(tmp_path: Path) -> None:
    dice = random.Random(14)
    texts = [random_template(dice) for _ in range(2000)]
    good: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        with contextlib.suppress(TemplateError):
            parse_template(text)
            good[f"t{number:04d}"] = text
    rules = [{"alert": "A", "expr": "up", "annotations": {"a": text}} for text in texts]
    check = tmp_path / "check.json"
    check.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", check], capture_output=True, text=True, check=False)
    refused = {
        int(number) for number in re.findall(r'rule (\d+), "A": annotation', done.stdout + done.stderr)
    }
    assert {f"t{number:04d}" for number in range(1, 2001) if number not in refused} == set(good)
    assert len(good) > 300

    labels = {"__name__": "up", "a": "b"}
    world = World(lambda _expr: [SampleValue(labels, 1.0)])
    shown = expand_all(
        [(name, parse_template(text, "A")) for name, text in good.items()], labels, 1.0, world=world
    )
    rule = {"alert": "A", "expr": "up", "annotations": good}
    (tmp_path / "r.json").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    case = {
        "eval_time": "0s",
        "alertname": "A",
        "exp_alerts": [{"exp_labels": {"a": "b"}, "exp_annotations": shown}],
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": 'up{a="b"}', "values": "1"}],
        "alert_rule_test": [case],
    }
    (tmp_path / "t.json").write_text(json.dumps({"rule_files": ["r.json"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "t.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, differences(done.stderr)
