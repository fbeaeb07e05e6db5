"""Pictures of pipelines: golden files, escaping, and what a layout owes its reader."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_dsl.graph_text import devices_of, dot, mermaid, svg
from pipeline_dsl.graph_text.layout import Spacing, place
from pipeline_dsl.graph_text.picture import picture
from pipeline_dsl.ir import Ref
from pipeline_dsl.planning import build
from tests.goldens import GOLDEN, compare

from .graphs import HOST, Build, chain, diamond, embed, random_dag, stage

FORMATS = {"dot": dot, "mmd": mermaid, "svg": svg}
SVG = "{http://www.w3.org/2000/svg}"
NASTY = """<b>&"'\\ | ` # ] ) } --> ; \n \x07"""


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(suffix: str) -> None:
    program = embed()
    devices = devices_of(build(program, HOST), "embed")
    text = FORMATS[suffix](program.pipelines["embed"], devices)
    compare(GOLDEN / "graphs" / f"embed.{suffix}", text)


class TestPicture:
    def test_values_between_one_pair_share_an_arrow(self) -> None:
        (arrow,) = [a for a in picture(embed().pipelines["embed"]).arrows if len(a.labels) > 1]
        assert arrow.labels == ("ids: i64[B, ~L]", "mask: i64[B, ~L]")

    def test_versions_and_operations_are_told(self) -> None:
        made = chain(1)
        made.call("pinned", stage("ranker"), Ref("p.n0", "y"), version=3)
        made.compute("sum", "+", Ref("p.n0", "y"), Ref("p.pinned", "y"))
        details = {box.title: box.detail for box in picture(made.graph()).boxes}
        assert (details["pinned"], details["sum"]) == ("ranker@3", "+")

    @given(st.integers(0, 1000), st.integers(1, 30))
    def test_there_is_one_arrow_for_each_edge(self, seed: int, size: int) -> None:
        graph = random_dag(seed, size).graph()
        drawn = picture(graph)
        index = {node.id: i for i, node in enumerate(graph.nodes)}
        assert {(a.source, a.target) for a in drawn.arrows} == {(index[a], index[b]) for a, b in graph.dag.edges}
        assert all(a.source < a.target for a in drawn.arrows)


class TestEscaping:
    def graph(self) -> Any:
        made = Build("p")
        made.output(NASTY, made.call(NASTY, stage(NASTY), made.input(f"{NASTY}2")))
        return made.graph()

    def test_svg_is_well_formed_and_keeps_the_text(self) -> None:
        root = ElementTree.fromstring(svg(self.graph(), {f"p.{NASTY}": NASTY}))
        titles = [t.text or "" for t in root.iter(f"{SVG}title")]
        assert any(NASTY.replace("\n", " ").replace("\x07", " ") in t for t in titles)
        assert not list(root.iter(f"{SVG}b"))

    def test_dot_strings_stay_closed(self) -> None:
        for line in dot(self.graph()).splitlines():
            plain = line.replace("\\\\", "").replace('\\"', "")
            assert plain.count('"') % 2 == 0

    def test_mermaid_text_holds_nothing_with_a_meaning(self) -> None:
        for line in mermaid(self.graph()).splitlines():
            inside = line.split('"')[1] if '"' in line else ""
            assert not set(inside.replace("<br/>", "")) & set("<>|`\\\n")
            assert line.count('"') in (0, 2)


class TestSvg:
    def test_it_needs_nothing_from_outside(self) -> None:
        text = svg(diamond().graph())
        assert text.count("http") == 1  # the namespace
        assert not any(word in text for word in ("<script", "<image", "href", "@import", "foreignObject"))

    def test_it_follows_the_readers_mode(self) -> None:
        assert "@media (prefers-color-scheme:dark)" in svg(diamond().graph())

    def test_each_device_has_its_class_and_a_legend_entry(self) -> None:
        text = svg(diamond().graph(), {"p.a": "cpu", "p.b": "cuda:0", "p.c": "cuda:1", "p.d": "cpu"})
        root = ElementTree.fromstring(text)
        classes = [g.get("class", "").split()[-1] for g in root.iter(f"{SVG}g") if g.get("class")]
        assert {c: classes.count(c) for c in ("d0", "d1", "d2")} == {"d0": 3, "d1": 2, "d2": 2}

    def test_long_texts_are_cut_but_kept_in_the_title(self) -> None:
        name = "a_very_long_name_" * 5
        made = Build()
        made.output("out", made.call(name, stage("s"), made.input("x")))
        root = ElementTree.fromstring(svg(made.graph()))
        assert all(len(t.text or "") <= 36 for t in root.iter(f"{SVG}text"))
        assert any(name in (t.text or "") for t in root.iter(f"{SVG}title"))

    def test_everything_lies_inside(self) -> None:
        root = ElementTree.fromstring(svg(random_dag(4, 14).graph()))
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        for rect in root.iter(f"{SVG}rect"):
            if rect.get("x"):
                assert 0 <= float(rect.get("x", 0)) + float(rect.get("width", 0)) <= width
                assert 0 <= float(rect.get("y", 0)) + float(rect.get("height", 0)) <= height

    def test_a_pipeline_without_nodes(self) -> None:
        ElementTree.fromstring(svg(Build("empty").graph()))


class TestLayout:
    @given(st.integers(0, 1000), st.integers(1, 30))
    def test_arrows_go_down_and_boxes_do_not_overlap(self, seed: int, size: int) -> None:
        drawn = picture(random_dag(seed, size).graph())
        widths = [40.0 + 10 * (i % 5) for i in range(len(drawn.boxes))]
        edges = [(a.source, a.target) for a in drawn.arrows]
        spacing = Spacing()
        placed = place(widths, edges, [30.0] * len(edges), spacing)
        for source, target in edges:
            assert placed.centres[source][1] < placed.centres[target][1]
        for i, j in combinations(range(len(widths)), 2):
            (x0, y0), (x1, y1) = placed.centres[i], placed.centres[j]
            assert y0 != y1 or abs(x0 - x1) >= (widths[i] + widths[j]) / 2
        for path in placed.paths:
            assert all(upper[1] < lower[1] for upper, lower in pairwise(path))

    def test_neighbours_are_ordered_so_that_arrows_need_not_cross(self) -> None:
        edges = [(0, 3), (1, 2)]
        placed = place([40] * 4, edges, [30] * 2, Spacing())
        (a, b, c, d) = (x for x, _ in placed.centres)
        assert (a < b) == (d < c)
