"""Plans as pages: well-formed, alone, readable in both modes, and what notebooks show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from pipeline_dsl.compile import compile_text
from pipeline_dsl.plan import Plan
from pipeline_dsl.plan_html import plan_html, plan_page

PROGRAM = """pipe 1

## Most boxes that are looked at.
param MOST: i64 = 8 { max = 9 }

stage find(page: u8[H, W]) -> (boxes: i64[N, 4]) where N <= 100 using null()
stage look(page: u8[H, W], box: i64[*, 4]) -> (label: string[*], p: f32[*]) using null()
stage ask(text: string) -> (text: string) using null()

## <b>Boxes</b> & what is in them.
pipeline boxes(page: u8[H, W], note: string = "a <i>") -> (label: string[N], answer: string) {
  found = find(page)
  label = map (max = 100) box in found {
    seen = look(page, box)
    best = if seen.p >= 0.5 { yield seen.label } else { yield "?" }
    yield best
  }
  answer = try (timeout = 1s) { yield ask(note) } fallback { yield "" }
  return label, answer
}

profile fast {
  look { batching { max = 32, delay = 2ms } }
}
"""
VOID = {"meta"}


class Balanced(HTMLParser):
    """Fails where an element is not closed in its parent; keeps text and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(text: str) -> Balanced:
    parser = Balanced()
    parser.feed(text)
    parser.close()
    assert not parser.open
    return parser


@pytest.fixture(scope="module")
def plan() -> Plan:
    from pipeline_dsl.check import Options

    return compile_text(PROGRAM, Options(profile="fast", environ={}), path="boxes.pipe")


def test_a_page_is_whole_and_needs_nothing_from_outside(plan: Plan) -> None:
    page = plan_page(plan)
    read = parsed(page)
    assert page.startswith("<!doctype html>")
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name in ("src", "href") or name.startswith("on")]
    assert "url(http" not in page
    assert page.count("http") == page.count('xmlns="http://www.w3.org/2000/svg"')


def test_it_tells_what_the_text_tells(plan: Plan) -> None:
    told = " ".join(parsed(plan_page(plan)).texts)
    for text in ("boxes.pipe", "profile fast", "boxes.seen", "map box in found", "once per item", "MOST", "2ms"):
        assert text in told, text
    assert "<b>Boxes</b> & what is in them." in told


def test_texts_of_the_file_are_texts(plan: Plan) -> None:
    assert not {"b", "i"} & set(parsed(plan_page(plan)).tags)


def test_both_modes_have_their_colours(plan: Plan) -> None:
    page = plan_page(plan)
    assert page.count("@media (prefers-color-scheme:dark)") == 2  # the page and its picture
    assert '<meta name="color-scheme" content="light dark">' in page


def test_there_is_a_picture_of_each_pipeline_with_its_constructs(plan: Plan) -> None:
    page = plan_page(plan)
    assert page.count("<svg ") == 1
    assert "for each item" in page
    assert "try (timeout = 1s)" in page
    assert "line 1" not in re.sub(r"(?s)^.*<svg |</svg>.*$", "", page)  # sizes without their places


def test_a_notebook_gets_the_same_with_rules_for_itself_alone(plan: Plan) -> None:
    part = plan._repr_html_()
    assert part == plan_html(plan)
    assert part in plan_page(plan)
    parsed(part)
    for style in re.findall(r"(?s)<style>(.*?)</style>", part):
        rules = [line for line in style.split("\n") if "{" in line and not line.startswith("@")]
        assert rules
        assert all(re.match(r"\.pipe-(plan|[0-9a-f]{8})\b", rule) for rule in rules)


def test_graphs_and_pipelines_show_themselves(plan: Plan) -> None:
    pipeline = plan.pipelines["boxes"]
    assert pipeline.graph is not None
    drawn = pipeline._repr_svg_()
    assert drawn == pipeline.graph._repr_svg_()
    assert drawn is not None
    assert drawn.startswith("<svg ")
    assert "for each item" in drawn


def test_a_plan_without_pipelines_has_a_page() -> None:
    from pipeline_dsl.plan import Hardware

    parsed(plan_page(Plan((), {}, Hardware())))
