"""The worked examples of the language, built in Python: the same trees as the files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline_dsl.builder as pp
from pipeline_dsl import ir
from pipeline_dsl.builder import types as t
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_module, check_path
from pipeline_dsl.ir_text import to_text
from pipeline_dsl.source import Source

CORPUS = Path(__file__).parents[1] / "corpus"


def embed() -> pp.Module:
    f32, i64, string = t.f32, t.i64, t.string
    MODELS = pp.param("MODELS", string, pp.env("MODELS", "/models"))  # noqa: F841 - `${MODELS}` below
    DIM = pp.const("DIM", 384)
    tokenize = pp.stage(
        "tokenize",
        pp.sig(text=string["*"]).to(ids=i64["*", "~L"], mask=i64["*", "~L"]),
        pp.python("nlp.tokenize:Tokenizer", vocab="${MODELS}/minilm/tokenizer.json"),
        where=["L <= 512"],
    )
    encoder = pp.stage(
        "encoder",
        pp.sig(input_ids=i64["*", "~L"], attention_mask=i64["*", "~L"]).to(hidden=f32["*", "~L", DIM]),
        pp.onnx("${MODELS}/minilm/model.onnx", version=3),
        where=["L <= 512"],
        tensors=dict(hidden="last_hidden_state"),
        ragged=dict(L=pp.pad(0, buckets=[32, 64, 128, 256, 512])),
    )
    pool = pp.stage(
        "pool",
        pp.sig(hidden=f32["*", "~L", "D"], mask=i64["*", "~L"]).to(vec=f32["*", "D"]),
        pp.python("nlp.pool:mean_pool"),
        ragged=dict(L=pp.pad(0)),
    )

    @pp.pipeline(out=dict(embedding=f32["*", DIM]))
    def embed(p, text: string["*"]):
        ids, mask = p.let("ids, mask", tokenize(text))
        h = p.let("h", encoder(input_ids=ids, attention_mask=mask), h=f32["*", "~L", DIM])
        return dict(embedding=pool(h, mask))

    cpu = pp.profile("cpu")
    cpu.everywhere.set(device="cpu", instances=1)
    cpu[encoder].set(threads=2, batching=dict(max=8, delay=pp.ms(4), preferred=[4, 8]))
    gpu = pp.profile("gpu", extends=cpu)
    gpu[encoder].set(
        device=pp.cuda(0),
        instances=2,
        batching=dict(max=64, delay=pp.ms(2), preferred=[16, 32, 64]),
        queue=dict(max=512, timeout=pp.ms(50), on_timeout="reject", levels=2, default_level=2),
        warmup=dict(batch=[1, 64], L=[32, 512], count=3),
        cache=dict(size=pp.MiB(256), ttl=pp.minutes(10)),
    )
    gpu[pool].set(device=pp.cuda(0))
    gpu[embed].set(timeout=pp.ms(200), max_inflight=1024)
    return pp.module(embed, profiles=[gpu])


def detect() -> pp.Module:
    f32, i64, u8 = t.f32, t.i64, t.u8
    decode, image_type = pp.from_import("common/vision.pipe", "decode", "Image")
    assert repr(pp.opt(image_type)) == "Image?"
    detect = pp.stage(
        "detect",
        pp.sig(image=f32["*", 3, 640, 640]).to(boxes=f32["*", "~N", 4], scores=f32["*", "~N"]),
        pp.tensorrt("yolo.plan"),
        where=["N <= 100"],
    )
    crop = pp.stage(
        "crop",
        pp.sig(image=u8["H", "W", 3], box=f32[4]).to(patch=f32[3, 224, 224]),
        pp.python("vision.crop:crop_resize"),
    )
    classify = pp.stage(
        "classify",
        pp.sig(image=f32["*", 3, 224, 224]).to(label=i64["*"], prob=f32["*"]),
        pp.onnx("resnet50.onnx"),
    )
    letterbox = pp.stage(
        "letterbox", pp.sig(image=u8["H", "W", 3]).to(x=f32[3, 640, 640]), pp.python("vision.resize:letterbox")
    )

    @pp.pipeline(out=dict(boxes=f32["N", 4], labels=i64["N"], probs=f32["N"]))
    def detect_and_classify(p, jpeg: t.bytes):
        p.image = decode(jpeg)
        boxes, scores = p.let("boxes, scores", detect(letterbox(p.image)))

        def each(q, box, s):
            q.c = classify(crop(p.image, box))
            return q.c.label, q.c.prob * s

        p.let("labels, probs", pp.map_(each, max=100, order="keep", box=boxes, s=scores))
        return dict(boxes=boxes, labels=p.labels, probs=p.probs)

    gpu = pp.profile("gpu")
    gpu[classify].set(batching=dict(max=128, delay=pp.ms(1)), instances=2, device=pp.cuda(0))
    gpu[detect].set(batching=dict(max=16, delay=pp.ms(3)), device=pp.cuda(0))
    gpu[detect_and_classify.node("image")].set(priority=1)
    return pp.module(detect_and_classify, profiles=[gpu])


def canary() -> pp.Module:
    f32, string = t.f32, t.string
    CANARY = pp.param("CANARY", t.percent, pp.percent(10), min=pp.percent(0), max=pp.percent(50))
    features = pp.stage(
        "features", pp.sig(user=string, item=string["M"]).to(x=f32["M", 64]), pp.python("rank.features:build")
    )
    ranker = pp.stage(
        "ranker",
        pp.sig(x=f32["*", 64]).to(score=f32["*"]),
        pp.onnx("ranker/{version}/model.onnx", versions=[3, 4, 5]),
    )

    @pp.pipeline(out=dict(score=f32["M"], arm=string))
    def rank(p, user: string, item: string["M"]):
        p.x = features(user, item)
        split = pp.route_(
            pp.arm("stable", lambda q: (ranker.at(3)(p.x), "stable"), weight=pp.percent(100) - CANARY),
            pp.arm("canary", lambda q: (ranker.at(4)(p.x), "canary"), weight=CANARY),
            pp.shadow("next", lambda q: (ranker.at(5)(p.x), "next"), sample=pp.percent(5)),
            by=user,
        )
        score, arm = p.let("score, arm", split)
        return dict(score=score, arm=arm)

    prod = pp.profile("prod")
    prod[CANARY] = pp.percent(25)
    prod[ranker].set(batching=dict(max=256, delay=pp.ms(1)))
    return pp.module(rank, profiles=[prod])


def cascade() -> pp.Module:
    f32, i64, string, opt = t.f32, t.i64, t.string, t.opt
    small = pp.stage(
        "small", pp.sig(image=f32["*", 3, 224, 224]).to(label=i64["*"], conf=f32["*"]), pp.onnx("mobilenet.onnx")
    )
    big = pp.stage("big", small.signature, pp.onnx("vit_large.onnx"))
    asr = pp.stage("asr", pp.sig(audio=f32["S"]).to(text=string), pp.torch("asr.pt"))
    THRESHOLD = pp.param("THRESHOLD", f32, 0.9)

    @pp.pipeline(out=dict(label=i64["B"], tier=string["B"], said=opt(string)))
    def cascade(p, image: f32["B", 3, 224, 224], audio: opt(f32["S"])):
        def row(p, img):
            p.s = small(img)

            def hard(p):
                p.b = pp.try_(
                    lambda q: big(img).label,
                    timeout=pp.ms(80),
                    retries=1,
                    fallback=lambda q, err: row_s.label,
                )
                return p.b, "big"

            row_s = p.s
            return p.let("l, t", pp.if_(p.s.conf >= THRESHOLD, lambda q: (row_s.label, "small"), hard))

        label, tier = p.let("label, tier", pp.map_(row, img=image))
        p.said = pp.if_(pp.present(audio), lambda q: asr(audio))
        return dict(label=label, tier=tier, said=p.said)

    return pp.module(cascade)


def rag() -> pp.Module:
    f32, i32, string, stream = t.f32, t.i32, t.string, t.stream
    emb = pp.import_("embed.pipe", "emb")
    PROMPT = pp.const("PROMPT", "Answer from the passages only.\n{passages}\nQuestion: {question}\n")
    search = pp.stage(
        "search",
        pp.sig(query=f32["*", 384]).to(passage=string["*", "~K"], score=f32["*", "~K"]),
        pp.python("rag.index:Faiss", path="/data/index", k=8),
        where=["K <= 8"],
    )
    llm = pp.stage(
        "llm",
        pp.sig(prompt=string, max_tokens=pp.port(i32, default=256), temperature=pp.port(f32, default=0.2)).to(
            text=stream(string), finish=string
        ),
        pp.llm("llama-3-8b"),
        generation=dict(stop=["</s>"], seed=None),
    )
    guard = pp.stage("guard", pp.sig(text=string).to(verdict=string), pp.torch("guard.pt"))

    @pp.pipeline(out=dict(answer=stream(string), sources=string["?"]))
    def ask(p, question: string, max_tokens: i32 = 256):
        p.verdict = guard(question)

        def answer(q):
            q.v = emb.embed([question])
            q.hits = pp.try_(lambda r: search(q.v).passage[0], timeout=pp.ms(50), fallback=lambda r: pp.empty(string))
            q.prompt = pp.format(PROMPT, passages=pp.join(q.hits, "\n"), question=question)
            q.a = llm(q.prompt, max_tokens=max_tokens).with_(priority=1)
            return q.a.text, q.hits

        def refuse(q):
            return pp.stream_of("I can not answer that."), pp.empty(string)

        p.let("answer, sources", pp.match_(p.verdict, {("ok", "unsure"): answer}, refuse))
        return dict(answer=p.answer, sources=p.sources)

    gpu = pp.profile("gpu")
    gpu[llm].set(
        device=pp.cuda([0, 1]),
        parallel=dict(tensor=2),
        scheduler=dict(max_running=128, max_batched_tokens=8192, chunked_prefill=True),
        kv=dict(page=16, memory=pp.percent(85), prefix_cache=True),
        speculative=dict(draft="llama-3-1b", tokens=4),
    )
    gpu[ask].set(timeout=pp.seconds(30), rate_limit=dict(rate=50, per=pp.seconds(1), burst=100))
    return pp.module(ask, profiles=[gpu])


def audio() -> pp.Module:
    f32, string, stream = t.f32, t.string, t.stream
    Chunk = pp.type_alias("Chunk", f32[1600])
    vad = pp.stage(
        "vad",
        pp.sig(pcm=Chunk).to(speech=t.bool, prob=f32),
        pp.onnx("silero.onnx"),
        sequence=dict(
            start="START",
            end="END",
            idle=pp.seconds(30),
            slots=dict(strategy="oldest", max=256, delay=pp.ms(2)),
        ),
        state=dict(
            h=pp.state(f32[2, 1, 64], pp.zeros(), tensors=("h0", "hn")),
            c=pp.state(f32[2, 1, 64], pp.zeros(), tensors=("c0", "cn")),
        ),
    )
    encoder = pp.stage(
        "encoder",
        pp.sig(pcm=Chunk).to(feats=f32["T", 512]),
        pp.torch("conformer.pt"),
        sequence=dict(idle=pp.seconds(30), slots=dict(strategy="direct", max=64)),
        state=dict(cache=pp.state(f32[12, "C", 512], pp.zeros())),
    )
    decode = pp.stage(
        "decode",
        pp.sig(feats=f32["T", 512], last=t.bool).to(partial=stream(string)),
        pp.python("asr.decode:Greedy"),
        sequence=dict(idle=pp.seconds(30)),
        state=dict(hyp=pp.state(t.json, None)),
    )

    @pp.pipeline(out=dict(partial=stream(string), speech=t.bool), sequence=dict(id=pp.correlation_id))
    def transcribe(p, pcm: Chunk):
        p.v = vad(pcm)
        p.partial = pp.if_(
            p.v.speech | pp.sequence_end(),
            lambda q: decode(encoder(pcm), last=pp.sequence_end()).partial,
            lambda q: pp.stream_of(),
        )
        return dict(partial=p.partial, speech=p.v.speech)

    return pp.module(transcribe)


@pytest.mark.parametrize("build", [embed, detect, canary, cascade, rag, audio], ids=lambda f: f.__name__)
def test_the_example_is_the_file(build) -> None:
    built = build()
    text = (CORPUS / f"{build.__name__}.pipe").read_text(encoding="utf-8")
    written = pp.parse(text)
    assert built.syntax.decls == written.syntax.decls
    assert built == written
    assert pp.parse(built.to_text()) == written


class Imports:
    """Reads what the examples import, wherever the importing module stands."""

    def read(self, path: str) -> Source:
        return Source(path, (CORPUS / "common" / Path(path).name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("build", [embed, detect, canary, cascade], ids=lambda f: f.__name__)
def test_what_is_built_is_typed_as_the_file(build) -> None:
    """The same graphs, node for node, apart from the lines that sizes are named after."""
    options = Options(environ={}, loader=Imports())
    built, said = check_module(build().syntax, options)
    written, _ = check_path(CORPUS / f"{build.__name__}.pipe", options)
    assert built is not None, said.errors
    assert written is not None
    assert _texts(built) == _texts(written)


def _texts(program: ir.Program) -> list[str]:
    return [re.sub(r", line \d+(, column \d+)?", "", to_text(graph)) for graph in program.pipelines.values()]
