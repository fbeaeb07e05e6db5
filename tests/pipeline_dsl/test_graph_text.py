"""Pictures of pipelines: golden files, escaping, and what a layout owes its reader."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_dsl.check import Options
from pipeline_dsl.compile import compile_text
from pipeline_dsl.graph_text import crossings_of, devices_of, dot, mermaid, streams_of, svg
from pipeline_dsl.graph_text.layout import Spacing, place
from pipeline_dsl.graph_text.palette import colours
from pipeline_dsl.graph_text.picture import every_box, picture
from pipeline_dsl.ir import Arm, Branch, Constant, Graph, Ref, Region
from pipeline_dsl.plan import Gpu, Hardware, Plan
from pipeline_dsl.planning import build
from tests.goldens import GOLDEN, compare

from .constructs import cascade
from .graphs import HOST, Build, chain, diamond, embed, random_dag, signature, stage, type_of

FORMATS = {"dot": dot, "mmd": mermaid, "svg": svg}
SVG = "{http://www.w3.org/2000/svg}"
NASTY = """<b>&"'\\ | ` # ] ) } --> ; \n \x07"""


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(suffix: str) -> None:
    program = embed()
    devices = devices_of(build(program, HOST), "embed")
    text = FORMATS[suffix](program.pipelines["embed"], devices)
    compare(GOLDEN / "graphs" / f"embed.{suffix}", text)


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden_with_streams(suffix: str) -> None:
    plan = scheduled()
    graph = plan.pipelines["rate"].graph
    assert graph is not None
    text = FORMATS[suffix](graph, streams_of(plan, "rate"), crossings_of(plan, "rate"))
    compare(GOLDEN / "graphs" / f"streams.{suffix}", text)


def scheduled() -> Plan:
    text = (GOLDEN / "plans" / "gpus.pipe").read_text(encoding="utf-8")
    machine = Hardware(cores=4, gpus=(Gpu("H200", 141 << 30),) * 2)
    return compile_text(text, Options(profile="gpu", environ={}), machine)


class TestSchedule:
    def test_arrows_say_what_crosses(self) -> None:
        plan = scheduled()
        graph = plan.pipelines["rate"].graph
        assert graph is not None
        drawn = picture(graph, streams_of(plan, "rate"), crossings_of(plan, "rate"))
        title = [box.title for box in drawn.boxes]
        found = {(title[a.source], title[a.target]): a.crossing for a in drawn.arrows if a.crossing}
        assert found == {
            ("image", "h"): "copy",
            ("h", "c"): "event",
            ("c", "v"): "event",
            ("v", "good"): "copy",
            ("score", "good"): "copy",
            ("good", "good"): "copy",
            ("v", "vector"): "copy",
        }

    def test_arrows_inside_of_panels_too(self) -> None:
        plan = scheduled()
        graph = plan.pipelines["rate"].graph
        assert graph is not None
        drawn = picture(graph, streams_of(plan, "rate"), crossings_of(plan, "rate"))
        (score,) = [box for box in drawn.boxes if box.kind == "control"]
        assert [[a.crossing for a in panel.arrows] for panel in score.panels] == [["copy", ""], ["", ""]]

    def test_items_of_a_map_are_copied_where_they_are_read(self) -> None:
        text = """pipe 1
stage find(x: f32[4]) -> (boxes: f32[N, 4]) where N <= 9 using onnx("f.onnx")
stage look(box: f32[*, 4]) -> (y: f32[*, 4]) using python("m:look")
pipeline p(x: f32[4]) -> (y: f32[N, 4]) {
  boxes = find(x)
  y = map box in boxes { yield look(box) }
  return y
}
profile gpu { find { device = cuda(0) } }
"""
        plan = compile_text(text, Options(profile="gpu", environ={}), Hardware(gpus=(Gpu("A", 1),)))
        crossings = crossings_of(plan, "p")
        graph = plan.pipelines["p"].graph
        assert graph is not None
        drawn = picture(graph, streams_of(plan, "p"), crossings)
        (box,) = [box for box in drawn.boxes if box.kind == "control"]
        assert [a.crossing for a in box.panels[0].arrows] == ["copy", ""]

    def test_streams_of_a_device_differ_in_colour(self) -> None:
        looks = [colours(f"cuda:0 stream {i}")[0].fill for i in range(7)]
        assert len(set(looks)) == 7
        assert colours("sim:1 stream 0") != colours("sim:0 stream 0")
        assert colours("cuda:0,1 stream 2") == colours("cuda:0 stream 2")


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

    @settings(deadline=None)  # the first of them imports networkx
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
    def test_arrows_go_down_and_nothing_overlaps(self, seed: int, size: int) -> None:
        drawn = picture(random_dag(seed, size).graph())
        sizes = [(40.0 + 10 * (i % 5), 30.0 + 70 * (i % 7 == 3)) for i in range(len(drawn.boxes))]
        edges = [(a.source, a.target) for a in drawn.arrows]
        labels = [(30.0 + 5 * (i % 9), 14.0 * (i % 3)) for i in range(len(edges))]
        placed = place(sizes, edges, labels, Spacing())
        for source, target in edges:
            assert placed.centres[source][1] < placed.centres[target][1]
        for path in placed.paths:
            assert all(upper[1] <= lower[1] for upper, lower in pairwise(path))
        boxes = [(*centre, *size) for centre, size in zip(placed.centres, sizes, strict=True)]
        texts = [(*spot, *label) for spot, label in zip(placed.labels, labels, strict=True) if label[1]]
        for one, other in combinations([*boxes, *texts], 2):
            assert apart(one, other), (one, other)
        for x, y, w, h in (*boxes, *texts):
            assert w / 2 - 0.01 <= x <= placed.width - w / 2 + 0.01
            assert h / 2 - 0.01 <= y <= placed.height - h / 2 + 0.01

    @given(st.integers(0, 1000), st.integers(1, 30))
    def test_an_arrow_passes_beside_boxes(self, seed: int, size: int) -> None:
        """Where it goes straight down; between layers there are no boxes."""
        drawn = picture(random_dag(seed, size).graph())
        sizes = [(40.0 + 10 * (i % 5), 30.0) for i in range(len(drawn.boxes))]
        edges = [(a.source, a.target) for a in drawn.arrows]
        placed = place(sizes, edges, [(30.0, 14.0)] * len(edges), Spacing())
        for (source, target), path in zip(edges, placed.paths, strict=True):
            for (x, top), (_, bottom) in zip(path[2::2], path[3::2]):
                for i, (cx, cy) in enumerate(placed.centres):
                    if i not in (source, target) and top <= cy <= bottom:
                        assert abs(cx - x) >= sizes[i][0] / 2

    def test_neighbours_are_ordered_so_that_arrows_need_not_cross(self) -> None:
        edges = [(0, 3), (1, 2)]
        placed = place([(40, 30)] * 4, edges, [(30, 14)] * 2, Spacing())
        (a, b, c, d) = (x for x, _ in placed.centres)
        assert (a < b) == (d < c)

    def test_a_chain_is_straight(self) -> None:
        placed = place([(40, 30), (90, 30), (60, 50)], [(0, 1), (1, 2)], [(0, 0)] * 2, Spacing())
        assert len({x for x, _ in placed.centres}) == 1

    def test_a_label_wider_than_all_boxes_is_inside(self) -> None:
        placed = place([(40, 30)] * 2, [(0, 1)], [(300, 14)], Spacing())
        assert placed.width == 300
        assert placed.labels[0][0] == 150


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two rectangles (centre, size) share no area; rounding may let them touch."""
    (x0, y0, w0, h0), (x1, y1, w1, h1) = one, other
    return abs(x0 - x1) >= (w0 + w1) / 2 - 0.01 or abs(y0 - y1) >= (h0 + h1) / 2 - 0.01


class TestConstructs:
    def rects(self, name: str) -> list[tuple[float, float, float, float]]:
        """x, y, width, height of every rectangle of a class."""
        root = ElementTree.fromstring(svg(cascade(), {"p.s": "cpu"}))
        panels = [r for r in root.iter(f"{SVG}rect") if name in r.get("class", "").split()]
        groups = [g.find(f"{SVG}rect") for g in root.iter(f"{SVG}g") if name in g.get("class", "").split()]
        found = [r for r in (*panels, *groups) if r is not None]
        return [tuple(float(r.get(k, 0)) for k in ("x", "y", "width", "height")) for r in found]  # type: ignore[misc]  # four of them

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_golden(self, suffix: str) -> None:
        devices = {"p.s": "cpu", "p.big_1": "cuda:0"}
        compare(GOLDEN / "graphs" / f"cascade.{suffix}", FORMATS[suffix](cascade(), devices))

    def test_each_construct_has_a_panel_for_each_region(self) -> None:
        boxes = [box for box in every_box(picture(cascade()).boxes) if box.panels]
        told = {box.title: (box.detail, [p.title for p in box.panels]) for box in boxes}
        assert told == {
            "label, tier": ("map (max = 100)", ["for each item"]),
            "l, t": ("if", ["then", "else"]),
            "b": ("try (timeout = 80ms, retries = 1)", ["body", "fallback"]),
            "score": ("route by key", ["stable · 90%", "canary · 10%", "shadow next · 5%"]),
        }

    def test_what_is_known_stands_in_the_yield(self) -> None:
        yields = [box.title for box in every_box(picture(cascade()).boxes) if box.kind == "yield"]
        assert 'yield s.label, "small"' in yields
        assert 'yield b, "big"' in yields

    def test_no_arrow_leaves_a_panel(self) -> None:
        for box in every_box(picture(cascade()).boxes):
            for panel in box.panels:
                assert all(a.source < a.target < len(panel.boxes) for a in panel.arrows)

    def test_panels_lie_in_their_construct_and_beside_each_other(self) -> None:
        controls, panels = self.rects("control"), self.rects("panel")
        assert (len(controls), len(panels)) == (4, 8)
        for x, y, w, h in panels:
            assert any(cx < x and cy < y and x + w < cx + cw and y + h < cy + ch for cx, cy, cw, ch in controls)
        for one, other in combinations(panels, 2):
            (x0, y0, w0, h0), (x1, y1, w1, h1) = sorted((one, other))
            inside = x1 + w1 <= x0 + w0 and y1 + h1 <= y0 + h0
            assert inside or x0 + w0 <= x1 or y1 + h1 <= y0 or y0 + h0 <= y1

    def test_the_shadow_is_dashed(self) -> None:
        assert len(self.rects("shadow")) == 1
        assert "stroke-dasharray" in mermaid(cascade())
        assert 'style="dashed,rounded"' in dot(cascade())

    def test_a_match_names_its_cases(self) -> None:
        empty = Region("case_1", (), (), (Constant(1, type_of("i64")),))
        node = Branch(
            id="p.x",
            results=(("x", type_of("i64")),),
            subject=Constant("a", type_of("string")),
            arms=(Arm(("a", "b"), empty), Arm(("c",), empty), Arm(None, empty)),
        )
        graph = Graph.of("p", signature({}, {}), [node])
        (box,) = picture(graph).boxes
        assert (box.detail, [p.title for p in box.panels]) == ("match", ['case "a", "b"', 'case "c"', "else"])
